//! Disputes: what a customer's bank asks back.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::model::money::Money;
use crate::model::time::Timestamp;
use crate::model::words;

words! {
    /// Where a dispute stands.
    DisputeStatus, "dispute status" {
        /// The bank asks; no money has moved.
        Inquiry => "inquiry",
        /// The bank has taken the money until it is decided.
        Open => "open",
        /// Decided for us, or withdrawn: the money is here.
        Won => "won",
        /// Decided for the customer: the money is gone.
        Lost => "lost",
    }
}

impl DisputeStatus {
    /// Stripe's word; the set is open, and an unknown word counts as a dispute that is not decided.
    pub fn of_stripe(status: &str) -> Self {
        match status {
            "won" | "warning_closed" | "appeal_won" => Self::Won,
            // Prevented: it was settled before it became one, by paying the customer.
            "lost" | "appeal_lost" | "prevented" => Self::Lost,
            status if status.starts_with("warning_") => Self::Inquiry,
            _ => Self::Open,
        }
    }

    /// Whether the mentor's share must stay where it is.
    pub const fn holds_transfer(self) -> bool {
        matches!(self, Self::Open | Self::Lost)
    }
}

/// A dispute, as Stripe tells it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Dispute {
    /// `du_…`
    pub id: String,
    /// Where it stands.
    pub status: DisputeStatus,
    /// What is disputed.
    pub amount: Money,
    /// Stripe's word for the bank's reason.
    pub reason: String,
    /// Until when evidence is taken.
    pub due_at: Option<Timestamp>,
    /// When Stripe said so.
    pub as_of: Timestamp,
}

/// Whether there were disputes, and each ended for us.
pub fn all_won(disputes: &[Dispute]) -> bool {
    !disputes.is_empty() && disputes.iter().all(|dispute| dispute.status == DisputeStatus::Won)
}

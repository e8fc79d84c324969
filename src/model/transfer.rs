//! Transfers: the mentor's share of a payment.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::model::id::{PaymentId, TransferId};
use crate::model::money::Money;
use crate::model::time::Timestamp;
use crate::model::words;

words! {
    /// Where a transfer stands.
    TransferStatus, "transfer status" {
        /// Recorded; Stripe has not been asked.
        Intended => "intended",
        /// Stripe is being asked, or was asked and the answer is not known: read before asking again.
        Sent => "sent",
        /// The mentor's account has the money.
        Made => "made",
        /// Stripe will not make it; the money is still here.
        Failed => "failed",
    }
}

words! {
    /// Who wanted it.
    TransferOrigin, "transfer origin" {
        /// A workflow, once the dispute period was over.
        Workflow => "workflow",
        /// Found at Stripe: moved with the charge, or made there by hand.
        Stripe => "stripe",
    }
}

/// What a case says of a `share` that was not moved. `asked` says that Stripe was asked and nobody knows what came of it.
pub fn not_moved(share: Money, asked: bool, why: &str) -> String {
    let (moved, money) = if asked {
        ("may or may not have been moved", "look for the transfer in stripe")
    } else {
        ("was not moved", "the money is here")
    };
    format!("the mentor's share of {share} {moved}: {why}; {money}")
}

/// A mentor's share as it is kept.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Transfer {
    /// Our id.
    pub id: TransferId,
    /// Whose money it is.
    pub payment: PaymentId,
    /// Grows when the key before it is spent.
    pub generation: u32,
    /// How much.
    pub amount: Money,
    /// `acct_…`
    pub destination: String,
    /// Who wanted it.
    pub origin: TransferOrigin,
    /// Where it stands.
    pub status: TransferStatus,
    /// What was taken back since, in minor units.
    pub reversed: i64,
    /// The mark by which it is found again at Stripe.
    pub reference: String,
    /// The request, once it is fixed.
    pub request: Option<String>,
    /// When the key was first used.
    pub sent_at: Option<Timestamp>,
    /// `tr_…`
    pub stripe_transfer_id: Option<String>,
    /// When it was recorded.
    pub created_at: Timestamp,
}

impl Transfer {
    /// The key under which Stripe makes it once.
    pub fn idempotency_key(&self) -> String {
        format!("discuno/transfer/{}/{}", self.reference, self.generation)
    }
}

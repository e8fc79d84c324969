//! Accounts: where mentors are paid, at Stripe.

use serde::{Deserialize, Serialize};

use crate::model::time::Timestamp;
use crate::model::words;

words! {
    /// Whether a mentor can be paid.
    AccountStatus, "account status" {
        /// Not set up yet.
        Pending => "pending",
        /// Can charge and be paid out.
        Active => "active",
        /// Stripe wants something first.
        Restricted => "restricted",
        /// Rejected by Stripe, or disconnected from the platform.
        Inactive => "inactive",
    }
}

/// A connected account, as Stripe tells it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Account {
    /// `acct_…`
    pub id: String,
    /// The mentor, as the application knows them.
    pub user_id: Option<String>,
    /// Where to write to the mentor.
    pub email: Option<String>,
    /// Whether they can be paid.
    pub status: AccountStatus,
    /// Whether it may charge.
    pub charges_enabled: bool,
    /// Whether it is paid out.
    pub payouts_enabled: bool,
    /// Whether it takes transfers.
    pub transfers_enabled: bool,
    /// What Stripe still wants.
    pub requirements: Vec<String>,
    /// When Stripe said so.
    pub as_of: Timestamp,
}

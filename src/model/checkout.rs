//! What a paid checkout session asks for.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::model::money::Money;
use crate::model::time::Timestamp;

/// The person who bought the session.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Attendee {
    /// As given at checkout.
    pub name: String,
    /// As given at checkout.
    pub email: String,
    /// As given at checkout; may be in a national format that Cal.com refuses.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub phone: Option<String>,
    /// An IANA zone.
    pub time_zone: String,
}

/// A checkout session with everything needed to fulfil it. Amounts are facts of their own: none is derived from another.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Checkout {
    /// Stripe's session, `cs_…`.
    pub session_id: String,
    /// Stripe's payment intent, `pi_…`; none if there was nothing to pay.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub payment_intent: Option<String>,
    /// What the session came to, with tax and discounts.
    pub amount: Money,
    /// When Stripe says the session was completed.
    pub paid_at: Timestamp,
    /// The mentor's user id, a UUID.
    pub mentor_user_id: String,
    /// The mentor's name in links.
    pub mentor_username: String,
    /// The mentor's Stripe account, `acct_…`.
    pub mentor_account: String,
    /// Cal.com's event type.
    pub event_type_id: i64,
    /// When the session is to begin.
    pub start: Timestamp,
    /// Who will attend.
    pub attendee: Attendee,
    /// The fee kept from the mentor's share, in minor units.
    pub mentor_fee: i64,
    /// The fee on top for the mentee, in minor units.
    pub mentee_fee: i64,
    /// The mentor's share, in minor units.
    pub mentor_amount: i64,
}

impl Checkout {
    /// The id by which providers know this purchase: the payment intent, or the session where nothing was paid.
    /// Stable over databases, so it is what goes into Cal.com's metadata and into idempotency keys.
    pub fn reference(&self) -> &str {
        self.payment_intent.as_deref().unwrap_or(&self.session_id)
    }

    /// What the mentor gets of it: never more than it is.
    pub fn share(&self) -> Money {
        Money::new(self.mentor_amount.min(self.amount.minor), self.amount.currency)
    }
}

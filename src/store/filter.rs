//! Which rows a list shows, and the lines it shows of them.

use schemars::JsonSchema;
use serde::Serialize;

use crate::model::failure::Failure;
use crate::model::id::PaymentId;
use crate::model::money::Money;
use crate::model::payment::Payment;
use crate::model::role::Role;
use crate::model::run::Run;
use crate::model::time::Timestamp;

/// How long what should move on by itself is given.
pub const STUCK: std::time::Duration = std::time::Duration::from_secs(15 * 60);

/// How many rows a search looks at before it shows a page, at most: it goes on with the next.
pub const LOOK: i64 = 10_000;

/// Every condition that is given holds; those that mean nothing for a noun are refused by who builds it. Newest first.
#[derive(Debug, Clone, Default)]
pub struct Filter {
    /// One of these words: a status, a state, a disposition, an origin.
    pub status: Vec<String>,
    /// Made at or after.
    pub since: Option<Timestamp>,
    /// Made before.
    pub until: Option<Timestamp>,
    /// Whose: an address, or a part of one.
    pub customer: Option<String>,
    /// The customer is a whole address: who sees addresses masked does not find them out letter by letter.
    pub whole: bool,
    /// Of this workflow.
    pub workflow: Option<String>,
    /// At this step, or ended at it.
    pub step: Option<String>,
    /// With this code or these words in the failure.
    pub error: Option<String>,
    /// From this sender.
    pub source: Option<String>,
    /// Of this type or kind; a `*` at the end stands for anything.
    pub kind: Option<String>,
    /// On this payment.
    pub payment: Option<PaymentId>,
    /// What should have moved on by itself before this time and has not.
    pub stuck: Option<Timestamp>,
    /// After these, in the order of the list: only rows with a smaller number.
    pub before: Option<i64>,
    /// Only rows with a larger number: where a look through everything ends.
    pub above: Option<i64>,
    /// At most so many.
    pub limit: u32,
}

impl Filter {
    /// What who has this role may be shown.
    #[must_use]
    pub fn for_role(self, role: Role) -> Self {
        Self { whole: !role.may(Role::Operator), ..self }
    }

    /// Ends a search after `look` rows from the place where it begins: a page is there at once, however much there is. `newest` is the
    /// number of the newest row. What is on one payment is found by an index.
    pub fn bound(&mut self, look: i64, newest: i64) {
        let end = self.before.map_or(newest + 1, |before| before.min(newest + 1)).saturating_sub(look + 1);
        self.above = (self.payment.is_none() && end > 0).then_some(end);
    }

    /// The newest of all.
    pub fn newest(limit: u32) -> Self {
        Self { limit, ..Self::default() }
    }
}

/// A payment with what became of it.
#[derive(Debug, Clone, Serialize, JsonSchema)]
pub struct PaymentLine {
    /// The payment.
    #[serde(flatten)]
    pub payment: Payment,
    /// What is paid back, on its way back, or wanted.
    pub refunded: Money,
    /// What of it is wanted and not confirmed by Stripe.
    pub unconfirmed: Money,
    /// Open cases about it.
    pub open_cases: u32,
}

impl PaymentLine {
    /// What came back, with what is only wanted apart from it.
    pub fn returned(&self) -> Option<String> {
        let back = Money::new(self.refunded.minor - self.unconfirmed.minor, self.refunded.currency);
        match (back.minor, self.unconfirmed.minor) {
            (0, 0) => None,
            (_, 0) => Some(back.to_string()),
            (0, _) => Some(format!("{} not confirmed", self.unconfirmed)),
            _ => Some(format!("{back}, {} not confirmed", self.unconfirmed)),
        }
    }
}

/// A run with where it is.
#[derive(Debug, Clone, Serialize, JsonSchema)]
pub struct RunLine {
    /// The run.
    #[serde(flatten)]
    pub run: Run,
    /// The step that was tried last.
    pub step: Option<String>,
    /// How often.
    pub attempt: Option<u32>,
    /// What became of the last try, if it was no success.
    pub last_failure: Option<Failure>,
}

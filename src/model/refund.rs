//! Refunds: intents to pay money back, recorded before Stripe is asked.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::model::failure::Failure;
use crate::model::id::{PaymentId, RefundId};
use crate::model::idempotency::Key;
use crate::model::money::Money;
use crate::model::time::Timestamp;
use crate::model::words;

words! {
    /// Where a refund stands.
    RefundStatus, "refund status" {
        /// Recorded; Stripe has not been asked.
        Intended => "intended",
        /// Stripe is being asked, or was asked and the answer is not known: read before asking again.
        Sent => "sent",
        /// Stripe has taken it and not settled it.
        Pending => "pending",
        /// The money is on its way to the customer, as far as Stripe can tell.
        Succeeded => "succeeded",
        /// Stripe will not pay it; the money is still here.
        Failed => "failed",
        /// Withdrawn at Stripe; the money is still here.
        Canceled => "canceled",
    }
}

words! {
    /// Who wanted it.
    RefundOrigin, "refund origin" {
        /// A workflow, since the session could not be booked.
        Workflow => "workflow",
        /// A person, through discuno.
        Operator => "operator",
        /// Found at Stripe: made in its dashboard, or by another program.
        Stripe => "stripe",
    }
}

words! {
    /// What may be learnt about a refund.
    RefundFact, "refund fact" {
        /// The request is about to leave.
        Sent => "sent",
        /// Stripe has it and has not settled it.
        Pending => "pending",
        /// Stripe says it succeeded.
        Succeeded => "succeeded",
        /// Stripe refused it, or says it failed later.
        Failed => "failed",
        /// Stripe says it was withdrawn.
        Canceled => "canceled",
        /// Stripe was never asked, and is not to be.
        Withdrawn => "withdrawn",
    }
}

/// A fact that the status does not allow.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a {from} refund cannot become {fact}")]
pub struct Contradiction {
    /// What is known.
    pub from: RefundStatus,
    /// What was learnt.
    pub fact: RefundFact,
}

impl RefundStatus {
    /// The status once `fact` is known too. `succeeded` can still become `failed`, up to a month later; a failed or
    /// withdrawn refund never comes back: paying again is a new refund, or a new generation of this one.
    pub const fn learn(self, fact: RefundFact) -> Result<Self, Contradiction> {
        use RefundFact as F;
        Ok(match (self, fact) {
            (Self::Intended | Self::Sent, F::Sent) => Self::Sent,
            (Self::Intended | Self::Sent | Self::Pending, F::Pending) => Self::Pending,
            (Self::Intended | Self::Sent | Self::Pending | Self::Succeeded, F::Succeeded) => Self::Succeeded,
            (_, F::Failed) => Self::Failed,
            (Self::Intended | Self::Sent | Self::Pending | Self::Canceled, F::Canceled) => Self::Canceled,
            (Self::Intended | Self::Canceled, F::Withdrawn) => Self::Canceled,
            (Self::Succeeded, F::Pending) => Self::Succeeded,
            _ => return Err(Contradiction { from: self, fact }),
        })
    }

    /// Whether its amount counts against what can still be paid back.
    pub const fn holds_money(self) -> bool {
        !matches!(self, Self::Failed | Self::Canceled)
    }

    /// Whether Stripe has taken it, and it has not come to nothing since.
    pub const fn is_accepted(self) -> bool {
        matches!(self, Self::Pending | Self::Succeeded)
    }

    /// Whether it is wanted and not known to be at Stripe.
    pub const fn is_unconfirmed(self) -> bool {
        matches!(self, Self::Intended | Self::Sent)
    }
}

/// What is to be done next about a refund that is wanted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Move {
    /// Stripe was never asked: fix the request, then ask.
    Begin,
    /// Stripe may have it: read, and only then ask again.
    LookUp,
    /// Stripe has it.
    Done,
    /// It came to nothing.
    Over,
}

impl RefundStatus {
    /// What is to be done next.
    pub const fn next_move(self) -> Move {
        match self {
            Self::Intended => Move::Begin,
            Self::Sent => Move::LookUp,
            Self::Pending | Self::Succeeded => Move::Done,
            Self::Failed | Self::Canceled => Move::Over,
        }
    }
}

/// One intent to pay money back.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Refund {
    /// Our id.
    pub id: RefundId,
    /// The payment it is for.
    pub payment: PaymentId,
    /// 1 for the first refund of the payment.
    pub ordinal: u32,
    /// Grows after a definite, stored refusal, so that a mended request gets a key of its own.
    pub generation: u32,
    /// How much.
    pub amount: Money,
    /// Why, for Stripe and for people.
    pub reason: String,
    /// Who wanted it last.
    pub origin: RefundOrigin,
    /// Where it stands.
    pub status: RefundStatus,
    /// What Stripe's metadata carries, so that it can be found again: `<payment intent>/<ordinal>`.
    pub reference: String,
    /// The request body of this generation, sent the same to the byte on every try.
    pub request: Option<String>,
    /// When this generation was first sent; Stripe may forget its key 24 h later.
    pub sent_at: Option<Timestamp>,
    /// Stripe's id, `re_…`.
    pub stripe_refund_id: Option<String>,
    /// Why it failed.
    pub failure: Option<Failure>,
    /// When it was recorded.
    pub created_at: Timestamp,
    /// When Stripe settled it.
    pub settled_at: Option<Timestamp>,
}

impl Refund {
    /// The key Stripe stores the answer under: the same for every try of one generation, from whoever sends it.
    pub fn idempotency_key(&self) -> String {
        format!("refund/{}/{}", self.reference, self.generation)
    }

    /// What its key is good for.
    pub fn key(&self, now: Timestamp) -> Key {
        Key::of(self.sent_at, now)
    }
}

/// What Stripe has paid back, in minor units.
pub fn settled(refunds: &[Refund]) -> i64 {
    sum(refunds, |refund| refund.status == RefundStatus::Succeeded)
}

/// What Stripe has paid back or taken on to, in minor units.
pub fn accepted(refunds: &[Refund]) -> i64 {
    sum(refunds, |refund| refund.status.is_accepted())
}

/// What is wanted and not known to be at Stripe, in minor units.
pub fn unconfirmed(refunds: &[Refund]) -> i64 {
    sum(refunds, |refund| refund.status.is_unconfirmed())
}

/// What is back, on its way, or asked for by somebody, in minor units: a workflow's wish of which Stripe has not heard may still be
/// withdrawn.
pub fn beyond_recall(refunds: &[Refund]) -> i64 {
    let wish = |refund: &Refund| refund.status == RefundStatus::Intended && refund.origin == RefundOrigin::Workflow;
    sum(refunds, |refund| refund.status.holds_money() && !wish(refund))
}

fn sum(refunds: &[Refund], counts: impl Fn(&Refund) -> bool) -> i64 {
    refunds.iter().filter(|refund| counts(refund)).map(|refund| refund.amount.minor).sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_success_can_still_fail_but_a_failure_never_becomes_a_success() {
        assert_eq!(RefundStatus::Succeeded.learn(RefundFact::Failed), Ok(RefundStatus::Failed));
        assert!(RefundStatus::Failed.learn(RefundFact::Succeeded).is_err());
        assert!(RefundStatus::Canceled.learn(RefundFact::Sent).is_err());
    }

    #[test]
    fn a_late_pending_does_not_undo_a_success() {
        assert_eq!(RefundStatus::Succeeded.learn(RefundFact::Pending), Ok(RefundStatus::Succeeded));
    }
}

//! Payments: the canonical record of one checkout session, and how it may change.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::model::checkout::Checkout;
use crate::model::id::PaymentId;
use crate::model::money::Money;
use crate::model::time::Timestamp;
use crate::model::words;

words! {
    /// Where a payment stands. `booked`, `refunded` and `attention` are the three right ends of a paid session.
    PaymentStatus, "payment status" {
        /// The session is complete; a delayed method has not paid yet.
        Awaiting => "awaiting",
        /// The money is there (or none was due) and a run is on it.
        Paid => "paid",
        /// A live booking exists.
        Booked => "booked",
        /// The whole amount is on its way back; Stripe has not settled it.
        Refunding => "refunding",
        /// The whole amount is back.
        Refunded => "refunded",
        /// The delayed method did not pay, or a free session could not be booked. Nothing was taken.
        Failed => "failed",
        /// The session ran out unpaid. Nothing was taken.
        Expired => "expired",
        /// A person has to settle it: a case is open.
        Attention => "attention",
    }
}

words! {
    /// What may be learnt about a payment.
    PaymentFact, "payment fact" {
        /// Stripe says the session is complete and still unpaid.
        Unpaid => "unpaid",
        /// Stripe says the money is there, or that none is due.
        Paid => "paid",
        /// Stripe says the delayed method did not pay.
        PaymentFailed => "payment_failed",
        /// Stripe says the session ran out.
        Expired => "expired",
        /// A live booking exists.
        Booked => "booked",
        /// Stripe accepted a refund of the whole amount.
        RefundAccepted => "refund_accepted",
        /// Stripe paid the whole amount back.
        Refunded => "refunded",
        /// A refund that Stripe had accepted has failed, or was withdrawn.
        RefundFailed => "refund_failed",
        /// Nothing was due, and the session cannot be booked: there is nothing to pay back.
        NothingToRefund => "nothing_to_refund",
        /// A case was opened about it.
        CaseOpened => "case_opened",
        /// The only case about it has settled itself.
        CaseClosed => "case_closed",
        /// The live booking is gone, and a person decides about the money.
        CalledOff => "called_off",
    }
}

/// A fact that contradicts what is known; a person has to look.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a {from} payment cannot become {fact}")]
pub struct Contradiction {
    /// What is known.
    pub from: PaymentStatus,
    /// What was learnt.
    pub fact: PaymentFact,
}

impl PaymentFact {
    /// What refunds say of a payment, in minor units: so much is back, so much is back or on its way, so much was paid.
    pub const fn of_refunds(settled: i64, accepted: i64, paid: i64) -> Option<Self> {
        if settled >= paid {
            Some(Self::Refunded)
        } else if accepted >= paid {
            Some(Self::RefundAccepted)
        } else {
            None
        }
    }
}

impl PaymentStatus {
    /// The status once `fact` is known too. Facts may come twice and in any order: an older fact changes nothing.
    pub const fn learn(self, fact: PaymentFact) -> Result<Self, Contradiction> {
        use PaymentFact as F;
        Ok(match (self, fact) {
            (Self::Awaiting | Self::Failed | Self::Expired, F::Paid) | (Self::Attention, F::CaseClosed) => Self::Paid,
            (Self::Awaiting | Self::Expired, F::PaymentFailed) | (Self::Paid | Self::Attention, F::NothingToRefund) => {
                Self::Failed
            }
            (Self::Awaiting, F::Expired) => Self::Expired,
            (Self::Paid | Self::Attention, F::Booked) => Self::Booked,
            (Self::Paid | Self::Booked | Self::Attention, F::RefundAccepted) => Self::Refunding,
            (Self::Paid | Self::Booked | Self::Attention | Self::Refunding, F::Refunded) => Self::Refunded,
            (Self::Awaiting | Self::Failed | Self::Expired, F::Booked | F::RefundAccepted | F::Refunded)
            | (Self::Refunding | Self::Refunded, F::Booked) => return Err(Contradiction { from: self, fact }),
            (Self::Refunding | Self::Refunded, F::RefundFailed)
            | (Self::Booked, F::CalledOff)
            | (Self::Awaiting | Self::Paid | Self::Attention, F::CaseOpened) => Self::Attention,
            (
                _,
                F::Unpaid
                | F::Paid
                | F::PaymentFailed
                | F::Expired
                | F::RefundFailed
                | F::NothingToRefund
                | F::CaseOpened
                | F::CaseClosed
                | F::CalledOff,
            )
            | (Self::Booked, F::Booked)
            | (Self::Refunding | Self::Refunded, F::RefundAccepted)
            | (Self::Refunded, F::Refunded) => self,
        })
    }

    /// Whether money was taken and neither a booking, a refund nor a case accounts for it yet.
    pub const fn is_open(self) -> bool {
        matches!(self, Self::Paid | Self::Refunding)
    }

    /// Whether the whole of it is back with the customer, or on its way.
    pub const fn is_paid_back(self) -> bool {
        matches!(self, Self::Refunding | Self::Refunded)
    }
}

/// One checkout session and what became of it.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
pub struct Payment {
    /// Our id.
    pub id: PaymentId,
    /// Stripe's session, `cs_…`.
    pub session_id: String,
    /// Stripe's payment intent, `pi_…`; none if nothing was due.
    pub payment_intent: Option<String>,
    /// Where it stands.
    pub status: PaymentStatus,
    /// What was paid.
    pub amount: Money,
    /// Whether it is real money.
    pub livemode: bool,
    /// Where to write to the customer, as Stripe knows it.
    pub customer_email: Option<String>,
    /// What the session asks for; none if its metadata could not be used.
    pub checkout: Option<Checkout>,
    /// When the row was made.
    pub created_at: Timestamp,
    /// When the row last changed.
    pub updated_at: Timestamp,
}

impl Payment {
    /// The id by which providers know it, as [`Checkout::reference`] says.
    pub fn reference(&self) -> &str {
        self.payment_intent.as_deref().unwrap_or(&self.session_id)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::{prop, proptest};

    use super::*;

    #[test]
    fn paid_wins_over_unpaid_and_failed_in_either_order() {
        use PaymentFact as F;
        for order in [[F::Unpaid, F::Paid], [F::Paid, F::Unpaid]] {
            let end = order.iter().try_fold(PaymentStatus::Awaiting, |status, &fact| status.learn(fact));
            assert_eq!(end, Ok(PaymentStatus::Paid));
        }
        assert_eq!(PaymentStatus::Awaiting.learn(F::PaymentFailed), Ok(PaymentStatus::Failed));
        assert_eq!(PaymentStatus::Failed.learn(F::Unpaid), Ok(PaymentStatus::Failed));
    }

    #[test]
    fn nothing_is_booked_before_the_money_is_there() {
        for status in [PaymentStatus::Awaiting, PaymentStatus::Failed, PaymentStatus::Expired] {
            assert!(status.learn(PaymentFact::Booked).is_err(), "{status}");
        }
    }

    #[test]
    fn a_booking_after_the_refund_is_a_contradiction() {
        assert!(PaymentStatus::Refunded.learn(PaymentFact::Booked).is_err());
        assert!(PaymentStatus::Refunding.learn(PaymentFact::Booked).is_err());
    }

    proptest! {
        #[test]
        fn a_fact_told_twice_in_a_row_changes_nothing_more(
            facts in prop::collection::vec(prop::sample::select(PaymentFact::ALL), 0..12),
        ) {
            let mut status = PaymentStatus::Awaiting;
            for fact in facts {
                if let Ok(next) = status.learn(fact) {
                    assert_eq!(next.learn(fact), Ok(next), "{status} {fact}");
                    status = next;
                }
            }
        }
    }
}

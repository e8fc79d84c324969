//! What Stripe has of a payment at this moment, beside what is known here.

use serde::Serialize;

use crate::model::id::{PaymentId, RefundId};
use crate::model::money::Money;
use crate::model::refund;
use crate::provider::stripe::Stripe;
use crate::store::error::Error;
use crate::store::{Shared, Subject};

/// A payment intent with its charge and refunds.
#[derive(Debug, Clone, Serialize)]
pub struct AtStripe {
    /// `pi_…`
    pub intent: String,
    /// What it is for.
    pub amount: Money,
    /// What was paid, as the books here have it.
    pub known_amount: Money,
    /// `ch_…`
    pub charge: Option<String>,
    /// What Stripe has paid back.
    pub refunded: Money,
    /// What Stripe is known to have taken on to pay back, as the books here have it.
    pub known_refunded: Money,
    /// What is wanted beside that and not confirmed: Stripe may have paid it back or not.
    pub unconfirmed: Money,
    /// Whether the customer's bank disputes it.
    pub disputed: bool,
    /// The account that the charge moves a share to.
    pub destination: Option<String>,
    /// The refunds, the newest first.
    pub refunds: Vec<RefundAtStripe>,
}

impl AtStripe {
    /// Whether Stripe has paid back what the books cannot account for, or has not what they are sure of.
    pub fn refunds_differ(&self) -> bool {
        let known = self.known_refunded.minor;
        !(known..=known + self.unconfirmed.minor).contains(&self.refunded.minor)
    }
}

/// A refund as Stripe has it.
#[derive(Debug, Clone, Serialize)]
pub struct RefundAtStripe {
    /// `re_…`
    pub id: String,
    /// How much.
    pub amount: Money,
    /// Stripe's word.
    pub status: String,
    /// Why it failed, in Stripe's word.
    pub failure: Option<String>,
    /// Ours, if it is in the books.
    pub known: Option<RefundId>,
}

/// Reads the payment intent and its refunds.
pub async fn at_stripe(store: &Shared, stripe: &Stripe, id: PaymentId) -> Result<AtStripe, Error> {
    let story = store.story(Subject::Payment(id)).await?;
    let payment = story.payment.ok_or_else(|| Error::NotFound(id.to_string()))?;
    let Some(intent) = payment.payment_intent else {
        return Err(Error::Illegal(format!("{id} was free: stripe has no payment intent for it")));
    };
    let unread = |error: crate::provider::error::Error| {
        Error::Illegal(format!("stripe could not be read: {}", error.failure.message))
    };
    let read = stripe.payment_intent(&intent).await.map_err(unread)?;
    let refunds = stripe.refunds_of(&intent).await.map_err(unread)?;
    let money = |minor| Money::new(minor, payment.amount.currency);
    Ok(AtStripe {
        intent: read.id,
        amount: money(read.amount),
        known_amount: payment.amount,
        refunded: money(read.charge.as_ref().map_or(0, |charge| charge.amount_refunded)),
        known_refunded: money(refund::accepted(&story.refunds)),
        unconfirmed: money(refund::unconfirmed(&story.refunds)),
        disputed: read.charge.as_ref().is_some_and(|charge| charge.disputed),
        charge: read.charge.map(|charge| charge.id),
        destination: read.transfer_data.and_then(|transfer| transfer.destination),
        refunds: refunds
            .into_iter()
            .map(|refund| RefundAtStripe {
                known: (story.refunds.iter())
                    .find(|known| known.stripe_refund_id.as_deref() == Some(&refund.id))
                    .map(|known| known.id),
                amount: money(refund.amount),
                status: refund.status.unwrap_or_default(),
                failure: refund.failure_reason,
                id: refund.id,
            })
            .collect(),
    })
}

//! The plan of a refund: all that a person should know before they say yes.

use schemars::JsonSchema;
use serde::Serialize;

use crate::model::booking::Booking;
use crate::model::dispute;
use crate::model::id::{PaymentId, RefundId};
use crate::model::money::Money;
use crate::model::pause::{Pausable, PauseKind};
use crate::model::payment::PaymentStatus;
use crate::model::refund;
use crate::model::time::Timestamp;
use crate::model::transfer::TransferStatus;
use crate::observe::mask;
use crate::provider::ProviderName;
use crate::provider::stripe::Stripe;
use crate::store::change::REFUND_WORKFLOW;
use crate::store::error::Error;
use crate::store::order::{Deed, Order, RefundOrder};
use crate::store::{Shared, Story, Subject};

/// What a refund would do.
#[derive(Debug, Clone, Serialize, JsonSchema)]
pub struct Plan {
    /// The payment.
    pub payment: PaymentId,
    /// `pi_…`
    pub payment_intent: Option<String>,
    /// `live` or `test`.
    pub mode: &'static str,
    /// Where the payment stands.
    pub status: PaymentStatus,
    /// Whose payment it is, masked.
    pub customer: Option<String>,
    /// What was paid.
    pub paid: Money,
    /// What is paid back, on its way back, or wanted.
    pub refunded: Money,
    /// What of it is wanted and not confirmed by Stripe.
    pub unconfirmed: Money,
    /// What this pays back.
    pub amount: Money,
    /// The refund that is there already, if this is not a new one.
    pub existing: Option<RefundId>,
    /// Whether nobody is at work on it, and this carries it on: Stripe is asked first.
    pub carries_on: bool,
    /// What becomes of the mentor's share.
    pub share: String,
    /// What becomes of the session.
    pub session: String,
}

/// Finds out what an order would do. Nothing is written; an order that is not allowed is an error that says why.
pub async fn plan(
    store: &Shared,
    stripe: &Stripe,
    order: &RefundOrder,
    live: bool,
    now: Timestamp,
) -> Result<Plan, Error> {
    let story = store.story(Subject::Payment(order.payment)).await?;
    let payment = story.payment.clone().ok_or_else(|| Error::NotFound(order.payment.to_string()))?;
    if payment.livemode != live {
        let (its, ours) = if payment.livemode { ("live", "test") } else { ("test", "live") };
        return Err(Error::Illegal(format!("{} is a {its} payment and the keys are for {ours}", payment.id)));
    }
    let rehearsal = Order { actor: String::new(), reason: None, deed: Deed::Refund(order.clone()) };
    let performed = store.rehearse(rehearsal, now).await?;
    let done_before = performed.act.is_none();
    if !done_before {
        check_not_paused(store).await?;
    }
    let held = story.refunds.iter().filter(|refund| refund.status.holds_money());
    let refunded = Money::new(held.map(|refund| refund.amount.minor).sum(), payment.amount.currency);
    let left = Money::new(payment.amount.minor - refunded.minor, refunded.currency);
    let there = story.refunds.iter().find(|refund| Some(refund.id) == performed.refund);
    let existing = there.map(|refund| refund.id).or(performed.refund.filter(|_| done_before));
    let amount = there.map_or(order.amount.unwrap_or(left), |refund| refund.amount);
    let share = match &payment.payment_intent {
        Some(intent) if !done_before => share(stripe, intent, &story, amount, refunded).await?,
        _ => "nothing more happens to it".to_owned(),
    };
    Ok(Plan {
        payment: payment.id,
        mode: if payment.livemode { "live" } else { "test" },
        status: payment.status,
        customer: payment.customer_email.as_deref().map(mask::email),
        paid: payment.amount,
        session: session(&story.bookings, order.cancel_booking, now),
        payment_intent: payment.payment_intent,
        unconfirmed: Money::new(refund::unconfirmed(&story.refunds), refunded.currency),
        refunded,
        amount,
        existing,
        carries_on: existing.is_some() && !done_before,
        share,
    })
}

/// A refund that could not be carried out now is not begun: it would move the money whenever somebody ends the pause.
async fn check_not_paused(store: &Shared) -> Result<(), Error> {
    let holds = |what: &Pausable| match what.kind {
        PauseKind::Provider => what.name == ProviderName::Stripe.as_str(),
        PauseKind::Workflow => what.name == REFUND_WORKFLOW,
    };
    let Some(pause) = store.pauses().await?.into_iter().find(|pause| holds(&pause.what)) else { return Ok(()) };
    let why = pause.reason.map(|reason| format!(" ({reason})")).unwrap_or_default();
    let Pausable { kind, name } = &pause.what;
    Err(Error::Illegal(format!("{} has paused {kind}/{name}{why}: `discuno resume {name}` first", pause.actor)))
}

/// What Stripe's own record of the charge means for the mentor.
async fn share(stripe: &Stripe, intent: &str, story: &Story, amount: Money, refunded: Money) -> Result<String, Error> {
    let read = match stripe.payment_intent(intent).await {
        Ok(read) => read,
        Err(error) => return Ok(format!("not known: stripe could not be read ({})", error.failure.message)),
    };
    if let Some(charge) = &read.charge {
        if charge.disputed && !dispute::all_won(&story.disputes) {
            let why =
                format!("{intent} is disputed: a refund could pay the customer twice; answer the dispute in stripe");
            return Err(Error::Illegal(why));
        }
        if charge.amount_refunded > refunded.minor {
            let back = Money::new(charge.amount_refunded, amount.currency);
            let why = format!(
                "stripe has paid back {back} and the books know of {refunded}: `discuno backfill stripe` first"
            );
            return Err(Error::Illegal(why));
        }
    }
    let back = refunded.minor + amount.minor;
    let paid = story.payment.as_ref().map_or(amount, |payment| payment.amount);
    let mut made = story.transfers.iter().filter(|transfer| transfer.status == TransferStatus::Made);
    let moved = made.clone().next().is_some();
    let is_left = made.any(|transfer| transfer.reversed < paid.share_of(transfer.amount.minor, back));
    Ok(match (&read.transfer_data, is_left) {
        (Some(transfer), _) => {
            let mentor = transfer.destination.as_deref().unwrap_or("the mentor");
            format!("went to {mentor} with the charge: taken back in proportion")
        }
        (None, true) => "was moved; this does not take it back, and a case asks for it".to_owned(),
        (None, false) if moved => "was moved; what falls on this was taken back before".to_owned(),
        (None, false) => "has not moved; it is not transferred once all is refunded".to_owned(),
    })
}

fn session(bookings: &[Booking], cancel: bool, now: Timestamp) -> String {
    let Some(booking) = bookings.iter().find(|booking| booking.facts.status.is_live()) else {
        return "none stands".to_owned();
    };
    let facts = &booking.facts;
    match (cancel, facts.end > now) {
        (true, _) => format!("{} on {}: called off", facts.uid, facts.start),
        (false, true) => format!("{} on {} still stands, and is not called off with it", facts.uid, facts.start),
        (false, false) => format!("{} on {} is over", facts.uid, facts.start),
    }
}

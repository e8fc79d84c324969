//! Refunds that were made at Stripe: taken into our books, and told to the customer once.

use std::sync::Arc;

use serde::Deserialize;

use crate::engine::ctx::Ctx;
use crate::engine::policy::Policy;
use crate::engine::registry::{Outcome, Workflow};
use crate::ingress::stripe;
use crate::model::act::Act;
use crate::model::booking::Booking;
use crate::model::case::{CaseKind, NewCase};
use crate::model::failure::Failure;
use crate::model::money::Money;
use crate::model::payment::Payment;
use crate::model::refund::{Refund, RefundOrigin};
use crate::model::time::Timestamp;
use crate::store::Story;
use crate::store::change::{CHECKOUT_WORKFLOW, Change};
use crate::workflow::{Means, booking, letter, refund, refund_payment, settle, transfer};

/// Which refund.
#[derive(Deserialize)]
pub struct Input {
    refund: String,
}

/// Writes to the customer, unless the workflow that made the refund does.
pub struct TellOfRefund(pub Arc<Means>);

impl Workflow for TellOfRefund {
    const NAME: &'static str = stripe::TELL_OF_REFUND_WORKFLOW;
    type Input = Input;

    async fn run(&self, ctx: &Ctx, input: Input) -> Result<Outcome, Failure> {
        ctx.step("tell-customer", Policy::DEFAULT, async |step| {
            let read = self.0.payment_story(step.payment()?).await;
            let (payment, story) = read.map_err(|error| step.store_failure(error))?;
            let made = |refund: &&Refund| refund.stripe_refund_id.as_deref() == Some(&input.refund);
            let refund = story.refunds.iter().find(made).filter(|refund| refund.status.holds_money());
            let Some(refund) = refund else { return Ok(()) };
            if is_given_up(&story, refund) {
                step.also(refund_payment::carry_on(refund, calls_off(&story, refund)));
            }
            let live: Vec<&Booking> = story.bookings.iter().filter(|booking| booking.facts.status.is_live()).collect();
            let look = settle::look(&payment, !live.is_empty());
            if refund.origin != RefundOrigin::Stripe {
                // Whoever gave it up did not come to look for what Cal.com may still make of the request.
                if let Some(look) = look.filter(|_| has_given_up(&story)) {
                    step.also(look);
                }
                return Ok(());
            }
            let letter = letter::refund_made(&payment, &input.refund, refund.amount, refund.status, None);
            if let Some(letter) = letter {
                step.also(Change::Mail(letter));
            }
            if !payment.status.is_paid_back() {
                return Ok(());
            }
            step.also(Change::Cancel { workflow: transfer::NAME });
            if let Some(look) = look {
                step.also(look);
            }
            let standing = live.iter().find_map(|booking| still_booked(&payment, booking, refund, step.now()));
            if let Some(case) = standing {
                step.also(Change::OpenCase(case));
            }
            Ok(())
        })
        .await?;
        Ok("told")
    }
}

/// Whether an operator's refund was given up that Stripe has made all the same: what was to come after it is still to be done.
fn is_given_up(story: &Story, refund: &Refund) -> bool {
    refund_payment::last_run(story, refund).is_some_and(refund_payment::has_given_up)
}

/// Whether the checkout did not come to know that it was paid back.
fn has_given_up(story: &Story) -> bool {
    let mut checkouts = story.runs.iter().map(|(run, _)| run).filter(|run| run.workflow == CHECKOUT_WORKFLOW);
    checkouts.any(refund_payment::has_given_up)
}

fn calls_off(story: &Story, refund: &Refund) -> bool {
    refund_payment::orders(story, refund).any(Act::calls_off)
}

/// A session that was to come when its payment was refunded at Stripe: nobody can tell whether it is to take place all the same.
pub(super) fn still_booked(payment: &Payment, booking: &Booking, refund: &Refund, now: Timestamp) -> Option<NewCase> {
    // By when that was heard of, not by when this comes to be carried out, and by whichever clock was behind: what was to come must not
    // go unsaid.
    let is_to_come = !booking.host_absent && now.min(refund.created_at) < booking.facts.end;
    let uid = &booking.facts.uid;
    is_to_come.then(|| NewCase {
        kind: CaseKind::BookingAfterRefund,
        cause: booking::refunded_cause(uid),
        summary: format!("{} was refunded at Stripe, and the session still stands in the calendar", payment.amount),
        detail: format!("booking {uid}: call it off in Cal.com, or close this if it is to take place"),
        at_risk: Some(payment.amount),
    })
}

/// Reads a payment's refunds from Stripe.
pub struct ReadRefunds(pub Arc<Means>);

impl Workflow for ReadRefunds {
    const NAME: &'static str = stripe::READ_REFUNDS_WORKFLOW;
    type Input = Option<()>;

    async fn run(&self, ctx: &Ctx, _: Option<()>) -> Result<Outcome, Failure> {
        ctx.step("read-refunds", Policy::MONEY, async |step| {
            let payment = self.0.store.payment(step.payment()?).await.map_err(|error| step.store_failure(error))?;
            let Some(intent) = &payment.payment_intent else { return Ok(()) };
            for found in self.0.providers.stripe.refunds_of(intent).await? {
                let amount = Money::new(found.amount, payment.amount.currency);
                for change in refund::adopted(&found, amount) {
                    step.also(change);
                }
            }
            Ok(())
        })
        .await?;
        Ok("read")
    }
}

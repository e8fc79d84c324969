//! After a session was given up: looks for a booking that Cal.com made of a request thought lost, and calls it off.

use std::sync::Arc;
use std::time::Duration;

use crate::engine::ctx::Ctx;
use crate::engine::policy::Policy;
use crate::engine::registry::{Outcome, Workflow};
use crate::model::case::NewCase;
use crate::model::checkout::Checkout;
use crate::model::failure::Failure;
use crate::model::payment::{Payment, PaymentStatus};
use crate::mutant::{Mutant, is_out};
use crate::store::Story;
use crate::store::change::{Change, NewRun, SETTLE_WORKFLOW};
use crate::workflow::{Means, booking};

/// The workflow's name.
pub const NAME: &str = SETTLE_WORKFLOW;

/// How long between two looks, the first of which is when the run is due.
const BETWEEN: Duration = Duration::from_secs(3600);

/// Looks for late bookings of a session that was paid back, or was free and could not be booked.
pub struct SettleCheck(pub Arc<Means>);

impl Workflow for SettleCheck {
    const NAME: &'static str = NAME;
    type Input = Checkout;

    async fn run(&self, ctx: &Ctx, order: Checkout) -> Result<Outcome, Failure> {
        let mut outcome = "nothing_found";
        for look in 0..=self.0.settle_for.as_secs() / BETWEEN.as_secs() {
            if look > 0 {
                ctx.sleep("wait", BETWEEN).await;
            }
            let found = ctx
                .step("look-for-booking", Policy::MONEY, async |step| {
                    let read = self.0.payment_story(step.payment()?).await;
                    let (payment, story) = read.map_err(|error| step.store_failure(error))?;
                    if !is_given_up(&payment) {
                        return Ok(None);
                    }
                    let found = booking::find(&self.0.providers.cal, &order).await?;
                    Ok(found.filter(|standing| !is_asked_about(&story, &standing.booking.uid)).map(|standing| {
                        standing.before.into_iter().for_each(|moved| step.also(Change::Booking(moved)));
                        standing.booking
                    }))
                })
                .await?;
            let Some(found) = found.filter(|_| !is_out(Mutant::SettleCheck)) else { continue };
            tracing::warn!(
                tag = "SideEffects", event = "late_booking_found", runId = %ctx.run().id, sessionId = order.session_id,
            );
            let cancelled = ctx
                .step("cancel-late-booking", Policy::MONEY, async |step| {
                    let free = order.payment_intent.is_none();
                    let reason =
                        if free { "The session was given up." } else { "The payment for this session was refunded." };
                    booking::call_off(&self.0.providers.cal, &step, &found, reason).await
                })
                .await;
            if let Err(failure) = cancelled {
                let case = booking_after_refund(&order, &found.uid, &failure);
                ctx.commit("alert-admin", vec![Change::OpenCase(case)]).await?;
                return Ok("case_opened");
            }
            outcome = "late_booking_cancelled";
        }
        Ok(outcome)
    }
}

/// A refund may have failed since, and the session be wanted again.
fn is_given_up(payment: &Payment) -> bool {
    payment.status.is_paid_back() || (payment.payment_intent.is_none() && payment.status == PaymentStatus::Failed)
}

/// Whether a person was asked if the session is to take place all the same, whatever they said.
pub(super) fn is_asked_about(story: &Story, uid: &str) -> bool {
    let cause = booking::refunded_cause(uid);
    story.cases.iter().any(|case| case.cause == cause)
}

/// Looks, from now on, for a session of what is paid back where none `stands`: one may still turn up of a request thought lost.
pub(super) fn look(payment: &Payment, stands: bool) -> Option<Change> {
    let may_come = payment.status.is_paid_back() && !stands && payment.checkout.is_some();
    may_come.then(|| Change::Start(NewRun::on_subject(NAME)))
}

fn booking_after_refund(order: &Checkout, uid: &str, failure: &Failure) -> NewCase {
    let at_risk = order.payment_intent.as_ref().map(|_| order.amount);
    let summary = match at_risk {
        None => "the session was given up, and yet it stands in the calendar".to_owned(),
        Some(amount) => format!("{amount} was paid back, and yet the session stands in the calendar"),
    };
    booking::still_stands(uid, summary, at_risk, failure)
}

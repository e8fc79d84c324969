//! After a session was given up: looks for a booking that Cal.com made of a request thought lost, and calls it off.

use std::sync::Arc;
use std::time::Duration;

use crate::engine::ctx::Ctx;
use crate::engine::policy::Policy;
use crate::engine::registry::{Outcome, Workflow};
use crate::model::booking::BookingStatus;
use crate::model::case::{CaseKind, NewCase};
use crate::model::checkout::Checkout;
use crate::model::failure::Failure;
use crate::mutant::{Mutant, is_out};
use crate::store::change::Change;
use crate::workflow::{Means, booking};

/// The workflow's name.
pub const NAME: &str = "settle-check";

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
                    let found = booking::find(&self.0.providers.cal, &order).await?;
                    Ok(found.map(|standing| {
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
                    self.0.providers.cal.cancel_booking(&found.uid, reason).await?;
                    let mut gone = found.clone();
                    gone.status = BookingStatus::Cancelled;
                    step.also(Change::Booking(gone));
                    Ok(())
                })
                .await;
            if let Err(failure) = cancelled {
                ctx.commit("alert-admin", vec![Change::OpenCase(booking_after_refund(&order, &failure))]).await?;
                return Ok("case_opened");
            }
            outcome = "late_booking_cancelled";
        }
        Ok(outcome)
    }
}

fn booking_after_refund(order: &Checkout, failure: &Failure) -> NewCase {
    NewCase {
        kind: CaseKind::BookingAfterRefund,
        cause: format!("booking_after_refund/{}", order.reference()),
        summary: if order.payment_intent.is_none() {
            "the session was given up, and yet it stands in the calendar".to_owned()
        } else {
            format!("{} was paid back, and yet the session stands in the calendar", order.amount)
        },
        detail: format!("session {}; cancelling it failed: {} ({})", order.session_id, failure.code, failure.message),
        at_risk: order.payment_intent.as_ref().map(|_| order.amount),
    }
}

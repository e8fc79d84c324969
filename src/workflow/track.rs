//! Captures at `PostHog`, in a run of their own where the first try did not get through.

use std::sync::Arc;

use serde_json::{Value, json};

use crate::engine::ctx::Ctx;
use crate::engine::policy::Policy;
use crate::engine::registry::{Outcome, Workflow};
use crate::model::capture::{Capture, fixed_uuid};
use crate::model::checkout::Checkout;
use crate::model::failure::Failure;
use crate::store::change::{Change, NewRun, TRACK_WORKFLOW};
use crate::workflow::Means;

/// Sends one capture, for hours if it must be.
pub struct TrackEvent(pub Arc<Means>);

impl Workflow for TrackEvent {
    const NAME: &'static str = TRACK_WORKFLOW;
    type Input = Capture;

    async fn run(&self, ctx: &Ctx, capture: Capture) -> Result<Outcome, Failure> {
        let sent = ctx.step("capture", Policy::MAIL, async |_| send(&self.0, &capture).await).await;
        Ok(if sent.is_ok() { "captured" } else { "given_up" })
    }
}

/// Sends a capture; without a project nothing is to be done.
pub(super) async fn send(means: &Means, capture: &Capture) -> Result<(), Failure> {
    match &means.providers.posthog {
        Some(posthog) => posthog.capture(capture).await.map_err(Failure::from),
        None => Ok(()),
    }
}

/// A run that sends `capture`, once for ever.
pub(super) fn later(capture: &Capture) -> Change {
    Change::Start(NewRun::capture(capture))
}

/// The mentor's takings, counted under the mentor's id.
pub(super) fn payment_succeeded(order: &Checkout) -> Capture {
    let properties = json!({
        "sessionId": order.session_id,
        "paymentIntentId": order.payment_intent,
        "amount": order.amount.minor,
        "currency": order.amount.currency.code().to_ascii_lowercase(),
        "mentorFee": order.mentor_fee,
        "mentorAmount": order.mentor_amount,
        "customerEmail": order.attendee.email,
    });
    let properties = match properties {
        Value::Object(map) => map,
        _ => serde_json::Map::new(),
    };
    Capture {
        event: "payment_succeeded".to_owned(),
        distinct_id: order.mentor_user_id.clone(),
        uuid: fixed_uuid(&format!("payment_succeeded/{}", order.session_id)),
        timestamp: order.paid_at,
        properties,
    }
}

//! An event that is kept, understood anew from its bytes.

use bytes::Bytes;
use serde_json::value::RawValue;

use crate::ingress::{Rejected, app, cal, stripe};
use crate::model::event::{Event, Source, Via};
use crate::store::change::Plan;

/// What follows from it, as this program understands it. `counted` names application events that are counted besides the
/// usual ones.
pub fn plan(event: &Event, body: Bytes, counted: &[String], live: bool) -> Result<Plan, Rejected> {
    match event.source {
        Source::Stripe => stripe::plan(body, Via::Webhook, live),
        Source::StripeConnect => stripe::plan_connect(body, Via::Webhook, live),
        Source::Cal => cal::plan(body, Via::Webhook, live, event.received_at),
        Source::App => {
            let raw = serde_json::from_slice::<Box<RawValue>>(&body);
            let raw = raw.map_err(|error| Rejected::Malformed(error.to_string()))?;
            app::plan(&raw, &event.external_id, counted, live, event.received_at)
        }
    }
}

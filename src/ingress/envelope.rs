//! What all of Stripe's events have in common.

use bytes::Bytes;
use serde::Deserialize;
use serde_json::Value;
use serde_json::value::RawValue;

use crate::ingress::{Meaning, Rejected, Told, sha256};
use crate::model::event::{Disposition, Source, Via};
use crate::model::time::Timestamp;
use crate::mutant::{Mutant, is_out};
use crate::store::change::{NewEvent, Plan};

#[derive(Deserialize)]
struct Envelope<'a> {
    id: String,
    #[serde(rename = "type")]
    kind: String,
    created: Value,
    #[serde(default)]
    livemode: bool,
    #[serde(default)]
    account: Option<String>,
    #[serde(default, borrow)]
    data: Option<Data<'a>>,
}

#[derive(Deserialize)]
struct Data<'a> {
    #[serde(borrow)]
    object: Option<&'a RawValue>,
}

/// Reads an event and asks `meaning` what follows, unless it belongs to the other mode.
pub(super) fn read(
    source: Source,
    body: Bytes,
    via: Via,
    live: bool,
    meaning: impl FnOnce(&Told<'_>) -> Meaning,
) -> Result<Plan, Rejected> {
    let raw = body.clone();
    let envelope: Envelope<'_> =
        serde_json::from_slice(&raw).map_err(|error| Rejected::Malformed(error.to_string()))?;
    if envelope.id.is_empty() || envelope.id.len() > 255 {
        return Err(Rejected::Malformed("the event id is empty or longer than 255 characters".to_owned()));
    }
    let at = instant(&envelope.created);
    let Meaning { disposition, reason, changes } = if envelope.livemode == live || is_out(Mutant::Mode) {
        meaning(&Told {
            kind: &envelope.kind,
            object: envelope.data.and_then(|data| data.object),
            account: envelope.account.as_deref(),
            at,
            live,
        })
    } else {
        let reason = if live { "a test event at a live deployment" } else { "a live event at a test deployment" };
        Meaning { disposition: Disposition::Quarantined, ..Meaning::none(reason) }
    };
    let event = NewEvent {
        source,
        external_id: envelope.id,
        kind: envelope.kind,
        livemode: envelope.livemode,
        created_at: at,
        via,
        disposition,
        reason,
        headers: None,
        body_sha256: sha256(&body),
        body,
    };
    Ok(Plan { event, changes })
}

/// Unix seconds, or the text form of a v2 event.
fn instant(value: &Value) -> Timestamp {
    value
        .as_i64()
        .map(Timestamp::from_secs)
        .or_else(|| value.as_str().and_then(|text| text.parse().ok()))
        .unwrap_or(Timestamp(0))
}

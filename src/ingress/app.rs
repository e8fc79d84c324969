//! The application's own events, in the shape that Inngest's SDKs send (inngest.com/docs/reference/system-events).

use bytes::Bytes;
use serde::Deserialize;
use serde_json::value::RawValue;
use serde_json::{Value, json};

use crate::ingress::stripe::CHECKOUT_WORKFLOW;
use crate::ingress::{Meaning, Rejected, sha256, text};
use crate::model::capture::Capture;
use crate::model::event::{Source, Via};
use crate::model::time::Timestamp;
use crate::store::change::{Change, NewEvent, NewRun, PaymentKey, Plan};

/// The workflow that makes a new user known.
pub const USER_SIGNED_UP_WORKFLOW: &str = "user-signed-up";

/// The longest name, in bytes.
const LONGEST_NAME: usize = 512;
/// The largest event, in bytes.
const LARGEST: usize = 512 * 1024;
/// Names that are counted as they come.
const COUNTED: [&str; 4] = ["profile_updated", "mentor_review_submitted", "payout_completed", "booking_rescheduled"];
/// Where an event may say whose it is.
const PERSON: [&str; 6] = ["userId", "user_id", "mentorUserId", "distinctId", "distinct_id", "id"];
/// Accounts that nobody owns: the application makes them for visitors.
const ANONYMOUS: &str = "@discuno.com";

#[derive(Deserialize)]
struct Event {
    name: String,
    #[serde(default)]
    data: Value,
    #[serde(default)]
    id: Option<String>,
    #[serde(default)]
    ts: Option<Value>,
    #[serde(default)]
    user: Value,
}

/// One event, an array of events, or one after another.
pub fn split(body: &[u8]) -> Result<Vec<Box<RawValue>>, Rejected> {
    let malformed = |error: serde_json::Error| Rejected::Malformed(error.to_string());
    let first = body.iter().find(|byte| !byte.is_ascii_whitespace());
    if first == Some(&b'[') {
        return serde_json::from_slice(body).map_err(malformed);
    }
    let events: Vec<Box<RawValue>> =
        serde_json::Deserializer::from_slice(body).into_iter().collect::<Result<_, _>>().map_err(malformed)?;
    if events.is_empty() { Err(Rejected::Malformed("the body is empty".to_owned())) } else { Ok(events) }
}

/// What one event means. `given` is the id it gets if it brings none; `counted` names what else is to be counted.
pub fn plan(raw: &RawValue, given: &str, counted: &[String], live: bool, now: Timestamp) -> Result<Plan, Rejected> {
    let malformed = |why: &str| Rejected::Malformed(why.to_owned());
    if raw.get().len() > LARGEST {
        return Err(malformed("the event is larger than 512 KB"));
    }
    let event: Event = serde_json::from_str(raw.get()).map_err(|error| Rejected::Malformed(error.to_string()))?;
    if event.name.trim().is_empty() {
        return Err(malformed("the event has no name"));
    }
    if event.name.len() > LONGEST_NAME {
        return Err(malformed("the event's name is longer than 512 bytes"));
    }
    if event.name.starts_with("inngest/") {
        return Err(malformed("names that begin with inngest/ are reserved"));
    }
    if !(event.data.is_object() || event.data.is_null()) {
        return Err(malformed("the event's data is not an object"));
    }
    let external_id = event.id.clone().filter(|id| !id.is_empty()).unwrap_or_else(|| given.to_owned());
    if external_id.len() > 255 {
        return Err(malformed("the event's id is longer than 255 characters"));
    }
    let at = event.ts.as_ref().and_then(Value::as_i64).filter(|millis| *millis > 0).map_or(now, Timestamp);
    let body = Bytes::copy_from_slice(raw.get().as_bytes());
    let Meaning { disposition, reason, changes } = meaning(&event, &external_id, counted, at);
    let event = NewEvent {
        source: Source::App,
        external_id,
        kind: event.name,
        livemode: live,
        created_at: at,
        via: Via::Webhook,
        disposition,
        reason,
        headers: None,
        body_sha256: sha256(&body),
        body,
    };
    Ok(Plan { event, changes })
}

fn meaning(event: &Event, reference: &str, counted: &[String], at: Timestamp) -> Meaning {
    let name = event.name.as_str();
    match name {
        "user_signed_up" => signed_up(event, reference, at),
        "stripe/checkout.cancelled" => match text(&event.data, "sessionId") {
            Some(session) => Meaning::changes(vec![
                Change::About(PaymentKey::Session(session.to_owned())),
                Change::Cancel { workflow: CHECKOUT_WORKFLOW },
            ]),
            None => Meaning::none("it names no session"),
        },
        _ if COUNTED.contains(&name) || counted.iter().any(|known| known == name) => {
            let capture = Capture::of(name, person(event), reference, at, event.data.clone());
            capture.map_or_else(
                || Meaning::none("it names nobody to count it for"),
                |capture| Meaning::changes(vec![Change::Start(NewRun::capture(&capture))]),
            )
        }
        _ => Meaning::none("a name without consequences here"),
    }
}

fn signed_up(event: &Event, reference: &str, at: Timestamp) -> Meaning {
    let (data, user) = (&event.data, person(event));
    let email = text(data, "email").or_else(|| text(&event.user, "email")).unwrap_or_default();
    if email.contains(ANONYMOUS) {
        return Meaning::none("an anonymous visitor");
    }
    let created_at = text(data, "createdAt").and_then(|text| text.parse().ok()).unwrap_or(at);
    let has_image =
        data["hasImage"].as_bool().unwrap_or_else(|| text(data, "image").is_some_and(|url| !url.is_empty()));
    let identify = json!({
        "$set": { "email": email, "name": text(data, "name") },
        "$set_once": { "createdAt": created_at.to_string() },
    });
    let signed_up = json!({ "email": email, "name": text(data, "name"), "hasImage": has_image });
    let identify = Capture::of("$identify", user, reference, at, identify);
    let signed_up = Capture::of("user_signed_up", user, reference, at, signed_up);
    let (Some(identify), Some(signed_up)) = (identify, signed_up) else {
        return Meaning::none("it names nobody to count it for");
    };
    let input = json!({ "identify": identify, "signed_up": signed_up });
    Meaning::changes(vec![Change::Start(NewRun::with_input(USER_SIGNED_UP_WORKFLOW, signed_up.uuid, input))])
}

fn person(event: &Event) -> Option<&str> {
    let places = [&event.data, &event.data["user"], &event.user];
    places
        .into_iter()
        .flat_map(|place| PERSON.iter().filter_map(|key| text(place, key)))
        .chain(text(&event.user, "external_id"))
        .find(|id| !id.trim().is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn one(text: &str) -> Result<Plan, Rejected> {
        plan(&split(text.as_bytes())?[0], "given", &["listed".to_owned()], false, Timestamp(7))
    }

    #[test]
    fn one_many_and_a_stream_are_read_alike() {
        let event = r#"{"name":"a","data":{}}"#;
        for (body, count) in [
            (event.to_owned(), 1),
            (format!("[{event},{event}]"), 2),
            (format!("{event}\n{event} {event}"), 3),
            ("[]".to_owned(), 0),
        ] {
            assert_eq!(split(body.as_bytes()).unwrap().len(), count, "{body}");
        }
        for bad in ["", "  ", "{", "[{]", "nonsense"] {
            assert!(split(bad.as_bytes()).is_err(), "{bad}");
        }
    }

    #[test]
    fn a_broken_event_is_refused_and_an_unknown_one_kept() {
        let long = format!(r#"{{"name":"{}"}}"#, "n".repeat(513));
        for bad in [
            r#"{"data":{}}"#,
            r#"{"name":""}"#,
            r#"{"name":7}"#,
            r#"{"name":"inngest/function.failed"}"#,
            r#"{"name":"a","data":[1]}"#,
            &long,
        ] {
            assert!(one(bad).is_err(), "{bad}");
        }
        let kept = one(r#"{"name":"anything","data":{"userId":"u"},"v":"2","more":true}"#).unwrap();
        assert!(kept.changes.is_empty() && kept.event.external_id == "given");
        assert_eq!(one(r#"{"name":"a","id":"mine","ts":9}"#).unwrap().event.external_id, "mine");
    }

    #[test]
    fn what_is_listed_is_counted_for_whom_it_names() {
        for (body, counted) in [
            (r#"{"name":"listed","data":{"userId":"u"}}"#, true),
            (r#"{"name":"profile_updated","data":{"user":{"id":"u"}}}"#, true),
            (r#"{"name":"profile_updated","data":{},"user":{"external_id":"u"}}"#, true),
            (r#"{"name":"profile_updated","data":{"userId":"undefined"}}"#, false),
            (r#"{"name":"user_signed_up","data":{"userId":"u","email":"a@example.edu"}}"#, true),
            (r#"{"name":"user_signed_up","data":{"userId":"u","email":"anon-1@discuno.com"}}"#, false),
        ] {
            assert_eq!(!one(body).unwrap().changes.is_empty(), counted, "{body}");
        }
    }
}

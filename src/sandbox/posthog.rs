//! `PostHog`'s capture.

use std::collections::BTreeMap;
use std::time::Duration;

use serde_json::Value;

use crate::entropy::Entropy;
use crate::model::time::Timestamp;
use crate::sandbox::answer::Answer;
use crate::sandbox::call::Call;
use crate::sandbox::fault::{Effect, Provider};
use crate::sandbox::ledger::{Capture, PosthogLedger};
use crate::sandbox::log::Log;
use crate::sandbox::stand_in::StandIn;
use crate::sandbox::tag::tagged;

const DAY: i64 = 24 * 3600;
const FUTURE: Duration = Duration::from_hours(23);
const SINGLE_LIMIT: usize = 2 * 1024 * 1024;

/// What must agree for two events to be one.
type Identity = (i64, String, String, String);

/// `PostHog`.
#[derive(Debug)]
pub(super) struct Posthog {
    events: BTreeMap<Identity, Capture>,
    received: u64,
    entropy: Entropy,
    log: Log,
}

impl Posthog {
    pub(super) fn new(entropy: Entropy) -> Self {
        Self { events: BTreeMap::new(), received: 0, entropy, log: Log::default() }
    }

    pub(super) fn ledger(&self) -> PosthogLedger {
        PosthogLedger {
            events: self.events.values().cloned().collect(),
            received: self.received,
            requests: self.log.requests(),
            request_count: self.log.count(),
        }
    }

    /// Reads one event; the message says what is wrong with it.
    fn read(&self, item: &Value, now: Timestamp) -> Result<Capture, &'static str> {
        let event = item["event"]
            .as_str()
            .filter(|event| !event.is_empty())
            .ok_or("event submitted with an empty event name")?;
        let properties = item.get("properties").cloned().unwrap_or_else(|| Value::Object(serde_json::Map::new()));
        let person = item.get("distinct_id").or_else(|| properties.get("distinct_id"));
        let distinct_id = match person {
            Some(Value::String(id)) => id.chars().take(200).collect(),
            Some(Value::Number(id)) => id.to_string(),
            _ => String::new(),
        };
        if distinct_id.is_empty() {
            return Err("event submitted without a distinct_id");
        }
        let uuid = match item["uuid"].as_str().filter(|uuid| !uuid.is_empty()) {
            Some(uuid) if is_uuid(uuid) => uuid.to_ascii_lowercase(),
            Some(_) => return Err("failed to parse request: invalid uuid"),
            None => new_uuid(&self.entropy),
        };
        let sent = item["timestamp"].as_str().and_then(|text| text.parse().ok());
        let timestamp = sent.filter(|sent| *sent <= now.plus(FUTURE)).unwrap_or(now);
        Ok(Capture { uuid, event: event.to_owned(), distinct_id, timestamp, properties })
    }

    fn capture(&mut self, call: &Call) -> Answer {
        let Some(body) = call.json() else {
            return Answer::text(400, "failed to decode request: invalid JSON");
        };
        let items = items(body);
        let keys = std::iter::once(body).chain(items.iter().copied());
        let mut keys =
            keys.filter_map(|item| ["api_key", "token", "$token"].iter().find_map(|name| item[*name].as_str()));
        let Some(key) = keys.next() else { return Answer::text(401, "API key missing") };
        if !key.starts_with("phc_") {
            let kind = if key.starts_with("phx_") { "personal_api_key" } else { "not_a_project_key" };
            return Answer::text(401, &format!("API key is not valid: {kind}"));
        }
        if keys.any(|other| other != key) {
            return Answer::text(401, "API keys are inconsistent");
        }
        if items.is_empty() {
            return Answer::text(400, "request holds no event");
        }
        let read: Result<Vec<Capture>, _> = items.iter().map(|item| self.read(item, call.at)).collect();
        let read = match read {
            Ok(read) => read,
            Err(message) => return Answer::text(400, message),
        };
        for capture in read {
            self.received += 1;
            let day = capture.timestamp.as_secs().div_euclid(DAY);
            let identity = (day, capture.event.clone(), capture.distinct_id.clone(), capture.uuid.clone());
            self.events.insert(identity, capture);
        }
        Answer::json(200, &serde_json::json!({ "status": "Ok" }))
    }
}

/// The events of a body: a batch, an array, or one.
fn items(body: &Value) -> Vec<&Value> {
    match (body.get("batch"), body) {
        (Some(Value::Array(batch)), _) | (None, Value::Array(batch)) => batch.iter().collect(),
        (None, Value::Object(_)) => vec![body],
        _ => Vec::new(),
    }
}

fn is_uuid(text: &str) -> bool {
    text.len() == 36
        && text.bytes().enumerate().all(|(index, byte)| match index {
            8 | 13 | 18 | 23 => byte == b'-',
            _ => byte.is_ascii_hexdigit(),
        })
}

/// A version 4 UUID.
pub(super) fn new_uuid(entropy: &Entropy) -> String {
    let hex = entropy.hex(30);
    format!("{}-{}-4{}-8{}-{}", &hex[..8], &hex[8..12], &hex[12..15], &hex[15..18], &hex[18..])
}

impl StandIn for Posthog {
    const PROVIDER: Provider = Provider::Posthog;

    fn operation(&self, call: &Call) -> &'static str {
        match (call.method.as_str(), call.segments().as_slice()) {
            ("POST", ["i", "v0", "e"] | ["e" | "capture" | "batch"]) => "capture",
            _ => "unknown",
        }
    }

    fn magic(&mut self, operation: &str, call: &Call) -> Option<Effect> {
        let body = call.json().filter(|_| operation == "capture")?;
        let down = |item: &&Value| {
            item["properties"]["customerEmail"].as_str().is_some_and(|email| tagged(email, "posthog-down"))
        };
        items(body).iter().any(down).then_some(Effect::ErrorBefore { status: 503 })
    }

    fn act(&mut self, call: &Call) -> Answer {
        if self.operation(call) == "unknown" {
            return Answer::text(404, "not found");
        }
        if call.segment(0) != "batch" && call.body.len() > SINGLE_LIMIT {
            return Self::trouble(413);
        }
        self.capture(call)
    }

    fn refusal(status: u16, _: &str, message: &str) -> Answer {
        Answer::text(status, message)
    }

    fn trouble(status: u16) -> Answer {
        let message = match status {
            413 => "request is too large",
            429 => "rate limited",
            _ => "transient error, please retry",
        };
        Answer::text(status, message)
    }

    fn log(&mut self) -> &mut Log {
        &mut self.log
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use crate::sandbox::trial::Trial;

    fn event() -> Value {
        json!({"api_key": "phc_test", "event": "payment_succeeded", "distinct_id": "u1",
            "uuid": "0193f5e2-7b1a-7c3d-8e4f-5a6b7c8d9e0f", "timestamp": "2026-11-05T09:00:00.000Z", "properties": {}})
    }

    #[tokio::test(start_paused = true)]
    async fn an_event_sent_twice_is_kept_once() {
        let trial = Trial::new();
        trial.post_json("/posthog/i/v0/e/", &event(), &[]).await;
        let batch = json!({"api_key": "phc_test", "batch": [event()], "sent_at": "2026-11-05T10:00:00Z"});
        assert_eq!(Trial::json(&trial.post_json("/posthog/batch", &batch, &[]).await), json!({"status": "Ok"}));
        let mut next_day = event();
        next_day["timestamp"] = json!("2026-11-04T23:59:59Z");
        trial.post_json("/posthog/i/v0/e", &next_day, &[]).await;
        let books = trial.sandbox.ledger().posthog;
        assert_eq!((books.events.len(), books.received), (2, 3));
    }

    #[tokio::test(start_paused = true)]
    async fn a_capture_without_key_name_or_person_is_refused() {
        let trial = Trial::new();
        for (field, value, status) in [
            ("api_key", json!("phx_test"), 401),
            ("api_key", json!(null), 401),
            ("event", json!(""), 400),
            ("distinct_id", json!(""), 400),
            ("uuid", json!("not-a-uuid"), 400),
            ("properties", json!({"customerEmail": "zoe+posthog-down@example.edu"}), 503),
        ] {
            let mut bad = event();
            bad[field] = value;
            assert_eq!(trial.post_json("/posthog/i/v0/e/", &bad, &[]).await.status, status, "{field}");
        }
        assert!(trial.sandbox.ledger().posthog.events.is_empty());
    }
}

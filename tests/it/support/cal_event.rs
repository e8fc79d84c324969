//! Cal.com's events, made from samples.

use serde_json::{Value, json};

use crate::support::Event;

/// An event to be sent.
#[derive(Clone)]
pub(crate) struct CalEvent(pub(crate) Value);

impl CalEvent {
    /// As recorded.
    pub(crate) fn sample(name: &str) -> Self {
        let path = format!("{}/tests/fixtures/cal/{name}.json", env!("CARGO_MANIFEST_DIR"));
        Self(serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap())
    }

    /// The same of the booking that the sandbox makes for this purchase.
    pub(crate) fn about(mut self, purchase: &Event) -> Self {
        let session = &purchase.0["data"]["object"];
        let reference = session["payment_intent"].as_str().or_else(|| session["id"].as_str()).unwrap();
        let uid = format!("uid-{reference}");
        let payload = self.payload();
        let key = if payload.contains_key("bookingUid") { "bookingUid" } else { "uid" };
        payload.insert(key.to_owned(), json!(uid));
        let event_type: i64 = session["metadata"]["eventTypeId"].as_str().unwrap().parse().unwrap();
        payload.insert("eventTypeId".to_owned(), json!(event_type));
        payload.insert("metadata".to_owned(), json!({ "paymentId": reference, "mentorUserId": "mentor-of-sample" }));
        for (key, extra) in [("startTime", 0), ("endTime", 30 * 60_000)] {
            let start: discuno::model::time::Timestamp =
                session["metadata"]["startTime"].as_str().unwrap().parse().unwrap();
            payload.insert(key.to_owned(), json!(discuno::model::time::Timestamp(start.0 + extra).to_string()));
        }
        payload
            .insert("attendees".to_owned(), json!([{ "email": session["metadata"]["attendeeEmail"], "name": "Zoë" }]));
        self
    }

    pub(crate) fn payload(&mut self) -> &mut serde_json::Map<String, Value> {
        let root = self.0.as_object_mut().unwrap();
        if root.contains_key("payload") { root["payload"].as_object_mut().unwrap() } else { root }
    }

    pub(crate) fn set(mut self, key: &str, value: Value) -> Self {
        self.payload().insert(key.to_owned(), value);
        self
    }

    pub(crate) fn body(&self) -> Vec<u8> {
        serde_json::to_vec(&self.0).unwrap()
    }
}

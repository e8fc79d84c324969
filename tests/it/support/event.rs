//! Stripe events, made from the recorded happy path.

use discuno::model::time::Timestamp;
use serde_json::{Value, json};

const RECORDED: &str = include_str!("../../../fixtures/stripe.json");

/// The time at which every test world begins: a day before the recorded session.
pub(crate) const NOW: Timestamp = Timestamp(1_793_872_800_000);

/// An event to be sent.
#[derive(Clone)]
pub(crate) struct Event(pub(crate) Value);

impl Event {
    /// A paid checkout whose attendee has this address; its tags steer the sandbox.
    pub(crate) fn paid(email: &str) -> Self {
        let events: Vec<Value> = serde_json::from_str(RECORDED).unwrap();
        let mut event = Self(events[0].clone());
        event.0["created"] = json!(NOW.as_secs());
        event.0["data"]["object"]["customer_details"]["email"] = json!(email);
        event.metadata("attendeeEmail", json!(email)).session("customer_email", json!(email))
    }

    /// Any event of Stripe's, of so many seconds after the epoch.
    pub(crate) fn told(id: &str, kind: &str, created: i64, object: Value) -> Self {
        Self(json!({"id": id, "type": kind, "livemode": false, "created": created, "data": {"object": object}}))
    }

    /// This purchase, of a session that costs nothing.
    pub(crate) fn free(self) -> Self {
        let free = self.session("payment_status", json!("no_payment_required"));
        free.session("payment_intent", json!(null)).session("amount_total", json!(0))
    }

    pub(crate) fn session(mut self, key: &str, value: Value) -> Self {
        self.0["data"]["object"][key] = value;
        self
    }

    pub(crate) fn metadata(mut self, key: &str, value: Value) -> Self {
        let metadata = self.0["data"]["object"]["metadata"].as_object_mut().unwrap();
        if value.is_null() {
            metadata.remove(key);
        } else {
            metadata.insert(key.to_owned(), value);
        }
        self
    }

    pub(crate) fn id(mut self, id: &str) -> Self {
        self.0["id"] = json!(id);
        self
    }

    pub(crate) fn kind(mut self, kind: &str) -> Self {
        self.0["type"] = json!(kind);
        self
    }

    pub(crate) fn top(mut self, key: &str, value: Value) -> Self {
        self.0[key] = value;
        self
    }

    pub(crate) fn body(&self) -> Vec<u8> {
        serde_json::to_vec(&self.0).unwrap()
    }
}

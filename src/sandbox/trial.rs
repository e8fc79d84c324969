//! A sandbox with a client, for the tests.

use std::time::Duration;

use serde_json::{Value, json};

use crate::clock::Clock;
use crate::entropy::Entropy;
use crate::model::time::Timestamp;
use crate::sandbox::Sandbox;
use crate::transport::in_process::InProcess;
use crate::transport::{Error, Request, Response, Transport};

/// 2026-11-05T10:00:00Z
pub(super) const NOW: Timestamp = Timestamp::from_secs(1_793_872_800);

const HEADERS: [(&str, &str); 4] = [
    ("authorization", "Bearer sk_test_1"),
    ("content-type", "application/x-www-form-urlencoded"),
    ("cal-api-version", "2024-08-13"),
    ("user-agent", "discuno/0.1"),
];

pub(super) struct Trial {
    pub(super) sandbox: Sandbox,
    wire: InProcess,
    events: std::cell::Cell<u32>,
}

impl Trial {
    pub(super) fn new() -> Self {
        let sandbox = Sandbox::new(Clock::starting_at(NOW), Entropy::seeded(1));
        let wire = InProcess::new(sandbox.router());
        Self { sandbox, wire, events: std::cell::Cell::new(0) }
    }

    pub(super) fn observe(&self, kind: &str, object: &Value) {
        self.events.set(self.events.get() + 1);
        let id = format!("evt_trial{}", self.events.get());
        let event = json!({"id": id, "type": kind, "created": NOW.as_secs(), "data": {"object": object}});
        self.sandbox.observe(event.to_string().as_bytes());
    }

    pub(super) fn paid(&self, intent: &str, email: &str) {
        self.observe(
            "checkout.session.completed",
            &json!({
                "id": format!("cs_{intent}"), "payment_intent": intent, "payment_status": "paid", "amount_total": 5000,
                "currency": "usd", "customer_details": {"email": email},
                "metadata": {"mentorAmount": "4250", "mentorStripeAccountId": "acct_1"},
            }),
        );
    }

    pub(super) fn request(method: &str, address: &str, body: &str, headers: &[(&'static str, &str)]) -> Request {
        let mut request = Request {
            method: method.parse().unwrap(),
            url: address.parse().unwrap(),
            headers: http::HeaderMap::new(),
            body: body.to_owned().into(),
            timeout: Duration::from_secs(10),
        };
        for (name, value) in HEADERS.iter().chain(headers) {
            request.headers.insert(*name, value.parse().unwrap());
        }
        request
    }

    async fn send(
        &self,
        method: &str,
        path: &str,
        body: &str,
        headers: &[(&'static str, &str)],
    ) -> Result<Response, Error> {
        self.wire.send(Self::request(method, &format!("http://sandbox{path}"), body, headers)).await
    }

    pub(super) async fn try_post(
        &self,
        path: &str,
        body: &str,
        headers: &[(&'static str, &str)],
    ) -> Result<Response, Error> {
        self.send("POST", path, body, headers).await
    }

    pub(super) async fn post_json(&self, path: &str, body: &Value, headers: &[(&'static str, &str)]) -> Response {
        let mut all = vec![("content-type", "application/json")];
        all.extend_from_slice(headers);
        self.send("POST", path, &body.to_string(), &all).await.unwrap()
    }

    pub(super) async fn refund(&self, body: &str, key: Option<&str>) -> Response {
        let headers: Vec<_> = key.into_iter().map(|key| ("idempotency-key", key)).collect();
        self.send("POST", "/stripe/v1/refunds", body, &headers).await.unwrap()
    }

    pub(super) async fn get(&self, path: &str) -> Response {
        self.get_as(path, &[]).await
    }

    pub(super) async fn get_as(&self, path: &str, headers: &[(&'static str, &str)]) -> Response {
        self.send("GET", path, "", headers).await.unwrap()
    }

    pub(super) fn json(answer: &Response) -> Value {
        serde_json::from_slice(&answer.body).unwrap()
    }
}

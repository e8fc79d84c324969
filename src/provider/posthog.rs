//! `PostHog`: captures over HTTP, together where several wait.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use http::Method;
use secrecy::{ExposeSecret, SecretString};
use serde_json::{Value, json};
use tokio::sync::oneshot;
use url::Url;

use crate::clock::Clock;
use crate::model::capture::Capture;
use crate::model::failure::FailureKind;
use crate::observe::metrics::Metrics;
use crate::observe::trace::Span;
use crate::provider::ProviderName;
use crate::provider::client::Client;
use crate::provider::error::{Call, Error};
use crate::transport::Transport;

/// Nobody waits long for analytics.
const TIMEOUT: Duration = Duration::from_secs(3);
/// The most captures in one request: some tens of kilobytes.
const BATCH: usize = 100;

/// A project at `PostHog`.
#[derive(Clone)]
pub struct PostHog {
    client: Client,
    key: SecretString,
    clock: Clock,
    waiting: Arc<Mutex<Waiting>>,
}

/// Captures that wait for the request in flight to be answered.
#[derive(Default)]
struct Waiting {
    captures: Vec<(Capture, oneshot::Sender<Result<(), Error>>)>,
    /// Whether somebody is sending and will take what waits with the next request.
    sending: bool,
}

impl PostHog {
    /// A client for the project of `key`.
    pub fn new(transport: Arc<dyn Transport>, host: Url, key: SecretString, clock: Clock) -> Self {
        Self { client: Client::new(transport, host, TIMEOUT), key, clock, waiting: Arc::default() }
    }

    /// The same, with its calls counted and timed.
    #[must_use]
    pub fn metered(mut self, metrics: Metrics) -> Self {
        self.client = self.client.metered(metrics);
        self
    }

    /// Sends a capture: at once if nothing is in flight, otherwise with all that wait by then. Accepted means queued at
    /// `PostHog`; a quota that drops it is logged and not an error.
    pub async fn capture(&self, capture: &Capture) -> Result<(), Error> {
        let (answer, answered) = oneshot::channel();
        let idle = {
            let mut waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
            waiting.captures.push((capture.clone(), answer));
            !std::mem::replace(&mut waiting.sending, true)
        };
        if idle {
            // On its own: whoever asked may give up, and others wait for it.
            tokio::spawn(self.clone().send_waiting());
        }
        let call = Call::change(ProviderName::Posthog, "capture");
        // The request may be several steps': each has waited for it.
        let span = Span::call(call.provider.as_str(), call.operation, None);
        let outcome = answered.await.unwrap_or_else(|_| Err(call.unreadable("the sender is gone")));
        span.end(outcome.as_ref().map(drop).map_err(Error::code));
        outcome
    }

    async fn send_waiting(self) {
        loop {
            let batch: Vec<_> = {
                let mut waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
                let count = waiting.captures.len().min(BATCH);
                waiting.sending = count > 0;
                waiting.captures.drain(..count).collect()
            };
            if batch.is_empty() {
                return;
            }
            let (captures, answers): (Vec<Capture>, Vec<_>) = batch.into_iter().unzip();
            let outcome = self.send(&captures).await;
            let refused =
                captures.len() > 1 && outcome.as_ref().is_err_and(|error| error.failure.kind == FailureKind::Permanent);
            for (capture, answer) in captures.iter().zip(answers) {
                // One bad capture does not take the others with it.
                let outcome = if refused { self.send(std::slice::from_ref(capture)).await } else { outcome.clone() };
                // Whoever asked may have gone; the capture is sent all the same.
                let _ = answer.send(outcome);
            }
        }
    }

    async fn send(&self, captures: &[Capture]) -> Result<(), Error> {
        let call = Call::change(ProviderName::Posthog, "capture");
        let key = self.key.expose_secret();
        let (path, body): (&[&str], Value) = match captures {
            [one] => {
                let mut body = event(one);
                body["api_key"] = key.into();
                (&["i", "v0", "e", ""], body)
            }
            many => {
                let batch: Vec<Value> = many.iter().map(event).collect();
                // The time of sending is not that of the events: their own stands.
                (&["batch", ""], json!({ "api_key": key, "batch": batch, "sent_at": self.clock.now().to_string() }))
            }
        };
        let answer = self.client.send(self.client.draft(call, Method::POST, path).json(&body)).await?;
        let body: Value = serde_json::from_slice(&answer.body).unwrap_or(Value::Null);
        if body["quota_limited"].is_array() {
            tracing::warn!(tag = "SideEffects", event = "posthog_quota_limited", count = captures.len());
        }
        Ok(())
    }
}

fn event(capture: &Capture) -> Value {
    let mut properties = capture.properties.clone();
    properties.insert("$lib".to_owned(), "discuno".into());
    // The server's place is not the person's, and its clock not the event's.
    properties.insert("$geoip_disable".to_owned(), true.into());
    properties.insert("$ignore_sent_at".to_owned(), true.into());
    json!({
        "event": capture.event, "distinct_id": capture.distinct_id, "uuid": capture.uuid,
        "timestamp": capture.timestamp.to_string(), "properties": properties,
    })
}

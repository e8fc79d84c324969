//! What every provider over HTTP has in common: an address, a time-out, a log line, a verdict.

use std::sync::Arc;
use std::time::Duration;

use http::header::{CONTENT_TYPE, HeaderName, USER_AGENT};
use http::{HeaderMap, HeaderValue, Method};
use secrecy::{ExposeSecret, SecretString};
use serde::Serialize;
use serde::de::DeserializeOwned;
use tokio::time::Instant;
use url::Url;

use crate::model::failure::{CREDENTIALS, FailureKind, THROTTLED};
use crate::observe::metrics::Metrics;
use crate::observe::trace::Span;
use crate::provider::error::{Call, Error};
use crate::provider::verdict::verdict;
use crate::transport::{Request, Response, Transport};

const AGENT: &str = concat!("discuno/", env!("CARGO_PKG_VERSION"));

#[derive(Clone)]
pub(crate) struct Client {
    transport: Arc<dyn Transport>,
    base: Url,
    timeout: Duration,
    metrics: Option<Metrics>,
}

/// A request in the making: a header that cannot be sent is remembered until the call is made.
pub(crate) struct Draft<'a> {
    call: Call,
    method: Method,
    url: Url,
    headers: HeaderMap,
    body: Vec<u8>,
    private: &'a [&'a str],
    flaw: Option<&'static str>,
}

impl Client {
    pub(crate) fn new(transport: Arc<dyn Transport>, base: Url, timeout: Duration) -> Self {
        Self { transport, base, timeout, metrics: None }
    }

    /// The same, with its calls counted and timed.
    pub(crate) fn metered(mut self, metrics: Metrics) -> Self {
        self.metrics = Some(metrics);
        self
    }

    /// The base address continued by `path`; each segment is encoded, so that an id can never leave its place.
    pub(crate) fn draft<'a>(&self, call: Call, method: Method, path: &[&str]) -> Draft<'a> {
        let mut url = self.base.clone();
        let mut flaw = None;
        match url.path_segments_mut() {
            Ok(mut segments) => {
                segments.pop_if_empty().extend(path);
            }
            Err(()) => flaw = Some("base address"),
        }
        // `.` and `..` are segments the encoding leaves alone.
        if path.iter().any(|segment| matches!(*segment, "." | "..")) {
            flaw = Some("path");
        }
        let headers = HeaderMap::from_iter([(USER_AGENT, HeaderValue::from_static(AGENT))]);
        Draft { call, method, url, headers, body: Vec::new(), private: &[], flaw }
    }

    /// Sends once and judges the answer.
    pub(crate) async fn send(&self, draft: Draft<'_>) -> Result<Response, Error> {
        let Draft { call, method, url, headers, body, private, flaw } = draft;
        if let Some(what) = flaw {
            let why = format!("{call} not sent: the configured {what} cannot be used");
            let error = call.failed(FailureKind::Transient, CREDENTIALS, &why, &[]);
            if let Some(metrics) = &self.metrics {
                count(metrics, call, Some(&error), Duration::ZERO);
            }
            return Err(error);
        }
        let start = Instant::now();
        let mut span = Span::call(call.provider.as_str(), call.operation, Some((&method, &url)));
        let request = Request { method, url, headers, body: body.into(), timeout: self.timeout };
        let outcome = self.transport.send(request).await;
        let elapsed = start.elapsed();
        let status = outcome.as_ref().ok().map(|answer| answer.status.as_u16());
        tracing::debug!(
            tag = "Provider",
            event = "call",
            provider = call.provider.as_str(),
            operation = call.operation,
            status,
            elapsedMs = u64::try_from(elapsed.as_millis()).unwrap_or(u64::MAX),
        );
        if let Ok(answer) = &outcome {
            span.answered(answer.status);
        }
        let judged = verdict(call, outcome, private);
        span.end(judged.as_ref().map(drop).map_err(Error::code));
        if let Some(metrics) = &self.metrics {
            count(metrics, call, judged.as_ref().err(), elapsed);
        }
        judged
    }
}

/// Codes that are ours, and few: any other counts as its kind.
const COUNTED: [&str; 12] = [
    "breaker_open",
    "connection_lost",
    CREDENTIALS,
    "no_connection",
    "paused",
    "quota",
    "rate_limited",
    "slot_taken",
    THROTTLED,
    "timeout",
    "unreadable_answer",
    "unrecognised_refusal",
];

/// Counts a call by what became of it.
pub(crate) fn count(metrics: &Metrics, call: Call, error: Option<&Error>, took: Duration) {
    let outcome = error.map_or("ok", |error| {
        let known = COUNTED.iter().find(|code| **code == error.code());
        known.copied().unwrap_or(error.failure.kind.as_str())
    });
    metrics.called(call.provider.as_str(), call.operation, outcome, took);
}

impl<'a> Draft<'a> {
    /// Adds a header; the value is marked secret, so that nothing prints it.
    pub(crate) fn header(mut self, name: &'static str, value: &str) -> Self {
        match HeaderValue::from_str(value) {
            Ok(mut value) => {
                value.set_sensitive(true);
                self.headers.insert(HeaderName::from_static(name), value);
            }
            Err(_) => self.flaw = Some(name),
        }
        self
    }

    pub(crate) fn bearer(self, key: &SecretString) -> Self {
        self.header("authorization", &format!("Bearer {}", key.expose_secret()))
    }

    pub(crate) fn query(mut self, query: &str) -> Self {
        self.url.set_query(Some(query));
        self
    }

    pub(crate) fn form(mut self, body: &str) -> Self {
        self.headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/x-www-form-urlencoded"));
        self.body = body.as_bytes().to_vec();
        self
    }

    pub(crate) fn json(mut self, body: &impl Serialize) -> Self {
        self.headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        match serde_json::to_vec(body) {
            Ok(bytes) => self.body = bytes,
            Err(_) => self.flaw = Some("body"),
        }
        self
    }

    /// Words that must not show up in an error, whatever the provider echoes.
    pub(crate) fn hiding(mut self, private: &'a [&'a str]) -> Self {
        self.private = private;
        self
    }
}

/// Reads a successful answer.
pub(crate) fn parse<T: DeserializeOwned>(call: Call, answer: &Response) -> Result<T, Error> {
    serde_json::from_slice(&answer.body).map_err(|error| {
        // serde's own text may quote the value it met.
        call.unreadable(&format!("{:?} at line {} column {}", error.classify(), error.line(), error.column()))
    })
}

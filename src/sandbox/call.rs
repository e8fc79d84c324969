//! A request as a stand-in reads it.

use std::sync::OnceLock;

use axum::extract::Request;
use bytes::Bytes;
use http::{HeaderMap, Method};
use serde_json::Value;

use crate::model::time::Timestamp;
use crate::sandbox::MAX_BODY;
use crate::sandbox::form::Form;

/// One request, whole.
#[derive(Debug)]
pub(super) struct Call {
    pub(super) method: Method,
    /// Below the provider's prefix, without a slash at the end: `/refunds`.
    pub(super) path: String,
    pub(super) query: Form,
    pub(super) headers: HeaderMap,
    pub(super) body: Bytes,
    /// When it is answered.
    pub(super) at: Timestamp,
    /// From when on it does not see what was made; none where it is not behind.
    pub(super) blind_from: Option<Timestamp>,
    raw_query: String,
    form: OnceLock<Form>,
    json: OnceLock<Option<Value>>,
}

impl Call {
    /// Reads the body to its end; `None` if it breaks off or is too large.
    pub(super) async fn read(request: Request, prefix: &str, at: Timestamp) -> Option<Self> {
        let (parts, body) = request.into_parts();
        let body = axum::body::to_bytes(body, MAX_BODY).await.ok()?;
        let path = parts.uri.path();
        let path = path.strip_prefix(prefix).unwrap_or(path).trim_end_matches('/').to_owned();
        let raw_query = parts.uri.query().unwrap_or_default().to_owned();
        Some(Self {
            method: parts.method,
            path,
            query: Form::parse(raw_query.as_bytes()),
            headers: parts.headers,
            body,
            at,
            blind_from: None,
            raw_query,
            form: OnceLock::new(),
            json: OnceLock::new(),
        })
    }

    /// A header's text; `None` if it is absent or not text.
    pub(super) fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name)?.to_str().ok()
    }

    /// The token of `Authorization: Bearer …`.
    pub(super) fn bearer(&self) -> Option<&str> {
        self.header("authorization")?.strip_prefix("Bearer ")
    }

    /// The parts of the path.
    pub(super) fn segments(&self) -> Vec<&str> {
        self.path.split('/').skip(1).collect()
    }

    /// The part of the path at `index`, or nothing.
    pub(super) fn segment(&self, index: usize) -> &str {
        self.path.split('/').nth(index + 1).unwrap_or_default()
    }

    /// Path and query as they came.
    pub(super) fn target(&self) -> String {
        if self.raw_query.is_empty() { self.path.clone() } else { format!("{}?{}", self.path, self.raw_query) }
    }

    /// The body as form pairs.
    pub(super) fn form(&self) -> &Form {
        self.form.get_or_init(|| Form::parse(&self.body))
    }

    /// The body as JSON.
    pub(super) fn json(&self) -> Option<&Value> {
        self.json.get_or_init(|| serde_json::from_slice(&self.body).ok()).as_ref()
    }

    /// Path, query and body in one text, as sent and decoded: what a fault's `matching` is looked for in.
    pub(super) fn text(&self) -> String {
        let mut text = self.target();
        self.query.write(&mut text);
        text.push('\n');
        text.push_str(&String::from_utf8_lossy(&self.body));
        if self.json().is_none() {
            self.form().write(&mut text);
        }
        text
    }
}

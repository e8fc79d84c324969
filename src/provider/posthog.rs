//! `PostHog`: captures over HTTP.

use std::sync::Arc;
use std::time::Duration;

use http::Method;
use secrecy::{ExposeSecret, SecretString};
use serde_json::{Value, json};
use url::Url;

use crate::model::capture::Capture;
use crate::provider::ProviderName;
use crate::provider::client::Client;
use crate::provider::error::{Call, Error};
use crate::transport::Transport;

/// Nobody waits long for analytics.
const TIMEOUT: Duration = Duration::from_secs(3);

/// A project at `PostHog`.
#[derive(Clone)]
pub struct PostHog {
    client: Client,
    key: SecretString,
}

impl PostHog {
    /// A client for the project of `key`.
    pub fn new(transport: Arc<dyn Transport>, host: Url, key: SecretString) -> Self {
        Self { client: Client::new(transport, host, TIMEOUT), key }
    }

    /// Sends one capture. Accepted means queued at `PostHog`; a quota that drops it is logged and not an error.
    pub async fn capture(&self, capture: &Capture) -> Result<(), Error> {
        let call = Call::change(ProviderName::Posthog, "capture");
        let mut properties = capture.properties.clone();
        properties.insert("$lib".to_owned(), "discuno".into());
        // The server's place is not the person's.
        properties.insert("$geoip_disable".to_owned(), true.into());
        let body = json!({
            "api_key": self.key.expose_secret(), "event": capture.event, "distinct_id": capture.distinct_id,
            "uuid": capture.uuid, "timestamp": capture.timestamp.to_string(), "properties": properties,
        });
        let draft = self.client.draft(call, Method::POST, &["i", "v0", "e", ""]).json(&body);
        let answer = self.client.send(draft).await?;
        let body: Value = serde_json::from_slice(&answer.body).unwrap_or(Value::Null);
        if body["quota_limited"].is_array() {
            tracing::warn!(tag = "SideEffects", event = "posthog_quota_limited", capture = capture.event);
        }
        Ok(())
    }
}

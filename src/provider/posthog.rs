//! `PostHog`: captures, each with a uuid and a timestamp of its own, so that a repeat is merged.

use std::sync::Arc;
use std::time::Duration;

use aws_lc_rs::digest::{SHA1_FOR_LEGACY_USE_ONLY, digest};
use http::Method;
use secrecy::{ExposeSecret, SecretString};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};
use url::Url;

use crate::model::time::Timestamp;
use crate::provider::ProviderName;
use crate::provider::client::Client;
use crate::provider::error::{Call, Error};
use crate::transport::Transport;

/// Nobody waits long for analytics.
const TIMEOUT: Duration = Duration::from_secs(3);

/// The namespace of our uuids: fixed for ever, or repeats would no longer be merged.
const NAMESPACE: &[u8] = b"discuno/posthog/v1/";

/// A project at `PostHog`.
#[derive(Clone)]
pub struct PostHog {
    client: Client,
    key: SecretString,
}

/// One event to be counted.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Capture {
    /// Its name.
    pub event: String,
    /// Whose it is.
    pub distinct_id: String,
    /// The same on every try.
    pub uuid: String,
    /// When it happened; the same on every try.
    pub timestamp: Timestamp,
    /// The rest.
    pub properties: Map<String, Value>,
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

/// A uuid (version 5 in form) that is the same for the same text.
pub fn fixed_uuid(text: &str) -> String {
    let hash = digest(&SHA1_FOR_LEGACY_USE_ONLY, &[NAMESPACE, text.as_bytes()].concat());
    let mut bytes = [0_u8; 16];
    bytes.copy_from_slice(&hash.as_ref()[..16]);
    bytes[6] = (bytes[6] & 0x0f) | 0x50;
    bytes[8] = (bytes[8] & 0x3f) | 0x80;
    let hex = hex::encode(bytes);
    format!("{}-{}-{}-{}-{}", &hex[..8], &hex[8..12], &hex[12..16], &hex[16..20], &hex[20..])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_uuid_is_the_same_for_the_same_text_and_well_formed() {
        let uuid = fixed_uuid("cs_1/payment_succeeded");
        assert_eq!(uuid, fixed_uuid("cs_1/payment_succeeded"));
        assert_ne!(uuid, fixed_uuid("cs_2/payment_succeeded"));
        assert_eq!((uuid.len(), &uuid[14..15]), (36, "5"));
    }
}

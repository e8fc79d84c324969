//! Captures: what is counted, each with a uuid and a time of its own, so that a repeat is merged.

use aws_lc_rs::digest::{SHA1_FOR_LEGACY_USE_ONLY, digest};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::model::time::Timestamp;

/// The namespace of our uuids: fixed for ever, or repeats would no longer be merged.
const NAMESPACE: &[u8] = b"discuno/posthog/v1/";

/// Ids that `PostHog` refuses to tell people apart by.
const NOBODY: [&str; 14] = [
    "",
    "null",
    "undefined",
    "none",
    "0",
    "nan",
    "[object object]",
    "anonymous",
    "guest",
    "distinct_id",
    "id",
    "email",
    "true",
    "false",
];

/// One event to be counted.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
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

impl Capture {
    /// An event of somebody, known for ever by `reference`; none where there is nobody to count it for.
    pub fn of(
        event: &str,
        distinct_id: Option<&str>,
        reference: &str,
        timestamp: Timestamp,
        properties: Value,
    ) -> Option<Self> {
        let distinct_id = distinct_id?.trim();
        if NOBODY.contains(&distinct_id.to_ascii_lowercase().as_str()) {
            return None;
        }
        let properties = match properties {
            Value::Object(map) => map,
            _ => Map::new(),
        };
        let uuid = fixed_uuid(&format!("{event}/{reference}"));
        Some(Self { event: event.to_owned(), distinct_id: distinct_id.to_owned(), uuid, timestamp, properties })
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

    #[test]
    fn nothing_is_counted_for_nobody() {
        for nobody in [None, Some(""), Some("null"), Some("[object Object]"), Some("False"), Some(" Anonymous ")] {
            assert_eq!(Capture::of("e", nobody, "r", Timestamp(0), Value::Null), None, "{nobody:?}");
        }
        assert!(Capture::of("e", Some("7b1f"), "r", Timestamp(0), Value::Null).is_some());
    }
}

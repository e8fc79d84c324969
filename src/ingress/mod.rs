//! Bytes to a plan: pure once the signature holds.

use std::fmt;

use aws_lc_rs::digest::{SHA256, digest};
use serde::de::{DeserializeSeed, Deserializer, IgnoredAny, MapAccess, Visitor};
use serde_json::value::RawValue;
use serde_json::{Map, Value};

use crate::model::event::Disposition;
use crate::model::time::Timestamp;
use crate::store::change::Change;

pub mod app;
pub mod cal;
mod envelope;
pub mod stored;
pub mod stripe;

/// Why an arrival is refused. Nothing of it is kept.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Rejected {
    /// It does not prove that it comes from its sender.
    #[error("{0}")]
    Signature(#[from] crate::signature::Error),
    /// It is signed and is not an event.
    #[error("the body is not an event: {0}")]
    Malformed(String),
}

impl Rejected {
    /// A stable word for the answer and the log.
    pub fn code(&self) -> &'static str {
        match self {
            Self::Signature(error) => error.code(),
            Self::Malformed(_) => "malformed_body",
        }
    }
}

/// What an event tells.
struct Told<'a> {
    kind: &'a str,
    object: Option<&'a RawValue>,
    /// The connected account it is of.
    account: Option<&'a str>,
    at: Timestamp,
    live: bool,
}

impl Told<'_> {
    fn pick(&self, keys: &[&str]) -> Value {
        pick(self.object, keys)
    }
}

/// What is made of an event.
struct Meaning {
    disposition: Disposition,
    reason: Option<String>,
    changes: Vec<Change>,
}

impl Meaning {
    /// Nothing follows; why.
    fn none(reason: &str) -> Self {
        Self { disposition: Disposition::Ignored, reason: Some(reason.to_owned()), changes: Vec::new() }
    }

    /// This follows.
    fn changes(changes: Vec<Change>) -> Self {
        Self { disposition: Disposition::Accepted, reason: None, changes }
    }

    /// This follows, and why it is not what one might expect.
    fn because(reason: &str, changes: Vec<Change>) -> Self {
        Self { reason: Some(reason.to_owned()), ..Self::changes(changes) }
    }
}

fn text<'a>(object: &'a Value, key: &str) -> Option<&'a str> {
    object.get(key)?.as_str()
}

fn sha256(body: &[u8]) -> [u8; 32] {
    let mut out = [0; 32];
    out.copy_from_slice(digest(&SHA256, body).as_ref());
    out
}

/// An object with only these keys of `raw`; null where it is no object. What is not asked for is skipped unread.
fn pick(raw: Option<&RawValue>, keys: &[&str]) -> Value {
    raw.and_then(|raw| Pick(keys).deserialize(&mut serde_json::Deserializer::from_str(raw.get())).ok())
        .map_or(Value::Null, Value::Object)
}

struct Pick<'a>(&'a [&'a str]);

impl<'de> DeserializeSeed<'de> for Pick<'_> {
    type Value = Map<String, Value>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        deserializer.deserialize_map(self)
    }
}

impl<'de> Visitor<'de> for Pick<'_> {
    type Value = Map<String, Value>;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut access: A) -> Result<Self::Value, A::Error> {
        let mut picked = Map::new();
        while let Some(key) = access.next_key::<std::borrow::Cow<'de, str>>()? {
            if self.0.contains(&key.as_ref()) {
                picked.insert(key.into_owned(), access.next_value()?);
            } else {
                access.next_value::<IgnoredAny>()?;
            }
        }
        Ok(picked)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn only_the_keys_asked_for_are_read_and_the_last_of_a_repeated_one_counts() {
        let raw = |text: &str| RawValue::from_string(text.to_owned()).unwrap();
        let object = raw(r#"{"b":{"deep":[1,2]},"a":1,"c":"x","a":[2]}"#);
        assert_eq!(pick(Some(&object), &["a", "missing"]), json!({"a": [2]}));
        for other in ["null", "7", "[]", "\"text\""] {
            assert_eq!(pick(Some(&raw(other)), &["a"]), Value::Null, "{other}");
        }
        assert_eq!(pick(None, &["a"]), Value::Null);
    }
}

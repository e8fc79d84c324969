//! An error that is data: it survives a crash and knows what may be done next.

use std::time::Duration;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::model::pause::PAUSED;
use crate::model::words;

/// The code of a failure that says: the provider is down, and is left alone for a while.
pub const BREAKER_OPEN: &str = "breaker_open";

/// The code of a failure that says: so much is asked of the provider already that the call is to come again.
pub const THROTTLED: &str = "throttled";

/// The code of a failure that says: the provider refuses our key.
pub const CREDENTIALS: &str = "credentials";

words! {
    /// What is known of a call that did not succeed.
    FailureKind, "failure kind" {
        /// It did not happen, and may succeed later.
        Transient => "transient",
        /// It did not happen, and will not: repeating the same call is pointless.
        Permanent => "permanent",
        /// It may have happened: look before acting again, and never compensate on this alone.
        Unknown => "unknown",
    }
}

/// Why an attempt, a step or a run failed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema, thiserror::Error)]
#[error("{message}")]
pub struct Failure {
    /// What may have happened.
    pub kind: FailureKind,
    /// A stable word for the cause: `slot_taken`, `timeout`, or the provider's own code.
    pub code: String,
    /// For people: lower case, without secrets, names or addresses.
    pub message: String,
    /// The provider's HTTP status, if it answered.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub status: Option<u16>,
    /// The earliest moment the provider wants to be asked again, counted from the answer, in milliseconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub retry_after_ms: Option<u64>,
}

impl Failure {
    /// A failure of `kind`, without status or wait.
    pub fn new(kind: FailureKind, code: impl Into<String>, message: impl Into<String>) -> Self {
        Self { kind, code: code.into(), message: message.into(), status: None, retry_after_ms: None }
    }

    /// It did not happen, and may succeed later.
    pub fn transient(code: impl Into<String>, message: impl Into<String>) -> Self {
        Self::new(FailureKind::Transient, code, message)
    }

    /// It did not happen, and will not.
    pub fn permanent(code: impl Into<String>, message: impl Into<String>) -> Self {
        Self::new(FailureKind::Permanent, code, message)
    }

    /// It may have happened.
    pub fn unknown(code: impl Into<String>, message: impl Into<String>) -> Self {
        Self::new(FailureKind::Unknown, code, message)
    }

    /// How long the provider asked to be left alone.
    pub fn retry_after(&self) -> Option<Duration> {
        self.retry_after_ms.map(Duration::from_millis)
    }

    /// Whether nothing was asked of the provider, since a person has stopped it, it is down or others are before. That is no try.
    pub fn was_held_back(&self) -> bool {
        matches!(self.code.as_str(), PAUSED | BREAKER_OPEN | THROTTLED)
    }

    /// Whether the provider refuses our key: nothing of ours gets through until a person has mended it.
    pub fn is_of_credentials(&self) -> bool {
        self.code == CREDENTIALS
    }

    /// Whether the call certainly did not take effect.
    pub fn is_definite(&self) -> bool {
        self.kind != FailureKind::Unknown
    }
}

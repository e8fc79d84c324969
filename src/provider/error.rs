//! A call that did not succeed, as the provider layer tells it.

use std::time::Duration;

use crate::model::failure::{Failure, FailureKind};
use crate::mutant::{Mutant, is_out};
use crate::provider::ProviderName;
use crate::provider::redact::redact;

/// One operation of one provider, and whether repeating it could matter.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Call {
    /// Who is asked.
    pub provider: ProviderName,
    /// What for, in the provider's words: `refunds.create`.
    pub operation: &'static str,
    /// Whether the call changes something there.
    pub changes: bool,
}

impl Call {
    /// A call that only looks.
    pub const fn read(provider: ProviderName, operation: &'static str) -> Self {
        Self { provider, operation, changes: false }
    }

    /// A call that changes something.
    pub const fn change(provider: ProviderName, operation: &'static str) -> Self {
        Self { provider, operation, changes: true }
    }

    /// The kind of a failure after which nobody can say whether the call took effect.
    /// Looking twice harms nobody, so a read is merely transient.
    pub const fn in_doubt(self) -> FailureKind {
        if self.changes { FailureKind::Unknown } else { FailureKind::Transient }
    }

    /// A failure of this call; `message` is cleaned of keys, addresses and the `private` words.
    pub fn failed(self, kind: FailureKind, code: &str, message: &str, private: &[&str]) -> Error {
        let said = if is_out(Mutant::Redaction) { message.to_owned() } else { redact(message, self.provider, private) };
        Error {
            failure: Failure::new(kind, code, said),
            provider: self.provider,
            operation: self.operation,
            replayed: false,
            request_id: None,
        }
    }

    /// The call was refused here, before anything was sent, and always will be.
    pub fn invalid(self, code: &str, why: &str) -> Error {
        self.failed(FailureKind::Permanent, code, &format!("{self} not sent: {code}: {why}"), &[])
    }

    /// The provider said yes in words that cannot be read: the call may well have taken effect.
    pub fn unreadable(self, why: &str) -> Error {
        self.failed(self.in_doubt(), "unreadable_answer", &format!("{self} answered unreadably: {why}"), &[])
    }
}

impl std::fmt::Display for Call {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} {}", self.provider, self.operation)
    }
}

/// What became of a call that did not succeed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{failure}")]
pub struct Error {
    /// What may have happened, why, and when to ask again.
    pub failure: Failure,
    /// Who was asked.
    pub provider: ProviderName,
    /// What for.
    pub operation: &'static str,
    /// The provider repeated the stored answer of an earlier call with the same idempotency key:
    /// the same key will never bring another.
    pub replayed: bool,
    /// The provider's name for the exchange, for its support.
    pub request_id: Option<String>,
}

impl Error {
    /// The stable word for the cause.
    pub fn code(&self) -> &str {
        &self.failure.code
    }

    /// The same error with the wait the provider asked for.
    #[must_use]
    pub(crate) fn after(mut self, wait: Option<Duration>) -> Self {
        self.failure.retry_after_ms = wait.map(|wait| u64::try_from(wait.as_millis()).unwrap_or(u64::MAX));
        self
    }
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        error.failure
    }
}

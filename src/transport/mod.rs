//! The one way out: every provider is reached through [`Transport::send`].

use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;

pub mod http;
pub mod in_process;

/// A request as it leaves.
#[derive(Debug, Clone)]
pub struct Request {
    /// `GET`, `POST`, …
    pub method: ::http::Method,
    /// The whole address.
    pub url: url::Url,
    /// Header names and values. Values may be secret: they are never logged.
    pub headers: ::http::HeaderMap,
    /// The body's bytes.
    pub body: Bytes,
    /// How long the whole exchange may take.
    pub timeout: Duration,
}

/// An answer, read to its end.
#[derive(Debug, Clone)]
pub struct Response {
    /// The status code.
    pub status: ::http::StatusCode,
    /// The headers.
    pub headers: ::http::HeaderMap,
    /// The body, at most [`MAX_BODY`] bytes.
    pub body: Bytes,
}

/// The largest answer that is read; the rest of the exchange is an error.
pub const MAX_BODY: usize = 4 * 1024 * 1024;

/// Why there is no answer. `sent` tells whether the request may have reached the other side and taken effect.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// No connection was made: nothing was sent.
    #[error("could not connect: {0}")]
    Connect(String),
    /// The time was over.
    #[error("no answer within {} ms", after.as_millis())]
    TimedOut {
        /// The time that was given.
        after: Duration,
        /// Whether the request may have arrived.
        sent: bool,
    },
    /// The connection broke before the answer was whole: the request may have taken effect.
    #[error("connection lost before the answer: {0}")]
    Reset(String),
    /// The answer was larger than [`MAX_BODY`]: the request has taken effect.
    #[error("answer larger than {MAX_BODY} bytes")]
    TooLarge,
    /// Held back on this side, by a gate: nothing was sent.
    #[error("not sent: {code}, ask again in {} ms", retry_after.as_millis())]
    Refused {
        /// A stable word for the cause: `breaker_open`, `paused`, `throttled`.
        code: &'static str,
        /// When it is worth asking again.
        retry_after: Duration,
    },
}

impl Error {
    /// Whether the request may have reached the other side and taken effect.
    pub const fn may_have_happened(&self) -> bool {
        match self {
            Self::Connect(_) | Self::Refused { .. } => false,
            Self::TimedOut { sent, .. } => *sent,
            Self::Reset(_) | Self::TooLarge => true,
        }
    }
}

/// Carries a request to a provider and brings back its answer. It never retries: retries are durable, in the engine.
#[async_trait]
pub trait Transport: Send + Sync + 'static {
    /// Sends once. A dropped future leaves it unknown whether the request arrived.
    async fn send(&self, request: Request) -> Result<Response, Error>;
}

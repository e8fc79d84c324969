//! Traces for an OpenTelemetry collector: an arrival, the runs that it starts, their steps, the calls of providers.
//!
//! Only with the feature `otlp`; without it all of this is there, does nothing and takes no room. A trace is an event that is kept: its id
//! and those of its spans are hashed from what is stored anyway, so that processes that never meet write one trace. A run is driven many times,
//! by whoever has it: each time is a span. What a task is at is kept with the task, as a call belongs to the step that makes it.
//!
//! Nothing that is sent names a person, and no e-mail address can be in it.

use http::{HeaderName, HeaderValue};
use url::Url;

#[cfg(feature = "otlp")]
mod collector;
#[cfg(feature = "otlp")]
mod id;
#[cfg(not(feature = "otlp"))]
mod off;
#[cfg(feature = "otlp")]
mod span;
#[cfg(feature = "otlp")]
mod traces;

#[cfg(not(feature = "otlp"))]
pub use crate::observe::trace::off::{Arrival, Span, Traces};
#[cfg(feature = "otlp")]
pub use crate::observe::trace::span::Span;
#[cfg(feature = "otlp")]
pub use crate::observe::trace::traces::{Arrival, Traces};

/// Whether this program can send traces at all.
pub const BUILT_IN: bool = cfg!(feature = "otlp");

/// Where traces go, and as whose.
#[derive(Debug, Clone)]
pub struct Settings {
    /// The collector's address; `/v1/traces` follows.
    pub endpoint: Url,
    /// What is sent along, to be let in.
    pub headers: Vec<(HeaderName, HeaderValue)>,
    /// By what name the program is known there.
    pub service: String,
}

/// Why no traces can be sent.
#[derive(Debug, thiserror::Error)]
#[error("traces cannot be sent: {0}")]
pub struct Error(String);

//! What stands in for traces in a program without them.

use std::future::Future;

use http::{Method, StatusCode};
use tokio::time::Instant;
use url::Url;

use crate::entropy::Entropy;
use crate::model::event::{Event, Source};
use crate::model::id::EventId;
use crate::model::run::{End, Run};
use crate::model::time::Timestamp;
use crate::observe::trace::{Error, Settings};

/// Where spans would go.
#[derive(Debug, Clone, Default)]
pub struct Traces(());

#[expect(clippy::unused_async, reason = "the same as with traces")]
impl Traces {
    /// Says that this program sends none.
    pub fn start(settings: &Settings, _: &Entropy) -> Result<Self, Error> {
        tracing::warn!(
            tag = "Traces",
            event = "traces_not_built_in",
            endpoint = %settings.endpoint,
            message = "OTEL_EXPORTER_OTLP_ENDPOINT is set and this program was built without the feature otlp: it sends no traces",
        );
        Ok(Self(()))
    }

    /// Never.
    pub const fn are_sent(&self) -> bool {
        false
    }

    /// Those of the task that asks.
    pub const fn of_task() -> Self {
        Self(())
    }

    /// An arrival that is not told.
    pub const fn arrival(&self, _: Source, _: &str, _: &str, _: Option<&'static str>, _: Instant) -> Arrival {
        Arrival
    }

    /// A span of nothing.
    pub const fn run(&self, _: &Run, _: Option<&Event>, _: Timestamp) -> Span {
        Span
    }

    /// There is nothing to wait for.
    pub async fn close(&self) {}
}

/// An event that comes in.
#[derive(Debug)]
pub struct Arrival;

impl Arrival {
    /// Nothing is told.
    pub const fn end(self, _: Result<(EventId, bool), &str>, _: Timestamp) {}
}

/// A span that is not there.
#[derive(Debug)]
pub struct Span;

impl Span {
    /// A try of a step.
    pub const fn step(_: &str, _: u32) -> Self {
        Self
    }

    /// A call of a provider.
    pub const fn call(_: &'static str, _: &'static str, _: Option<(&Method, &Url)>) -> Self {
        Self
    }

    /// The work as it is.
    pub const fn cover<F: Future>(&self, work: F) -> F {
        work
    }

    /// Nothing is told.
    pub const fn answered(&mut self, _: StatusCode) {}

    /// Nothing is told.
    pub const fn end(self, _: Result<(), &str>) {}

    /// Nothing is told.
    pub const fn end_run(self, _: Result<Option<&End>, &str>) {}
}

//! Spans: whose they are, and what is told of them.

use std::future::Future;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use http::{Method, StatusCode};
use opentelemetry::KeyValue;
use opentelemetry::trace::{SpanContext, SpanId, SpanKind, Status, TraceFlags, TraceId, TraceState};
use opentelemetry_sdk::trace::{SpanData, SpanEvents, SpanLinks};
use tokio::time::Instant;
use url::Url;

use crate::model::run::{End, RunState};
use crate::model::time::Timestamp;
use crate::observe::mask;
use crate::observe::trace::collector::Collector;
use crate::observe::trace::id::below;

tokio::task_local! {
    /// The span that the task is in, if it is in any.
    static INNERMOST: Option<Place>;
}

/// A span, and what its children have to know of it.
#[derive(Debug, Clone)]
pub(super) struct Place {
    pub(super) collector: Arc<Collector>,
    pub(super) trace: TraceId,
    pub(super) span: SpanId,
    pub(super) dial: Dial,
}

/// A time of day carried on by the steady clock, so that a span lies within the one around it.
#[derive(Debug, Clone, Copy)]
pub(super) struct Dial {
    start: Instant,
    at_start: SystemTime,
}

impl Dial {
    pub(super) fn set(now: Timestamp) -> Self {
        let since = Duration::from_millis(u64::try_from(now.0).unwrap_or(0));
        Self { start: Instant::now(), at_start: SystemTime::UNIX_EPOCH + since }
    }

    pub(super) fn now(self) -> SystemTime {
        self.at_start + self.start.elapsed()
    }
}

/// A span that goes on. One that is dropped has been broken off, and is sent as such.
#[derive(Debug)]
pub struct Span(pub(super) Option<Box<Open>>);

#[derive(Debug)]
pub(super) struct Open {
    pub(super) place: Place,
    pub(super) parent: SpanId,
    /// Whether another process may have written the parent.
    pub(super) remote: bool,
    pub(super) kind: SpanKind,
    pub(super) name: String,
    pub(super) began: SystemTime,
    pub(super) attributes: Vec<KeyValue>,
}

impl Span {
    /// A try of a step, in the run that the task is in.
    pub fn step(name: &str, number: u32) -> Self {
        let attributes = || vec![text("discuno.step", name), KeyValue::new("discuno.attempt", i64::from(number))];
        Self::within(SpanKind::Internal, format!("step {name}"), &[name.as_bytes(), &number.to_be_bytes()], attributes)
    }

    /// A call of a provider, in the step that the task is in. The address is told as far as the host: the rest names who it is about.
    pub fn call(provider: &'static str, operation: &'static str, request: Option<(&Method, &Url)>) -> Self {
        let Some(place) = innermost() else { return Self(None) };
        let attributes = || {
            let mut told = vec![text("discuno.provider", provider), text("discuno.operation", operation)];
            if let Some((method, url)) = request {
                told.push(text("http.request.method", method.as_str()));
                told.extend(url.host_str().map(|host| text("server.address", host)));
                told.extend(url.port_or_known_default().map(|port| KeyValue::new("server.port", i64::from(port))));
            }
            told
        };
        Self::within(SpanKind::Client, format!("{provider} {operation}"), &[&place.collector.unique()], attributes)
    }

    fn within(kind: SpanKind, name: String, id: &[&[u8]], attributes: impl FnOnce() -> Vec<KeyValue>) -> Self {
        Self(innermost().map(|around| {
            let place = Place { span: below(around.span, id), ..around };
            let (parent, began) = (around.span, place.dial.now());
            Box::new(Open { place, parent, remote: false, kind, name, began, attributes: attributes() })
        }))
    }

    /// Does the work within this span.
    pub fn cover<F: Future>(&self, work: F) -> impl Future<Output = F::Output> + use<F> {
        INNERMOST.scope(self.0.as_ref().map(|open| open.place.clone()), work)
    }

    /// The provider answered so.
    pub fn answered(&mut self, status: StatusCode) {
        if let Some(open) = &mut self.0 {
            open.attributes.push(status_code(status));
        }
    }

    /// It ended so; an error is told by its code.
    pub fn end(mut self, outcome: Result<(), &str>) {
        if let Some(open) = self.0.take() {
            let ended = open.place.dial.now();
            open.send(ended, outcome);
        }
    }

    /// The run has ended, goes on later, or was lost for this reason.
    pub fn end_run(mut self, outcome: Result<Option<&End>, &str>) {
        let Some(open) = &mut self.0 else { return };
        let state = outcome.map(|end| end.map_or(RunState::Queued, End::state));
        open.attributes.extend(state.ok().map(|state| text("discuno.run.state", state.as_str())));
        match outcome {
            Ok(Some(End::Succeeded(word))) => {
                open.attributes.push(text("discuno.run.outcome", word));
                self.end(Ok(()));
            }
            Ok(Some(End::Failed(failure))) => self.end(Err(&failure.code)),
            Ok(Some(End::Cancelled) | None) => self.end(Ok(())),
            Err(code) => self.end(Err(code)),
        }
    }
}

impl Drop for Span {
    fn drop(&mut self) {
        if let Some(open) = self.0.take() {
            let ended = open.place.dial.now();
            open.send(ended, Err("broken_off"));
        }
    }
}

impl Open {
    pub(super) fn send(mut self, ended: SystemTime, outcome: Result<(), &str>) {
        let mut status = Status::Unset;
        if let Err(code) = outcome {
            self.attributes.push(text("error.type", code));
            status = Status::error(mask::without_addresses(code));
        }
        let Place { collector, trace, span, .. } = self.place;
        let context = SpanContext::new(trace, span, TraceFlags::SAMPLED, false, TraceState::default());
        collector.take(SpanData {
            span_context: context,
            parent_span_id: self.parent,
            parent_span_is_remote: self.remote,
            span_kind: self.kind,
            name: mask::without_addresses(&self.name).into(),
            start_time: self.began,
            end_time: ended,
            attributes: self.attributes,
            dropped_attributes_count: 0,
            events: SpanEvents::default(),
            links: SpanLinks::default(),
            status,
            instrumentation_scope: collector.scope(),
        });
    }
}

pub(super) fn innermost() -> Option<Place> {
    INNERMOST.try_with(Clone::clone).ok().flatten()
}

/// Whatever it says, no address of a person is in it.
pub(super) fn text(name: &'static str, value: &str) -> KeyValue {
    KeyValue::new(name, mask::without_addresses(value))
}

pub(super) fn status_code(status: StatusCode) -> KeyValue {
    KeyValue::new("http.response.status_code", i64::from(status.as_u16()))
}

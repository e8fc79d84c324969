//! Spans: what they are called, whose they are, and what is told of them.

use std::future::Future;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use aws_lc_rs::digest::{Context, SHA256};
use http::{Method, StatusCode};
use opentelemetry::KeyValue;
use opentelemetry::trace::{SpanContext, SpanId, SpanKind, Status, TraceFlags, TraceId, TraceState};
use opentelemetry_sdk::trace::{SpanData, SpanEvents, SpanLinks};
use tokio::time::Instant;
use url::Url;

use crate::entropy::Entropy;
use crate::model::event::{Event, Source};
use crate::model::id::EventId;
use crate::model::run::{End, Run, RunState};
use crate::model::time::Timestamp;
use crate::observe::mask;
use crate::observe::trace::collector::Collector;
use crate::observe::trace::{Error, Settings};

tokio::task_local! {
    /// The span that the task is in, if it is in any.
    static INNERMOST: Option<Place>;
}

/// Where spans go. Clones share it; the default is nowhere.
#[derive(Debug, Clone, Default)]
pub struct Traces(Option<Arc<Collector>>);

/// A span, and what its children have to know of it.
#[derive(Debug, Clone)]
struct Place {
    collector: Arc<Collector>,
    trace: TraceId,
    span: SpanId,
    dial: Dial,
}

/// A time of day carried on by the steady clock, so that a span lies within the one around it.
#[derive(Debug, Clone, Copy)]
struct Dial {
    start: Instant,
    at_start: SystemTime,
}

impl Dial {
    fn set(now: Timestamp) -> Self {
        Self { start: Instant::now(), at_start: time_of_day(now) }
    }

    fn now(self) -> SystemTime {
        self.at_start + self.start.elapsed()
    }
}

/// A span that goes on. One that is dropped has been broken off, and is sent as such.
#[derive(Debug)]
pub struct Span(Option<Box<Open>>);

#[derive(Debug)]
struct Open {
    place: Place,
    parent: SpanId,
    /// Whether another process may have written the parent.
    remote: bool,
    kind: SpanKind,
    name: String,
    began: SystemTime,
    attributes: Vec<KeyValue>,
    status: Status,
}

/// An event that comes in.
#[derive(Debug)]
pub struct Arrival(Option<Box<Incoming>>);

#[derive(Debug)]
struct Incoming {
    collector: Arc<Collector>,
    trace: TraceId,
    root: SpanId,
    kind: SpanKind,
    name: String,
    attributes: Vec<KeyValue>,
    route: Option<&'static str>,
    start: Instant,
}

impl Arrival {
    /// It is kept in this row, which is new or not; or it is not kept, by this code. The first arrival is the root of its trace, any other
    /// is below it.
    pub fn end(self, kept: Result<(EventId, bool), &str>, now: Timestamp) {
        let Some(incoming) = self.0 else { return };
        let Incoming { collector, trace, root, kind, name, mut attributes, route, start } = *incoming;
        let first = matches!(kept, Ok((_, true)));
        let (span, parent) = if first { (root, SpanId::INVALID) } else { (below(root, &[&collector.unique()]), root) };
        if route.is_some() {
            attributes.push(status_code(if kept.is_ok() { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE }));
        }
        if let Ok((event, is_new)) = kept {
            attributes.extend([
                text("discuno.event.id", &event.to_string()),
                KeyValue::new("discuno.event.duplicate", !is_new),
            ]);
        }
        let (dial, ended) = (Dial::set(now), time_of_day(now));
        let place = Place { collector, trace, span, dial };
        let began = ended - start.elapsed();
        let open = Open { place, parent, remote: !first, kind, name, began, attributes, status: Status::Unset };
        open.send(ended, kept.map(drop));
    }
}

impl Traces {
    /// Sends spans from now on, on the runtime of whoever asks.
    pub fn start(settings: &Settings, entropy: &Entropy) -> Result<Self, Error> {
        Ok(Self(Some(Arc::new(Collector::new(settings, &entropy.hex(32))?))))
    }

    /// Whether spans go anywhere.
    pub const fn are_sent(&self) -> bool {
        self.0.is_some()
    }

    /// Those of the span that the task is in.
    pub fn of_task() -> Self {
        Self(innermost().map(|place| place.collector))
    }

    /// An event of this id and type has come in since `start`: by a route, or because it was fetched.
    pub fn arrival(
        &self,
        source: Source,
        external_id: &str,
        kind: &str,
        route: Option<&'static str>,
        start: Instant,
    ) -> Arrival {
        Arrival(self.0.as_ref().map(|collector| {
            let (trace, root) = of_event(source, external_id);
            let mut attributes = vec![text("discuno.source", source.as_str()), text("discuno.event.type", kind)];
            let (kind, name) = match route {
                Some(route) => (SpanKind::Server, format!("POST {route}")),
                None => (SpanKind::Internal, format!("fetch {source}")),
            };
            if let Some(route) = route {
                attributes.extend([text("http.request.method", "POST"), text("http.route", route)]);
            }
            Box::new(Incoming { collector: Arc::clone(collector), trace, root, kind, name, attributes, route, start })
        }))
    }

    /// A run is driven: below its event, or a trace of its own.
    pub fn run(&self, run: &Run, event: Option<&Event>, now: Timestamp) -> Span {
        let Some(collector) = &self.0 else { return Span(None) };
        let time = |token: i64| [run.id.0.to_be_bytes(), token.to_be_bytes()].concat();
        let (trace, parent, span) = if let Some(event) = event {
            let (trace, root) = of_event(event.source, &event.external_id);
            (trace, root, below(root, &[b"run", &time(run.token)]))
        } else {
            // The first time that it is driven is the root of the others.
            let (trace, own) = of_run(run);
            let root = below(own, &[b"run", &time(1)]);
            if run.token == 1 {
                (trace, SpanId::INVALID, root)
            } else {
                (trace, root, below(root, &[&time(run.token)]))
            }
        };
        let dial = Dial::set(now);
        let mut attributes = vec![
            text("discuno.run.id", &run.id.to_string()),
            text("discuno.workflow", &run.workflow),
            KeyValue::new("discuno.run.token", run.token),
        ];
        attributes.extend(run.payment.map(|payment| text("discuno.payment.id", &payment.to_string())));
        attributes.extend(run.event.map(|event| text("discuno.event.id", &event.to_string())));
        Span(Some(Box::new(Open {
            place: Place { collector: Arc::clone(collector), trace, span, dial },
            parent,
            remote: parent != SpanId::INVALID,
            kind: SpanKind::Internal,
            name: format!("run {}", run.workflow),
            began: dial.now(),
            attributes,
            status: Status::Unset,
        })))
    }

    /// Sends what waits, for a few seconds at most; what comes later is lost.
    pub async fn close(&self) {
        if let Some(collector) = &self.0 {
            collector.close().await;
        }
    }
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
            Box::new(Open {
                place,
                parent,
                remote: false,
                kind,
                name,
                began,
                attributes: attributes(),
                status: Status::Unset,
            })
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
    fn send(mut self, ended: SystemTime, outcome: Result<(), &str>) {
        if let Err(code) = outcome {
            self.attributes.push(text("error.type", code));
            self.status = Status::error(mask::without_addresses(code));
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
            status: self.status,
            instrumentation_scope: collector.scope(),
        });
    }
}

fn innermost() -> Option<Place> {
    INNERMOST.try_with(Clone::clone).ok().flatten()
}

fn time_of_day(at: Timestamp) -> SystemTime {
    SystemTime::UNIX_EPOCH + Duration::from_millis(u64::try_from(at.0).unwrap_or(0))
}

/// Whatever it says, no address of a person is in it.
fn text(name: &'static str, value: &str) -> KeyValue {
    KeyValue::new(name, mask::without_addresses(value))
}

fn status_code(status: StatusCode) -> KeyValue {
    KeyValue::new("http.response.status_code", i64::from(status.as_u16()))
}

/// The trace of an event, and the span that is its root.
fn of_event(source: Source, external_id: &str) -> (TraceId, SpanId) {
    let digest = digest(&[b"event", source.as_str().as_bytes(), external_id.as_bytes()]);
    (TraceId::from_bytes(part(&digest, 0)), SpanId::from_bytes(part(&digest, 16)))
}

/// The trace of a run that no event has started, and what its spans begin with.
fn of_run(run: &Run) -> (TraceId, SpanId) {
    let created = run.created_at.0.to_be_bytes();
    let digest = digest(&[b"run", run.workflow.as_bytes(), run.key.as_bytes(), &created]);
    (TraceId::from_bytes(part(&digest, 0)), SpanId::from_bytes(part(&digest, 16)))
}

/// A span's id, from the one that it is below and what sets it apart there.
fn below(parent: SpanId, parts: &[&[u8]]) -> SpanId {
    let parent = parent.to_bytes();
    let all: Vec<&[u8]> = std::iter::once(parent.as_slice()).chain(parts.iter().copied()).collect();
    SpanId::from_bytes(part(&digest(&all), 0))
}

fn digest(parts: &[&[u8]]) -> [u8; 32] {
    let mut context = Context::new(&SHA256);
    for part in parts {
        context.update(&(part.len() as u64).to_be_bytes());
        context.update(part);
    }
    part(context.finish().as_ref(), 0)
}

/// So many bytes from there on.
fn part<const N: usize>(bytes: &[u8], from: usize) -> [u8; N] {
    std::array::from_fn(|index| bytes[from + index])
}

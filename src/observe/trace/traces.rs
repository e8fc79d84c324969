//! Where traces begin: at an event that comes in, at a run that is driven.

use std::sync::Arc;

use http::StatusCode;
use opentelemetry::KeyValue;
use opentelemetry::trace::{SpanId, SpanKind};
use tokio::time::Instant;

use crate::entropy::Entropy;
use crate::model::event::{Event, Source};
use crate::model::id::EventId;
use crate::model::run::Run;
use crate::model::time::Timestamp;
use crate::observe::trace::collector::Collector;
use crate::observe::trace::id::{below, of_event, of_run};
use crate::observe::trace::span::{Dial, Open, Place, Span, innermost, status_code, text};
use crate::observe::trace::{Error, Settings};

/// Where spans go. Clones share it; the default is nowhere.
#[derive(Debug, Clone, Default)]
pub struct Traces(Option<Arc<Collector>>);

/// An event that comes in. One that is dropped is not told.
#[derive(Debug)]
pub struct Arrival(Option<Incoming>);

#[derive(Debug)]
struct Incoming {
    collector: Arc<Collector>,
    source: Source,
    external_id: String,
    kind: String,
    route: Option<&'static str>,
    start: Instant,
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

    /// An event of this id and type has been coming in since `start`: by a route, or because it was fetched.
    pub fn arrival(
        &self,
        source: Source,
        external_id: &str,
        kind: &str,
        route: Option<&'static str>,
        start: Instant,
    ) -> Arrival {
        Arrival(self.0.as_ref().map(|collector| Incoming {
            collector: Arc::clone(collector),
            source,
            external_id: external_id.to_owned(),
            kind: kind.to_owned(),
            route,
            start,
        }))
    }

    /// A run is driven: below its event, or in a trace of its own.
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
            match run.token {
                1 => (trace, SpanId::INVALID, root),
                token => (trace, root, below(root, &[b"run", &time(token)])),
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
        })))
    }

    /// Sends what waits, for a few seconds at most; what comes later is lost.
    pub async fn close(&self) {
        if let Some(collector) = &self.0 {
            collector.close().await;
        }
    }
}

impl Arrival {
    /// It is kept in this row, which is new or not; or it is not kept, by this code. The first arrival is the root of its trace, any other
    /// is below it.
    pub fn end(self, kept: Result<(EventId, bool), &str>, now: Timestamp) {
        let Some(Incoming { collector, source, external_id, kind, route, start }) = self.0 else { return };
        let (trace, root) = of_event(source, &external_id);
        let first = matches!(kept, Ok((_, true)));
        let (span, parent) = if first { (root, SpanId::INVALID) } else { (below(root, &[&collector.unique()]), root) };
        let mut attributes = vec![text("discuno.source", source.as_str()), text("discuno.event.type", &kind)];
        let (kind, name) = match route {
            Some(route) => (SpanKind::Server, format!("POST {route}")),
            None => (SpanKind::Internal, format!("fetch {source}")),
        };
        if let Some(route) = route {
            attributes.extend([text("http.request.method", "POST"), text("http.route", route)]);
            // A request of the application's may hold many events, which are answered together.
            if source != Source::App {
                let status = if kept.is_ok() { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
                attributes.push(status_code(status));
            }
        }
        if let Ok((event, is_new)) = kept {
            attributes.push(text("discuno.event.id", &event.to_string()));
            attributes.push(KeyValue::new("discuno.event.duplicate", !is_new));
        }
        let dial = Dial::set(now);
        let (place, ended) = (Place { collector, trace, span, dial }, dial.now());
        let began = ended - start.elapsed();
        Open { place, parent, remote: !first, kind, name, began, attributes }.send(ended, kept.map(drop));
    }
}

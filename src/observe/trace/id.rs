//! Ids of traces and spans: hashed from what is stored, so that whoever writes a span knows the one above it.

use aws_lc_rs::digest::{Context, SHA256};
use opentelemetry::trace::{SpanId, TraceId};

use crate::model::event::Source;
use crate::model::run::Run;

/// The trace of an event, and the span that is its root.
pub(super) fn of_event(source: Source, external_id: &str) -> (TraceId, SpanId) {
    let digest = digest(&[b"event", source.as_str().as_bytes(), external_id.as_bytes()]);
    (TraceId::from_bytes(part(&digest, 0)), SpanId::from_bytes(part(&digest, 16)))
}

/// The trace of a run that no event has started, and what its spans begin with.
pub(super) fn of_run(run: &Run) -> (TraceId, SpanId) {
    let created = run.created_at.0.to_be_bytes();
    let digest = digest(&[b"run", run.workflow.as_bytes(), run.key.as_bytes(), &created]);
    (TraceId::from_bytes(part(&digest, 0)), SpanId::from_bytes(part(&digest, 16)))
}

/// A span's id, from the one that it is below and what sets it apart there.
pub(super) fn below(parent: SpanId, parts: &[&[u8]]) -> SpanId {
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

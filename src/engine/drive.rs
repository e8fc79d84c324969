//! Moves one claimed run as far as it goes.

use std::panic::AssertUnwindSafe;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use futures_util::FutureExt;
use tokio::time::Instant;

use crate::engine::ctx::{Ctx, Stop, Surroundings, panic_message};
use crate::engine::registry::Registry;
use crate::model::event::Event;
use crate::model::failure::Failure;
use crate::model::run::{End, Run};
use crate::model::time::Timestamp;
use crate::store::Claimed;
use crate::store::error::Error;

/// Claims in a row that recorded nothing, after which a run is taken for poison. A process that is killed over and over
/// stalls the innocent runs it holds too, so it takes many.
const MOST_STALLS: u32 = 20;

/// How long programs of two versions may be at work side by side.
const UPGRADE: Duration = Duration::from_hours(1);
/// Until a run is looked at again whose workflow, or what was recorded of it, is not known here.
const NOT_OURS: Duration = Duration::from_secs(20);
/// How long a run waits that panicked outside its steps.
const PANIC_PAUSE: Duration = Duration::from_secs(5);

/// Moves `claimed` until it ends, sleeps, or is lost. An error says that the store could not be written; the lease
/// runs out and the run is taken again.
pub async fn drive(
    surroundings: &Surroundings,
    registry: &Registry,
    claimed: Claimed,
    deadline: Arc<Mutex<Instant>>,
) -> Result<(), Error> {
    let event = traced_event(surroundings, &claimed.run).await;
    let span = surroundings.traces.run(&claimed.run, event.as_ref(), surroundings.clock.now());
    let outcome = span.cover(advance(surroundings, registry, claimed, deadline)).await;
    span.end_run(outcome.as_ref().map(Option::as_ref).map_err(Error::code));
    outcome.map(drop)
}

/// The event whose trace the run belongs to. One that cannot be read is missing there, and nowhere else.
async fn traced_event(surroundings: &Surroundings, run: &Run) -> Option<Event> {
    let event = run.event.filter(|_| surroundings.traces.are_sent())?;
    surroundings.store.event(event).await.ok()
}

/// How the run ended, if it did.
async fn advance(
    surroundings: &Surroundings,
    registry: &Registry,
    claimed: Claimed,
    deadline: Arc<Mutex<Instant>>,
) -> Result<Option<End>, Error> {
    let (lease, run, input) = (claimed.lease, claimed.run.clone(), claimed.input.clone());
    let (store, clock) = (&surroundings.store, &surroundings.clock);
    let recorded = claimed.journal.last().map(|attempt| attempt.ended_at);
    let ctx = Ctx::new(surroundings, claimed, deadline);

    let end = if run.cancel_requested {
        End::Cancelled
    } else if run.stalls > MOST_STALLS {
        let message = format!("{MOST_STALLS} executors took the run and recorded nothing");
        End::Failed(Failure::unknown("poison", message))
    } else if let Some(workflow) = registry.get(&run.workflow) {
        let story = AssertUnwindSafe(workflow.run(&ctx, input.get())).catch_unwind();
        let told = tokio::select! {
            biased;
            told = story => Some(told),
            () = ctx.stopped.notified() => None,
        };
        match told {
            Some(Ok(Ok(outcome))) => End::Succeeded(outcome.to_owned()),
            Some(Ok(Err(failure))) => End::Failed(failure),
            Some(Err(panic)) => {
                tracing::error!(
                    tag = "SideEffects", event = "workflow_panicked", runId = %run.id, workflow = run.workflow,
                    error = panic_message(&panic),
                );
                return store.suspend(lease, None, clock.now().plus(PANIC_PAUSE), clock.now()).await.map(|()| None);
            }
            None => match ctx.take_stop() {
                // It sleeps. Whoever wakes it too early, a clock that jumped back for one, has not stalled it.
                Some(Stop::Suspend { attempt: None, due_at }) => {
                    return ctx.insist(|now| store.put_back(lease, due_at, now)).await.map(|()| None);
                }
                Some(Stop::Suspend { attempt, due_at }) => {
                    return ctx.insist(|now| store.suspend(lease, attempt.clone(), due_at, now)).await.map(|()| None);
                }
                Some(Stop::PutBack { due_at }) => {
                    return ctx.insist(|now| store.put_back(lease, due_at, now)).await.map(|()| None);
                }
                Some(Stop::Cancelled) => End::Cancelled,
                // The program that recorded it may be at work beside this one, and is the one that goes on.
                Some(Stop::Unfit(message)) if recorded.is_some_and(|at| is_within(UPGRADE, at, clock.now())) => {
                    tracing::warn!(
                        tag = "Worker", event = "run_unfit", runId = %run.id, workflow = run.workflow, error = message,
                        message = "another version of the program recorded it: it waits for that one, for an hour",
                    );
                    return store.put_back(lease, clock.now().plus(NOT_OURS), clock.now()).await.map(|()| None);
                }
                Some(Stop::Unfit(message) | Stop::Nondeterministic(message)) => {
                    End::Failed(Failure::unknown("nondeterminism", message))
                }
                Some(Stop::Store(error)) => return Err(error),
                Some(Stop::LeaseLost) | None => return Err(Error::LeaseLost),
            },
        }
    } else if clock.now() < run.created_at.plus(UPGRADE) {
        // A newer program beside this one has started it, and is the one that takes it.
        return store.put_back(lease, clock.now().plus(NOT_OURS), clock.now()).await.map(|()| None);
    } else {
        End::Failed(Failure::permanent("unknown_workflow", format!("this program has no workflow {}", run.workflow)))
    };

    ctx.insist(|now| store.finish(lease, end.clone(), now)).await?;
    surroundings.metrics.run_ended(&run.workflow, end.state().as_str());
    log_end(&run, &end);
    Ok(Some(end))
}

/// Whether the two are not further apart; a time that only a wrong clock can have told is.
fn is_within(span: Duration, at: Timestamp, now: Timestamp) -> bool {
    now.since(at) < span && at.since(now) < span
}

fn log_end(run: &Run, end: &End) {
    let (id, workflow) = (run.id, &run.workflow);
    match end {
        End::Succeeded(outcome) => {
            tracing::info!(tag = "SideEffects", event = "run_finished", runId = %id, workflow, outcome);
        }
        End::Failed(failure) => tracing::error!(
            tag = "SideEffects", event = "run_failed", critical = true, runId = %id, workflow,
            code = failure.code, error = failure.message,
        ),
        End::Cancelled => tracing::warn!(tag = "SideEffects", event = "run_cancelled", runId = %id, workflow),
    }
}

//! Two versions of the program side by side: a run that one has begun, and the other claims.

use std::sync::Arc;
use std::time::Duration;

use discuno::engine::ctx::Ctx;
use discuno::engine::policy::Policy;
use discuno::engine::registry::{Outcome, Registry, Workflow};
use discuno::engine::worker::Worker;
use discuno::model::failure::Failure;
use discuno::model::run::{Run, RunState};
use discuno::store::change::NewRun;
use serde_json::{Value, json};
use tokio::task::AbortHandle;
use tokio_util::sync::CancellationToken;

use crate::support::World;

const NAME: &str = "errand";
const MINUTE: Duration = Duration::from_secs(60);

/// As the old program has it.
struct Old;
/// With a step that the old one does not have.
struct New;

async fn does(ctx: &Ctx, step: &str) -> Result<(), Failure> {
    ctx.step(step, Policy::DEFAULT, async |_| Ok(())).await
}

impl Workflow for Old {
    const NAME: &'static str = NAME;
    type Input = Value;

    async fn run(&self, ctx: &Ctx, _: Value) -> Result<Outcome, Failure> {
        does(ctx, "go").await?;
        does(ctx, "return").await?;
        Ok("old")
    }
}

impl Workflow for New {
    const NAME: &'static str = NAME;
    type Input = Value;

    async fn run(&self, ctx: &Ctx, _: Value) -> Result<Outcome, Failure> {
        does(ctx, "go").await?;
        ctx.sleep("look-around", MINUTE * 10).await;
        does(ctx, "return").await?;
        Ok("new")
    }
}

fn works(world: &World, registry: Registry) -> AbortHandle {
    let worker = Worker::new(world.app.surroundings(), Arc::new(registry), 4);
    tokio::spawn(worker.run(CancellationToken::new())).abort_handle()
}

async fn run(world: &World) -> Run {
    world.app.store.run(world.run_ids(NAME).await[0]).await.unwrap()
}

/// A run that the new program has begun, and the old one has to itself.
async fn begun() -> (World, AbortHandle) {
    let world = World::idle();
    let errand = NewRun::with_input(NAME, "1".to_owned(), json!({}));
    world.app.store.ensure(vec![errand], world.app.clock.now()).await.unwrap();
    let new = works(&world, Registry::default().with(New));
    tokio::time::sleep(MINUTE).await;
    new.abort();
    let old = works(&world, Registry::default().with(Old));
    tokio::time::sleep(MINUTE * 49).await;
    let Run { state, failure, .. } = run(&world).await;
    assert_eq!((state, failure), (RunState::Queued, None), "50 minutes after it was begun");
    (world, old)
}

#[tokio::test(start_paused = true)]
async fn a_run_that_a_newer_program_has_begun_waits_for_it_and_is_ended_by_it() {
    let (world, _old) = begun().await;
    works(&world, Registry::default().with(New));
    tokio::time::sleep(MINUTE * 5).await;
    let ended = run(&world).await;
    assert_eq!((ended.state, ended.outcome.as_deref()), (RunState::Succeeded, Some("new")));
}

#[tokio::test(start_paused = true)]
async fn a_run_that_no_program_fits_fails_an_hour_after_what_was_recorded_last() {
    let (world, _old) = begun().await;
    tokio::time::sleep(MINUTE * 15).await;
    let ended = run(&world).await;
    let code = ended.failure.map(|failure| failure.code);
    assert_eq!((ended.state, code.as_deref()), (RunState::Failed, Some("nondeterminism")));
    assert_eq!(world.app.store.backlog(world.app.clock.now()).await.unwrap().open_cases, 1);
}

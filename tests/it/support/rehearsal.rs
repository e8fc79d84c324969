//! A course of events that is gone through again and again, each time with something else going wrong.

use std::sync::Arc;
use std::time::Duration;

use discuno::config::Config;
use discuno::ops;
use discuno::sandbox::fault::{Effect, Fault};
use discuno::sim::script::OPERATIONS;
use serde_json::Value;

use crate::support::flaky::Flaw;
use crate::support::{CalEvent, Event, Trip, Tripwire, World};

/// Something that happens.
#[derive(Clone)]
pub(crate) enum Act {
    Stripe(Event),
    Cal(CalEvent),
    Connect(Event),
    App(Value),
    /// An operator has the payment refunded in full and its session called off.
    Refund,
    /// Time passes.
    Pass(Duration),
    /// A provider's doing of which nobody tells us.
    Unheard(Vec<u8>),
    /// A provider gives trouble from now on.
    Trouble(Fault),
    /// What is scheduled begins.
    Schedules,
    /// An operator wants to know whether alerts arrive.
    TestAlert,
}

impl Act {
    pub(crate) async fn happen(&self, world: &World) {
        let answer = match self {
            Self::Stripe(event) => world.send(event).await.0,
            Self::Cal(event) => world.send_cal(event).await.0,
            Self::Connect(event) => world.send_connect(event).await.0,
            Self::App(event) => world.post_to("e/any", &serde_json::to_vec(event).unwrap(), &[]).await.0,
            Self::Refund => {
                world.order_refund().await;
                return;
            }
            Self::Pass(span) => return world.pass(*span).await,
            Self::Unheard(event) => return world.sandbox.observe(event),
            Self::Trouble(fault) => return world.sandbox.inject(fault.clone()),
            Self::Schedules => return world.app.begin_schedules().await.unwrap(),
            Self::TestAlert => {
                ops::alert::test(&world.app.store, "mia", world.app.clock.now()).await.unwrap();
                return;
            }
        };
        assert_eq!(answer, 200);
    }
}

/// What comes before the trouble, what is sent in the midst of it, and the workflow that it is about.
pub(crate) struct Rehearsal {
    pub(crate) before: Vec<Act>,
    pub(crate) acts: Vec<Act>,
    pub(crate) workflow: &'static str,
    pub(crate) adjust: fn(&mut Config),
    /// Whether the end is only reached once the mentor's share has moved.
    pub(crate) with_share: bool,
}

impl Rehearsal {
    /// Of events of Stripe alone.
    pub(crate) fn of(workflow: &'static str, events: impl IntoIterator<Item = Event>) -> Self {
        let acts = events.into_iter().map(Act::Stripe).collect();
        Self { before: Vec::new(), acts, workflow, adjust: |_| {}, with_share: false }
    }
}

impl Rehearsal {
    /// Every provider answers every operation wrongly in every way: once, and more often than a step is tried.
    pub(crate) async fn with_every_fault(&self) {
        let effects = [
            Effect::ErrorBefore { status: 500 },
            Effect::ErrorAfter { status: 500 },
            Effect::ErrorBefore { status: 503 },
            Effect::DropBefore,
            Effect::DropAfter,
            Effect::HangBefore,
            Effect::HangAfter,
            Effect::RateLimited { retry_after_secs: 7 },
            Effect::Refuse { status: 418, code: "teapot".to_owned(), message: "no".to_owned() },
            Effect::ErrorBefore { status: 401 },
        ];
        'operations: for (provider, operation) in OPERATIONS {
            for effect in &effects {
                for times in [1, 5] {
                    let mut world = self.begin().await;
                    world.work_over(world.providers());
                    world.sandbox.inject(Fault::new(provider, effect.clone()).on(operation).times(times));
                    self.act(&world, &self.acts).await;
                    self.end(&mut world, &format!("{operation} {effect:?} x{times}")).await;
                    if times == 1 && !world.sandbox.faults().is_empty() {
                        // Nobody asks for this here.
                        continue 'operations;
                    }
                }
            }
        }
    }

    /// The process is gone before and after each call; another takes over.
    pub(crate) async fn with_a_crash_at_every_call(&self) {
        self.with_each_call_met(async |world, _| world.kill_worker(), "crash").await;
    }

    /// A person cancels the run at each call.
    pub(crate) async fn with_a_cancellation_at_every_call(&self) {
        let cancel = async |world: &mut World, workflow: &str| {
            let now = world.app.clock.now();
            for run in world.run_ids(workflow).await {
                world.app.store.cancel(run, now).await.unwrap();
            }
        };
        self.with_each_call_met(cancel, "cancelled").await;
    }

    /// Each write of a run fails in turn, or succeeds without its executor being told: the step is done again.
    pub(crate) async fn with_every_write_failing(&self) {
        for trip in [Trip::Before, Trip::After] {
            for write in 0.. {
                let mut world = self.begin().await;
                let flaky = Arc::new(Flaw::at(Arc::clone(&world.app.store), write, trip));
                world.app.store = Arc::clone(&flaky) as _;
                world.work_over(world.providers());
                self.act(&world, &self.acts).await;
                self.end(&mut world, &format!("write {write} failed {trip:?}")).await;
                if !flaky.watch().tripped() {
                    assert!(write > 1, "{write} writes");
                    break;
                }
            }
        }
    }

    async fn with_each_call_met(&self, at_the_call: impl AsyncFn(&mut World, &str), what: &str) {
        for trip in [Trip::Before, Trip::After] {
            for call in 0.. {
                let mut world = self.begin().await;
                let wire = Tripwire::new(world.providers(), call, trip);
                world.work_over(wire.clone());
                self.act(&world, &self.acts).await;
                let met = tokio::select! {
                    () = wire.met.notified() => true,
                    () = self.settle(&mut world) => false,
                };
                if !met {
                    assert!(call > 0, "{call} calls");
                    break;
                }
                at_the_call(&mut world, self.workflow).await;
                world.work_over(world.providers());
                tokio::time::sleep(Duration::from_secs(1)).await;
                self.end(&mut world, &format!("{what} {trip:?} call {call}")).await;
            }
        }
    }

    /// A world in which everything before the trouble has come to its end.
    async fn begin(&self) -> World {
        let mut world = World::idle_with(self.adjust);
        if !self.before.is_empty() {
            world.work_over(world.providers());
            self.act(&world, &self.before).await;
            world.settle().await;
            world.kill_worker();
        }
        world
    }

    async fn act(&self, world: &World, acts: &[Act]) {
        for act in acts {
            act.happen(world).await;
        }
    }

    pub(crate) async fn settle(&self, world: &mut World) {
        if self.with_share {
            world.settle_share().await;
        } else {
            world.settle().await;
        }
    }

    async fn end(&self, world: &mut World, context: &str) {
        self.settle(world).await;
        world.assert_money_is_right(context).await;
    }
}

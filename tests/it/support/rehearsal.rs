//! A course of events that is gone through again and again, each time with something else going wrong.

use std::sync::Arc;
use std::time::Duration;

use discuno::sandbox::fault::{Effect, Fault, Provider};

use crate::support::flaky::Flaky;
use crate::support::{Event, Trip, Tripwire, World};

const OPERATIONS: [(Provider, &str); 9] = [
    (Provider::Posthog, "capture"),
    (Provider::Cal, "bookings.create"),
    (Provider::Cal, "bookings.list"),
    (Provider::Cal, "bookings.cancel"),
    (Provider::Stripe, "payment_intents.get"),
    (Provider::Stripe, "refunds.create"),
    (Provider::Stripe, "refunds.list"),
    (Provider::Mail, "emails.send"),
    (Provider::Alert, "alerts.post"),
];

/// What is sent, and the workflow that it is about.
pub(crate) struct Rehearsal {
    pub(crate) events: Vec<Event>,
    pub(crate) workflow: &'static str,
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
        for (provider, operation) in OPERATIONS {
            for effect in &effects {
                for times in [1, 5] {
                    let world = World::new();
                    world.sandbox.inject(Fault::new(provider, effect.clone()).on(operation).times(times));
                    self.send(&world).await;
                    self.end(&world, &format!("{operation} {effect:?} x{times}")).await;
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
            for (run, _) in world.story().await.runs.iter().filter(|(run, _)| run.workflow == workflow) {
                world.app.store.cancel(run.id, now).await.unwrap();
            }
        };
        self.with_each_call_met(cancel, "cancelled").await;
    }

    /// Each write of a run fails in turn, or succeeds without its executor being told: the step is done again.
    pub(crate) async fn with_every_write_failing(&self) {
        for trip in [Trip::Before, Trip::After] {
            for write in 0.. {
                let mut world = World::idle();
                let flaky = Arc::new(Flaky::new(Arc::clone(&world.app.store), write, trip));
                world.app.store = Arc::clone(&flaky) as _;
                world.work_over(world.providers());
                self.send(&world).await;
                self.end(&world, &format!("write {write} failed {trip:?}")).await;
                if !flaky.tripped() {
                    assert!(write > 4, "{write} writes");
                    break;
                }
            }
        }
    }

    async fn with_each_call_met(&self, at_the_call: impl AsyncFn(&mut World, &str), what: &str) {
        for trip in [Trip::Before, Trip::After] {
            for call in 0.. {
                let mut world = World::idle();
                let wire = Tripwire::new(world.providers(), call, trip);
                world.work_over(wire.clone());
                self.send(&world).await;
                let met = tokio::select! {
                    () = wire.met.notified() => true,
                    () = world.settle() => false,
                };
                if !met {
                    assert!(call > 1, "{call} calls");
                    break;
                }
                at_the_call(&mut world, self.workflow).await;
                world.work_over(world.providers());
                tokio::time::sleep(Duration::from_secs(1)).await;
                self.end(&world, &format!("{what} {trip:?} call {call}")).await;
            }
        }
    }

    async fn send(&self, world: &World) {
        for event in &self.events {
            assert_eq!(world.send(event).await.0, 200);
        }
    }

    async fn end(&self, world: &World, context: &str) {
        world.settle().await;
        world.assert_money_is_right(context).await;
    }
}

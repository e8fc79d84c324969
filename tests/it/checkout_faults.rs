//! The checkout workflow under every fault at every call, every crash before and after every effect, and cancelled.

use std::time::Duration;

use discuno::sandbox::fault::{Effect, Fault, Provider};

use crate::support::{Event, Trip, Tripwire, World};

/// The ways a purchase can go.
const PATHS: [&str; 4] = [
    "zoe@example.edu",
    "zoe+cal-refused@example.edu",
    "zoe+cal-refused+refund-refused@example.edu",
    "zoe+cal-refused+refund-pending@example.edu",
];

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

#[tokio::test(start_paused = true)]
async fn every_fault_at_every_call_ends_rightly() {
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
    let mut worlds = 0;
    for path in PATHS {
        for (provider, operation) in OPERATIONS {
            for effect in &effects {
                for times in [1] {
                    let world = World::new();
                    world.sandbox.inject(Fault::new(provider, effect.clone()).on(operation).times(times));
                    world.send(&Event::paid(path)).await;
                    world.settle().await;
                    world.assert_money_is_right(&format!("{path} {operation} {effect:?} x{times}")).await;
                    worlds += 1;
                }
            }
        }
    }
    assert_eq!(worlds, PATHS.len() * OPERATIONS.len() * effects.len());
}

#[tokio::test(start_paused = true)]
async fn a_crash_before_or_after_any_call_loses_and_doubles_nothing() {
    let mut crashes = 0;
    for path in PATHS {
        for trip in [Trip::Before, Trip::After] {
            for call in 0.. {
                let mut world = World::idle();
                let wire = Tripwire::new(world.providers(), call, trip);
                world.work_over(wire.clone());
                world.send(&Event::paid(path)).await;
                let crashed = tokio::select! {
                    () = wire.met.notified() => true,
                    () = world.settle() => false,
                };
                if !crashed {
                    break;
                }
                world.work_over(world.providers());
                world.settle().await;
                world.assert_money_is_right(&format!("{path} crash {trip:?} call {call}")).await;
                crashes += 1;
            }
        }
    }
    assert!(crashes > 40, "{crashes} crash points");
}

#[tokio::test(start_paused = true)]
async fn a_zombie_that_wakes_after_its_lease_records_nothing() {
    let mut world = World::idle();
    // Slower than any lease: the call takes effect long after another worker has the run.
    world.sandbox.inject(Fault::new(Provider::Cal, Effect::Slow { millis: 15_000 }).on("bookings.create").times(1));
    world.work_over(world.providers());
    world.send(&Event::paid("zoe@example.edu")).await;
    world.settle().await;
    world.assert_money_is_right("slow booking").await;
}

#[tokio::test(start_paused = true)]
async fn cancelled_at_any_call_the_money_is_accounted_for() {
    for path in PATHS {
        for call in 0.. {
            let mut world = World::idle();
            let wire = Tripwire::new(world.providers(), call, Trip::After);
            world.work_over(wire.clone());
            world.send(&Event::paid(path)).await;
            let met = tokio::select! {
                () = wire.met.notified() => true,
                () = world.settle() => false,
            };
            if !met {
                break;
            }
            let (now, story) = (world.app.clock.now(), world.story().await);
            for (run, _) in story.runs.iter().filter(|(run, _)| run.workflow == "process-checkout-side-effects") {
                let ended = world.app.store.cancel(run.id, now).await.unwrap();
                assert!(ended || !run.state.is_terminal(), "{path} call {call}");
            }
            world.work_over(world.providers());
            tokio::time::sleep(Duration::from_secs(1)).await;
            world.settle().await;
            world.assert_money_is_right(&format!("{path} cancelled at call {call}")).await;
        }
    }
}

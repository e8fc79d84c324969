//! A clock that was wrong and is set right.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use discuno::model::payment::PaymentStatus;
use discuno::model::time::Timestamp;
use discuno::observe::subscriber_into;
use discuno::sandbox::fault::{Effect, Fault, Provider};
use serde_json::Value;
use tokio::time::Instant;
use tracing::Dispatch;
use tracing::subscriber::NoSubscriber;

use crate::support::{Event, World};

const HOUR: Duration = Duration::from_secs(3600);
/// By how much it is ahead.
const AHEAD: i64 = 6 * 3_600_000;

/// A purchase that waits for its next try.
async fn waits_with_a_clock_that_is_ahead(world: &World) {
    world.app.clock.set_ahead(AHEAD);
    world.sandbox.inject(Fault::new(Provider::Cal, Effect::ErrorBefore { status: 503 }));
    world.send(&Event::paid("zoe@example.edu")).await;
    let waits = "SELECT count(*) FROM attempts a JOIN runs r ON r.id = a.run_id WHERE a.outcome = 'retry' AND r.state = 'queued'";
    while world.books().count(waits) == 0 {
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

async fn is_booked_soon(world: &World) {
    world.sandbox.clear_faults();
    let start = Instant::now();
    while world.payment().await.status != PaymentStatus::Booked {
        assert!(start.elapsed() < HOUR / 6, "it waits for what the clock was ahead: {:?}", start.elapsed());
        tokio::time::sleep(Duration::from_secs(1)).await;
    }
    world.settle().await;
    world.assert_money_is_right("set back").await;
}

#[tokio::test(start_paused = true)]
async fn a_clock_that_is_set_back_makes_nobody_wait_for_what_it_was_ahead() {
    let log = Arc::new(Mutex::new(Vec::new()));
    let world = World::new();
    let _logged = tracing::subscriber::set_default(subscriber_into(Arc::clone(&log), world.app.clock.clone()));
    // Beside a second one, whoever comes by a line first does not decide for its own thread alone that nobody wants to hear of it.
    let _second = Dispatch::new(NoSubscriber::new());
    waits_with_a_clock_that_is_ahead(&world).await;
    world.app.clock.set_ahead(0);
    is_booked_soon(&world).await;

    let text = String::from_utf8(log.lock().unwrap().clone()).unwrap();
    let lines = text.lines().filter(|line| line.contains("clock_stepped_back"));
    let lines: Vec<Value> = lines.map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(lines.len(), 1, "{lines:?}");
    let step = lines[0]["stepMs"].as_i64().unwrap();
    assert!((AHEAD - 1000..=AHEAD).contains(&step), "{lines:?}");
}

#[tokio::test(start_paused = true)]
async fn a_clock_that_is_set_back_while_nobody_works_makes_nobody_wait_either() {
    let mut world = World::new();
    waits_with_a_clock_that_is_ahead(&world).await;
    world.kill_worker();
    world.app.clock.set_ahead(0);
    world.work_over(world.providers());
    is_booked_soon(&world).await;
}

#[tokio::test(start_paused = true)]
async fn what_waits_for_longer_than_any_retry_says_nothing_of_a_clock_that_was_ahead() {
    let world = World::new();
    world.send(&Event::paid("zoe+cal-refused@example.edu")).await;
    world.settle().await;
    let latest =
        "SELECT max(ended_at) FROM attempts WHERE run_id = (SELECT max(id) FROM runs WHERE workflow = 'settle-check')";
    let latest = world.books().count(latest);
    let the_day_before = Timestamp(latest).minus(24 * HOUR);
    for (minutes, ahead) in [(59, true), (61, false)] {
        let due = latest + minutes * 60_000;
        world.books().run(&format!("UPDATE runs SET due_at = {due} WHERE workflow = 'settle-check'")).unwrap();
        let found = world.app.store.recorded_ahead(the_day_before).await.unwrap();
        assert_eq!(found, ahead.then_some(Timestamp(latest)), "{minutes}");
    }
}

#[tokio::test(start_paused = true)]
async fn what_waits_for_a_time_of_day_waits_for_it_when_the_clock_is_set_back() {
    let mut world = World::new();
    world.app.begin_schedules().await.unwrap();
    world.app.clock.set_ahead(AHEAD / 6);
    world.send(&Event::paid("zoe+share-later@example.edu")).await;
    world.settle().await;
    let due = "SELECT workflow || ' ' || CAST(due_at AS TEXT) FROM runs WHERE state = 'queued' \
               AND workflow IN ('transfer-to-mentor', 'daily-summary', 'prune', 'reconcile') ORDER BY workflow, id";
    let before = world.books().rows(due);
    assert!(before.len() >= 4, "{before:?}");
    // A worker that begins meanwhile has not seen it set back: the first one has.
    world.app.clock.set_ahead(0);
    tokio::time::sleep(HOUR / 2).await;
    assert_eq!(world.books().rows(due), before);
    world.settle_share().await;
    world.assert_money_is_right("set back").await;
}

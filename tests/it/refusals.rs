//! What is refused for want of the right secret: people are told once, and once more when it is over.

use std::time::Duration;

use discuno::model::alert::{Alert, Condition};
use discuno::model::event::Source;
use discuno::model::role::Role;
use discuno::observe::metrics::Metrics;
use discuno::ops::watch::Watch;
use discuno::sandbox::fault::{Effect, Fault, Provider};
use rustix::process::Signal;
use serde_json::{Value, json};

use crate::support::desk::Desk;
use crate::support::process::{Deployment, PATIENCE};
use crate::support::{Event, World, http};

const MINUTE: Duration = Duration::from_secs(60);

async fn alerts(world: &World) -> Vec<Alert> {
    world.app.store.alerts(true, 100).await.unwrap()
}

/// Lets as many minutes pass, and looks in each.
async fn watch_for(watch: &mut Watch, minutes: u32) {
    for _ in 0..minutes {
        tokio::time::sleep(MINUTE).await;
        watch.look().await.unwrap();
    }
    // Whoever is told is told by a run.
    tokio::time::sleep(MINUTE / 4).await;
}

fn posted(world: &World) -> Vec<String> {
    let posts = world.ledger().alerts.posts.into_iter();
    posts.map(|post| post.body["text"].as_str().expect("a text").to_owned()).collect()
}

async fn refused_keys(world: &World) -> Vec<String> {
    let status = world.app.store.status(world.app.clock.now()).await.unwrap();
    status.refused_keys.into_iter().map(|key| key.provider).collect()
}

#[tokio::test(start_paused = true)]
async fn a_provider_that_refuses_our_key_is_shown_at_once_and_told_of_after_ten_minutes() {
    let mut world = World::new();
    let told =
        |world: &World| posted(world).into_iter().filter(|text| text.contains("key_refused")).collect::<Vec<_>>();
    let mut watch = world.app.watch();
    world.sandbox.inject(Fault::new(Provider::Cal, Effect::ErrorBefore { status: 401 }));
    world.send(&Event::paid("zoe@example.edu")).await;
    watch_for(&mut watch, 5).await;
    assert_eq!(refused_keys(&world).await, ["cal"]);
    assert!(alerts(&world).await.is_empty(), "it may take it again by itself");
    let page = Desk::of(&world, Role::Viewer).get("/").await.body;
    assert!(page.contains("refuses our key since"), "{page}");
    let page = Desk::of(&world, Role::Viewer).get("/providers").await.body;
    assert!(page.contains("key refused"), "{page}");
    watch_for(&mut watch, 10).await;
    assert_eq!(alerts(&world).await[0].condition, Condition::KeyRefused);
    assert!(told(&world)[0].contains("discuno retry --all --error credentials"), "{:?}", told(&world));

    // A process that has just begun has asked nobody yet: that is no success.
    world.app.metrics = Metrics::default();
    world.work_over(world.providers());
    let mut watch = world.app.watch();
    watch_for(&mut watch, 30).await;
    assert_eq!((told(&world).len(), alerts(&world).await.len()), (1, 1), "{:?}", told(&world));

    world.sandbox.clear_faults();
    let other = Event::paid("ada@example.edu").id("evt_other").session("id", json!("cs_test_other"));
    world.send(&other.session("payment_intent", json!("pi_other")).metadata("eventTypeId", json!("1001"))).await;
    watch_for(&mut watch, 5).await;
    assert_eq!(refused_keys(&world).await, [""; 0]);
    assert!(told(&world).len() == 2 && told(&world)[1].contains("over: key_refused cal"), "{:?}", told(&world));
}

#[tokio::test(start_paused = true)]
async fn refused_signatures_are_told_of_once_however_many_a_stranger_sends() {
    let mut world = World::new();
    let refuse = async |world: &World, count: usize| {
        for _ in 0..count {
            assert_eq!(world.post(b"{}", Some("t=1793872800,v1=00")).await.0, 400);
        }
    };
    let mut watch = world.app.watch();
    refuse(&world, 20).await;
    watch_for(&mut watch, 1).await;
    assert!(alerts(&world).await.is_empty());
    let status = world.app.store.status(world.app.clock.now()).await.unwrap();
    let stripe = status.sources.iter().find(|source| source.source == Source::Stripe).unwrap();
    assert_eq!((stripe.refused, stripe.last_hour), (20, 0));
    refuse(&world, 1).await;
    watch_for(&mut watch, 1).await;
    assert!(posted(&world)[0].contains("signatures_refused stripe: 21 requests"), "{:?}", posted(&world));

    // Again and again, and past the end of a process.
    for round in 0..11 {
        if round == 5 {
            world.app.metrics = Metrics::default();
            watch = world.app.watch();
        }
        watch_for(&mut watch, 20).await;
        refuse(&world, 25).await;
    }
    let found = alerts(&world).await;
    assert_eq!((posted(&world).len(), found.len()), (1, 1), "{:?}", posted(&world));
    assert!(found[0].condition == Condition::SignaturesRefused && found[0].ended_at.is_none(), "{found:?}");

    watch_for(&mut watch, 70).await;
    world.settle().await;
    let told = posted(&world);
    assert!(told.last().unwrap().contains("over: signatures_refused stripe"), "{told:?}");
    assert!(told.len() <= 3, "at its beginning, after four hours, and at its end: {told:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_process_that_only_takes_webhooks_has_refused_is_shown_by_another() {
    let deployment = Deployment::new().await;
    let mut serve = deployment.serve(&[]).await;
    let address = serve.address().unwrap();
    for _ in 0..3 {
        let headers = [("stripe-signature", "t=1793872800,v1=00")];
        assert_eq!(http::post(address, "/webhooks/stripe", &headers, b"{}").unwrap().status, 400);
    }
    serve.signal(Signal::TERM);
    assert!(serve.exits_within(PATIENCE).await.success());
    let (_, document, _) = deployment.ran(&["status", "--json"]);
    let document: Value = serde_json::from_str(&document).unwrap();
    let stripe = document["sources"].as_array().unwrap().iter().find(|source| source["source"] == "stripe");
    assert_eq!(stripe.unwrap()["refused"], 3, "{document}");
    let screen = deployment.ran(&["status"]).1;
    assert!(screen.to_lowercase().contains("refused"), "{screen}");
}

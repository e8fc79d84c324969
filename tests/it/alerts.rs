//! What people are told when the deployment itself is in trouble, and how they are told of many cases at once.

use std::time::Duration;

use discuno::model::alert::{Alert, Condition, Finding, Pace};
use discuno::model::case::CaseStatus;
use discuno::model::role::Role;
use discuno::model::run::RunState;
use discuno::ops;
use discuno::ops::watch::REST;
use discuno::sandbox::fault::{Effect, Fault, Provider};
use serde_json::json;

use crate::support::cluster::is_on_a_server;
use crate::support::desk::Desk;
use crate::support::{Event, World};

const MINUTE: Duration = Duration::from_secs(60);

fn down(subject: &str) -> Finding {
    let summary = "it has been failing for 1 min and is left alone".to_owned();
    Finding { condition: Condition::BreakerOpen, subject: subject.to_owned(), summary }
}

/// Nothing is taken there, for good.
fn down_at(provider: Provider) -> Fault {
    Fault::new(provider, Effect::ErrorBefore { status: 503 })
}

async fn report(world: &World, found: &[Finding]) {
    let pace = Pace { repeat: 60 * MINUTE, rest: REST };
    world.app.store.report(found.to_vec(), pace, world.app.clock.now()).await.unwrap();
}

async fn all(world: &World) -> Vec<Alert> {
    world.app.store.alerts(true, 100).await.unwrap()
}

/// The texts of what was posted.
fn posted(world: &World) -> Vec<String> {
    let posts = world.ledger().alerts.posts.into_iter();
    posts.map(|post| post.body["text"].as_str().expect("a text").to_owned()).collect()
}

/// An event that cannot be used, each on a session of its own.
fn unusable(number: usize) -> Event {
    Event::paid("zoe@example.edu")
        .id(&format!("evt_unusable_{number}"))
        .session("id", json!(format!("cs_test_unusable_{number}")))
        .session("payment_intent", json!(format!("pi_unusable_{number}")))
        .metadata("eventTypeId", json!("none"))
}

#[tokio::test(start_paused = true)]
async fn one_cause_is_told_once_again_after_a_while_and_when_it_is_over() {
    let world = World::new();
    for _ in 0..59 {
        report(&world, &[down("cal")]).await;
        tokio::time::sleep(MINUTE).await;
    }
    assert_eq!(posted(&world).len(), 1, "{:?}", posted(&world));
    report(&world, &[down("cal")]).await;
    tokio::time::sleep(MINUTE).await;
    report(&world, &[down("cal")]).await;
    world.settle().await;
    assert_eq!(posted(&world).len(), 2, "an hour later it goes on");
    assert!(posted(&world)[1].contains("still breaker_open cal"), "{:?}", posted(&world));

    report(&world, &[]).await;
    world.settle().await;
    let texts = posted(&world);
    assert_eq!(texts.len(), 3);
    assert!(texts[2].contains("over: breaker_open cal"), "{texts:?}");
    let alerts = all(&world).await;
    assert_eq!(alerts.len(), 1);
    assert!(alerts[0].ended_at.is_some() && alerts[0].count == 61, "{alerts:?}");
    assert!(alerts[0].delivered_at.is_some() && alerts[0].failure.is_none(), "{alerts:?}");
    let mails = world.ledger().mail.mails.into_iter().filter(|mail| mail.subject.starts_with("ALERT"));
    assert_eq!(mails.count(), 3, "and by e-mail each time");

    report(&world, &[down("cal")]).await;
    world.settle().await;
    assert_eq!((posted(&world).len(), all(&world).await.len()), (4, 2), "another time is another alert");
}

#[tokio::test(start_paused = true)]
async fn what_is_found_together_is_told_together() {
    let world = World::new();
    report(&world, &[down("cal"), down("stripe"), down("resend")]).await;
    world.settle().await;
    let texts = posted(&world);
    assert_eq!(texts.len(), 1, "{texts:?}");
    assert!(["cal", "stripe", "resend"].iter().all(|name| texts[0].contains(name)) && texts[0].starts_with("3 alerts"));
}

#[tokio::test(start_paused = true)]
async fn an_alert_that_nobody_hears_is_shown_and_told_once_somebody_can_be() {
    let world = World::with(|config| config.mail.alert_email = None);
    world.sandbox.inject(down_at(Provider::Alert));
    report(&world, &[down("cal")]).await;
    tokio::time::sleep(5 * MINUTE).await;
    let status = world.app.store.status(world.app.clock.now()).await.unwrap();
    assert!(status.alerts[0].failure.as_ref().unwrap().contains("webhook"), "{status:?}");
    assert_eq!(world.app.store.levels(world.app.clock.now()).await.unwrap().untold_alerts, 1);

    world.sandbox.clear_faults();
    world.settle().await;
    assert_eq!(posted(&world).len(), 1);
    let told = &all(&world).await[0];
    assert!(told.delivered_at.is_some() && told.failure.is_none(), "{told:?}");
}

#[tokio::test(start_paused = true)]
async fn a_test_says_that_nothing_is_wrong_and_leaves_nothing_open() {
    let world = World::new();
    let run = ops::alert::test(&world.app.store, "mia", world.app.clock.now()).await.unwrap();
    world.settle().await;
    assert_eq!(world.app.store.run(run).await.unwrap().outcome.as_deref(), Some("told"));
    assert!(posted(&world)[0].contains("nothing is wrong"));
    assert!(world.app.store.alerts(false, 10).await.unwrap().is_empty());

    world.sandbox.inject(down_at(Provider::Alert));
    world.sandbox.inject(down_at(Provider::Mail));
    let run = ops::alert::test(&world.app.store, "mia", world.app.clock.now()).await.unwrap();
    world.settle().await;
    assert_eq!(world.app.store.run(run).await.unwrap().outcome.as_deref(), Some("not_delivered"));
}

#[tokio::test(start_paused = true)]
async fn a_provider_that_stays_down_is_found_told_and_over() {
    let world = World::new();
    let mut watch = world.app.watch();
    assert_eq!(watch.look().await.unwrap(), None, "nothing is wrong");
    world.app.metrics.breaker("cal", true);
    assert_eq!(watch.look().await.unwrap(), None, "it stumbled a moment ago");
    tokio::time::sleep(2 * MINUTE).await;
    assert!(watch.look().await.unwrap().is_some());
    world.settle().await;
    assert!(posted(&world)[0].contains("breaker_open cal"), "{:?}", posted(&world));

    world.app.metrics.breaker("cal", false);
    tokio::time::sleep(REST).await;
    assert!(watch.look().await.unwrap().is_some(), "it is over");
    world.settle().await;
    assert!(posted(&world)[1].contains("over"));
}

#[tokio::test(start_paused = true)]
async fn a_full_disk_and_a_backlog_that_nobody_works_off_are_found() {
    let world = World::idle_with(|config| config.alerts.disk = u64::MAX);
    world.send(&Event::paid("zoe@example.edu")).await;
    tokio::time::sleep(11 * MINUTE).await;
    world.app.watch().look().await.unwrap();
    let found: Vec<Condition> = all(&world).await.iter().map(|alert| alert.condition).collect();
    // Whether a server's disk is full, only its machine knows.
    let disk = (!is_on_a_server()).then_some(Condition::DiskLow);
    assert_eq!(found, disk.into_iter().chain([Condition::BacklogOld]).collect::<Vec<_>>());
}

#[tokio::test(start_paused = true)]
async fn a_sender_that_fell_silent_is_found_by_who_has_just_started_too() {
    let world = World::new();
    world.send(&Event::paid("zoe@example.edu")).await;
    world.settle().await;
    tokio::time::sleep(25 * 60 * MINUTE).await;
    world.app.watch().look().await.unwrap();
    let alerts = all(&world).await;
    assert_eq!((alerts.len(), alerts[0].subject.as_str()), (1, "stripe"));
}

#[tokio::test(start_paused = true)]
async fn a_crowd_of_cases_is_told_of_in_a_few_messages_and_every_one_of_them_is() {
    let world = World::new();
    for number in 0..40 {
        world.send(&unusable(number)).await;
        tokio::time::sleep(Duration::from_secs(1)).await;
    }
    world.settle().await;
    let store = &world.app.store;
    let cases = store.cases(discuno::store::filter::Filter::newest(100)).await.unwrap();
    assert_eq!(cases.len(), 40);
    assert!(cases.iter().all(|case| case.status == CaseStatus::Open && case.alerted_at.is_some()), "{cases:?}");
    let opened = cases.iter().map(|case| case.opened_at).max().unwrap();
    let told = cases.iter().filter_map(|case| case.alerted_at).max().unwrap();
    assert!(told.since(opened) <= 10 * MINUTE, "{:?}", told.since(opened));
    let texts = posted(&world);
    assert!((2..=4).contains(&texts.len()), "{texts:?}");
    assert!(texts.last().unwrap().contains("more"), "{texts:?}");
}

#[tokio::test(start_paused = true)]
async fn the_others_are_told_of_even_if_the_first_ones_run_is_cancelled() {
    let world = World::idle();
    for number in 0..3 {
        world.send(&unusable(number)).await;
    }
    let first = world.run_ids("alert").await[0];
    world.app.store.cancel(first, world.app.clock.now()).await.unwrap();
    let mut world = world;
    let transport = world.providers();
    world.work_over(transport);
    world.settle().await;
    let cases = world.app.store.cases(discuno::store::filter::Filter::newest(100)).await.unwrap();
    assert!(cases.len() == 3 && cases.iter().all(|case| case.alerted_at.is_some()), "{cases:?}");
    assert_eq!(posted(&world).len(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_case_whose_alert_is_poison_is_shown_as_told_to_nobody_and_told_again() {
    let mut world = World::idle();
    world.send(&unusable(0)).await;
    let run = world.run_ids("alert").await[0];
    let store = world.app.store.clone();
    // Executors that die of it, one after the other.
    for _ in 0..21 {
        let now = world.app.clock.now();
        store.claim_run("gone", run, now, now.plus(MINUTE)).await.unwrap().expect("it is due");
        tokio::time::sleep(MINUTE).await;
    }
    let transport = world.providers();
    world.work_over(transport);
    world.settle().await;
    assert_eq!(store.run(run).await.unwrap().state, RunState::Failed);
    assert_eq!(posted(&world).len(), 0);
    assert_eq!(store.status(world.app.clock.now()).await.unwrap().untold_cases, 1);
    let page = Desk::of(&world, Role::Viewer).get("/").await.body;
    assert!(
        page.contains("Nobody could be told of <a href=\"/cases?status=open&amp;stuck=1\">1 of them</a>"),
        "{page}"
    );

    tokio::time::sleep(60 * MINUTE).await;
    world.app.watch().look().await.unwrap();
    world.settle().await;
    assert_eq!(posted(&world).len(), 1);
    assert_eq!(store.status(world.app.clock.now()).await.unwrap().untold_cases, 0);
}

//! Who was told of what, on the dashboard.

use discuno::model::alert::{Condition, Finding, Pace};
use discuno::model::role::Role;
use discuno::ops::watch::REST;
use discuno::sandbox::fault::{Effect, Fault, Provider};
use http::{StatusCode, header};
use serde_json::json;

use crate::support::desk::Desk;
use crate::support::{Event, World};

#[tokio::test(start_paused = true)]
async fn an_operator_sends_a_test_and_sees_that_it_arrived() {
    let world = World::new();
    let viewer = Desk::of(&world, Role::Viewer);
    assert_eq!(viewer.post("/alerts/test", "").await.status, StatusCode::FORBIDDEN);
    let foreign = Desk::of(&world, Role::Money).with("sec-fetch-site", "cross-site");
    assert_eq!(foreign.post("/alerts/test", "").await.status, StatusCode::FORBIDDEN);
    assert!(world.app.store.alerts(true, 9).await.unwrap().is_empty());
    let sent = Desk::of(&world, Role::Operator).post("/alerts/test", "").await;
    assert!(sent.header(header::LOCATION).starts_with("/alerts?said=a+test+is+on+its+way"), "{}", sent.body);
    world.settle().await;
    assert_eq!(world.ledger().alerts.posts.len(), 1);
    let page = viewer.get("/alerts").await;
    assert_eq!(page.status, StatusCode::OK);
    for told in ["e-mail to o•••@d•••", "webhook at sandbox.test", "discuno alerts test", "<td>test token"]
    {
        assert!(page.body.contains(told), "{told}: {}", page.body);
    }
    assert!(!page.body.contains("nobody yet") && !page.body.contains("not delivered"), "{}", page.body);
    assert!(!page.body.contains("oncall@"), "{}", page.body);
}

#[tokio::test(start_paused = true)]
async fn what_nobody_could_be_told_of_is_shown_there_and_on_the_first_page() {
    let world = World::new();
    for provider in [Provider::Mail, Provider::Alert] {
        world.sandbox.inject(Fault::new(provider, Effect::ErrorBefore { status: 503 }).times(1000));
    }
    let summary = "it has been failing for 1 min and is left alone".to_owned();
    let finding = Finding { condition: Condition::BreakerOpen, subject: "cal".to_owned(), summary };
    let now = world.app.clock.now();
    let pace = Pace { repeat: std::time::Duration::from_secs(3600), rest: REST };
    world.app.store.report(vec![finding], pace, now).await.unwrap();
    world.send(&Event::paid("zoe@example.edu").session("metadata", json!({ "eventTypeId": "soon" }))).await;
    tokio::time::sleep(std::time::Duration::from_secs(20 * 60)).await;
    let viewer = Desk::of(&world, Role::Viewer);
    let alerts = viewer.get("/alerts").await.body;
    assert!(alerts.contains("not delivered</span> e-mail: "), "{alerts}");
    assert!(
        alerts.contains("nobody yet</span></td><td><a href=\"/cases?status=any&#38;type=unusable_checkout\""),
        "{alerts}"
    );
    let first = viewer.get("/").await.body;
    assert!(
        first.contains(">breaker_open cal</a></strong>") && first.contains("Nobody could be told: e-mail: "),
        "{first}"
    );
    assert!(first.contains("Nobody could be told of <a href"), "{first}");
}

#[tokio::test(start_paused = true)]
async fn an_operator_silences_what_is_known_and_it_says_until_when() {
    let world = World::new();
    let finding =
        Finding { condition: Condition::DiskLow, subject: "database".to_owned(), summary: "9 MiB".to_owned() };
    let pace = Pace { repeat: std::time::Duration::from_secs(3600), rest: REST };
    world.app.store.report(vec![finding], pace, world.app.clock.now()).await.unwrap();
    let silence = "alert=alert_1&hours=24&reason=ordered+a+larger+one";
    assert_eq!(Desk::of(&world, Role::Viewer).post("/alerts/silence", silence).await.status, StatusCode::FORBIDDEN);
    let operator = Desk::of(&world, Role::Operator);
    assert!(
        operator.get("/alerts").await.body.contains("<option value=\"alert_1\">alert_1: disk_low database</option>")
    );
    let sent = operator.post("/alerts/silence", silence).await;
    assert!(sent.header(header::LOCATION).starts_with("/alerts?said=alert_1+is+silent+until+"), "{}", sent.body);
    assert!(operator.get("/alerts").await.body.contains("not again before"));
    let audit = operator.get("/audit").await.body;
    assert!(audit.contains("silence") && audit.contains("ordered a larger one"), "{audit}");
}

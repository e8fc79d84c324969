//! The sandbox's page.

use axum::Json;
use axum::routing::get;
use discuno::model::role::Role;
use discuno::sandbox::fault::{Effect, Provider};
use http::{StatusCode, header};
use serde_json::json;

use crate::support::desk::Desk;
use crate::support::{Event, World};

fn desk(world: &World, role: Role) -> Desk {
    let scenes = get(async || Json(["stripe.json"]))
        .post(async || Json(json!({ "sent": 3, "accepted": 2, "duplicate": 1, "rejected": 0 })));
    Desk::in_sandbox(world, role, world.sandbox.router().route("/sandbox/replay", scenes))
}

#[tokio::test(start_paused = true)]
async fn the_books_of_the_stand_ins_are_shown_without_addresses() {
    let world = World::new();
    world.send(&Event::paid("zoe@example.edu")).await;
    world.settle().await;
    let page = desk(&world, Role::Viewer).get("/sandbox").await;
    assert_eq!(page.status, StatusCode::OK, "{}", page.body);
    assert!(page.body.contains("50.00 USD") && page.body.contains("accepted"), "{}", page.body);
    assert!(!page.body.contains("zoe@example.edu"), "{}", page.body);
    assert!(page.body.contains(r#"<a href="/sandbox" aria-current="page">Sandbox</a>"#));
}

#[tokio::test(start_paused = true)]
async fn faults_are_switched_on_and_off_and_scenes_played() {
    let world = World::idle();
    let operator = desk(&world, Role::Operator);
    let form = "provider=mail&effect=limited&operation=emails.send&matching=&times=2";
    assert_eq!(desk(&world, Role::Viewer).post("/sandbox/faults", form).await.status, StatusCode::FORBIDDEN);
    assert_eq!(operator.post("/sandbox/faults", form).await.status, StatusCode::SEE_OTHER);
    let [fault] = &world.sandbox.faults()[..] else { panic!("one fault") };
    assert_eq!(
        (fault.provider, fault.operation.as_deref(), fault.times),
        (Provider::Mail, Some("emails.send"), Some(2))
    );
    assert_eq!(fault.effect, Effect::RateLimited { retry_after_secs: 5 });
    let page = operator.get("/sandbox").await;
    assert!(page.body.contains("mail emails.send: rate limited, 2 more times"), "{}", page.body);
    for bad in ["provider=nobody&effect=slow", "provider=mail&effect=nothing", "provider=mail&effect=slow&times=x"] {
        assert_eq!(operator.post("/sandbox/faults", bad).await.status, StatusCode::BAD_REQUEST, "{bad}");
    }
    assert_eq!(operator.post("/sandbox/clear", "").await.status, StatusCode::SEE_OTHER);
    assert!(world.sandbox.faults().is_empty());
    let played = operator.post("/sandbox/replay", "file=stripe.json").await;
    assert!(played.header(header::LOCATION).contains("3+were+sent"));
}

#[tokio::test(start_paused = true)]
async fn every_fault_that_is_offered_is_one_the_sandbox_knows() {
    let world = World::idle();
    let operator = desk(&world, Role::Operator);
    let page = operator.get("/sandbox").await.body;
    let offered: Vec<&str> = page.split("<option value=\"").skip(1).filter_map(|rest| rest.split('"').next()).collect();
    assert_eq!(offered.len(), 9);
    for effect in &offered {
        let answer = operator.post("/sandbox/faults", &format!("provider=stripe&effect={effect}")).await;
        assert_eq!(answer.status, StatusCode::SEE_OTHER, "{effect}");
    }
    assert_eq!(world.sandbox.faults().len(), offered.len());
}

#[tokio::test(start_paused = true)]
async fn a_real_deployment_has_no_sandbox() {
    let world = World::idle();
    let operator = Desk::of(&world, Role::Operator);
    assert_eq!(operator.get("/sandbox").await.status, StatusCode::NOT_FOUND);
    assert_eq!(operator.post("/sandbox/clear", "").await.status, StatusCode::NOT_FOUND);
    assert!(!operator.get("/").await.body.contains("/sandbox"));
}

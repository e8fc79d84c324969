//! Providers on the dashboard.

use discuno::model::role::Role;
use http::{StatusCode, header};

use crate::support::desk::Desk;
use crate::support::{Event, World};

#[tokio::test(start_paused = true)]
async fn a_provider_shows_how_it_answers_and_an_operator_holds_it_back_and_lets_it_go_on() {
    let world = World::new();
    world.send(&Event::paid("zoe@example.edu")).await;
    world.settle().await;
    let page = Desk::of(&world, Role::Viewer).get("/providers").await;
    assert_eq!(page.status, StatusCode::OK);
    assert!(page.body.contains("<th scope=\"row\">cal</th>"), "{}", page.body);
    assert!(page.body.contains("<span class=\"state done\">closed</span>"), "{}", page.body);
    let form = "what=provider%2Fcal&reason=%3Cb%3Emaintenance";
    let viewer = Desk::of(&world, Role::Viewer);
    assert_eq!(viewer.post("/providers/pause", form).await.status, StatusCode::FORBIDDEN);
    let operator = Desk::of(&world, Role::Operator);
    let paused = operator.post("/providers/pause", form).await;
    assert!(paused.header(header::LOCATION).starts_with("/providers?said=provider%2Fcal+is+held+back"));
    let page = viewer.get("/providers").await;
    assert!(page.body.contains("cal <span class=\"state queued\">paused</span>"), "{}", page.body);
    assert!(page.body.contains("&#60;b&#62;maintenance") && page.body.contains("discuno resume cal"));
    assert_eq!(operator.post("/providers/resume", form).await.status, StatusCode::SEE_OTHER);
    assert!(world.app.store.pauses().await.unwrap().is_empty());
    let acts = world.app.store.acts(discuno::store::filter::Filter::newest(9)).await.unwrap();
    let told: Vec<_> = acts.iter().map(|act| (act.verb.as_str(), act.subject.as_str())).collect();
    assert_eq!(told, [("resume", "provider/cal"), ("pause", "provider/cal")]);
}

#[tokio::test(start_paused = true)]
async fn what_cannot_be_paused_is_refused() {
    let operator = Desk::of(&World::idle(), Role::Operator);
    for what in ["provider%2Fnobody", "workflow%2F", "", "send-emails"] {
        let answer = operator.post("/providers/pause", &format!("what={what}")).await;
        assert_eq!(answer.status, StatusCode::BAD_REQUEST, "{what}");
    }
}

//! One deed on every run that a list shows.

use discuno::model::role::Role;
use discuno::model::run::RunState;
use discuno::store::filter::Filter;
use http::{StatusCode, header};

use crate::support::desk::Desk;
use crate::support::{Event, World, without_mail};

/// Two purchases whose e-mails cannot be sent.
async fn failed() -> (World, usize) {
    let world = without_mail().await;
    let count = failed_mails(&world).await.len();
    assert!(count >= 2, "{count}");
    (world, count)
}

async fn failed_mails(world: &World) -> Vec<String> {
    let filter =
        Filter { workflow: Some("send-email".to_owned()), status: vec!["failed".to_owned()], ..Filter::newest(100) };
    world.app.store.runs(filter).await.unwrap().into_iter().map(|line| line.run.id.to_string()).collect()
}

/// What the page says that it shows.
fn seen(page: &str) -> String {
    let (_, rest) = page.split_once("name=\"seen\" value=\"").unwrap();
    rest.split('"').next().unwrap().to_owned()
}

const CONDITIONS: &str = "workflow=send-email&status=failed";

#[tokio::test(start_paused = true)]
async fn what_is_meant_is_shown_its_number_typed_and_then_each_is_done_and_noted() {
    let (world, count) = failed().await;
    let operator = Desk::of(&world, Role::Operator);
    let list = operator.get(&format!("/runs?{CONDITIONS}")).await.body;
    let ask = "/runs/act?status=failed&#38;workflow=send-email&#38;deed=retry";
    assert!(list.contains(ask), "{list}");
    let asked = operator.get(&format!("/runs/act?{CONDITIONS}&deed=retry")).await;
    assert!(asked.body.contains(&format!("<strong>{count}</strong> runs are meant")), "{}", asked.body);
    assert!(asked.body.contains("discuno retry --all --status failed --workflow send-email"));
    let seen = seen(&asked.body);
    let form =
        |typed: &str, seen: &str| format!("{CONDITIONS}&deed=retry&seen={seen}&count={typed}&reason=mail+is+back");
    let right = count.to_string();
    let viewer = Desk::of(&world, Role::Viewer);
    assert_eq!(viewer.post("/runs/act", &form(&right, &seen)).await.status, StatusCode::FORBIDDEN);
    // How many are meant would tell whose address begins with what.
    assert_eq!(viewer.get("/runs/act?deed=retry&customer=zo").await.status, StatusCode::FORBIDDEN);
    for (typed, seen) in [("", seen.as_str()), ("99", seen.as_str()), (right.as_str(), "run_1.0000000000000000")] {
        let refused = operator.post("/runs/act", &form(typed, seen)).await;
        assert_eq!(refused.status, StatusCode::CONFLICT, "{typed}");
    }
    assert_eq!(failed_mails(&world).await.len(), count, "nothing was done");
    let done = operator.post("/runs/act", &form(&right, &seen)).await;
    let said = format!("/runs?said=retry%3A+{count}+of+{count}+done");
    assert_eq!((done.status, done.header(header::LOCATION)), (StatusCode::SEE_OTHER, said.as_str()));
    let acts = world.app.store.acts(Filter::newest(100)).await.unwrap();
    assert_eq!(acts.len(), count);
    assert!(acts.iter().all(|act| act.verb.as_str() == "retry" && act.reason.as_deref() == Some("mail is back")));
}

#[tokio::test(start_paused = true)]
async fn runs_that_have_not_ended_are_cancelled_and_others_are_not_meant() {
    let world = World::idle();
    world.send(&Event::paid("zoe@example.edu")).await;
    let operator = Desk::of(&world, Role::Operator);
    let retry = operator.get("/runs/act?deed=retry").await;
    assert!(retry.body.contains("Nothing to retry"), "{}", retry.body);
    let none = operator.get("/runs/act?deed=cancel&status=succeeded").await;
    assert!(none.body.contains("Nothing to cancel"), "{}", none.body);
    let runs = world.app.store.runs(Filter::newest(100)).await.unwrap();
    let asked = operator.get("/runs/act?deed=cancel").await.body;
    let form = format!("deed=cancel&seen={}&count={}", seen(&asked), runs.len());
    assert_eq!(operator.post("/runs/act", &form).await.status, StatusCode::SEE_OTHER);
    let runs = world.app.store.runs(Filter { status: vec!["cancelled".to_owned()], ..Filter::newest(100) }).await;
    assert!(runs.unwrap().iter().any(|line| line.run.state == RunState::Cancelled));
    for bad in ["", "deed=refund"] {
        assert_eq!(operator.get(&format!("/runs/act?{bad}")).await.status, StatusCode::BAD_REQUEST, "{bad}");
    }
}

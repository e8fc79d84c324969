//! Acts on every run that a list shows, and the bytes of an event.

use discuno::model::role::Role;
use http::header;
use serde_json::{Value, json};

use crate::api::{Client, ids};
use crate::support::{World, without_mail};

const FAILED: &str = "workflow=send-email&status=failed";

#[tokio::test(start_paused = true)]
async fn runs_go_on_only_as_many_as_were_seen_and_each_act_is_noted() {
    let world = without_mail().await;
    let (viewer, operator) = (Client::of(&world, Role::Viewer), Client::of(&world, Role::Operator));
    let list = ids(&viewer.get(&format!("runs?{FAILED}")).await, "runs");
    assert!(list.len() >= 2, "{list:?}");
    let path = format!("runs/retry?{FAILED}");
    assert_eq!(viewer.post(&path, json!({ "dry_run": true })).await.0, 403);
    let (status, seen) = operator.post(&path, json!({ "dry_run": true })).await;
    assert_eq!((status, &seen["count"]), (200, &json!(list.len())), "{seen}");
    for with in [json!({}), json!({ "seen": "run_1.0000000000000000" }), json!({ "seen": "nonsense" })] {
        let (status, refusal) = operator.post(&path, with).await;
        assert!(status == 409 && refusal["detail"].as_str().unwrap().contains("nothing was done"), "{refusal}");
    }
    for wrong in ["colour=red", "limit=1", "before=run_9", "reveal=true"] {
        let (status, refusal) = operator.post(&format!("runs/retry?{wrong}"), json!({ "dry_run": true })).await;
        assert_eq!((status, &refusal["field"]), (400, &json!(wrong.split_once('=').unwrap().0)), "{refusal}");
    }
    assert_eq!(operator.get("audit").await["acts"], json!([]), "nothing was done");

    let (status, done) = operator.post(&path, json!({ "seen": seen["seen"], "reason": "mail is back" })).await;
    assert_eq!((status, done["runs"].as_array().map(Vec::len)), (200, Some(list.len())), "{done}");
    assert_eq!((&done["already"], &done["refused"]), (&json!([]), &json!([])));
    let acts = operator.get("audit").await;
    let acts: Vec<(&Value, &Value)> =
        acts["acts"].as_array().unwrap().iter().map(|act| (&act["verb"], &act["reason"])).collect();
    assert_eq!(acts, vec![(&json!("retry"), &json!("mail is back")); list.len()]);
}

#[tokio::test(start_paused = true)]
async fn a_retry_names_what_holds_the_runs_back() {
    let world = without_mail().await;
    let operator = Client::of(&world, Role::Operator);
    let list = ids(&operator.get(&format!("runs?{FAILED}")).await, "runs");
    let (_, free) = operator.post(&format!("runs/{}/retry", list[0]), json!({ "dry_run": true })).await;
    assert_eq!(free.get("paused"), None, "{free}");
    operator.post("pause", json!({ "name": "send-email", "reason": "moving house" })).await;
    let (status, one) = operator.post(&format!("runs/{}/retry", list[0]), json!({})).await;
    let held = &one["paused"];
    assert_eq!((status, &held["name"], &held["actor"]), (200, &json!("send-email"), &json!("token")), "{one}");
    let (_, seen) = operator.post(&format!("runs/retry?{FAILED}"), json!({ "dry_run": true })).await;
    assert_eq!(seen["paused"], json!([held]));
    let (_, ended) = operator.post(&format!("runs/cancel?{FAILED}"), json!({ "dry_run": true })).await;
    assert_eq!(ended["paused"], json!([]), "what is ended waits for nobody");
}

#[tokio::test(start_paused = true)]
async fn where_other_runs_are_meant_than_were_seen_nothing_is_done() {
    let world = without_mail().await;
    let operator = Client::of(&world, Role::Operator);
    let path = format!("runs/retry?{FAILED}");
    let (_, seen) = operator.post(&path, json!({ "dry_run": true })).await;
    let runs = seen["runs"].as_array().unwrap().clone();
    operator.post(&format!("runs/{}/retry", runs[0].as_str().unwrap()), json!({})).await;
    let (status, refusal) = operator.post(&path, json!({ "seen": seen["seen"] })).await;
    assert_eq!(status, 409, "{refusal}");
    assert_eq!(operator.get("audit").await["acts"].as_array().map(Vec::len), Some(1), "only the one by itself");
}

#[tokio::test(start_paused = true)]
async fn every_paid_session_whose_run_is_ended_with_many_is_a_case_or_paid_back() {
    let world = World::new();
    let operator = Client::of(&world, Role::Operator);
    operator.post("pause", json!({ "name": "cal" })).await;
    for number in 1..=3 {
        world.send(&crate::api::purchase(number)).await;
    }
    tokio::time::sleep(std::time::Duration::from_secs(5)).await;
    let path = "runs/cancel?workflow=process-checkout-side-effects";
    let (_, seen) = operator.post(path, json!({ "dry_run": true })).await;
    let (status, done) = operator.post(path, json!({ "seen": seen["seen"] })).await;
    assert_eq!((status, &done["refused"]), (200, &json!([])), "{done}");
    assert_eq!(done["count"], json!(3), "{done}");
    operator.post("resume", json!({ "name": "cal" })).await;
    world.settle().await;
    world.assert_money_is_right("cancelled with many").await;
}

#[tokio::test(start_paused = true)]
async fn the_bytes_of_an_event_come_as_they_came_and_who_had_them_is_noted() {
    let world = World::new();
    let event = crate::api::purchase(1);
    world.send(&event).await;
    assert_eq!(Client::of(&world, Role::Viewer).refused("events/ev_1/raw").await.0, 403);
    let operator = Client::of(&world, Role::Operator);
    for id in ["ev_1", "evt_1"] {
        let answer = operator.0.get(&format!("/api/v1/events/{id}/raw")).await;
        assert_eq!((answer.status.as_u16(), answer.body.as_bytes()), (200, event.body().as_slice()));
        assert_eq!(answer.header(header::CONTENT_TYPE), "application/octet-stream");
        assert_eq!(answer.header(header::CONTENT_DISPOSITION), "attachment; filename=\"ev_1.json\"");
        assert_eq!(answer.header(header::X_CONTENT_TYPE_OPTIONS), "nosniff");
    }
    let acts = operator.get("audit").await;
    assert_eq!((&acts["acts"][0]["verb"], &acts["acts"][0]["subject"]), (&json!("reveal"), &json!("ev_1")));
    assert_eq!(operator.refused("events/ev_404/raw").await.0, 404);
}

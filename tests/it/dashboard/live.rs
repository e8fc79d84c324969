//! Open pages are told what changes.

use std::time::Duration;

use axum::body::BodyDataStream;
use discuno::model::role::Role;
use futures_util::StreamExt;
use http::StatusCode;
use serde_json::{Value, json};

use crate::support::desk::Desk;
use crate::support::{Event, World};

/// The data of the next event, if one comes within a while.
async fn next(tab: &mut BodyDataStream) -> Option<Value> {
    let wait = tokio::time::timeout(Duration::from_secs(10), async {
        loop {
            let chunk = String::from_utf8(tab.next().await?.ok()?.to_vec()).ok()?;
            if let Some(data) = chunk.strip_prefix("data: ") {
                return serde_json::from_str(data.trim()).ok();
            }
        }
    });
    wait.await.ok().flatten()
}

#[tokio::test(start_paused = true)]
async fn an_open_page_is_sent_what_it_shows_and_then_only_what_changed() {
    let world = World::new();
    let desk = Desk::of(&world, Role::Viewer);
    world.send(&Event::paid("zoe@example.edu")).await;
    world.settle().await;
    let answer = desk.begin("GET", "/live?view=/runs%3Fworkflow%3Dprocess-checkout-side-effects", "").await;
    assert_eq!(answer.status(), StatusCode::OK);
    let mut tab = answer.into_body().into_data_stream();
    let first = next(&mut tab).await.expect("what there is");
    assert_eq!(first["rows"]["keys"].as_array().unwrap().len(), 1);
    let other = Event::paid("tom@example.edu").id("evt_other").session("id", json!("cs_other"));
    world.send(&other.session("payment_intent", json!("pi_other"))).await;
    let change = next(&mut tab).await.expect("the change");
    assert_eq!(change["rows"]["keys"].as_array().unwrap().len(), 2, "{change}");
    assert_eq!(change["rows"]["html"].as_object().unwrap().len(), 1, "only the new row is sent: {change}");
}

//! The first page.

use discuno::model::pause::{Pausable, PauseKind};
use discuno::model::role::Role;
use discuno::store::hours::Counted;
use discuno::store::order::Deed;
use http::StatusCode;
use serde_json::json;

use crate::support::desk::Desk;
use crate::support::{Event, World};

#[tokio::test(start_paused = true)]
async fn the_first_page_tells_of_open_cases_failed_runs_and_pauses_and_leads_to_them() {
    let world = World::new();
    let unusable = Event::paid("zoe@example.edu").session("metadata", json!({ "eventTypeId": "soon" }));
    world.send(&unusable).await;
    let other = Event::paid("tom+mail-down@example.edu").id("evt_2").session("id", json!("cs_2"));
    world.send(&other.session("payment_intent", json!("pi_2"))).await;
    world.settle().await;
    let what = Pausable { kind: PauseKind::Workflow, name: "track-event".to_owned() };
    world.operate(Deed::Pause(what)).await.unwrap();
    let page = Desk::of(&world, Role::Viewer).get("/").await;
    assert_eq!(page.status, StatusCode::OK);
    for told in [
        "unusable_checkout",
        "50.00 USD</strong> at risk",
        "workflow/track-event</a> is paused by mia",
        "<a href=\"/runs?status=failed&amp;workflow=send-email\">send-email</a>",
        "aria-label=\"Events in by hour\"",
    ] {
        assert!(page.body.contains(told), "{told}: {}", page.body);
    }
    assert!(!page.body.contains("example.edu"));
}

#[tokio::test(start_paused = true)]
async fn hours_hold_what_came_and_ended_in_them() {
    let world = World::new();
    world.send(&Event::paid("zoe@example.edu")).await;
    world.settle().await;
    tokio::time::sleep(std::time::Duration::from_secs(2 * 3600)).await;
    let now = world.app.clock.now();
    let sum = |hours: &discuno::store::hours::Hours, word: &str| -> Vec<u32> {
        hours.counts.iter().map(|counts| counts.get(word).copied().unwrap_or(0)).collect()
    };
    let arrived = world.app.store.hours(Counted::Arrived, now).await.unwrap();
    let all = sum(&arrived, "arrived");
    assert_eq!((all.len(), all.iter().sum::<u32>(), all[23], all[22]), (24, 1, 0, 0), "{all:?}");
    let ended = world.app.store.hours(Counted::Ended, now).await.unwrap();
    assert!(sum(&ended, "succeeded").iter().sum::<u32>() >= 2, "{ended:?}");
    assert_eq!(ended.whole_since, ended.from);
    let filter = discuno::store::filter::Filter {
        workflow: Some("process-checkout-side-effects".to_owned()),
        status: vec!["succeeded".to_owned()],
        ..discuno::store::filter::Filter::newest(1)
    };
    let made = world.app.store.hours(Counted::Made(Box::new(filter.clone())), now).await.unwrap();
    assert_eq!(sum(&made, "succeeded").iter().sum::<u32>(), 1, "{made:?}");
    let none = discuno::store::filter::Filter { until: Some(made.from), ..filter };
    let none = world.app.store.hours(Counted::Made(Box::new(none)), now).await.unwrap();
    assert!(none.counts.iter().all(std::collections::BTreeMap::is_empty), "{none:?}");
}

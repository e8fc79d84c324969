//! Lists, single rows and stories.

use std::collections::BTreeSet;

use discuno::model::role::Role;
use serde_json::{Value, json};

use crate::api::{Client, ids, purchase};
use crate::support::World;
use crate::support::cluster::is_on_a_server;
use crate::support::desk::Desk;

const LISTS: [(&str, &str); 7] = [
    ("payments", "payments"),
    ("refunds", "refunds"),
    ("bookings", "bookings"),
    ("runs", "runs"),
    ("events", "events"),
    ("cases", "cases"),
    ("audit", "acts"),
];

/// A payment that was booked and refunded, and one that only a person can settle.
async fn lively() -> World {
    let world = World::new();
    world.send(&purchase(1)).await;
    world.settle().await;
    world.order_refund().await;
    world.settle().await;
    world.send(&purchase(2).metadata("eventTypeId", Value::Null)).await;
    world.settle().await;
    world
}

#[tokio::test(start_paused = true)]
async fn every_list_has_its_rows_and_each_row_is_found_by_its_id() {
    let world = lively().await;
    let client = Client::of(&world, Role::Viewer);
    for (path, list) in LISTS {
        let listing = client.get(path).await;
        assert_eq!(listing["next"], Value::Null, "{path}");
        let rows = listing[list].as_array().unwrap();
        assert!(!rows.is_empty(), "{path}");
        for row in rows {
            let id = row["id"].as_str().unwrap();
            assert_eq!(client.get(&format!("{path}/{id}")).await, *row, "{path} {id}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_search_looks_at_so_many_rows_for_a_page_and_goes_on_with_the_next() {
    let world = lively().await;
    let far = "INSERT INTO runs (id, workflow, key, state, outcome, finished_at, created_at) \
               VALUES (25000, 'far', 'far', 'succeeded', 'done', 0, 0)";
    world.books().run(far).unwrap();
    let client = Client::of(&world, Role::Viewer);
    let search = "runs?workflow=process-checkout-side-effects";
    let (mut pages, mut found) = (vec![client.get(search).await], Vec::new());
    while let Some(next) = pages.last().unwrap()["next"].as_str() {
        let page = client.get(&format!("{search}&before={next}")).await;
        found.extend(ids(&page, "runs"));
        pages.push(page);
    }
    assert_eq!(pages.len(), 3, "{pages:?}");
    assert_eq!((ids(&pages[0], "runs").len(), pages[0]["next"].as_str()), (0, Some("run_15001")));
    assert_eq!(found.len(), 1);
    assert_eq!(client.get(&format!("{search}&payment=pay_1")).await["next"], Value::Null);
    // What is older than that needs no look.
    assert_eq!(client.get("runs?workflow=nothing&since=2099-01-01T00:00:00Z").await["next"], Value::Null);
    let top = client.get("runs?before=run_9000000000000000000&limit=1").await;
    assert_eq!(ids(&top, "runs"), ["run_25000"]);
}

#[tokio::test(start_paused = true)]
async fn a_viewer_finds_people_by_whole_addresses_and_nobody_by_names_of_fields() {
    let world = lively().await;
    let (viewer, operator) = (Client::of(&world, Role::Viewer), Client::of(&world, Role::Operator));
    for (path, list) in LISTS.into_iter().filter(|(path, _)| *path != "audit") {
        let found = async |client: &Client, customer: &str| {
            ids(&client.get(&format!("{path}?customer={customer}")).await, list).len()
        };
        assert_eq!(found(&viewer, "zoe1").await, 0, "{path}");
        let whole = found(&viewer, "ZOE1@example.edu").await;
        assert!(path == "cases" || whole > 0, "{path}");
        assert_eq!(
            (found(&operator, "zoe1").await, found(&operator, "zoe1@example.edu").await),
            (whole, whole),
            "{path}"
        );
        assert_eq!(found(&operator, "time_zone").await, 0, "{path}");
    }
    let page = async |customer: &str| {
        Desk::of(&world, Role::Viewer).get(&format!("/payments?customer={customer}")).await.body.contains("pay_1")
    };
    assert_eq!((page("zoe1").await, page("zoe1@example.edu").await), (false, true));
}

#[tokio::test(start_paused = true)]
async fn what_a_provider_knows_is_found_by_the_provider_s_id() {
    let world = lively().await;
    let client = Client::of(&world, Role::Viewer);
    let (refund, booking) = (client.get("refunds/rf_1").await, client.get("bookings/bk_1").await);
    let stripes = refund["stripe_refund_id"].as_str().unwrap().to_owned();
    let (uid, cals) = (booking["uid"].as_str().unwrap(), booking["cal_id"].to_string());
    for id in ["pay_1", "cs_test_1", "pi_1", "evt_1", "run_1", "rf_1", &stripes, uid] {
        assert_eq!(client.get(&format!("payments/{id}")).await["id"], "pay_1", "{id}");
        assert_eq!(client.get(&format!("show/{id}")).await["payment"]["id"], "pay_1", "{id}");
    }
    assert_eq!(client.get(&format!("refunds/{stripes}")).await, refund);
    assert_eq!(client.get(&format!("bookings/{uid}")).await, booking);
    assert_eq!(client.get(&format!("bookings/{cals}")).await, booking);
    assert_eq!(client.get("events/evt_1").await["id"], "ev_1");
}

#[tokio::test(start_paused = true)]
async fn a_story_has_every_try_and_everything_about_the_payment() {
    let world = lively().await;
    let story = Client::of(&world, Role::Viewer).get("show/pi_1").await;
    for part in ["events", "runs", "bookings", "refunds", "mails", "acts"] {
        assert!(!story[part].as_array().unwrap().is_empty(), "{part}");
    }
    assert_eq!(story["runs"][0]["run"]["workflow"], "process-checkout-side-effects");
    assert_eq!(story["runs"][0]["attempts"][0]["outcome"], "done");
}

#[tokio::test(start_paused = true)]
async fn conditions_hold_together() {
    let world = lively().await;
    let client = Client::of(&world, Role::Operator);
    let some: [(&str, &str, &[&str]); 15] = [
        ("payments", "payments?status=refunded", &["pay_1"]),
        ("payments", "payments?status=refunded,attention", &["pay_2", "pay_1"]),
        ("payments", "payments?status=booked", &[]),
        ("payments", "payments?customer=ZOE1@", &["pay_1"]),
        ("payments", "payments?payment=pi_2", &["pay_2"]),
        ("payments", "payments?since=1m", &[]),
        ("payments", "payments?until=2020-01-01T00:00:00Z", &[]),
        ("payments", "payments?workflow=process-checkout-side-effects", &["pay_1"]),
        ("payments", "payments?before=pay_2&limit=5", &["pay_1"]),
        ("refunds", "refunds?origin=operator&status=succeeded", &["rf_1"]),
        ("bookings", "bookings?status=cancelled", &["bk_1"]),
        ("events", "events?type=checkout.session.*&source=stripe&status=attention", &["ev_2"]),
        ("cases", "cases?status=open&kind=unusable_checkout&customer=zoe2", &["case_1"]),
        ("acts", "audit?verb=refund,retry&actor=mia", &["act_1"]),
        ("acts", "audit?actor=tom", &[]),
    ];
    for (list, path, rows) in some {
        assert_eq!(ids(&client.get(path).await, list), rows, "{path}");
    }
    let failed = client.get("runs?status=failed,cancelled&stuck=true&error=x&step=y").await;
    assert_eq!(failed["runs"], json!([]));
}

#[tokio::test(start_paused = true)]
async fn pages_walk_over_every_row_once_while_more_come_in() {
    let world = World::idle();
    for number in 0..7 {
        world.send(&purchase(number)).await;
    }
    let client = Client::of(&world, Role::Viewer);
    let before: Vec<String> = ids(&client.get("payments").await, "payments");
    let (mut walked, mut path) = (Vec::new(), "payments?limit=2".to_owned());
    loop {
        let page = client.get(&path).await;
        let rows = ids(&page, "payments");
        assert!((1..=2).contains(&rows.len()), "{page}");
        walked.extend(rows);
        world.send(&purchase(100 + walked.len())).await;
        let Some(next) = page["next"].as_str() else { break };
        path = format!("payments?limit=2&before={next}");
    }
    assert_eq!(walked, before);
    assert_eq!(walked.iter().collect::<BTreeSet<_>>().len(), 7);
}

#[tokio::test(start_paused = true)]
async fn people_are_masked_unless_an_operator_asks_and_then_it_is_in_the_trail() {
    let world = lively().await;
    let (viewer, operator) = (Client::of(&world, Role::Viewer), Client::of(&world, Role::Operator));
    let paths = ["payments", "payments/pay_1", "bookings", "show/pay_1", "bookings/bk_1"];
    for path in paths {
        let masked = viewer.get(path).await.to_string();
        assert!(!masked.contains("example.edu") && masked.contains("•••"), "{path}: {masked}");
        let (status, refusal) = viewer.refused(&format!("{path}?reveal=true")).await;
        assert_eq!((status, &refusal["code"]), (403, &json!("forbidden")), "{path}");
    }
    for path in paths {
        let revealed = operator.get(&format!("{path}?reveal=true")).await.to_string();
        assert!(revealed.contains("zoe1@example.edu"), "{path}: {revealed}");
    }
    let trail = operator.get("audit?verb=reveal").await;
    let subjects: Vec<&str> =
        trail["acts"].as_array().unwrap().iter().map(|act| act["subject"].as_str().unwrap()).collect();
    assert_eq!(subjects, ["bk_1", "pay_1", "bookings", "pay_1", "payments"]);
    let after = json!({ "conditions": { "limit": 50 }, "count": 2, "ids": ["pay_2", "pay_1"] });
    assert_eq!((&trail["acts"][4]["after"], &trail["acts"][3]["after"]), (&after, &json!({})));
}

#[tokio::test(start_paused = true)]
async fn the_screen_of_everything_counts_what_there_is() {
    let world = lively().await;
    let status = Client::of(&world, Role::Viewer).get("status").await;
    assert_eq!(status["backlog"]["open_cases"], 1, "{status}");
    assert_eq!(status["disk_free_bytes"].as_u64().is_some_and(|free| free > 0), !is_on_a_server());
}

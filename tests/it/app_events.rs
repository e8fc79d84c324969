//! The application's own events, by the event API of Inngest.

use discuno::config::Secret;
use discuno::model::role::Role;
use discuno::model::run::RunState;
use discuno::sandbox::fault::{Effect, Fault, Provider};
use serde_json::{Value, json};

use crate::support::desk::Desk;
use crate::support::{Event, World};

fn keyed() -> World {
    let mut world = World::idle_with(|config| {
        config.event_keys = vec![Secret::new("new-key"), Secret::new("old-key")];
        config.counted_events = vec!["article_read".to_owned()];
        config.sandboxed = false;
    });
    let providers = world.providers();
    world.work_over(providers);
    world
}

async fn post(world: &World, key: &str, body: &Value) -> (u16, Value) {
    world.post_to(&format!("e/{key}"), &serde_json::to_vec(body).unwrap(), &[]).await
}

#[tokio::test(start_paused = true)]
async fn one_event_or_many_are_answered_with_ids_in_order() {
    let world = keyed();
    let event = |name: &str| json!({"name": name, "data": {"userId": "u1"}});
    let (status, answer) = post(&world, "old-key", &event("a")).await;
    assert_eq!((status, &answer["status"], answer["ids"].as_array().unwrap().len()), (200, &json!(200), 1));
    let (status, answer) = post(&world, "new-key", &json!([event("a"), event("b"), event("c")])).await;
    let ids: Vec<&str> = answer["ids"].as_array().unwrap().iter().map(|id| id.as_str().unwrap()).collect();
    assert_eq!((status, ids.len()), (200, 3));
    assert!(ids.windows(2).all(|pair| pair[0] < pair[1]) && ids.iter().all(|id| id.len() == 26), "{ids:?}");
    for (index, id) in ids.iter().enumerate() {
        let subject = world.app.store.resolve(id).await.unwrap();
        let kinds = ["a", "b", "c"];
        assert_eq!(world.app.store.story(subject).await.unwrap().events[0].kind, kinds[index]);
    }
}

#[tokio::test(start_paused = true)]
async fn a_wrong_key_is_401_and_none_configured_503() {
    let world = keyed();
    let (status, answer) = post(&world, "guess", &json!({"name": "a"})).await;
    assert_eq!((status, &answer["error"], &answer["ids"]), (401, &json!("Event key not found"), &json!([])));
    let closed = World::idle_with(|config| config.sandboxed = false);
    assert_eq!(post(&closed, "any", &json!({"name": "a"})).await.0, 503);
}

#[tokio::test(start_paused = true)]
async fn a_batch_is_taken_up_to_its_first_broken_event() {
    let world = keyed();
    let good = |id: &str| json!({"name": "profile_updated", "id": id, "data": {"userId": "u1"}});
    let body = json!([good("one"), good("two"), {"name": "", "data": {}}, good("four")]);
    let (status, answer) = post(&world, "new-key", &body).await;
    assert_eq!((status, answer["ids"].as_array().unwrap().len()), (400, 2));
    assert!(answer["error"].as_str().unwrap().starts_with("event 3: "), "{answer}");
    world.settle().await;
    assert_eq!(world.counted(), ["profile_updated", "profile_updated"]);
    for broken in [&b"nonsense"[..], b"", b"7", b"[7]"] {
        assert_eq!(world.post_to("e/new-key", broken, &[]).await.0, 400);
    }
    let many = vec![json!({"name": "a"}); 5001];
    assert_eq!(post(&world, "new-key", &json!(many)).await.0, 400);
    let large = json!({"name": "a", "data": {"text": "x".repeat(513 * 1024)}});
    assert_eq!(post(&world, "new-key", &large).await.0, 400);
    assert_eq!(world.post_to("e/new-key", &vec![b' '; 3 * 1024 * 1024 + 1], &[]).await.0, 413);
}

#[tokio::test(start_paused = true)]
async fn an_id_is_taken_once_and_a_seed_gives_the_same_ids_again() {
    let world = keyed();
    let event =
        json!({"name": "mentor_review_submitted", "id": "review-7", "data": {"mentorUserId": "m1", "stars": 5}});
    for _ in 0..3 {
        assert_eq!(post(&world, "new-key", &event).await.0, 200);
    }
    let seed = [("x-inngest-event-id-seed", "1793872800000,AAECAwQFBgcICQ==")];
    let body = serde_json::to_vec(&json!([{"name": "article_read", "data": {"userId": "u"}}, {"name": "b"}])).unwrap();
    let first = world.post_to("e/new-key", &body, &seed).await;
    let second = world.post_to("e/new-key", &body, &seed).await;
    assert_eq!(first, second);
    world.settle().await;
    let mut counted = world.counted();
    counted.sort();
    assert_eq!(counted, ["article_read", "mentor_review_submitted"]);
}

#[tokio::test(start_paused = true)]
async fn what_comes_under_a_known_id_is_counted_as_a_duplicate() {
    let world = keyed();
    for stars in [5, 5, 1] {
        let event = json!({"name": "mentor_review_submitted", "id": "review-7", "data": {"stars": stars}});
        assert_eq!(post(&world, "new-key", &event).await.0, 200);
    }
    let scraped = Desk::of(&world, Role::Viewer).get("/metrics").await.body;
    for (result, count) in [("accepted", 1), ("duplicate", 2)] {
        let line = format!(r#"discuno_webhooks_total{{source="app",result="{result}"}} {count}"#);
        assert!(scraped.contains(&line), "{line}: {scraped}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_new_user_is_made_known_before_being_counted_and_anonymous_ones_are_not() {
    let world = keyed();
    let user = |id: &str, email: &str| {
        json!({"name": "user_signed_up", "id": id, "ts": 1_793_872_700_000_i64, "data": {
            "userId": id, "email": email, "name": "Zoë", "image": "https://x.example/i.png",
            "createdAt": "2026-11-05T09:00:00Z"}})
    };
    world.sandbox.inject(Fault::new(Provider::Posthog, Effect::ErrorBefore { status: 503 }).times(3));
    post(&world, "new-key", &json!([user("u1", "zoe@example.edu"), user("u2", "anon-7@discuno.com")])).await;
    world.settle().await;
    let events = world.ledger().posthog.events;
    let names: Vec<(&str, &str)> =
        events.iter().map(|event| (event.event.as_str(), event.distinct_id.as_str())).collect();
    assert_eq!(names, [("$identify", "u1"), ("user_signed_up", "u1")]);
    assert_eq!(events[0].properties["$set_once"]["createdAt"], "2026-11-05T09:00:00.000Z");
    assert_eq!((&events[1].properties["hasImage"], events[1].timestamp.0), (&json!(true), 1_793_872_700_000));
}

#[tokio::test(start_paused = true)]
async fn a_cancelled_checkout_ends_its_run_and_the_money_is_accounted_for() {
    let world = keyed();
    world.sandbox.inject(Fault::new(Provider::Cal, Effect::ErrorBefore { status: 503 }).on("bookings.create"));
    let purchase = Event::paid("zoe@example.edu");
    world.send(&purchase).await;
    let session = purchase.0["data"]["object"]["id"].clone();
    post(&world, "new-key", &json!({"name": "stripe/checkout.cancelled", "data": {"sessionId": session}})).await;
    world.settle().await;
    assert_eq!(world.runs_of("process-checkout-side-effects").await[0].state, RunState::Cancelled);
    world.assert_money_is_right("cancelled by the application").await;
}

//! Payments on the dashboard: the list, the story, the people.

use discuno::model::act::Verb;
use discuno::model::pause::{Pausable, PauseKind};
use discuno::model::role::Role;
use discuno::store::change::REFUND_WORKFLOW;
use discuno::store::order::Deed;
use http::{StatusCode, header};
use serde_json::json;

use crate::support::desk::Desk;
use crate::support::{Event, World};

/// A booked payment of somebody whose name is meant to do harm.
async fn booked() -> World {
    let world = World::new();
    let evil = json!("<script>alert(1)</script>\"><img src=x>\u{202e}\u{1b}[2J");
    world
        .send(&Event::paid("zoe@example.edu").metadata("attendeeName", evil.clone()).metadata("mentorUsername", evil))
        .await;
    world.settle().await;
    world
}

/// Whether nothing of what came from outside is markup or turns a line around.
fn is_harmless(page: &str) -> bool {
    !page.contains("<script>alert") && !page.contains("<img src=x") && !page.contains(['\u{202e}', '\u{1b}'])
}

#[tokio::test(start_paused = true)]
async fn a_payment_shows_its_story_side_by_side_escaped_and_without_people() {
    let world = booked().await;
    let viewer = Desk::of(&world, Role::Viewer);
    let list = viewer.get("/payments").await;
    assert!(
        list.body.contains("<a href=\"/payments/pay_1\">pay_1</a>") && list.body.contains("booked"),
        "{}",
        list.body
    );
    let page = viewer.get("/payments/pay_1").await;
    assert_eq!(page.status, StatusCode::OK);
    for told in ["checkout.session.completed", "create-calcom-booking try 1", "50.00 USD", "discuno show pay_1"] {
        assert!(page.body.contains(told), "{told}: {}", page.body);
    }
    for shown in [&list.body, &page.body] {
        assert!(is_harmless(shown), "{shown}");
        assert!(!shown.contains("zoe@example.edu"), "{shown}");
    }
    assert!(page.body.contains("&#60;script&#62;"), "{}", page.body);
    assert_eq!(viewer.get("/payments/pay_404").await.status, StatusCode::NOT_FOUND);
}

#[tokio::test(start_paused = true)]
async fn the_list_takes_the_words_of_the_command_line() {
    let world = booked().await;
    let operator = Desk::of(&world, Role::Operator);
    for (conditions, found) in [
        ("status=booked", true),
        ("status=attention", false),
        ("customer=ZOE%40", true),
        ("customer=tom", false),
        ("stuck=1", false),
        ("payment=pay_1", true),
        ("since=1h&until=now", true),
        ("before=pay_1", false),
    ] {
        let page = operator.get(&format!("/payments?{conditions}")).await;
        assert_eq!(page.body.contains("/payments/pay_1"), found, "{conditions}: {}", page.body);
    }
    let page = operator.get("/payments?status=booked&error=%3Cb%3E").await;
    assert!(page.body.contains("discuno payments --status booked --error &#39;&#60;b&#62;&#39;"), "{}", page.body);
}

#[tokio::test(start_paused = true)]
async fn any_id_leads_to_its_page() {
    let world = booked().await;
    let viewer = Desk::of(&world, Role::Viewer);
    let intent = world.payment().await.payment_intent.unwrap();
    for (id, page) in [
        ("pay_1", "/payments/pay_1"),
        (&*intent, "/payments/pay_1"),
        ("run_1", "/runs/run_1"),
        (" ev_1 ", "/events/ev_1"),
    ] {
        let id: String = url::form_urlencoded::byte_serialize(id.as_bytes()).collect();
        assert_eq!(viewer.get(&format!("/find?id={id}")).await.header(header::LOCATION), page, "{id}");
    }
    assert_eq!(viewer.get("/find?id=pi_nobody").await.status, StatusCode::NOT_FOUND);
}

#[tokio::test(start_paused = true)]
async fn people_are_shown_to_an_operator_and_that_is_in_the_audit_trail() {
    let world = booked().await;
    let path = "/payments/pay_1/reveal";
    assert_eq!(Desk::of(&world, Role::Viewer).post(path, "").await.status, StatusCode::FORBIDDEN);
    assert_eq!(Desk::of(&world, Role::Operator).get(path).await.status, StatusCode::METHOD_NOT_ALLOWED);
    assert!(world.story().await.acts.is_empty());
    let page = Desk::of(&world, Role::Operator).post(path, "").await;
    assert!(page.body.contains("zoe@example.edu") && is_harmless(&page.body), "{}", page.body);
    assert!(!page.body.contains("data-live"), "it is not kept up to date");
    let acts = world.story().await.acts;
    assert_eq!((acts.len(), acts[0].verb, acts[0].subject.as_str()), (1, Verb::Reveal, "pay_1"));
}

#[tokio::test(start_paused = true)]
async fn what_stripe_says_now_stands_beside_what_is_known_here() {
    let world = booked().await;
    assert_eq!(Desk::of(&world, Role::Viewer).post("/payments/pay_1/stripe", "").await.status, StatusCode::FORBIDDEN);
    let page = Desk::of(&world, Role::Operator).post("/payments/pay_1/stripe", "").await;
    assert_eq!(page.status, StatusCode::OK, "{}", page.body);
    assert!(page.body.contains("50.00 USD") && !page.body.contains("differs"), "{}", page.body);
}

#[tokio::test(start_paused = true)]
async fn a_refund_that_is_only_wanted_is_not_told_as_paid_back() {
    let world = booked().await;
    let what = Pausable { kind: PauseKind::Workflow, name: REFUND_WORKFLOW.to_owned() };
    world.operate(Deed::Pause(what.clone())).await.unwrap();
    world.order_refund().await;
    let page = Desk::of(&world, Role::Operator).post("/payments/pay_1/stripe", "").await.body;
    assert!(page.contains("0.00 USD, and 50.00 USD wanted, not confirmed") && !page.contains("differs"), "{page}");
    world.operate(Deed::Resume(what)).await.unwrap();
    world.settle().await;
    let page = Desk::of(&world, Role::Operator).post("/payments/pay_1/stripe", "").await.body;
    assert!(!page.contains("not confirmed") && !page.contains("differs") && !page.contains("0.00 USD,"), "{page}");
}

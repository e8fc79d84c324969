//! Refunds, bookings, cases, events and acts on the dashboard.

use discuno::model::act::Verb;
use discuno::model::case::CaseStatus;
use discuno::model::role::Role;
use discuno::sandbox::fault::{Effect, Fault, Provider};
use discuno::store::filter::Filter;
use http::{StatusCode, header};
use serde_json::json;

use crate::support::desk::Desk;
use crate::support::{Event, World};

fn refusing(provider: Provider, call: &str, code: &str, message: &str) -> Fault {
    let refusal = Effect::Refuse { status: 400, code: code.to_owned(), message: message.to_owned() };
    Fault::new(provider, refusal).on(call).times(1000)
}

/// A payment that could neither be booked nor be paid back: a case is open.
async fn stranded() -> World {
    let world = World::new();
    let taken = "User either already has booking at this time or is not available";
    world.sandbox.inject(refusing(Provider::Cal, "bookings.create", "slot_taken", taken));
    let code = "charge_for_pending_refund_disputed";
    world.sandbox.inject(refusing(Provider::Stripe, "refunds.create", code, "<b>no</b>\u{202e}"));
    world.send(&Event::paid("zoe@example.edu").metadata("attendeeName", json!("\"><img src=x>"))).await;
    world.settle().await;
    world
}

async fn newest_case(world: &World) -> discuno::model::case::Case {
    world.app.store.cases(Filter::newest(1)).await.unwrap().remove(0)
}

#[tokio::test(start_paused = true)]
async fn every_list_shows_its_rows_escaped_and_without_people() {
    let world = stranded().await;
    let (viewer, operator) = (Desk::of(&world, Role::Viewer), Desk::of(&world, Role::Operator));
    operator.post("/payments/pay_1/reveal", "").await;
    for (path, shown) in [
        ("/refunds", "rf_1"),
        ("/refunds?source=workflow&status=failed", "rf_1"),
        ("/cases", "case_1"),
        ("/cases?status=any&type=refund_*", "refund_failed"),
        ("/events?type=checkout.*&source=stripe", "/events/ev_1"),
        ("/events?customer=zoe", "/events/ev_1"),
        ("/bookings?status=accepted", "None."),
        ("/audit?status=reveal&source=token", "reveal"),
    ] {
        // Only an operator finds people by a part of their address.
        let page = if path.contains("customer") { operator.get(path).await } else { viewer.get(path).await };
        assert_eq!(page.status, StatusCode::OK, "{path}: {}", page.body);
        assert!(page.body.contains(shown), "{path}: {}", page.body);
        for evil in ["zoe@example.edu", "<b>no", "<img src", "\u{202e}"] {
            assert!(!page.body.contains(evil), "{path}: {evil}");
        }
    }
    for path in ["/refunds?source=operator", "/cases?status=closed", "/events?type=charge.*", "/audit?status=refund"] {
        assert!(!viewer.get(path).await.body.contains("<!--item "), "{path}");
    }
    assert!(viewer.get("/cases?status=any").await.body.contains("discuno cases --all<"));
    assert!(
        viewer.get("/audit?status=reveal&source=mia").await.body.contains("discuno audit --verb reveal --actor mia")
    );
}

#[tokio::test(start_paused = true)]
async fn a_case_is_closed_with_a_reason_and_never_against_the_books() {
    let world = stranded().await;
    let case = newest_case(&world).await.id;
    let path = format!("/cases/{case}/resolve");
    let page = Desk::of(&world, Role::Viewer).get(&format!("/cases/{case}")).await;
    assert!(page.body.contains("50.00 USD") && page.body.contains("/payments/pay_1"), "{}", page.body);
    assert_eq!(Desk::of(&world, Role::Viewer).post(&path, "resolution=booked").await.status, StatusCode::FORBIDDEN);
    let operator = Desk::of(&world, Role::Operator);
    for (form, status, said) in [
        ("resolution=refunded", StatusCode::CONFLICT, "not all of it is back"),
        ("resolution=booked", StatusCode::CONFLICT, "no live session"),
        ("resolution=false_alarm&reason=no", StatusCode::CONFLICT, "nothing accounts for it"),
        ("resolution=settled_elsewhere&reason=+", StatusCode::BAD_REQUEST, "needs a reason"),
        ("resolution=forgotten", StatusCode::BAD_REQUEST, "forgotten"),
    ] {
        let refused = operator.post(&path, form).await;
        assert_eq!(refused.status, status, "{form}");
        assert!(refused.body.contains(said), "{form}: {}", refused.body);
    }
    assert_eq!(newest_case(&world).await.status, CaseStatus::Open);
    let form = "resolution=settled_elsewhere&reason=%3Cb%3Epaid+by+hand";
    assert_eq!(operator.post(&path, form).await.status, StatusCode::SEE_OTHER);
    let again = operator.post(&path, form).await;
    assert!(again.header(header::LOCATION).contains("closed+before"));
    let page = operator.get(&format!("/cases/{case}")).await;
    assert!(page.body.contains("settled_elsewhere: &#60;b&#62;paid by hand"), "{}", page.body);
    let acts = world.story().await.acts;
    assert_eq!((acts.len(), acts[0].verb, acts[0].actor.as_str()), (1, Verb::Resolve, "token"));
}

#[tokio::test(start_paused = true)]
async fn the_bytes_of_an_event_are_shown_to_an_operator_and_that_is_in_the_audit_trail() {
    let world = stranded().await;
    let page = Desk::of(&world, Role::Viewer).get("/events/ev_1").await;
    assert!(page.body.contains("checkout.session.completed") && page.body.contains("/runs/run_1"), "{}", page.body);
    assert!(!page.body.contains("zoe@") && !page.body.contains("<img"), "{}", page.body);
    assert_eq!(Desk::of(&world, Role::Viewer).post("/events/ev_1/reveal", "").await.status, StatusCode::FORBIDDEN);
    let raw = Desk::of(&world, Role::Operator).post("/events/ev_1/reveal", "").await;
    assert!(raw.body.contains("zoe@example.edu") && raw.body.contains("&#60;img src=x&#62;"), "{}", raw.body);
    assert!(!raw.body.contains("<img") && !raw.body.contains("data-live"));
    let acts = world.story().await.acts;
    assert_eq!((acts.len(), acts[0].verb, acts[0].subject.as_str()), (1, Verb::Reveal, "ev_1"));
    assert_eq!(Desk::of(&world, Role::Operator).post("/events/ev_404/reveal", "").await.status, StatusCode::NOT_FOUND);
}

#[tokio::test(start_paused = true)]
async fn an_event_that_is_replayed_starts_only_what_is_missing() {
    let world = World::new();
    world.send(&Event::paid("zoe@example.edu")).await;
    world.settle().await;
    let (before, calls) = (world.story().await.runs.len(), world.ledger().cal.bookings.len());
    assert_eq!(Desk::of(&world, Role::Viewer).post("/events/ev_1/replay", "").await.status, StatusCode::FORBIDDEN);
    let operator = Desk::of(&world, Role::Operator);
    let done = operator.post("/events/ev_1/replay", "reason=to+be+sure").await;
    assert!(done.header(header::LOCATION).contains("was+there+already"), "{}", done.header(header::LOCATION));
    world.settle().await;
    assert_eq!((world.story().await.runs.len(), world.ledger().cal.bookings.len()), (before, calls));
    let act = world.story().await.acts.remove(0);
    assert_eq!((act.verb, act.subject.as_str(), act.reason.as_deref()), (Verb::Replay, "ev_1", Some("to be sure")));
}

#[tokio::test(start_paused = true)]
async fn an_event_whose_run_was_lost_is_replayed_to_its_right_end() {
    let mut world = World::idle();
    world.send(&Event::paid("zoe@example.edu")).await;
    world.books().run("DELETE FROM runs WHERE payment_id = 1").unwrap();
    let done = Desk::of(&world, Role::Operator).post("/events/ev_1/replay", "").await;
    assert!(done.header(header::LOCATION).contains("started"), "{}", done.header(header::LOCATION));
    let transport = world.providers();
    world.work_over(transport);
    world.settle().await;
    assert_eq!(world.payment().await.status.as_str(), "booked");
    world.assert_money_is_right("replayed").await;
}

#[tokio::test(start_paused = true)]
async fn a_trail_that_was_altered_is_seen() {
    let world = stranded().await;
    let operator = Desk::of(&world, Role::Operator);
    operator.post("/payments/pay_1/reveal", "").await;
    let whole = operator.post("/audit/check", "").await;
    assert!(whole.header(header::LOCATION).contains("the+trail+is+whole"));
    world.books().let_acts_change();
    world.books().run("UPDATE acts SET actor = 'eve'").unwrap();
    let broken = operator.post("/audit/check", "").await;
    assert!(broken.body.contains("act_1 does not follow"), "{}", broken.body);
}

#[tokio::test(start_paused = true)]
async fn all_cases_are_those_that_are_closed_too() {
    let world = World::idle();
    let desk = Desk::of(&world, Role::Viewer);
    for (part, all) in [("cases", "/cases?status=any"), ("payments", "/payments")] {
        let page = desk.get(&format!("/{part}")).await.body;
        assert!(page.contains(&format!("<a href=\"{all}\">all</a>")), "{page}");
    }
}

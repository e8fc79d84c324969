//! What the webhook route takes, refuses and answers.

use discuno::config::{SANDBOX_STRIPE_SECRET, Secret};
use discuno::model::id::EventId;
use discuno::model::payment::PaymentStatus;
use discuno::model::role::Role;
use discuno::signature::sign_stripe;
use discuno::store::Subject;
use serde_json::json;

use crate::support::desk::Desk;
use crate::support::{Event, World};

#[tokio::test(start_paused = true)]
async fn an_unsigned_or_wrongly_signed_event_is_refused_and_not_kept() {
    let world = World::idle();
    let body = Event::paid("zoe@example.edu").body();
    let foreign = sign_stripe(&body, &Secret::new("whsec_of_somebody_else"), world.app.clock.now());
    for (signature, code) in [
        (None, "signature_missing"),
        (Some("garbage"), "signature_malformed"),
        (Some(foreign.as_str()), "signature_mismatch"),
    ] {
        let (status, answer) = world.post(&body, signature).await;
        assert_eq!((status, &answer["code"]), (400, &json!(code)));
    }
    assert!(world.payments().await.is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_body_over_one_mebibyte_is_413_and_a_signed_non_event_400() {
    let world = World::idle();
    let (status, answer) = world.post(&vec![b' '; 1024 * 1024 + 1], None).await;
    assert_eq!((status, &answer["code"]), (413, &json!("body_too_large")));
    let secret = Secret::new(SANDBOX_STRIPE_SECRET);
    for body in ["", "[]", "nonsense", "{\"id\":7}", "{\"id\":\"\",\"type\":\"t\",\"created\":1}"] {
        let signature = sign_stripe(body.as_bytes(), &secret, world.app.clock.now());
        let (status, answer) = world.post(body.as_bytes(), Some(&signature)).await;
        assert_eq!((status, &answer["code"]), (400, &json!("malformed_body")), "{body}");
    }
}

#[tokio::test(start_paused = true)]
async fn an_unpaid_session_is_booked_once_paid_in_either_order_of_arrival() {
    let unpaid = Event::paid("zoe@example.edu").session("payment_status", json!("unpaid"));
    let paid = Event::paid("zoe@example.edu").kind("checkout.session.async_payment_succeeded").id("evt_paid");
    for order in [[&unpaid, &paid], [&paid, &unpaid]] {
        let world = World::new();
        for event in order {
            assert_eq!(world.send(event).await.0, 200);
            world.settle().await;
        }
        assert_eq!(world.payment().await.status, PaymentStatus::Booked);
        world.assert_money_is_right("async").await;
    }
}

#[tokio::test(start_paused = true)]
async fn an_unpaid_session_is_not_booked_and_a_failed_payment_is_told_once() {
    let world = World::new();
    let unpaid = Event::paid("zoe@example.edu").session("payment_status", json!("unpaid"));
    world.send(&unpaid).await;
    world.settle().await;
    assert_eq!(world.payment().await.status, PaymentStatus::Awaiting);
    let failed = unpaid.kind("checkout.session.async_payment_failed").id("evt_failed");
    world.send(&failed).await;
    world.send(&failed).await;
    world.settle().await;
    assert_eq!(world.payment().await.status, PaymentStatus::Failed);
    let mails = world.ledger().mail.mails;
    assert_eq!(mails.len(), 1);
    assert!(mails[0].text.as_deref().unwrap().contains("Nothing was taken"), "{}", mails[0].text.as_deref().unwrap());
}

#[tokio::test(start_paused = true)]
async fn an_expired_session_is_over_unless_it_is_paid_first_or_after_all() {
    use PaymentStatus::{Booked, Expired};
    let unpaid = Event::paid("zoe@example.edu").id("evt_unpaid").session("payment_status", json!("unpaid"));
    let paid = Event::paid("zoe@example.edu").kind("checkout.session.async_payment_succeeded").id("evt_paid");
    let expired = unpaid.clone().kind("checkout.session.expired").id("evt_expired");
    for (events, end) in [
        (vec![&unpaid, &expired], Expired),
        (vec![&expired, &unpaid], Expired),
        (vec![&unpaid, &expired, &paid], Booked),
        (vec![&unpaid, &paid, &expired], Booked),
    ] {
        let world = World::new();
        for event in &events {
            assert_eq!(world.send(event).await.0, 200);
            world.settle().await;
        }
        let story = world.story().await;
        assert_eq!(story.payment.unwrap().status, end);
        assert!(story.cases.is_empty());
        let theirs = world.ledger();
        let booked = usize::from(end == Booked);
        assert_eq!((theirs.cal.bookings.len(), theirs.mail.mails.len()), (booked, booked * 2));
        assert_eq!(story.events.len(), events.len(), "each is shown with it");
    }
}

#[tokio::test(start_paused = true)]
async fn an_expired_session_that_nobody_knows_makes_no_payment() {
    let world = World::new();
    world.send(&Event::paid("zoe@example.edu").kind("checkout.session.expired")).await;
    world.settle().await;
    assert!(world.payments().await.is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_duplicate_starts_again_a_run_that_is_gone() {
    let world = World::idle();
    let event = Event::paid("zoe@example.edu");
    world.send(&event).await;
    assert_eq!(world.story().await.runs.len(), 1);
    world.books().run("DELETE FROM runs").unwrap();
    assert_eq!(world.story().await.runs.len(), 0);
    world.send(&event).await;
    assert_eq!(world.story().await.runs.len(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_free_session_is_booked_and_has_nothing_to_refund() {
    for (email, end) in
        [("zoe@example.edu", PaymentStatus::Booked), ("zoe+cal-refused@example.edu", PaymentStatus::Failed)]
    {
        let world = World::new();
        world.send(&Event::paid(email).free()).await;
        world.settle().await;
        assert_eq!(world.payment().await.status, end);
        world.assert_money_is_right("free").await;
    }
}

#[tokio::test(start_paused = true)]
async fn foreign_unknown_and_other_mode_events_are_kept_and_never_acted_on() {
    let world = World::new();
    let foreign = Event::paid("zoe@example.edu").session("metadata", json!({}));
    let unknown = Event::paid("zoe@example.edu").id("evt_unknown").kind("customer.created");
    let live = Event::paid("zoe@example.edu").id("evt_live").top("livemode", json!(true));
    for event in [foreign, unknown, live] {
        assert_eq!(world.send(&event).await.0, 200);
    }
    world.settle().await;
    assert!(world.payments().await.is_empty());
    assert!(world.ledger().cal.bookings.is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_known_id_with_another_body_has_no_effect() {
    let world = World::new();
    world.send(&Event::paid("zoe@example.edu")).await;
    let forged = Event::paid("eve@example.edu")
        .session("id", json!("cs_test_other"))
        .session("payment_intent", json!("pi_other"));
    let (status, answer) = world.send(&forged).await;
    assert_eq!((status, &answer["duplicate"]), (200, &json!(true)));
    world.settle().await;
    assert_eq!(world.payments().await.len(), 1);
}

#[tokio::test(start_paused = true)]
async fn an_event_keeps_the_headers_of_its_request_and_nothing_that_proves_its_sender() {
    let world = World::idle();
    let event = Event::paid("zoe@example.edu");
    let signature = sign_stripe(&event.body(), &Secret::new(SANDBOX_STRIPE_SECRET), world.app.clock.now());
    let (time, proof) = signature.split_once(",v1=").unwrap();
    let headers = [("stripe-signature", signature.as_str()), ("user-agent", "Stripe/1.0"), ("cookie", "token=1")];
    world.post_to("webhooks/stripe", &event.body(), &headers).await;
    let page = Desk::of(&world, Role::Viewer).get("/events/ev_1").await.body;
    assert!(page.contains("<dt>user-agent</dt><dd><code>Stripe/1.0</code>"), "{page}");
    assert!(page.contains(&format!("<code>{time},v1=…</code>")), "{page}");
    let kept = world.app.store.story(Subject::Event(EventId(1))).await.unwrap();
    let kept = serde_json::to_string(&kept.events).unwrap();
    assert!(!kept.contains(proof) && !kept.contains("token=1"), "{kept}");
}

//! What becomes of payments and accounts at Stripe, told in any order and any number of times.

use std::path::Path;

use discuno::model::account::AccountStatus;
use discuno::model::case::{CaseKind, CaseStatus, Resolution};
use discuno::model::dispute::DisputeStatus;
use discuno::model::id::CaseId;
use discuno::model::payment::PaymentStatus;
use discuno::model::refund::{RefundOrigin, RefundStatus};
use discuno::store::order::Deed;
use serde_json::{Value, json};

use crate::support::{CalEvent, Event, World};

/// A recorded event, made to be about this purchase.
pub(crate) fn sample(name: &str, purchase: &Event) -> Event {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("tests/fixtures/stripe/{name}.json"));
    let mut event = Event(serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap());
    let intent = purchase.0["data"]["object"]["payment_intent"].as_str().unwrap();
    let object = &mut event.0["data"]["object"];
    if object.get("payment_intent").is_some() {
        object["payment_intent"] = json!(intent);
    }
    if object.get("charge").is_some() {
        object["charge"] = json!(format!("ch_{}", intent.trim_start_matches("pi_")));
    }
    if object.get("transfer_group").is_some() {
        object["transfer_group"] = json!(format!("group_{intent}"));
    }
    event
}

async fn booked(world: &World) -> Event {
    let purchase = Event::paid("zoe@example.edu");
    world.send(&purchase).await;
    world.settle().await;
    purchase
}

fn refund_mails(world: &World) -> Vec<String> {
    let mails = world.ledger().mail.mails;
    mails.into_iter().map(|mail| mail.subject).filter(|subject| subject.starts_with("Refund")).collect()
}

#[tokio::test(start_paused = true)]
async fn a_refund_made_in_the_dashboard_is_taken_over_once_in_any_order() {
    let names = ["refund.created_pending", "refund.updated_succeeded", "charge.refunded_full"];
    for order in [[0, 1, 2], [0, 2, 1], [1, 0, 2], [1, 2, 0], [2, 0, 1], [2, 1, 0]] {
        let world = World::new();
        let purchase = booked(&world).await;
        for index in order {
            let event = sample(names[index], &purchase);
            for _ in 0..2 {
                assert_eq!(world.send(&event).await.0, 200);
            }
            world.settle().await;
        }
        let story = world.story().await;
        assert_eq!(story.payment.unwrap().status, PaymentStatus::Refunded, "{order:?}");
        assert_eq!(story.refunds.len(), 1, "{order:?}");
        assert_eq!((story.refunds[0].origin, story.refunds[0].status), (RefundOrigin::Stripe, RefundStatus::Succeeded));
        assert_eq!(refund_mails(&world).len(), 1, "{order:?}: told once");
    }
}

#[tokio::test(start_paused = true)]
async fn a_refund_that_is_told_of_before_its_payment_waits_for_it() {
    let world = World::new();
    let purchase = Event::paid("zoe@example.edu");
    world.send(&sample("refund.updated_succeeded", &purchase)).await;
    world.settle().await;
    assert!(world.payments().await.is_empty());
    world.send(&purchase).await;
    world.settle().await;
    let story = world.story().await;
    assert_eq!((story.refunds.len(), story.events.len()), (1, 2));
    world.assert_money_is_right("early refund").await;
}

#[tokio::test(start_paused = true)]
async fn the_news_of_our_own_refund_is_no_second_refund_and_no_second_letter() {
    let world = World::new();
    let purchase = Event::paid("zoe+cal-refused@example.edu");
    world.send(&purchase).await;
    world.settle().await;
    let theirs = world.ledger().stripe.refunds.remove(0);
    let mut news = sample("refund.updated_succeeded", &purchase);
    news.0["data"]["object"]["id"] = json!(theirs.id);
    news.0["data"]["object"]["metadata"] = json!(theirs.metadata);
    world.send(&news).await;
    world.settle().await;
    let story = world.story().await;
    assert_eq!((story.refunds.len(), story.refunds[0].origin), (1, RefundOrigin::Workflow));
    assert_eq!(world.ledger().mail.mails.len(), 1);
    world.assert_money_is_right("own news").await;
}

#[tokio::test(start_paused = true)]
async fn a_refund_that_fails_later_opens_the_matter_again() {
    let world = World::new();
    let purchase = Event::paid("zoe+cal-refused@example.edu");
    world.send(&purchase).await;
    world.settle().await;
    let theirs = world.ledger().stripe.refunds.remove(0);
    let mut failed = sample("refund.failed", &purchase);
    failed.0["data"]["object"]["id"] = json!(theirs.id);
    failed.0["data"]["object"]["metadata"] = json!(theirs.metadata);
    for _ in 0..2 {
        world.send(&failed).await;
        world.settle().await;
    }
    let story = world.story().await;
    assert_eq!(story.payment.unwrap().status, PaymentStatus::Attention);
    assert_eq!((story.cases.len(), story.cases[0].kind), (1, CaseKind::RefundFailed));
    assert!(story.cases[0].alerted_at.is_some());
    world.assert_money_is_right("failed later").await;
}

#[tokio::test(start_paused = true)]
async fn parts_add_up_to_the_whole() {
    let world = World::new();
    let purchase = booked(&world).await;
    let part = |id: &str, event: &str, amount: i64| {
        let mut refund = sample("refund.updated_succeeded", &purchase).id(event);
        refund.0["data"]["object"]["id"] = json!(id);
        refund.0["data"]["object"]["amount"] = json!(amount);
        refund
    };
    world.send(&part("re_part", "evt_part", 2000)).await;
    world.settle().await;
    assert_eq!(world.payment().await.status, PaymentStatus::Booked);
    assert!(refund_mails(&world)[0].contains("Refunded"));
    world.send(&part("re_rest", "evt_rest", 3000)).await;
    world.settle().await;
    assert_eq!(world.payment().await.status, PaymentStatus::Refunded);
    world.send(&part("re_more", "evt_more", 1)).await;
    world.settle().await;
    let story = world.story().await;
    let kinds: Vec<CaseKind> = story.cases.iter().map(|case| case.kind).collect();
    // The session still stands, and more than was paid is for a person too.
    assert_eq!((story.refunds.len(), kinds), (2, vec![CaseKind::BookingAfterRefund, CaseKind::Contradiction]));
}

#[tokio::test(start_paused = true)]
async fn a_dispute_has_a_case_with_its_deadline_until_it_is_won() {
    let names = ["charge.dispute.created", "charge.dispute.closed_won"];
    for order in [[0, 1], [1, 0]] {
        let world = World::new();
        let purchase = booked(&world).await;
        for (place, index) in order.into_iter().enumerate() {
            world.send(&sample(names[index], &purchase)).await;
            world.settle().await;
            if place == 0 && index == 0 {
                let case = world.story().await.cases.remove(0);
                assert_eq!((case.kind, case.status), (CaseKind::Disputed, CaseStatus::Open));
                assert!(case.summary.contains("evidence is taken until 2026-"), "{}", case.summary);
                assert!(case.alerted_at.is_some());
            }
        }
        let story = world.story().await;
        assert_eq!(story.disputes[0].status, DisputeStatus::Won, "{order:?}");
        assert!(story.cases.iter().all(|case| case.status == CaseStatus::Closed), "{order:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_lost_dispute_keeps_its_case() {
    let world = World::new();
    let purchase = booked(&world).await;
    world.send(&sample("charge.dispute.closed_lost", &purchase)).await;
    world.send(&sample("charge.dispute.created", &purchase)).await;
    world.settle().await;
    let story = world.story().await;
    assert_eq!((story.disputes[0].status, story.cases.len()), (DisputeStatus::Lost, 1));
    assert!(story.cases[0].summary.contains("lost"), "{}", story.cases[0].summary);
}

#[tokio::test(start_paused = true)]
async fn a_share_that_moves_with_the_charge_is_shown_with_its_payment() {
    let world = World::new();
    let purchase = booked(&world).await;
    world.send(&sample("transfer.reversed", &purchase)).await;
    world.send(&sample("transfer.created_from_destination_charge", &purchase)).await;
    world.settle().await;
    let story = world.story().await;
    assert_eq!((story.transfers.len(), story.transfers[0].reversed), (1, 4250), "the reversal is not forgotten");
}

#[tokio::test(start_paused = true)]
async fn an_account_is_as_stripe_said_last_whatever_came_last() {
    let world = World::idle();
    let events: Vec<Event> =
        ["connect_account.updated_active", "connect_account.updated_restricted", "connect_account.updated_no_userId"]
            .into_iter()
            .map(|name| {
                let path = format!("{}/tests/fixtures/stripe/{name}.json", env!("CARGO_MANIFEST_DIR"));
                Event(serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap())
            })
            .collect();
    for event in [&events[1], &events[2], &events[0]] {
        assert_eq!(world.send_connect(event).await.0, 200);
    }
    let id = events[0].0["account"].as_str().unwrap();
    let account = world.app.store.account(id).await.unwrap().unwrap();
    assert_eq!(account.status, AccountStatus::Restricted);
    assert!(!account.transfers_enabled && account.user_id.is_some() && !account.requirements.is_empty());
    let gone = Event(json!({"id": "evt_gone", "type": "account.application.deauthorized", "livemode": false,
        "created": 1_802_512_800, "account": id, "data": {"object": {"id": "ca_1"}}}));
    world.send_connect(&gone).await;
    world.send_connect(&events[1].clone().id("evt_late")).await;
    let account = world.app.store.account(id).await.unwrap().unwrap();
    assert_eq!(account.status, AccountStatus::Inactive);
}

#[tokio::test(start_paused = true)]
async fn a_payout_is_counted_for_the_mentor_and_a_failed_one_is_a_case() {
    let world = World::new();
    for name in ["account.updated_active", "payout.paid", "payout.paid", "payout.failed"] {
        let path = format!("{}/tests/fixtures/stripe/connect_{name}.json", env!("CARGO_MANIFEST_DIR"));
        let event: Value = serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap();
        assert_eq!(world.send_connect(&Event(event)).await.0, 200);
        world.settle().await;
    }
    assert_eq!(world.counted(), ["payout_completed"]);
    let theirs = world.ledger();
    let subjects: Vec<&str> = theirs.mail.mails.iter().map(|mail| mail.subject.as_str()).collect();
    assert!(subjects.contains(&"Payout Completed - Your Earnings Have Arrived"), "{subjects:?}");
    assert!(subjects.contains(&"Payout Failed - Please Check Your Bank Details"), "{subjects:?}");
    assert_eq!(theirs.alerts.posts.len(), 1);
}

#[tokio::test(start_paused = true)]
async fn an_event_of_the_platform_is_not_taken_at_the_endpoint_for_accounts() {
    let world = World::idle();
    let event = Event::paid("zoe@example.edu");
    let signature = discuno::signature::sign_stripe(
        &event.body(),
        &discuno::config::Secret::new(discuno::config::SANDBOX_STRIPE_SECRET),
        world.app.clock.now(),
    );
    let headers = [("stripe-signature", signature.as_str())];
    let (status, answer) = world.post_to("webhooks/stripe-connect", &event.body(), &headers).await;
    assert_eq!((status, &answer["code"]), (400, &json!("signature_mismatch")));
}

/// A refund at Stripe that only Stripe knows of.
fn unseen_refund(purchase: &Event, id: &str, amount: i64) -> Event {
    let intent = purchase.0["data"]["object"]["payment_intent"].clone();
    let refund = json!({"id": id, "amount": amount, "currency": "usd", "status": "succeeded",
        "payment_intent": intent, "metadata": {}});
    Event::told(&format!("evt_{id}"), "refund.created", 1_793_873_000, refund)
}

fn paid_back(world: &World) -> i64 {
    world.ledger().stripe.refunds.iter().map(|refund| refund.amount).sum()
}

#[tokio::test(start_paused = true)]
async fn what_went_back_by_two_other_ways_is_made_whole_where_the_session_cannot_be_booked() {
    let mut world = World::idle();
    let purchase = Event::paid("zoe+cal-refused@example.edu");
    world.send(&purchase).await;
    world.send(&unseen_refund(&purchase, "re_known", 2500)).await;
    world.sandbox.observe(&unseen_refund(&purchase, "re_late", 100).body());
    world.work_over(world.providers());
    world.settle().await;
    assert_eq!((paid_back(&world), world.payment().await.status), (5000, PaymentStatus::Refunded));
    world.assert_money_is_right("two ways").await;
}

#[tokio::test(start_paused = true)]
async fn what_went_back_by_two_other_ways_is_made_whole_where_the_mentor_declines() {
    let world = World::new();
    let purchase = booked(&world).await;
    world.send(&unseen_refund(&purchase, "re_known", 2400)).await;
    world.settle().await;
    world.sandbox.observe(&unseen_refund(&purchase, "re_late", 200).body());
    world.send_cal(&CalEvent::sample("BOOKING_REJECTED").about(&purchase)).await;
    world.settle().await;
    assert_eq!((paid_back(&world), world.payment().await.status), (5000, PaymentStatus::Refunded));
    world.assert_money_is_right("two ways").await;
}

#[tokio::test(start_paused = true)]
async fn books_that_were_put_back_to_before_a_refund_take_it_over() {
    for (amount, made) in [(5000, 1), (2000, 2)] {
        let world = World::new();
        let purchase = booked(&world).await;
        let mut ours = unseen_refund(&purchase, "re_ours", amount);
        let intent = purchase.0["data"]["object"]["payment_intent"].as_str().unwrap();
        ours.0["data"]["object"]["metadata"] = json!({ "discunoRefund": format!("{intent}/1") });
        world.sandbox.observe(&ours.body());
        world.send_cal(&CalEvent::sample("BOOKING_REJECTED").about(&purchase)).await;
        world.settle().await;
        assert_eq!((paid_back(&world), world.ledger().stripe.refunds.len()), (5000, made));
        let story = world.story().await;
        assert_eq!(story.payment.unwrap().status, PaymentStatus::Refunded, "{amount}");
        assert!(story.cases.is_empty(), "{amount}: {:?}", story.cases);
        world.assert_money_is_right("put back").await;
    }
}

#[tokio::test(start_paused = true)]
async fn every_turn_of_a_dispute_is_told_anew_also_after_its_case_was_closed() {
    let world = World::new();
    let purchase = booked(&world).await;
    let told = async |number: i64, status: &str| {
        let mut event = sample("charge.dispute.created", &purchase).id(&format!("evt_turn_{number}"));
        event.0["created"] = json!(1_793_873_000 + number);
        event.0["data"]["object"]["status"] = json!(status);
        for _ in 0..2 {
            world.send(&event).await;
            world.settle().await;
        }
        let story = world.story().await;
        let mut open = story.cases.into_iter().filter(|case| case.status == CaseStatus::Open);
        let newest = open.next();
        assert!(open.next().is_none(), "{status}: one at a time");
        assert!(newest.as_ref().is_none_or(|case| case.alerted_at.is_some()), "{status}");
        newest
    };
    let resolve = async |case: CaseId| {
        let deed = Deed::Resolve { case, resolution: Resolution::SettledElsewhere };
        world.operate(deed).await.unwrap();
    };
    let asked = told(1, "warning_needs_response").await.unwrap();
    resolve(asked.id).await;
    assert!(told(2, "warning_under_review").await.is_none(), "nothing new");
    let opened = told(3, "needs_response").await.unwrap();
    assert!(opened.summary.contains("has taken it back"), "{}", opened.summary);
    let lost = told(4, "lost").await.unwrap();
    assert!(lost.id != opened.id && lost.summary.contains("the money is gone"), "{}", lost.summary);
    assert!(told(5, "won").await.is_none());
    let lost_again = told(6, "lost").await.unwrap();
    assert_ne!(lost_again.id, lost.id);
    assert_eq!(world.payment().await.status, PaymentStatus::Booked);
}

#[tokio::test(start_paused = true)]
async fn a_dispute_that_was_prevented_by_paying_the_customer_is_a_case() {
    let world = World::new();
    let purchase = booked(&world).await;
    let mut event = sample("charge.dispute.created", &purchase);
    event.0["data"]["object"]["status"] = json!("prevented");
    world.send(&event).await;
    world.settle().await;
    let story = world.story().await;
    assert_eq!((story.disputes[0].status, story.cases.len()), (DisputeStatus::Lost, 1));
}

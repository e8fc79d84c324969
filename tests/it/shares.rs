//! The mentor's share, where it is ours to move.

use std::collections::BTreeSet;
use std::time::Duration;

use discuno::model::booking::BookingStatus;
use discuno::model::case::{Case, CaseKind, CaseStatus, Resolution};
use discuno::model::payment::PaymentStatus;
use discuno::model::run::RunState;
use discuno::model::transfer::TransferStatus;
use discuno::sandbox::fault::{Effect, Fault, Provider};
use discuno::store::order::Deed;
use serde_json::json;

use crate::support::{CalEvent, Event, World};

const LATER: &str = "zoe+share-later@example.edu";

async fn outcome(world: &World) -> String {
    let run = world.runs_of("transfer-to-mentor").await.remove(0);
    assert_eq!(run.state, RunState::Succeeded, "{run:?}");
    run.outcome.unwrap()
}

fn moved(world: &World) -> Vec<(i64, String)> {
    world.ledger().stripe.transfers.into_iter().map(|transfer| (transfer.amount, transfer.destination)).collect()
}

#[tokio::test(start_paused = true)]
async fn it_moves_once_the_dispute_period_after_the_session_is_over_and_the_mentor_is_told() {
    let mut world = World::new();
    let purchase = Event::paid(LATER);
    let account = purchase.0["data"]["object"]["metadata"]["mentorStripeAccountId"].as_str().unwrap().to_owned();
    world.send(&purchase).await;
    world.settle().await;
    let run = world.runs_of("transfer-to-mentor").await.remove(0);
    let end = world.story().await.bookings[0].facts.end;
    assert_eq!(run.due_at, Some(end.plus(Duration::from_secs(72 * 3600))));
    assert!(moved(&world).is_empty());
    world.settle_share().await;
    assert_eq!(outcome(&world).await, "transferred");
    assert_eq!(moved(&world), [(4250, account)]);
    let story = world.story().await;
    assert_eq!((story.transfers.len(), story.transfers[0].status), (1, TransferStatus::Made));
    let mails = world.ledger().mail.mails;
    let told = mails.iter().filter(|mail| mail.subject.starts_with("Payment Transferred")).count();
    assert_eq!(told, 1);
}

#[tokio::test(start_paused = true)]
async fn a_share_that_moved_with_the_charge_is_never_moved_again() {
    let mut world = World::new();
    world.send(&Event::paid("zoe@example.edu")).await;
    world.settle_share().await;
    assert_eq!(outcome(&world).await, "moved_with_the_charge");
    assert_eq!(moved(&world).len(), 1, "the charge's own");
}

#[tokio::test(start_paused = true)]
async fn nothing_moves_for_what_was_refunded() {
    let mut world = World::new();
    let purchase = Event::paid(LATER);
    world.send(&purchase).await;
    world.settle().await;
    let intent = purchase.0["data"]["object"]["payment_intent"].clone();
    let refund = json!({"id": "re_1", "amount": 5000, "currency": "usd", "status": "succeeded",
        "payment_intent": intent, "metadata": {}});
    world.send(&Event::told("evt_refund", "refund.created", 1_793_873_000, refund)).await;
    world.settle_share().await;
    assert!(moved(&world).is_empty());
    assert_eq!(world.runs_of("transfer-to-mentor").await[0].state, RunState::Cancelled);
}

#[tokio::test(start_paused = true)]
async fn a_dispute_holds_it_back_until_it_is_won() {
    for (end, moves) in [("won", 1), ("lost", 0)] {
        let mut world = World::new();
        let purchase = Event::paid(LATER);
        world.send(&purchase).await;
        world.settle().await;
        let intent = purchase.0["data"]["object"]["payment_intent"].as_str().unwrap();
        let charge = format!("ch_{}", intent.trim_start_matches("pi_"));
        let dispute = |id: &str, status: &str, created: i64| {
            let object = json!({"id": "du_1", "amount": 5000, "currency": "usd", "status": status,
                "reason": "fraudulent", "payment_intent": intent, "charge": charge});
            Event::told(id, "charge.dispute.updated", created, object)
        };
        world.send(&dispute("evt_1", "needs_response", 1_793_873_000)).await;
        world.pass(Duration::from_secs(20 * 24 * 3600)).await;
        assert!(moved(&world).is_empty(), "{end}");
        world.send(&dispute("evt_2", end, 1_795_000_000)).await;
        world.settle_share().await;
        assert_eq!(moved(&world).len(), moves, "{end}");
    }
}

#[tokio::test(start_paused = true)]
async fn it_waits_for_an_account_that_takes_transfers_and_for_funds() {
    let mut world = World::new();
    let purchase = Event::paid(LATER);
    let account = purchase.0["data"]["object"]["metadata"]["mentorStripeAccountId"].clone();
    let updated = |id: &str, created: i64, state: &str| {
        let object = json!({"id": account, "email": "jane@example.edu", "charges_enabled": true,
            "payouts_enabled": true, "capabilities": {"transfers": state}, "metadata": {}});
        Event::told(id, "account.updated", created, object).top("account", account.clone())
    };
    world.send_connect(&updated("evt_1", 1_793_872_000, "inactive")).await;
    world.send(&purchase).await;
    world.settle().await;
    let no_funds = Effect::Refuse { status: 400, code: "balance_insufficient".to_owned(), message: "no".to_owned() };
    world.sandbox.inject(Fault::new(Provider::Stripe, no_funds).on("transfers.create").times(2));
    world.pass(Duration::from_secs(15 * 24 * 3600)).await;
    assert!(moved(&world).is_empty());
    world.send_connect(&updated("evt_2", 1_793_873_000, "active")).await;
    world.settle_share().await;
    assert_eq!(outcome(&world).await, "transferred");
    assert_eq!(moved(&world).len(), 1);
    let keys: BTreeSet<_> =
        world.ledger().stripe.requests.into_iter().filter_map(|request| request.idempotency_key).collect();
    let wishes = world.story().await.transfers;
    let refused = wishes.iter().filter(|wish| wish.status == TransferStatus::Failed).count();
    // Twice for want of funds, and once a day while the account takes none: Stripe is asked, for news of it may be late.
    assert!(refused > 2, "{wishes:?}");
    assert_eq!(keys.len(), refused + 1, "a refused wish is asked again under a key of its own: {keys:?}");
}

#[tokio::test(start_paused = true)]
async fn what_cannot_be_moved_for_a_month_is_a_case() {
    let mut world = World::new();
    let no = Effect::Refuse {
        status: 400,
        code: "insufficient_capabilities_for_transfer".to_owned(),
        message: "no".to_owned(),
    };
    world.sandbox.inject(Fault::new(Provider::Stripe, no).on("transfers.create"));
    world.send(&Event::paid(LATER)).await;
    world.settle_share().await;
    let story = world.story().await;
    assert_eq!((story.cases.len(), story.cases[0].kind), (1, CaseKind::TransferBlocked));
    assert!(moved(&world).is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_share_that_was_moved_is_asked_back_once_the_customer_has_the_money_back() {
    let mut world = World::new();
    let purchase = Event::paid(LATER);
    world.send(&purchase).await;
    world.settle_share().await;
    assert_eq!(outcome(&world).await, "transferred");
    let intent = purchase.0["data"]["object"]["payment_intent"].as_str().unwrap();
    let refund = |id: &str, amount: i64, status: &str| {
        let object = json!({"id": id, "amount": amount, "currency": "usd", "status": status,
            "payment_intent": intent, "metadata": {}});
        Event::told(&format!("evt_{id}_{status}"), "refund.updated", 1_795_000_000, object)
    };
    // What came to nothing, and is paid back after all, is asked for anew.
    for (id, amount, status, open) in [
        ("re_part", 2000, "succeeded", 1700),
        ("re_rest", 3000, "succeeded", 4250),
        ("re_rest", 3000, "failed", 1700),
        ("re_again", 3000, "succeeded", 4250),
    ] {
        world.send(&refund(id, amount, status)).await;
        world.settle().await;
        let story = world.story().await;
        let about_share = |case: &&Case| case.kind == CaseKind::TransferNotReversed;
        let mut cases = story.cases.iter().filter(about_share).filter(|case| case.status == CaseStatus::Open);
        let (case, other) = (cases.next().unwrap(), cases.next());
        assert_eq!((case.at_risk.map(|money| money.minor), other.is_none()), (Some(open), true), "{id} {status}");
        assert!(case.alerted_at.is_some());
    }
    let moved = world.ledger().stripe.transfers.remove(0);
    let back = json!({"id": moved.id, "amount": 4250, "currency": "usd", "amount_reversed": 4250,
        "destination": moved.destination, "transfer_group": moved.transfer_group, "metadata": moved.metadata});
    world.send(&Event::told("evt_back", "transfer.reversed", 1_795_000_000, back)).await;
    world.settle().await;
    let story = world.story().await;
    let open: Vec<_> =
        story.cases.iter().filter(|case| case.status == CaseStatus::Open).map(|case| case.kind).collect();
    // That a refund failed is for a person whatever came after it.
    assert_eq!((open, story.payment.unwrap().status), (vec![CaseKind::RefundFailed], PaymentStatus::Refunded));
}

#[tokio::test(start_paused = true)]
async fn the_share_of_a_session_that_only_the_calendar_told_of_moves_too() {
    let mut world = World::new();
    let purchase = Event::paid(LATER);
    let fault = |effect, operation| Fault::new(Provider::Cal, effect).on(operation);
    world.sandbox.inject(fault(Effect::HangAfter, "bookings.create").times(1));
    world.sandbox.inject(fault(Effect::ErrorBefore { status: 503 }, "bookings.list"));
    world.send(&purchase).await;
    tokio::time::sleep(Duration::from_secs(5)).await;
    world.send_cal(&CalEvent::sample("BOOKING_CREATED").about(&purchase)).await;
    tokio::time::sleep(Duration::from_secs(1)).await;
    assert_eq!(world.payment().await.status, PaymentStatus::Booked);
    // What made it goes no further.
    let checkout = world.runs_of("process-checkout-side-effects").await.remove(0).id;
    world.operate(Deed::Cancel(checkout)).await.unwrap();
    world.settle_share().await;
    assert_eq!((outcome(&world).await, moved(&world).len()), ("transferred".to_owned(), 1));
    assert!(world.story().await.cases.is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_part_that_was_paid_back_in_stripe_leaves_the_share_to_a_person() {
    let mut world = World::new();
    let purchase = Event::paid(LATER);
    world.send(&purchase).await;
    world.settle().await;
    let refund = json!({"id": "re_1", "amount": 100, "currency": "usd", "status": "succeeded",
        "payment_intent": purchase.0["data"]["object"]["payment_intent"], "metadata": {}});
    world.send(&Event::told("evt_refund", "refund.created", 1_793_873_000, refund)).await;
    world.settle_share().await;
    assert!(moved(&world).is_empty());
    assert_eq!(outcome(&world).await, "case_opened");
    let cases = world.story().await.cases;
    assert_eq!((cases.len(), cases[0].kind), (1, CaseKind::TransferBlocked));
}

#[tokio::test(start_paused = true)]
async fn a_session_that_the_mentor_never_confirmed_earns_nothing_and_is_a_case() {
    let mut world = World::new();
    world.app.begin_schedules().await.unwrap();
    world.send(&Event::paid("zoe+share-later+cal-confirm@example.edu")).await;
    world.settle().await;
    assert_eq!(world.story().await.bookings[0].facts.status, BookingStatus::Pending);
    let mails = world.ledger().mail.mails;
    assert!(mails.iter().any(|mail| mail.subject == "Booking Request - Please Confirm or Decline"), "{mails:?}");
    world.pass(Duration::from_secs(14 * 24 * 3600)).await;
    let story = world.story().await;
    assert!(moved(&world).is_empty(), "{:?}", story.transfers);
    assert_eq!((story.cases.len(), story.cases[0].kind), (1, CaseKind::Unaccounted));
    assert!(story.cases[0].summary.contains("never confirmed") && story.cases[0].alerted_at.is_some());
    // It took place all the same, as somebody has found out.
    world.operate(Deed::Resolve { case: story.cases[0].id, resolution: Resolution::Booked }).await.unwrap();
    world.pass(Duration::from_secs(2 * 24 * 3600)).await;
    assert_eq!((outcome(&world).await, moved(&world).len()), ("transferred".to_owned(), 1));
    world.kill_worker();
}

/// What somebody was told of a payment that is booked, and has still to settle.
async fn told_of_share(world: &World) -> Vec<(CaseKind, String)> {
    let story = world.story().await;
    assert_eq!(story.payment.unwrap().status, PaymentStatus::Booked);
    let open = story.cases.into_iter().filter(|case| case.status == CaseStatus::Open && case.alerted_at.is_some());
    open.map(|case| (case.kind, case.summary)).collect()
}

#[tokio::test(start_paused = true)]
async fn whoever_ends_the_run_of_a_share_that_is_owed_is_asked_about_it() {
    let mut world = World::new();
    world.send(&Event::paid(LATER)).await;
    world.settle().await;
    let run = world.runs_of("transfer-to-mentor").await.remove(0).id;
    world.operate(Deed::Cancel(run)).await.unwrap();
    world.settle().await;
    let why = format!("the mentor's share of 42.50 USD was not moved: {run} was cancelled; the money is here");
    assert_eq!(told_of_share(&world).await, [(CaseKind::TransferBlocked, why)]);
    world.operate(Deed::Retry { run, from: None }).await.unwrap();
    world.settle_share().await;
    assert_eq!((outcome(&world).await, moved(&world).len()), ("transferred".to_owned(), 1));
    assert!(told_of_share(&world).await.is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_share_whose_run_a_person_ended_is_asked_about_once_the_session_is_said_to_stand() {
    let mut world = World::new();
    let purchase = Event::paid(LATER);
    world.send(&purchase).await;
    world.settle().await;
    let refund = |status: &str| {
        let object = json!({"id": "re_1", "amount": 5000, "currency": "usd", "status": status,
            "payment_intent": purchase.0["data"]["object"]["payment_intent"], "metadata": {}});
        Event::told(&format!("evt_{status}"), "refund.updated", 1_793_873_000, object)
    };
    world.send(&refund("pending")).await;
    let run = world.runs_of("transfer-to-mentor").await.remove(0).id;
    world.operate(Deed::Cancel(run)).await.unwrap();
    world.settle().await;
    world.send(&refund("failed")).await;
    world.settle().await;
    let open = world.story().await.cases.into_iter().filter(|case| case.status == CaseStatus::Open);
    for case in open {
        world.operate(Deed::Resolve { case: case.id, resolution: Resolution::Booked }).await.unwrap();
    }
    world.settle_share().await;
    let told = told_of_share(&world).await;
    assert_eq!((told.len(), told[0].0), (1, CaseKind::TransferBlocked), "{told:?}");
    assert!(moved(&world).is_empty());
}

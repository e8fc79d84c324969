//! One thing after another becomes of a session, and what a person said of the first says nothing of the next.

use std::time::Duration;

use discuno::model::booking::BookingStatus;
use discuno::model::case::{Case, CaseKind, CaseStatus, Resolution};
use discuno::model::payment::PaymentStatus;
use discuno::model::policy::Policy;
use discuno::model::run::RunState;
use discuno::sandbox::fault::{Effect, Fault, Provider};
use discuno::store::order::Deed;
use serde_json::{Value, json};

use crate::calendar::{booked, cancelled, created};
use crate::late_news::{close, first_of, kinds, moved, off, open_cases};
use crate::life::sample;
use crate::support::{CalEvent, Event, World};

const DAY: Duration = Duration::from_hours(24);
const LATER: &str = "zoe+share-later@example.edu";
const JANE: &str = "jane@example.com";

pub(crate) fn absent(purchase: &Event, uid: &str) -> CalEvent {
    let absent = CalEvent::sample("AFTER_HOSTS_CAL_VIDEO_NO_SHOW").about(purchase).set("metadata", json!({}));
    let number = if uid == "uid-second" { 91_999 } else { 91_001 };
    absent.set("uid", json!(uid)).set("bookingUid", json!(uid)).set("bookingId", json!(number))
}

/// Booked by a customer whose mentor's share is ours to move.
pub(crate) async fn booked_for_later(world: &World) -> Event {
    let purchase = Event::paid(LATER);
    world.send(&purchase).await;
    world.settle().await;
    assert_eq!(world.payment().await.status, PaymentStatus::Booked);
    purchase
}

pub(crate) fn stripe_is_down(operation: &str) -> Fault {
    Fault::new(Provider::Stripe, Effect::ErrorBefore { status: 503 }).on(operation)
}

/// What Stripe says of the one dispute of `purchase`, so many seconds after the epoch.
pub(crate) async fn dispute(world: &World, purchase: &Event, status: &str, created: i64) {
    let object = json!({"id": "du_1", "amount": 5000, "currency": "usd", "status": status, "reason": "fraudulent",
        "payment_intent": purchase.0["data"]["object"]["payment_intent"], "charge": "ch_1"});
    world.send(&Event::told(&format!("evt_{status}"), "charge.dispute.closed", created, object)).await;
    world.settle().await;
}

/// So much was paid back, by one refund after another.
fn paid_back(world: &World) -> Vec<i64> {
    world.ledger().stripe.refunds.into_iter().map(|refund| refund.amount).collect()
}

#[tokio::test(start_paused = true)]
async fn what_becomes_of_the_next_session_is_asked_about_while_the_first_is_open() {
    for missed in [false, true] {
        let world = World::new();
        let purchase = booked(&world).await;
        let first = first_of(&world);
        world.send_cal(&absent(&purchase, &first)).await;
        world.settle().await;
        assert_eq!(kinds(&open_cases(&world).await), [CaseKind::HostNoShow]);
        world.send_cal(&moved(&purchase, &first, "uid-second")).await;
        world.settle().await;
        let told = if missed { absent(&purchase, "uid-second") } else { off(&purchase, "uid-second", JANE) };
        world.send_cal(&told).await;
        world.settle().await;
        let open = open_cases(&world).await;
        let of_second = open.iter().find(|case| case.cause.ends_with("uid-second"));
        assert!(of_second.is_some_and(|case| case.alerted_at.is_some()), "missed {missed}: {open:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_dispute_that_is_open_meanwhile_does_not_keep_back_what_becomes_of_the_session() {
    let world = World::new();
    let purchase = booked(&world).await;
    let first = first_of(&world);
    world.send_cal(&off(&purchase, &first, JANE)).await;
    world.settle().await;
    close(&world, Resolution::SettledElsewhere).await;
    world.send_cal(&moved(&purchase, &first, "uid-second")).await;
    dispute(&world, &purchase, "warning_needs_response", 1_793_873_000).await;
    world.send_cal(&off(&purchase, "uid-second", JANE)).await;
    world.settle().await;
    dispute(&world, &purchase, "warning_closed", 1_793_880_000).await;
    let open = open_cases(&world).await;
    assert_eq!(kinds(&open), [CaseKind::SessionCancelled], "{open:?}");
}

#[tokio::test(start_paused = true)]
async fn a_session_that_was_said_to_stand_does_not_stand_for_the_next() {
    let mut world = World::new();
    let purchase = booked_for_later(&world).await;
    let first = first_of(&world);
    world.send_cal(&absent(&purchase, &first)).await;
    world.settle().await;
    world.send_cal(&moved(&purchase, &first, "uid-second")).await;
    world.settle().await;
    close(&world, Resolution::Booked).await;
    assert_eq!(world.payment().await.status, PaymentStatus::Booked);
    world.send_cal(&absent(&purchase, "uid-second")).await;
    world.settle().await;
    close(&world, Resolution::SettledElsewhere).await;
    assert_eq!(world.payment().await.status, PaymentStatus::Attention);
    world.settle_share().await;
    assert!(world.ledger().stripe.transfers.is_empty());
}

#[tokio::test(start_paused = true)]
async fn whoever_says_that_a_missed_session_took_place_says_why() {
    let world = World::new();
    let purchase = booked(&world).await;
    world.send_cal(&absent(&purchase, &first_of(&world))).await;
    world.settle().await;
    let case = open_cases(&world).await.remove(0).id;
    let resolve = |reason: Option<&str>| discuno::store::order::Order {
        actor: "mia".to_owned(),
        reason: reason.map(str::to_owned),
        deed: Deed::Resolve { case, resolution: Resolution::Booked },
    };
    let refused = world.app.store.operate(resolve(None), world.app.clock.now()).await.unwrap_err();
    assert!(refused.to_string().contains("say why with --reason"), "{refused}");
    world.app.store.operate(resolve(Some("he came by phone")), world.app.clock.now()).await.unwrap();
    assert_eq!(world.payment().await.status, PaymentStatus::Booked);
}

#[tokio::test(start_paused = true)]
async fn a_refund_that_nobody_carries_out_any_more_is_not_taken_for_one() {
    for policy in [Policy::Refund, Policy::Case] {
        let world = World::with(|config| config.policies.mentor_cancels = policy);
        let purchase = booked(&world).await;
        world.sandbox.inject(stripe_is_down("payment_intents.get"));
        world.order_refund().await;
        tokio::time::sleep(Duration::from_secs(5)).await;
        let run = world.runs_of("refund-payment").await.remove(0).id;
        world.operate(Deed::Cancel(run)).await.unwrap();
        world.settle().await;
        world.sandbox.clear_faults();
        close(&world, Resolution::SettledElsewhere).await;
        world.send_cal(&off(&purchase, &first_of(&world), JANE)).await;
        world.settle().await;
        let (status, open) = (world.payment().await.status, kinds(&open_cases(&world).await));
        if policy == Policy::Refund {
            assert_eq!((status, open), (PaymentStatus::Refunded, vec![]));
        } else {
            assert_eq!((status, open), (PaymentStatus::Attention, vec![CaseKind::SessionCancelled]));
        }
        world.assert_money_is_right("given up").await;
    }
}

#[tokio::test(start_paused = true)]
async fn what_a_person_has_settled_is_not_retried() {
    let world = World::with(|config| config.policies.mentor_cancels = Policy::Refund);
    let purchase = booked(&world).await;
    world.sandbox.inject(stripe_is_down("refunds.create"));
    world.send_cal(&off(&purchase, &first_of(&world), JANE)).await;
    tokio::time::sleep(Duration::from_secs(5)).await;
    let run = world.runs_of("refund-payment").await.remove(0).id;
    world.operate(Deed::Cancel(run)).await.unwrap();
    world.settle().await;
    world.sandbox.clear_faults();
    assert_eq!(kinds(&open_cases(&world).await), [CaseKind::RunCancelled]);
    close(&world, Resolution::SettledElsewhere).await;
    let refused = world.operate(Deed::Retry { run, from: None }).await.unwrap_err();
    assert!(refused.to_string().contains("was settled by a person"), "{refused}");
    world.settle().await;
    assert!(paid_back(&world).is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_session_that_a_lost_database_had_booked_is_adopted_whatever_became_of_it() {
    // Who called it off, and how many minutes ago it was paid.
    for (called_off_by, minutes) in [(None, 0), (Some("zoe@example.edu"), 20), (Some(JANE), 20)] {
        let world = World::with(|config| {
            config.policies.attendee_cancels = Policy::None;
            config.policies.mentor_cancels = Policy::Refund;
        });
        let mut purchase = Event::paid("zoe@example.edu");
        purchase.0["created"] = json!(purchase.0["created"].as_i64().unwrap() - minutes * 60);
        world.sandbox.observe(&created(&purchase).body());
        if let Some(by) = called_off_by {
            let off = cancelled(&purchase).set("cancelledBy", json!(by));
            world.sandbox.observe(&off.body());
        }
        world.send(&purchase).await;
        world.settle().await;
        let refunded = called_off_by == Some(JANE);
        let status = if refunded { PaymentStatus::Refunded } else { PaymentStatus::Booked };
        assert_eq!(world.payment().await.status, status, "{called_off_by:?}");
        let bookings = world.ledger().cal.bookings;
        assert_eq!(bookings.len(), 1, "{bookings:?}");
        let stands = if called_off_by.is_none() { "accepted" } else { "cancelled" };
        assert_eq!(bookings[0].status, stands);
        assert_eq!(paid_back(&world), if refunded { vec![5000] } else { vec![] });
        let subjects: Vec<String> = world.ledger().mail.mails.into_iter().map(|mail| mail.subject).collect();
        let confirmed = subjects.iter().any(|subject| subject.starts_with("Booking Confirmed"));
        assert_eq!(confirmed, called_off_by.is_none(), "{subjects:?}");
        let share = world.runs_of("transfer-to-mentor").await.remove(0);
        assert_eq!(share.state, if refunded { RunState::Cancelled } else { RunState::Queued });
    }
}

#[tokio::test(start_paused = true)]
async fn a_part_that_an_operator_paid_back_for_a_moved_session_stays_a_part() {
    let world = World::with(|config| config.policies.mentor_cancels = Policy::Refund);
    let purchase = booked(&world).await;
    let first = first_of(&world);
    let moved = moved(&purchase, &first, "uid-second");
    world.sandbox.observe(&moved.body());
    world.order_part(Some(1000), true).await.unwrap();
    world.settle().await;
    world.send_cal(&moved).await;
    world.send_cal(&off(&purchase, "uid-second", "api@example.com")).await;
    world.settle().await;
    assert_eq!(paid_back(&world), [1000]);
    assert_eq!(world.payment().await.status, PaymentStatus::Booked);
}

#[tokio::test(start_paused = true)]
async fn what_is_agreed_on_after_an_operator_called_the_first_off_is_settled_for_itself() {
    for missed in [false, true] {
        let world = World::new();
        let purchase = booked(&world).await;
        let first = first_of(&world);
        world.order_part(Some(1000), true).await.unwrap();
        world.settle().await;
        world.pass(Duration::from_mins(1)).await;
        world.send_cal(&moved(&purchase, &first, "uid-second")).await;
        world.settle().await;
        let told = if missed { absent(&purchase, "uid-second") } else { off(&purchase, "uid-second", JANE) };
        world.send_cal(&told).await;
        world.settle().await;
        let open = open_cases(&world).await;
        let kind = if missed { CaseKind::HostNoShow } else { CaseKind::SessionCancelled };
        assert_eq!(kinds(&open), [kind], "{open:?}");
        assert_eq!(open[0].at_risk.map(|money| money.minor), Some(4000));
    }
}

#[tokio::test(start_paused = true)]
async fn a_share_that_was_not_due_is_asked_about_once_a_lost_dispute_is_won() {
    let mut world = World::new();
    let purchase = booked_for_later(&world).await;
    dispute(&world, &purchase, "lost", 1_793_873_000).await;
    world.settle_share().await;
    let run = world.runs_of("transfer-to-mentor").await.remove(0);
    assert_eq!((run.state, run.outcome.as_deref()), (RunState::Succeeded, Some("not_due")));
    close(&world, Resolution::SettledElsewhere).await;
    dispute(&world, &purchase, "won", 1_799_000_000).await;
    let open = open_cases(&world).await;
    assert_eq!(kinds(&open), [CaseKind::TransferBlocked], "{open:?}");
    assert_eq!(open[0].at_risk.map(|money| money.minor), Some(4250));
    assert!(open[0].summary.contains("found it not due") && !open[0].detail.contains("retry"), "{open:?}");
}

#[tokio::test(start_paused = true)]
async fn a_share_is_asked_about_as_often_as_nobody_sees_to_it() {
    let mut world = World::new();
    let purchase = booked_for_later(&world).await;
    let run = world.runs_of("transfer-to-mentor").await.remove(0).id;
    world.operate(Deed::Cancel(run)).await.unwrap();
    world.settle().await;
    dispute(&world, &purchase, "lost", 1_793_873_000).await;
    world.operate(Deed::Retry { run, from: None }).await.unwrap();
    world.settle_share().await;
    assert_eq!(kinds(&open_cases(&world).await), [CaseKind::Disputed]);
    dispute(&world, &purchase, "won", 1_799_000_000).await;
    assert_eq!(kinds(&open_cases(&world).await), [CaseKind::TransferBlocked]);
}

#[tokio::test(start_paused = true)]
async fn a_share_is_owed_again_once_the_refund_has_failed_and_the_session_is_told_of() {
    let mut world = World::new();
    let purchase = booked_for_later(&world).await;
    world.send(&sample("refund.updated_succeeded", &purchase)).await;
    world.settle().await;
    assert_eq!(world.runs_of("transfer-to-mentor").await.remove(0).state, RunState::Cancelled);
    close(&world, Resolution::SettledElsewhere).await;
    world.send(&sample("refund.failed", &purchase)).await;
    world.settle().await;
    assert_eq!(world.payment().await.status, PaymentStatus::Attention);
    world.send_cal(&created(&purchase)).await;
    world.settle().await;
    assert_eq!(world.payment().await.status, PaymentStatus::Booked);
    assert_eq!(world.runs_of("transfer-to-mentor").await.remove(0).state, RunState::Queued);
    close(&world, Resolution::SettledElsewhere).await;
    world.settle_share().await;
    assert_eq!(world.ledger().stripe.transfers.len(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_share_that_meets_with_a_refund_under_way_is_looked_at_again() {
    let mut world = World::new();
    booked_for_later(&world).await;
    let down = stripe_is_down("payment_intents.get");
    world.sandbox.inject(down.clone());
    let due = world.runs_of("transfer-to-mentor").await.remove(0).due_at.unwrap();
    world.pass(due.since(world.app.clock.now()) + Duration::from_secs(1)).await;
    world.order_part(Some(1000), false).await.unwrap();
    world.sandbox.inject(stripe_is_down("refunds.create"));
    world.sandbox.lift(&down);
    world.settle_share().await;
    assert!(world.ledger().stripe.transfers.is_empty());
    let open = open_cases(&world).await;
    assert!(open.iter().any(|case| case.kind == CaseKind::TransferBlocked), "{open:?}");
}

fn transfer(world: &World, reversed: i64) -> Value {
    let moved = world.ledger().stripe.transfers.remove(0);
    json!({"id": moved.id, "amount": moved.amount, "currency": "usd", "amount_reversed": reversed,
        "destination": moved.destination, "transfer_group": moved.transfer_group, "metadata": moved.metadata})
}

#[tokio::test(start_paused = true)]
async fn of_a_moved_share_no_more_has_to_come_back_than_falls_on_what_is_refunded() {
    let mut world = World::new();
    booked_for_later(&world).await;
    world.settle_share().await;
    let refused = world.order_part(Some(1000), false).await.unwrap_err().to_string();
    assert!(refused.contains("reverse 8.50 USD of it in stripe first"), "{refused}");
    world.send(&Event::told("evt_back", "transfer.reversed", 1_795_000_000, transfer(&world, 850))).await;
    world.order_part(Some(1000), false).await.unwrap();
    world.settle().await;
    assert_eq!((paid_back(&world), world.story().await.cases.len()), (vec![1000], 0));
    let refused = world.order_part(None, true).await.unwrap_err().to_string();
    assert!(refused.contains("reverse 34.00 USD of it"), "{refused}");
}

#[tokio::test(start_paused = true)]
async fn a_share_of_which_too_much_came_back_is_told_of_until_another_takes_its_place() {
    let mut world = World::new();
    world.app.begin_schedules().await.unwrap();
    booked_for_later(&world).await;
    world.settle_share().await;
    let whole = transfer(&world, 4250);
    world.send(&Event::told("evt_back", "transfer.reversed", 1_795_000_000, whole.clone())).await;
    world.order_part(Some(1000), false).await.unwrap();
    world.pass(DAY * 3).await;
    let owed = open_cases(&world).await;
    assert_eq!(kinds(&owed), [CaseKind::TransferBlocked]);
    assert!(owed[0].cause.starts_with("unaccounted/share_owed/") && owed[0].alerted_at.is_some(), "{owed:?}");
    let mut by_hand = whole.clone();
    by_hand["id"] = json!("tr_by_hand");
    by_hand["amount"] = json!(3400);
    by_hand["amount_reversed"] = json!(0);
    by_hand["metadata"] = json!({});
    world.send(&Event::told("evt_hand", "transfer.created", 1_795_100_000, by_hand)).await;
    // Told again, the first does not come back.
    world.send(&Event::told("evt_again", "transfer.updated", 1_795_200_000, whole)).await;
    world.settle().await;
    assert!(open_cases(&world).await.is_empty());
    let transfers = world.story().await.transfers;
    let live: Vec<i64> =
        transfers.iter().filter(|made| made.status.as_str() == "made").map(|made| made.amount.minor).collect();
    assert_eq!(live, [3400], "{transfers:?}");
    world.kill_worker();
}

#[tokio::test(start_paused = true)]
async fn a_share_waits_while_a_person_decides_about_the_customers_money() {
    let mut world = World::new();
    world.send(&Event::paid("zoe+share-later+refund-refused@example.edu")).await;
    world.settle().await;
    world.order_refund().await;
    world.settle().await;
    assert_eq!(kinds(&open_cases(&world).await), [CaseKind::RefundFailed]);
    assert_eq!(world.payment().await.status, PaymentStatus::Booked);
    world.settle_share().await;
    assert!(world.ledger().stripe.transfers.is_empty());
    let story = world.story().await;
    let told: Vec<&Case> = story.cases.iter().filter(|case| case.status == CaseStatus::Open).collect();
    assert!(told.iter().any(|case| case.kind == CaseKind::TransferBlocked), "{told:?}");
}

#[tokio::test(start_paused = true)]
async fn nobody_is_told_that_a_payment_failed_that_has_arrived_after_all() {
    let world = World::new();
    let purchase = booked(&world).await;
    let failed = purchase.clone().id("evt_failed").kind("checkout.session.async_payment_failed");
    world.send(&failed.session("payment_status", json!("unpaid"))).await;
    world.settle().await;
    let subjects: Vec<String> = world.ledger().mail.mails.into_iter().map(|mail| mail.subject).collect();
    assert!(!subjects.iter().any(|subject| subject.contains("Payment Failed")), "{subjects:?}");
    let story = world.story().await;
    assert_eq!(story.bookings[0].facts.status, BookingStatus::Accepted);
}

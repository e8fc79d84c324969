//! What became of a session, or of its money, is heard of late, or after somebody had settled what went before.

use std::time::Duration;

use discuno::model::booking::BookingStatus;
use discuno::model::case::{Case, CaseKind, Resolution};
use discuno::model::payment::PaymentStatus;
use discuno::model::policy::Policy;
use discuno::sandbox::fault::{Effect, Fault, Provider};
use discuno::store::order::Deed;
use serde_json::json;

use crate::calendar::{booked, cancelled, created};
use crate::life::sample;
use crate::support::{CalEvent, Event, World};

const HOUR: Duration = Duration::from_hours(1);
const WEEK: Duration = Duration::from_hours(8 * 24);

/// The session of `purchase` is moved from one place to another, as far as the calendar tells: it does not say whose it is.
pub(crate) fn moved(purchase: &Event, from: &str, to: &str) -> CalEvent {
    let moved = CalEvent::sample("BOOKING_RESCHEDULED").about(purchase).set("uid", json!(to));
    let moved = moved.set("rescheduleUid", json!(from)).set("bookingId", json!(91_999)).set("metadata", json!({}));
    moved.set("startTime", json!("2026-12-01T10:00:00Z")).set("endTime", json!("2026-12-01T10:30:00Z"))
}

/// Somebody calls off what stands at `uid`.
pub(crate) fn off(purchase: &Event, uid: &str, by: &str) -> CalEvent {
    let off = cancelled(purchase).set("uid", json!(uid)).set("bookingId", json!(91_999)).set("metadata", json!({}));
    off.set("cancelledBy", json!(by))
}

pub(crate) fn first_of(world: &World) -> String {
    world.ledger().cal.bookings[0].uid.clone()
}

pub(crate) async fn open_cases(world: &World) -> Vec<Case> {
    world.story().await.cases.into_iter().filter(|case| case.closed_at.is_none()).collect()
}

pub(crate) fn kinds(cases: &[Case]) -> Vec<CaseKind> {
    cases.iter().map(|case| case.kind).collect()
}

pub(crate) async fn close(world: &World, resolution: Resolution) {
    for case in open_cases(world).await {
        world.operate(Deed::Resolve { case: case.id, resolution }).await.unwrap();
    }
}

#[tokio::test(start_paused = true)]
async fn a_session_that_was_called_off_or_missed_before_anybody_knew_whose_it_is_is_settled_once_that_is_known() {
    for missed in [false, true] {
        let world = World::with(|config| {
            config.policies.mentor_cancels = Policy::Refund;
            config.policies.host_no_show = Policy::Refund;
        });
        let purchase = booked(&world).await;
        let moved = moved(&purchase, &first_of(&world), "uid-second");
        world.sandbox.observe(&moved.body());
        let absent = CalEvent::sample("AFTER_HOSTS_CAL_VIDEO_NO_SHOW").about(&purchase).set("metadata", json!({}));
        let absent = absent.set("uid", json!("uid-second")).set("bookingUid", json!("uid-second"));
        let absent = absent.set("bookingId", json!(91_999));
        let told = if missed { absent } else { off(&purchase, "uid-second", "jane@example.com") };
        world.send_cal(&told).await;
        world.settle().await;
        assert_eq!(world.payment().await.status, PaymentStatus::Booked, "missed: {missed}");
        world.send_cal(&moved).await;
        world.settle().await;
        assert_eq!(world.payment().await.status, PaymentStatus::Refunded, "missed: {missed}");
        world.assert_money_is_right("found out").await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_session_that_comes_while_its_refund_is_on_its_way_is_called_off() {
    let world = World::with(|config| config.policies.mentor_cancels = Policy::Refund);
    let purchase = booked(&world).await;
    world
        .sandbox
        .inject(Fault::new(Provider::Stripe, Effect::ErrorBefore { status: 503 }).on("refunds.create").times(3));
    let first = first_of(&world);
    world.send_cal(&off(&purchase, &first, "jane@example.com")).await;
    tokio::time::sleep(Duration::from_secs(2)).await;
    assert_eq!(world.payment().await.status, PaymentStatus::Booked);
    world.send_cal(&moved(&purchase, &first, "uid-second")).await;
    world.settle().await;
    let story = world.story().await;
    assert_eq!(story.payment.unwrap().status, PaymentStatus::Refunded);
    let second = story.bookings.iter().find(|booking| booking.facts.uid == "uid-second").unwrap();
    assert_eq!(second.facts.status, BookingStatus::Cancelled);
    world.assert_money_is_right("on its way").await;
}

#[tokio::test(start_paused = true)]
async fn whoever_was_asked_for_another_time_and_took_one_is_not_paid_back_for_the_old_one() {
    let world = World::with(|config| {
        config.policies.attendee_cancels = Policy::None;
        config.policies.mentor_cancels = Policy::Refund;
    });
    let purchase = booked(&world).await;
    let first = first_of(&world);
    let asked = off(&purchase, &first, "jane@example.com").set("requestReschedule", json!(true));
    world.send_cal(&asked).await;
    world.send_cal(&moved(&purchase, &first, "uid-second")).await;
    world.send_cal(&off(&purchase, "uid-second", "zoe@example.edu")).await;
    world.pass(WEEK).await;
    let story = world.story().await;
    assert_eq!((story.payment.unwrap().status, story.refunds.len()), (PaymentStatus::Booked, 0));
}

#[tokio::test(start_paused = true)]
async fn what_becomes_of_a_session_that_was_agreed_on_by_hand_is_asked_about_again() {
    let world = World::new();
    let purchase = booked(&world).await;
    let first = first_of(&world);
    world.send_cal(&off(&purchase, &first, "jane@example.com")).await;
    world.settle().await;
    assert_eq!(open_cases(&world).await.len(), 1);
    close(&world, Resolution::SettledElsewhere).await;
    world.send_cal(&moved(&purchase, &first, "uid-second")).await;
    world.settle().await;
    world.send_cal(&off(&purchase, "uid-second", "jane@example.com")).await;
    world.settle().await;
    let open = open_cases(&world).await;
    assert_eq!(kinds(&open), [CaseKind::SessionCancelled]);
    assert!(open[0].cause.contains("uid-second") && open[0].alerted_at.is_some(), "{open:?}");
}

#[tokio::test(start_paused = true)]
async fn a_refund_that_fails_after_its_first_case_was_closed_has_another() {
    let world = World::new();
    let purchase = booked(&world).await;
    let down = Fault::new(Provider::Stripe, Effect::ErrorBefore { status: 503 }).on("refunds.create");
    world.sandbox.inject(down);
    world.order_refund().await;
    world.settle().await;
    let given_up = open_cases(&world).await;
    assert_eq!(kinds(&given_up), [CaseKind::RefundFailed]);
    world.sandbox.clear_faults();
    world.order_refund().await;
    world.settle().await;
    assert_eq!(world.payment().await.status, PaymentStatus::Refunded);
    close(&world, Resolution::Refunded).await;
    let made = world.ledger().stripe.refunds.remove(0);
    let mut failed = sample("refund.failed", &purchase);
    failed.0["data"]["object"]["id"] = json!(made.id);
    failed.0["data"]["object"]["metadata"] = json!(made.metadata);
    failed.0["data"]["object"]["amount"] = json!(made.amount);
    world.send(&failed).await;
    world.settle().await;
    let open = open_cases(&world).await;
    assert_eq!(kinds(&open), [CaseKind::RefundFailed]);
    assert!(open[0].id != given_up[0].id && open[0].alerted_at.is_some(), "{open:?}");
    // Told again, it asks nobody again.
    close(&world, Resolution::SettledElsewhere).await;
    world.send(&failed.id("evt_failed_again")).await;
    world.settle().await;
    assert!(open_cases(&world).await.is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_person_who_says_that_it_is_booked_has_the_share_moved_that_nobody_had_begun_to_move() {
    let mut world = World::new();
    let purchase = Event::paid("zoe+share-later@example.edu");
    let fault = |effect, operation| Fault::new(Provider::Cal, effect).on(operation);
    world.sandbox.inject(fault(Effect::DropAfter, "bookings.create").times(1));
    world.sandbox.inject(fault(Effect::ErrorBefore { status: 503 }, "bookings.list"));
    world.send(&purchase).await;
    world.settle().await;
    assert_eq!(world.payment().await.status, PaymentStatus::Attention);
    world.sandbox.clear_faults();
    let moved = moved(&purchase, &first_of(&world), "uid-second");
    let start = moved.0["payload"]["startTime"].clone();
    let order = purchase.0["data"]["object"]["metadata"]["startTime"].clone();
    let moved = moved.set("rescheduleStartTime", order).set("rescheduleEndTime", start);
    let reference = purchase.0["data"]["object"]["payment_intent"].clone();
    world.send_cal(&moved.set("metadata", json!({ "paymentId": reference }))).await;
    world.settle().await;
    assert!(world.runs_of("transfer-to-mentor").await.is_empty());
    close(&world, Resolution::Booked).await;
    world.settle().await;
    assert_eq!(world.payment().await.status, PaymentStatus::Booked);
    world.settle_share().await;
    assert_eq!(world.ledger().stripe.transfers.len(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_session_that_a_person_was_asked_about_is_not_called_off_meanwhile() {
    let world = World::with(|config| config.settle_for = HOUR * 4);
    let purchase = booked(&world).await;
    let first = first_of(&world);
    world.send_cal(&off(&purchase, &first, "jane@example.com").set("requestReschedule", json!(true))).await;
    world.send(&sample("refund.updated_succeeded", &purchase)).await;
    tokio::time::sleep(Duration::from_secs(10)).await;
    assert_eq!(world.payment().await.status, PaymentStatus::Refunded);
    world.send_cal(&moved(&purchase, &first, "uid-second")).await;
    world.pass(HOUR * 5).await;
    let story = world.story().await;
    let second = story.bookings.iter().find(|booking| booking.facts.uid == "uid-second").unwrap();
    assert_eq!(second.facts.status, BookingStatus::Accepted);
    let open = open_cases(&world).await;
    assert_eq!(kinds(&open), [CaseKind::BookingAfterRefund]);
}

#[tokio::test(start_paused = true)]
async fn what_a_person_let_stand_is_not_called_off_by_late_news_that_it_was_booked() {
    for by_operator in [true, false] {
        let world = World::new();
        let purchase = booked(&world).await;
        if by_operator {
            world.order_part(None, false).await.unwrap();
        } else {
            world.send(&sample("refund.updated_succeeded", &purchase)).await;
        }
        world.settle().await;
        assert_eq!(world.payment().await.status, PaymentStatus::Refunded);
        world.send_cal(&created(&purchase)).await;
        world.settle().await;
        assert_eq!(world.ledger().cal.bookings[0].status, "accepted");
        let asked = if by_operator { vec![] } else { vec![CaseKind::BookingAfterRefund] };
        assert_eq!(kinds(&open_cases(&world).await), asked);
    }
}

#[tokio::test(start_paused = true)]
async fn a_payment_that_was_paid_back_in_two_ways_has_its_session_asked_about() {
    let world = World::new();
    let purchase = booked(&world).await;
    let down = Fault::new(Provider::Stripe, Effect::ErrorBefore { status: 503 }).on("refunds.create");
    world.sandbox.inject(down);
    world.order_part(Some(1500), false).await.unwrap();
    tokio::time::sleep(Duration::from_secs(5)).await;
    world.send(&sample("refund.updated_succeeded", &purchase)).await;
    tokio::time::sleep(Duration::from_secs(5)).await;
    assert_eq!(kinds(&open_cases(&world).await), [CaseKind::Contradiction]);
    close(&world, Resolution::SettledElsewhere).await;
    world.sandbox.clear_faults();
    world.settle().await;
    assert_eq!(world.payment().await.status, PaymentStatus::Refunded);
    let open = kinds(&open_cases(&world).await);
    assert!(open.contains(&CaseKind::BookingAfterRefund), "{open:?}");
}

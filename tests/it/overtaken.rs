//! What was decided, asked or checked once, and overtaken since: it hides nothing, and does nothing, of what has come after it.

use std::time::Duration;

use bytes::Bytes;
use discuno::model::booking::{Booking, BookingStatus};
use discuno::model::case::{Case, CaseKind, Resolution};
use discuno::model::pause::{Pausable, PauseKind};
use discuno::model::payment::PaymentStatus;
use discuno::model::policy::Policy;
use discuno::model::run::RunState;
use discuno::model::transfer::TransferStatus;
use discuno::provider::stripe::TransferRequest;
use discuno::sandbox::fault::{Effect, Fault, Provider};
use discuno::store::order::Deed;
use discuno::transport::Request;
use http::header::AUTHORIZATION;
use http::{HeaderValue, Method};
use serde_json::json;

use crate::calendar::{booked, created};
use crate::late_news::{close, first_of, kinds, moved, open_cases};
use crate::life::sample;
use crate::one_after_another::{absent, booked_for_later, dispute, stripe_is_down};
use crate::support::{Event, World};

const HOUR: Duration = Duration::from_hours(1);
const DAY: Duration = Duration::from_hours(24);
/// As Cal.com keeps the address of a managed user.
const MANAGED: &str = "zoe+cal-lost+cal-managed+clw7k2f3p000108l4h2v9a1bc@example.edu";

/// Stripe says that it has carried out our refund of so much.
fn settled(world: &World, purchase: &Event, amount: i64) -> Event {
    let refunds = world.ledger().stripe.refunds;
    let ours = refunds.iter().find(|refund| refund.amount == amount).unwrap();
    let mut settled = sample("refund.updated_succeeded", purchase).id(&format!("evt_settled_{amount}"));
    let object = &mut settled.0["data"]["object"];
    object["id"] = json!(ours.id);
    object["amount"] = json!(amount);
    object["metadata"] = json!(ours.metadata);
    settled
}

/// Lets time pass until the session is over, and so much longer.
async fn pass_the_session(world: &World, longer: Duration) {
    let end = world.story().await.bookings[0].facts.end;
    world.pass(end.since(world.app.clock.now()) + longer).await;
}

#[tokio::test(start_paused = true)]
async fn a_session_that_was_missed_is_found_in_the_list_where_no_webhook_told_of_it() {
    let world = World::new();
    let purchase = booked(&world).await;
    world.app.begin_schedules().await.unwrap();
    pass_the_session(&world, Duration::ZERO).await;
    world.sandbox.observe(&absent(&purchase, &first_of(&world)).body());
    world.pass(2 * HOUR).await;
    assert_eq!(kinds(&open_cases(&world).await), [CaseKind::HostNoShow]);
    assert_eq!(world.runs_of("host-no-show").await.len(), 1, "told once");
}

#[tokio::test(start_paused = true)]
async fn a_share_that_has_waited_for_a_dispute_in_vain_is_asked_about_once_that_is_won() {
    let mut world = World::new();
    let purchase = booked_for_later(&world).await;
    dispute(&world, &purchase, "needs_response", 1_793_873_000).await;
    world.settle_share().await;
    let open = open_cases(&world).await;
    let blocked = open.iter().find(|case| case.kind == CaseKind::TransferBlocked).unwrap().id;
    world.operate(Deed::Resolve { case: blocked, resolution: Resolution::SettledElsewhere }).await.unwrap();
    dispute(&world, &purchase, "lost", 1_798_000_000).await;
    close(&world, Resolution::SettledElsewhere).await;
    dispute(&world, &purchase, "won", 1_799_000_000).await;
    assert_eq!(kinds(&open_cases(&world).await), [CaseKind::TransferBlocked]);
    assert!(world.ledger().stripe.transfers.is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_share_that_a_person_has_dealt_with_is_not_asked_about_when_a_later_dispute_is_won() {
    let mut world = World::new();
    let purchase = booked_for_later(&world).await;
    let code = "insufficient_capabilities_for_transfer".to_owned();
    let refused = Effect::Refuse { status: 400, code, message: "no".to_owned() };
    world.sandbox.inject(Fault::new(Provider::Stripe, refused).on("transfers.create"));
    world.settle_share().await;
    assert_eq!(kinds(&open_cases(&world).await), [CaseKind::TransferBlocked]);
    close(&world, Resolution::SettledElsewhere).await;
    for (status, created) in [("needs_response", 1_799_000_000), ("won", 1_799_900_000)] {
        world.pass(DAY).await;
        dispute(&world, &purchase, status, created).await;
    }
    assert_eq!(kinds(&open_cases(&world).await), []);
}

#[tokio::test(start_paused = true)]
async fn a_share_that_was_settled_while_all_was_paid_back_is_asked_about_once_that_comes_to_nothing() {
    let mut world = World::new();
    let purchase = booked_for_later(&world).await;
    let code = "insufficient_capabilities_for_transfer".to_owned();
    let refused = Effect::Refuse { status: 400, code, message: "no".to_owned() };
    world.sandbox.inject(Fault::new(Provider::Stripe, refused).on("transfers.create"));
    world.settle_share().await;
    world.order_part(None, false).await.unwrap();
    world.settle().await;
    assert_eq!(world.payment().await.status, PaymentStatus::Refunded);
    assert_eq!(kinds(&open_cases(&world).await), [CaseKind::TransferBlocked]);
    close(&world, Resolution::Refunded).await;
    world.pass(DAY).await;
    let mut failed = settled(&world, &purchase, 5000);
    failed.0["data"]["object"]["status"] = json!("failed");
    world.send(&failed).await;
    world.settle().await;
    assert_eq!(kinds(&open_cases(&world).await), [CaseKind::RefundFailed]);
    close(&world, Resolution::Booked).await;
    assert_eq!(kinds(&open_cases(&world).await), [CaseKind::TransferBlocked]);
}

#[tokio::test(start_paused = true)]
async fn a_share_that_was_settled_beside_a_part_that_was_paid_back_is_not_asked_about_again() {
    let mut world = World::new();
    let purchase = booked_for_later(&world).await;
    world.order_part(Some(1000), false).await.unwrap();
    world.settle_share().await;
    assert_eq!(kinds(&open_cases(&world).await), [CaseKind::TransferBlocked]);
    close(&world, Resolution::SettledElsewhere).await;
    for (status, created) in [("needs_response", 1_799_000_000), ("won", 1_799_900_000)] {
        world.pass(DAY).await;
        dispute(&world, &purchase, status, created).await;
    }
    assert_eq!(kinds(&open_cases(&world).await), []);
}

#[tokio::test(start_paused = true)]
async fn an_order_that_came_to_nothing_calls_no_session_off_later() {
    let world = World::new();
    let purchase = Event::paid("zoe+refund-refused@example.edu");
    world.send(&purchase).await;
    world.settle().await;
    world.order_refund().await;
    world.settle().await;
    assert_eq!(kinds(&open_cases(&world).await), [CaseKind::RefundFailed]);
    close(&world, Resolution::Booked).await;
    world.send(&sample("refund.updated_succeeded", &purchase)).await;
    world.settle().await;
    assert_eq!(world.payment().await.status, PaymentStatus::Refunded);
    assert_eq!(kinds(&open_cases(&world).await), [CaseKind::BookingAfterRefund]);
    assert_eq!(world.ledger().cal.bookings[0].status, "accepted");
}

#[tokio::test(start_paused = true)]
async fn a_session_that_turns_up_after_its_refund_was_given_up_is_called_off() {
    let world = World::new();
    let purchase = Event::paid("zoe+cal-refused@example.edu");
    world.sandbox.inject(stripe_is_down("refunds.create"));
    world.send(&purchase).await;
    world.settle().await;
    assert_eq!(kinds(&open_cases(&world).await), [CaseKind::RefundFailed]);
    world.sandbox.clear_faults();
    world.sandbox.observe(&created(&purchase).body());
    // It had been made all the same.
    let mut made = sample("refund.updated_succeeded", &purchase);
    let intent = purchase.0["data"]["object"]["payment_intent"].as_str().unwrap();
    made.0["data"]["object"]["metadata"] = json!({ "discunoRefund": format!("{intent}/1") });
    world.send(&made).await;
    world.settle().await;
    assert_eq!(world.payment().await.status, PaymentStatus::Refunded);
    world.pass(3 * HOUR).await;
    assert_eq!(world.ledger().cal.bookings[0].status, "cancelled");
}

#[tokio::test(start_paused = true)]
async fn a_letter_that_cannot_be_sent_hides_nothing_that_money_hangs_on() {
    let world = World::new();
    world.send(&Event::paid("zoe+mail-down+cal-confirm@example.edu")).await;
    world.app.begin_schedules().await.unwrap();
    world.settle().await;
    pass_the_session(&world, 3 * DAY).await;
    let open = open_cases(&world).await;
    let beside = |case: &&Case| case.kind == CaseKind::RunFailed && case.at_risk.is_none();
    assert!(open.iter().any(|case| beside(&case)), "{open:?}");
    let found = open.iter().find(|case| case.cause.starts_with("unaccounted/unconfirmed/"));
    assert!(found.is_some_and(|case| case.alerted_at.is_some()), "{open:?}");
}

#[tokio::test(start_paused = true)]
async fn what_a_person_decides_holds_whatever_letter_cannot_be_sent() {
    let mut world = World::new();
    let purchase = Event::paid("zoe+share-later+mail-down@example.edu");
    world.send(&purchase).await;
    world.settle().await;
    assert!(open_cases(&world).await.iter().all(Case::is_beside_the_money));
    world.send_cal(&absent(&purchase, &first_of(&world))).await;
    world.settle().await;
    let missed = open_cases(&world).await.into_iter().find(|case| case.kind == CaseKind::HostNoShow).unwrap().id;
    world.operate(Deed::Resolve { case: missed, resolution: Resolution::Booked }).await.unwrap();
    assert_eq!(world.payment().await.status, PaymentStatus::Booked);
    world.settle_share().await;
    assert_eq!(world.ledger().stripe.transfers.len(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_letter_that_cannot_be_sent_while_a_refund_is_on_its_way_is_no_matter_of_money() {
    for cancel_booking in [true, false] {
        let world = World::new();
        world.send(&Event::paid("zoe+mail-down+refund-pending@example.edu")).await;
        world.settle().await;
        world.order_part(None, cancel_booking).await.unwrap();
        world.pass(3 * DAY).await;
        assert_eq!(world.payment().await.status, PaymentStatus::Refunding);
        let open = open_cases(&world).await;
        assert!(open.len() > 1 && open.iter().all(Case::is_beside_the_money), "{open:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_share_that_was_asked_for_in_vain_is_not_moved_once_a_person_has_to_decide() {
    let mut world = World::new();
    let purchase = booked_for_later(&world).await;
    world.sandbox.inject(stripe_is_down("transfers.create"));
    let asked = async || world.story().await.transfers.iter().any(|transfer| transfer.status == TransferStatus::Sent);
    pass_the_session(&world, 71 * HOUR).await;
    while !asked().await {
        tokio::time::sleep(Duration::from_secs(60)).await;
    }
    world.send_cal(&absent(&purchase, &first_of(&world))).await;
    while world.payment().await.status != PaymentStatus::Attention {
        tokio::time::sleep(Duration::from_secs(1)).await;
    }
    world.sandbox.clear_faults();
    world.pass(3 * DAY).await;
    assert!(world.ledger().stripe.transfers.is_empty());
    close(&world, Resolution::Booked).await;
    world.settle_share().await;
    assert_eq!(world.ledger().stripe.transfers.len(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_share_waits_for_the_refund_of_a_session_that_was_missed() {
    let world = World::with(|config| config.policies.host_no_show = Policy::Refund);
    let purchase = booked_for_later(&world).await;
    let refunds = Pausable { kind: PauseKind::Workflow, name: "refund-payment".to_owned() };
    world.operate(Deed::Pause(refunds.clone())).await.unwrap();
    pass_the_session(&world, Duration::ZERO).await;
    world.send_cal(&absent(&purchase, &first_of(&world))).await;
    tokio::time::sleep(6 * DAY).await;
    assert!(world.ledger().stripe.transfers.is_empty());
    world.operate(Deed::Resume(refunds)).await.unwrap();
    world.settle().await;
    assert_eq!(world.payment().await.status, PaymentStatus::Refunded);
    world.assert_money_is_right("missed").await;
}

#[tokio::test(start_paused = true)]
async fn a_share_is_not_moved_on_a_check_that_was_overtaken() {
    // Before the share is wanted, and after that.
    for operation in ["payment_intents.get", "transfers.list"] {
        let mut world = World::new();
        let purchase = booked_for_later(&world).await;
        let refused = Effect::Refuse { status: 401, code: "invalid_api_key".to_owned(), message: "no".to_owned() };
        world.sandbox.inject(Fault::new(Provider::Stripe, refused).on(operation));
        world.settle_share().await;
        let run = world.runs_of("transfer-to-mentor").await.remove(0);
        assert_eq!(run.state, RunState::Failed, "{operation}");
        world.sandbox.clear_faults();
        world.send_cal(&absent(&purchase, &first_of(&world))).await;
        world.settle().await;
        assert_eq!(world.payment().await.status, PaymentStatus::Attention);
        world.operate(Deed::Retry { run: run.id, from: None }).await.unwrap();
        world.pass(3 * DAY).await;
        assert!(world.ledger().stripe.transfers.is_empty(), "{operation}: a person has still to decide");
        close(&world, Resolution::Booked).await;
        world.settle_share().await;
        assert_eq!(world.ledger().stripe.transfers.len(), 1, "{operation}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_share_waits_until_it_is_settled_what_becomes_of_a_session_that_was_missed() {
    let world = World::new();
    let purchase = booked_for_later(&world).await;
    let cal = Pausable { kind: PauseKind::Provider, name: "cal".to_owned() };
    world.operate(Deed::Pause(cal.clone())).await.unwrap();
    pass_the_session(&world, Duration::ZERO).await;
    world.send_cal(&absent(&purchase, &first_of(&world))).await;
    tokio::time::sleep(4 * DAY).await;
    assert!(world.ledger().stripe.transfers.is_empty());
    world.operate(Deed::Resume(cal)).await.unwrap();
    world.settle().await;
    assert_eq!(kinds(&open_cases(&world).await), [CaseKind::HostNoShow]);
    assert!(world.ledger().stripe.transfers.is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_case_that_is_opened_while_the_refund_is_on_its_way_leaves_late_sessions_to_be_called_off() {
    let world = World::new();
    let purchase = Event::paid("zoe+cal-refused+refund-pending@example.edu");
    world.send(&purchase).await;
    world.settle().await;
    assert_eq!(world.payment().await.status, PaymentStatus::Refunding);
    dispute(&world, &purchase, "warning_needs_response", 1_793_873_000).await;
    world.send_cal(&created(&purchase)).await;
    world.settle().await;
    assert_eq!(world.ledger().cal.bookings[0].status, "cancelled");
}

#[tokio::test(start_paused = true)]
async fn books_that_were_put_back_to_before_a_share_was_moved_do_not_move_it_again() {
    let mut world = World::new();
    booked_for_later(&world).await;
    let order = world.payment().await.checkout.unwrap();
    let charge = world.ledger().stripe.payment_intents.remove(0).charge.unwrap();
    let made_before = TransferRequest {
        amount: order.share(),
        destination: &order.mentor_account,
        source_transaction: &charge,
        reference: &format!("{}/share/1", order.reference()),
    };
    let request = Request {
        method: Method::POST,
        url: "http://sandbox.test/stripe/v1/transfers".parse().unwrap(),
        headers: [(AUTHORIZATION, HeaderValue::from_static("Bearer sk_test_sandbox"))].into_iter().collect(),
        body: Bytes::from(made_before.encode()),
        timeout: HOUR,
    };
    assert_eq!(world.providers().send(request).await.unwrap().status, 200);
    assert_eq!(world.ledger().stripe.transfers.len(), 1, "made before, and not known any more");
    world.settle_share().await;
    let transfers = world.ledger().stripe.transfers;
    assert_eq!(transfers.len(), 1);
    let known = world.story().await.transfers.remove(0);
    assert_eq!(known.stripe_transfer_id.as_ref(), Some(&transfers[0].id));
}

#[tokio::test(start_paused = true)]
async fn a_refund_that_stripe_does_not_carry_out_for_days_is_asked_about_until_it_does() {
    let world = World::new();
    let purchase = Event::paid("zoe+refund-pending@example.edu");
    world.send(&purchase).await;
    world.app.begin_schedules().await.unwrap();
    world.settle().await;
    world.order_refund().await;
    world.pass(9 * DAY).await;
    assert!(open_cases(&world).await.is_empty());
    world.pass(3 * DAY).await;
    let open = open_cases(&world).await;
    assert!(open.len() == 1 && open[0].cause.starts_with("unaccounted/refund_pending/"), "{open:?}");
    let settled = settled(&world, &purchase, 5000);
    world.send(&settled).await;
    world.settle().await;
    assert_eq!(world.payment().await.status, PaymentStatus::Refunded);
    assert!(open_cases(&world).await.is_empty());
    let settled_at = world.story().await.refunds[0].settled_at;
    world.send(&settled.id("evt_told_again")).await;
    world.settle().await;
    assert_eq!(world.story().await.refunds[0].settled_at, settled_at, "it settled when that was told first");
}

#[tokio::test(start_paused = true)]
async fn a_refund_that_stripe_does_not_carry_out_is_asked_about_whatever_becomes_of_another() {
    let world = World::new();
    let purchase = Event::paid("zoe+refund-pending@example.edu");
    world.send(&purchase).await;
    world.app.begin_schedules().await.unwrap();
    world.settle().await;
    let part = |id: &str, amount: i64| {
        let mut part = sample("refund.updated_succeeded", &purchase).id(&format!("evt_{id}_{amount}"));
        part.0["data"]["object"]["id"] = json!(id);
        part.0["data"]["object"]["amount"] = json!(amount);
        part
    };
    world.send(&part("re_paid", 1000)).await;
    world.order_part(Some(1500), false).await.unwrap();
    world.pass(12 * DAY).await;
    let asked = async || {
        let open = open_cases(&world).await.into_iter();
        let asked = open.filter(|case| case.cause.starts_with("unaccounted/refund_pending/"));
        asked.inspect(|case| assert!(case.at_risk.unwrap().minor < 3000, "only what waits: {case:?}")).count()
    };
    assert_eq!(asked().await, 1);
    world.send(&part("re_paid", 1000).id("evt_told_again")).await;
    world.settle().await;
    assert_eq!(asked().await, 1, "the other is still under way");
    world.send(&settled(&world, &purchase, 1500)).await;
    world.settle().await;
    assert_eq!(asked().await, 0);
    world.order_part(Some(2000), false).await.unwrap();
    world.pass(12 * DAY).await;
    assert_eq!(asked().await, 1, "the next is another matter");
}

#[tokio::test(start_paused = true)]
async fn a_session_that_an_operator_let_stand_after_its_refund_was_given_up_stands() {
    let world = World::new();
    let purchase = Event::paid("zoe+cal-refused@example.edu");
    let no = Effect::Refuse { status: 402, code: "insufficient_funds".to_owned(), message: "no".to_owned() };
    world.sandbox.inject(Fault::new(Provider::Stripe, no).on("refunds.create"));
    world.send(&purchase).await;
    world.settle().await;
    assert_eq!(kinds(&open_cases(&world).await), [CaseKind::RefundFailed]);
    world.sandbox.clear_faults();
    world.send_cal(&created(&purchase)).await;
    world.settle().await;
    assert_eq!(world.payment().await.status, PaymentStatus::Booked);
    world.order_part(None, false).await.unwrap();
    world.pass(3 * DAY).await;
    assert_eq!(world.payment().await.status, PaymentStatus::Refunded);
    assert_eq!(world.ledger().cal.bookings[0].status, "accepted", "whoever paid back lets it take place");
}

#[tokio::test(start_paused = true)]
async fn a_stranger_who_has_the_slot_in_the_name_of_the_payment_does_not_have_it_booked() {
    let world = World::new();
    let purchase = Event::paid("zoe@example.edu");
    let eve = json!([{ "name": "Eve", "email": "eve@example.com", "timeZone": "UTC" }]);
    world.sandbox.observe(&created(&purchase).set("attendees", eve).body());
    world.send(&purchase).await;
    world.settle().await;
    assert_eq!(world.payment().await.status, PaymentStatus::Refunded);
    assert_eq!(world.ledger().cal.bookings[0].status, "accepted", "it is not ours to call off");
}

#[tokio::test(start_paused = true)]
async fn the_session_of_a_managed_user_is_found_under_whichever_address_cal_com_keeps_it() {
    let world = World::new();
    let purchase = Event::paid("zoe+cal-lost+cal-managed@example.edu");
    world.send(&purchase).await;
    world.settle().await;
    let ledger = world.ledger();
    let kept: Vec<&str> = ledger.cal.bookings.iter().map(|booking| booking.attendee_email.as_str()).collect();
    assert_eq!((kept, ledger.stripe.refunds.len()), (vec![MANAGED], 0));
    assert_eq!(world.payment().await.status, PaymentStatus::Booked);

    // As heard of by nobody but Cal.com.
    let world = World::idle();
    let purchase = Event::paid("zoe+cal-lost+cal-managed@example.edu");
    world.send(&purchase).await;
    let attendees = json!([{ "name": "Zoe", "email": MANAGED, "timeZone": "UTC" }]);
    world.send_cal(&created(&purchase).set("attendees", attendees)).await;
    let bookings = world.story().await.bookings;
    assert_eq!(bookings.iter().map(|booking| booking.facts.status).collect::<Vec<_>>(), [BookingStatus::Accepted]);
}

#[tokio::test(start_paused = true)]
async fn of_two_sessions_that_took_the_place_of_one_the_last_is_the_payments() {
    let world = World::idle();
    let purchase = Event::paid("zoe@example.edu");
    world.send(&purchase).await;
    for (uid, number) in [("uid-second", 91_500), ("uid-third", 91_600)] {
        world.send_cal(&moved(&purchase, "uid-first", uid).set("bookingId", json!(number))).await;
    }
    assert!(world.story().await.bookings.is_empty(), "nobody knows whose they are");
    let (status, answer) = world.send_cal(&created(&purchase).set("uid", json!("uid-first"))).await;
    assert_eq!(status, 200, "{answer}");
    let standing = world.story().await.bookings.into_iter().filter(Booking::stands);
    assert_eq!(standing.map(|booking| booking.facts.uid).collect::<Vec<_>>(), ["uid-third"]);
}

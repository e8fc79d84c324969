//! What Cal.com tells, and what follows for the session and its money.

use std::time::Duration;

use discuno::model::booking::BookingStatus;
use discuno::model::case::CaseKind;
use discuno::model::payment::PaymentStatus;
use discuno::model::policy::Policy;
use discuno::model::refund::RefundStatus;
use discuno::model::run::RunState;
use discuno::sandbox::fault::{Effect, Fault, Provider};
use discuno::store::order::Deed;
use serde_json::json;

use crate::life::sample;
use crate::support::{CalEvent, Event, World};

const WEEK: Duration = Duration::from_secs(8 * 24 * 3600);

pub(crate) async fn booked(world: &World) -> Event {
    let purchase = Event::paid("zoe@example.edu");
    world.send(&purchase).await;
    world.settle().await;
    assert_eq!(world.payment().await.status, PaymentStatus::Booked);
    purchase
}

pub(crate) fn created(purchase: &Event) -> CalEvent {
    CalEvent::sample("BOOKING_CREATED").about(purchase)
}

pub(crate) fn cancelled(purchase: &Event) -> CalEvent {
    CalEvent::sample("BOOKING_CANCELLED").about(purchase)
}

#[tokio::test(start_paused = true)]
async fn a_booking_is_counted_for_the_mentor_and_for_the_booker_once() {
    let world = World::new();
    let purchase = booked(&world).await;
    let mut event = created(&purchase);
    event.payload()["metadata"]["actorUserId"] = json!("actor-of-sample");
    for _ in 0..2 {
        assert_eq!(world.send_cal(&event).await.0, 200);
        event.0["createdAt"] = json!("2026-11-05T10:00:10.000Z");
        world.settle().await;
    }
    world.assert_money_is_right("counted").await;
    let events = world.ledger().posthog.events;
    let counted: Vec<_> = events.iter().filter(|event| event.event == "booking_created").collect();
    let of = |id: &str| counted.iter().find(|event| event.distinct_id == id).unwrap();
    assert_eq!(counted.len(), 2);
    assert_eq!(of("mentor-of-sample").properties["attendeeEmail"], "zoe@example.edu");
    assert_eq!(of("actor-of-sample").properties["mentorUserId"], "mentor-of-sample");
    assert_eq!(of("mentor-of-sample").properties["duration"], 30);
}

#[tokio::test(start_paused = true)]
async fn a_booking_that_is_told_of_before_its_payment_waits_for_it() {
    let world = World::new();
    let purchase = Event::paid("zoe@example.edu");
    world.send_cal(&created(&purchase)).await;
    world.settle().await;
    world.send(&purchase).await;
    world.settle().await;
    let story = world.story().await;
    assert_eq!((story.bookings.len(), story.events.len()), (1, 2));
    assert_eq!(story.payment.unwrap().status, PaymentStatus::Booked);
    assert_eq!(world.ledger().cal.bookings.len(), 1, "adopted, not made again");
}

#[tokio::test(start_paused = true)]
async fn a_cancellation_that_comes_before_the_creation_stays() {
    for order in [[0, 1], [1, 0]] {
        let world = World::new();
        let purchase = booked(&world).await;
        let events = [created(&purchase), cancelled(&purchase)];
        for index in order {
            world.send_cal(&events[index]).await;
            world.settle().await;
        }
        let story = world.story().await;
        assert_eq!(story.bookings.len(), 1);
        assert_eq!(story.bookings[0].facts.status, BookingStatus::Cancelled);
        world.assert_money_is_right(&format!("{order:?}")).await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_cancellation_follows_the_policy_of_whoever_cancels() {
    use PaymentStatus::{Attention, Booked, Refunded};
    let mentor = "jane+discuno@example.com";
    let customer = "zoe@example.edu";
    for (by, mentors, attendees, end) in [
        (mentor, Policy::Refund, Policy::None, Refunded),
        (mentor, Policy::Case, Policy::Refund, Attention),
        (mentor, Policy::None, Policy::Refund, Booked),
        (customer, Policy::None, Policy::Refund, Refunded),
        (customer, Policy::Refund, Policy::Case, Attention),
        (customer, Policy::Refund, Policy::None, Booked),
    ] {
        let world = World::with(|config| {
            config.policies.mentor_cancels = mentors;
            config.policies.attendee_cancels = attendees;
        });
        let purchase = booked(&world).await;
        world.send_cal(&cancelled(&purchase).set("cancelledBy", json!(by))).await;
        world.settle().await;
        let story = world.story().await;
        let context = format!("{by} {mentors} {attendees}");
        assert_eq!(story.payment.unwrap().status, end, "{context}");
        assert!(world.counted().contains(&"booking_cancelled".to_owned()), "{context}");
        match end {
            Refunded => {
                world.assert_money_is_right(&context).await;
                let mail =
                    world.ledger().mail.mails.into_iter().find(|mail| mail.subject.starts_with("Refund")).unwrap();
                assert!(mail.text.unwrap().contains("We have refunded 50.00 USD in full"), "{context}");
            }
            Attention => {
                world.assert_money_is_right(&context).await;
                assert_eq!(story.cases[0].kind, CaseKind::SessionCancelled, "{context}");
            }
            _ => assert!(story.refunds.is_empty() && story.cases.is_empty(), "{context}"),
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_new_time_keeps_the_payment_in_either_order() {
    for order in [[0, 1], [1, 0]] {
        let world = World::new();
        let purchase = Event::paid("zoe@example.edu");
        world.send(&purchase).await;
        world.settle().await;
        let old = created(&purchase);
        let uid = old.0["payload"]["uid"].clone();
        let moved = CalEvent::sample("BOOKING_RESCHEDULED").about(&purchase).set("uid", json!("uid-new"));
        let moved = moved.set("rescheduleUid", uid).set("metadata", json!({})).set("bookingId", json!(91_999));
        let events = [old, moved];
        for index in order {
            world.send_cal(&events[index]).await;
            world.settle().await;
        }
        let story = world.story().await;
        let states: Vec<_> = story.bookings.iter().map(|booking| booking.facts.status).collect();
        assert_eq!(states, [BookingStatus::Cancelled, BookingStatus::Accepted], "{order:?}");
        assert_eq!(story.payment.unwrap().status, PaymentStatus::Booked);
        assert!(world.counted().contains(&"booking_rescheduled".to_owned()));
        assert!(story.cases.is_empty());
    }
}

#[tokio::test(start_paused = true)]
async fn a_mentor_who_asks_for_another_time_has_until_the_old_one() {
    for moved in [true, false] {
        let world = World::new();
        let purchase = booked(&world).await;
        let asked = CalEvent::sample("BOOKING_CANCELLED_requestReschedule_no_organizer_id").about(&purchase);
        let uid = asked.0["payload"]["uid"].clone();
        world.send_cal(&asked).await;
        tokio::time::sleep(Duration::from_secs(60)).await;
        assert_eq!(world.payment().await.status, PaymentStatus::Booked, "nothing is decided yet");
        if moved {
            let moved = CalEvent::sample("BOOKING_RESCHEDULED").about(&purchase).set("uid", json!("uid-new"));
            let moved = moved.set("rescheduleUid", uid).set("startTime", json!("2026-12-01T10:00:00Z"));
            world.send_cal(&moved.set("endTime", json!("2026-12-01T10:30:00Z"))).await;
        }
        world.pass(WEEK).await;
        let end = if moved { PaymentStatus::Booked } else { PaymentStatus::Attention };
        assert_eq!(world.payment().await.status, end);
        world.assert_money_is_right("asked").await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_declined_request_that_was_paid_is_refunded() {
    let world = World::new();
    let purchase = booked(&world).await;
    world.send_cal(&CalEvent::sample("BOOKING_REJECTED").about(&purchase)).await;
    world.settle().await;
    assert_eq!(world.payment().await.status, PaymentStatus::Refunded);
    world.assert_money_is_right("declined").await;
    let story = world.story().await;
    assert_eq!(story.bookings[0].facts.status, BookingStatus::Rejected);
    let mails = world.ledger().mail.mails;
    assert!(mails.iter().any(|mail| mail.text.as_deref().unwrap().contains("could not take the session")));
}

#[tokio::test(start_paused = true)]
async fn a_mentor_who_does_not_come_is_marked_alone_and_the_policy_followed() {
    use PaymentStatus::{Attention, Booked, Refunded};
    for (policy, end) in [(Policy::Refund, Refunded), (Policy::Case, Attention), (Policy::None, Booked)] {
        let world = World::with(|config| config.policies.host_no_show = policy);
        let purchase = booked(&world).await;
        world.pass(WEEK).await;
        let missing = CalEvent::sample("AFTER_HOSTS_CAL_VIDEO_NO_SHOW").about(&purchase);
        let guests = CalEvent::sample("AFTER_GUESTS_CAL_VIDEO_NO_SHOW").about(&purchase);
        let twice = missing.clone().set("hostEmail", json!("second-host@example.com"));
        for event in [&missing, &guests, &twice] {
            assert_eq!(world.send_cal(event).await.0, 200);
        }
        world.settle().await;
        let story = world.story().await;
        assert_eq!(story.payment.unwrap().status, end, "{policy}");
        let theirs = &world.ledger().cal.bookings[0];
        assert!(theirs.host_absent && !theirs.attendee_absent, "{policy}: the host only");
        assert!(story.bookings[0].host_absent && story.bookings[0].attendee_absent, "{policy}: both are kept");
        assert_eq!(story.cases.len(), usize::from(policy == Policy::Case), "{policy}");
    }
}

#[tokio::test(start_paused = true)]
async fn an_attendee_who_was_there_after_all_is_no_longer_absent() {
    let world = World::new();
    let purchase = booked(&world).await;
    let mut back = CalEvent::sample("BOOKING_NO_SHOW_UPDATED").about(&purchase);
    back.0["createdAt"] = json!("2026-11-12T18:00:00.000Z");
    let back = back.set("attendees", json!([{ "email": "zoe@example.edu", "noShow": false }]));
    for event in [back, CalEvent::sample("AFTER_GUESTS_CAL_VIDEO_NO_SHOW").about(&purchase)] {
        world.send_cal(&event).await;
        world.settle().await;
        assert!(!world.story().await.bookings[0].attendee_absent, "the newest word counts, in either order");
    }
}

/// In the simulation this was seed 31358.
#[tokio::test(start_paused = true)]
async fn a_late_booking_of_a_free_session_that_was_given_up_is_found_and_called_off_without_its_webhook() {
    let world = World::new();
    let free = Event::paid("zoe+cal-refused@example.edu").free();
    world.send(&free).await;
    while world.payment().await.status != PaymentStatus::Failed {
        tokio::time::sleep(Duration::from_secs(1)).await;
    }
    // A request that was thought lost comes through, and nobody tells us.
    world.sandbox.observe(&created(&free).body());
    assert_eq!(world.ledger().cal.bookings[0].status, "accepted");
    world.pass(Duration::from_secs(3600)).await;
    assert_eq!(world.ledger().cal.bookings[0].status, "cancelled");
    world.assert_money_is_right("late and free").await;
}

#[tokio::test(start_paused = true)]
async fn a_booking_that_appears_for_a_refunded_payment_is_called_off_or_becomes_a_case() {
    for refused in [false, true] {
        let world = World::new();
        let purchase = Event::paid("zoe+cal-refused@example.edu");
        world.send(&purchase).await;
        world.settle().await;
        assert_eq!(world.payment().await.status, PaymentStatus::Refunded);
        if refused {
            let no = Effect::Refuse { status: 404, code: "NotFound".to_owned(), message: "no".to_owned() };
            world.sandbox.inject(Fault::new(Provider::Cal, no).on("bookings.cancel"));
        }
        world.send_cal(&created(&purchase)).await;
        world.settle().await;
        let live = world.ledger().cal.bookings.iter().filter(|booking| booking.status == "accepted").count();
        let cases = world.story().await.cases;
        assert_eq!((live, cases.len()), (usize::from(refused), usize::from(refused)));
        world.assert_money_is_right("late").await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_session_that_is_called_off_already_is_not_said_to_stand() {
    for way in ["answer lost", "by the customer", "in other words"] {
        let world = World::new();
        let purchase = booked(&world).await;
        let fault = |effect| world.sandbox.inject(Fault::new(Provider::Cal, effect).on("bookings.cancel").times(1));
        if way == "answer lost" {
            fault(Effect::DropAfter);
        } else {
            world.sandbox.observe(&cancelled(&purchase).body());
        }
        if way == "in other words" {
            let message = "This event type does not allow cancellations".to_owned();
            fault(Effect::Refuse { status: 400, code: "BadRequestException".to_owned(), message });
        }
        world.order_refund().await;
        world.settle().await;
        let story = world.story().await;
        assert_eq!(world.ledger().cal.bookings[0].status, "cancelled", "{way}");
        assert_eq!(story.bookings[0].facts.status, BookingStatus::Cancelled, "{way}");
        assert!(story.cases.is_empty(), "{way}: {:?}", story.cases);
        let shares = world.runs_of("transfer-to-mentor").await;
        assert!(shares.iter().all(|run| run.state == RunState::Cancelled), "{way}");
        let asked = world.ledger().cal.requests.into_iter().filter(|asked| asked.path.ends_with("/cancel")).count();
        assert_eq!(asked, if way == "answer lost" { 2 } else { 1 }, "{way}");
        world.assert_money_is_right(way).await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_session_that_cannot_be_called_off_stands_and_a_person_is_told() {
    let world = World::new();
    booked(&world).await;
    let message = "This event type does not allow cancellations".to_owned();
    let no = Effect::Refuse { status: 400, code: "BadRequestException".to_owned(), message };
    world.sandbox.inject(Fault::new(Provider::Cal, no).on("bookings.cancel"));
    world.order_refund().await;
    world.settle().await;
    assert_eq!(world.ledger().cal.bookings[0].status, "accepted");
    let cases: Vec<_> = world.story().await.cases.into_iter().map(|case| case.kind).collect();
    assert_eq!(cases, [CaseKind::BookingAfterRefund]);
}

#[tokio::test(start_paused = true)]
async fn a_session_that_was_moved_before_anybody_heard_of_it_is_called_off_where_it_stands() {
    let world = World::new();
    let purchase = booked(&world).await;
    let first = world.ledger().cal.bookings.remove(0).uid;
    let moved = CalEvent::sample("BOOKING_RESCHEDULED").about(&purchase).set("uid", json!("uid-new"));
    let moved = moved.set("rescheduleUid", json!(first)).set("bookingId", json!(91_999));
    let moved = moved.set("startTime", json!("2026-12-01T10:00:00Z")).set("endTime", json!("2026-12-01T10:30:00Z"));
    world.sandbox.observe(&moved.body());
    world.order_refund().await;
    world.settle().await;
    let left: Vec<_> = world.ledger().cal.bookings.into_iter().map(|booking| (booking.uid, booking.status)).collect();
    let off = |uid: &str| (uid.to_owned(), "cancelled".to_owned());
    assert_eq!(left, [off(&first), off("uid-new")]);
    world.send_cal(&moved).await;
    world.send_cal(&cancelled(&purchase).set("uid", json!("uid-new")).set("bookingId", json!(91_999))).await;
    world.settle().await;
    let story = world.story().await;
    let known: Vec<_> = story.bookings.iter().map(|booking| booking.facts.status).collect();
    assert_eq!((known, story.cases.len()), (vec![BookingStatus::Cancelled; 2], 0));
    world.assert_money_is_right("moved").await;
}

#[tokio::test(start_paused = true)]
async fn a_session_that_is_found_to_be_of_a_payment_that_was_paid_back_meanwhile_is_asked_about() {
    for over in [false, true] {
        let world = World::new();
        let purchase = booked(&world).await;
        let place = |uid: &str, from: &str, number: u64, day: &str| {
            let moved = CalEvent::sample("BOOKING_RESCHEDULED").about(&purchase).set("uid", json!(uid));
            let moved = moved.set("rescheduleUid", json!(from)).set("bookingId", json!(number));
            let moved = moved.set("startTime", json!(format!("{day}T10:00:00Z"))).set("metadata", json!({}));
            moved.set("endTime", json!(format!("{day}T10:30:00Z")))
        };
        let first = world.ledger().cal.bookings[0].uid.clone();
        let day = if over { "2026-10-01" } else { "2026-12-01" };
        world.send_cal(&place("uid-third", "uid-second", 91_999, day)).await;
        world.settle().await;
        world.send(&sample("refund.updated_succeeded", &purchase)).await;
        world.settle().await;
        world.send_cal(&place("uid-second", &first, 91_998, "2026-11-20")).await;
        world.settle().await;
        let causes: Vec<_> = world.story().await.cases.into_iter().map(|case| case.cause).collect();
        let asked = causes.contains(&"booking_after_refund/uid-third".to_owned());
        assert_eq!(asked, !over, "{causes:?}");
        let standing = world.ledger().cal.bookings.into_iter().find(|booking| booking.uid == "uid-third").unwrap();
        assert_eq!(standing.status, "accepted", "over: {over}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_second_booking_for_one_payment_becomes_a_case() {
    let world = World::new();
    let purchase = booked(&world).await;
    world.send_cal(&created(&purchase).set("uid", json!("uid-second")).set("bookingId", json!(92_000))).await;
    world.settle().await;
    let story = world.story().await;
    assert_eq!((story.bookings.len(), story.cases.len()), (1, 1));
    assert_eq!(story.cases[0].kind, CaseKind::SecondBooking);
}

#[tokio::test(start_paused = true)]
async fn a_meeting_is_counted_flat_and_enveloped_alike() {
    for shape in ["flat", "enveloped"] {
        let world = World::new();
        let purchase = booked(&world).await;
        world.pass(WEEK).await;
        for kind in ["MEETING_STARTED", "MEETING_ENDED"] {
            let event = CalEvent::sample(&format!("{kind}_{shape}")).about(&purchase);
            assert_eq!(world.send_cal(&event).await.0, 200);
        }
        world.settle().await;
        let story = world.story().await;
        assert_eq!(story.bookings[0].facts.status, BookingStatus::Completed, "{shape}");
        let counted = world.counted();
        for event in ["meeting_started", "meeting_ended"] {
            assert_eq!(counted.iter().filter(|counted| *counted == event).count(), 1, "{shape} {event}: {counted:?}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_stranger_who_names_somebody_elses_payment_gets_no_hold_of_it() {
    let world = World::with(|config| config.policies.attendee_cancels = Policy::Refund);
    let purchase = Event::paid("zoe@example.edu");
    world.send(&purchase).await;
    // Before our own booking is made, in the same slot of time, under the same payment's id.
    let forged = created(&purchase).set("uid", json!("uid-forged")).set("bookingId", json!(66_666));
    let forged = forged.set("attendees", json!([{ "email": "eve@example.com", "name": "Eve" }]));
    let off = cancelled(&purchase).set("uid", json!("uid-forged")).set("bookingId", json!(66_666));
    let off = off.set("attendees", forged.0["payload"]["attendees"].clone());
    world.send_cal(&forged.set("eventTypeId", json!(7))).await;
    world.settle().await;
    world.send_cal(&off.set("eventTypeId", json!(7)).set("cancelledBy", json!("eve@example.com"))).await;
    world.settle().await;
    let story = world.story().await;
    assert_eq!(story.payment.unwrap().status, PaymentStatus::Booked);
    assert_eq!((story.bookings.len(), story.refunds.len(), story.cases.len()), (1, 0, 0));
}

#[tokio::test(start_paused = true)]
async fn a_session_that_was_moved_before_its_booking_was_found_stands_for_its_payment() {
    let world = World::new();
    let purchase = Event::paid("zoe@example.edu");
    let fault = |effect, operation| Fault::new(Provider::Cal, effect).on(operation);
    world.sandbox.inject(fault(Effect::DropAfter, "bookings.create").times(1));
    world.sandbox.inject(fault(Effect::ErrorBefore { status: 503 }, "bookings.list"));
    world.send(&purchase).await;
    tokio::time::sleep(Duration::from_secs(10)).await;
    let first = world.ledger().cal.bookings.remove(0).uid;
    let moved = CalEvent::sample("BOOKING_RESCHEDULED").about(&purchase).set("uid", json!("uid-new"));
    let moved = moved.set("rescheduleUid", json!(first)).set("bookingId", json!(91_999));
    let moved = moved.set("startTime", json!("2026-12-01T10:00:00Z")).set("endTime", json!("2026-12-01T10:30:00Z"));
    world.sandbox.observe(&moved.body());
    world.sandbox.clear_faults();
    world.settle().await;
    let story = world.story().await;
    let known: Vec<_> = story.bookings.iter().map(|one| (one.facts.uid.as_str(), one.facts.status)).collect();
    assert_eq!(known, [(first.as_str(), BookingStatus::Cancelled), ("uid-new", BookingStatus::Accepted)]);
    assert_eq!((story.payment.unwrap().status, story.refunds.len()), (PaymentStatus::Booked, 0));
    // What was sent of it all the while tells nothing new.
    world.send_cal(&created(&purchase)).await;
    world.send_cal(&moved).await;
    world.settle().await;
    let story = world.story().await;
    assert_eq!((story.bookings.len(), story.cases.len()), (2, 0));
}

#[tokio::test(start_paused = true)]
async fn a_refund_that_was_wanted_before_the_session_was_booked_after_all_hides_nothing() {
    let world = World::with(|config| config.policies.host_no_show = Policy::Refund);
    let refused = Effect::Refuse {
        status: 400,
        code: String::new(),
        message: "User either already has booking at this time or is not available".to_owned(),
    };
    world.sandbox.inject(Fault::new(Provider::Cal, refused).on("bookings.create").times(1));
    let silent = Fault::new(Provider::Stripe, Effect::DropBefore).on("payment_intents.get");
    world.sandbox.inject(silent);
    let purchase = Event::paid("zoe@example.edu");
    world.send(&purchase).await;
    tokio::time::sleep(Duration::from_secs(10)).await;
    let run = world.runs_of("process-checkout-side-effects").await.remove(0).id;
    world.operate(Deed::Cancel(run)).await.unwrap();
    world.settle().await;
    assert_eq!(world.story().await.refunds[0].status, RefundStatus::Intended);
    world.sandbox.clear_faults();
    let from = Some("create-calcom-booking".to_owned());
    world.operate(Deed::Retry { run, from }).await.unwrap();
    world.settle().await;
    let story = world.story().await;
    let found = (story.payment.unwrap().status, story.refunds[0].status, story.refunds.len());
    assert_eq!(found, (PaymentStatus::Booked, RefundStatus::Canceled, 1));
    world.pass(WEEK).await;
    world.send_cal(&CalEvent::sample("AFTER_HOSTS_CAL_VIDEO_NO_SHOW").about(&purchase)).await;
    world.settle().await;
    assert_eq!(world.payment().await.status, PaymentStatus::Refunded);
    world.assert_money_is_right("wanted before").await;
}

#[tokio::test(start_paused = true)]
async fn a_new_time_that_the_mentor_does_not_agree_to_is_paid_back() {
    for heard in [true, false] {
        let world = World::new();
        let purchase = booked(&world).await;
        let first = world.ledger().cal.bookings.remove(0).uid;
        let asked = |kind: &str| {
            let asked = CalEvent::sample(kind).about(&purchase).set("uid", json!("uid-asked"));
            let asked =
                asked.set("rescheduleUid", json!(first)).set("bookingId", json!(91_990)).set("metadata", json!({}));
            asked.set("startTime", json!("2026-12-01T10:00:00Z")).set("endTime", json!("2026-12-01T10:30:00Z"))
        };
        let requested = asked("BOOKING_REQUESTED");
        if heard {
            world.send_cal(&requested).await;
            world.settle().await;
            let story = world.story().await;
            let known: Vec<_> = story.bookings.iter().map(|one| one.facts.status).collect();
            assert_eq!(known, [BookingStatus::Cancelled, BookingStatus::Pending]);
            assert_eq!((story.payment.unwrap().status, story.cases.len()), (PaymentStatus::Booked, 0));
        }
        world.send_cal(&asked("BOOKING_REJECTED")).await;
        world.settle().await;
        let story = world.story().await;
        assert_eq!(story.payment.unwrap().status, PaymentStatus::Refunded, "{heard}");
        assert_eq!((story.bookings.len(), story.refunds.len()), (2, 1));
    }
}

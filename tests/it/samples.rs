//! Every payload that Stripe is known to send, and what becomes of it where it arrives alone.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use discuno::model::event::Disposition::{self, Accepted, Attention, Ignored};
use discuno::model::payment::PaymentStatus::{self, Awaiting, Booked, Failed};
use discuno::store::Subject;

use crate::support::{CalEvent, Event, World};

/// File, what is made of the event, where its payment ends, and its amount.
type Row = (&'static str, Disposition, Option<(PaymentStatus, &'static str)>);

const SAMPLES: [Row; 31] = [
    ("checkout.session.completed_paid", Accepted, Some((Booked, "50.00 USD"))),
    ("checkout.session.completed_paid_redelivered_as_new_event_id", Accepted, Some((Booked, "50.00 USD"))),
    ("checkout.session.completed_paid_jpy", Accepted, Some((Booked, "8000 JPY"))),
    ("checkout.session.completed_paid_tax_and_adaptive_pricing", Accepted, Some((Booked, "53.00 USD"))),
    ("checkout.session.completed_no_payment_required", Accepted, Some((Booked, "0.00 USD"))),
    ("checkout.session.completed_unpaid", Accepted, Some((Awaiting, "50.00 USD"))),
    ("checkout.session.async_payment_succeeded", Accepted, Some((Booked, "50.00 USD"))),
    ("checkout.session.async_payment_failed", Accepted, Some((Failed, "50.00 USD"))),
    ("checkout.session.completed_missing_eventTypeId", Attention, Some((PaymentStatus::Attention, "50.00 USD"))),
    ("checkout.session.completed_foreign_no_metadata", Ignored, None),
    ("checkout.session.expired", Accepted, None),
    ("thin_event_notification", Ignored, None),
    ("charge.dispute.closed_lost", Accepted, None),
    ("charge.dispute.closed_won", Accepted, None),
    ("charge.dispute.created", Accepted, None),
    ("charge.refunded_full", Accepted, None),
    ("charge.refunded_partial", Accepted, None),
    ("connect_account.application.deauthorized", Ignored, None),
    ("connect_account.updated_active", Ignored, None),
    ("connect_account.updated_no_userId", Ignored, None),
    ("connect_account.updated_restricted", Ignored, None),
    ("connect_payout.failed", Ignored, None),
    ("connect_payout.paid", Ignored, None),
    ("payment_intent.succeeded", Ignored, None),
    ("refund.created_pending", Accepted, None),
    ("refund.failed", Accepted, None),
    ("refund.updated_requires_action", Accepted, None),
    ("refund.updated_succeeded", Accepted, None),
    ("transfer.created_from_destination_charge", Accepted, None),
    ("transfer.created_scheduled", Accepted, None),
    ("transfer.reversed", Accepted, None),
];

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/stripe")
}

#[test]
fn no_sample_is_left_out() {
    let names = std::fs::read_dir(folder()).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap());
    let there: BTreeSet<String> = names.collect();
    let told: BTreeSet<String> = SAMPLES.iter().map(|(name, ..)| format!("{name}.json")).collect();
    assert_eq!(there, told);
}

/// What each of Cal.com's payloads starts where it arrives alone; none for what is merely kept.
const CAL_SAMPLES: [(&str, Option<&str>); 17] = [
    ("AFTER_GUESTS_CAL_VIDEO_NO_SHOW", Some("")),
    ("AFTER_HOSTS_CAL_VIDEO_NO_SHOW", Some("host-no-show")),
    ("BOOKING_CANCELLED", Some("booking-cancelled")),
    ("BOOKING_CANCELLED_requestReschedule_no_organizer_id", Some("booking-cancelled")),
    ("BOOKING_CREATED", Some("booking-created")),
    ("BOOKING_CREATED_direct_no_discuno_metadata", Some("booking-created")),
    ("BOOKING_CREATED_legacy_object_destinationCalendar", Some("booking-created")),
    ("BOOKING_NO_SHOW_UPDATED", Some("")),
    ("BOOKING_REJECTED", Some("booking-rejected")),
    ("BOOKING_REQUESTED", Some("")),
    ("BOOKING_RESCHEDULED", Some("booking-rescheduled")),
    ("MEETING_ENDED_enveloped", Some("meeting-ended")),
    ("MEETING_ENDED_flat", Some("meeting-ended")),
    ("MEETING_STARTED_enveloped", Some("meeting-started")),
    ("MEETING_STARTED_flat", Some("meeting-started")),
    ("PING", None),
    ("RECORDING_READY", None),
];

#[tokio::test(start_paused = true)]
async fn every_sample_of_cal_is_kept_and_starts_what_it_should() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/cal");
    let names = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap());
    let there: BTreeSet<String> = names.collect();
    assert_eq!(there, CAL_SAMPLES.iter().map(|(name, _)| format!("{name}.json")).collect());
    for (name, starts) in CAL_SAMPLES {
        let world = World::new();
        let event = CalEvent::sample(name);
        let (status, answer) = world.send_cal(&event).await;
        assert_eq!(status, 200, "{name}: {answer}");
        world.settle().await;
        let books = world.books();
        let disposition = books.rows("SELECT disposition FROM events");
        let runs = "SELECT workflow FROM runs WHERE event_id = 1 AND workflow NOT IN ('track-event', 'alert')";
        assert_eq!(disposition[0], if starts.is_some() { "accepted" } else { "ignored" }, "{name}");
        assert_eq!(books.rows(runs).join(","), starts.unwrap_or_default(), "{name}");
        assert_eq!(books.count("SELECT count(*) FROM runs WHERE state = 'failed'"), 0, "{name}");
    }
}

#[tokio::test(start_paused = true)]
async fn every_sample_of_stripe_comes_to_its_right_end() {
    for (name, disposition, end) in SAMPLES {
        let text = std::fs::read(folder().join(format!("{name}.json"))).unwrap();
        let event = Event(serde_json::from_slice(&text).unwrap());
        let world = World::new();
        let (status, answer) = world.send(&event).await;
        assert_eq!(status, 200, "{name}: {answer}");
        world.settle().await;

        let payments = world.payments().await;
        let became = payments.first().map(|payment| (payment.status, payment.amount.to_string()));
        assert_eq!(became, end.map(|(status, amount)| (status, amount.to_owned())), "{name}");
        world.assert_money_is_right(name).await;
        let subject = world.app.store.resolve(event.0["id"].as_str().unwrap()).await.unwrap();
        assert_eq!(matches!(subject, Subject::Payment(_)), end.is_some(), "{name}");
        let story = world.app.store.story(subject).await.unwrap();
        assert_eq!(story.events.iter().map(|event| event.disposition).collect::<Vec<_>>(), [disposition], "{name}");
        assert!(
            disposition != Ignored || story.events[0].reason.is_some(),
            "{name}: nobody can tell why it is ignored"
        );
    }
}

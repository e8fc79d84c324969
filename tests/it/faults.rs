//! Every other workflow that touches money, under every fault, crash, cancellation and failing write.

use std::time::Duration;

use discuno::config::Config;
use discuno::model::policy::Policy;
use serde_json::json;

use crate::support::{Act, CalEvent, Event, Rehearsal};

const WEEK: Duration = Duration::from_secs(8 * 24 * 3600);

fn refund_always(config: &mut Config) {
    config.policies.mentor_cancels = Policy::Refund;
    config.policies.host_no_show = Policy::Refund;
}

fn zoe() -> Event {
    Event::paid("zoe@example.edu")
}

fn cancelled() -> Rehearsal {
    let event = CalEvent::sample("BOOKING_CANCELLED").about(&zoe()).set("cancelledBy", json!("jane@example.com"));
    Rehearsal {
        before: vec![Act::Stripe(zoe())],
        acts: vec![Act::Cal(event)],
        workflow: "booking-cancelled",
        adjust: refund_always,
        with_share: false,
    }
}

fn cancelled_case() -> Rehearsal {
    Rehearsal { adjust: |_| {}, ..cancelled() }
}

fn refunded_on_purpose() -> Rehearsal {
    Rehearsal { workflow: "refund-payment", ..cancelled() }
}

fn rejected() -> Rehearsal {
    let event = CalEvent::sample("BOOKING_REJECTED").about(&zoe());
    Rehearsal { acts: vec![Act::Cal(event)], workflow: "booking-rejected", ..cancelled() }
}

fn host_no_show() -> Rehearsal {
    let event = CalEvent::sample("AFTER_HOSTS_CAL_VIDEO_NO_SHOW").about(&zoe());
    Rehearsal {
        before: vec![Act::Stripe(zoe()), Act::Pass(WEEK)],
        acts: vec![Act::Cal(event)],
        workflow: "host-no-show",
        ..cancelled()
    }
}

fn late_booking() -> Rehearsal {
    let refused = Event::paid("zoe+cal-refused@example.edu");
    Rehearsal {
        acts: vec![Act::Cal(CalEvent::sample("BOOKING_CREATED").about(&refused))],
        before: vec![Act::Stripe(refused)],
        workflow: "booking-created",
        ..cancelled()
    }
}

fn early_booking() -> Rehearsal {
    Rehearsal {
        before: Vec::new(),
        acts: vec![Act::Cal(CalEvent::sample("BOOKING_CREATED").about(&zoe())), Act::Stripe(zoe())],
        workflow: "apply-event",
        ..cancelled()
    }
}

fn share() -> Rehearsal {
    let purchase = Event::paid("zoe+share-later@example.edu");
    Rehearsal {
        before: vec![Act::Stripe(purchase)],
        acts: Vec::new(),
        workflow: "transfer-to-mentor",
        adjust: |_| {},
        with_share: true,
    }
}

/// One module for each, so that they are gone through side by side.
macro_rules! rehearsed {
    ($($name:ident)*) => {$(
        mod $name {
            #[tokio::test(start_paused = true)]
            async fn every_fault_at_every_call_ends_rightly() {
                super::$name().with_every_fault().await;
            }

            #[tokio::test(start_paused = true)]
            async fn a_crash_before_or_after_any_call_loses_and_doubles_nothing() {
                super::$name().with_a_crash_at_every_call().await;
            }

            #[tokio::test(start_paused = true)]
            async fn cancelled_at_any_call_the_money_is_accounted_for() {
                super::$name().with_a_cancellation_at_every_call().await;
            }

            #[tokio::test(start_paused = true)]
            async fn any_write_that_fails_or_is_not_known_to_have_succeeded_is_done_again() {
                super::$name().with_every_write_failing().await;
            }
        }
    )*};
}

rehearsed! {
    cancelled
    cancelled_case
    refunded_on_purpose
    rejected
    host_no_show
    late_booking
    early_booking
    share
}

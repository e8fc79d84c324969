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

fn refunded_by_an_operator() -> Rehearsal {
    Rehearsal { acts: vec![Act::Refund], ..refunded_on_purpose() }
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

fn moved() -> Rehearsal {
    let event = CalEvent::sample("BOOKING_RESCHEDULED").about(&zoe());
    let old = event.0["payload"]["uid"].clone();
    let event = event.set("uid", json!("uid-moved")).set("rescheduleUid", old).set("bookingId", json!(91_999));
    Rehearsal { acts: vec![Act::Cal(event)], workflow: "booking-rescheduled", ..cancelled() }
}

/// Moved twice, and told of the second move first.
fn found_out() -> Rehearsal {
    let refused = Event::paid("zoe+cal-refused@example.edu");
    let moved = |from: &str, to: &str, number: u64| {
        let moved = CalEvent::sample("BOOKING_RESCHEDULED").about(&refused).set("uid", json!(to));
        moved.set("rescheduleUid", json!(from)).set("bookingId", json!(number))
    };
    let first = moved("uid-first", "uid-second", 91_998);
    let start = first.0["payload"]["startTime"].clone();
    let end = first.0["payload"]["endTime"].clone();
    let first = first.set("rescheduleStartTime", start).set("rescheduleEndTime", end);
    let last = moved("uid-second", "uid-third", 91_999).set("metadata", json!({}));
    Rehearsal {
        before: vec![Act::Stripe(refused), Act::Unheard(first.body()), Act::Cal(last)],
        acts: vec![Act::Cal(first)],
        workflow: "compare-booking",
        ..cancelled()
    }
}

fn met() -> Rehearsal {
    let of = |name: &str| Act::Cal(CalEvent::sample(name).about(&zoe()));
    let acts = vec![of("MEETING_STARTED_flat"), of("MEETING_ENDED_enveloped")];
    Rehearsal { acts, workflow: "meeting-ended", ..cancelled() }
}

fn refunded_elsewhere() -> Rehearsal {
    let intent = zoe().0["data"]["object"]["payment_intent"].clone();
    let refund = json!({"id": "re_1", "amount": 5000, "currency": "usd", "status": "succeeded",
        "payment_intent": intent, "metadata": {}});
    let refund = Event::told("evt_refund", "refund.created", 1_793_873_000, refund);
    let charge = json!({"id": "ch_1", "amount_refunded": 5000, "payment_intent": intent});
    let charge = Event::told("evt_charge", "charge.refunded", 1_793_873_001, charge);
    Rehearsal { acts: vec![Act::Stripe(charge), Act::Stripe(refund)], workflow: "tell-of-refund", ..cancelled() }
}

fn payout() -> Rehearsal {
    let event = |id: &str, kind: &str, object: serde_json::Value| {
        Act::Connect(Event::told(id, kind, 1_793_873_000, object).top("account", json!("acct_1")))
    };
    let account = json!({"id": "acct_1", "email": "jane@example.edu", "metadata": {"userId": "u1"}});
    let payout = json!({"id": "po_1", "amount": 4250, "currency": "usd", "failure_code": "account_closed"});
    Rehearsal {
        before: vec![event("evt_1", "account.updated", account)],
        acts: vec![event("evt_2", "payout.paid", payout.clone()), event("evt_3", "payout.failed", payout)],
        workflow: "payout-completed",
        ..cancelled()
    }
}

fn signed_up() -> Rehearsal {
    let user = json!({"name": "user_signed_up", "id": "s1", "data": {"userId": "u1", "email": "zoe@example.edu"}});
    Rehearsal { before: Vec::new(), acts: vec![Act::App(user)], workflow: "user-signed-up", ..cancelled() }
}

/// One module for each, so that they are gone through side by side.
macro_rules! rehearsed {
    ($($name:ident)*) => {
        /// All of them, by name.
        pub(crate) fn rehearsals() -> Vec<(&'static str, Rehearsal)> {
            vec![$((stringify!($name), $name())),*]
        }

        $(
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
        )*
    };
}

rehearsed! {
    cancelled
    cancelled_case
    refunded_on_purpose
    refunded_by_an_operator
    rejected
    host_no_show
    late_booking
    early_booking
    share
    moved
    found_out
    met
    refunded_elsewhere
    payout
    signed_up
}

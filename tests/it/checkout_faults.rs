//! The checkout workflow under every fault at every call, every crash before and after every effect, every failing
//! write, and cancelled.

use discuno::model::payment::PaymentStatus;
use discuno::model::step::Ending;
use discuno::sandbox::fault::{Effect, Fault, Provider};
use discuno::store::Subject;
use serde_json::json;

use crate::support::{Event, Rehearsal, World};

/// One module for each way in which a purchase can go, so that they are gone through side by side.
macro_rules! rehearsed {
    ($($path:ident $email:literal)*) => {$(
        mod $path {
            use super::*;

            fn rehearsal() -> Rehearsal {
                Rehearsal::of("process-checkout-side-effects", [Event::paid($email)])
            }

            #[tokio::test(start_paused = true)]
            async fn every_fault_at_every_call_ends_rightly() {
                rehearsal().with_every_fault().await;
            }

            #[tokio::test(start_paused = true)]
            async fn a_crash_before_or_after_any_call_loses_and_doubles_nothing() {
                rehearsal().with_a_crash_at_every_call().await;
            }

            #[tokio::test(start_paused = true)]
            async fn cancelled_at_any_call_the_money_is_accounted_for() {
                rehearsal().with_a_cancellation_at_every_call().await;
            }

            #[tokio::test(start_paused = true)]
            async fn any_write_that_fails_or_is_not_known_to_have_succeeded_is_done_again() {
                rehearsal().with_every_write_failing().await;
            }
        }
    )*};
}

rehearsed! {
    booked "zoe@example.edu"
    refunded "zoe+cal-refused@example.edu"
    refund_refused "zoe+cal-refused+refund-refused@example.edu"
    refund_pending "zoe+cal-refused+refund-pending@example.edu"
}

#[tokio::test(start_paused = true)]
async fn a_zombie_that_wakes_after_its_lease_records_nothing() {
    let mut world = World::idle();
    // Slower than any lease: the call takes effect long after another worker has the run.
    world.sandbox.inject(Fault::new(Provider::Cal, Effect::Slow { millis: 15_000 }).on("bookings.create").times(1));
    world.work_over(world.providers());
    world.send(&Event::paid("zoe@example.edu")).await;
    world.settle().await;
    world.assert_money_is_right("slow booking").await;
}

#[tokio::test(start_paused = true)]
async fn what_is_not_asked_of_a_provider_that_is_down_uses_up_no_try() {
    let world = World::new();
    world.sandbox.inject(Fault::new(Provider::Cal, Effect::ErrorBefore { status: 503 }).times(8));
    for number in 0..20 {
        let event = Event::paid("zoe@example.edu").id(&format!("evt_{number}"));
        let event = event.session("id", json!(format!("cs_test_{number}")));
        let event = event.session("payment_intent", json!(format!("pi_{number}")));
        world.send(&event.metadata("eventTypeId", json!((1000 + number).to_string()))).await;
    }
    world.settle().await;
    for payment in world.payments().await {
        assert_eq!(payment.status, PaymentStatus::Booked);
        let story = world.app.store.story(Subject::Payment(payment.id)).await.unwrap();
        for attempt in story.runs.iter().flat_map(|(_, attempts)| attempts) {
            let (Ending::Retry { failure } | Ending::Failed { failure }) = &attempt.ending else { continue };
            assert_ne!(failure.code, "breaker_open", "{attempt:?}");
        }
    }
    assert_eq!(world.ledger().cal.bookings.len(), 20);
}

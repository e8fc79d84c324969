//! The checkout workflow under every fault at every call, every crash before and after every effect, every failing
//! write, and cancelled.

use discuno::sandbox::fault::{Effect, Fault, Provider};

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

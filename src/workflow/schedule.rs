//! What happens again and again: each run starts its successor first, so that the chain outlives its failures.
//!
//! One run for each slot, however many processes there are. What was missed while nobody worked is made up for: by a run
//! for each slot where each counts, by one run where the last is enough.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::engine::ctx::Ctx;
use crate::engine::policy::Policy;
use crate::model::failure::Failure;
use crate::model::time::Timestamp;
use crate::store::change::{Change, NewRun};

const HOUR: Duration = Duration::from_secs(3600);
const DAY: Duration = Duration::from_secs(24 * 3600);

/// A workflow and its slots: every `every`, `after` the full hour or midnight (UTC).
#[derive(Debug, Clone, Copy)]
pub struct Schedule {
    /// The workflow's name.
    pub workflow: &'static str,
    every: Duration,
    after: Duration,
    each_counts: bool,
}

/// Yesterday in figures.
pub const DAILY_SUMMARY: Schedule =
    Schedule { workflow: "daily-summary", every: DAY, after: Duration::from_secs(5 * 60), each_counts: true };
/// What is old and no longer needed goes.
pub const PRUNE: Schedule =
    Schedule { workflow: "prune", every: DAY, after: Duration::from_secs(3 * 3600), each_counts: false };
/// Whether every payment at rest is where it should be.
pub const RECONCILE: Schedule =
    Schedule { workflow: "reconcile", every: DAY, after: Duration::from_secs(4 * 3600), each_counts: false };
/// Stripe's list of events, in case a webhook was lost.
pub const BACKFILL_STRIPE: Schedule =
    Schedule { workflow: "backfill-stripe", every: HOUR, after: Duration::from_secs(7 * 60), each_counts: false };
/// Cal.com's bookings, for it hardly ever sends a webhook again.
pub const BACKFILL_CAL: Schedule =
    Schedule { workflow: "backfill-cal", every: HOUR, after: Duration::from_secs(11 * 60), each_counts: false };

/// Which slot a run is for.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
pub struct Slot {
    /// When it was due.
    pub due: Timestamp,
}

impl Schedule {
    /// The first slot after `now`.
    pub fn next_after(self, now: Timestamp) -> Timestamp {
        let (every, after) = (millis(self.every), millis(self.after));
        Timestamp((now.0 - after).div_euclid(every) * every + every + after)
    }

    /// The slot after `slot`. That may have come before its time, where a clock was ahead and was set back since.
    fn following(self, slot: Slot, now: Timestamp) -> Timestamp {
        self.next_after(if self.each_counts { slot.due } else { now.max(slot.due) })
    }

    /// The run of a slot.
    pub fn run(self, due: Timestamp) -> NewRun {
        let input = serde_json::json!({ "due": due });
        let mut run = NewRun::with_input(self.workflow, due.to_string(), input);
        run.due_at = Some(due);
        run
    }

    /// Starts the successor of `slot`.
    pub(super) async fn go_on(self, ctx: &Ctx, slot: Slot) -> Result<(), Failure> {
        ctx.step("start-next", Policy::ENDLESS, async |step| {
            step.also(Change::Start(self.run(self.following(slot, step.now()))));
            Ok(())
        })
        .await
    }
}

/// The next run of every schedule: to be ensured whenever somebody begins to work.
pub fn first_runs(now: Timestamp) -> Vec<NewRun> {
    let all = [DAILY_SUMMARY, PRUNE, RECONCILE, BACKFILL_STRIPE, BACKFILL_CAL];
    all.map(|schedule| schedule.run(schedule.next_after(now))).into()
}

fn millis(span: Duration) -> i64 {
    i64::try_from(span.as_millis()).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slot_lies_ahead_by_at_most_one_period_and_keeps_its_place() {
        let at = |text: &str| text.parse::<Timestamp>().unwrap();
        for (now, next) in [
            ("2026-11-05T00:04:59Z", "2026-11-05T00:05:00Z"),
            ("2026-11-05T00:05:00Z", "2026-11-06T00:05:00Z"),
            ("2026-11-05T23:59:59Z", "2026-11-06T00:05:00Z"),
        ] {
            assert_eq!(DAILY_SUMMARY.next_after(at(now)), at(next), "{now}");
        }
        assert_eq!(BACKFILL_STRIPE.next_after(at("2026-11-05T10:07:00Z")), at("2026-11-05T11:07:00Z"));
    }

    #[test]
    fn no_slot_is_followed_by_itself_whatever_the_clock_was_set_to() {
        let at = |text: &str| text.parse::<Timestamp>().unwrap();
        let slot = Slot { due: at("2026-11-05T10:11:00Z") };
        for (now, next) in [
            ("2026-11-05T09:20:00Z", "2026-11-05T11:11:00Z"),
            ("2026-11-05T10:11:00Z", "2026-11-05T11:11:00Z"),
            ("2026-11-05T14:30:00Z", "2026-11-05T15:11:00Z"),
        ] {
            assert_eq!(BACKFILL_CAL.following(slot, at(now)), at(next), "{now}");
        }
        assert_eq!(DAILY_SUMMARY.following(slot, at("2026-11-09T00:00:00Z")), at("2026-11-06T00:05:00Z"));
    }
}

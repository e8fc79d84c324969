//! The way to rest: once nothing goes wrong any more, everything comes to its end.

use std::time::Duration;

use crate::engine::registry::Workflow;
use crate::model::pause::{Pausable, PauseKind};
use crate::model::run::RunState;
use crate::model::time::Timestamp;
use crate::sim::invariant;
use crate::sim::script::DAY;
use crate::sim::world::{BEGINNING, World};
use crate::store::filter::Filter;
use crate::store::order::Deed;
use crate::workflow::WAIT_FOR_DAYS;
use crate::workflow::backfill::{BackfillCal, BackfillStripe};
use crate::workflow::prune::Prune;
use crate::workflow::summary::DailySummary;

/// Once the last share is due everything comes to its end within so long, or never.
const LONGEST: Duration = Duration::from_hours(24 * 3);

impl World {
    /// Lets time pass until nothing moves any more but what waits on purpose.
    pub(super) async fn settle(&mut self) {
        // What was lost has been fetched within two hours; then the schedules have shown what they can.
        let mut at = millis(self.elapsed()) + 2 * 3_600_000 + 15 * 60_000;
        self.pass_until(at).await;
        if !self.script.sweep.schedules {
            for workflow in [BackfillStripe::NAME, BackfillCal::NAME, DailySummary::NAME, Prune::NAME] {
                self.order(Deed::Pause(scheduled(workflow))).await;
            }
        }
        let last = self.orders.iter().map(|order| order.start.0 - BEGINNING.0).max().unwrap_or(0);
        let last = u64::try_from(last).unwrap_or(0);
        let shares = millis(self.config.dispute_period) + 26 * 3_600_000;
        at = at.max(last + shares);
        self.pass_until(at).await;
        let began = at;
        while self.hub.broken().is_none() {
            let Some(due) = self.busy().await else {
                let days = (at - began) / DAY;
                return self.hub.count(|| format!("rest/after {days} days and less than {}", days + 1));
            };
            if at >= began + millis(LONGEST) {
                return self.hub.breaks("I9", "a run never comes to its end".to_owned());
            }
            let due = u64::try_from(due.0 - BEGINNING.0).unwrap_or(0);
            at = due.clamp(at + 1000, at + 3_600_000);
            self.pass_until(at).await;
        }
    }

    /// When the next run is due that does not wait on purpose.
    async fn busy(&self) -> Option<Timestamp> {
        let unfinished = vec![RunState::Queued.as_str().to_owned(), RunState::Running.as_str().to_owned()];
        let runs =
            self.store.runs(Filter { status: unfinished, ..Filter::newest(invariant::ALL) }).await.unwrap_or_default();
        let runs = runs.into_iter().map(|line| line.run);
        runs.filter(|run| !WAIT_FOR_DAYS.contains(&run.workflow.as_str())).filter_map(|run| run.due_at).min()
    }
}

fn millis(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}

fn scheduled(workflow: &str) -> Pausable {
    Pausable { kind: PauseKind::Workflow, name: workflow.to_owned() }
}

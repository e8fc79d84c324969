//! What a scraper reads: what this process has counted, and how much there is of everything in the store.

use std::path::PathBuf;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

use crate::clock::Clock;
use crate::observe::metrics::{Gauges, Metrics};
use crate::ops::disk;
use crate::store::Shared;
use crate::store::levels::Levels;

/// How long what was read from the store holds: however many scrape, it is asked no more often.
const FRESH: Duration = Duration::from_secs(5);

/// Everything that can be scraped from one process.
pub struct Exposition {
    store: Shared,
    clock: Clock,
    metrics: Metrics,
    db: PathBuf,
    gauges: Mutex<Option<(Instant, String)>>,
}

impl Exposition {
    /// Of `store`, its file `db` and what `metrics` has counted.
    pub fn new(store: Shared, clock: Clock, metrics: Metrics, db: PathBuf) -> Self {
        Self { store, clock, metrics, db, gauges: Mutex::new(None) }
    }

    /// As OpenMetrics text. A store that cannot be read is a gauge of its own, and never a failed scrape.
    pub async fn text(&self) -> String {
        let gauges = match self.fresh() {
            Some(gauges) => gauges,
            None => self.read().await,
        };
        let mut out = String::new();
        self.metrics.write(&mut out);
        out.push_str(&gauges);
        out.push_str("# EOF\n");
        out
    }

    fn fresh(&self) -> Option<String> {
        let known = self.gauges.lock().unwrap_or_else(PoisonError::into_inner);
        known.as_ref().filter(|(at, _)| at.elapsed() < FRESH).map(|(_, text)| text.clone())
    }

    async fn read(&self) -> String {
        let now = self.clock.now();
        let levels = self.store.levels(now).await;
        let mut gauges = Gauges::default();
        gauges.one("store_readable", "Whether the database could be read", i64::from(levels.is_ok()));
        match &levels {
            Ok(levels) => fill(&mut gauges, levels, now.0),
            Err(error) => tracing::error!(tag = "Metrics", event = "levels_not_read", error = %error),
        }
        if let Some(free) = disk::free_bytes(&self.db) {
            let free = i64::try_from(free).unwrap_or(i64::MAX);
            gauges.one("disk_free_bytes", "Bytes that are left where the database is", free);
        }
        let mut text = String::new();
        gauges.write(&mut text);
        *self.gauges.lock().unwrap_or_else(PoisonError::into_inner) = Some((Instant::now(), text.clone()));
        text
    }
}

fn fill(gauges: &mut Gauges, levels: &Levels, now: i64) {
    let since = |then: i64| (now - then).max(0) / 1000;
    let bytes = |count: u64| i64::try_from(count).unwrap_or(i64::MAX);
    let runs = levels.runs.iter();
    gauges.each(
        "runs",
        "Runs that have not ended well, by workflow and where they stand",
        ["workflow", "state"],
        runs.map(|(workflow, standing, count)| ([workflow.clone(), standing.to_string()], i64::from(*count))),
    );
    gauges.one(
        "oldest_due_seconds",
        "How long the run that has waited longest could have been taken",
        levels.oldest_due.map_or(0, |due| since(due.0)),
    );
    let refunds = levels.refunds.iter();
    gauges.each(
        "refunds",
        "Refunds, by status",
        ["status"],
        refunds.map(|(status, count)| ([status.to_string()], i64::from(*count))),
    );
    let cases = levels.cases.iter();
    gauges.each(
        "open_cases",
        "What only a person can settle, by kind",
        ["kind"],
        cases.map(|(kind, count)| ([kind.to_string()], i64::from(*count))),
    );
    gauges.one("untold_cases", "Open cases of which nobody could be told yet", i64::from(levels.untold_cases));
    let alerts = levels.alerts.iter();
    gauges.each(
        "open_alerts",
        "What is wrong with the deployment itself, by condition",
        ["condition"],
        alerts.map(|(condition, count)| ([condition.to_string()], i64::from(*count))),
    );
    gauges.one("untold_alerts", "Alerts of which nobody could be told yet", i64::from(levels.untold_alerts));
    let rules = levels.unaccounted.iter();
    gauges.each(
        "unaccounted_payments",
        "Open findings of the daily comparison, by rule",
        ["rule"],
        rules.map(|(rule, count)| ([rule.to_string()], i64::from(*count))),
    );
    let money = levels.at_risk.iter();
    gauges.each(
        "at_risk_minor_units",
        "The money of open cases in the minor unit of its currency",
        ["currency"],
        money.map(|money| ([money.currency.code().to_owned()], money.minor)),
    );
    let complete = levels.complete.iter();
    gauges.each(
        "source_incomplete_seconds",
        "How long ago a source was last known to be complete",
        ["source"],
        complete.map(|(source, until)| ([source.to_string()], since(until.0))),
    );
    gauges.one("database_bytes", "Bytes in the database", bytes(levels.database_bytes));
    gauges.one("database_log_bytes", "Bytes in the database's log", bytes(levels.log_bytes));
}

//! What one process has counted and timed. Handed in like the clock; nothing is global.
//!
//! No label names a person, an id or an amount, and none can grow without end: words that are not from a closed set are
//! admitted until there are 512 of them, and are `other` from then on.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use prometheus_client::encoding::text::encode_registry;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::metrics::info::Info;
use prometheus_client::registry::Registry;
use tokio::time::Instant;

use crate::model::event::Source;
use crate::model::refusal::RefusedSignatures;
use crate::model::time::Timestamp;
use crate::observe::calls::{Calls, Key, Tally};

/// How many different names of workflows and steps are told apart.
const MOST_WORDS: usize = 512;
/// Every metric's name begins so.
const PREFIX: &str = "discuno";

/// From half a millisecond to ten seconds: a commit, an acknowledgement, a call.
const SECONDS: [f64; 14] = [0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0];
/// A step may take as long as its budget.
const STEP_SECONDS: [f64; 9] = [0.001, 0.005, 0.025, 0.1, 0.5, 2.0, 10.0, 30.0, 120.0];
/// From on time to what was fetched days later.
const LAG_SECONDS: [f64; 11] = [0.5, 1.0, 2.0, 5.0, 15.0, 60.0, 300.0, 1800.0, 7200.0, 21_600.0, 86_400.0];
const GROUP_SIZES: [f64; 9] = [1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 64.0, 128.0, 256.0];

type Static<const N: usize> = [(&'static str, &'static str); N];
type Named<const N: usize> = [(&'static str, String); N];
type Timed<L> = Family<L, Histogram, fn() -> Histogram>;

/// Where the parts of a process tell what they do. Clones share what was counted.
#[derive(Clone)]
pub struct Metrics(Arc<Inner>);

struct Inner {
    registry: Registry,
    webhooks: Family<Static<2>, Counter>,
    acknowledgement: Timed<Static<1>>,
    lag: Timed<Static<1>>,
    runs_ended: Family<Named<2>, Counter>,
    leases_lost: Counter,
    steps: Family<Named<3>, Counter>,
    step_time: Timed<Named<2>>,
    calls: Family<Static<3>, Counter>,
    call_time: Timed<Static<2>>,
    breakers: Family<Static<1>, Gauge>,
    open_since: Mutex<BTreeMap<&'static str, Instant>>,
    commit_time: Histogram,
    commit_jobs: Histogram,
    words: Mutex<BTreeSet<String>>,
    tallies: Calls,
    refused_signatures: Mutex<BTreeMap<Source, RefusedSignatures>>,
}

impl Default for Metrics {
    fn default() -> Self {
        let seconds = || Histogram::new(SECONDS);
        let inner = Inner {
            registry: Registry::with_prefix(PREFIX),
            webhooks: Family::default(),
            acknowledgement: Family::new_with_constructor(seconds),
            lag: Family::new_with_constructor(|| Histogram::new(LAG_SECONDS)),
            runs_ended: Family::default(),
            leases_lost: Counter::default(),
            steps: Family::default(),
            step_time: Family::new_with_constructor(|| Histogram::new(STEP_SECONDS)),
            calls: Family::default(),
            call_time: Family::new_with_constructor(seconds),
            breakers: Family::default(),
            open_since: Mutex::default(),
            commit_time: seconds(),
            commit_jobs: Histogram::new(GROUP_SIZES),
            words: Mutex::default(),
            tallies: Calls::default(),
            refused_signatures: Mutex::default(),
        };
        Self(Arc::new(inner.registered()))
    }
}

impl Inner {
    fn registered(mut self) -> Self {
        let all = &mut self.registry;
        all.register("build", "The program", Info::new([("version", env!("CARGO_PKG_VERSION"))]));
        all.register("webhooks", "What was sent to us, by its sender and what was made of it", self.webhooks.clone());
        all.register(
            "acknowledgement_seconds",
            "From a webhook's first byte to its answer",
            self.acknowledgement.clone(),
        );
        all.register("event_lag_seconds", "From the sender's own time of an event to its arrival", self.lag.clone());
        all.register("runs_ended", "Runs that came to their end here, by workflow and how", self.runs_ended.clone());
        all.register("leases_lost", "Runs that another executor took over", self.leases_lost.clone());
        all.register("steps", "Tries of steps, by workflow and outcome", self.steps.clone());
        all.register("step_seconds", "How long a try of a step took", self.step_time.clone());
        all.register("provider_calls", "Calls of providers, by operation and outcome", self.calls.clone());
        all.register("provider_call_seconds", "How long a provider took to answer", self.call_time.clone());
        all.register("breaker_open", "Whether a provider is left alone because it is down", self.breakers.clone());
        all.register("commit_seconds", "How long a commit of the database took", self.commit_time.clone());
        all.register("commit_jobs", "How many writes shared a commit", self.commit_jobs.clone());
        self
    }

    /// The word, or `other` once there are too many.
    fn admit(&self, word: &str) -> String {
        let mut words = self.words.lock().unwrap_or_else(PoisonError::into_inner);
        if words.contains(word) || words.len() < MOST_WORDS && words.insert(word.to_owned()) {
            return word.to_owned();
        }
        "other".to_owned()
    }
}

impl Metrics {
    /// A request was answered: how long it took.
    pub fn answered(&self, source: &'static str, took: Duration) {
        self.0.acknowledgement.get_or_create(&[("source", source)]).observe(took.as_secs_f64());
    }

    /// What was made of so many events.
    pub fn arrived(&self, source: &'static str, result: &'static str, count: usize) {
        let counter = self.0.webhooks.get_or_create_owned(&[("source", source), ("result", result)]);
        counter.inc_by(u64::try_from(count).unwrap_or(u64::MAX));
    }

    /// How long after its sender's own time an event came.
    pub fn lagged(&self, source: &'static str, lag: Duration) {
        self.0.lag.get_or_create(&[("source", source)]).observe(lag.as_secs_f64());
    }

    /// A run came to its end.
    pub fn run_ended(&self, workflow: &str, state: &'static str) {
        let labels = [("workflow", self.0.admit(workflow)), ("state", state.to_owned())];
        self.0.runs_ended.get_or_create(&labels).inc();
    }

    /// Runs of a workflow may end here: a count that begins with its first failure would hide it.
    pub fn expect_runs(&self, workflow: &str) {
        for state in ["succeeded", "failed", "cancelled"] {
            let labels = [("workflow", self.0.admit(workflow)), ("state", state.to_owned())];
            drop(self.0.runs_ended.get_or_create(&labels));
        }
    }

    /// Another executor has taken a run over.
    pub fn lease_lost(&self) {
        self.0.leases_lost.inc();
    }

    /// A try of a step has ended.
    pub fn step(&self, workflow: &str, step: &str, outcome: &'static str, took: Duration) {
        let (workflow, step) = (self.0.admit(workflow), self.0.admit(step));
        self.0
            .step_time
            .get_or_create(&[("workflow", workflow.clone()), ("step", step.clone())])
            .observe(took.as_secs_f64());
        let labels = [("workflow", workflow), ("step", step), ("outcome", outcome.to_owned())];
        self.0.steps.get_or_create(&labels).inc();
    }

    /// A provider was asked.
    pub fn called(&self, provider: &'static str, operation: &'static str, outcome: &'static str, took: Duration) {
        let labels = [("provider", provider), ("operation", operation), ("outcome", outcome)];
        self.0.calls.get_or_create(&labels).inc();
        let labels = [("provider", provider), ("operation", operation)];
        self.0.call_time.get_or_create(&labels).observe(took.as_secs_f64());
        self.0.tallies.count(provider, outcome, took);
    }

    /// What each provider was asked.
    pub fn calls(&self) -> BTreeMap<&'static str, Tally> {
        self.0.tallies.all()
    }

    /// How each provider takes our key, of those that have said so.
    pub fn keys(&self) -> BTreeMap<&'static str, Key> {
        self.0.tallies.keys()
    }

    /// The signature of a webhook was refused, or the key of an event.
    pub fn signature_refused(&self, source: Source, now: Timestamp) {
        self.refused_signatures().entry(source).or_default().count(now);
    }

    /// The signatures that were refused since they were last taken: whoever takes them has them kept.
    pub fn take_refused_signatures(&self) -> BTreeMap<Source, RefusedSignatures> {
        std::mem::take(&mut *self.refused_signatures())
    }

    /// Those that were taken and could not be kept.
    pub fn put_back_refused_signatures(&self, signatures: &BTreeMap<Source, RefusedSignatures>) {
        let mut refused = self.refused_signatures();
        for (source, more) in signatures {
            refused.entry(*source).or_default().add(more);
        }
    }

    fn refused_signatures(&self) -> MutexGuard<'_, BTreeMap<Source, RefusedSignatures>> {
        self.0.refused_signatures.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A provider's breaker stands so.
    pub fn breaker(&self, provider: &'static str, open: bool) {
        self.0.breakers.get_or_create(&[("provider", provider)]).set(i64::from(open));
        let mut since = self.0.open_since.lock().unwrap_or_else(PoisonError::into_inner);
        if open {
            since.entry(provider).or_insert_with(Instant::now);
        } else {
            since.remove(provider);
        }
    }

    /// Providers whose breaker is open, and for how long.
    pub fn open_breakers(&self) -> Vec<(&'static str, Duration)> {
        let since = self.0.open_since.lock().unwrap_or_else(PoisonError::into_inner);
        since.iter().map(|(provider, since)| (*provider, since.elapsed())).collect()
    }

    /// So many writes were committed together.
    pub fn committed(&self, jobs: u32, took: Duration) {
        self.0.commit_time.observe(took.as_secs_f64());
        self.0.commit_jobs.observe(f64::from(jobs));
    }

    /// Everything as OpenMetrics text, without its end mark: who adds gauges writes them behind it.
    pub fn write(&self, out: &mut String) {
        // Writing to a string never fails.
        let _ = encode_registry(out, &self.0.registry);
    }
}

/// Gauges read for one exposition.
pub struct Gauges(Registry);

impl Default for Gauges {
    fn default() -> Self {
        Self(Registry::with_prefix(PREFIX))
    }
}

impl Gauges {
    /// One value.
    pub fn one(&mut self, name: &str, help: &str, value: i64) {
        let gauge: Gauge = Gauge::default();
        gauge.set(value);
        self.0.register(name, help, gauge);
    }

    /// A value for each set of labels.
    pub fn each<const N: usize>(
        &mut self,
        name: &str,
        help: &str,
        labels: [&'static str; N],
        values: impl IntoIterator<Item = ([String; N], i64)>,
    ) {
        let family: Family<Vec<(&'static str, String)>, Gauge> = Family::default();
        for (words, value) in values {
            let labels: Vec<_> = labels.into_iter().zip(words).collect();
            family.get_or_create(&labels).set(value);
        }
        self.0.register(name, help, family);
    }

    /// As OpenMetrics text, without its end mark.
    pub fn write(&self, out: &mut String) {
        let _ = encode_registry(out, &self.0);
    }
}

/// OpenMetrics text in the older format that `promtool check metrics` and older servers read: there a counter is described under
/// the name of its samples.
pub fn as_prometheus_text(open: &str) -> String {
    let counters: BTreeSet<&str> =
        open.lines().filter_map(|line| line.strip_prefix("# TYPE ")?.strip_suffix(" counter")).collect();
    let infos: BTreeSet<&str> =
        open.lines().filter_map(|line| line.strip_prefix("# TYPE ")?.strip_suffix(" info")).collect();
    let mut out = String::with_capacity(open.len() + 1024);
    for line in open.lines() {
        let described = ["# HELP ", "# TYPE "].iter().find_map(|what| Some((*what, line.strip_prefix(what)?)));
        match described.and_then(|(what, rest)| Some((what, rest.split_once(' ')?))) {
            Some((what, (name, rest))) if counters.contains(name) => {
                let _ = writeln!(out, "{what}{name}_total {rest}");
            }
            Some((what, (name, rest))) if infos.contains(name) => {
                let rest = if what == "# TYPE " { "gauge" } else { rest };
                let _ = writeln!(out, "{what}{name}_info {rest}");
            }
            _ if line.starts_with("# EOF") => {}
            _ => {
                let _ = writeln!(out, "{line}");
            }
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(metrics: &Metrics) -> String {
        let mut out = String::new();
        metrics.write(&mut out);
        out
    }

    #[test]
    fn what_was_told_is_in_the_text_and_clones_share_it() {
        let metrics = Metrics::default();
        let other = metrics.clone();
        other.answered("stripe", Duration::from_millis(3));
        other.arrived("stripe", "new", 1);
        metrics.arrived("stripe", "new", 2);
        metrics.committed(7, Duration::from_millis(1));
        let text = text(&metrics);
        assert!(text.contains("discuno_webhooks_total{source=\"stripe\",result=\"new\"} 3"), "{text}");
        assert!(text.contains("discuno_acknowledgement_seconds_bucket{le=\"0.005\",source=\"stripe\"} 1"), "{text}");
        assert!(text.contains("discuno_commit_jobs_sum 7.0"), "{text}");
    }

    #[test]
    fn labels_cannot_grow_without_end() {
        let metrics = Metrics::default();
        for number in 0..2 * MOST_WORDS {
            metrics.step("w", &format!("step-{number}"), "done", Duration::ZERO);
        }
        let text = text(&metrics);
        let kinds = text.lines().filter(|line| line.starts_with("discuno_steps_total")).count();
        assert_eq!(kinds, MOST_WORDS, "all but one are steps, and the rest is `other`");
        assert!(text.contains(r#"step="other""#));
    }

    #[test]
    fn the_older_format_describes_a_counter_under_the_name_of_its_samples() {
        let metrics = Metrics::default();
        metrics.lease_lost();
        let text = as_prometheus_text(&text(&metrics));
        assert!(text.contains("# TYPE discuno_leases_lost_total counter\ndiscuno_leases_lost_total 1\n"), "{text}");
        assert!(text.contains("# TYPE discuno_build_info gauge\ndiscuno_build_info{"), "{text}");
    }

    #[tokio::test(start_paused = true)]
    async fn a_breaker_is_known_by_how_long_it_is_open() {
        let metrics = Metrics::default();
        metrics.breaker("cal", true);
        tokio::time::advance(Duration::from_secs(9)).await;
        metrics.breaker("cal", true);
        assert_eq!(metrics.open_breakers(), [("cal", Duration::from_secs(9))]);
        metrics.breaker("cal", false);
        assert!(metrics.open_breakers().is_empty());
    }
}

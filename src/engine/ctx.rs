//! What a workflow sees of its run: steps, sleep, the time.

use std::collections::BTreeMap;
use std::future::Future;
use std::panic::AssertUnwindSafe;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use futures_util::FutureExt;
use serde::Serialize;
use serde::de::DeserializeOwned;
use tokio::sync::Notify;
use tokio::time::Instant;

use crate::clock::Clock;
use crate::engine::backoff;
use crate::engine::policy::Policy;
use crate::entropy::Entropy;
use crate::model::failure::{Failure, FailureKind};
use crate::model::id::PaymentId;
use crate::model::lease::Lease;
use crate::model::run::Run;
use crate::model::step::{Attempt, Ending};
use crate::model::time::Timestamp;
use crate::observe::metrics::Metrics;
use crate::observe::trace::{Span, Traces};
use crate::store::change::Change;
use crate::store::error::Error;
use crate::store::{Claimed, Onward, Shared};

/// The most a single try may take: its calls have time-outs of their own, this ends what hangs in spite of them.
const STEP_BUDGET: Duration = Duration::from_secs(120);
/// How long to wait when the store cannot be read or written.
pub(crate) const STORE_PAUSE: Duration = Duration::from_millis(500);

/// Why the driver has to stop polling the workflow.
#[derive(Debug)]
pub(crate) enum Stop {
    /// The run goes back to the queue.
    Suspend { attempt: Option<Attempt>, due_at: Timestamp },
    /// What a step needs is stopped or down: the run goes back as if nothing had been tried.
    PutBack { due_at: Timestamp },
    /// Somebody wants the run to end here.
    Cancelled,
    /// Another executor has the run.
    LeaseLost,
    /// The store could not be written: the lease will run out and the run be taken again.
    Store(Error),
    /// What was recorded is not what this program does, and it has done nothing.
    Unfit(String),
    /// What a step returned cannot be recorded.
    Nondeterministic(String),
}

struct Journal {
    /// Final attempts, by step.
    ended: BTreeMap<String, Attempt>,
    /// How many tries were recorded, by step, and how many of them count.
    tries: BTreeMap<String, Tries>,
    /// How often a name was used, for repeats.
    used: BTreeMap<String, u32>,
    /// Recorded steps that were asked for.
    replayed: usize,
    stop: Option<Stop>,
}

#[derive(Default, Clone, Copy)]
struct Tries {
    last: u32,
    counted: u32,
}

/// What a workflow sees of its run.
pub struct Ctx {
    store: Shared,
    clock: Clock,
    entropy: Entropy,
    metrics: Metrics,
    retry_base: Duration,
    run: Run,
    lease: Lease,
    /// When the lease ends, by the clock that never jumps; moved on by the worker's renewals.
    deadline: Arc<Mutex<Instant>>,
    lease_length: Duration,
    journal: Mutex<Journal>,
    pub(crate) stopped: Notify,
}

/// Where a run is executed: what the worker hands to each.
#[derive(Clone)]
pub struct Surroundings {
    /// The store.
    pub store: Shared,
    /// The time.
    pub clock: Clock,
    /// Chance, for jitter.
    pub entropy: Entropy,
    /// What is counted.
    pub metrics: Metrics,
    /// Where it is traced.
    pub traces: Traces,
    /// The base of every backoff.
    pub retry_base: Duration,
    /// How long a lease lasts.
    pub lease: Duration,
    /// The longest wait without a look for what is due, should every wake-up be missed.
    pub longest_wait: Duration,
}

/// One try of a step, handed to its work.
pub struct Step<'a> {
    ctx: &'a Ctx,
    /// Whether it is certain that no try of this step, by anybody, came before. Where it is not, look before you act.
    pub fresh: bool,
    /// 1 for the first try that is known of.
    pub number: u32,
    changes: Mutex<Vec<Change>>,
}

impl Step<'_> {
    /// Adds a change to the commit that records this step. Dropped if the step does not end well.
    pub fn also(&self, change: Change) {
        self.changes.lock().unwrap_or_else(PoisonError::into_inner).push(change);
    }

    /// Commits changes now, before a call leaves. Refused once the lease is lost.
    pub async fn commit(&self, changes: Vec<Change>) -> Result<(), Failure> {
        let outcome = self.ctx.store.write(self.ctx.lease, changes, self.ctx.clock.now()).await;
        outcome.map_err(|error| self.ctx.store_failure(error))
    }

    /// The lease, for verbs of the ledger that take one.
    pub const fn lease(&self) -> Lease {
        self.ctx.lease
    }

    /// The time of day.
    pub fn now(&self) -> Timestamp {
        self.ctx.clock.now()
    }

    /// The payment the run is on.
    pub fn payment(&self) -> Result<PaymentId, Failure> {
        self.ctx.run.payment.ok_or_else(|| Failure::permanent("no_payment", "the run is not on a payment"))
    }

    /// A store error as a failure of this step: what another try may mend is transient.
    pub fn store_failure(&self, error: Error) -> Failure {
        self.ctx.store_failure(error)
    }
}

impl Ctx {
    pub(crate) fn new(surroundings: &Surroundings, claimed: Claimed, deadline: Arc<Mutex<Instant>>) -> Self {
        let mut ended = BTreeMap::new();
        let mut tries = BTreeMap::new();
        for attempt in claimed.journal {
            let known: &mut Tries = tries.entry(attempt.step.clone()).or_default();
            known.last = attempt.number;
            known.counted = if attempt.retried { 0 } else { known.counted + 1 };
            if attempt.ending.is_final() && !attempt.retried {
                ended.insert(attempt.step.clone(), attempt);
            }
        }
        let journal = Journal { ended, tries, used: BTreeMap::new(), replayed: 0, stop: None };
        Self {
            store: Arc::clone(&surroundings.store),
            clock: surroundings.clock.clone(),
            entropy: surroundings.entropy.clone(),
            metrics: surroundings.metrics.clone(),
            retry_base: surroundings.retry_base,
            lease_length: surroundings.lease,
            run: claimed.run,
            lease: claimed.lease,
            deadline,
            journal: Mutex::new(journal),
            stopped: Notify::new(),
        }
    }

    /// The run.
    pub const fn run(&self) -> &Run {
        &self.run
    }

    /// A named, memoized unit of work. Once it has ended its result is returned without doing the work again. A failure
    /// that may still be retried is not returned: the run is suspended and this future never resolves.
    pub async fn step<'a, T, F, Fut>(&'a self, name: &str, policy: Policy, work: F) -> Result<T, Failure>
    where
        T: Serialize + DeserializeOwned,
        F: FnOnce(Arc<Step<'a>>) -> Fut,
        Fut: Future<Output = Result<T, Failure>>,
    {
        let (kind, name) = (name, self.unique(name));
        match self.recall(&name) {
            Recall::Known(Ending::Done { output }) => {
                return match serde_json::from_str(output.get()) {
                    Ok(value) => Ok(value),
                    Err(error) => self.stop(Stop::Unfit(format!("{name} recorded {error}"))).await,
                };
            }
            Recall::Known(Ending::Retry { failure } | Ending::Failed { failure }) => return Err(failure),
            Recall::Drifted(left) => {
                return self.stop(Stop::Unfit(format!("{left} recorded steps were not asked for before {name}"))).await;
            }
            Recall::New => {}
        }
        if self.lease_is_thin() {
            return self.stop(Stop::LeaseLost).await;
        }

        let Tries { last: tried, counted } = self.lock().tries.get(&name).copied().unwrap_or_default();
        let fresh = tried == 0 && self.lease.token == 1;
        let step = Arc::new(Step { ctx: self, fresh, number: tried + 1, changes: Mutex::new(Vec::new()) });
        let (started_at, start) = (self.clock.now(), Instant::now());
        let span = Span::step(&name, tried + 1);
        let result = span.cover(guarded(work(Arc::clone(&step)))).await;
        span.end(result.as_ref().map(drop).map_err(|failure| failure.code.as_str()));
        let (ended_at, took) = (self.clock.now(), start.elapsed());
        let counted_as = |outcome| self.metrics.step(&self.run.workflow, kind, outcome, took);
        let changes = std::mem::take(&mut *step.changes.lock().unwrap_or_else(PoisonError::into_inner));
        // The work has met the end of its lease: whatever it returned is not ours to record.
        if self.lock().stop.is_some() {
            return self.halt().await;
        }

        let attempt =
            |ending| Attempt { step: name.clone(), number: tried + 1, started_at, ended_at, retried: false, ending };
        match result {
            Ok(value) => {
                counted_as("done");
                let output = match serde_json::value::to_raw_value(&value) {
                    Ok(output) => output,
                    Err(error) => return self.stop(Stop::Nondeterministic(format!("{name} returned {error}"))).await,
                };
                self.remember(attempt(Ending::Done { output }), changes).await;
                Ok(value)
            }
            Err(failure) if failure.was_held_back() && policy.retries > 0 => {
                counted_as("held_back");
                let wait = failure.retry_after().unwrap_or(self.retry_base);
                self.stop(Stop::PutBack { due_at: ended_at.plus(wait) }).await
            }
            Err(failure) if failure.kind != FailureKind::Permanent && counted < policy.retries => {
                counted_as("retry");
                let wait =
                    backoff::delay(self.retry_base, policy.cap, counted + 1, failure.retry_after(), &self.entropy);
                tracing::warn!(
                    tag = "SideEffects", event = "step_retry", runId = %self.run.id, step = name, attempt = tried + 1,
                    kind = failure.kind.as_str(), code = failure.code, error = failure.message,
                    delayMs = u64::try_from(wait.as_millis()).unwrap_or(u64::MAX),
                );
                let due_at = ended_at.plus(wait);
                self.stop(Stop::Suspend { attempt: Some(attempt(Ending::Retry { failure })), due_at }).await
            }
            Err(failure) => {
                counted_as("failed");
                tracing::warn!(
                    tag = "SideEffects", event = "step_failed", runId = %self.run.id, step = name, attempt = tried + 1,
                    kind = failure.kind.as_str(), code = failure.code, error = failure.message,
                );
                self.remember(attempt(Ending::Failed { failure: failure.clone() }), Vec::new()).await;
                Err(failure)
            }
        }
    }

    /// A step that only changes the ledger.
    pub async fn commit(&self, name: &str, changes: Vec<Change>) -> Result<(), Failure> {
        self.step(name, Policy::DEFAULT, async |step| {
            for change in changes {
                step.also(change);
            }
            Ok(())
        })
        .await
    }

    /// Waits for a time that the workflow knows from what was recorded.
    pub async fn sleep_until(&self, until: Timestamp) {
        if self.clock.now() < until {
            let () = self.stop(Stop::Suspend { attempt: None, due_at: until }).await;
        }
    }

    /// Waits without holding anything: the run sleeps in the store.
    pub async fn sleep(&self, name: &str, span: Duration) {
        let until = self.step(name, Policy::DEFAULT, async |step| Ok(step.now().plus(span))).await;
        if let Ok(until) = until {
            self.sleep_until(until).await;
        }
    }

    pub(crate) fn take_stop(&self) -> Option<Stop> {
        self.lock().stop.take()
    }

    fn lock(&self) -> MutexGuard<'_, Journal> {
        self.journal.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A repeated name gets `:1`, `:2`, … so that steps in a loop stay apart.
    fn unique(&self, name: &str) -> String {
        let mut journal = self.lock();
        let used = journal.used.entry(name.to_owned()).or_insert(0);
        *used += 1;
        if *used == 1 { name.to_owned() } else { format!("{name}:{}", *used - 1) }
    }

    fn recall(&self, name: &str) -> Recall {
        let mut journal = self.lock();
        if let Some(attempt) = journal.ended.get(name) {
            let ending = attempt.ending.clone();
            journal.replayed += 1;
            return Recall::Known(ending);
        }
        match journal.ended.len() - journal.replayed {
            0 => Recall::New,
            left => Recall::Drifted(left),
        }
    }

    /// Whether too little of the lease is left to begin a call under it.
    fn lease_is_thin(&self) -> bool {
        self.deadline().saturating_duration_since(Instant::now()) < self.lease_length / 3
    }

    fn deadline(&self) -> Instant {
        *self.deadline.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Writes once more where the store had no time for it and wrote nothing, for as long as the run is held: whoever took it then
    /// would do anew what was done.
    pub(crate) async fn insist<T, F>(&self, write: impl Fn(Timestamp) -> F) -> Result<T, Error>
    where
        F: Future<Output = Result<T, Error>>,
    {
        loop {
            match write(self.clock.now()).await {
                Err(Error::Busy | Error::Unreachable(_)) if Instant::now() < self.deadline() => {
                    tokio::time::sleep(STORE_PAUSE).await;
                }
                outcome => return outcome,
            }
        }
    }

    async fn remember(&self, attempt: Attempt, changes: Vec<Change>) {
        let step = attempt.step.clone();
        let outcome = self.insist(|now| self.store.record(self.lease, attempt.clone(), changes.clone(), now)).await;
        match outcome {
            Ok(onward) => {
                {
                    let mut journal = self.lock();
                    journal.ended.insert(step.clone(), attempt);
                    journal.replayed += 1;
                }
                if onward == Onward::CancelRequested {
                    let () = self.stop(Stop::Cancelled).await;
                }
            }
            Err(Error::LeaseLost) => self.stop(Stop::LeaseLost).await,
            Err(error) => self.stop(Stop::Store(error)).await,
        }
    }

    fn store_failure(&self, error: Error) -> Failure {
        if matches!(error, Error::LeaseLost) {
            self.lock().stop.get_or_insert(Stop::LeaseLost);
        }
        match error {
            Error::Illegal(message) => Failure::permanent("refused_by_ledger", message),
            Error::NotFound(message) => Failure::permanent("not_found", message),
            error => Failure::transient(error.code(), error.to_string()),
        }
    }

    /// Tells the driver why, and never resolves.
    async fn stop<T>(&self, stop: Stop) -> T {
        self.lock().stop.get_or_insert(stop);
        self.halt().await
    }

    async fn halt<T>(&self) -> T {
        self.stopped.notify_one();
        std::future::pending().await
    }
}

enum Recall {
    Known(Ending),
    Drifted(usize),
    New,
}

/// Runs the work of one try: a panic and a hang are failures like others.
async fn guarded<T>(work: impl Future<Output = Result<T, Failure>>) -> Result<T, Failure> {
    let caught = AssertUnwindSafe(work).catch_unwind();
    match tokio::time::timeout(STEP_BUDGET, caught).await {
        Ok(Ok(result)) => result,
        Ok(Err(panic)) => Err(Failure::unknown("panic", format!("the step panicked: {}", panic_message(&panic)))),
        Err(_) => Err(Failure::unknown("hung", format!("the step took longer than {} s", STEP_BUDGET.as_secs()))),
    }
}

pub(crate) fn panic_message(panic: &(dyn std::any::Any + Send)) -> String {
    panic
        .downcast_ref::<&str>()
        .map(|text| (*text).to_owned())
        .or_else(|| panic.downcast_ref::<String>().cloned())
        .unwrap_or_else(|| "without a message".to_owned())
}

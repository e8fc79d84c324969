//! Claims due runs and moves them: subscribe, look, wait.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::{Notify, OwnedSemaphorePermit, Semaphore};
use tokio::task::JoinSet;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tokio_util::task::AbortOnDropHandle;

use crate::clock::Monitor;
use crate::engine::ctx::{STORE_PAUSE, Surroundings};
use crate::engine::drive::drive;
use crate::engine::registry::Registry;
use crate::model::id::RunId;
use crate::model::lease::Lease;
use crate::model::run::Run;
use crate::store::Claimed;
use crate::store::error::Error;

/// Until the next look where what is due was had by somebody else.
const CROWDED: Duration = Duration::from_millis(100);

/// How long runs in flight are given to reach a record when the worker is to stop.
const DRAIN: Duration = Duration::from_secs(25);

/// Moves up to `concurrency` runs at once.
pub struct Worker {
    surroundings: Surroundings,
    registry: Arc<Registry>,
    owner: String,
    permits: Arc<Semaphore>,
    concurrency: u32,
    held: Mutex<BTreeMap<RunId, Held>>,
    /// A run is held: leases have to be kept.
    holding: Notify,
}

struct Held {
    lease: Lease,
    deadline: Arc<Mutex<Instant>>,
    /// Dropping the run's future when its lease is lost.
    lost: CancellationToken,
}

impl Worker {
    /// A worker with an identity of its own.
    pub fn new(surroundings: Surroundings, registry: Arc<Registry>, concurrency: usize) -> Self {
        let owner = surroundings.entropy.hex(32);
        let permits = Arc::new(Semaphore::new(concurrency));
        registry.names().for_each(|name| surroundings.metrics.expect_runs(name));
        let concurrency = u32::try_from(concurrency).unwrap_or(u32::MAX);
        Self { surroundings, registry, owner, permits, concurrency, held: Mutex::default(), holding: Notify::new() }
    }

    /// Works until `stop`, then lets what is in flight finish for a while and returns. Whoever drops this drops all that
    /// is in flight, and its leases run out.
    pub async fn run(self, stop: CancellationToken) {
        let this = Arc::new(self);
        let mut tasks = JoinSet::new();
        let _renewer = AbortOnDropHandle::new(tokio::spawn(Arc::clone(&this).keep_leases()));
        tracing::info!(tag = "Worker", event = "worker_started", owner = this.owner, concurrency = this.concurrency);

        let mut changes = this.surroundings.store.changes();
        let mut monitor = Monitor::new(this.surroundings.clock.clone());
        match this.surroundings.store.recorded_ahead(this.surroundings.clock.now()).await {
            Ok(ahead) => ahead.into_iter().for_each(|ahead| monitor.has_read(ahead)),
            Err(error) => {
                tracing::error!(tag = "Worker", event = "clock_not_compared", critical = true, error = %error);
            }
        }
        while !stop.is_cancelled() {
            changes.mark_unchanged();
            let wait = match this.look(&mut monitor, &mut tasks, &stop).await {
                Ok(wait) => wait,
                Err(error) => {
                    tracing::error!(tag = "Worker", event = "claim_failed", critical = true, error = %error);
                    STORE_PAUSE
                }
            };
            tokio::select! {
                biased;
                () = stop.cancelled() => break,
                _ = changes.changed() => {}
                () = tokio::time::sleep(wait) => {}
            }
        }

        let drained = async { while tasks.join_next().await.is_some() {} };
        if tokio::time::timeout(DRAIN, drained).await.is_err() {
            tracing::warn!(
                tag = "Worker",
                event = "drain_timed_out",
                message = "leases run out and the runs are taken again"
            );
        }
        tracing::info!(tag = "Worker", event = "worker_stopped", owner = this.owner);
    }

    /// Moves this one run, at once and then for as long as it can go on and `patience` lasts, as any worker would. Where it stands then:
    /// another worker may have it, or goes on with it later.
    pub async fn carry(self, run: RunId, patience: Duration) -> Result<Run, Error> {
        let this = Arc::new(self);
        let _renewer = AbortOnDropHandle::new(tokio::spawn(Arc::clone(&this).keep_leases()));
        this.carry_until(run, Instant::now() + patience).await
    }

    async fn carry_until(self: Arc<Self>, id: RunId, end: Instant) -> Result<Run, Error> {
        let Surroundings { store, clock, lease, longest_wait, .. } = &self.surroundings;
        let mut changes = store.changes();
        let mut at_once = true;
        loop {
            changes.mark_unchanged();
            let now = clock.now();
            let run = store.run(id).await?;
            if run.state.is_terminal() || Instant::now() >= end {
                return Ok(run);
            }
            let mut wait = run.due_at.map_or(*longest_wait, |due| due.since(now));
            if std::mem::take(&mut at_once) || wait.is_zero() {
                let permit = Arc::clone(&self.permits).acquire_owned().await.map_err(|_| Error::Closed)?;
                let deadline = Instant::now() + *lease;
                if let Some(claimed) = store.claim_run(&self.owner, id, now, now.plus(*lease)).await? {
                    Arc::clone(&self).drive(claimed, deadline, permit).await;
                    continue;
                }
                // Its workflow is paused, or somebody was faster.
                wait = STORE_PAUSE;
            }
            tokio::select! {
                biased;
                _ = changes.changed() => {}
                () = tokio::time::sleep(wait) => {}
                () = tokio::time::sleep_until(end) => {}
            }
        }
    }

    /// Starts what is due, whatever was done to the clock. Returns how long there is nothing to do.
    async fn look(
        self: &Arc<Self>,
        monitor: &mut Monitor,
        tasks: &mut JoinSet<()>,
        stop: &CancellationToken,
    ) -> Result<Duration, Error> {
        // Timers never jump: whoever waits for the next try of a run wakes when it was meant to, and sees it here.
        if let Some(step) = monitor.step_back() {
            let Surroundings { store, clock, lease, .. } = &self.surroundings;
            let now = clock.now();
            let runs = store.clock_set_back(step, now, now.plus(*lease)).await?;
            monitor.settled();
            tracing::warn!(
                tag = "Worker",
                event = "clock_stepped_back",
                runs,
                stepMs = u64::try_from(step.as_millis()).unwrap_or(u64::MAX),
                message = "what waits for its next try was moved back with the clock",
            );
        }
        self.claim_due(tasks, stop).await
    }

    /// Starts what is due, as far as there is room. Returns how long there is nothing to do.
    async fn claim_due(self: &Arc<Self>, tasks: &mut JoinSet<()>, stop: &CancellationToken) -> Result<Duration, Error> {
        loop {
            let permit = tokio::select! {
                biased;
                () = stop.cancelled() => return Ok(Duration::ZERO),
                permit = Arc::clone(&self.permits).acquire_owned() => permit.map_err(|_| Error::Closed)?,
            };
            // This loop goes on for as long as something is due: what is over must not pile up meanwhile.
            while tasks.try_join_next().is_some() {}
            let (now, longest_wait) = (self.surroundings.clock.now(), self.surroundings.longest_wait);
            match self.surroundings.store.next_due().await? {
                None => return Ok(longest_wait),
                Some(due) if due > now => return Ok(due.since(now).min(longest_wait)),
                Some(_) => {}
            }
            let mut permits = vec![permit];
            while let Ok(more) = Arc::clone(&self.permits).try_acquire_owned() {
                permits.push(more);
            }
            let deadline = Instant::now() + self.surroundings.lease;
            let until = now.plus(self.surroundings.lease);
            let claimed = self.surroundings.store.claim(&self.owner, permits.len(), now, until).await?;
            // Somebody is just taking what is due.
            if claimed.is_empty() {
                return Ok(CROWDED);
            }
            for (claimed, permit) in claimed.into_iter().zip(permits) {
                tasks.spawn(Arc::clone(self).drive(claimed, deadline, permit));
            }
        }
    }

    async fn drive(self: Arc<Self>, claimed: Claimed, deadline: Instant, permit: OwnedSemaphorePermit) {
        let (lease, deadline, lost) = (claimed.lease, Arc::new(Mutex::new(deadline)), CancellationToken::new());
        self.held().insert(lease.run, Held { lease, deadline: Arc::clone(&deadline), lost: lost.clone() });
        self.holding.notify_one();
        let outcome = tokio::select! {
            biased;
            outcome = drive(&self.surroundings, &self.registry, claimed, deadline) => outcome,
            () = lost.cancelled() => Err(Error::LeaseLost),
        };
        // Whoever has claimed the run again meanwhile, in this worker too, keeps its own lease.
        self.held().retain(|_, held| held.lease != lease);
        drop(permit);
        match outcome {
            Ok(()) => {}
            Err(Error::LeaseLost) => {
                self.surroundings.metrics.lease_lost();
                tracing::warn!(tag = "Worker", event = "lease_lost", runId = %lease.run, token = lease.token);
            }
            Err(error) => tracing::error!(
                tag = "Worker", event = "run_not_recorded", critical = true, runId = %lease.run, error = %error,
                message = "the lease runs out and the run is taken again",
            ),
        }
    }

    fn held(&self) -> std::sync::MutexGuard<'_, BTreeMap<RunId, Held>> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn keep_leases(self: Arc<Self>) {
        let length = self.surroundings.lease;
        loop {
            if self.held().is_empty() {
                self.holding.notified().await;
            }
            tokio::time::sleep(length / 4).await;
            let leases: Vec<Lease> = self.held().values().map(|held| held.lease).collect();
            if leases.is_empty() {
                continue;
            }
            let renewed = Instant::now() + length;
            let until = self.surroundings.clock.now().plus(length);
            match self.surroundings.store.renew(leases.clone(), until).await {
                Ok(lost) => {
                    for lease in leases {
                        let held = self.held();
                        let Some(held) = held.get(&lease.run).filter(|held| held.lease.token == lease.token) else {
                            continue;
                        };
                        if lost.contains(&lease) {
                            held.lost.cancel();
                        } else {
                            *held.deadline.lock().unwrap_or_else(PoisonError::into_inner) = renewed;
                        }
                    }
                }
                Err(error) => tracing::error!(tag = "Worker", event = "renew_failed", critical = true, error = %error),
            }
        }
    }
}

//! A process that can be struck: gone at any commit and any call, or standing still past its lease.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use tokio::sync::{mpsc, watch};

use crate::entropy::Entropy;
use crate::model::id::RunId;
use crate::sim::hub::{Hub, lock};
use crate::sim::script::Blow;
use crate::sim::watched::{Verb, Watch};
use crate::store::Claimed;
use crate::store::error::Error;
use crate::transport::in_process::InProcess;
use crate::transport::{self, Request, Response, Transport};

/// How long a request may be under way, whoever still waits for it.
const UNDER_WAY: Duration = Duration::from_hours(6);

/// A turn in the life of the process of this number.
#[derive(Debug, Clone, Copy)]
pub(super) enum Turn {
    /// It is gone, for so many milliseconds.
    Gone(usize, u64),
    /// It is to be started again.
    Back(usize),
}

/// What is known of a process across its restarts.
pub(super) struct Vitals {
    pub(super) number: usize,
    /// Which of its lives this is; what belongs to an earlier one never goes on.
    generation: AtomicU64,
    frozen_until: AtomicI64,
    boundaries: AtomicU64,
    blows: Mutex<BTreeMap<u64, Vec<Blow>>>,
    /// Told when the process is gone, and for how long.
    gone: mpsc::UnboundedSender<Turn>,
}

impl Vitals {
    pub(super) fn new(number: usize, gone: mpsc::UnboundedSender<Turn>) -> Self {
        Self {
            number,
            generation: AtomicU64::new(0),
            frozen_until: AtomicI64::new(0),
            boundaries: AtomicU64::new(0),
            blows: Mutex::default(),
            gone,
        }
    }

    pub(super) fn strike_at(&self, boundary: u64, blow: Blow) {
        lock(&self.blows).entry(boundary).or_default().push(blow);
    }

    /// Nothing strikes it any more, and it goes on.
    pub(super) fn spare(&self) {
        lock(&self.blows).clear();
        self.frozen_until.store(0, Ordering::Relaxed);
    }

    /// Ends this life.
    pub(super) fn end_life(&self) {
        self.generation.fetch_add(1, Ordering::Relaxed);
        self.frozen_until.store(0, Ordering::Relaxed);
    }

    pub(super) fn boundaries(&self) -> u64 {
        self.boundaries.load(Ordering::Relaxed)
    }
}

/// One life of a process, at the boundaries of its store and its providers.
#[derive(Clone)]
pub(super) struct Life {
    hub: Arc<Hub>,
    vitals: Arc<Vitals>,
    generation: u64,
}

impl Life {
    pub(super) fn begin(hub: &Arc<Hub>, vitals: &Arc<Vitals>) -> Self {
        let generation = vitals.generation.load(Ordering::Relaxed);
        Self { hub: Arc::clone(hub), vitals: Arc::clone(vitals), generation }
    }

    /// Goes on once the process does; never if it is gone.
    async fn pass(&self) {
        loop {
            if self.vitals.generation.load(Ordering::Relaxed) != self.generation {
                std::future::pending::<()>().await;
            }
            let left = self.vitals.frozen_until.load(Ordering::Relaxed) - self.hub.now().0;
            if left <= 0 {
                return;
            }
            tokio::time::sleep(Duration::from_millis(left.unsigned_abs())).await;
        }
    }

    /// Something may strike here, at a commit of `run`. Whether it is a commit that fails.
    async fn boundary(&self, place: impl Fn() -> String, run: Option<RunId>) -> bool {
        self.pass().await;
        let number = self.vitals.boundaries.fetch_add(1, Ordering::Relaxed);
        let mut blows = lock(&self.vitals.blows).remove(&number).unwrap_or_default();
        blows.extend(self.hub.struck_at(&place));
        if blows.is_empty() {
            return false;
        }
        if let Some(workflow) = run.and_then(|run| self.hub.workflow_of(run)) {
            self.hub.count(|| format!("struck/{workflow}"));
        }
        let mut commit = false;
        for blow in blows {
            self.hub.note(|| format!("process {} {blow:?} {}", self.vitals.number, place()));
            match blow {
                Blow::Crash { down } => {
                    self.hub.count(|| format!("blow/crash {}", place()));
                    self.vitals.end_life();
                    let _ = self.vitals.gone.send(Turn::Gone(self.vitals.number, down));
                }
                Blow::Freeze { millis } => {
                    self.hub.count(|| format!("blow/freeze {}", place()));
                    let until = self.hub.now().plus(Duration::from_millis(millis));
                    self.vitals.frozen_until.store(until.0, Ordering::Relaxed);
                }
                Blow::Commit => {
                    self.hub.count(|| format!("blow/commit {}", place()));
                    commit = true;
                }
            }
        }
        self.pass().await;
        commit
    }
}

impl Watch for Life {
    async fn before(&self, verb: Verb) -> Result<(), Error> {
        let struck = self.boundary(|| format!("before {}", verb.name), verb.run()).await;
        if struck || self.hub.is_full() {
            if !struck {
                self.hub.count(|| format!("blow/full before {}", verb.name));
            }
            return Err(Error::Full("the disk is full".to_owned()));
        }
        Ok(())
    }

    async fn after(&self, verb: Verb, refused: Option<&Error>) -> Result<(), Error> {
        if refused.is_none() {
            self.hub.note(|| format!("process {} {}", self.vitals.number, verb.describe()));
            self.hub.committed(verb.name, verb.lease);
            if verb.wakes {
                self.hub.wake();
            }
        }
        if self.boundary(|| format!("after {}", verb.name), verb.run()).await {
            return Err(Error::CommitUnknown("the disk did not answer".to_owned()));
        }
        Ok(())
    }

    async fn reading(&self) {
        self.pass().await;
    }

    fn claimed(&self, claimed: &Claimed) {
        self.hub.claimed(claimed);
    }

    fn changes(&self) -> Option<watch::Receiver<u64>> {
        Some(self.hub.subscribe())
    }
}

/// The way from a process to the providers. What has left arrives, whatever becomes of the process.
pub(super) struct Wire {
    life: Life,
    sandbox: InProcess,
    latency: Entropy,
    /// How many calls may be under way at once.
    most: usize,
    under_way: Arc<()>,
}

impl Wire {
    pub(super) fn new(life: Life, sandbox: InProcess, latency: Entropy, most: usize) -> Self {
        Self { life, sandbox, latency, most, under_way: Arc::default() }
    }
}

#[async_trait]
impl Transport for Wire {
    async fn send(&self, request: Request) -> Result<Response, transport::Error> {
        let (method, path, after) = (request.method.clone(), request.url.path().to_owned(), request.timeout);
        self.life.boundary(|| format!("before {method} {}", place(&path)), None).await;
        let under_way = Arc::clone(&self.under_way);
        if Arc::strong_count(&under_way) > self.most + 1 {
            self.life.hub.breaks("I13", format!("more than {} calls of one process at once", self.most));
        }
        let (out, back) = (self.latency.below(300), self.latency.below(300));
        let (hub, sandbox) = (Arc::clone(&self.life.hub), self.sandbox.clone());
        let exchange = tokio::spawn(async move {
            tokio::time::sleep(Duration::from_millis(out)).await;
            let answer = sandbox.send(Request { timeout: UNDER_WAY, ..request }).await;
            hub.look().await;
            tokio::time::sleep(Duration::from_millis(back)).await;
            answer
        });
        let outcome = match tokio::time::timeout(after, exchange).await {
            Ok(Ok(outcome)) => outcome,
            Ok(Err(lost)) => Err(transport::Error::Reset(lost.to_string())),
            Err(_) => Err(transport::Error::TimedOut { after, sent: true }),
        };
        self.life.hub.note(|| {
            let came = outcome.as_ref().map_or_else(ToString::to_string, |answer| answer.status.as_u16().to_string());
            format!("process {} {method} {path}: {came}", self.life.vitals.number)
        });
        drop(under_way);
        self.life.boundary(|| format!("after {method} {}", place(&path)), None).await;
        outcome
    }
}

/// A path without its ids.
fn place(path: &str) -> String {
    let part =
        |part: &str| if part.bytes().any(|byte| byte.is_ascii_digit() || byte == b'_') { "…" } else { part }.to_owned();
    path.split('/').map(part).collect::<Vec<_>>().join("/")
}

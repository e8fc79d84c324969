//! A deployment on virtual time: real routes, a real database file, real workflows, the sandbox as the providers.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use discuno::app::{App, Parts};
use discuno::clock::Clock;
use discuno::config::{Config, SANDBOX_STRIPE_SECRET, Secret};
use discuno::entropy::Entropy;
use discuno::model::payment::Payment;
use discuno::sandbox::Sandbox;
use discuno::sandbox::ledger::Ledger;
use discuno::signature::sign_stripe;
use discuno::store::sqlite::Mode;
use discuno::store::{Story, Subject};
use discuno::transport::in_process::InProcess;
use discuno::transport::{Error, Request, Response, Transport};
use discuno::web;
use http::{HeaderMap, Method};
use serde_json::Value;
use tokio::sync::Notify;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use crate::support::event::NOW;
use crate::support::{Event, money, scratch};

/// Longer than the time after which a late booking is first looked for.
const AFTERMATH: Duration = Duration::from_secs(10 * 60);

pub(crate) struct World {
    pub(crate) app: App,
    pub(crate) sandbox: Sandbox,
    worker: Option<JoinHandle<()>>,
    _dir: tempfile::TempDir,
}

impl World {
    /// A world in which nobody works yet.
    pub(crate) fn idle() -> Self {
        let dir = scratch();
        let clock = Clock::starting_at(NOW);
        let base = "http://sandbox.test".parse().unwrap();
        let config = Config::sandbox(&base, PathBuf::from(dir.path()).join("d.db"), "127.0.0.1:0".parse().unwrap());
        let parts = Parts { clock: clock.clone(), entropy: Entropy::seeded(7), store: Mode::Inline };
        let app = App::open(config.unwrap(), parts).unwrap();
        let sandbox = Sandbox::new(clock, Entropy::seeded(8));
        Self { app, sandbox, worker: None, _dir: dir }
    }

    /// A world with a worker.
    pub(crate) fn new() -> Self {
        let mut world = Self::idle();
        let transport = world.providers();
        world.work_over(transport);
        world
    }

    /// The way to the sandbox.
    pub(crate) fn providers(&self) -> Arc<dyn Transport> {
        Arc::new(InProcess::new(self.sandbox.router()))
    }

    /// Starts a worker; one that was there before is gone without a word, as by kill -9.
    pub(crate) fn work_over(&mut self, transport: Arc<dyn Transport>) {
        self.kill_worker();
        let worker = self.app.worker_over(&transport).unwrap();
        self.worker = Some(tokio::spawn(worker.run(CancellationToken::new())));
    }

    pub(crate) fn kill_worker(&mut self) {
        if let Some(worker) = self.worker.take() {
            worker.abort();
        }
    }

    /// Sends an event as Stripe would, and lets the sandbox know that it happened.
    pub(crate) async fn send(&self, event: &Event) -> (u16, Value) {
        self.sandbox.observe(&event.body());
        let signature = sign_stripe(&event.body(), &Secret::new(SANDBOX_STRIPE_SECRET), self.app.clock.now());
        self.post(&event.body(), Some(&signature)).await
    }

    pub(crate) async fn post(&self, body: &[u8], signature: Option<&str>) -> (u16, Value) {
        let mut headers = HeaderMap::new();
        if let Some(signature) = signature {
            headers.insert("stripe-signature", signature.parse().unwrap());
        }
        let request = Request {
            method: Method::POST,
            url: "http://discuno.test/webhooks/stripe".parse().unwrap(),
            headers,
            body: bytes::Bytes::copy_from_slice(body),
            timeout: Duration::from_secs(30),
        };
        let answer = InProcess::new(web::router(self.app.web())).send(request).await.unwrap();
        (answer.status.as_u16(), serde_json::from_slice(&answer.body).unwrap_or(Value::Null))
    }

    /// Lets time pass until every run has come to its end, and the first look after a refund is over.
    pub(crate) async fn settle(&self) {
        for _ in 0..20_000 {
            if !self.is_busy().await {
                tokio::time::sleep(AFTERMATH).await;
                if !self.is_busy().await {
                    return;
                }
            }
            let due = self.app.store.next_due().await.unwrap();
            let wait = due.map_or(Duration::ZERO, |due| due.since(self.app.clock.now()));
            tokio::time::sleep(wait.min(AFTERMATH) + Duration::from_millis(20)).await;
        }
        panic!("the runs never come to their end");
    }

    /// Whether a run has not ended, other than those that look for late bookings for two days.
    async fn is_busy(&self) -> bool {
        for payment in self.payments().await {
            let story = self.app.store.story(Subject::Payment(payment.id)).await.unwrap();
            if story.runs.iter().any(|(run, _)| !run.state.is_terminal() && run.workflow != "settle-check") {
                return true;
            }
        }
        false
    }

    pub(crate) fn ledger(&self) -> Ledger {
        self.sandbox.ledger()
    }

    pub(crate) async fn payments(&self) -> Vec<Payment> {
        self.app.store.payments(100).await.unwrap()
    }

    pub(crate) async fn payment(&self) -> Payment {
        let mut payments = self.payments().await;
        assert_eq!(payments.len(), 1, "one payment");
        payments.remove(0)
    }

    pub(crate) async fn story(&self) -> Story {
        self.app.store.story(Subject::Payment(self.payment().await.id)).await.unwrap()
    }

    /// The steps of the checkout run, in the order in which they ended.
    pub(crate) async fn steps(&self) -> Vec<String> {
        let story = self.story().await;
        let (_, attempts) =
            story.runs.iter().find(|(run, _)| run.workflow == "process-checkout-side-effects").expect("a checkout run");
        attempts.iter().filter(|attempt| attempt.ending.is_final()).map(|attempt| attempt.step.clone()).collect()
    }

    /// The rules for money, held against the ledgers of the providers.
    pub(crate) async fn assert_money_is_right(&self, context: &str) {
        let theirs = self.ledger();
        money::assert_right(&self.app.store, &theirs, context).await;
        let mut keys: Vec<_> = theirs.posthog.events.iter().map(|event| event.uuid.clone()).collect();
        keys.dedup();
        assert!(keys.len() <= 1, "{context}: one capture, {keys:?}");
    }
}

/// When the wire is met.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Trip {
    /// Before the request leaves.
    Before,
    /// After it took effect, before the answer is seen.
    After,
}

/// A transport at whose n-th call the world stops; the call never returns.
pub(crate) struct Tripwire {
    inner: Arc<dyn Transport>,
    left: AtomicI64,
    trip: Trip,
    pub(crate) met: Notify,
}

impl Tripwire {
    pub(crate) fn new(inner: Arc<dyn Transport>, call: i64, trip: Trip) -> Arc<Self> {
        Arc::new(Self { inner, left: AtomicI64::new(call), trip, met: Notify::new() })
    }
}

#[async_trait]
impl Transport for Tripwire {
    async fn send(&self, request: Request) -> Result<Response, Error> {
        if self.left.fetch_sub(1, Ordering::SeqCst) != 0 {
            return self.inner.send(request).await;
        }
        if self.trip == Trip::After {
            let _ = self.inner.send(request).await;
        }
        self.met.notify_one();
        std::future::pending().await
    }
}

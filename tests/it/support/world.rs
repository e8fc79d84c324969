//! A deployment on virtual time: real routes, a real database, real workflows, the sandbox as the providers.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use discuno::app::{App, Parts};
use discuno::clock::Clock;
use discuno::config::{Config, SANDBOX_CAL_SECRET, SANDBOX_CONNECT_SECRET, SANDBOX_STRIPE_SECRET, Secret};
use discuno::entropy::Entropy;
use discuno::model::money::Money;
use discuno::model::payment::Payment;
use discuno::model::time::Timestamp;
use discuno::sandbox::Sandbox;
use discuno::sandbox::ledger::Ledger;
use discuno::signature::{sign_cal, sign_stripe};
use discuno::store::error::Error as StoreError;
use discuno::store::filter::Filter;
use discuno::store::order::{Deed, Order, Performed, RefundOrder};
use discuno::store::sqlite::Mode;
use discuno::store::{Story, Subject};
use discuno::transport::in_process::InProcess;
use discuno::transport::{Error, Request, Response, Transport};
use discuno::web;
use discuno::workflow::{WAIT_FOR_DAYS, transfer};
use http::{HeaderMap, Method};
use serde_json::Value;
use tokio::sync::Notify;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use crate::support::books::Books;
use crate::support::cluster::{Lent, elsewhere};
use crate::support::event::NOW;
use crate::support::{CalEvent, Event, is_busy, money, newest, scratch};

/// Longer than the time after which a late booking is first looked for.
const AFTERMATH: Duration = Duration::from_secs(10 * 60);

/// Nothing happens before the next run is due but what is called and has not answered.
const LONGEST_LOOK: Duration = Duration::from_secs(3600);

pub(crate) struct World {
    pub(crate) app: App,
    pub(crate) sandbox: Sandbox,
    worker: Option<JoinHandle<()>>,
    waits_on_purpose: Vec<&'static str>,
    _dir: tempfile::TempDir,
    lent: Option<Lent>,
}

impl Drop for World {
    /// Nobody works in a world that is gone.
    fn drop(&mut self) {
        self.kill_worker();
    }
}

impl World {
    /// A world in which nobody works yet.
    pub(crate) fn idle() -> Self {
        Self::idle_with(|_| {})
    }

    /// The same, with other settings.
    pub(crate) fn idle_with(adjust: impl FnOnce(&mut Config)) -> Self {
        Self::starting_at(NOW, adjust)
    }

    /// The same, at another time.
    pub(crate) fn starting_at(start: Timestamp, adjust: impl FnOnce(&mut Config)) -> Self {
        let dir = scratch();
        let clock = Clock::starting_at(start);
        let base = "http://sandbox.test".parse().unwrap();
        let config = Config::sandbox(&base, PathBuf::from(dir.path()).join("d.db"), "127.0.0.1:0".parse().unwrap());
        let mut config = config.unwrap();
        let lent = elsewhere();
        config.server = lent.as_ref().map(|database| database.address().parse().unwrap());
        adjust(&mut config);
        let parts = Parts { clock: clock.clone(), entropy: Entropy::seeded(7), store: Mode::Inline };
        let app = App::open(config, parts).unwrap();
        let sandbox = Sandbox::new(clock, Entropy::seeded(8));
        Self { app, sandbox, worker: None, waits_on_purpose: WAIT_FOR_DAYS.to_vec(), _dir: dir, lent }
    }

    /// A world with a worker.
    pub(crate) fn new() -> Self {
        Self::with(|_| {})
    }

    /// The same, with other settings.
    pub(crate) fn with(adjust: impl FnOnce(&mut Config)) -> Self {
        let mut world = Self::idle_with(adjust);
        let transport = world.providers();
        world.work_over(transport);
        world
    }

    /// Its tables, as they are stored.
    pub(crate) fn books(&self) -> Books {
        Books::of(self.lent.as_ref(), &self.app.config.db)
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

    /// Sends an event as Cal.com would, and lets the sandbox know that it happened.
    pub(crate) async fn send_cal(&self, event: &CalEvent) -> (u16, Value) {
        let body = event.body();
        self.sandbox.observe(&body);
        let signature = sign_cal(&body, &Secret::new(SANDBOX_CAL_SECRET));
        self.post_to("webhooks/cal", &body, &[("x-cal-signature-256", &signature)]).await
    }

    /// Sends an event of a connected account as Stripe would.
    pub(crate) async fn send_connect(&self, event: &Event) -> (u16, Value) {
        self.sandbox.observe(&event.body());
        let signature = sign_stripe(&event.body(), &Secret::new(SANDBOX_CONNECT_SECRET), self.app.clock.now());
        self.post_to("webhooks/stripe-connect", &event.body(), &[("stripe-signature", &signature)]).await
    }

    pub(crate) async fn post(&self, body: &[u8], signature: Option<&str>) -> (u16, Value) {
        let headers: Vec<_> = signature.iter().map(|signature| ("stripe-signature", *signature)).collect();
        self.post_to("webhooks/stripe", body, &headers).await
    }

    pub(crate) async fn post_to(&self, path: &str, body: &[u8], with: &[(&'static str, &str)]) -> (u16, Value) {
        let mut headers = HeaderMap::new();
        for (name, value) in with {
            headers.insert(*name, http::HeaderValue::from_bytes(value.as_bytes()).unwrap());
        }
        let request = Request {
            method: Method::POST,
            url: format!("http://discuno.test/{path}").parse().unwrap(),
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
            tokio::time::sleep(wait.min(LONGEST_LOOK) + Duration::from_millis(20)).await;
        }
        panic!("the runs never come to their end");
    }

    /// Whether a run has not ended, other than those that wait for days on purpose.
    async fn is_busy(&self) -> bool {
        is_busy(&self.app.store, &self.waits_on_purpose).await
    }

    /// Lets time pass.
    pub(crate) async fn pass(&self, span: Duration) {
        tokio::time::sleep(span).await;
        self.settle().await;
    }

    /// Lets time pass until the mentor's share has moved, or it is certain that it does not.
    pub(crate) async fn settle_share(&mut self) {
        self.waits_on_purpose.retain(|workflow| *workflow != transfer::NAME);
        self.settle().await;
        self.waits_on_purpose = WAIT_FOR_DAYS.to_vec();
    }

    /// Has the whole payment refunded and its session called off, as an operator.
    pub(crate) async fn order_refund(&self) -> Performed {
        self.order_part(None, true).await.unwrap()
    }

    /// Has so much of the payment refunded, in minor units, or all that is left of it, as an operator.
    pub(crate) async fn order_part(&self, minor: Option<i64>, cancel_booking: bool) -> Result<Performed, StoreError> {
        let payment = self.payment().await;
        let amount = minor.map(|minor| Money::new(minor, payment.amount.currency));
        let order = RefundOrder { payment: payment.id, amount, another: false, seen: None, cancel_booking };
        self.operate(Deed::Refund(order)).await
    }

    pub(crate) async fn operate(&self, deed: Deed) -> Result<Performed, StoreError> {
        let order = Order { actor: "mia".to_owned(), reason: Some("asked for".to_owned()), deed };
        self.app.store.operate(order, self.app.clock.now()).await
    }

    /// The runs of a workflow on the payment.
    pub(crate) async fn runs_of(&self, workflow: &str) -> Vec<discuno::model::run::Run> {
        let runs = self.story().await.runs.into_iter().map(|(run, _)| run);
        runs.filter(|run| run.workflow == workflow).collect()
    }

    /// Every run of a workflow, on whatever.
    pub(crate) async fn run_ids(&self, workflow: &str) -> Vec<discuno::model::id::RunId> {
        let filter = Filter { workflow: Some(workflow.to_owned()), ..Filter::newest(1000) };
        let lines = self.app.store.runs(filter).await.unwrap();
        lines.into_iter().rev().map(|line| line.run.id).collect()
    }

    /// The names of what was counted, in order.
    pub(crate) fn counted(&self) -> Vec<String> {
        self.ledger().posthog.events.into_iter().map(|event| event.event).collect()
    }

    pub(crate) fn ledger(&self) -> Ledger {
        self.sandbox.ledger()
    }

    pub(crate) async fn payments(&self) -> Vec<Payment> {
        newest(&self.app.store, 100).await
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
        let what = |event: &discuno::sandbox::ledger::Capture| {
            let about = |key: &str| event.properties[key].to_string();
            (event.event.clone(), event.distinct_id.clone(), about("sessionId"), about("calcomUid"), about("day"))
        };
        let mut counted: Vec<_> = theirs.posthog.events.iter().map(what).collect();
        let all = counted.len();
        counted.sort();
        counted.dedup();
        assert_eq!(counted.len(), all, "{context}: something was counted twice");
    }

    /// No run has found that what it does now is not what is recorded of it.
    pub(crate) async fn assert_repeatable(&self, context: &str) {
        let failed = Filter { status: vec!["failed".to_owned()], ..Filter::newest(money::ALL) };
        for line in self.app.store.runs(failed).await.unwrap() {
            let code = line.run.failure.as_ref().map(|failure| failure.code.as_str());
            assert_ne!(code, Some("nondeterminism"), "{context}: {:?}", line.run);
        }
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

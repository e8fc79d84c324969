//! The real binary in processes of its own, on a real file, against the sandbox on loopback.

use std::collections::BTreeMap;
use std::future::Future;
use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use discuno::app::{App, Parts};
use discuno::clock::Clock;
use discuno::config::{Config, SANDBOX_STRIPE_SECRET, Secret};
use discuno::entropy::Entropy;
use discuno::model::time::Timestamp;
use discuno::sandbox::Sandbox;
use discuno::signature::sign_stripe;
use discuno::store::Shared;
use discuno::web;
use discuno::workflow::WAIT_FOR_DAYS;
use rustix::process::{Pid, Signal, kill_process};
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::time::Instant;

use crate::support::books::Books;
use crate::support::cluster::{Lent, elsewhere};
use crate::support::http::{self, Answer};
use crate::support::{Event, is_busy, money, newest};

/// Far longer than anything here takes on a busy machine.
pub(crate) const PATIENCE: Duration = Duration::from_secs(30);
/// How often a condition is looked at.
const LOOK: Duration = Duration::from_millis(10);

/// Waits for a condition, and says which one never came true.
pub(crate) async fn until<F: Future<Output = bool>>(what: &str, patience: Duration, mut holds: impl FnMut() -> F) {
    let deadline = Instant::now() + patience;
    while !holds().await {
        assert!(Instant::now() < deadline, "not within {patience:?}: {what}");
        tokio::time::sleep(LOOK).await;
    }
}

/// A directory with a database, and the providers that its processes reach.
pub(crate) struct Deployment {
    pub(crate) sandbox: Sandbox,
    pub(crate) db: PathBuf,
    pub(crate) settings: BTreeMap<&'static str, String>,
    dir: tempfile::TempDir,
    lent: Option<Lent>,
}

impl Deployment {
    /// With leases and retries as short as they may be.
    pub(crate) async fn new() -> Self {
        Self::at("127.0.0.1").await
    }

    /// With the providers at an address of this machine's.
    pub(crate) async fn at(address: &str) -> Self {
        let sandbox = Sandbox::new(Clock::System, Entropy::from_os());
        let listener = TcpListener::bind((address, 0)).await.unwrap();
        let base = format!("http://{}", listener.local_addr().unwrap());
        tokio::spawn(web::serve(listener, sandbox.router(), std::future::pending()));
        let dir = tempfile::tempdir().unwrap();
        let db = dir.path().join("discuno.db");
        let lent = elsewhere();
        let address = lent.as_ref().map_or_else(|| db.display().to_string(), Lent::address);
        let settings = [
            ("STRIPE_SECRET_KEY", "sk_test_sandbox".to_owned()),
            ("STRIPE_WEBHOOK_SECRET", SANDBOX_STRIPE_SECRET.to_owned()),
            ("STRIPE_API_BASE", format!("{base}/stripe")),
            ("X_CAL_ID", "sandbox".to_owned()),
            ("X_CAL_SECRET_KEY", "sandbox".to_owned()),
            ("CALCOM_API_URL", format!("{base}/cal/v2")),
            ("POSTHOG_KEY", "phc_sandbox".to_owned()),
            ("POSTHOG_HOST", format!("{base}/posthog")),
            ("RESEND_API_KEY", "re_sandbox".to_owned()),
            ("RESEND_BASE_URL", format!("{base}/resend")),
            ("AUTH_EMAIL_FROM", "Discuno <no-reply@discuno.example>".to_owned()),
            ("ALERT_WEBHOOK_URL", format!("{base}/alerts")),
            ("DISCUNO_DB", address),
            ("DISCUNO_ACTOR", "mia".to_owned()),
            ("DISCUNO_LISTEN", "127.0.0.1:0".to_owned()),
            ("DISCUNO_LEASE", "1s".to_owned()),
            ("DISCUNO_RETRY_BASE", "50ms".to_owned()),
            ("DISCUNO_SETTLE_AFTER", "200ms".to_owned()),
            ("DISCUNO_ALERT_GROUP", "0s".to_owned()),
        ];
        Self { sandbox, db, settings: settings.into(), dir, lent }
    }

    /// Its tables, as they are stored.
    pub(crate) fn books(&self) -> Books {
        Books::of(self.lent.as_ref(), &self.db)
    }

    /// The binary with these arguments, the settings, and nothing else of the environment that the test runs in.
    pub(crate) fn command(&self, args: &[&str]) -> Command {
        self.command_under(&[], args)
    }

    /// The same, started by another program that ends by becoming it.
    pub(crate) fn command_under(&self, wrapper: &[&str], args: &[&str]) -> Command {
        let line = [wrapper, &[env!("CARGO_BIN_EXE_discuno")], args].concat();
        let mut command = Command::new(line[0]);
        command.args(&line[1..]).env_clear().env("PATH", std::env::var_os("PATH").unwrap_or_default());
        command.envs(&self.settings).current_dir(self.dir.path()).stdin(Stdio::null());
        command
    }

    /// What a command came to: its status, standard output and standard error.
    pub(crate) fn ran(&self, args: &[&str]) -> (Option<i32>, String, String) {
        let output = self.command(args).output().unwrap();
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        (output.status.code(), text(&output.stdout), text(&output.stderr))
    }

    /// Has these purchases made and carried to their end; nobody is at work afterwards.
    pub(crate) async fn play(&self, events: &[Event]) {
        let mut serve = self.serve(&["--worker"]).await;
        for event in events {
            let answer = self.pay(serve.address().unwrap(), event).await.unwrap();
            assert_eq!(answer.status, 200);
        }
        self.settled().await;
        serve.kill();
    }

    /// A `serve`, once it listens.
    pub(crate) async fn serve(&self, args: &[&str]) -> Process {
        let process = Process::start(self.command(&[&["serve"], args].concat()));
        process.ready().await;
        process
    }

    /// A `worker`, once it looks for work.
    pub(crate) async fn worker(&self) -> Process {
        let process = Process::start(self.command(&["worker"]));
        process.ready().await;
        process
    }

    /// The store, opened by the test as one more process would.
    pub(crate) fn store(&self) -> Shared {
        let nothing = BTreeMap::new();
        let config = Config::load(&nothing, &|name| self.settings.get(name).cloned(), &nothing).unwrap();
        App::open(config, Parts::system()).unwrap().store
    }

    /// Waits until no run is left but those that look for late bookings for two days.
    pub(crate) async fn settled(&self) {
        let store = self.store();
        until("every run has ended", PATIENCE, async || !is_busy(&store, &WAIT_FOR_DAYS).await).await;
    }

    /// Has what waits for its next try tried at once, until the same is so.
    pub(crate) async fn settled_in_a_hurry(&self, patience: Duration) {
        let books = self.books();
        let deadline = Instant::now() + patience;
        let underway = format!("due_at IS NOT NULL AND workflow NOT IN ('{}')", WAIT_FOR_DAYS.join("', '"));
        let count = format!("SELECT count(*) FROM runs WHERE {underway}");
        while books.count(&count) > 0 {
            if Instant::now() >= deadline {
                let left = "SELECT count(*) || ' ' || workflow || ' ' || state || ' due ' || min(due_at) FROM runs";
                let left = books.rows(&format!("{left} WHERE {underway} GROUP BY workflow, state"));
                panic!("not within {patience:?}: every run has ended. At {}: {left:?}", Clock::System.now().0);
            }
            let now = Clock::System.now().0;
            let waiting = format!("{underway} AND state = 'queued' AND due_at > {now} + 1000");
            books.run(&format!("UPDATE runs SET due_at = {now} WHERE {waiting}")).unwrap();
            tokio::time::sleep(Duration::from_secs(1)).await;
        }
    }

    /// What must hold of every payment, and of the file.
    pub(crate) async fn assert_all_is_right(&self, acknowledged: &[String], context: &str) {
        let (store, theirs) = (self.store(), self.sandbox.ledger());
        let known: Vec<String> =
            newest(&store, money::ALL).await.into_iter().map(|payment| payment.session_id).collect();
        for session in acknowledged {
            assert!(known.contains(session), "{context}: {session} was acknowledged and is lost");
        }
        money::assert_right(&store, &theirs, context).await;
        for payment in &theirs.stripe.payment_intents {
            let ours = |key: Option<&String>| key.is_some_and(|key| *key == payment.id);
            let booked = theirs.cal.bookings.iter().filter(|booking| ours(booking.metadata.get("paymentId")));
            let booked: Vec<bool> = booked.map(|booking| booking.status == "accepted").collect();
            let refunds = theirs.stripe.refunds.iter().filter(|refund| ours(Some(&refund.payment_intent))).count();
            // One that was made after all, by a request thought lost, is called off.
            let once = booked.len() <= 1 && refunds <= 1 && !(booked.contains(&true) && refunds > 0);
            assert!(once, "{context}: {}: bookings that stand or not {booked:?}, {refunds} refunds", payment.id);
        }
        if self.settings["DISCUNO_DB"].starts_with("postgres") {
            return;
        }
        let conn = rusqlite::Connection::open(&self.db).unwrap();
        let verdict: String = conn.query_row("PRAGMA integrity_check", [], |row| row.get(0)).unwrap();
        assert_eq!(verdict, "ok", "{context}");
    }

    /// Pays at Stripe, and hands its event to a process. Whatever goes wrong on the way is no answer.
    pub(crate) async fn pay(&self, to: SocketAddr, event: &Event) -> Option<Answer> {
        let body = event.body();
        self.sandbox.observe(&body);
        tokio::task::spawn_blocking(move || {
            http::post(to, "/webhooks/stripe", &[("stripe-signature", &signature(&body))], &body).ok()
        })
        .await
        .unwrap()
    }
}

pub(crate) fn signature(body: &[u8]) -> String {
    sign_stripe(body, &Secret::new(SANDBOX_STRIPE_SECRET), Clock::System.now())
}

/// The n-th mentee's checkout: a session in a week, with a mentor of its own.
pub(crate) fn checkout(number: usize, tags: &str) -> Event {
    let now = Clock::System.now();
    let start = Timestamp::from_secs(now.plus(Duration::from_secs(7 * 24 * 3600)).as_secs());
    Event::paid(&format!("mentee{number}{tags}@example.edu"))
        .id(&format!("evt_process_{number}"))
        .top("created", json!(now.as_secs()))
        .session("id", json!(session(number)))
        .session("payment_intent", json!(format!("pi_process_{number}")))
        .metadata("eventTypeId", json!((456_000 + number).to_string()))
        .metadata("startTime", json!(start.to_string()))
}

pub(crate) fn session(number: usize) -> String {
    format!("cs_test_process_{number}")
}

/// A running process and what it has logged. It is killed when dropped.
pub(crate) struct Process {
    child: Child,
    log: Arc<Mutex<Vec<Value>>>,
}

impl Process {
    pub(crate) fn start(mut command: Command) -> Self {
        let mut child = command.stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
        let log = Arc::new(Mutex::new(Vec::new()));
        let (lines, sink) = (BufReader::new(child.stderr.take().unwrap()).lines(), Arc::clone(&log));
        // Ends with the pipe, that is with the process.
        std::thread::spawn(move || {
            for line in lines.map_while(Result::ok) {
                let line = serde_json::from_str(&line).unwrap_or_else(|_| json!({ "event": "not_json", "text": line }));
                sink.lock().unwrap().push(line);
            }
        });
        Self { child, log }
    }

    /// The lines of the log with this event, so far.
    pub(crate) fn logged(&self, event: &str) -> Vec<Value> {
        self.log.lock().unwrap().iter().filter(|line| line["event"] == event).cloned().collect()
    }

    /// All of it, as text.
    pub(crate) fn everything_logged(&self) -> String {
        let log = self.log.lock().unwrap();
        log.iter().map(Value::to_string).collect::<Vec<_>>().join("\n")
    }

    pub(crate) async fn until_logged(&self, event: &str) {
        let deadline = Instant::now() + PATIENCE;
        while self.logged(event).is_empty() {
            assert!(Instant::now() < deadline, "{event} is not in the log: {:#?}", self.log.lock().unwrap());
            tokio::time::sleep(LOOK).await;
        }
    }

    pub(crate) async fn ready(&self) {
        let is_ready = || !self.logged("serving").is_empty() || !self.logged("worker_started").is_empty();
        until("the process is ready", PATIENCE, || std::future::ready(is_ready())).await;
    }

    /// Where a `serve` listens; none until it does.
    pub(crate) fn address(&self) -> Option<SocketAddr> {
        self.logged("serving").first()?["listen"].as_str()?.parse().ok()
    }

    pub(crate) fn pid(&self) -> Pid {
        Pid::from_child(&self.child)
    }

    pub(crate) fn signal(&self, signal: Signal) {
        kill_process(self.pid(), signal).unwrap();
    }

    /// As by kill -9; returns once the process is gone.
    pub(crate) fn kill(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }

    pub(crate) async fn exits_within(&mut self, patience: Duration) -> ExitStatus {
        let deadline = Instant::now() + patience;
        loop {
            if let Some(status) = self.child.try_wait().unwrap() {
                return status;
            }
            assert!(Instant::now() < deadline, "still there after {patience:?}: {:#?}", self.log.lock().unwrap());
            tokio::time::sleep(LOOK).await;
        }
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.kill();
    }
}

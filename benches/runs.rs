//! Completed checkouts a second, with the providers in process and over loopback HTTP, and how long after the
//! acknowledgement a checkout is done when nothing else is to be done.
//!
//! `cargo bench --bench runs`

#![allow(clippy::cast_precision_loss, reason = "figures for people")]

mod load;

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use discuno::app::{App, Parts};
use discuno::clock::Clock;
use discuno::config::Config;
use discuno::entropy::Entropy;
use discuno::model::time::Timestamp;
use discuno::sandbox::Sandbox;
use discuno::store::Subject;
use discuno::store::filter::Filter;
use discuno::transport::Transport;
use discuno::transport::http::Http;
use discuno::transport::in_process::InProcess;
use discuno::web;
use tabled::builder::Builder;
use tabled::settings::Style;
use tokio::net::TcpListener;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tower::ServiceExt;

const CHECKOUTS: usize = 10_000;
const IDLE_ROUNDS: usize = 500;
/// A checkout is three runs: itself, and one for each of its two e-mails. Together they make four calls.
const RUNS: usize = 3;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build();
    runtime.expect("a runtime").block_on(measure());
}

async fn measure() {
    let mut table = Builder::default();
    table.push_record(["providers", "checkouts/s", "runs/s", "provider calls/s"]);
    for over_http in [false, true] {
        let dir = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).expect("a directory");
        let per_second = drain(dir.path(), over_http).await;
        table.push_record([
            if over_http { "over loopback HTTP" } else { "in process" }.to_owned(),
            format!("{per_second:.0}"),
            format!("{:.0}", per_second * RUNS as f64),
            format!("{:.0}", per_second * 4.0),
        ]);
    }
    println!("{}", table.build().with(Style::rounded()));
    let dir = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).expect("a directory");
    let took = idle(dir.path()).await;
    let at = |percent: usize| took[took.len() * percent / 100].as_secs_f64() * 1000.0;
    println!("acknowledged to done, idle: p50 {:.2} ms, p99 {:.2} ms", at(50), at(99));
}

/// A deployment, its sandbox and the way between them.
async fn deployment(dir: &Path, over_http: bool) -> (App, Arc<dyn Transport>) {
    let sandbox = Sandbox::new(Clock::System, Entropy::from_os());
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let base = format!("http://{}", listener.local_addr().expect("an address")).parse().expect("an address");
    let config = Config::sandbox(&base, dir.join("bench.db"), "127.0.0.1:0".parse().expect("an address"));
    let app = App::open(config.expect("a configuration"), Parts::system()).expect("a store");
    let transport: Arc<dyn Transport> = if over_http {
        tokio::spawn(web::serve(listener, sandbox.router(), std::future::pending()));
        Arc::new(Http::new().expect("a client"))
    } else {
        Arc::new(InProcess::new(sandbox.router()))
    };
    (app, transport)
}

/// Hands a signed request to the routes.
async fn take(router: &axum::Router, request: &[u8]) {
    let head = String::from_utf8_lossy(&request[..request.len() - load::body(request).len()]);
    let signature = head.lines().find_map(|line| line.strip_prefix("stripe-signature: ")).expect("a signature");
    let request = http::Request::post("/webhooks/stripe")
        .header("stripe-signature", signature)
        .body(Body::from(load::body(request).to_vec()))
        .expect("a request");
    let answer = router.clone().oneshot(request).await.expect("an answer");
    assert!(answer.status().is_success());
}

/// A mentor's share waits for days: that is not counted.
fn nothing_soon(due: Option<Timestamp>) -> bool {
    due.is_none_or(|due| due > Clock::System.now().plus(Duration::from_secs(3600)))
}

/// Checkouts a second, from a full queue to an empty one.
async fn drain(dir: &Path, over_http: bool) -> f64 {
    let (app, transport) = deployment(dir, over_http).await;
    let router = web::router(app.web());
    let mut waiting = tokio::task::JoinSet::new();
    for request in load::checkouts(0, CHECKOUTS) {
        let router = router.clone();
        waiting.spawn(async move { take(&router, &request).await });
    }
    waiting.join_all().await;

    let stop = CancellationToken::new();
    let start = Instant::now();
    let worker = tokio::spawn(app.worker_over(&transport).expect("a worker").run(stop.clone()));
    loop {
        tokio::time::sleep(Duration::from_millis(20)).await;
        if nothing_soon(app.store.next_due().await.expect("the store")) {
            break;
        }
    }
    let took = start.elapsed();
    assert_eq!(app.store.backlog(Clock::System.now()).await.expect("a backlog").failed, 0);
    stop.cancel();
    worker.await.expect("the worker");
    CHECKOUTS as f64 / took.as_secs_f64()
}

/// From each acknowledgement to the end of the checkout's run, one at a time, in process.
async fn idle(dir: &Path) -> Vec<Duration> {
    let (app, transport) = deployment(dir, false).await;
    let router = web::router(app.web());
    let stop = CancellationToken::new();
    let worker = tokio::spawn(app.worker_over(&transport).expect("a worker").run(stop.clone()));
    let (mut changes, mut all) = (app.store.changes(), Vec::new());
    for request in load::checkouts(0, IDLE_ROUNDS) {
        take(&router, &request).await;
        let acknowledged = Instant::now();
        let payment = app.store.payments(Filter::newest(1)).await.expect("payments")[0].payment.id;
        let mut took = None;
        loop {
            changes.mark_unchanged();
            let story = app.store.story(Subject::Payment(payment)).await.expect("a story");
            let done =
                |workflow: &str| story.runs.iter().any(|(run, _)| run.workflow == workflow && run.state.is_terminal());
            if took.is_none() && done("process-checkout-side-effects") {
                took = Some(acknowledged.elapsed());
            }
            if nothing_soon(story.runs.iter().filter_map(|(run, _)| run.due_at).min()) {
                break;
            }
            changes.changed().await.expect("the store");
        }
        all.push(took.expect("an end"));
    }
    stop.cancel();
    worker.await.expect("the worker");
    all.sort_unstable();
    all
}

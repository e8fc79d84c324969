//! How long a page of the dashboard takes on a million runs, drawn in process: each without conditions, and searched.
//!
//! `cargo bench --bench pages`

use std::path::Path;
use std::sync::Arc;

use axum::body::{Body, to_bytes};
use discuno::app::{App, Parts};
use discuno::clock::Clock;
use discuno::config::Config;
use discuno::entropy::Entropy;
use discuno::model::time::Timestamp;
use discuno::sandbox::Sandbox;
use discuno::store::sqlite::Mode;
use discuno::transport::Transport;
use discuno::transport::in_process::InProcess;
use discuno::web::admin;
use http::{Request, StatusCode};
use tabled::builder::Builder;
use tabled::settings::Style;
use tokio::time::Instant;
use tower::ServiceExt;

const SEED: &str = include_str!("pages/seed.sql");
/// When the seeded marketplace ends.
const NOW: Timestamp = Timestamp(1_793_872_800_000);
const ROUNDS: usize = 5;

const PAGES: [&str; 38] = [
    "/",
    "/alerts",
    "/payments",
    "/payments/pay_150000",
    "/payments?status=attention",
    "/payments?status=paid",
    "/payments?customer=buyer5%40",
    "/payments?customer=nobody",
    "/payments?error=nothing",
    "/payments?stuck=1",
    "/payments?since=1h",
    "/runs",
    "/runs/run_500000",
    "/runs?status=failed",
    "/runs?status=cancelled",
    "/runs?status=queued",
    "/runs?customer=nobody",
    "/runs?error=nothing",
    "/runs?step=nothing",
    "/runs?workflow=nothing",
    "/runs?stuck=1",
    "/runs?payment=pay_9",
    "/runs?before=run_500000",
    "/events",
    "/events/ev_500000",
    "/events?status=quarantined",
    "/events?type=nothing*",
    "/events?customer=nobody",
    "/events?error=nothing",
    "/events?stuck=1",
    "/refunds",
    "/refunds?customer=nobody",
    "/bookings",
    "/bookings?customer=nobody",
    "/bookings?stuck=1",
    "/cases",
    "/cases?status=any&customer=nobody",
    "/audit",
];

fn main() {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build();
    runtime.expect("a runtime").block_on(measure());
}

/// A dashboard on a database of some years; `PAGES_DB` names one that was seeded before.
fn dashboard(dir: &Path) -> axum::Router {
    let known = std::env::var_os("PAGES_DB");
    let db = known.as_ref().map_or_else(|| dir.join("pages.db"), Into::into);
    let base = "http://sandbox.test".parse().expect("an address");
    let config = Config::sandbox(&base, db.clone(), "127.0.0.1:0".parse().expect("an address"));
    let parts = Parts { clock: Clock::starting_at(NOW), entropy: Entropy::seeded(7), store: Mode::Threads };
    let app = App::open(config.expect("a configuration"), parts).expect("a store");
    if known.is_none() {
        let file = rusqlite::Connection::open(&db).expect("the file");
        file.execute_batch(SEED).expect("a marketplace");
        file.execute_batch("PRAGMA wal_checkpoint(TRUNCATE)").expect("a checkpoint");
    }
    let sandbox = Sandbox::new(Clock::starting_at(NOW), Entropy::seeded(8));
    let transport: Arc<dyn Transport> = Arc::new(InProcess::new(sandbox.router()));
    admin::router(app.admin_over(&transport))
}

async fn measure() {
    let dir = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).expect("a directory");
    let pages = dashboard(dir.path());
    let mut table = Builder::default();
    table.push_record(["page", "median", "slowest"]);
    for page in PAGES {
        let mut took = Vec::new();
        for _ in 0..ROUNDS {
            let request =
                Request::builder().uri(page).header("host", "localhost").body(Body::empty()).expect("a request");
            let began = Instant::now();
            let answer = pages.clone().oneshot(request).await.expect("an answer");
            let status = answer.status();
            let body = to_bytes(answer.into_body(), usize::MAX).await.expect("a page");
            took.push(began.elapsed());
            assert_eq!(status, StatusCode::OK, "{page}: {}", String::from_utf8_lossy(&body));
        }
        took.sort_unstable();
        let millis = |at: usize| format!("{:.1} ms", took[at].as_secs_f64() * 1000.0);
        table.push_record([page.to_owned(), millis(ROUNDS / 2), millis(ROUNDS - 1)]);
    }
    println!("{}", table.build().with(Style::rounded()));
}

//! What open tabs cost the intake, and how long a page takes, with a million runs in the store.
//!
//! `cargo bench --bench live`, or with other figures: `RUNS=100000 TABS=20 ROUNDS=5 cargo bench --bench live`

#![allow(clippy::cast_precision_loss, reason = "figures for people")]

mod load;

use std::path::Path;
use std::time::Duration;

use discuno::clock::Clock;
use discuno::store::sqlite::{Mode, Sqlite};
use rusqlite::{Connection, params};
use tabled::builder::Builder;
use tabled::settings::Style;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::task::JoinHandle;
use tokio::time::Instant;

use crate::load::{Server, checkouts};

const TOKEN: &str = "benchmark-0123456789";
/// Requests of one measure.
const REQUESTS: usize = 8_000;
const CONNECTIONS: usize = 16;
/// What is looked at.
const VIEWS: [&str; 5] =
    ["/", "/runs", "/runs?status=failed", "/runs?workflow=process-checkout-side-effects&since=1d", "/providers"];
/// Other pages whose time is told.
const PAGES: [&str; 3] = ["/runs?error=timeout", "/runs?status=failed&step=create-booking", "/runs/run_999"];

fn main() {
    let figure = |name: &str, usual: usize| std::env::var(name).map_or(usual, |text| text.parse().expect("a number"));
    let (runs, tabs, rounds) = (figure("RUNS", 1_000_000), figure("TABS", 20), figure("ROUNDS", 5));
    tokio::runtime::Runtime::new().expect("a runtime").block_on(measure(runs, tabs, rounds));
}

async fn measure(runs: usize, tabs: usize, rounds: usize) {
    let dir = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).expect("a directory");
    fill(&dir.path().join("bench.db"), runs);
    let env = [("DISCUNO_ADMIN_TOKEN", TOKEN)];
    let server = Server::discuno_with(dir.path(), &["serve"], load::free_port(), &env).await;
    let mut table = Builder::default();
    table.push_record(["page", "p50 ms", "slowest ms", "bytes"]);
    for page in VIEWS.into_iter().chain(PAGES) {
        let mut times = Vec::new();
        let mut size = 0;
        for _ in 0..20 {
            let asked = Instant::now();
            size = read(&server, page).await;
            times.push(asked.elapsed().as_secs_f64() * 1000.0);
        }
        times.sort_unstable_by(f64::total_cmp);
        table.push_record([page, &format!("{:.1}", times[10]), &format!("{:.1}", times[19]), &size.to_string()]);
    }
    println!("{}", table.build().with(Style::rounded()));

    let mut from = 0;
    let mut burst = async |server: &Server| {
        let measured = load::send(server, checkouts(from, REQUESTS), CONNECTIONS, None).await;
        from += REQUESTS;
        measured.per_second
    };
    burst(&server).await;
    let (mut alone, mut watched, mut again) = (Vec::new(), Vec::new(), Vec::new());
    for _ in 0..rounds {
        alone.push(burst(&server).await);
        let open: Vec<JoinHandle<()>> = (0..tabs).map(|tab| open(&server, VIEWS[tab % VIEWS.len()])).collect();
        tokio::time::sleep(Duration::from_secs(2)).await;
        watched.push(burst(&server).await);
        open.iter().for_each(JoinHandle::abort);
        tokio::time::sleep(Duration::from_secs(2)).await;
        again.push(burst(&server).await);
    }
    let mut table = Builder::default();
    table.push_record(["", "webhooks/s, median", "least", "most"]);
    for (what, rates) in [("no tab", &alone), ("tabs open", &watched), ("no tab again", &again)] {
        let (least, most) = (at(rates, 0), at(rates, rates.len() - 1));
        table.push_record([what, &format!("{:.0}", median(rates)), &format!("{least:.0}"), &format!("{most:.0}")]);
    }
    println!("{}", table.build().with(Style::rounded()));
    let loss = |of: &[f64]| 100.0 * (1.0 - median(of) / median(&alone));
    println!(
        "{tabs} tabs cost {:.1} % of the intake; two measures without any differ by {:.1} %",
        loss(&watched),
        loss(&again)
    );
}

fn at(rates: &[f64], place: usize) -> f64 {
    let mut sorted = rates.to_vec();
    sorted.sort_unstable_by(f64::total_cmp);
    sorted[place]
}

fn median(rates: &[f64]) -> f64 {
    at(rates, rates.len() / 2)
}

async fn ask(address: std::net::SocketAddr, path: &str) -> TcpStream {
    let mut stream = TcpStream::connect(address).await.expect("a connection");
    let request =
        format!("GET {path} HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\nauthorization: Bearer {TOKEN}\r\n\r\n");
    stream.write_all(request.as_bytes()).await.expect("a request");
    stream
}

/// Reads a page whole.
async fn read(server: &Server, path: &str) -> usize {
    let mut answer = Vec::new();
    ask(server.address, path).await.read_to_end(&mut answer).await.expect("an answer");
    assert!(answer.starts_with(b"HTTP/1.1 200"), "{path}: {}", String::from_utf8_lossy(&answer));
    answer.len()
}

/// Looks at a page until it is told to stop.
fn open(server: &Server, view: &str) -> JoinHandle<()> {
    let (address, view) = (server.address, url::form_urlencoded::byte_serialize(view.as_bytes()).collect::<String>());
    tokio::spawn(async move {
        let mut stream = ask(address, &format!("/live?view={view}")).await;
        let mut bytes = vec![0; 1 << 16];
        while stream.read(&mut bytes).await.is_ok_and(|read| read > 0) {}
    })
}

/// A month of runs, each with its event, its payment and a try; the newest events still have their bodies.
fn fill(path: &Path, runs: usize) {
    drop(Sqlite::open(path, Mode::Inline, "test").expect("a store"));
    let conn = Connection::open(path).expect("the database");
    let now = Clock::System.now().0;
    let step = 30 * 86_400_000 / i64::try_from(runs).expect("a number").max(1);
    let numbers = format!("WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < {runs})");
    let at = format!("(?1 - ({runs} - i) * ?2)");
    conn.execute_batch("BEGIN").expect("begin");
    for sql in [
        format!(
            "{numbers} INSERT INTO payments (id, session_id, payment_intent, status, amount, currency, livemode, created_at, updated_at) \
             SELECT i, 'cs_old' || i, 'pi_old' || i, 'booked', 5000, 'USD', 0, {at}, {at} FROM n"
        ),
        format!(
            "{numbers} INSERT INTO events (id, source, external_id, type, livemode, created_at, received_at, disposition, payment_id, \
             body_sha256, body, via) SELECT i, 'stripe', 'evt_old' || i, 'checkout.session.completed', 0, {at}, {at}, 'accepted', i, \
             zeroblob(32), CASE WHEN i > {runs} - 30000 THEN zeroblob(2500) END, 'webhook' FROM n"
        ),
        format!(
            "{numbers} INSERT INTO runs (id, workflow, key, state, payment_id, event_id, outcome, failure, created_at, finished_at) \
             SELECT i, 'process-checkout-side-effects', 'old', iif(i % 200, 'succeeded', 'failed'), i, i, iif(i % 200, 'booked', NULL), \
             iif(i % 200, NULL, '{{\"kind\":\"transient\",\"code\":\"timeout\",\"message\":\"no answer\"}}'), {at}, {at} + 900 FROM n"
        ),
        format!(
            "{numbers} INSERT INTO attempts (run_id, seq, step, number, started_at, ended_at, outcome, output) \
             SELECT i, 1, 'create-booking', 1, {at}, {at} + 800, 'done', 'null' FROM n"
        ),
    ] {
        conn.execute(&sql, params![now, step]).expect("rows");
    }
    conn.execute_batch("COMMIT").expect("commit");
}

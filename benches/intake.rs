//! Acknowledged webhooks a second, beside the two ceilings of the same machine in the same run: a bare axum handler, and
//! a bare loop of group commits.
//!
//! `cargo bench --bench intake`

#![allow(clippy::cast_precision_loss, reason = "figures for people")]

mod load;

use std::path::Path;
use std::time::Duration;

use axum::Router;
use axum::body::Bytes;
use axum::routing::{get, post};
use discuno::web;
use rusqlite::{Connection, params};
use tabled::builder::Builder;
use tabled::settings::Style;
use tokio::time::Instant;

use crate::load::{Server, checkouts};

const CONNECTIONS: [usize; 3] = [1, 16, 64];
/// Requests for each number of connections.
const REQUESTS: usize = 30_000;
const STUB: &str = "--stub";

fn main() {
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    let arguments: Vec<String> = std::env::args().collect();
    if let [_, role, address] = arguments.as_slice()
        && role == STUB
    {
        return runtime.block_on(stub(address));
    }
    runtime.block_on(measure());
}

/// A handler that reads the body and says yes.
async fn stub(address: &str) {
    let listener = tokio::net::TcpListener::bind(address).await.expect("a port");
    let router = Router::new()
        .route("/webhooks/stripe", post(async |body: Bytes| format!("{{\"received\":{}}}", body.len())))
        .route("/livez", get(async || "ok"));
    web::serve(listener, router, std::future::pending()).await;
}

async fn measure() {
    let dir = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).expect("a directory");
    let mut table = Builder::default();
    table.push_record(["", "connections", "webhooks/s", "p50 ms", "p99 ms", "server cpu µs"]);
    let mut from = 0;
    {
        let stub = Server::myself(STUB).await;
        for connections in CONNECTIONS {
            let measured = load::send(&stub, checkouts(from, REQUESTS), connections, None).await;
            row(&mut table, "bare axum handler", &connections.to_string(), &measured);
        }
    }
    let server = Server::discuno(dir.path(), &["serve"], load::free_port()).await;
    for connections in CONNECTIONS {
        let measured = load::send(&server, checkouts(from, REQUESTS), connections, None).await;
        from += REQUESTS;
        row(&mut table, "discuno serve", &connections.to_string(), &measured);
    }
    let measured = load::send(&server, checkouts(from, 10_000), 64, Some(2000)).await;
    row(&mut table, "discuno serve at 2,000/s", "64", &measured);
    drop(server);
    for group in [1, 64] {
        let rate = commits(dir.path(), group);
        table.push_record([&format!("bare commits of {group}"), "-", &format!("{rate:.0}"), "-", "-", "-"]);
    }
    println!("{}", table.build().with(Style::rounded()));
}

fn row(table: &mut Builder, what: &str, connections: &str, measured: &load::Measured) {
    let (p50, p99) = (measured.at(50), measured.at(99));
    let cells = [
        what.to_owned(),
        connections.to_owned(),
        format!("{:.0}", measured.per_second),
        format!("{p50:.2}"),
        format!("{p99:.2}"),
        format!("{:.0}", measured.processor_us),
    ];
    table.push_record(cells);
}

/// Rows of an event, a payment and a run, `group` of each to a commit, and nothing else.
fn commits(dir: &Path, group: usize) -> f64 {
    let conn = Connection::open(dir.join(format!("bare-{group}.db"))).expect("a database");
    conn.execute_batch("PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL; PRAGMA wal_autocheckpoint = 10000;")
        .expect("pragmas");
    conn.execute_batch(include_str!("../schema.sql")).expect("the schema");
    let bodies: Vec<Vec<u8>> = checkouts(0, group).iter().map(|request| load::body(request).to_vec()).collect();
    let (start, mut number) = (Instant::now(), 0_i64);
    while start.elapsed() < Duration::from_secs(5) {
        conn.execute_batch("BEGIN IMMEDIATE").expect("begin");
        for body in &bodies {
            number += 1;
            let mut event = conn
                .prepare_cached(
                    "INSERT INTO events (id, source, external_id, type, livemode, created_at, received_at, disposition, \
                     payment_id, body_sha256, body, via) VALUES (?1, 'stripe', ?2, 'checkout.session.completed', 0, 0, 0, \
                     'accepted', NULL, ?3, ?4, 'webhook')",
                )
                .expect("a statement");
            event.execute(params![number, format!("evt_1Bench{number:012}"), [0_u8; 32], body]).expect("an event");
            let mut payment = conn
                .prepare_cached(
                    "INSERT INTO payments (id, session_id, payment_intent, status, amount, currency, livemode, created_at, \
                     updated_at) VALUES (?1, ?2, ?3, 'paid', 5000, 'USD', 0, 0, 0)",
                )
                .expect("a statement");
            let (session, intent) = (format!("cs_test_a1Bench{number:040}"), format!("pi_3Bench{number:016}"));
            payment.execute(params![number, session, intent]).expect("a payment");
            let mut run = conn
                .prepare_cached(
                    "INSERT INTO runs (id, workflow, key, state, due_at, payment_id, event_id, created_at) \
                     VALUES (?1, 'process-checkout-side-effects', ?2, 'queued', 0, ?1, ?1, 0)",
                )
                .expect("a statement");
            run.execute(params![number, format!("pay_{number}")]).expect("a run");
        }
        conn.execute_batch("COMMIT").expect("commit");
    }
    number as f64 / start.elapsed().as_secs_f64()
}

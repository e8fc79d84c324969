//! Memory and processor time of `discuno serve --worker` at rest and under load, and how soon it answers.
//!
//! `cargo bench --bench footprint`

#![allow(clippy::cast_precision_loss, reason = "figures for people")]

mod load;

use std::time::Duration;

use discuno::clock::Clock;
use discuno::entropy::Entropy;
use discuno::sandbox::Sandbox;
use discuno::web;
use tokio::net::TcpListener;

use crate::load::Server;

const STARTS: usize = 20;
const REST: Duration = Duration::from_secs(10);
const REQUESTS: usize = 20_000;

fn main() {
    tokio::runtime::Runtime::new().expect("a runtime").block_on(measure());
}

async fn measure() {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let sandbox = listener.local_addr().expect("an address");
    let router = Sandbox::new(Clock::System, Entropy::from_os()).router();
    tokio::spawn(web::serve(listener, router, std::future::pending()));

    let dir = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).expect("a directory");
    let arguments = ["serve", "--worker"];
    let mut starts = Vec::new();
    for _ in 0..STARTS {
        starts.push(Server::discuno(dir.path(), &arguments, sandbox).await.ready_after);
    }
    starts.sort_unstable();
    println!("start to first answer: p50 {:?}, slowest {:?} of {STARTS}", starts[STARTS / 2], starts[STARTS - 1]);

    let server = Server::discuno(dir.path(), &arguments, sandbox).await;
    let worked = server.processor_time();
    tokio::time::sleep(REST).await;
    let share = server.processor_time().saturating_sub(worked).as_secs_f64() / REST.as_secs_f64() * 100.0;
    println!("at rest: {:.1} MiB, {share:.2} % of a core", mebibytes(&server));

    let measured = load::send(&server, load::checkouts(0, REQUESTS), 64, None).await;
    println!(
        "under load: {:.1} MiB after {REQUESTS} webhooks at {:.0}/s (p50 {:.1} ms, p99 {:.1} ms) and {:.0} µs of processor each",
        mebibytes(&server),
        measured.per_second,
        measured.at(50),
        measured.at(99),
        measured.processor_us,
    );
}

fn mebibytes(server: &Server) -> f64 {
    server.resident() as f64 / 1024.0 / 1024.0
}

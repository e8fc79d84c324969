//! Runs and webhooks on a PostgreSQL server, beside graphile-worker, pg-boss and DBOS with the same job on the same server:
//! two calls over loopback HTTP, one after the other, the second with the answer of the first.
//!
//! `cargo bench --bench postgres -- 3000 0 1000000`: jobs for each, then how many payments the database holds already. It needs
//! the server's binaries; the others are measured where `npm install` has been run in `benches/postgres`.

#![allow(clippy::cast_precision_loss, reason = "figures for people")]

mod load;

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::routing::post;
use discuno::app::{App, Parts};
use discuno::clock::Clock;
use discuno::config::Config;
use discuno::engine::ctx::Ctx;
use discuno::engine::policy::Policy;
use discuno::engine::registry::{Outcome, Registry, Workflow};
use discuno::engine::worker::Worker;
use discuno::entropy::Entropy;
use discuno::model::failure::Failure;
use discuno::model::time::Timestamp;
use discuno::sandbox::Sandbox;
use discuno::store::change::{NewRun, RunKey};
use discuno::transport::http::Http;
use discuno::transport::{Request, Transport};
use discuno::web;
use serde::Deserialize;
use tabled::builder::Builder;
use tabled::settings::Style;
use tokio::net::TcpListener;
use tokio::time::Instant;
use tokio_postgres::NoTls;
use tokio_util::sync::CancellationToken;
use url::Url;

const WORKERS: [usize; 3] = [1, 2, 4];
const PEERS: [&str; 3] = ["graphile", "boss", "dbos"];
const CHECKOUTS: usize = 4000;
const CONNECTIONS: usize = 64;
const IDLE_ROUNDS: usize = 200;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() {
    let mut numbers = std::env::args().skip(1).filter_map(|argument| argument.parse::<usize>().ok());
    let jobs = numbers.next().unwrap_or(3000);
    let histories: Vec<usize> = numbers.collect();
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build();
    runtime.expect("a runtime").block_on(measure(jobs, if histories.is_empty() { &[0] } else { &histories }));
}

async fn measure(jobs: usize, histories: &[usize]) {
    let dir = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).expect("a directory");
    let server = Postgres::start(dir.path()).await;
    let (mut jobs_table, mut checkouts_table) = (Builder::default(), Builder::default());
    let columns = ["two calls", "payments kept", "workers", "runs/s", "transactions a run", "WAL bytes a run"];
    jobs_table.push_record(columns);
    let columns = ["payments kept", "webhooks/s", "p99 ms", "checkouts/s", "done after, idle p50 ms", "p99 ms"];
    checkouts_table.push_record(columns);
    for history in histories {
        let name = format!("kept{history}");
        server.database(&name, *history).await;
        for workers in WORKERS {
            let figures = drain_jobs(&server, &name, workers, jobs).await;
            row(&mut jobs_table, "discuno", *history, workers, figures);
        }
        let figures = checkouts(&server, &name, dir.path()).await;
        checkouts_table.push_record([history.to_string()].into_iter().chain(figures));
        server.run("postgres", &format!("DROP DATABASE {name} WITH (FORCE)")).await;
    }
    for peer in PEERS {
        server.run("postgres", &format!("CREATE DATABASE {peer}")).await;
        let node = Command::new("node")
            .args(["peers.mjs", peer, &jobs.to_string()])
            .current_dir(Path::new(env!("CARGO_MANIFEST_DIR")).join("benches/postgres"))
            .envs([("PGHOST", "127.0.0.1"), ("PGUSER", "bench"), ("PGDATABASE", peer)])
            .env("PGPORT", server.port.to_string())
            .output();
        let Some(output) = node.ok().filter(|output| output.status.success()) else {
            eprintln!("{peer} is not installed: it was left out");
            continue;
        };
        // Some say more before.
        let lines = String::from_utf8_lossy(&output.stdout).into_owned();
        let said: serde_json::Value =
            lines.lines().rev().find_map(|line| serde_json::from_str(line).ok()).expect("a line of JSON");
        let figures = ["per_second", "transactions_per_job", "wal_bytes_per_job"];
        row(&mut jobs_table, peer, 0, 1, figures.map(|name| said[name].as_f64().unwrap_or_default()));
    }
    for mut table in [jobs_table, checkouts_table].map(Builder::build) {
        println!("{}", table.with(Style::rounded()));
    }
}

fn row(table: &mut Builder, who: &str, history: usize, workers: usize, [rate, transactions, wal]: [f64; 3]) {
    let (who, figures) = (who.to_owned(), [format!("{rate:.0}"), format!("{transactions:.2}"), format!("{wal:.0}")]);
    table.push_record([who, history.to_string(), workers.to_string()].into_iter().chain(figures));
}

/// Two calls, the second with the answer of the first.
struct TwoCalls {
    base: Url,
    http: Arc<dyn Transport>,
}

#[derive(Deserialize)]
struct Nothing {}

impl TwoCalls {
    async fn call(&self, path: &str) -> Result<String, Failure> {
        let request = Request {
            method: http::Method::POST,
            url: self.base.join(path).expect("an address"),
            headers: http::HeaderMap::new(),
            body: bytes::Bytes::from_static(b"{}"),
            timeout: Duration::from_secs(10),
        };
        let answer = self.http.send(request).await;
        let answer = answer.map_err(|error| Failure::permanent("call", error.to_string()))?;
        let said: serde_json::Value = serde_json::from_slice(&answer.body).expect("an answer");
        Ok(said["id"].as_str().expect("an id").to_owned())
    }
}

impl Workflow for TwoCalls {
    const NAME: &'static str = "two-calls";
    type Input = Nothing;

    async fn run(&self, ctx: &Ctx, _: Nothing) -> Result<Outcome, Failure> {
        let id = ctx.step("one", Policy::DEFAULT, async |_| self.call("/one").await).await?;
        ctx.step("two", Policy::DEFAULT, async |_| self.call(&format!("/two/{id}")).await).await?;
        Ok("done")
    }
}

/// Runs a second from a full queue to an empty one, and what the server had to do for each.
async fn drain_jobs(server: &Postgres, name: &str, workers: usize, jobs: usize) -> [f64; 3] {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let base: Url = format!("http://{}", listener.local_addr().expect("an address")).parse().expect("an address");
    let answers = Router::new()
        .route("/one", post(async || "{\"id\":\"x\"}"))
        .route("/two/{id}", post(async || "{\"id\":\"x\"}"));
    tokio::spawn(web::serve(listener, answers, std::future::pending()));

    let apps: Vec<App> = (0..workers).map(|_| server.app(name, &base)).collect();
    let new = |number: usize| NewRun {
        workflow: TwoCalls::NAME,
        key: RunKey::Text(format!("{workers}/{number}")),
        input: Some(serde_json::json!({})),
        due_at: None,
    };
    for some in (0..jobs).collect::<Vec<_>>().chunks(500) {
        apps[0]
            .store
            .ensure(some.iter().map(|number| new(*number)).collect(), apps[0].clock.now())
            .await
            .expect("runs");
    }
    server.run(name, "CHECKPOINT").await;

    let (stop, before, start) = (CancellationToken::new(), server.load().await, Instant::now());
    let at_work: Vec<_> = apps
        .iter()
        .map(|app| {
            let http: Arc<dyn Transport> = Arc::new(Http::new().expect("a client"));
            let registry = Registry::default().with(TwoCalls { base: base.clone(), http });
            tokio::spawn(Worker::new(app.surroundings(), Arc::new(registry), CONNECTIONS).run(stop.clone()))
        })
        .collect();
    while apps[0].store.next_due().await.expect("the store").is_some() {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    let took = start.elapsed();
    stop.cancel();
    for worker in at_work {
        worker.await.expect("a worker");
    }
    // A session tells what it did when it ends.
    drop(apps);
    tokio::time::sleep(Duration::from_millis(1500)).await;
    let after = server.load().await;
    let each = |which: usize| (after[which] - before[which]) / jobs as f64;
    [jobs as f64 / took.as_secs_f64(), each(0), each(1)]
}

/// Webhooks acknowledged by the real binary, then carried to their end; and how long that takes where nothing else waits.
async fn checkouts(server: &Postgres, name: &str, dir: &Path) -> [String; 5] {
    let sandbox = Sandbox::new(Clock::System, Entropy::from_os());
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let providers = listener.local_addr().expect("an address");
    tokio::spawn(web::serve(listener, sandbox.router(), std::future::pending()));
    let address = server.address(name);
    let serve = load::Server::discuno_with(dir, &["serve"], providers, &[("DISCUNO_DB", &address)]).await;
    let taken = load::send(&serve, load::checkouts(0, CHECKOUTS), CONNECTIONS, None).await;

    let base = format!("http://{providers}").parse().expect("an address");
    let app = server.app(name, &base);
    let (stop, start) = (CancellationToken::new(), Instant::now());
    let worker = tokio::spawn(app.worker().expect("a worker").run(stop.clone()));
    let nothing_soon =
        |due: Option<Timestamp>| due.is_none_or(|due| due > Clock::System.now().plus(Duration::from_secs(3600)));
    while !nothing_soon(app.store.next_due().await.expect("the store")) {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    let carried = CHECKOUTS as f64 / start.elapsed().as_secs_f64();

    let mut took = Vec::new();
    for request in load::checkouts(CHECKOUTS, IDLE_ROUNDS) {
        let mut connection = load::Connection::open(serve.address).await.expect("a connection");
        assert_eq!(connection.ask(&request).await.expect("an answer"), 200);
        let acknowledged = Instant::now();
        while !nothing_soon(app.store.next_due().await.expect("the store")) {
            tokio::time::sleep(Duration::from_micros(500)).await;
        }
        took.push(acknowledged.elapsed().as_secs_f64() * 1000.0);
    }
    stop.cancel();
    worker.await.expect("the worker");
    took.sort_by(f64::total_cmp);
    let at = |percent: usize| format!("{:.1}", took[took.len() * percent / 100]);
    [format!("{:.0}", taken.per_second), format!("{:.1}", taken.at(99)), format!("{carried:.0}"), at(50), at(99)]
}

/// A server that goes with this process.
struct Postgres {
    port: u16,
    _child: Child,
}

impl Postgres {
    async fn start(dir: &Path) -> Self {
        let port = load::free_port().port();
        let script: PathBuf = Path::new(env!("CARGO_MANIFEST_DIR")).join("benches/postgres/server");
        let child =
            Command::new(script).arg(dir).arg(port.to_string()).stdin(Stdio::piped()).spawn().expect("a server");
        let server = Self { port, _child: child };
        let deadline = Instant::now() + Duration::from_secs(30);
        while server.connect("postgres").await.is_none() {
            assert!(Instant::now() < deadline, "the server does not start: see {}/log", dir.display());
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        server
    }

    fn address(&self, name: &str) -> String {
        format!("postgres://bench@127.0.0.1:{}/{name}?sslmode=disable", self.port)
    }

    async fn connect(&self, name: &str) -> Option<tokio_postgres::Client> {
        let (client, connection) = tokio_postgres::connect(&self.address(name), NoTls).await.ok()?;
        tokio::spawn(connection);
        Some(client)
    }

    async fn run(&self, name: &str, sql: &str) {
        self.connect(name).await.expect("a connection").batch_execute(sql).await.expect("a statement");
    }

    /// A database that holds so many payments already.
    async fn database(&self, name: &str, history: usize) {
        self.run("postgres", &format!("CREATE DATABASE {name}")).await;
        let _ = self.app(name, &"http://127.0.0.1:9".parse().expect("an address"));
        if history > 0 {
            let fill = include_str!("postgres/history.sql").replace("$1", &history.to_string());
            self.run(name, &format!("SET search_path = discuno; {fill}")).await;
            // As it would be long ago where they came one by one.
            self.run(name, "VACUUM ANALYZE").await;
            self.run(name, "CHECKPOINT").await;
        }
    }

    fn app(&self, name: &str, base: &Url) -> App {
        let file = PathBuf::from("unused.db");
        let mut config =
            Config::sandbox(base, file, "127.0.0.1:0".parse().expect("an address")).expect("a configuration");
        config.server = Some(self.address(name).parse().expect("an address"));
        App::open(config, Parts::system()).expect("a store")
    }

    /// Transactions so far, and bytes of WAL.
    async fn load(&self) -> [f64; 2] {
        let sql = "SELECT (SELECT sum(xact_commit + xact_rollback)::float8 FROM pg_stat_database), \
             pg_wal_lsn_diff(pg_current_wal_insert_lsn(), '0/0')::float8";
        let row = self.connect("postgres").await.expect("a connection").query_one(sql, &[]).await.expect("figures");
        [row.get(0), row.get(1)]
    }
}

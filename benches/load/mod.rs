//! What the benchmarks share: signed checkouts, connections that send them, and the real binary as a child.
#![allow(dead_code, reason = "each benchmark takes its own part")]
#![allow(clippy::cast_precision_loss, reason = "figures for people")]

use std::net::{Ipv4Addr, SocketAddr};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use discuno::clock::Clock;
use discuno::config::{SANDBOX_STRIPE_SECRET, Secret};
use discuno::signature::sign_stripe;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::Instant;

const RECORDED: &str = include_str!("../../fixtures/stripe.json");

/// Signed requests for `count` different paid checkouts, the first numbered `from`.
pub(crate) fn checkouts(from: usize, count: usize) -> Vec<Vec<u8>> {
    let events: Vec<Value> = serde_json::from_str(RECORDED).expect("the recorded events");
    let mut event = events[0].clone();
    let now = Clock::System.now();
    let secret = Secret::new(SANDBOX_STRIPE_SECRET);
    (from..from + count)
        .map(|number| {
            let start = now.plus(Duration::from_secs(24 * 3600));
            event["id"] = json!(format!("evt_1Bench{number:012}"));
            event["created"] = json!(now.as_secs());
            let session = &mut event["data"]["object"];
            session["id"] = json!(format!("cs_test_a1Bench{number:040}"));
            session["payment_intent"] = json!(format!("pi_3Bench{number:016}"));
            session["metadata"]["startTime"] = json!(start.to_string());
            // A calendar of its own, so that no two want the same slot.
            session["metadata"]["eventTypeId"] = json!((1000 + number).to_string());
            request(&serde_json::to_vec(&event).expect("an event"), &secret, &Clock::System)
        })
        .collect()
}

fn request(body: &[u8], secret: &Secret, clock: &Clock) -> Vec<u8> {
    let signature = sign_stripe(body, secret, clock.now());
    let mut request = format!(
        "POST /webhooks/stripe HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\nstripe-signature: {signature}\r\n\
         content-length: {}\r\n\r\n",
        body.len()
    )
    .into_bytes();
    request.extend_from_slice(body);
    request
}

/// The body of a request made by [`checkouts`].
pub(crate) fn body(request: &[u8]) -> &[u8] {
    let head = request.windows(4).position(|window| window == b"\r\n\r\n").expect("a head");
    &request[head + 4..]
}

/// One connection that asks and waits.
pub(crate) struct Connection {
    stream: TcpStream,
    buffer: Vec<u8>,
}

impl Connection {
    pub(crate) async fn open(server: SocketAddr) -> std::io::Result<Self> {
        let stream = TcpStream::connect(server).await?;
        stream.set_nodelay(true)?;
        Ok(Self { stream, buffer: vec![0; 4096] })
    }

    /// Sends a request and reads its whole answer. The status.
    pub(crate) async fn ask(&mut self, request: &[u8]) -> std::io::Result<u16> {
        self.stream.write_all(request).await?;
        let mut read = 0;
        loop {
            let more = self.stream.read(&mut self.buffer[read..]).await?;
            if more == 0 {
                return Err(std::io::ErrorKind::UnexpectedEof.into());
            }
            read += more;
            let answer = String::from_utf8_lossy(&self.buffer[..read]);
            let Some((head, body)) = answer.split_once("\r\n\r\n") else { continue };
            let length = head
                .lines()
                .find_map(|line| line.to_ascii_lowercase().strip_prefix("content-length: ").map(str::to_owned))
                .and_then(|length| length.trim().parse::<usize>().ok())
                .unwrap_or(0);
            if body.len() >= length {
                return Ok(head.get(9..12).and_then(|status| status.parse().ok()).unwrap_or(0));
            }
        }
    }
}

/// What a server made of a load.
pub(crate) struct Measured {
    pub(crate) per_second: f64,
    /// Processor time of the server for each request, in microseconds.
    pub(crate) processor_us: f64,
    latencies: Vec<Duration>,
}

impl Measured {
    pub(crate) fn at(&self, percent: usize) -> f64 {
        let index = (self.latencies.len() * percent / 100).min(self.latencies.len() - 1);
        self.latencies[index].as_secs_f64() * 1000.0
    }
}

/// Sends `requests` over `connections`, each waiting for its answer, or at `rate` a second in all. Every answer must be 200.
pub(crate) async fn send(server: &Server, requests: Vec<Vec<u8>>, connections: usize, rate: Option<u32>) -> Measured {
    let (requests, next) = (Arc::new(requests), Arc::new(AtomicUsize::new(0)));
    let mut senders = Vec::new();
    let (address, worked) = (server.address, server.processor_time());
    let start = Instant::now();
    for _ in 0..connections {
        let (requests, next) = (Arc::clone(&requests), Arc::clone(&next));
        senders.push(tokio::spawn(async move {
            let mut connection = Connection::open(address).await.expect("a connection");
            let mut latencies = Vec::new();
            loop {
                let index = next.fetch_add(1, Ordering::Relaxed);
                let Some(request) = requests.get(index) else { return latencies };
                let mut sent = Instant::now();
                if let Some(rate) = rate {
                    // Latency counts from when the request was due: waiting behind a slow one is part of it.
                    let due = start + Duration::from_secs_f64(index as f64 / f64::from(rate));
                    tokio::time::sleep_until(due).await;
                    sent = due;
                }
                let status = connection.ask(request).await.expect("an answer");
                assert_eq!(status, 200, "request {index}");
                latencies.push(sent.elapsed());
            }
        }));
    }
    let mut latencies = Vec::new();
    for sender in senders {
        latencies.extend(sender.await.expect("a sender"));
    }
    let took = start.elapsed();
    latencies.sort_unstable();
    let worked = server.processor_time().saturating_sub(worked);
    Measured {
        per_second: requests.len() as f64 / took.as_secs_f64(),
        processor_us: worked.as_secs_f64() * 1e6 / requests.len() as f64,
        latencies,
    }
}

/// A port that was free a moment ago.
pub(crate) fn free_port() -> SocketAddr {
    let listener = std::net::TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a port");
    listener.local_addr().expect("an address")
}

/// A child process, killed when dropped.
pub(crate) struct Server {
    pub(crate) address: SocketAddr,
    /// From the start of the process to its first answer.
    pub(crate) ready_after: Duration,
    child: Child,
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Server {
    /// `discuno <arguments>` on a database in `dir`, its providers at `sandbox`. Its log goes to a file beside it.
    pub(crate) async fn discuno(dir: &Path, arguments: &[&str], sandbox: SocketAddr) -> Self {
        Self::discuno_with(dir, arguments, sandbox, &[]).await
    }

    /// The same with more settings.
    pub(crate) async fn discuno_with(
        dir: &Path,
        arguments: &[&str],
        sandbox: SocketAddr,
        settings: &[(&str, &str)],
    ) -> Self {
        let address = free_port();
        let log = std::fs::File::create(dir.join("log.jsonl")).expect("a log");
        let mut command = Command::new(env!("CARGO_BIN_EXE_discuno"));
        command.args(arguments).env_clear().current_dir(dir).stdout(Stdio::null()).stderr(log);
        let base = format!("http://{sandbox}").parse().expect("an address");
        for (name, value) in discuno::config::sandbox_environment(&base, &dir.join("bench.db"), address) {
            command.env(name, value);
        }
        command.envs(settings.iter().copied());
        Self::start(command, address).await
    }

    /// This benchmark itself as a server of another kind.
    pub(crate) async fn myself(role: &str) -> Self {
        let address = free_port();
        let mut command = Command::new(std::env::current_exe().expect("this program"));
        command.args([role, &address.to_string()]);
        Self::start(command, address).await
    }

    async fn start(mut command: Command, address: SocketAddr) -> Self {
        let begun = Instant::now();
        let child = command.spawn().expect("a child process");
        let mut server = Self { address, ready_after: Duration::ZERO, child };
        let deadline = begun + Duration::from_secs(20);
        while Instant::now() < deadline {
            if let Ok(mut connection) = Connection::open(address).await
                && connection.ask(b"GET /livez HTTP/1.1\r\nhost: localhost\r\n\r\n").await.is_ok()
            {
                server.ready_after = begun.elapsed();
                return server;
            }
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        panic!("{command:?} does not answer");
    }

    /// Resident memory in bytes, as the kernel counts it.
    pub(crate) fn resident(&self) -> u64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.child.id())).expect("/proc");
        let line = status.lines().find(|line| line.starts_with("VmRSS:")).expect("VmRSS");
        line.split_whitespace().nth(1).and_then(|kib| kib.parse::<u64>().ok()).expect("a size") * 1024
    }

    /// Processor time used so far.
    pub(crate) fn processor_time(&self) -> Duration {
        let stat = std::fs::read_to_string(format!("/proc/{}/stat", self.child.id())).expect("/proc");
        let after_name = stat.rsplit(") ").next().expect("a stat line");
        let ticks: u64 =
            after_name.split_whitespace().skip(11).take(2).map(|field| field.parse::<u64>().expect("ticks")).sum();
        Duration::from_millis(ticks * 10)
    }
}

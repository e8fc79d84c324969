//! `discuno logs` on a gigabyte, beside whatever else is installed that could answer: five questions, each answer held
//! against a slow and certain one.
//!
//! `cargo bench --bench logs`; `rg`, `grep`, `hl` and `duckdb` are taken where they are found. Each is emptied through the same pipe.

#![allow(clippy::cast_precision_loss, reason = "figures for people")]
#![allow(clippy::disallowed_methods, reason = "it is the real time that is measured")]

use std::fmt::Write as _;
use std::fs::File;
use std::io::{BufRead, BufReader, BufWriter, Read, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use discuno::model::time::Timestamp;
use serde_json::{Map, Value};
use tabled::builder::Builder;
use tabled::settings::Style;

const SIZE: u64 = 1 << 30;
/// The best of so many counts, and each exact.
const ROUNDS: usize = 7;
/// 2026-10-01T00:00:00Z, and four weeks from then.
const START: i64 = 1_790_812_800_000;
const SPAN: i64 = 28 * 86_400_000;
const HOUR: i64 = 3_600_000;

fn main() {
    let path = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join("logs-1g.jsonl");
    if std::fs::metadata(&path).map_or(0, |meta| meta.len()) < SIZE - (1 << 20) {
        generate(&path);
    }
    let truth = Truth::read(&path);
    let cache = tempfile::tempdir().expect("a directory");
    for version in ["rg --version", "duckdb --version"] {
        if let Ok(output) = Command::new("sh").args(["-c", version]).output() {
            println!("{}", String::from_utf8_lossy(&output.stdout).lines().next().unwrap_or("not installed"));
        }
    }
    let mut table = Builder::default();
    table.push_record(["question", "answer", "discuno logs", "memory", "best other", "ratio"]);
    for question in questions(&path, &truth) {
        let ours = || ours(&question, &path, cache.path());
        let (mut best, mut others) = (Duration::MAX, vec![Duration::MAX; question.others.len()]);
        // In turn, so that what disturbs one disturbs the others too.
        for _ in 0..ROUNDS {
            let (took, lines) = timed(ours()).expect("an answer");
            assert_eq!(lines - u64::from(question.has_header), question.lines, "{}: a wrong answer", question.name);
            best = best.min(took);
            for (other, best) in question.others.iter().zip(&mut others) {
                *best = timed(shell(&other.command)).map_or(*best, |(took, _)| took.min(*best));
            }
        }
        let other = others.into_iter().zip(&question.others).min_by_key(|(took, _)| *took);
        let other = other.filter(|(took, _)| *took < Duration::MAX);
        let ms = |took: Duration| format!("{:.1} ms", took.as_secs_f64() * 1000.0);
        table.push_record([
            question.name.to_owned(),
            format!("{} lines", question.lines),
            ms(best),
            format!("{} MiB", memory(ours()) / 1024),
            other.as_ref().map_or_else(|| "-".to_owned(), |(took, other)| format!("{} {}", ms(*took), other.name)),
            other.map_or_else(String::new, |(took, _)| format!("{:.2}", took.as_secs_f64() / best.as_secs_f64())),
        ]);
    }
    println!("{}", table.build().with(Style::rounded()));
}

struct Question {
    name: &'static str,
    args: Vec<String>,
    lines: u64,
    /// A table in a pipe begins with its columns.
    has_header: bool,
    others: Vec<Other>,
}

struct Other {
    name: &'static str,
    command: String,
}

fn questions(path: &Path, truth: &Truth) -> Vec<Question> {
    let file = path.display();
    let other = |name, command: String| Other { name, command };
    let words = |text: &str| text.split(' ').map(str::to_owned).collect::<Vec<_>>();
    let (from, until) = hour();
    let duck = |sql: &str| {
        let read = format!(
            "read_json('{file}', format='newline_delimited', columns={{ts:'VARCHAR',event:'VARCHAR'}}, ignore_errors=true)"
        );
        format!("duckdb -csv -c \"{}\"", sql.replace("FILE", &read))
    };
    let rg = |pattern: &str| other("rg", format!("rg --no-mmap -F '{pattern}' '{file}'"));
    vec![
        Question {
            name: "Q1 a rare event",
            args: words("event=refund_failed"),
            lines: truth.rare,
            has_header: false,
            others: vec![
                rg("\"event\":\"refund_failed\""),
                other("grep", format!("env LC_ALL=C grep -F '\"event\":\"refund_failed\"' '{file}'")),
            ],
        },
        Question {
            name: "Q2 a broad tag",
            args: words("tag=CheckoutWebhook"),
            lines: truth.broad,
            has_header: false,
            others: vec![rg("\"tag\":\"CheckoutWebhook\"")],
        },
        Question {
            name: "Q3 a level within an hour",
            args: [words("--level critical --since"), vec![from], words("--until"), vec![until]].concat(),
            lines: truth.critical,
            has_header: false,
            others: vec![
                rg("\"critical\""),
                other(
                    "hl, indexed",
                    format!("hl -s -r -f level=critical --since '{}' --until '{}' '{file}'", hour().0, hour().1),
                ),
            ],
        },
        Question {
            name: "Q4 a count by day and event",
            args: words("--count-by day,event"),
            lines: truth.groups,
            has_header: true,
            others: vec![other("duckdb", duck("select substr(ts, 1, 10) d, event, count(*) from FILE group by all"))],
        },
        Question {
            name: "Q5 one payment",
            args: words("--payment payment_that_is_asked_for"),
            lines: truth.one,
            has_header: false,
            others: vec![rg("payment_that_is_asked_for")],
        },
    ]
}

fn hour() -> (String, String) {
    let from = START + SPAN / 2;
    (Timestamp(from).to_string(), Timestamp(from + HOUR).to_string())
}

fn ours(question: &Question, path: &Path, cache: &Path) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_discuno"));
    command.arg("logs").args(&question.args).arg("--file").arg(path).env("XDG_CACHE_HOME", cache);
    command
}

fn shell(line: &str) -> Command {
    let mut command = Command::new("sh");
    command.args(["-c", &format!("exec {line}")]);
    command
}

/// How long it took into a pipe that is emptied as fast as it fills, and how many lines came; none where it is not installed.
fn timed(mut command: Command) -> Option<(Duration, u64)> {
    let start = Instant::now();
    let mut child = command.stdout(Stdio::piped()).stderr(Stdio::null()).spawn().ok()?;
    let lines = drain(&mut child, || {});
    let status = child.wait().ok()?;
    (status.success() && lines > 0).then(|| (start.elapsed(), lines))
}

/// The most memory it was seen to hold, in KiB.
fn memory(mut command: Command) -> u64 {
    let mut child = command.stdout(Stdio::piped()).stderr(Stdio::null()).spawn().expect("the binary");
    let (status, mut most) = (format!("/proc/{}/status", child.id()), 0);
    let look = || {
        let text = std::fs::read_to_string(&status).unwrap_or_default();
        let line = text.lines().find_map(|line| line.strip_prefix("VmHWM:"));
        let held = line.and_then(|line| line.split_whitespace().next()?.parse().ok());
        most = most.max(held.unwrap_or(0));
    };
    drain(&mut child, look);
    child.wait().expect("an end");
    most
}

fn drain(child: &mut Child, mut at_each_read: impl FnMut()) -> u64 {
    let (mut out, mut lines) = (vec![0; 1 << 20], 0);
    let mut pipe = child.stdout.take().expect("a pipe");
    loop {
        let read = pipe.read(&mut out).expect("a pipe");
        if read == 0 {
            return lines;
        }
        at_each_read();
        lines += memchr::memchr_iter(b'\n', &out[..read]).count() as u64;
    }
}

/// What a slow reader says.
#[derive(Default)]
struct Truth {
    rare: u64,
    broad: u64,
    critical: u64,
    groups: u64,
    one: u64,
}

impl Truth {
    fn read(path: &Path) -> Self {
        let mut truth = Self::default();
        let mut groups = std::collections::BTreeSet::new();
        let (from, until) = hour();
        let mut reader = BufReader::with_capacity(1 << 20, File::open(path).expect("the file"));
        let mut line = Vec::new();
        while {
            line.clear();
            reader.read_until(b'\n', &mut line).expect("a line") > 0
        } {
            let Ok(object) = serde_json::from_slice::<Map<String, Value>>(&line) else { continue };
            let is = |key: &str, value: &str| object.get(key).is_some_and(|found| found == value);
            let ts = object["ts"].as_str().unwrap_or_default().to_owned();
            truth.rare += u64::from(is("event", "refund_failed"));
            truth.broad += u64::from(is("tag", "CheckoutWebhook"));
            truth.critical += u64::from(is("level", "critical") && ts >= from && ts < until);
            truth.one += u64::from(is("paymentId", "payment_that_is_asked_for"));
            groups.insert((ts[..10].to_owned(), object["event"].as_str().unwrap_or("-").to_owned()));
        }
        truth.groups = groups.len() as u64;
        truth
    }
}

const EVENTS: [(&str, &str, &str, u32); 12] = [
    ("webhook_received", "CheckoutWebhook", "info", 210),
    ("webhook_response_sent", "CheckoutWebhook", "info", 205),
    ("run_finished", "SideEffects", "info", 160),
    ("call", "Provider", "debug", 150),
    ("booking_created", "CalWebhook", "info", 90),
    ("event_tracked", "SideEffects", "info", 80),
    ("email_sent", "SideEffects", "info", 60),
    ("step_retry", "SideEffects", "warn", 25),
    ("step_failed", "SideEffects", "error", 10),
    ("payout_paid", "Connect", "info", 8),
    ("refund_succeeded", "Refund", "info", 4),
    ("lease_lost", "SideEffects", "warn", 1),
];

fn generate(path: &Path) {
    let mut out = BufWriter::with_capacity(1 << 20, File::create(path).expect("a file"));
    let mut chance = fastrand::Rng::with_seed(7);
    let total: u32 = EVENTS.iter().map(|(.., weight)| weight).sum();
    let (mut written, mut number, mut line) = (0, 0_u64, String::new());
    while written < SIZE {
        line.clear();
        number += 1;
        let at = START
            + i64::try_from(u128::from(written) * u128::from(SPAN.unsigned_abs()) / u128::from(SIZE)).expect("a time");
        let mut left = chance.u32(..total);
        let (event, tag, level, _) = *EVENTS
            .iter()
            .find(|(.., weight)| {
                let found = left < *weight;
                left = left.saturating_sub(*weight);
                found
            })
            .expect("an event");
        let (event, tag, level) = match chance.u32(..11_000) {
            0..10 => ("refund_failed", "Refund", if chance.bool() { "critical" } else { "error" }),
            _ => (event, tag, level),
        };
        line_of(&mut line, number, at, event, tag, level, &mut chance);
        written += line.len() as u64;
        out.write_all(line.as_bytes()).expect("the disk");
    }
    out.flush().expect("the disk");
}

fn line_of(line: &mut String, number: u64, at: i64, event: &str, tag: &str, level: &str, chance: &mut fastrand::Rng) {
    let payment =
        if number % 380_000 == 7 { "payment_that_is_asked_for".to_owned() } else { format!("pay_{}", number / 9) };
    let space = if chance.u32(..200) == 0 { " " } else { "" };
    // A few spell a letter of the event by its number, and a few repeat a key.
    let event = if chance.u32(..50_000) == 0 { event.replacen('e', "\\u0065", 1) } else { event.to_owned() };
    let twice = if chance.u32(..30_000) == 0 { "\"event\":\"refund_failed\"," } else { "" };
    let time = Timestamp(at);
    let _ = write!(
        line,
        "{{\"ts\":{space}\"{time}\",\"level\":{space}\"{level}\",\"tag\":\"{tag}\",{twice}\"event\":{space}\"{event}\",\"runId\":\"run_{}\",\
         \"paymentId\":\"{payment}\",\"sessionId\":\"cs_live_{:020x}\",\"paymentIntentId\":\"pi_{:016x}\",\"attempt\":{},\"elapsedMs\":{}",
        number / 3,
        chance.u64(..),
        chance.u64(..),
        chance.u32(1..4),
        chance.u32(..900),
    );
    match chance.u32(..20) {
        0 => line.push_str(
            ",\"error\":\"stripe refunds.create: Zoë said \\\"no\\\"\\n\\tand \\\\ then “nothing” more came of it\"",
        ),
        1 => line
            .push_str(",\"message\":\"an earlier line had \\\"event\\\":\\\"refund_failed\\\" and that is only text\""),
        2 => {
            let _ = write!(
                line,
                ",\"detail\":{{\"event\":\"nested\",\"list\":[1,2.5e3,null,true,\"{}\"]}}",
                "x".repeat(chance.usize(..300))
            );
        }
        _ => line.push_str(",\"kind\":\"checkout.session.completed\",\"workflow\":\"process-checkout-side-effects\""),
    }
    line.push_str(if chance.u32(..1000) == 0 { "\n" } else { "}\n" });
}

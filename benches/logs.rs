//! `discuno logs` on a gigabyte, beside whatever else is installed that could answer: five questions, each answer held
//! against a slow and certain one.
//!
//! `cargo bench --bench logs`; `rg`, `jq` and Python's `duckdb` are taken where they are found.

#![allow(clippy::cast_precision_loss, reason = "figures for people")]
#![allow(clippy::disallowed_methods, reason = "it is the real time that is measured")]

use std::fmt::Write as _;
use std::fs::File;
use std::io::{BufRead, BufReader, BufWriter, Read, Write};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use discuno::model::time::Timestamp;
use serde_json::{Map, Value};
use tabled::builder::Builder;
use tabled::settings::Style;

const SIZE: u64 = 1 << 30;
/// The best of so many counts.
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
    let mut table = Builder::default();
    table.push_record(["question", "answer", "discuno logs", "best other", "ratio"]);
    for question in questions(&path, &truth) {
        let ours = best(|| discuno(&question.args, &path, cache.path()));
        assert_eq!(ours.1, question.lines, "{}: a wrong answer", question.name);
        let others = question.others.iter().filter_map(|other| {
            let took = (0..ROUNDS).filter_map(|_| shell(&other.command)).min()?;
            Some((took, other.name))
        });
        let other = others.min();
        let ms = |took: Duration| format!("{:.1} ms", took.as_secs_f64() * 1000.0);
        table.push_record([
            question.name.to_owned(),
            format!("{} lines", question.lines),
            ms(ours.0),
            other.map_or_else(|| "-".to_owned(), |(took, name)| format!("{} {name}", ms(took))),
            other.map_or_else(String::new, |(took, _)| format!("{:.2}", took.as_secs_f64() / ours.0.as_secs_f64())),
        ]);
    }
    println!("{}", table.build().with(Style::rounded()));
}

struct Question {
    name: &'static str,
    args: Vec<String>,
    lines: u64,
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
        format!(
            "python3 -c \"import duckdb; print(len(duckdb.sql(\\\"{}\\\").fetchall()))\"",
            sql.replace("FILE", &read)
        )
    };
    let rg = |pattern: &str| other("rg", format!("rg --no-mmap -F '{pattern}' '{file}'"));
    vec![
        Question {
            name: "Q1 a rare event",
            args: words("event=refund_failed"),
            lines: truth.rare,
            others: vec![
                rg("\"event\":\"refund_failed\""),
                other("grep", format!("LC_ALL=C grep -F '\"event\":\"refund_failed\"' '{file}'")),
            ],
        },
        Question {
            name: "Q2 a broad tag",
            args: words("tag=CheckoutWebhook"),
            lines: truth.broad,
            others: vec![rg("\"tag\":\"CheckoutWebhook\"")],
        },
        Question {
            name: "Q3 a level within an hour",
            args: [words("--level critical --since"), vec![from], words("--until"), vec![until]].concat(),
            lines: truth.critical,
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
            others: vec![other(
                "duckdb",
                duck(
                    "select substr(l->>'$.ts',1,10) d, l->>'$.event' e, count(*) from FILE where json_valid(l) group by 1, 2",
                ),
            )],
        },
        Question {
            name: "Q5 one payment",
            args: words("payment_that_is_asked_for"),
            lines: truth.one,
            others: vec![rg("payment_that_is_asked_for")],
        },
    ]
}

fn hour() -> (String, String) {
    let from = START + SPAN / 2;
    (Timestamp(from).to_string(), Timestamp(from + HOUR).to_string())
}

/// The time it took, and how many lines came.
fn discuno(args: &[String], path: &Path, cache: &Path) -> (Duration, u64) {
    let args: Vec<&str> = match args {
        [one] if one == "payment_that_is_asked_for" => vec!["--payment", "payment_that_is_asked_for"],
        args => args.iter().map(String::as_str).collect(),
    };
    let mut command = Command::new(env!("CARGO_BIN_EXE_discuno"));
    command.arg("logs").args(args).arg("--file").arg(path).env("XDG_CACHE_HOME", cache);
    // To a pipe that is emptied as fast as it fills, as a terminal or another program would.
    let start = Instant::now();
    let mut child = command.stdout(Stdio::piped()).stderr(Stdio::null()).spawn().expect("the binary");
    let (mut out, mut lines) = (vec![0; 1 << 20], 0);
    let mut pipe = child.stdout.take().expect("a pipe");
    loop {
        let read = pipe.read(&mut out).expect("a pipe");
        if read == 0 {
            break;
        }
        lines += memchr::memchr_iter(b'\n', &out[..read]).count() as u64;
    }
    child.wait().expect("an end");
    (start.elapsed(), lines - u64::from(has_header(&command)))
}

/// A table in a pipe begins with its columns.
fn has_header(command: &Command) -> bool {
    command.get_args().any(|arg| arg == "--count-by")
}

fn best(mut run: impl FnMut() -> (Duration, u64)) -> (Duration, u64) {
    (0..=ROUNDS).map(|_| run()).min().expect("a round")
}

/// How long a command of the shell took into a pipe; none where it is not installed.
fn shell(command: &str) -> Option<Duration> {
    let start = Instant::now();
    let mut child =
        Command::new("sh").args(["-c", command]).stdout(Stdio::piped()).stderr(Stdio::null()).spawn().ok()?;
    let copied = std::io::copy(&mut child.stdout.take()?, &mut std::io::sink()).ok()?;
    let status = child.wait().ok()?;
    (status.success() && copied > 0).then(|| start.elapsed())
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

//! What must hold of any bytes whatever that come from outside. The fuzzer calls these, and the tests with what it found.
#![allow(dead_code, reason = "each target calls one of them")]

use std::time::Duration;

use aws_lc_rs::hmac::{HMAC_SHA256, Key, sign};
use bytes::Bytes;
use discuno::config::Secret;
use discuno::ingress::{app as app_events, cal as cal_events, stripe as stripe_events};
use discuno::logs::json::{Lines, walk};
use discuno::logs::query::{Query, Verdict};
use discuno::logs::time::instant;
use discuno::model::event::Via;
use discuno::model::money::{Currency, Money};
use discuno::model::time::Timestamp;
use discuno::signature::{verify_cal, verify_stripe};
use discuno::store::change::{Change, Plan};
use serde_json::Value;

#[path = "../commands/replay/fixture.rs"]
mod fixture;

const NOW: Timestamp = Timestamp(1_793_872_800_000);
const SECRET: &str = "whsec_fuzz";

/// What is held of bytes; it panics if it does not hold.
pub(crate) type Check = fn(&[u8]);

/// Every target by its name.
pub(crate) const ALL: [(&str, Check); 8] = [
    ("signature", signature),
    ("stripe", stripe),
    ("connect", connect),
    ("cal", cal),
    ("app", app),
    ("logs", logs),
    ("replay", replay),
    ("text", text),
];

/// The first line and the rest.
fn halves(data: &[u8]) -> (String, &[u8]) {
    let end = data.iter().position(|byte| *byte == b'\n').unwrap_or(data.len());
    (String::from_utf8_lossy(&data[..end]).into_owned(), data.get(end + 1..).unwrap_or_default())
}

/// A header and a body: what is accepted carries the one right signature, worked out anew.
pub(crate) fn signature(data: &[u8]) {
    let (header, body) = halves(data);
    let secrets = [Secret::new(SECRET), Secret::new("another")];
    let right = |signed: &[u8]| {
        [SECRET, "another"].map(|secret| hex::encode(sign(&Key::new(HMAC_SHA256, secret.as_bytes()), signed)))
    };
    if verify_stripe(Some(&header), body, &secrets, Duration::from_secs(300), NOW).is_ok() {
        let times: Vec<&str> = header.split(',').filter_map(|part| part.trim().strip_prefix("t=")).collect();
        let time = *times.last().expect("what is accepted has a time");
        let seconds: i64 = time.parse().expect("a number");
        assert!((NOW.as_secs() - seconds).abs() <= 300, "{header}");
        let header = header.to_ascii_lowercase();
        assert!(right(&[time.as_bytes(), b".", body].concat()).iter().any(|mac| header.contains(mac)), "{header}");
    }
    if verify_cal(Some(&header), body, &secrets).is_ok() {
        assert!(right(body).contains(&header.trim().to_ascii_lowercase()), "{header}");
    }
    assert!(verify_stripe(Some(&header), body, &[], Duration::MAX, NOW).is_err());
}

/// Whatever is taken keeps its bytes, and asks for no more than there is.
fn planned(plan: &Plan, body: &[u8]) {
    assert_eq!(plan.event.body.as_ref(), body, "the bytes are kept as they came");
    assert!(!plan.event.external_id.is_empty());
    for change in &plan.changes {
        if let Change::Payment(payment) = change {
            assert!(payment.amount.minor >= 0, "{payment:?}");
            assert!(!payment.session_id.is_empty());
        }
    }
}

/// An event of the platform.
pub(crate) fn stripe(data: &[u8]) {
    for live in [false, true] {
        if let Ok(plan) = stripe_events::plan(Bytes::copy_from_slice(data), Via::Webhook, live) {
            planned(&plan, data);
        }
    }
}

/// An event of a mentor's account.
pub(crate) fn connect(data: &[u8]) {
    if let Ok(plan) = stripe_events::plan_connect(Bytes::copy_from_slice(data), Via::Webhook, false) {
        planned(&plan, data);
    }
}

/// An event of the calendar.
pub(crate) fn cal(data: &[u8]) {
    if let Ok(plan) = cal_events::plan(Bytes::copy_from_slice(data), Via::Webhook, false, NOW) {
        planned(&plan, data);
    }
}

/// Events of the application.
pub(crate) fn app(data: &[u8]) {
    for raw in app_events::split(data).unwrap_or_default() {
        if let Ok(plan) = app_events::plan(&raw, "given", &["counted".to_owned()], false, NOW) {
            assert!(!plan.event.external_id.is_empty());
        }
    }
}

/// A question and lines: a line is an object to us if it is one to serde_json, and is found or not.
pub(crate) fn logs(data: &[u8]) {
    let (words, lines) = halves(data);
    let mut query = Query::new(false, false);
    for word in words.split(' ') {
        let _ = query.add_word(word);
    }
    // With the processor's vectors and without.
    let judged = |mut read: Lines| {
        let mut all = Vec::new();
        read.each(lines, 0, &mut vec![None; query.keys().len()], |line| {
            all.push((query.judge(line), line.from, line.text));
            true
        });
        all
    };
    let fast = judged(query.lines());
    if query.reads_fields() {
        assert_eq!(judged(Lines::portable(query.keys())), fast);
    }
    for (verdict, _, line) in fast {
        let ours = walk(line, |_, _| {}).is_ok();
        if serde_json::from_slice::<serde_json::Map<String, Value>>(line).is_ok() {
            assert!(ours, "{}", String::from_utf8_lossy(line));
        }
        assert!(ours || verdict != Verdict::Match || !query.reads_fields(), "{}", String::from_utf8_lossy(line));
    }
}

/// An assignment and an event of a recorded file.
pub(crate) fn replay(data: &[u8]) {
    let (assignment, event) = halves(data);
    let Ok(mut event) = serde_json::from_slice::<Value>(event) else { return };
    let _ = fixture::origin(&event);
    if fixture::set(&mut event, &assignment).is_ok()
        && let Some((path, value)) = assignment.split_once('=')
    {
        let place = path.split('.').try_fold(&event, |place, key| match place {
            Value::Array(items) => items.get(key.parse::<usize>().ok()?),
            other => other.get(key),
        });
        let value = serde_json::from_str(value).unwrap_or_else(|_| Value::String(value.to_owned()));
        assert_eq!(place, Some(&value), "{assignment}");
    }
    let mut events = [event];
    fixture::move_to(&mut events, NOW);
    fixture::another(&events, 2);
}

/// Times and amounts: what can be read reads back as it is shown.
pub(crate) fn text(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    if let Ok(time) = text.parse::<Timestamp>() {
        assert_eq!(time.to_string().parse::<Timestamp>(), Ok(time), "{text}");
    }
    let _ = Timestamp(i64::try_from(data.len()).unwrap_or(0)).in_zone(text);
    let _ = instant(data);
    for currency in ["USD", "JPY", "KWD"] {
        let currency: Currency = currency.parse().expect("a currency");
        if let Ok(money) = Money::parse(text, currency) {
            assert!(money.minor >= 0, "{text}");
            assert_eq!(Money::parse(&money.to_string(), currency), Ok(money), "{text}");
        }
    }
    let _ = text.parse::<Currency>();
}

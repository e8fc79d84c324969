//! One event as a line.

use std::fmt::Write;

use tracing::field::{Field, Visit};
use tracing::{Event, Level};

use crate::model::time::Timestamp;
use crate::observe::mask::steers;

/// Ids stand first, in this order.
const IDS: [&str; 7] = ["runId", "paymentId", "sessionId", "paymentIntentId", "eventId", "step", "attempt"];
/// Longer texts are cut.
const LONGEST: usize = 1000;

pub(super) struct Line {
    now: Timestamp,
    level: &'static str,
    tag: String,
    event: String,
    fields: Vec<(&'static str, String)>,
}

impl Line {
    pub(super) fn read(event: &Event<'_>, now: Timestamp) -> Self {
        let mut fields = Fields::default();
        event.record(&mut fields);
        let target = event.metadata().target();
        let level = match *event.metadata().level() {
            Level::ERROR if fields.critical => "critical",
            Level::ERROR => "error",
            Level::WARN => "warn",
            Level::INFO => "info",
            Level::DEBUG | Level::TRACE => "debug",
        };
        let rank = |name: &str| match name {
            "message" => usize::MAX,
            name => IDS.iter().position(|id| *id == name).unwrap_or(IDS.len()),
        };
        fields.rest.sort_by_key(|(name, _)| rank(name));
        Self {
            now,
            level,
            tag: fields.tag.unwrap_or_else(|| quoted(target.rsplit("::").next().unwrap_or(target))),
            event: fields.event.unwrap_or_else(|| quoted("log")),
            fields: fields.rest,
        }
    }

    pub(super) fn json(&self) -> String {
        let mut out =
            format!(r#"{{"ts":"{}","level":"{}","tag":{},"event":{}"#, self.now, self.level, self.tag, self.event);
        for (name, value) in &self.fields {
            let _ = write!(out, r#","{name}":{value}"#);
        }
        out.push_str("}\n");
        out
    }

    pub(super) fn for_people(&self, colour: bool) -> String {
        let paint = match self.level {
            "critical" => "\u{1b}[1;31m",
            "error" => "\u{1b}[31m",
            "warn" => "\u{1b}[33m",
            "debug" => "\u{1b}[2m",
            _ => "\u{1b}[32m",
        };
        let (on, off) = if colour { (paint, "\u{1b}[0m") } else { ("", "") };
        let bare = |text: &str| text.trim_matches('"').to_owned();
        let time = self.now.to_string();
        let mut out = format!("{} {on}{:<8}{off} {} {}", &time[11..23], self.level, bare(&self.tag), bare(&self.event));
        for (name, value) in &self.fields {
            let _ = write!(out, " {name}={value}");
        }
        out.push('\n');
        out
    }
}

/// Values as JSON text.
#[derive(Default)]
struct Fields {
    tag: Option<String>,
    event: Option<String>,
    critical: bool,
    rest: Vec<(&'static str, String)>,
}

impl Fields {
    fn put(&mut self, field: &Field, value: String) {
        match field.name() {
            "tag" => self.tag = Some(value),
            "event" => self.event = Some(value),
            name => self.rest.push((name, value)),
        }
    }
}

impl Visit for Fields {
    fn record_bool(&mut self, field: &Field, value: bool) {
        if field.name() == "critical" {
            self.critical = value;
        } else {
            self.put(field, value.to_string());
        }
    }

    fn record_i64(&mut self, field: &Field, value: i64) {
        self.put(field, value.to_string());
    }

    fn record_u64(&mut self, field: &Field, value: u64) {
        self.put(field, value.to_string());
    }

    fn record_f64(&mut self, field: &Field, value: f64) {
        self.put(field, if value.is_finite() { value.to_string() } else { "null".to_owned() });
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        self.put(field, quoted(value));
    }

    fn record_debug(&mut self, field: &Field, value: &dyn std::fmt::Debug) {
        self.put(field, quoted(&format!("{value:?}")));
    }
}

/// A JSON string on one line; what could steer a terminal is escaped.
fn quoted(text: &str) -> String {
    let mut out = String::with_capacity(text.len() + 2);
    out.push('"');
    for c in text.chars().take(LONGEST) {
        match c {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            c if steers(c) => {
                let _ = write!(out, "\\u{:04x}", u32::from(c));
            }
            c => out.push(c),
        }
    }
    out.push('"');
    out
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};

    use crate::clock::Clock;
    use crate::model::time::Timestamp;
    use crate::observe::subscriber_into;

    fn logged(emit: impl FnOnce()) -> String {
        let buffer = Arc::new(Mutex::new(Vec::new()));
        let clock = Clock::starting_at(Timestamp(1_793_872_800_000));
        tracing::subscriber::with_default(subscriber_into(Arc::clone(&buffer), clock), emit);
        String::from_utf8(buffer.lock().unwrap().clone()).unwrap()
    }

    #[tokio::test(start_paused = true)]
    async fn a_line_has_its_fields_in_order_and_no_space() {
        let line = logged(|| {
            tracing::info!(tag = "CheckoutWebhook", event = "webhook_received", extra = 7, sessionId = "cs_1", runId = %"run_1");
        });
        assert_eq!(
            line,
            "{\"ts\":\"2026-11-05T10:00:00.000Z\",\"level\":\"info\",\"tag\":\"CheckoutWebhook\",\"event\":\"webhook_received\",\
             \"runId\":\"run_1\",\"sessionId\":\"cs_1\",\"extra\":7}\n"
        );
    }

    #[tokio::test(start_paused = true)]
    async fn what_cannot_wait_is_critical() {
        let line = logged(|| tracing::error!(tag = "Refund", event = "refund_failed", critical = true));
        assert!(line.contains(r#""level":"critical","tag":"Refund","event":"refund_failed"}"#), "{line}");
    }

    #[tokio::test(start_paused = true)]
    async fn a_value_cannot_forge_a_line_or_steer_a_terminal() {
        let evil = "x\n{\"level\":\"critical\"}\u{1b}[2J\u{202e}";
        let line = logged(|| tracing::info!(tag = "T", event = "e", name = evil));
        assert_eq!(line.lines().count(), 1);
        assert!(line.is_ascii());
        let back: serde_json::Value = serde_json::from_str(&line).unwrap();
        assert_eq!(back["name"], evil);
    }
}

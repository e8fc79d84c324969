//! Lines as they are shown.

use std::borrow::Cow;
use std::io::Write;

use discuno::logs::json::{Kind, Value, walk};
use discuno::logs::time::instant;
use jiff::tz::TimeZone;

use crate::output::plain;

/// How lines are shown.
pub(crate) struct Render {
    pub(crate) form: Form,
    pub(crate) colour: bool,
    /// Whether control characters could steer something.
    pub(crate) terminal: bool,
    pub(crate) fields: Fields,
    pub(crate) utc: bool,
}

/// In which form.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Form {
    /// As they are written.
    Raw,
    /// As JSON.
    Json,
    /// For people.
    People,
}

/// Which keys are shown.
pub(crate) enum Fields {
    All,
    Only(Vec<String>),
    Without(Vec<String>),
}

impl Fields {
    fn show(&self, key: &str) -> bool {
        match self {
            Self::All => true,
            Self::Only(keys) => keys.iter().any(|known| known == key),
            Self::Without(keys) => !keys.iter().any(|known| known == key),
        }
    }
}

/// What stands first, and not as `key=value`.
const HEAD: [&str; 4] = ["ts", "level", "tag", "event"];

impl Render {
    /// Whole lines, as they are shown.
    pub(crate) fn lines<'a>(&self, found: &'a [u8]) -> Cow<'a, [u8]> {
        if self.form != Form::People && matches!(self.fields, Fields::All) && !self.terminal {
            return Cow::Borrowed(found);
        }
        let mut out = Vec::with_capacity(found.len());
        for line in found.split_inclusive(|byte| *byte == b'\n') {
            let line = line.strip_suffix(b"\n").unwrap_or(line);
            let text = match self.form {
                Form::People => self.for_people(line),
                Form::Raw | Form::Json => self.json(line),
            };
            // A vector takes whatever is written.
            let _ = writeln!(out, "{text}");
        }
        Cow::Owned(out)
    }

    /// The line itself, or the keys of it that are wanted; without what could steer a terminal.
    fn json(&self, line: &[u8]) -> String {
        let mut pairs = Vec::new();
        let read = walk(line, |key, value| {
            let name = String::from_utf8_lossy(&key.text()).into_owned();
            if self.fields.show(&name) {
                pairs.push(format!("{}:{}", quoted(key), quoted(value)));
            }
        });
        let text = match (read, &self.fields) {
            (Err(_), _) | (Ok(()), Fields::All) => String::from_utf8_lossy(line).into_owned(),
            (Ok(()), _) => format!("{{{}}}", pairs.join(",")),
        };
        if self.terminal { plain(&text) } else { text }
    }

    fn for_people(&self, line: &[u8]) -> String {
        let (mut head, mut rest) = ([const { None }; HEAD.len()], String::new());
        let read = walk(line, |key, value| {
            let name = String::from_utf8_lossy(&key.text()).into_owned();
            if !self.fields.show(&name) {
                return;
            }
            if let Some(place) = HEAD.iter().position(|known| *known == name) {
                head[place] = Some(String::from_utf8_lossy(&value.text()).into_owned());
                return;
            }
            rest.push(' ');
            rest.push_str(&self.paint("\u{1b}[2m", &plain(&format!("{name}="))));
            rest.push_str(&plain(&shown(value)));
        });
        if read.is_err() {
            return plain(&String::from_utf8_lossy(line));
        }
        let [time, level, tag, event] = head.map(|text| text.map(|text| plain(&text)));
        let level = level.map(|level| {
            let padded = format!("{level:<8}");
            self.paint(colour(&level), &padded)
        });
        let words = [time.map(|time| self.time(&time)), level, tag, event.map(|event| self.paint("\u{1b}[1m", &event))];
        let line = format!("{}{rest}", words.into_iter().flatten().collect::<Vec<_>>().join(" "));
        line.trim_start().to_owned()
    }

    fn time(&self, text: &str) -> String {
        let at = instant(text.as_bytes()).and_then(|at| jiff::Timestamp::from_millisecond(at.0).ok());
        match at {
            Some(at) if !self.utc => TimeZone::system().to_datetime(at).strftime("%m-%d %H:%M:%S%.3f").to_string(),
            _ => text.to_owned(),
        }
    }

    fn paint(&self, paint: &str, text: &str) -> String {
        if self.colour { format!("{paint}{text}\u{1b}[0m") } else { text.to_owned() }
    }
}

fn colour(level: &str) -> &'static str {
    match level {
        "critical" => "\u{1b}[1;31m",
        "error" => "\u{1b}[31m",
        "warn" => "\u{1b}[33m",
        "debug" => "\u{1b}[2m",
        _ => "\u{1b}[32m",
    }
}

/// As it stands in JSON.
fn quoted(value: Value<'_>) -> String {
    let raw = String::from_utf8_lossy(value.raw);
    if value.kind == Kind::Other { raw.into_owned() } else { format!("\"{raw}\"") }
}

/// A word as it is; what has spaces in it between quotes.
fn shown(value: Value<'_>) -> String {
    let text = String::from_utf8_lossy(&value.text()).into_owned();
    let is_word = value.kind == Kind::Other || !text.is_empty() && !text.contains([' ', '"', '\n', '\t']);
    if is_word { text } else { quoted(value) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn render(form: Form, fields: Fields) -> Render {
        Render { form, colour: false, terminal: true, fields, utc: true }
    }

    #[test]
    fn people_see_time_level_tag_event_first_and_nothing_that_steers_their_terminal() {
        let line = br#"{"x":1,"event":"go","ts":"2026-11-24T17:00:00.000Z","level":"warn","tag":"T","why":"a b","esc":"\u001b[31m"}"#;
        let shown = String::from_utf8(render(Form::People, Fields::All).lines(line).into_owned()).unwrap();
        assert_eq!(shown, "2026-11-24T17:00:00.000Z warn     T go x=1 why=\"a b\" esc=\\u{1b}[31m\n");
        let raw = String::from_utf8(render(Form::Raw, Fields::All).lines(b"\x1b[31mred\n").into_owned()).unwrap();
        assert_eq!(raw, "\\u{1b}[31mred\n");
    }

    #[test]
    fn keys_are_chosen_or_left_out() {
        let line = br#"{"a":1,"b":"two","c":{"b":3}}"#;
        let only = render(Form::Json, Fields::Only(vec!["b".to_owned()])).lines(line);
        assert_eq!(String::from_utf8(only.into_owned()).unwrap(), "{\"b\":\"two\"}\n");
        let without = render(Form::Json, Fields::Without(vec!["b".to_owned()])).lines(line);
        assert_eq!(String::from_utf8(without.into_owned()).unwrap(), "{\"a\":1,\"c\":{\"b\":3}}\n");
    }
}

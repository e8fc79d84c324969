//! Values as pages show them.

use std::fmt::{Display, Formatter, Result};
use std::time::Duration;

use askama::filters::HtmlSafe;

use crate::model::time::Timestamp;
use crate::web::page::has_part;

/// An instant; the script adds how long ago it was.
pub(super) struct Time(Timestamp);

/// `2026-11-24 18:02:10`, with the whole instant behind it.
pub(super) const fn time(at: Timestamp) -> Time {
    Time(at)
}

impl Display for Time {
    fn fmt(&self, f: &mut Formatter<'_>) -> Result {
        let whole = self.0.to_string();
        let short = whole.get(..19).unwrap_or(&whole).replace('T', " ");
        write!(f, r#"<time datetime="{whole}">{short}</time>"#)
    }
}

impl HtmlSafe for Time {}

/// How long something took: `85 ms`, `1.2 s`, `3 min`, `2 h 5 min`, `4 d 1 h`.
pub(super) fn took(span: Duration) -> String {
    let (millis, secs) = (span.as_millis(), span.as_secs());
    match secs {
        0 => format!("{millis} ms"),
        1..60 => format!("{secs}.{} s", (millis % 1000) / 100),
        60..3600 => format!("{} min", secs / 60),
        3600..86_400 => format!("{} h {} min", secs / 3600, secs % 3600 / 60),
        _ => format!("{} d {} h", secs / 86_400, secs % 86_400 / 3600),
    }
}

/// One of our ids as a link to its page, where it has one.
pub(super) struct Link(String);

/// `run_7`, linked.
pub(super) fn link(id: impl Display) -> Link {
    Link(id.to_string())
}

impl Display for Link {
    fn fmt(&self, f: &mut Formatter<'_>) -> Result {
        let id = &self.0;
        // Ids of ours are a word, an underscore and digits.
        let part = match id.split_once('_') {
            Some((kind, digits)) if digits.bytes().all(|byte| byte.is_ascii_digit()) => {
                PARTS.iter().find(|(known, _)| *known == kind).map(|(_, part)| *part)
            }
            _ => None,
        };
        match part {
            Some(part) => write!(f, r#"<a href="/{part}/{id}">{id}</a>"#),
            None => escaped(id).fmt(f),
        }
    }
}

impl HtmlSafe for Link {}

/// Text from outside, as HTML shows it.
pub(super) fn escaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => out.push_str("&#38;"),
            '<' => out.push_str("&#60;"),
            '>' => out.push_str("&#62;"),
            '"' => out.push_str("&#34;"),
            '\'' => out.push_str("&#39;"),
            c => out.push(c),
        }
    }
    out
}

/// Text that leads to a list, where the site has it.
pub(super) struct To {
    address: Option<String>,
    text: String,
}

/// The list `part` under these conditions, as they stand in an address.
pub(super) fn to(part: &str, conditions: &str, text: impl Display) -> To {
    let address = has_part(part).then(|| format!("/{part}?{conditions}"));
    To { address, text: text.to_string() }
}

/// The list `part` of what has this word; `conditions` end with the name of the last.
pub(super) fn among(part: &str, conditions: &str, word: impl Display) -> To {
    let word = word.to_string();
    let value: String = url::form_urlencoded::byte_serialize(word.as_bytes()).collect();
    to(part, &format!("{conditions}={value}"), word)
}

impl Display for To {
    fn fmt(&self, f: &mut Formatter<'_>) -> Result {
        let text = escaped(&self.text);
        match &self.address {
            Some(address) => write!(f, r#"<a href="{}">{text}</a>"#, escaped(address)),
            None => f.write_str(&text),
        }
    }
}

impl HtmlSafe for To {}

/// `4.2 MB`, in powers of a thousand.
#[expect(clippy::cast_precision_loss, reason = "a figure for people")]
pub(super) fn bytes(count: u64) -> String {
    let (unit, size) = match count {
        0..1_000 => return format!("{count} bytes"),
        1_000..1_000_000 => ("kB", 1e3),
        1_000_000..1_000_000_000 => ("MB", 1e6),
        1_000_000_000..1_000_000_000_000 => ("GB", 1e9),
        _ => ("TB", 1e12),
    };
    format!("{:.1} {unit}", count as f64 / size)
}

/// The parts of the site, by the beginnings of ids.
const PARTS: [(&str, &str); 4] = [("case", "cases"), ("ev", "events"), ("pay", "payments"), ("run", "runs")];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_of_ours_lead_to_their_pages_and_other_text_is_escaped() {
        assert_eq!(link("run_7").to_string(), r#"<a href="/runs/run_7">run_7</a>"#);
        assert_eq!(link("<b>_7").to_string(), "&#60;b&#62;_7");
        assert_eq!(link("run_7\"><script>").to_string(), "run_7&#34;&#62;&#60;script&#62;");
    }

    #[test]
    fn a_list_is_led_to_by_its_conditions_where_there_is_one() {
        let failed = among("runs", "status=failed&workflow", "a&b<");
        assert_eq!(failed.to_string(), "<a href=\"/runs?status=failed&#38;workflow=a%26b%3C\">a&#38;b&#60;</a>");
        assert_eq!(to("nowhere", "x", "<5>").to_string(), "&#60;5&#62;");
        assert_eq!([0, 999, 4_200_000].map(bytes), ["0 bytes", "999 bytes", "4.2 MB"]);
    }

    #[test]
    fn spans_are_told_in_two_units_at_most() {
        let told: Vec<String> = [85, 1_250, 180_000, 7_500_000].map(Duration::from_millis).map(took).into();
        assert_eq!(told, ["85 ms", "1.2 s", "3 min", "2 h 5 min"]);
    }
}

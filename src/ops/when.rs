//! Times as people write them.

use jiff::civil::DateTime;
use jiff::tz::TimeZone;
use jiff::{SpanRelativeTo, ToSpan};

use crate::model::time::Timestamp;

/// `2h` or `3d` ago, `yesterday`, a date or time of this machine's zone, or an instant.
pub fn when(text: &str, now: Timestamp) -> Result<Timestamp, NoTime> {
    parse(text, now).ok_or_else(|| NoTime::Unread(text.to_owned()))
}

/// From when and until when, each if it is said.
pub fn between(
    since: Option<&str>,
    until: Option<&str>,
    now: Timestamp,
) -> Result<(Option<Timestamp>, Option<Timestamp>), NoTime> {
    let read = |text: Option<&str>| text.map(|text| when(text, now)).transpose();
    match (read(since)?, read(until)?) {
        (Some(since), Some(until)) if until < since => Err(NoTime::Reversed(since, until)),
        read => Ok(read),
    }
}

/// A text that is none of these, or a span in which there is nothing.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NoTime {
    /// No time.
    #[error("`{0}` is no time: 30m, 2h, 3d, yesterday, 2026-11-24, \"2026-11-24 15:00\" and 2026-11-24T15:00:00Z are")]
    Unread(String),
    /// From then until before.
    #[error("nothing is since {0} and until {1}: the one is after the other")]
    Reversed(Timestamp, Timestamp),
}

fn parse(text: &str, now: Timestamp) -> Option<Timestamp> {
    if let Ok(at) = text.parse() {
        return Some(at);
    }
    let zone = TimeZone::system();
    let today = zone.to_datetime(jiff::Timestamp::from_millisecond(now.0).ok()?).date();
    let local = |time: DateTime| Some(Timestamp(zone.to_timestamp(time).ok()?.as_millisecond()));
    match text {
        "now" => return Some(now),
        "today" => return local(today.into()),
        "yesterday" => return local(today.checked_sub(1.day()).ok()?.into()),
        _ => {}
    }
    if let Ok(time) = text.parse::<DateTime>() {
        return local(time);
    }
    let span = text.trim_start_matches('-').parse::<jiff::Span>().ok().filter(|span| !span.is_negative())?;
    let span = span.to_duration(SpanRelativeTo::days_are_24_hours()).ok()?;
    span.try_into().ok().map(|span| now.minus(span))
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Timestamp = Timestamp::from_secs(1_793_872_800);

    #[test]
    fn spans_count_back_from_now_and_instants_stand() {
        assert_eq!(when("2h", NOW).unwrap(), Timestamp(NOW.0 - 2 * 3_600_000));
        assert_eq!(when("3d", NOW).unwrap(), Timestamp(NOW.0 - 3 * 86_400_000));
        assert_eq!(when("-1h30m", NOW).unwrap(), Timestamp(NOW.0 - 5_400_000));
        assert_eq!(when("2026-11-05T10:00:00Z", NOW).unwrap(), NOW);
        assert!(when("2026-11-05", NOW).unwrap() <= when("today", NOW).unwrap());
        for text in ["", "soon", "2", "2026-13-01", "h"] {
            assert!(when(text, NOW).is_err(), "{text}");
        }
    }

    #[test]
    fn a_span_ends_after_it_begins() {
        let hours = |hours: i64| Some(Timestamp(NOW.0 - hours * 3_600_000));
        assert_eq!(between(Some("2h"), Some("1h"), NOW), Ok((hours(2), hours(1))));
        assert_eq!(between(None, Some("1h"), NOW), Ok((None, hours(1))));
        assert!(matches!(between(Some("1h"), Some("2h"), NOW), Err(NoTime::Reversed(..))));
        assert!(matches!(between(Some("1h"), Some("soon"), NOW), Err(NoTime::Unread(..))));
    }
}

//! Reads `Retry-After`: seconds, or an HTTP date; and `Date`.

use std::time::Duration;

use http::HeaderMap;

use crate::model::time::Timestamp;

/// Longer waits are cut: a provider cannot put work off for ever.
const LONGEST: Duration = Duration::from_hours(24);

/// How long the answer asks to be left alone. A date counts from the answer's own `Date`, so that a clock that is
/// wrong on either side does not matter; without one it is left out.
pub(crate) fn retry_after(headers: &HeaderMap) -> Option<Duration> {
    let text = headers.get(http::header::RETRY_AFTER)?.to_str().ok()?.trim();
    let wait = match text.parse::<f64>() {
        Ok(seconds) if seconds.is_finite() && seconds >= 0.0 => Duration::from_secs_f64(seconds.min(1e9)),
        Ok(_) => return None,
        Err(_) => {
            let until = http_date(text)?;
            let now = http_date(headers.get(http::header::DATE)?.to_str().ok()?)?;
            Duration::from_secs(u64::try_from(until.saturating_sub(now)).unwrap_or(0))
        }
    };
    Some(wait.min(LONGEST))
}

/// When the answer was made, by the clock of who answers.
pub(crate) fn answered_at(headers: &HeaderMap) -> Option<Timestamp> {
    http_date(headers.get(http::header::DATE)?.to_str().ok()?).map(Timestamp::from_secs)
}

fn http_date(text: &str) -> Option<i64> {
    jiff::fmt::rfc2822::parse(text).ok().map(|zoned| zoned.timestamp().as_second())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(headers: &[(&'static str, &'static str)]) -> Option<Duration> {
        let map = headers.iter().map(|(name, value)| (name.parse().unwrap(), value.parse().unwrap())).collect();
        retry_after(&map)
    }

    #[test]
    fn seconds_are_read_and_capped() {
        assert_eq!(read(&[("retry-after", "7")]), Some(Duration::from_secs(7)));
        assert_eq!(read(&[("retry-after", "0.5")]), Some(Duration::from_millis(500)));
        assert_eq!(read(&[("retry-after", "999999999")]), Some(LONGEST));
        assert_eq!(read(&[("retry-after", "-1")]), None);
        assert_eq!(read(&[("retry-after", "soon")]), None);
        assert_eq!(read(&[]), None);
    }

    #[test]
    fn a_date_counts_from_the_date_of_the_answer() {
        let (now, later) = ("Thu, 05 Nov 2026 10:00:00 GMT", "Thu, 05 Nov 2026 10:00:30 GMT");
        assert_eq!(read(&[("date", now), ("retry-after", later)]), Some(Duration::from_secs(30)));
        assert_eq!(read(&[("date", later), ("retry-after", now)]), Some(Duration::ZERO));
        assert_eq!(read(&[("retry-after", later)]), None);
    }
}

//! Reads when an answer wants to be asked for again: `Retry-After`, seconds or an HTTP date, or when a limit is counted anew; and `Date`.

use std::time::Duration;

use http::{HeaderMap, StatusCode};

use crate::model::time::Timestamp;
use crate::transport::Response;

/// Longer waits are cut: a provider cannot put work off for ever.
const LONGEST: Duration = Duration::from_hours(24);

/// For so long Cal.com refuses whoever has asked too often.
pub(crate) const CAL_BLOCK: Duration = Duration::from_secs(60);

/// Cal.com puts the name of the limit behind it.
const RESET: &str = "x-ratelimit-reset";
/// A larger number is a time, not what is left.
const MOST_LEFT: i64 = 1_000_000_000;

/// How long the answer asks to be left alone. When a limit is counted anew is told in every answer, and matters where it was met.
pub(crate) fn wait(answer: &Response) -> Option<Duration> {
    let limited = answer.status == StatusCode::TOO_MANY_REQUESTS;
    retry_after(&answer.headers).or_else(|| limit_reset(&answer.headers).filter(|_| limited))
}

/// Until the first of the limits is counted anew: Cal.com refuses only while each of them is used up.
fn limit_reset(headers: &HeaderMap) -> Option<Duration> {
    let resets = headers.iter().filter(|(name, _)| name.as_str().starts_with(RESET));
    let left = resets.filter_map(|(_, value)| {
        let number: i64 = value.to_str().ok()?.trim().parse().ok()?;
        let seconds = if number > MOST_LEFT { (number - answered_at(headers)?.as_secs()).max(0) } else { number };
        Some(Duration::from_secs(u64::try_from(seconds).ok()?))
    });
    // No limit is counted for longer: such a number means something else.
    left.filter(|left| *left <= LONGEST).min()
}

/// `Retry-After`. A date counts from the answer's own `Date`, so that a clock that is
/// wrong on either side does not matter; without one it is left out.
fn retry_after(headers: &HeaderMap) -> Option<Duration> {
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
    use crate::provider::script::answer;

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
    fn a_429_is_waited_for_until_the_first_of_its_limits_is_counted_anew() {
        let read = |status: u16, headers: &[(&'static str, &str)]| wait(&answer(status, headers, "").unwrap());
        let seconds = |seconds| Some(Duration::from_secs(seconds));
        let (name, other) = ("X-RateLimit-Reset-Default", "X-RateLimit-Reset-Daily");
        assert_eq!(read(429, &[(name, "43"), ("X-RateLimit-Remaining-Default", "0")]), seconds(43));
        assert_eq!(read(429, &[("x-ratelimit-reset", "43")]), seconds(43));
        assert_eq!(read(429, &[(name, "43"), ("retry-after", "7")]), seconds(7));
        assert_eq!(read(429, &[(name, "43"), (other, "80000")]), seconds(43));
        for nothing in ["-1", "soon", "", "100000", "1893456000"] {
            assert_eq!(read(429, &[(name, nothing)]), None, "{nothing}");
        }
        let date = ("date", "Thu, 05 Nov 2026 10:00:00 GMT");
        assert_eq!(read(429, &[(name, "1793872830"), date]), seconds(30), "a time, by the clock of who answers");
        assert_eq!(read(429, &[(name, "1793872799"), date]), seconds(0));
        assert_eq!(read(400, &[(name, "43")]), None, "told with every answer");
        assert_eq!(read(503, &[("retry-after", "43")]), seconds(43));
    }

    #[test]
    fn a_date_counts_from_the_date_of_the_answer() {
        let (now, later) = ("Thu, 05 Nov 2026 10:00:00 GMT", "Thu, 05 Nov 2026 10:00:30 GMT");
        assert_eq!(read(&[("date", now), ("retry-after", later)]), Some(Duration::from_secs(30)));
        assert_eq!(read(&[("date", later), ("retry-after", now)]), Some(Duration::ZERO));
        assert_eq!(read(&[("retry-after", later)]), None);
    }
}

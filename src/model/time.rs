//! Instants as UTC milliseconds.

use std::time::Duration;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::model::ParseError;

/// Milliseconds since 1970-01-01T00:00:00Z.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(transparent)]
pub struct Timestamp(pub i64);

impl Timestamp {
    /// From whole seconds, as Stripe writes its times.
    pub const fn from_secs(secs: i64) -> Self {
        Self(secs.saturating_mul(1000))
    }

    /// Whole seconds, rounded down.
    pub const fn as_secs(self) -> i64 {
        self.0.div_euclid(1000)
    }

    /// This instant moved later; saturates at the end of time.
    #[must_use]
    pub fn plus(self, span: Duration) -> Self {
        Self(self.0.saturating_add(i64::try_from(span.as_millis()).unwrap_or(i64::MAX)))
    }

    /// This instant moved earlier; saturates at the beginning of time.
    #[must_use]
    pub fn minus(self, span: Duration) -> Self {
        Self(self.0.saturating_sub(i64::try_from(span.as_millis()).unwrap_or(i64::MAX)))
    }

    /// How long ago `earlier` was; zero if it lies ahead.
    pub fn since(self, earlier: Self) -> Duration {
        Duration::from_millis(u64::try_from(self.0.saturating_sub(earlier.0)).unwrap_or(0))
    }

    fn instant(self) -> jiff::Timestamp {
        jiff::Timestamp::from_millisecond(self.0).unwrap_or(if self.0 < 0 {
            jiff::Timestamp::MIN
        } else {
            jiff::Timestamp::MAX
        })
    }

    /// The wall time in an IANA zone, named: `Thursday, 12 November 2026, 10:00 EST (America/New_York)`.
    /// An unknown zone falls back to UTC, and says so.
    pub fn in_zone(self, zone: &str) -> String {
        let (zone, name) = match jiff::tz::TimeZone::get(zone) {
            Ok(found) => (found, zone),
            Err(_) => (jiff::tz::TimeZone::UTC, "UTC"),
        };
        let zoned = jiff::ZonedDateTime::new(self.instant(), zone);
        if name == "UTC" {
            zoned.strftime("%A, %-d %B %Y, %H:%M UTC").to_string()
        } else {
            format!("{} ({name})", zoned.strftime("%A, %-d %B %Y, %H:%M %Z"))
        }
    }
}

impl std::fmt::Display for Timestamp {
    /// RFC 3339 with milliseconds: `2026-11-12T15:00:00.000Z`.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.pad(&format!("{:.3}", self.instant()))
    }
}

impl std::str::FromStr for Timestamp {
    type Err = ParseError;

    /// Any RFC 3339 instant, with `Z` or an offset.
    fn from_str(text: &str) -> Result<Self, ParseError> {
        text.parse::<jiff::Timestamp>()
            .map(|instant| Self(instant.as_millisecond()))
            .map_err(|_| ParseError { what: "instant", text: text.to_owned() })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_instant_reads_back_as_it_is_shown() {
        let text = "2026-11-12T15:00:00.000Z";
        assert_eq!(text.parse::<Timestamp>().unwrap().to_string(), text);
        assert_eq!("2026-11-12T10:00:00-05:00".parse::<Timestamp>(), text.parse());
    }

    #[test]
    fn wall_time_carries_the_zone_and_its_name() {
        let start: Timestamp = "2026-11-12T15:00:00Z".parse().unwrap();
        assert_eq!(start.in_zone("America/New_York"), "Thursday, 12 November 2026, 10:00 EST (America/New_York)");
        assert_eq!(start.in_zone("Mars/Olympus"), "Thursday, 12 November 2026, 15:00 UTC");
    }

    #[test]
    fn arithmetic_saturates_instead_of_wrapping() {
        assert_eq!(Timestamp(i64::MAX).plus(Duration::from_secs(1)), Timestamp(i64::MAX));
        assert_eq!(Timestamp(5).since(Timestamp(9)), Duration::ZERO);
        let _ = Timestamp(i64::MAX).to_string();
    }
}

//! How often a step is tried, by name.

use std::time::Duration;

/// How often a step is tried before it has failed for good. A wait is drawn from zero up to a ceiling, which starts at the
/// configured base (`DISCUNO_RETRY_BASE`) and doubles up to `cap`: on average the tries take half of the most that they
/// can. A permanent failure is never retried.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Policy {
    /// Tries after the first.
    pub retries: u32,
    /// The highest ceiling.
    pub cap: Duration,
}

const HOUR: Duration = Duration::from_secs(3600);

impl Policy {
    /// One try and three retries.
    pub const DEFAULT: Self = Self { retries: 3, cap: Duration::from_secs(60) };
    /// Some minutes with the default base: a sale outlives a provider's stumble, and its customer does not wait for long.
    pub const BOOKING: Self = Self { retries: 8, cap: Duration::from_secs(2 * 60) };
    /// One try: whoever asks goes on without it.
    pub const ONCE: Self = Self { retries: 0, cap: Duration::ZERO };
    /// At most 68 minutes with the default base, 34 on average, before a person is asked.
    pub const MONEY: Self = Self { retries: 12, cap: HOUR };
    /// At most 17 hours with the default base, 8.6 on average, within the time for which a mail provider remembers its keys.
    pub const MAIL: Self = Self { retries: 28, cap: HOUR };
    /// Until it gets through.
    pub const ENDLESS: Self = Self { retries: u32::MAX, cap: HOUR };
}

//! How often a step is tried, by name.

use std::time::Duration;

/// How often a step is tried before it has failed for good. Waits start at the configured base
/// (`DISCUNO_RETRY_BASE`) times `pace` and double up to `cap`. A permanent failure is never retried.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Policy {
    /// Tries after the first.
    pub retries: u32,
    /// Multiplies the configured base.
    pub pace: u32,
    /// The longest wait.
    pub cap: Duration,
}

const HOUR: Duration = Duration::from_secs(3600);

impl Policy {
    /// One try and three retries.
    pub const DEFAULT: Self = Self { retries: 3, pace: 1, cap: Duration::from_secs(60) };
    /// Some minutes with the default base: a sale outlives a provider's stumble, and its customer does not wait for long.
    pub const BOOKING: Self = Self { retries: 8, pace: 1, cap: Duration::from_secs(2 * 60) };
    /// One try: whoever asks goes on without it.
    pub const ONCE: Self = Self { retries: 0, pace: 1, cap: Duration::ZERO };
    /// About two hours with the default base, before a person is asked.
    pub const MONEY: Self = Self { retries: 12, pace: 1, cap: HOUR };
    /// About eighteen hours, within the time for which a mail provider remembers its keys.
    pub const MAIL: Self = Self { retries: 28, pace: 1, cap: HOUR };
    /// Until it gets through.
    pub const ENDLESS: Self = Self { retries: u32::MAX, pace: 1, cap: HOUR };
}

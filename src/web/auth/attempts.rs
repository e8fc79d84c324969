//! How often a log-in may fail.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

/// So many failures of one name…
const OF_ONE: u32 = 5;
/// …or of all of them together…
const OF_ALL: u32 = 50;
/// …within this time, and nobody is listened to until it is over.
const SPAN: Duration = Duration::from_secs(300);

#[derive(Default)]
struct Failures {
    since: Option<Instant>,
    all: u32,
    of: BTreeMap<String, u32>,
}

/// The failures of the present span, in this process.
#[derive(Default)]
pub(super) struct Attempts(Mutex<Failures>);

impl Attempts {
    /// How long this name has to wait before it is listened to.
    pub(super) fn wait(&self, name: &str) -> Option<Duration> {
        let mut failures = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let left = failures.since.map(|since| SPAN.saturating_sub(since.elapsed()))?;
        if left.is_zero() {
            *failures = Failures::default();
            return None;
        }
        let spent = failures.all >= OF_ALL || failures.of.get(name).is_some_and(|count| *count >= OF_ONE);
        spent.then_some(left)
    }

    /// It failed.
    pub(super) fn failed(&self, name: &str) {
        let mut failures = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        failures.since.get_or_insert_with(Instant::now);
        failures.all += 1;
        *failures.of.entry(name.to_owned()).or_default() += 1;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_name_that_failed_five_times_waits_and_others_do_not() {
        let attempts = Attempts::default();
        for _ in 0..OF_ONE {
            assert!(attempts.wait("mia").is_none());
            attempts.failed("mia");
        }
        assert!(attempts.wait("mia").is_some() && attempts.wait("tom").is_none());
        tokio::time::advance(SPAN).await;
        assert!(attempts.wait("mia").is_none());
    }

    #[tokio::test(start_paused = true)]
    async fn many_names_together_are_stopped_too() {
        let attempts = Attempts::default();
        for number in 0..OF_ALL {
            attempts.failed(&number.to_string());
        }
        assert!(attempts.wait("another").is_some());
    }
}

//! What a process has asked its providers, in a few figures for people.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

/// The calls of one provider since the process began.
#[derive(Debug, Clone, Copy, Default)]
pub struct Tally {
    /// How many.
    pub calls: u64,
    /// How many did not succeed.
    pub failed: u64,
    /// How many within the last whole minute.
    pub last_minute: u32,
    /// What they took together.
    pub total: Duration,
    /// The longest.
    pub slowest: Duration,
}

impl Tally {
    /// What a call took on average.
    pub fn mean(&self) -> Option<Duration> {
        self.total.checked_div(u32::try_from(self.calls).unwrap_or(u32::MAX))
    }
}

#[derive(Default)]
struct Counted {
    tally: Tally,
    /// The minute that is counted, and its calls so far.
    minute: (u64, u32),
}

impl Counted {
    fn roll(&mut self, minute: u64) {
        let (counted, calls) = self.minute;
        if minute != counted {
            self.tally.last_minute = if minute == counted + 1 { calls } else { 0 };
            self.minute = (minute, 0);
        }
    }
}

pub(super) struct Calls {
    began: Instant,
    of: Mutex<BTreeMap<&'static str, Counted>>,
}

impl Default for Calls {
    fn default() -> Self {
        Self { began: Instant::now(), of: Mutex::default() }
    }
}

impl Calls {
    fn minute(&self) -> u64 {
        self.began.elapsed().as_secs() / 60
    }

    pub(super) fn count(&self, provider: &'static str, succeeded: bool, took: Duration) {
        let mut of = self.of.lock().unwrap_or_else(PoisonError::into_inner);
        let counted = of.entry(provider).or_default();
        counted.roll(self.minute());
        counted.minute.1 += 1;
        let tally = &mut counted.tally;
        tally.calls += 1;
        tally.failed += u64::from(!succeeded);
        tally.total += took;
        tally.slowest = tally.slowest.max(took);
    }

    pub(super) fn all(&self) -> BTreeMap<&'static str, Tally> {
        let mut of = self.of.lock().unwrap_or_else(PoisonError::into_inner);
        let minute = self.minute();
        of.values_mut().for_each(|counted| counted.roll(minute));
        of.iter().map(|(provider, counted)| (*provider, counted.tally)).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_minute_is_told_once_it_is_over_and_forgotten_after_the_next() {
        let calls = Calls::default();
        calls.count("stripe", true, Duration::from_millis(10));
        calls.count("stripe", false, Duration::from_millis(30));
        let minutes = async |count: u64| {
            tokio::time::advance(Duration::from_secs(60 * count)).await;
            calls.all()["stripe"]
        };
        assert_eq!(calls.all()["stripe"].last_minute, 0);
        let after_one = minutes(1).await;
        assert_eq!((after_one.last_minute, after_one.calls, after_one.failed), (2, 2, 1));
        assert_eq!((after_one.mean(), after_one.slowest.as_millis()), (Some(Duration::from_millis(20)), 30));
        assert_eq!(minutes(2).await.last_minute, 0);
    }
}

//! What a process has asked its providers, in a few figures for people.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

use crate::model::failure::CREDENTIALS;

/// The outcome of a call that succeeded.
const SUCCESS: &str = "ok";

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
    /// For how long our key has been refused, and no call has succeeded.
    pub refused_for: Option<Duration>,
}

/// How a provider takes our key.
#[derive(Debug, Clone, Copy)]
pub struct Key {
    /// Since when it refuses it, and no call has succeeded.
    pub refused_since: Option<Instant>,
    /// When it last refused it, or a call succeeded.
    pub last: Instant,
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
    key: Option<Key>,
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

    pub(super) fn count(&self, provider: &'static str, outcome: &'static str, took: Duration) {
        let (succeeded, now) = (outcome == SUCCESS, Instant::now());
        let mut of = self.of.lock().unwrap_or_else(PoisonError::into_inner);
        let counted = of.entry(provider).or_default();
        counted.roll(self.minute());
        counted.minute.1 += 1;
        let tally = &mut counted.tally;
        tally.calls += 1;
        tally.failed += u64::from(!succeeded);
        tally.total += took;
        tally.slowest = tally.slowest.max(took);
        // Anything else says nothing of the key.
        if succeeded {
            counted.key = Some(Key { refused_since: None, last: now });
        } else if outcome == CREDENTIALS {
            let refused_since = counted.key.and_then(|key| key.refused_since).or(Some(now));
            counted.key = Some(Key { refused_since, last: now });
        }
    }

    pub(super) fn keys(&self) -> BTreeMap<&'static str, Key> {
        let of = self.of.lock().unwrap_or_else(PoisonError::into_inner);
        of.iter().filter_map(|(provider, counted)| Some((*provider, counted.key?))).collect()
    }

    pub(super) fn all(&self) -> BTreeMap<&'static str, Tally> {
        let mut of = self.of.lock().unwrap_or_else(PoisonError::into_inner);
        let minute = self.minute();
        of.values_mut().for_each(|counted| counted.roll(minute));
        let tally = |counted: &Counted| {
            let refused_since = counted.key.and_then(|key| key.refused_since);
            Tally { refused_for: refused_since.map(|since| since.elapsed()), ..counted.tally }
        };
        of.iter().map(|(provider, counted)| (*provider, tally(counted))).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_minute_is_told_once_it_is_over_and_forgotten_after_the_next() {
        let calls = Calls::default();
        calls.count("stripe", SUCCESS, Duration::from_millis(10));
        calls.count("stripe", "timeout", Duration::from_millis(30));
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

    #[tokio::test(start_paused = true)]
    async fn a_key_is_refused_from_the_first_refusal_until_a_call_succeeds() {
        let calls = Calls::default();
        let after = async |outcome: &'static str| {
            tokio::time::advance(Duration::from_secs(60)).await;
            calls.count("stripe", outcome, Duration::ZERO);
            calls.all()["stripe"].refused_for.map(|span| span.as_secs())
        };
        let seen = [
            after("timeout").await,
            after(CREDENTIALS).await,
            after("timeout").await,
            after(CREDENTIALS).await,
            after("permanent").await,
            after(SUCCESS).await,
            after(CREDENTIALS).await,
        ];
        assert_eq!(seen, [None, Some(0), Some(60), Some(120), Some(180), None, Some(0)]);
        assert!(calls.keys()["stripe"].refused_since.is_some());
    }
}

//! How often a log-in may fail, and how many passwords are looked at together.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::{Instant, timeout};

/// So many failures of one name…
const OF_ONE: u32 = 5;
/// …or of all of them together…
const OF_ALL: u32 = 50;
/// …within this time, and nobody is listened to until it is over.
const SPAN: Duration = Duration::from_secs(300);
/// So many passwords are looked at together: each takes 19 MiB.
const AT_ONCE: usize = 2;
/// How long a log-in waits for its turn.
const PATIENCE: Duration = Duration::from_secs(2);

#[derive(Default)]
struct Failures {
    since: Option<Instant>,
    all: u32,
    of: BTreeMap<String, u32>,
}

/// The failures of the present span, in this process.
pub(super) struct Attempts {
    failures: Mutex<Failures>,
    turns: Arc<Semaphore>,
}

impl Default for Attempts {
    fn default() -> Self {
        Self { failures: Mutex::default(), turns: Arc::new(Semaphore::new(AT_ONCE)) }
    }
}

impl Attempts {
    /// The right to look at a password. How long to wait for it, where too many others do.
    pub(super) async fn turn(&self) -> Result<OwnedSemaphorePermit, Duration> {
        let turn = timeout(PATIENCE, Arc::clone(&self.turns).acquire_owned()).await;
        turn.ok().and_then(Result::ok).ok_or(PATIENCE)
    }

    /// Counts an attempt as failed before it is looked at, so that those that come together are counted too. How long this
    /// name has to wait, where it is not listened to. Without a name it is a token, which cannot be guessed: others do not
    /// close that way.
    pub(super) fn begin(&self, name: &str) -> Result<(), Duration> {
        let mut failures = self.failures.lock().unwrap_or_else(PoisonError::into_inner);
        let since = *failures.since.get_or_insert_with(Instant::now);
        let mut left = SPAN.saturating_sub(since.elapsed());
        if left.is_zero() {
            *failures = Failures { since: Some(Instant::now()), ..Failures::default() };
            left = SPAN;
        }
        let shared = !name.is_empty();
        let spent = failures.of.get(name).is_some_and(|count| *count >= OF_ONE);
        if spent || shared && failures.all >= OF_ALL {
            return Err(left);
        }
        failures.all += u32::from(shared);
        *failures.of.entry(name.to_owned()).or_default() += 1;
        Ok(())
    }

    /// It did not fail.
    pub(super) fn succeeded(&self, name: &str) {
        let mut failures = self.failures.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(count) = failures.of.get_mut(name).filter(|count| **count > 0) {
            *count -= 1;
            failures.all -= u32::from(!name.is_empty());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_name_that_failed_five_times_waits_and_others_do_not() {
        let attempts = Attempts::default();
        for _ in 0..OF_ONE {
            assert!(attempts.begin("mia").is_ok());
        }
        assert!(attempts.begin("mia").is_err() && attempts.begin("tom").is_ok());
        tokio::time::advance(SPAN).await;
        assert!(attempts.begin("mia").is_ok());
    }

    #[tokio::test(start_paused = true)]
    async fn many_names_together_are_stopped_too_and_tokens_are_not() {
        let attempts = Attempts::default();
        for number in 0..OF_ALL {
            assert!(attempts.begin(&number.to_string()).is_ok());
        }
        assert!(attempts.begin("another").is_err() && attempts.begin("").is_ok());
    }

    #[tokio::test(start_paused = true)]
    async fn who_is_let_in_uses_nothing_up() {
        let attempts = Attempts::default();
        for name in ["mia", "tom", ""].into_iter().cycle().take(4 * OF_ALL as usize) {
            assert!(attempts.begin(name).is_ok());
            attempts.succeeded(name);
        }
        attempts.succeeded("eve");
        assert!(attempts.begin("eve").is_ok());
    }

    #[tokio::test(start_paused = true)]
    async fn a_few_passwords_are_looked_at_together_and_nobody_waits_long_for_a_turn() {
        let attempts = Attempts::default();
        let mut turns = Vec::new();
        for _ in 0..AT_ONCE {
            turns.push(attempts.turn().await.unwrap());
        }
        assert_eq!(attempts.turn().await.unwrap_err(), PATIENCE);
        turns.pop();
        assert!(attempts.turn().await.is_ok());
    }
}

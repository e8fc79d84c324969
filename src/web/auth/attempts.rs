//! How often a log-in may fail, and how many passwords are looked at together.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::{Instant, timeout};

/// So many failures of one name, or of whoever brings a token…
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

/// Whose attempt it is.
#[derive(Debug, Clone, Copy)]
pub(super) enum Whose<'a> {
    /// A token's, which was wrong.
    Token,
    /// Somebody's by this name.
    Name(&'a str),
    /// The same from a browser in which this name has logged in before: strangers do not use this up.
    Known(&'a str),
}

impl Whose<'_> {
    /// What its failures are counted under. No name has a slash.
    fn budget(self) -> String {
        match self {
            Self::Token => "/".to_owned(),
            Self::Name(name) => name.to_owned(),
            Self::Known(name) => format!("{name}/"),
        }
    }

    /// Whether it counts among those of all names.
    const fn is_shared(self) -> bool {
        matches!(self, Self::Name(_))
    }
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

    /// Counts an attempt as failed before it is looked at, so that those that come together are counted too. How long it has to
    /// wait, where it is not listened to.
    pub(super) fn begin(&self, whose: Whose<'_>) -> Result<(), Duration> {
        let mut failures = self.failures.lock().unwrap_or_else(PoisonError::into_inner);
        let since = *failures.since.get_or_insert_with(Instant::now);
        let mut left = SPAN.saturating_sub(since.elapsed());
        if left.is_zero() {
            *failures = Failures { since: Some(Instant::now()), ..Failures::default() };
            left = SPAN;
        }
        let (budget, shared) = (whose.budget(), whose.is_shared());
        let spent = failures.of.get(&budget).is_some_and(|count| *count >= OF_ONE);
        if spent || shared && failures.all >= OF_ALL {
            return Err(left);
        }
        failures.all += u32::from(shared);
        *failures.of.entry(budget).or_default() += 1;
        Ok(())
    }

    /// It did not fail.
    pub(super) fn succeeded(&self, whose: Whose<'_>) {
        let mut failures = self.failures.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(count) = failures.of.get_mut(&whose.budget()).filter(|count| **count > 0) {
            *count -= 1;
            failures.all -= u32::from(whose.is_shared());
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
            assert!(attempts.begin(Whose::Name("mia")).is_ok());
        }
        assert!(attempts.begin(Whose::Name("mia")).is_err() && attempts.begin(Whose::Name("tom")).is_ok());
        tokio::time::advance(SPAN).await;
        assert!(attempts.begin(Whose::Name("mia")).is_ok());
    }

    #[tokio::test(start_paused = true)]
    async fn many_names_together_are_stopped_too_and_tokens_are_not() {
        let attempts = Attempts::default();
        for number in 0..OF_ALL {
            assert!(attempts.begin(Whose::Name(&number.to_string())).is_ok());
        }
        assert!(attempts.begin(Whose::Name("another")).is_err() && attempts.begin(Whose::Token).is_ok());
    }

    #[tokio::test(start_paused = true)]
    async fn strangers_do_not_close_the_way_of_who_was_here_before_and_nobody_guesses_on_it() {
        let attempts = Attempts::default();
        for number in 0..OF_ALL {
            let name = number.to_string();
            let _ = attempts.begin(Whose::Name(if number < OF_ONE { "mia" } else { &name }));
        }
        assert!(attempts.begin(Whose::Name("mia")).is_err());
        for _ in 0..OF_ONE {
            assert!(attempts.begin(Whose::Known("mia")).is_ok());
        }
        assert!(attempts.begin(Whose::Known("mia")).is_err() && attempts.begin(Whose::Known("tom")).is_ok());
    }

    #[tokio::test(start_paused = true)]
    async fn who_is_let_in_uses_nothing_up() {
        let attempts = Attempts::default();
        for whose in
            [Whose::Name("mia"), Whose::Known("mia"), Whose::Token].into_iter().cycle().take(4 * OF_ALL as usize)
        {
            assert!(attempts.begin(whose).is_ok());
            attempts.succeeded(whose);
        }
        attempts.succeeded(Whose::Name("eve"));
        assert!(attempts.begin(Whose::Name("eve")).is_ok());
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

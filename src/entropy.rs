//! Chance, handed in: from the operating system, or from a seed.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

/// A source of random numbers for jitter and identities. Not for secrets.
#[derive(Debug, Clone)]
pub struct Entropy(Arc<Mutex<fastrand::Rng>>);

impl Entropy {
    /// Seeded by the operating system.
    pub fn from_os() -> Self {
        #[expect(clippy::disallowed_methods, reason = "the one place that asks the system")]
        Self(Arc::new(Mutex::new(fastrand::Rng::new())))
    }

    /// The same numbers for the same seed.
    pub fn seeded(seed: u64) -> Self {
        Self(Arc::new(Mutex::new(fastrand::Rng::with_seed(seed))))
    }

    /// A number below `end`; zero if `end` is zero.
    pub fn below(&self, end: u64) -> u64 {
        if end == 0 { 0 } else { self.rng().u64(0..end) }
    }

    /// A duration between zero and `most`, both included, with millisecond grain.
    pub fn up_to(&self, most: Duration) -> Duration {
        let millis = u64::try_from(most.as_millis()).unwrap_or(u64::MAX - 1);
        Duration::from_millis(self.below(millis.saturating_add(1)))
    }

    /// `digits` random hexadecimal digits.
    pub fn hex(&self, digits: usize) -> String {
        let mut rng = self.rng();
        (0..digits).map(|_| rng.digit(16)).collect()
    }

    fn rng(&self) -> std::sync::MutexGuard<'_, fastrand::Rng> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

//! The time of day, handed in: the system's, or a virtual one that moves with tokio's paused clock.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::{Duration, SystemTime};

use tokio::time::Instant;

use crate::model::time::Timestamp;

/// Where `now` comes from. Waiting is always `tokio::time`, so a virtual clock and every timer move together.
#[derive(Debug, Clone)]
pub enum Clock {
    /// The machine's clock.
    System,
    /// The clock of the server that several machines share, whatever their own clocks say.
    Shared(Arc<Anchor>),
    /// `origin` plus what tokio's clock has moved since `start`.
    Virtual {
        /// The time of day at `start`.
        origin: Timestamp,
        /// When the clock was made.
        start: Instant,
        /// By how many milliseconds it is wrong.
        ahead: Arc<AtomicI64>,
    },
}

impl Clock {
    /// A clock that reads `origin` now and advances with tokio's.
    pub fn starting_at(origin: Timestamp) -> Self {
        Self::Virtual { origin, start: Instant::now(), ahead: Arc::default() }
    }

    /// Another clock of the same time, which may be set wrong by itself.
    #[must_use]
    pub fn of_its_own(&self) -> Self {
        match self {
            Self::System => Self::System,
            Self::Shared(anchor) => Self::Shared(Arc::clone(anchor)),
            Self::Virtual { origin, start, .. } => {
                Self::Virtual { origin: *origin, start: *start, ahead: Arc::default() }
            }
        }
    }

    /// Sets a virtual clock, and its clones, wrong by so many milliseconds. Waiting is not affected: timers never jump.
    pub fn set_ahead(&self, millis: i64) {
        if let Self::Virtual { ahead, .. } = self {
            ahead.store(millis, Ordering::Relaxed);
        }
    }

    /// The time of day.
    pub fn now(&self) -> Timestamp {
        match self {
            #[expect(clippy::disallowed_methods, reason = "the one place that asks the system")]
            Self::System => {
                let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
                Timestamp(0).plus(since)
            }
            Self::Shared(anchor) => anchor.now(),
            Self::Virtual { origin, start, ahead } => {
                let right = origin.plus(start.elapsed());
                Timestamp(right.0 + ahead.load(Ordering::Relaxed))
            }
        }
    }
}

/// Another machine's clock: read now and then, and carried on by this machine's steady one.
#[derive(Debug)]
pub struct Anchor {
    start: Instant,
    /// What it read at `start`, in milliseconds.
    at_start: AtomicI64,
}

impl Default for Anchor {
    /// This machine's clock, until the other one is read.
    fn default() -> Self {
        let anchor = Self { start: Instant::now(), at_start: AtomicI64::new(0) };
        anchor.set(Clock::System.now());
        anchor
    }
}

impl Anchor {
    /// It reads `now`.
    pub fn set(&self, now: Timestamp) {
        self.at_start.store(now.minus(self.start.elapsed()).0, Ordering::Relaxed);
    }

    /// What it reads.
    pub fn now(&self) -> Timestamp {
        Timestamp(self.at_start.load(Ordering::Relaxed)).plus(self.start.elapsed())
    }
}

/// Clocks are kept right by smaller steps than this.
const LEAST_STEP: Duration = Duration::from_secs(2);

/// Finds out, by the steady clock, that the time of day was set back.
#[derive(Debug)]
pub struct Monitor {
    clock: Clock,
    /// What it read at `at`.
    read: Timestamp,
    at: Instant,
    unsettled: Duration,
}

impl Monitor {
    /// From now on.
    pub fn new(clock: Clock) -> Self {
        let read = clock.now();
        Self { clock, read, at: Instant::now(), unsettled: Duration::ZERO }
    }

    /// It read `then` before, when nobody watched.
    pub fn has_read(&mut self, then: Timestamp) {
        let now = self.clock.now();
        // What was recorded while that was found out is not ahead.
        if then > now {
            (self.read, self.at) = (then, Instant::now());
        }
    }

    /// By how much the clock was set back since [`settled`](Self::settled).
    pub fn step_back(&mut self) -> Option<Duration> {
        // The steady clock before and after the other: a process that stands still in between has not seen it set back.
        let elapsed = self.at.elapsed();
        let now = self.clock.now();
        let step = self.read.plus(elapsed).since(now);
        (self.read, self.at) = (now, Instant::now());
        if step >= LEAST_STEP {
            self.unsettled += step;
        }
        (!self.unsettled.is_zero()).then_some(self.unsettled)
    }

    /// What was found is dealt with.
    pub const fn settled(&mut self) {
        self.unsettled = Duration::ZERO;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_clock_that_is_set_back_is_found_until_it_is_dealt_with_and_one_that_is_set_forward_is_not() {
        let clock = Clock::starting_at(Timestamp(1_000_000_000));
        let mut monitor = Monitor::new(clock.clone());
        let after = async |monitor: &mut Monitor, secs: u64| {
            tokio::time::advance(Duration::from_secs(secs)).await;
            monitor.step_back().map(|step| step.as_secs())
        };
        assert_eq!(after(&mut monitor, 900).await, None);
        clock.set_ahead(3_600_000);
        assert_eq!(after(&mut monitor, 60).await, None, "set forward");
        clock.set_ahead(3_599_000);
        assert_eq!(after(&mut monitor, 60).await, None, "kept right");
        clock.set_ahead(0);
        assert_eq!(after(&mut monitor, 60).await, Some(3_599));
        assert_eq!(after(&mut monitor, 60).await, Some(3_599), "nobody has dealt with it");
        monitor.settled();
        assert_eq!(after(&mut monitor, 60).await, None);
    }

    #[tokio::test(start_paused = true)]
    async fn what_others_have_recorded_meanwhile_is_not_ahead() {
        let clock = Clock::starting_at(Timestamp(1_000_000_000));
        let mut monitor = Monitor::new(clock.clone());
        tokio::time::advance(Duration::from_secs(5)).await;
        monitor.has_read(Timestamp(1_000_004_000));
        assert_eq!(monitor.step_back(), None);
        monitor.has_read(Timestamp(1_000_065_000));
        assert_eq!(monitor.step_back(), Some(Duration::from_secs(60)));
    }

    #[tokio::test(start_paused = true)]
    async fn a_shared_clock_goes_on_from_what_was_read_last() {
        let anchor = Anchor::default();
        anchor.set(Timestamp(1_000_000));
        tokio::time::advance(Duration::from_secs(5)).await;
        assert_eq!(anchor.now(), Timestamp(1_005_000));
        anchor.set(Timestamp(7));
        tokio::time::advance(Duration::from_millis(1)).await;
        assert_eq!(Clock::Shared(Arc::new(anchor)).now(), Timestamp(8));
    }
}

//! The time of day, handed in: the system's, or a virtual one that moves with tokio's paused clock.

use std::time::SystemTime;

use tokio::time::Instant;

use crate::model::time::Timestamp;

/// Where `now` comes from. Waiting is always `tokio::time`, so a virtual clock and every timer move together.
#[derive(Debug, Clone)]
pub enum Clock {
    /// The machine's clock.
    System,
    /// `origin` plus what tokio's clock has moved since `start`.
    Virtual {
        /// The time of day at `start`.
        origin: Timestamp,
        /// When the clock was made.
        start: Instant,
    },
}

impl Clock {
    /// A clock that reads `origin` now and advances with tokio's.
    pub fn starting_at(origin: Timestamp) -> Self {
        Self::Virtual { origin, start: Instant::now() }
    }

    /// The time of day.
    pub fn now(&self) -> Timestamp {
        match self {
            #[expect(clippy::disallowed_methods, reason = "the one place that asks the system")]
            Self::System => {
                let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
                Timestamp(0).plus(since)
            }
            Self::Virtual { origin, start } => origin.plus(start.elapsed()),
        }
    }
}

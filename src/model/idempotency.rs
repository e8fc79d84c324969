//! How long a key of ours can be relied on at Stripe, which may forget it 24 hours after its first use.

use std::time::Duration;

use crate::model::failure::Failure;
use crate::model::time::Timestamp;

/// Nobody asks under a key any more once it is so old.
const LIFE: Duration = Duration::from_secs(22 * 3600);
/// A new one is taken so much later: by then no request under the old one can still be on its way.
const REST: Duration = Duration::from_secs(3600);

/// What a key is good for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Key {
    /// It may be asked under again.
    Good,
    /// It may not, and a new one may not be taken yet.
    Resting {
        /// For so long.
        left: Duration,
    },
    /// What is not there by now will not come any more: a new one is taken.
    Spent,
}

impl Key {
    /// Of a key that was first used then.
    pub fn of(first_used: Option<Timestamp>, now: Timestamp) -> Self {
        let Some(age) = first_used.map(|first| now.since(first)) else { return Self::Spent };
        match (LIFE + REST).checked_sub(age) {
            Some(left) if age >= LIFE && !left.is_zero() => Self::Resting { left },
            Some(left) if !left.is_zero() => Self::Good,
            _ => Self::Spent,
        }
    }
}

/// The failure of a try that has to wait for its key to be spent.
pub fn resting(left: Duration) -> Failure {
    let mut failure =
        Failure::transient("key_resting", "the key is too old to be asked under again, and not yet spent");
    failure.retry_after_ms = u64::try_from(left.as_millis()).ok();
    failure
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_good_then_rests_then_is_spent_before_stripe_may_forget_it() {
        let of = |hours: u64| Key::of(Some(Timestamp(0)), Timestamp(0).plus(Duration::from_hours(hours)));
        assert_eq!((of(0), of(21)), (Key::Good, Key::Good));
        assert_eq!((of(22), of(23), of(24)), (Key::Resting { left: REST }, Key::Spent, Key::Spent));
        assert_eq!(Key::of(None, Timestamp(0)), Key::Spent);
    }
}

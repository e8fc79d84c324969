//! How long to wait before the next try: exponential, full jitter, never sooner than the provider asks.

use std::time::Duration;

use crate::entropy::Entropy;
use crate::mutant::{Mutant, is_out};

/// The longest wait a provider can ask for.
const LONGEST_RETRY_AFTER: Duration = Duration::from_secs(24 * 3600);

/// The most that is waited after `tries` failed tries: `base` doubled for each, up to `cap`.
pub fn ceiling(base: Duration, cap: Duration, tries: u32) -> Duration {
    let doubled = base.saturating_mul(1_u32.checked_shl(tries.saturating_sub(1)).unwrap_or(u32::MAX));
    doubled.min(cap)
}

/// The wait before the next try: anything up to the ceiling, on top of what the provider asked for.
pub fn delay(base: Duration, cap: Duration, tries: u32, retry_after: Option<Duration>, entropy: &Entropy) -> Duration {
    let jittered = entropy.up_to(ceiling(base, cap, tries));
    let retry_after = retry_after.filter(|_| !is_out(Mutant::RetryAfter));
    retry_after.map_or(jittered, |asked| asked.min(LONGEST_RETRY_AFTER).saturating_add(jittered.min(base)))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::{any, prop_assert, proptest};

    use super::*;

    proptest! {
        #[test]
        fn a_wait_is_never_longer_than_its_ceiling_nor_shorter_than_asked(
            base_ms in 0_u64..100_000, cap_ms in 0_u64..10_000_000, tries in any::<u32>(), asked in any::<Option<u32>>(), seed in any::<u64>(),
        ) {
            let (base, cap) = (Duration::from_millis(base_ms), Duration::from_millis(cap_ms));
            let asked = asked.map(|secs| Duration::from_secs(u64::from(secs)));
            let wait = delay(base, cap, tries, asked, &Entropy::seeded(seed));
            match asked {
                None => prop_assert!(wait <= cap),
                Some(asked) => prop_assert!(wait >= asked.min(LONGEST_RETRY_AFTER)),
            }
        }

        #[test]
        fn ceilings_grow_until_the_cap(base_ms in 1_u64..10_000, tries in 0_u32..100) {
            let (base, cap) = (Duration::from_millis(base_ms), Duration::from_secs(3600));
            prop_assert!(ceiling(base, cap, tries) <= ceiling(base, cap, tries + 1));
        }
    }

    #[test]
    fn waits_are_spread_evenly_over_the_whole_range() {
        let (base, cap) = (Duration::from_secs(60), Duration::from_hours(1));
        for (seed, tries) in [(1, 1), (2, 3), (3, 6), (4, 7), (5, 40)] {
            let (entropy, width) = (Entropy::seeded(seed), ceiling(base, cap, tries).as_millis() / 16 + 1);
            let mut counts = [0_i64; 16];
            for _ in 0..16_000 {
                let wait = delay(base, cap, tries, None, &entropy).as_millis();
                counts[usize::try_from(wait / width).unwrap()] += 1;
            }
            // Of chance alone, one spread in a thousand is as far from even as 37.7 (chi-squared, 15 degrees of freedom).
            let chi_squared_by_1000: i64 = counts.iter().map(|count| (count - 1000).pow(2)).sum();
            assert!(chi_squared_by_1000 < 37_700, "{tries}: {counts:?}");
        }
    }
}

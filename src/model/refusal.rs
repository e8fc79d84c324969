//! What is refused for want of the right secret: our key by a provider, a sender's signature by us.

use std::collections::BTreeMap;
use std::time::Duration;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::model::time::Timestamp;

const MINUTE: i64 = 60_000;
/// Refused signatures of so many minutes are known.
const KEPT: i64 = 60;

/// A provider that refuses our key: no call of ours has succeeded since.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct RefusedKey {
    /// Which provider.
    pub provider: String,
    /// When it first refused it.
    pub since: Timestamp,
    /// When it last did.
    pub last: Timestamp,
}

/// How many signatures of one source were refused in each minute of the last hour. However many there are, it does not grow.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct RefusedSignatures(BTreeMap<i64, u32>);

impl RefusedSignatures {
    /// One more.
    pub fn count(&mut self, at: Timestamp) {
        let count = self.0.entry(at.0.div_euclid(MINUTE)).or_default();
        *count = count.saturating_add(1);
        self.forget(at);
    }

    /// Those of another process too.
    pub fn add(&mut self, other: &Self) {
        for (minute, refused) in &other.0 {
            let count = self.0.entry(*minute).or_default();
            *count = count.saturating_add(*refused);
        }
    }

    /// What was more than an hour ago is no longer known, nor what a clock that was wrong has told of the future.
    pub fn forget(&mut self, now: Timestamp) {
        let minute = now.0.div_euclid(MINUTE);
        self.0.retain(|of, _| (minute - KEPT..=minute).contains(of));
    }

    /// Whether there were none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// All of them.
    pub fn sum(&self) -> u32 {
        self.0.values().fold(0, |sum, count| sum.saturating_add(*count))
    }

    /// The most that were refused within as long.
    pub fn most_within(&self, span: Duration) -> u32 {
        let minutes = i64::try_from(span.as_secs() / 60).unwrap_or(i64::MAX);
        let within = |from: &i64| self.0.range(*from..from.saturating_add(minutes)).map(|(_, count)| *count);
        self.0.keys().map(|from| within(from).fold(0, u32::saturating_add)).max().unwrap_or(0)
    }

    /// When the last one was, to the minute.
    pub fn last(&self) -> Option<Timestamp> {
        self.0.keys().next_back().map(|minute| Timestamp(minute * MINUTE))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Timestamp = Timestamp(1_793_872_800_000);

    #[test]
    fn the_densest_span_of_the_last_hour_is_known_and_what_is_older_is_not() {
        let mut refused = RefusedSignatures::default();
        for (minutes, count) in [(0, 3), (14, 4), (15, 5), (40, 2)] {
            (0..count).for_each(|_| refused.count(NOW.plus(Duration::from_secs(60 * minutes))));
        }
        let quarter = Duration::from_secs(15 * 60);
        assert_eq!((refused.sum(), refused.most_within(quarter)), (14, 9));
        assert_eq!(refused.last(), Some(NOW.plus(Duration::from_secs(40 * 60))));
        refused.forget(NOW.plus(Duration::from_secs(75 * 60)));
        assert_eq!((refused.sum(), refused.most_within(quarter)), (7, 5));
        refused.forget(NOW);
        assert!(refused.is_empty(), "the clock was set back");
    }

    #[test]
    fn it_is_kept_as_text_and_added_to() {
        let mut refused = RefusedSignatures::default();
        refused.count(NOW);
        let text = serde_json::to_string(&refused).unwrap();
        let mut kept: RefusedSignatures = serde_json::from_str(&text).unwrap();
        kept.add(&refused);
        assert_eq!(kept.sum(), 2);
    }
}

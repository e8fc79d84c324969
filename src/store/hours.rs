//! How much happened in each hour.

use std::collections::BTreeMap;

use crate::model::time::Timestamp;
use crate::store::filter::Filter;

/// So many hours are counted, the last of which may not be over.
pub const HOURS: u8 = 24;
/// One of them, in milliseconds.
pub const HOUR: i64 = 3_600_000;

/// What is counted.
#[derive(Debug, Clone)]
pub enum Counted {
    /// Events, by when they came in.
    Arrived,
    /// Runs, by when they ended.
    Ended,
    /// Runs that a list shows, by when they were made, until its own end.
    Made(Box<Filter>),
}

/// Counts by hour. Only so many rows are looked at, the newest, so that asking costs the same for any history.
#[derive(Debug, Clone)]
pub struct Hours {
    /// When the first hour began.
    pub from: Timestamp,
    /// In each hour, how many of each word.
    pub counts: Vec<BTreeMap<String, u32>>,
    /// Since when nothing was left out.
    pub whole_since: Timestamp,
}

impl Hours {
    /// No counts yet, for the hours up to `until`.
    pub fn until(until: Timestamp) -> Self {
        let from = Timestamp((until.0.div_euclid(HOUR) - i64::from(HOURS) + 1) * HOUR);
        Self { from, counts: vec![BTreeMap::new(); usize::from(HOURS)], whole_since: from }
    }

    /// When this hour began.
    pub fn beginning(&self, hour: usize) -> Timestamp {
        Timestamp(self.from.0 + i64::try_from(hour).unwrap_or_default() * HOUR)
    }

    /// So many more of this word in an hour that is counted.
    pub fn add(&mut self, hour: i64, word: &str, count: u32) {
        let counts = usize::try_from(hour).ok().and_then(|hour| self.counts.get_mut(hour));
        if let Some(counts) = counts {
            *counts.entry(word.to_owned()).or_default() += count;
        }
    }
}

//! What a simulation has seen, counted by name.

use std::collections::BTreeMap;

/// Counts by name: `fault/…`, `blow/…`, `end/…`, `repair/…`, …
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Coverage(BTreeMap<String, u64>);

impl Coverage {
    /// One more.
    pub fn count(&mut self, what: String) {
        *self.0.entry(what).or_default() += 1;
    }

    /// So many more.
    pub fn add(&mut self, what: &str, times: u64) {
        *self.0.entry(what.to_owned()).or_default() += times;
    }

    /// Takes over what another has seen.
    pub fn merge(&mut self, other: &Self) {
        for (what, times) in &other.0 {
            *self.0.entry(what.clone()).or_default() += times;
        }
    }

    /// How often it was seen.
    pub fn of(&self, what: &str) -> u64 {
        self.0.get(what).copied().unwrap_or(0)
    }

    /// What begins with `prefix`, without it, in order.
    pub fn under<'a>(&'a self, prefix: &'a str) -> impl Iterator<Item = (&'a str, u64)> {
        self.0.iter().filter_map(move |(what, times)| Some((what.strip_prefix(prefix)?, *times)))
    }
}

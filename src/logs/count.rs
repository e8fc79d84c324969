//! Counting: how many lines, in all or by the values of keys.

use std::collections::HashMap;

use crate::logs::json::{Kind, Value};
use crate::logs::time::{instant, is_of_hour};

/// By what is counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum By {
    /// The day of the line's time, UTC.
    Day,
    /// The hour of it, UTC.
    Hour,
    /// The value of the query's key of this number.
    Key(usize),
}

/// What stands for an absent value.
const ABSENT: &[u8] = b"-";

/// Lines by group.
#[derive(Debug, Default)]
pub struct Counts {
    groups: HashMap<Vec<u8>, u64, foldhash::fast::RandomState>,
    /// The group of the line at hand: kept, for its memory.
    group: Vec<u8>,
    /// The hour of the last time that was counted, as it is written: most times are of the same as the one before.
    hour: Option<[u8; 13]>,
}

impl Counts {
    /// Counts a line. `time` is the number of the key that holds its time.
    pub fn add(&mut self, by: &[By], time: usize, found: &[Option<Value<'_>>]) {
        self.group.clear();
        for (place, by) in by.iter().enumerate() {
            if place > 0 {
                self.group.push(b'\t');
            }
            match by {
                By::Key(key) => match found[*key] {
                    Some(value) => {
                        let start = self.group.len();
                        self.group.extend_from_slice(&value.text());
                        if value.kind == Kind::Escaped {
                            self.group[start..].iter_mut().filter(|byte| **byte == b'\t').for_each(|byte| *byte = b' ');
                        }
                    }
                    None => self.group.extend_from_slice(ABSENT),
                },
                By::Day => self.push_time(found[time], 10),
                By::Hour => self.push_time(found[time], 13),
            }
        }
        match self.groups.get_mut(&self.group) {
            Some(count) => *count += 1,
            None => drop(self.groups.insert(self.group.clone(), 1)),
        }
    }

    #[inline]
    fn push_time(&mut self, value: Option<Value<'_>>, length: usize) {
        let Some(text) = value.map(|value| value.text()) else { return self.group.extend_from_slice(ABSENT) };
        if self.hour.is_some_and(|hour| is_of_hour(&text, &hour)) {
            return self.group.extend_from_slice(&text[..length]);
        }
        // As written where that is UTC already.
        if matches!(*text, [_, _, _, _, b'-', _, _, b'-', _, _, b'T', .., b'Z']) && instant(&text).is_some() {
            self.hour = text.first_chunk().copied();
            return self.group.extend_from_slice(&text[..length]);
        }
        match instant(&text) {
            Some(at) => self.group.extend_from_slice(&at.to_string().as_bytes()[..length]),
            None => self.group.extend_from_slice(ABSENT),
        }
    }

    /// Takes over what another has counted.
    pub fn merge(&mut self, other: Self) {
        for (group, count) in other.groups {
            *self.groups.entry(group).or_default() += count;
        }
    }

    /// The groups in order, each a text with tabs between its values.
    pub fn sorted(&self) -> Vec<(String, u64)> {
        let text = |group: &Vec<u8>| String::from_utf8_lossy(group).into_owned();
        let mut all: Vec<_> = self.groups.iter().map(|(group, count)| (text(group), *count)).collect();
        all.sort_unstable();
        all
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn equal_times_are_of_one_group_however_they_are_written() {
        let mut counts = Counts::default();
        for text in [
            "2026-11-24T17:00:00.000Z",
            "2026-11-24 17:30:00.000Z",
            "2026-11-24t17:30:00Z",
            "2026-11-24T18:30:00+01:00",
        ] {
            let found = [Some(Value { raw: text.as_bytes(), kind: Kind::Plain })];
            counts.add(&[By::Hour], 0, &found);
        }
        assert_eq!(counts.sorted(), [("2026-11-24T17".to_owned(), 4)]);
    }
}

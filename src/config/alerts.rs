//! When people are told, and how often.

use std::time::Duration;

use crate::config::env::Reader;

/// From where on something is wrong, and how often it is told.
#[derive(Debug, Clone, Copy)]
pub struct AlertConfig {
    /// `DISCUNO_ALERT_GROUP`: cases of one kind that are opened within this time after one was told are told together.
    pub group: Duration,
    /// `DISCUNO_ALERT_REPEAT`: how long an alert that goes on is not told again.
    pub repeat: Duration,
    /// `DISCUNO_ALERT_SILENCE`: how long a sender may be silent; zero for ever.
    pub silence: Duration,
    /// `DISCUNO_ALERT_BACKLOG`: how long a run may wait for somebody to take it.
    pub backlog: Duration,
    /// `DISCUNO_ALERT_DISK`: how many bytes must be left.
    pub disk: u64,
}

impl AlertConfig {
    /// None where something cannot be read.
    pub(super) fn read(read: &mut Reader<'_>) -> Option<Self> {
        let mut span = |name, default| read.value(name, default, "a duration such as 250ms, 1s or 5m", super::duration);
        let group = span("DISCUNO_ALERT_GROUP", "5m");
        let repeat = span("DISCUNO_ALERT_REPEAT", "4h");
        let silence = span("DISCUNO_ALERT_SILENCE", "24h");
        let backlog = span("DISCUNO_ALERT_BACKLOG", "10m");
        let disk = read.value("DISCUNO_ALERT_DISK", "1GiB", "a size such as 512MiB or 2GiB", bytes);
        Some(Self { group: group?, repeat: repeat?, silence: silence?, backlog: backlog?, disk: disk? })
    }
}

/// `512MiB`, `2GiB`, or bytes.
fn bytes(text: &str) -> Option<u64> {
    let units = [("KiB", 10), ("MiB", 20), ("GiB", 30), ("TiB", 40)];
    let found = units.iter().find_map(|(unit, bits)| Some((text.strip_suffix(unit)?, 1_u64 << bits)));
    let (number, unit) = found.unwrap_or((text, 1));
    number.trim().parse::<u64>().ok()?.checked_mul(unit)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_have_units_of_1024() {
        for (text, expected) in [("512MiB", Some(512 << 20)), ("2 GiB", Some(2 << 30)), ("17", Some(17)), ("1GB", None)]
        {
            assert_eq!(bytes(text), expected, "{text}");
        }
    }
}

//! The time of a line.

use crate::model::time::Timestamp;

/// Reads `2026-11-24T17:00:00.123Z` as it is written by us at once, and any other RFC 3339 instant.
pub fn instant(text: &[u8]) -> Option<Timestamp> {
    ours(text).or_else(|| std::str::from_utf8(text).ok()?.parse().ok())
}

/// Whether a text is an instant as we write them, of an hour that is known to be one: `2026-11-24T17`.
#[inline]
pub fn is_of_hour(text: &[u8], hour: &[u8; 13]) -> bool {
    const BEGINNING: Form = Form::of(*b":59:59.9");
    const ENDING: Form = Form::of(*b":59.999Z");
    let Ok(text) = <&[u8; 24]>::try_from(text) else { return false };
    let fits = |form: Form, from| text[from..].first_chunk().is_some_and(|bytes| form.fits(*bytes));
    text.first_chunk() == Some(hour) && fits(BEGINNING, 13) && fits(ENDING, 16)
}

/// What eight bytes have to be: a digit up to 5 or to 9, or the byte itself.
#[derive(Clone, Copy)]
struct Form {
    mask: u64,
    wanted: u64,
    /// Added to a digit, it changes the upper half of the byte where the digit is too great.
    room: u64,
}

impl Form {
    const fn of(form: [u8; 8]) -> Self {
        let (mut mask, mut wanted, mut room, mut place) = ([0xff; 8], form, [0; 8], 0);
        while place < 8 {
            if matches!(form[place], b'5' | b'9') {
                (mask[place], wanted[place], room[place]) = (0xf0, 0x30, 0x3f - form[place]);
            }
            place += 1;
        }
        Self { mask: u64::from_le_bytes(mask), wanted: u64::from_le_bytes(wanted), room: u64::from_le_bytes(room) }
    }

    fn fits(self, bytes: [u8; 8]) -> bool {
        let bytes = u64::from_le_bytes(bytes);
        bytes & self.mask == self.wanted && bytes.wrapping_add(self.room) & self.mask == self.wanted
    }
}

fn ours(text: &[u8]) -> Option<Timestamp> {
    let text: &[u8; 24] = text.try_into().ok()?;
    let [_, _, _, _, b'-', _, _, b'-', _, _, b'T', _, _, b':', _, _, b':', _, _, b'.', _, _, _, b'Z'] = text else {
        return None;
    };
    let number = |from: usize, to: usize| {
        text[from..to]
            .iter()
            .try_fold(0_i64, |sum, byte| byte.is_ascii_digit().then(|| sum * 10 + i64::from(byte - b'0')))
    };
    let (year, month, day) = (number(0, 4)?, number(5, 7)?, number(8, 10)?);
    let (hour, minute, second, millis) = (number(11, 13)?, number(14, 16)?, number(17, 19)?, number(20, 23)?);
    if !(1..=12).contains(&month) || !(1..=days(year, month)).contains(&day) || hour > 23 || minute > 59 || second > 59
    {
        return None;
    }
    let secs = days_since_epoch(year, month, day) * 86_400 + hour * 3600 + minute * 60 + second;
    Some(Timestamp(secs * 1000 + millis))
}

fn days(year: i64, month: i64) -> i64 {
    match month {
        2 if year % 4 == 0 && (year % 100 != 0 || year % 400 == 0) => 29,
        2 => 28,
        4 | 6 | 9 | 11 => 30,
        _ => 31,
    }
}

/// The proleptic Gregorian calendar, counted in years that begin in March.
fn days_since_epoch(year: i64, month: i64, day: i64) -> i64 {
    let year = if month <= 2 { year - 1 } else { year };
    let (era, month) = (year.div_euclid(400), (month + 9) % 12);
    let of_era = year.rem_euclid(400);
    let of_year = (153 * month + 2) / 5 + day - 1;
    era * 146_097 + of_era * 365 + of_era / 4 - of_era / 100 + of_year - 719_468
}

#[cfg(test)]
mod tests {
    use proptest::prelude::{prop_assert, prop_assert_eq, proptest};

    use super::*;

    proptest! {
        #[test]
        fn our_own_instants_are_read_as_the_library_reads_them(millis in -62_135_596_800_000_i64..253_402_300_799_000) {
            let text = Timestamp(millis).to_string();
            prop_assert_eq!(instant(text.as_bytes()), Some(Timestamp(millis)));
        }

        #[test]
        fn an_instant_of_a_known_hour_is_one(millis in 0_i64..86_400_000, rest in "[0-9:.Z]{11}") {
            let text = Timestamp(millis).to_string();
            let hour = text.as_bytes().first_chunk().unwrap();
            prop_assert!(is_of_hour(text.as_bytes(), hour));
            let other = format!("{}{rest}", &text[..13]);
            prop_assert_eq!(is_of_hour(other.as_bytes(), hour), ours(other.as_bytes()).is_some());
        }

        #[test]
        fn any_text_is_an_instant_or_none(text in "[0-9TZ:.+-]{20,28}") {
            let reference = text.parse::<Timestamp>().ok();
            prop_assert_eq!(instant(text.as_bytes()), reference, "{}", text);
        }
    }

    #[test]
    fn other_offsets_are_instants_too() {
        assert_eq!(instant(b"2026-11-24T18:00:00+01:00"), instant(b"2026-11-24T17:00:00.000Z"));
        assert_eq!(instant(b"2026-02-29T00:00:00.000Z"), None);
    }
}

//! The usual line, read 64 bytes at a time by where its quotes, colons and commas stand, with no branch for each of them.
//!
//! Usual is one flat object of strings and whole numbers, its keys without escapes, without white space between:
//! `{"level":"info","attempt":2}`.
//! What this does not take may be usual, unusual or malformed: the grammar tells.

#![expect(clippy::inline_always, reason = "the vectors are those of the caller")]

use fearless_simd::{Level, Simd, dispatch, prelude::*, u8x64};

use crate::logs::json::{Kind, Value};
use crate::logs::marks::WIDTH;

/// Bytes that a word begins with are those that the one before ended with: what has to follow what is then seen in one word.
const AGAIN: u32 = 2;
const STEP: u32 = u64::BITS - AGAIN;

/// Keys whose values are looked for.
#[derive(Debug, Clone)]
pub(super) struct Usual {
    level: Level,
    keys: Vec<Key>,
}

#[derive(Debug, Clone)]
struct Key {
    quoted: Vec<u8>,
    /// How far its closing quote stands behind the opening one.
    length: u32,
    /// The last eight bytes of it with its quotes, or zeros before it, and which of them it has.
    tail: u64,
    mask: u64,
    /// Where its value starts in the line at hand; 0 where there is none.
    value: usize,
}

impl Key {
    /// None where it is longer than the bits of a word, or could be taken for a key and more.
    fn new(key: &[u8]) -> Option<Self> {
        let length = u32::try_from(key.len() + 1).ok().filter(|length| *length < STEP)?;
        let quoted = [b"\"", key, b"\""].concat();
        let mask = u64::MAX << (8 * 8_usize.saturating_sub(quoted.len()));
        (!key.contains(&b'"')).then_some(Self { tail: tail_of(&quoted), mask, quoted, length, value: 0 })
    }

    /// Whether it ends at a place in the text, with its closing quote.
    #[inline(always)]
    fn ends_at(&self, text: &[u8], end: usize) -> bool {
        let tail = text.get(end.wrapping_sub(7)..).and_then(|tail| tail.first_chunk());
        let tail = tail.map_or_else(|| tail_of(&text[..=end]), |tail| u64::from_le_bytes(*tail));
        tail & self.mask == self.tail && (self.quoted.len() <= 8 || text[..=end].ends_with(&self.quoted))
    }
}

/// The last eight bytes, or zeros before them.
fn tail_of(text: &[u8]) -> u64 {
    let (mut tail, known) = ([0; 8], text.len().min(8));
    tail[8 - known..].copy_from_slice(&text[text.len() - known..]);
    u64::from_le_bytes(tail)
}

impl Usual {
    pub(super) fn new(level: Level, keys: &[Vec<u8>]) -> Option<Self> {
        Some(Self { level, keys: keys.iter().map(|key| Key::new(key)).collect::<Option<_>>()? })
    }

    /// Hands the lines from `from` on to `visit`, as long as they are usual and it says so: where each begins and ends, and in
    /// `found` the last value of each key. Says where the first line begins that was not handed over.
    #[inline]
    pub(super) fn each<'a>(
        &mut self,
        text: &'a [u8],
        from: usize,
        found: &mut [Option<Value<'a>>],
        visit: impl FnMut(usize, usize, &[Option<Value<'a>>]) -> bool,
    ) -> usize {
        let (level, keys) = (self.level, self.keys.as_mut_slice());
        dispatch!(level, simd => each(simd, text, from, keys, found, visit))
    }
}

/// The value at the beginning of a usual line's rest.
#[inline(always)]
fn value<S: Simd>(simd: S, rest: &[u8]) -> Value<'_> {
    let Some((b'"', rest)) = rest.split_first() else {
        let end = rest.iter().position(|byte| !byte.is_ascii_digit());
        return Value { raw: &rest[..end.unwrap_or(rest.len())], kind: Kind::Other };
    };
    if let Some(chunk) = rest.first_chunk::<WIDTH>() {
        let bytes = u8x64::from_slice(simd, chunk);
        let [quote, backslash] = [b'"', b'\\'].map(|byte| bytes.simd_eq(u8x64::splat(simd, byte)).to_bitmask());
        if quote != 0 && first(quote).wrapping_sub(1) & backslash == 0 {
            return Value { raw: &rest[..quote.trailing_zeros() as usize], kind: Kind::Plain };
        }
    }
    let (mut end, mut kind) = (0, Kind::Plain);
    while let Some(at) = memchr::memchr2(b'"', b'\\', &rest[end..]) {
        end += at;
        if rest[end] == b'"' {
            break;
        }
        (end, kind) = (end + 2, Kind::Escaped);
    }
    Value { raw: &rest[..end], kind }
}

#[inline(always)]
fn each<'a, S: Simd>(
    simd: S,
    text: &'a [u8],
    from: usize,
    keys: &mut [Key],
    found: &mut [Option<Value<'a>>],
    mut visit: impl FnMut(usize, usize, &[Option<Value<'a>>]) -> bool,
) -> usize {
    let splat = |byte: u8| u8x64::splat(simd, byte);
    for key in keys.iter_mut() {
        key.value = 0;
    }
    // Where the line at hand begins, and what has been seen of it beyond ASCII.
    let (mut from, mut beyond, mut escaped) = (from, 0, 0);
    let (mut begins, mut in_string, mut in_key, mut keys_before) = (1_u64, 0, 0, 0_u64);
    let (mut at, mut fresh) = (from, u64::MAX);
    while let Some(chunk) = text.get(at..).and_then(|rest| rest.first_chunk::<WIDTH>()) {
        let bytes = u8x64::from_slice(simd, chunk);
        let mut quote = bytes.simd_eq(splat(b'"')).to_bitmask();
        let backslash = bytes.simd_eq(splat(b'\\')).to_bitmask();
        if backslash != 0 {
            let Some(known) = escapes(text, at, backslash, escaped) else { return from };
            escaped = known;
            quote &= !escaped;
        }
        // From each opening quote to before the closing one.
        let string = parity(quote) ^ in_string;
        let outside = !(string | quote);
        let is = |byte| bytes.simd_eq(splat(byte)).to_bitmask() & outside;
        let (colon, comma) = (is(b':'), is(b','));
        let digit = (bytes - splat(b'0')).simd_lt(splat(10)).to_bitmask() & outside;
        // A control character is taken for the end of a line, and what begins and closes one for its braces, until it has been read.
        let end = bytes.simd_lt(splat(b' ')).to_bitmask();
        let open = end << 1 | begins;
        let braces = outside & !(colon | comma | digit | end);
        let close = braces & !open;
        let (after_comma, after_colon) = ((comma | open) << 1, colon << 1);
        let (opening, closing, number) = (quote & string, quote & !string, digit & !(digit << 1));
        // Added to the first bit of a run of ones, a one comes out behind its last: so are ends of keys told from those of texts.
        let key = opening & after_comma;
        let sum = string.wrapping_add(key | in_key);
        let (key_end, text_end) = (closing & sum, closing & !sum);

        let wrong = (end & string)
            | (open & !braces)
            | (close << 1 ^ end)
            | ((opening | number) ^ (after_comma | after_colon))
            | (after_comma & number)
            | (key_end << 1 ^ colon)
            | ((text_end | digit) << 1 & !digit ^ (comma | close))
            | (colon << 2 & is(b'0') << 1 & digit)
            | (backslash & string & !sum);
        let wrong = wrong & fresh;
        let high = bytes.simd_ge(splat(0x80)).to_bitmask();
        beyond |= high;

        let mut key_ends = key_end & fresh;
        // Where lines end is known before it is known that nothing is wrong: the processor need not wait for it.
        let mut ends = end & fresh;
        if wrong != 0 {
            std::hint::cold_path();
            ends &= first(wrong).wrapping_sub(1);
        }
        // Where a key of this length that began here or in the word before would end.
        let at_length = |length: u32| key.wrapping_shl(length) | keys_before.wrapping_shr(STEP.wrapping_sub(length));
        while ends != 0 {
            let before = first(ends) - 1;
            meet(keys, text, at, key_ends & before, at_length);
            let end = at + ends.trailing_zeros() as usize;
            let is_line = matches!(&text[from..=end], [b'{', .., b'}', b'\n']);
            if !is_line || beyond != 0 && std::str::from_utf8(&text[from..end]).is_err() {
                return from;
            }
            for (key, place) in keys.iter_mut().zip(found.iter_mut()) {
                *place = if key.value == 0 { None } else { Some(value(simd, &text[key.value..])) };
                key.value = 0;
            }
            let go_on = visit(from, end, found);
            from = end + 1;
            if !go_on {
                return from;
            }
            (beyond, key_ends, ends) = (high, key_ends & !before, ends & (ends - 1));
        }
        if wrong != 0 {
            return from;
        }
        meet(keys, text, at, key_ends, at_length);
        let again = |bits: u64| bits >> STEP & 1;
        in_string = again(string ^ quote).wrapping_neg();
        in_key = again(string & !sum | key_end);
        (begins, fresh, keys_before, escaped) = (0, u64::MAX << AGAIN, key, escaped >> STEP);
        at += STEP as usize;
    }
    from
}

/// Takes note of the values of the keys that end at these places.
#[inline(always)]
fn meet(keys: &mut [Key], text: &[u8], at: usize, key_ends: u64, at_length: impl Fn(u32) -> u64) {
    for wanted in keys {
        let mut ends = key_ends & at_length(wanted.length);
        while ends != 0 {
            let end = at + ends.trailing_zeros() as usize;
            if wanted.ends_at(text, end) {
                // Behind the colon.
                wanted.value = end + 2;
            }
            ends &= ends - 1;
        }
    }
}

/// Which bytes are escaped by backslashes, if by those that JSON knows; of the first bytes that is known.
#[cold]
#[inline(never)]
fn escapes(text: &[u8], at: usize, backslash: u64, mut escaped: u64) -> Option<u64> {
    let mut left = backslash & !escaped;
    while left != 0 {
        let place = left.trailing_zeros();
        let known = match text.get(at + place as usize + 1..)? {
            [b'"' | b'\\' | b'/' | b'b' | b'f' | b'n' | b'r' | b't', ..] => true,
            [b'u', digits @ ..] => digits.get(..4)?.iter().all(u8::is_ascii_hexdigit),
            _ => false,
        };
        escaped |= known.then_some(first(left) << 1)?;
        left &= !escaped & (left - 1);
    }
    Some(escaped)
}

/// The lowest bit alone.
#[inline(always)]
fn first(bits: u64) -> u64 {
    bits & bits.wrapping_neg()
}

/// Whether the bits up to each, itself with them, are odd in number.
#[inline(always)]
fn parity(mut bits: u64) -> u64 {
    for by in [1, 2, 4, 8, 16, 32] {
        bits ^= bits << by;
    }
    bits
}

//! One line as JSON: strictly checked in one pass, with the places of the top-level values that are asked for.

use std::borrow::Cow;

use wide::i8x32;

/// Deeper than this nobody nests on purpose.
const DEEPEST: u32 = 512;

/// A top-level value, as it stands in the line.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Value<'a> {
    /// The bytes: of a string without its quotes, of anything else as written.
    pub raw: &'a [u8],
    /// What it is.
    pub kind: Kind,
}

/// What a value is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// A string without escapes.
    Plain,
    /// A string with escapes.
    Escaped,
    /// A number, `true`, `false`, `null`, an array or an object.
    Other,
}

impl<'a> Value<'a> {
    /// The text: a string decoded, anything else as written. A lone surrogate becomes U+FFFD.
    pub fn text(&self) -> Cow<'a, [u8]> {
        if self.kind == Kind::Escaped { Cow::Owned(unescape(self.raw)) } else { Cow::Borrowed(self.raw) }
    }
}

/// The line is not one whole JSON object.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Malformed;

/// A line and what stands behind it, which begins with a line break and is looked into rather than taken byte by byte.
#[derive(Debug, Clone, Copy)]
pub struct Line<'a> {
    text: &'a [u8],
    end: usize,
}

impl<'a> Line<'a> {
    /// The line that `text` begins with, up to its first line break or its end.
    pub fn first_of(text: &'a [u8]) -> Self {
        Self { text, end: memchr::memchr(b'\n', text).unwrap_or(text.len()) }
    }

    /// A line with nothing behind it; it may end with a line break.
    pub fn alone(line: &'a [u8]) -> Self {
        Self { text: line, end: line.len() }
    }

    /// Its bytes.
    pub fn bytes(&self) -> &'a [u8] {
        &self.text[..self.end]
    }
}

/// Checks `line` and puts the last value of each of `keys` in the place of the same number in `found`. The places are
/// overwritten.
pub fn read<'a>(line: Line<'a>, keys: &[Vec<u8>], found: &mut [Option<Value<'a>>]) -> Result<(), Malformed> {
    found.fill(None);
    let note = |key: Value<'a>, value: Value<'a>| {
        for (wanted, place) in keys.iter().zip(found.iter_mut()) {
            let same = match key.kind {
                Kind::Plain => key.raw == wanted.as_slice(),
                Kind::Escaped | Kind::Other => key.text().as_ref() == wanted.as_slice(),
            };
            if same {
                *place = Some(value);
            }
        }
    };
    walk(line, note)
}

/// Checks `line` and hands every top-level key and value to `visit`, in the order in which they stand.
pub fn walk<'a>(line: Line<'a>, visit: impl FnMut(Value<'a>, Value<'a>)) -> Result<(), Malformed> {
    let mut reader = Reader { bytes: line.bytes(), text: line.text, at: 0, high: false };
    reader.object(visit)?;
    if reader.high && std::str::from_utf8(line.bytes()).is_err() {
        return Err(Malformed);
    }
    Ok(())
}

struct Reader<'a> {
    bytes: &'a [u8],
    /// The same with what stands behind.
    text: &'a [u8],
    at: usize,
    /// Whether a byte beyond ASCII was met: then the whole line has to be UTF-8.
    high: bool,
}

impl<'a> Reader<'a> {
    fn object(&mut self, mut visit: impl FnMut(Value<'a>, Value<'a>)) -> Result<(), Malformed> {
        self.space();
        self.expect(b'{')?;
        self.space();
        if self.peek() == Some(b'}') {
            self.at += 1;
        } else {
            loop {
                self.expect(b'"')?;
                let key = self.string()?;
                self.colon()?;
                let value = self.value(0)?;
                visit(key, value);
                self.space();
                match self.next() {
                    Some(b',') => self.space(),
                    Some(b'}') => break,
                    _ => return Err(Malformed),
                }
            }
        }
        self.space();
        if self.at == self.bytes.len() { Ok(()) } else { Err(Malformed) }
    }

    #[inline]
    fn peek(&self) -> Option<u8> {
        self.bytes.get(self.at).copied()
    }

    #[inline]
    fn next(&mut self) -> Option<u8> {
        let byte = self.peek()?;
        self.at += 1;
        Some(byte)
    }

    #[inline]
    fn expect(&mut self, byte: u8) -> Result<(), Malformed> {
        if self.next() == Some(byte) { Ok(()) } else { Err(Malformed) }
    }

    #[inline]
    fn space(&mut self) {
        while let Some(b' ' | b'\t' | b'\n' | b'\r') = self.peek() {
            self.at += 1;
        }
    }

    #[inline]
    fn colon(&mut self) -> Result<(), Malformed> {
        self.space();
        self.expect(b':')?;
        self.space();
        Ok(())
    }

    #[inline]
    fn value(&mut self, depth: u32) -> Result<Value<'a>, Malformed> {
        let start = self.at;
        match self.next() {
            Some(b'"') => return self.string(),
            Some(b'-' | b'0'..=b'9') => self.number(start)?,
            Some(b't') => self.word(b"rue")?,
            Some(b'f') => self.word(b"alse")?,
            Some(b'n') => self.word(b"ull")?,
            Some(b'{') => self.nested_object(depth)?,
            Some(b'[') => self.nested_array(depth)?,
            _ => return Err(Malformed),
        }
        Ok(Value { raw: &self.bytes[start..self.at], kind: Kind::Other })
    }

    fn nested_object(&mut self, depth: u32) -> Result<(), Malformed> {
        if depth >= DEEPEST {
            return Err(Malformed);
        }
        self.space();
        if self.peek() == Some(b'}') {
            self.at += 1;
            return Ok(());
        }
        loop {
            self.expect(b'"')?;
            self.string()?;
            self.colon()?;
            self.value(depth + 1)?;
            self.space();
            match self.next() {
                Some(b',') => self.space(),
                Some(b'}') => return Ok(()),
                _ => return Err(Malformed),
            }
        }
    }

    fn nested_array(&mut self, depth: u32) -> Result<(), Malformed> {
        if depth >= DEEPEST {
            return Err(Malformed);
        }
        self.space();
        if self.peek() == Some(b']') {
            self.at += 1;
            return Ok(());
        }
        loop {
            self.value(depth + 1)?;
            self.space();
            match self.next() {
                Some(b',') => self.space(),
                Some(b']') => return Ok(()),
                _ => return Err(Malformed),
            }
        }
    }

    fn word(&mut self, rest: &[u8]) -> Result<(), Malformed> {
        if self.bytes[self.at..].starts_with(rest) {
            self.at += rest.len();
            Ok(())
        } else {
            Err(Malformed)
        }
    }

    fn number(&mut self, start: usize) -> Result<(), Malformed> {
        self.at = start;
        if self.peek() == Some(b'-') {
            self.at += 1;
        }
        match self.next() {
            Some(b'0') => {}
            Some(b'1'..=b'9') => self.digits(),
            _ => return Err(Malformed),
        }
        if self.peek() == Some(b'.') {
            self.at += 1;
            self.some_digits()?;
        }
        if let Some(b'e' | b'E') = self.peek() {
            self.at += 1;
            if let Some(b'+' | b'-') = self.peek() {
                self.at += 1;
            }
            self.some_digits()?;
        }
        Ok(())
    }

    #[inline]
    fn digits(&mut self) {
        while let Some(b'0'..=b'9') = self.peek() {
            self.at += 1;
        }
    }

    fn some_digits(&mut self) -> Result<(), Malformed> {
        let start = self.at;
        self.digits();
        if self.at > start { Ok(()) } else { Err(Malformed) }
    }

    /// The rest of a string, after its opening quote.
    #[inline]
    fn string(&mut self) -> Result<Value<'a>, Malformed> {
        let start = self.at;
        let mut kind = Kind::Plain;
        loop {
            let (end, high) = plain_until(self.text, self.at);
            self.high |= high;
            self.at = end + 1;
            match self.bytes.get(end) {
                Some(b'"') => return Ok(Value { raw: &self.bytes[start..end], kind }),
                Some(b'\\') => {
                    kind = Kind::Escaped;
                    self.escape()?;
                }
                _ => return Err(Malformed),
            }
        }
    }

    fn escape(&mut self) -> Result<(), Malformed> {
        match self.next() {
            Some(b'"' | b'\\' | b'/' | b'b' | b'f' | b'n' | b'r' | b't') => Ok(()),
            Some(b'u') => {
                let digits = self.bytes.get(self.at..self.at + 4).ok_or(Malformed)?;
                self.at += 4;
                if digits.iter().all(u8::is_ascii_hexdigit) { Ok(()) } else { Err(Malformed) }
            }
            _ => Err(Malformed),
        }
    }
}

/// Where the first quote, backslash or control character stands at or after `from`, or the end; and whether a byte beyond
/// ASCII comes before it.
#[inline]
fn plain_until(bytes: &[u8], mut from: usize) -> (usize, bool) {
    let mut high = false;
    while let Some((chunk, _)) = bytes.get(from..).and_then(|rest| rest.split_first_chunk::<WIDTH>()) {
        let (ends, beyond) = masks(chunk);
        if ends != 0 {
            let length = ends.trailing_zeros() as usize;
            return (from + length, high || (beyond & !(!0 << length)) != 0);
        }
        high |= beyond != 0;
        from += WIDTH;
    }
    while let Some(&byte) = bytes.get(from) {
        if byte == b'"' || byte == b'\\' || byte < 0x20 {
            break;
        }
        high |= byte >= 0x80;
        from += 1;
    }
    (from, high)
}

/// Bytes that are looked at in one go.
const WIDTH: usize = 32;

/// A bit for each byte that ends a plain run, and one for each byte beyond ASCII: by the processor's vectors where it has
/// them.
#[inline]
fn masks(chunk: &[u8; WIDTH]) -> (u32, u32) {
    let bytes: i8x32 = bytemuck::cast(*chunk);
    let is = |byte: u8| bytes.simd_eq(i8x32::splat(byte.cast_signed()));
    // Beyond ASCII is negative here, and so less than a space.
    let beyond = bytes.to_bitmask();
    let control = bytes.simd_lt(i8x32::splat(0x20)).to_bitmask() & !beyond;
    ((is(b'"') | is(b'\\')).to_bitmask() | control, beyond)
}

fn unescape(raw: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(raw.len());
    let mut rest = raw;
    while let Some(at) = memchr::memchr(b'\\', rest) {
        out.extend_from_slice(&rest[..at]);
        let (text, used) = decode(&rest[at + 1..]);
        out.extend_from_slice(text.encode_utf8(&mut [0; 4]).as_bytes());
        rest = &rest[at + 1 + used..];
    }
    out.extend_from_slice(rest);
    out
}

/// The character of an escape that was checked, and how many bytes after the backslash it took.
fn decode(escape: &[u8]) -> (char, usize) {
    let unit = |bytes: &[u8]| {
        let digits = bytes.strip_prefix(b"u")?.get(..4)?;
        u16::from_str_radix(std::str::from_utf8(digits).ok()?, 16).ok()
    };
    let Some(first) = unit(escape) else {
        let plain = match escape.first() {
            Some(b'b') => '\u{8}',
            Some(b'f') => '\u{c}',
            Some(b'n') => '\n',
            Some(b'r') => '\r',
            Some(b't') => '\t',
            Some(&byte) => char::from(byte),
            None => char::REPLACEMENT_CHARACTER,
        };
        return (plain, 1);
    };
    let second = escape.get(5..).and_then(|rest| rest.strip_prefix(b"\\")).and_then(unit);
    let pair = second.and_then(|second| char::decode_utf16([first, second]).next()?.ok());
    match (pair, char::from_u32(u32::from(first))) {
        (_, Some(alone)) => (alone, 5),
        (Some(pair), None) => (pair, 11),
        (None, None) => (char::REPLACEMENT_CHARACTER, 5),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::{any, prop, prop_assert_eq, proptest};

    use super::*;

    #[expect(clippy::option_option, reason = "malformed, absent, there")]
    fn get(line: &str, key: &str) -> Option<Option<String>> {
        let mut found = [None];
        read(Line::alone(line.as_bytes()), &[key.as_bytes().to_vec()], &mut found).ok()?;
        Some(found[0].map(|value| String::from_utf8(value.text().into_owned()).unwrap()))
    }

    #[test]
    fn the_last_of_equal_keys_counts_and_nested_ones_do_not() {
        assert_eq!(get(r#"{"a":1,"a":"2"}"#, "a"), Some(Some("2".to_owned())));
        assert_eq!(get(r#" { "x" : {"a":1} , "b" : [ {"a":2} ] } "#, "a"), Some(None));
        assert_eq!(get("{\"\\u0061\":\"\\u00e9\\n\"}\r\n", "a"), Some(Some("é\n".to_owned())));
        assert_eq!(get(r#"{"a":"\ud83d\ude00"}"#, "a"), Some(Some("😀".to_owned())));
        assert_eq!(get(r#"{"a":"\ud83d"}"#, "a"), Some(Some("\u{fffd}".to_owned())));
        assert_eq!(get(r#"{"a":null,"b":-1.5e+3}"#, "b"), Some(Some("-1.5e+3".to_owned())));
    }

    #[test]
    fn what_is_not_one_whole_object_is_malformed() {
        for line in [
            "",
            "[]",
            "{}x",
            "{",
            r#"{"a"}"#,
            r#"{"a":}"#,
            r#"{"a":01}"#,
            r#"{"a":1.}"#,
            r#"{"a":+1}"#,
            r#"{"a":NaN}"#,
            r#"{"a":1,}"#,
            r#"{,"a":1}"#,
            r#"{"a":"\x"}"#,
            r#"{"a":"\u12g4"}"#,
            "{\"a\":\"\t\"}",
            "\u{feff}{}",
            r#"{"a":tru}"#,
            r#"{"a":1} {"b":2}"#,
            r#"{"a":"b}"#,
            "{'a':1}",
        ] {
            assert_eq!(get(line, "a"), None, "{line}");
        }
        assert_eq!(read(Line::alone(b"{\"a\":\"\xff\"}"), &[], &mut []), Err(Malformed));
        let deep = format!("{{\"a\":{}1{}}}", "[".repeat(600), "]".repeat(600));
        assert_eq!(get(&deep, "a"), None);
    }

    proptest! {
        #[test]
        fn what_stands_behind_a_line_changes_nothing(line in r#"[{}:,"\\a1 é]{0,40}"#, behind in r#"[{}:,"\\a1 \n]{0,80}"#) {
            let text = format!("{line}\n{behind}");
            let within = walk(Line::first_of(text.as_bytes()), |_, _| ());
            prop_assert_eq!(within, walk(Line::alone(line.as_bytes()), |_, _| ()), "{}", text);
        }

        #[test]
        fn it_says_what_serde_says(text in r#"[{}\[\]:,"\\a1e. \-utfn0é]{0,24}"#) {
            let line = format!("{{\"k\":{text}");
            for line in [&text, &line] {
                let reference = serde_json::from_str::<serde_json::Map<String, serde_json::Value>>(line);
                prop_assert_eq!(walk(Line::alone(line.as_bytes()), |_, _| ()).is_ok(), reference.is_ok(), "{}", line);
            }
        }

        #[test]
        fn what_serde_writes_is_read_back(pairs in prop::collection::vec((".{0,20}", ".{0,40}"), 0..6)) {
            let mut object = serde_json::Map::new();
            for (key, value) in &pairs {
                object.insert(key.clone(), value.clone().into());
            }
            let line = serde_json::Value::Object(object.clone()).to_string();
            for (key, value) in &object {
                prop_assert_eq!(get(&line, key), Some(value.as_str().map(str::to_owned)));
            }
        }

        #[test]
        fn the_vectors_say_what_each_byte_says(chunk in any::<[u8; WIDTH]>()) {
            let mut each = (0, 0);
            for (place, &byte) in chunk.iter().enumerate() {
                each.0 |= u32::from(byte == b'"' || byte == b'\\' || byte < 0x20) << place;
                each.1 |= u32::from(byte >= 0x80) << place;
            }
            prop_assert_eq!(masks(&chunk), each);
        }

        #[test]
        fn any_bytes_are_an_object_or_malformed(bytes in prop::collection::vec(any::<u8>(), 0..80)) {
            let valid = serde_json::from_slice::<serde_json::Map<String, serde_json::Value>>(&bytes).is_ok();
            prop_assert_eq!(walk(Line::alone(&bytes), |_, _| ()).is_ok(), valid);
        }
    }
}

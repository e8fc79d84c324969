//! Lines as JSON: strictly checked, with the top-level values that are asked for.

use std::borrow::Cow;

use crate::logs::marks::{Marks, Word};
use crate::logs::reader::Reader;

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

    /// Whether this is its text.
    #[inline]
    pub fn is(&self, text: &[u8]) -> bool {
        match self.kind {
            // Most differ in length or at once: that spares the comparison.
            Kind::Plain => self.raw.len() == text.len() && self.raw.first() == text.first() && self.raw == text,
            Kind::Escaped | Kind::Other => self.text().as_ref() == text,
        }
    }
}

/// The line is not one whole JSON object.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Malformed;

/// Lines and where in them the marks stand.
#[derive(Debug, Clone, Copy)]
pub struct Lines<'a, 'm> {
    text: &'a [u8],
    words: &'m [Word],
}

impl<'a, 'm> Lines<'a, 'm> {
    /// Of a text; its marks have to be set for every line that is read.
    pub fn new(text: &'a [u8], marks: &'m Marks) -> Self {
        Self { text, words: marks.of(text) }
    }

    /// The text.
    pub fn text(&self) -> &'a [u8] {
        self.text
    }

    /// Where the line that begins at `from` ends: at its line break, or with the text.
    pub fn end(&self, from: usize) -> usize {
        memchr::memchr(b'\n', &self.text[from..]).map_or(self.text.len(), |at| from + at)
    }

    /// Checks the line that begins at `from`, puts the last value of each of `keys` in the place of the same number in `found`,
    /// and says where the line ends. The places are overwritten.
    #[inline]
    pub fn read(&self, from: usize, keys: &[Vec<u8>], found: &mut [Option<Value<'a>>]) -> Result<usize, Malformed> {
        found.fill(None);
        let bit = |length: usize| 1_u64 << (length % 64);
        let lengths = keys.iter().fold(0, |lengths, key| lengths | bit(key.len()));
        self.walk(from, |key, value| {
            if key.kind == Kind::Plain && lengths & bit(key.raw.len()) == 0 {
                return;
            }
            for (wanted, place) in keys.iter().zip(found.iter_mut()) {
                if key.is(wanted) {
                    *place = Some(value);
                }
            }
        })
    }

    /// Checks it and hands every top-level key and value to `visit`, in the order in which they stand.
    #[inline]
    pub fn walk(&self, from: usize, visit: impl FnMut(Value<'a>, Value<'a>)) -> Result<usize, Malformed> {
        Reader::new(self.text, self.words, from).object(visit)
    }
}

/// Checks `line`, which ends with its first line break, and hands every top-level key and value to `visit`.
pub fn walk<'a>(line: &'a [u8], visit: impl FnMut(Value<'a>, Value<'a>)) -> Result<(), Malformed> {
    let mut marks = Marks::default();
    marks.set(line, 0, line.len());
    Reader::new(line, marks.of(line), 0).object(visit).map(|_| ())
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
    use proptest::prelude::{any, prop, prop_assert, prop_assert_eq, proptest};

    use super::*;

    #[expect(clippy::option_option, reason = "malformed, absent, there")]
    fn get(line: &str, key: &str) -> Option<Option<String>> {
        let mut marks = Marks::default();
        marks.set(line.as_bytes(), 0, line.len());
        let mut found = [None];
        Lines::new(line.as_bytes(), &marks).read(0, &[key.as_bytes().to_vec()], &mut found).ok()?;
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
        assert_eq!(walk(b"{\"a\":\"\xff\"}", |_, _| ()), Err(Malformed));
        let deep = format!("{{\"a\":{}1{}}}", "[".repeat(600), "]".repeat(600));
        assert_eq!(get(&deep, "a"), None);
    }

    proptest! {
        #[test]
        fn what_stands_around_a_line_changes_nothing(
            before in r#"[{}:,"\\a1 \t]{0,80}"#,
            line in r#"[{}:,"\\a1 é\t]{0,80}"#,
            behind in r#"[{}:,"\\a1 \n]{0,80}"#,
        ) {
            let line = format!("{{\"a\":{line}");
            let text = format!("{before}\n{line}\n{behind}");
            let mut marks = Marks::default();
            marks.set(text.as_bytes(), 0, text.len());
            let within = Lines::new(text.as_bytes(), &marks).walk(before.len() + 1, |_, _| ());
            prop_assert_eq!(within.is_ok(), walk(line.as_bytes(), |_, _| ()).is_ok(), "{}", text);
            prop_assert!(within.is_err() || within == Ok(before.len() + 1 + line.len()), "{}", text);
        }

        #[test]
        fn it_says_what_serde_says(text in r#"[{}\[\]:,"\\a1e. \-utfn0é]{0,24}"#) {
            let line = format!("{{\"k\":{text}");
            for line in [&text, &line] {
                let reference = serde_json::from_str::<serde_json::Map<String, serde_json::Value>>(line);
                prop_assert_eq!(walk(line.as_bytes(), |_, _| ()).is_ok(), reference.is_ok(), "{}", line);
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
        fn any_bytes_are_an_object_or_malformed(bytes in prop::collection::vec(any::<u8>(), 0..80)) {
            let bytes: Vec<u8> = bytes.into_iter().filter(|byte| *byte != b'\n').collect();
            let valid = serde_json::from_slice::<serde_json::Map<String, serde_json::Value>>(&bytes).is_ok();
            prop_assert_eq!(walk(&bytes, |_, _| ()).is_ok(), valid);
        }
    }
}

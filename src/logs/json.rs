//! Lines as JSON: strictly checked, with the top-level values that are asked for.

use std::borrow::Cow;

use fearless_simd::Level;

use crate::logs::marks::Marks;
use crate::logs::reader::Reader;
use crate::logs::usual::Usual;

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
    #[inline]
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

/// A line.
#[derive(Debug, Clone, Copy)]
pub struct Line<'a, 'f> {
    /// Its bytes, without the line break.
    pub text: &'a [u8],
    /// Where it begins.
    pub from: usize,
    /// The last values of the keys, if it is one whole JSON object.
    pub found: Result<&'f [Option<Value<'a>>], Malformed>,
}

/// Reads lines: the usual ones at once, the others by the grammar.
#[derive(Debug, Clone)]
pub struct Lines {
    keys: Vec<Vec<u8>>,
    /// Whether they are read at all.
    read: bool,
    usual: Option<Usual>,
    marks: Marks,
}

impl Lines {
    /// With the last values of these keys.
    pub fn new(keys: &[Vec<u8>]) -> Self {
        Self { keys: keys.to_vec(), read: true, usual: Usual::new(Level::new(), keys), marks: Marks::default() }
    }

    /// Without what only some processors have, and by the grammar alone.
    pub fn portable(keys: &[Vec<u8>]) -> Self {
        Self { keys: keys.to_vec(), read: true, usual: None, marks: Marks::portable() }
    }

    /// Whether they are objects or not.
    pub fn unread() -> Self {
        Self { keys: Vec::new(), read: false, usual: None, marks: Marks::default() }
    }

    /// Hands every line of `text` from `from` on to `visit`, as long as it says so, and says where the next would begin. `found`
    /// has a place for each key.
    #[inline]
    pub fn each<'a>(
        &mut self,
        text: &'a [u8],
        mut from: usize,
        found: &mut [Option<Value<'a>>],
        mut visit: impl FnMut(Line<'a, '_>) -> bool,
    ) -> usize {
        let mut go_on = true;
        while go_on && from < text.len() {
            if let Some(usual) = &mut self.usual {
                from = usual.each(text, from, found, |from, end, found| {
                    go_on = visit(Line { text: &text[from..end], from, found: Ok(found) });
                    go_on
                });
                if !go_on || from >= text.len() {
                    break;
                }
            }
            let end = end(text, from);
            let read = self.read(&text[from..end], found);
            go_on = visit(Line { text: &text[from..end], from, found: read.map(|()| &*found) });
            from = end + 1;
        }
        from
    }

    fn read<'a>(&mut self, line: &'a [u8], found: &mut [Option<Value<'a>>]) -> Result<(), Malformed> {
        found.fill(None);
        if !self.read {
            return Ok(());
        }
        self.marks.set(line);
        Reader::new(line, self.marks.words()).object(|key, value| {
            for (wanted, place) in self.keys.iter().zip(found.iter_mut()) {
                if key.is(wanted) {
                    *place = Some(value);
                }
            }
        })
    }
}

/// Where the line that begins at `from` ends: at its line break, or with the text.
fn end(text: &[u8], from: usize) -> usize {
    memchr::memchr(b'\n', &text[from..]).map_or(text.len(), |at| from + at)
}

/// Checks `line`, which has no line break but perhaps at its end, and hands every top-level key and value to `visit`.
pub fn walk<'a>(line: &'a [u8], visit: impl FnMut(Value<'a>, Value<'a>)) -> Result<(), Malformed> {
    let mut marks = Marks::default();
    marks.set(line);
    Reader::new(line, marks.words()).object(visit)
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
    use proptest::prelude::{Strategy, any, prop, prop_assert_eq, prop_oneof, proptest};

    use super::*;

    /// The lines of a text, and of each its value of the key; none where it is no object.
    type Read = Vec<(Vec<u8>, Option<Option<String>>)>;

    fn read(mut lines: Lines, text: &[u8]) -> Read {
        let mut all = Vec::new();
        let mut found = vec![None; lines.keys.len()];
        let end = lines.each(text, 0, &mut found, |line| {
            let value = |value: Value<'_>| String::from_utf8_lossy(&value.text()).into_owned();
            let found = line.found.ok().map(|found| found[0].map(value));
            assert_eq!(line.text, &text[line.from..line.from + line.text.len()]);
            all.push((line.text.to_vec(), found));
            true
        });
        assert!(end >= text.len());
        all
    }

    /// By the vectors of every processor, and by the grammar alone.
    fn read_in_every_way(text: &[u8], key: &str) -> [Read; 4] {
        let keys = [key.as_bytes().to_vec()];
        let by = |usual| Lines { usual, ..Lines::portable(&keys) };
        let levels = [Level::new(), Level::baseline(), Level::fallback()];
        let [new, baseline, fallback] = levels.map(|level| read(by(Usual::new(level, &keys)), text));
        [new, baseline, fallback, read(by(None), text)]
    }

    #[expect(clippy::option_option, reason = "malformed, absent, there")]
    fn get(line: &str, key: &str) -> Option<Option<String>> {
        let [one, rest @ ..] = read_in_every_way(format!("{line}\n").as_bytes(), key);
        assert!(rest.iter().all(|other| *other == one));
        one.into_iter().next()?.1
    }

    #[test]
    fn the_last_of_equal_keys_counts_and_nested_ones_do_not() {
        assert_eq!(get(r#"{"a":1,"a":"2"}"#, "a"), Some(Some("2".to_owned())));
        assert_eq!(get(r#" { "x" : {"a":1} , "b" : [ {"a":2} ] } "#, "a"), Some(None));
        assert_eq!(get("{\"\\u0061\":\"\\u00e9\\n\"}\r", "a"), Some(Some("é\n".to_owned())));
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

    /// ASCII, for a change that is put anywhere.
    fn marks() -> impl Strategy<Value = String> {
        prop_oneof![r#"[{}\[\]:,"\\a0-2 .\-]{0,3}"#, "\\\\u00[26][12]"]
    }

    fn usual_line() -> impl Strategy<Value = String> {
        let text = prop_oneof![r"[ab:,{}\[\]0-9 ]{0,9}", r#"(\\["\\/bn]|\\u0061|a){0,5}"#, "[ab]{50,70}", "é|€"];
        let value = prop_oneof![
            text.prop_map(|text| format!("\"{text}\"")),
            "0|[1-9][0-9]{0,17}",
            r#"true|-1|1\.5|\[1,2\]|\{"a":"b"\}"#
        ];
        let pairs = prop::collection::vec(("[ab]{0,2}|[ab]{6,9}|[ab]{60,63}", value), 0..9);
        pairs.prop_map(|pairs| {
            let pairs: Vec<_> = pairs.iter().map(|(key, value)| format!("\"{key}\":{value}")).collect();
            format!("{{{}}}", pairs.join(","))
        })
    }

    proptest! {
        #[test]
        fn lines_are_read_alike_in_every_way(
            lines in prop::collection::vec((usual_line(), prop::option::of((any::<prop::sample::Index>(), marks()))), 1..8),
            key in "[ab]{0,2}|[ab]{7,9}|[ab]{61,63}",
        ) {
            let spoilt = lines.into_iter().map(|(line, change)| {
                let mut line = line.into_bytes();
                if let Some((place, text)) = change {
                    let place = place.index(line.len() + 1);
                    line.splice(place..(place + text.len() / 2).min(line.len()), text.into_bytes());
                }
                line
            });
            let text = spoilt.collect::<Vec<_>>().join(&b'\n');
            let [one, rest @ ..] = read_in_every_way(&text, &key);
            for other in rest {
                prop_assert_eq!(&one, &other, "{}", String::from_utf8_lossy(&text));
            }
            for (line, found) in one {
                let object = serde_json::from_slice::<serde_json::Map<String, serde_json::Value>>(&line);
                let line = String::from_utf8_lossy(&line);
                prop_assert_eq!(found.is_some(), object.is_ok(), "{}", line);
                let (Ok(object), Some(found)) = (object, found) else { continue };
                // What is no string is handed over as it is written.
                let read = |found: &String| serde_json::from_str(found).unwrap_or_else(|_| found.as_str().into());
                let written = |value: &serde_json::Value| value.as_str().map_or_else(|| value.clone(), |text| serde_json::from_str(text).unwrap_or_else(|_| text.into()));
                prop_assert_eq!(found.as_ref().map(read), object.get(&key).map(written), "{}", line);
            }
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

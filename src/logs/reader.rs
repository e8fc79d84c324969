//! The grammar of one line, in one pass from mark to mark.

#![expect(clippy::inline_always, reason = "the place in the line stays in registers, from its first byte to its last")]

use crate::logs::json::{Kind, Malformed, Value};
use crate::logs::marks::{WIDTH, Word};

/// Deeper than this nobody nests on purpose.
const DEEPEST: u32 = 512;

/// Reads a line whose marks are set.
#[derive(Clone, Copy)]
pub(super) struct Reader<'a, 'm> {
    text: &'a [u8],
    words: &'m [Word],
    at: usize,
    /// The number of the word at hand, and its marks that have not been met.
    word: usize,
    left: u64,
    /// Not zero where a byte beyond ASCII may have been met: then the whole line has to be UTF-8.
    beyond: u64,
}

impl<'a, 'm> Reader<'a, 'm> {
    pub(super) fn new(text: &'a [u8], words: &'m [Word]) -> Self {
        let mut reader = Self { text, words, at: 0, word: 0, left: 0, beyond: 0 };
        reader.seek(0);
        reader
    }

    /// Checks the line, and hands every top-level key and value to `visit`.
    #[inline(always)]
    pub(super) fn object(mut self, mut visit: impl FnMut(Value<'a>, Value<'a>)) -> Result<(), Malformed> {
        self.space();
        self.expect(b'{')?;
        self.space();
        if self.peek() == Some(b'}') {
            self.at += 1;
        } else {
            loop {
                let start = self.at;
                self.expect(b'"')?;
                let kind = self.string()?;
                let key = self.since(start, kind);
                self.colon()?;
                let start = self.at;
                let kind = self.top_value()?;
                visit(key, self.since(start, kind));
                if !self.goes_on(b'}')? {
                    break;
                }
            }
        }
        self.space();
        if self.peek().is_some_and(|byte| byte != b'\n') {
            return Err(Malformed);
        }
        if self.beyond != 0 && std::str::from_utf8(self.text).is_err() {
            return Err(Malformed);
        }
        Ok(())
    }

    /// The next mark; the end where there is none.
    #[inline(always)]
    fn mark(&mut self) -> usize {
        while self.left == 0 {
            self.word += 1;
            let Some(word) = self.words.get(self.word) else { return self.text.len() };
            self.left = word.ends;
            self.beyond |= word.beyond;
        }
        let place = self.word * WIDTH + self.left.trailing_zeros() as usize;
        self.left &= self.left - 1;
        place
    }

    /// Makes the next mark the first at or after `place`.
    #[inline(always)]
    fn seek(&mut self, place: usize) {
        self.word = place / WIDTH;
        let word = self.words.get(self.word).copied().unwrap_or_default();
        self.left = word.ends & (!0 << (place % WIDTH));
        self.beyond |= word.beyond;
    }

    #[inline(always)]
    fn peek(&self) -> Option<u8> {
        self.text.get(self.at).copied()
    }

    #[inline(always)]
    fn next(&mut self) -> Option<u8> {
        let byte = self.peek()?;
        self.at += 1;
        Some(byte)
    }

    #[inline(always)]
    fn expect(&mut self, byte: u8) -> Result<(), Malformed> {
        if self.next() == Some(byte) { Ok(()) } else { Err(Malformed) }
    }

    #[inline(always)]
    fn space(&mut self) {
        while let Some(b' ' | b'\t' | b'\r') = self.peek() {
            self.at += 1;
        }
    }

    #[inline(always)]
    fn colon(&mut self) -> Result<(), Malformed> {
        self.space();
        self.expect(b':')?;
        self.space();
        Ok(())
    }

    /// Whether a comma follows, and not the end of an object or array.
    #[inline(always)]
    fn goes_on(&mut self, end: u8) -> Result<bool, Malformed> {
        self.space();
        match self.next() {
            Some(b',') => {
                self.space();
                Ok(true)
            }
            Some(byte) if byte == end => Ok(false),
            _ => Err(Malformed),
        }
    }

    /// The value that began at `start` and has been read. The parts of a reader say what a value is and not the value, which
    /// would go through memory.
    #[inline(always)]
    fn since(&self, start: usize, kind: Kind) -> Value<'a> {
        let quote = usize::from(kind != Kind::Other);
        Value { raw: &self.text[start + quote..self.at - quote], kind }
    }

    /// A value of the outermost object.
    #[inline(always)]
    fn top_value(&mut self) -> Result<Kind, Malformed> {
        let start = self.at;
        match self.peek() {
            Some(b'"') => {
                self.at += 1;
                return self.string();
            }
            Some(b'-' | b'0'..=b'9') => self.number(start)?,
            _ => {
                let mut aside = *self;
                let kind = aside.value(0);
                *self = aside;
                return kind;
            }
        }
        Ok(Kind::Other)
    }

    #[inline(never)]
    fn value(&mut self, depth: u32) -> Result<Kind, Malformed> {
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
        Ok(Kind::Other)
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
            if !self.goes_on(b'}')? {
                return Ok(());
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
            if !self.goes_on(b']')? {
                return Ok(());
            }
        }
    }

    fn word(&mut self, rest: &[u8]) -> Result<(), Malformed> {
        if self.text[self.at..].starts_with(rest) {
            self.at += rest.len();
            Ok(())
        } else {
            Err(Malformed)
        }
    }

    #[inline(always)]
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

    #[inline(always)]
    fn digits(&mut self) {
        while let Some(b'0'..=b'9') = self.peek() {
            self.at += 1;
        }
    }

    #[inline(always)]
    fn some_digits(&mut self) -> Result<(), Malformed> {
        let start = self.at;
        self.digits();
        if self.at > start { Ok(()) } else { Err(Malformed) }
    }

    /// The rest of a string, after its opening quote.
    #[inline(always)]
    fn string(&mut self) -> Result<Kind, Malformed> {
        let start = self.at;
        // The opening quote is the next mark, unless others were passed by.
        if self.mark() + 1 != start {
            self.seek(start);
        }
        let end = self.mark();
        if self.text.get(end) == Some(&b'"') {
            self.at = end + 1;
            return Ok(Kind::Plain);
        }
        let mut aside = *self;
        let kind = aside.escaped(end);
        *self = aside;
        kind
    }

    /// The rest of a string whose first mark is no quote.
    #[inline(never)]
    fn escaped(&mut self, mut end: usize) -> Result<Kind, Malformed> {
        loop {
            self.at = end + 1;
            match self.text.get(end) {
                Some(b'"') => return Ok(Kind::Escaped),
                Some(b'\\') => self.escape()?,
                _ => return Err(Malformed),
            }
            self.seek(self.at);
            end = self.mark();
        }
    }

    fn escape(&mut self) -> Result<(), Malformed> {
        match self.next() {
            Some(b'"' | b'\\' | b'/' | b'b' | b'f' | b'n' | b'r' | b't') => Ok(()),
            Some(b'u') => {
                let digits = self.text.get(self.at..self.at + 4).ok_or(Malformed)?;
                self.at += 4;
                if digits.iter().all(u8::is_ascii_hexdigit) { Ok(()) } else { Err(Malformed) }
            }
            _ => Err(Malformed),
        }
    }
}

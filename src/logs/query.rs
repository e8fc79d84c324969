//! What is asked for: conditions on top-level keys, times, levels and free text, all of which have to hold.

use memchr::memmem::Finder;
use regex::bytes::Regex;

use crate::logs::json::{Kind, Line, Lines, Value};
use crate::logs::needles::Needles;
use crate::logs::time::instant;
use crate::model::time::Timestamp;

/// Levels, the least first.
pub const LEVELS: [&str; 5] = ["debug", "info", "warn", "error", "critical"];

/// What a value is held against.
#[derive(Debug, Clone)]
pub enum Test {
    /// One of these texts.
    Is(Vec<String>),
    /// None of these texts; an absent key is none of them.
    IsNot(Vec<String>),
    /// A pattern somewhere in it.
    Like(Regex),
    /// An instant at or after the first and before the second.
    Within(Option<Timestamp>, Option<Timestamp>),
}

impl Test {
    fn holds(&self, value: Option<&Value<'_>>) -> bool {
        match self {
            Self::Is(texts) => value.is_some_and(|value| equals_one(value, texts)),
            Self::IsNot(texts) => !value.is_some_and(|value| equals_one(value, texts)),
            Self::Like(pattern) => value.is_some_and(|value| pattern.is_match(&value.text())),
            Self::Within(since, until) => value
                .filter(|value| value.kind != Kind::Other)
                .and_then(|value| instant(&value.text()))
                .is_some_and(|at| since.is_none_or(|since| at >= since) && until.is_none_or(|until| at < until)),
        }
    }
}

fn equals_one(value: &Value<'_>, texts: &[String]) -> bool {
    texts.iter().any(|wanted| value.is(wanted.as_bytes()))
}

/// A text or pattern anywhere in the line as it is written.
#[derive(Debug, Clone)]
pub enum Text {
    /// These bytes.
    Literal(Box<Finder<'static>>),
    /// A pattern.
    Pattern(Regex),
}

impl Text {
    fn is_in(&self, line: &[u8]) -> bool {
        match self {
            Self::Literal(finder) => finder.find(line).is_some(),
            Self::Pattern(pattern) => pattern.is_match(line),
        }
    }
}

/// A condition could not be read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct Error(String);

/// What became of a line.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// It is what was asked for.
    Match,
    /// It is not.
    Other,
    /// It is not one whole JSON object.
    Malformed,
}

/// Everything that is asked for.
#[derive(Debug, Clone, Default)]
pub struct Query {
    keys: Vec<Vec<u8>>,
    /// Each on the key of this number.
    tests: Vec<(usize, Test)>,
    texts: Vec<Text>,
    /// Lines that are not what was asked for.
    invert: bool,
    /// Lines that are no JSON object, and those alone.
    malformed: bool,
}

impl Query {
    /// Every line; or with `invert` none, and with `malformed` those that are no JSON object.
    pub fn new(invert: bool, malformed: bool) -> Self {
        Self { invert, malformed, ..Self::default() }
    }

    /// Adds a condition on a top-level key.
    pub fn add(&mut self, key: &str, test: Test) {
        let number = self.key(key);
        self.tests.push((number, test));
    }

    /// The number of a key whose values are to be found.
    pub fn key(&mut self, key: &str) -> usize {
        let known = self.keys.iter().position(|known| known == key.as_bytes());
        known.unwrap_or_else(|| {
            self.keys.push(key.as_bytes().to_vec());
            self.keys.len() - 1
        })
    }

    /// The keys whose values are found.
    pub fn keys(&self) -> &[Vec<u8>] {
        &self.keys
    }

    /// Adds a text that has to be in the line.
    pub fn contain(&mut self, text: &str) {
        self.texts.push(Text::Literal(Box::new(Finder::new(text.as_bytes()).into_owned())));
    }

    /// Adds a pattern that has to be in the line.
    pub fn match_pattern(&mut self, pattern: &str) -> Result<(), Error> {
        self.texts.push(Text::Pattern(regex(pattern)?));
        Ok(())
    }

    /// Adds a word as people write it: `key=value`, `key=a,b`, `key!=value`, `key~=pattern`, or free text.
    pub fn add_word(&mut self, word: &str) -> Result<(), Error> {
        let Some(at) = word.find('=').filter(|at| is_key(word[..*at].trim_end_matches(['!', '~']))) else {
            self.contain(word);
            return Ok(());
        };
        let (left, value) = (&word[..at], &word[at + 1..]);
        let values = || value.split(',').map(str::to_owned).collect::<Vec<_>>();
        match (left.strip_suffix('!'), left.strip_suffix('~')) {
            (Some(key), _) => self.add(key, Test::IsNot(values())),
            (_, Some(key)) => self.add(key, Test::Like(regex(value)?)),
            (None, None) => self.add(left, Test::Is(values())),
        }
        Ok(())
    }

    /// Adds a level, several with commas, or a level and all above it: `error+`.
    pub fn add_level(&mut self, level: &str) -> Result<(), Error> {
        let known = |name: &str| {
            let unknown = || Error(format!("`{name}` is not one of {}", LEVELS.join(", ")));
            LEVELS.iter().position(|level| *level == name).ok_or_else(unknown)
        };
        let names: Vec<&str> = match level.strip_suffix('+') {
            Some(least) => LEVELS[known(least)?..].to_vec(),
            None => level.split(',').map(|name| known(name).map(|_| name)).collect::<Result<_, _>>()?,
        };
        self.add("level", Test::Is(names.into_iter().map(str::to_owned).collect()));
        Ok(())
    }

    /// Whether lines have to be read as JSON.
    pub fn reads_fields(&self) -> bool {
        self.malformed || !self.keys.is_empty()
    }

    /// The span of time that is asked for, if one is.
    pub fn span(&self) -> Option<(Option<Timestamp>, Option<Timestamp>)> {
        self.tests.iter().find_map(|(_, test)| match test {
            Test::Within(since, until) if !self.invert && !self.malformed => Some((*since, *until)),
            _ => None,
        })
    }

    /// Bytes of which at least one has to be in every line that is a match; none if every line has to be looked at.
    pub fn needles(&self) -> Option<Needles> {
        if self.invert || self.malformed {
            return None;
        }
        let literal = self.texts.iter().find_map(|text| match text {
            Text::Literal(finder) if !finder.needle().is_empty() => Some(finder.needle()),
            Text::Literal(_) | Text::Pattern(_) => None,
        });
        literal.map(|literal| Needles::new(literal, literal)).or_else(|| self.value_needles())
    }

    /// The longest value that is asked for alone, with its quotes; and the beginning of the only other spelling that its
    /// characters have in JSON.
    fn value_needles(&self) -> Option<Needles> {
        let one = |test: &Test| match test {
            Test::Is(texts) if texts.len() == 1 && is_spelt_plainly(&texts[0]) => Some(texts[0].clone()),
            _ => None,
        };
        let value = self.tests.iter().filter_map(|(_, test)| one(test)).max_by_key(String::len)?;
        Some(Needles::new(format!("\"{value}\"").as_bytes(), b"\\u00"))
    }

    /// What reads the lines.
    pub fn lines(&self) -> Lines {
        if self.reads_fields() { Lines::new(&self.keys) } else { Lines::unread() }
    }

    /// Judges a line.
    #[inline]
    pub fn judge(&self, line: Line<'_, '_>) -> Verdict {
        let Ok(found) = line.found else {
            return if self.malformed && !self.invert { Verdict::Match } else { Verdict::Malformed };
        };
        let holds = !self.malformed
            && self.tests.iter().all(|(key, test)| test.holds(found[*key].as_ref()))
            && self.texts.iter().all(|text| text.is_in(line.text));
        if holds == self.invert { Verdict::Other } else { Verdict::Match }
    }
}

fn regex(pattern: &str) -> Result<Regex, Error> {
    Regex::new(pattern).map_err(|error| Error(format!("the pattern cannot be read: {error}")))
}

fn is_key(text: &str) -> bool {
    !text.is_empty()
        && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-' | b'.' | b'$'))
}

/// Letters, digits and such stand in JSON as they are or as `\u00xx`; only a string can have a letter in it besides the three
/// words, and a number may be written without quotes.
fn is_spelt_plainly(value: &str) -> bool {
    let plain =
        |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-' | b'.' | b':' | b' ' | b'+' | b'@');
    value.bytes().all(plain)
        && value.bytes().any(|byte| byte.is_ascii_alphabetic())
        && !matches!(value, "true" | "false" | "null")
        && !value.starts_with(|first: char| first.is_ascii_digit() || first == '-')
}

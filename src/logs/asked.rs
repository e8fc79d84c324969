//! What people ask a log, in the words of the command's flags and of the dashboard's form.

use crate::logs::query::{Error, Query, Test};
use crate::model::time::Timestamp;

/// Everything that is asked for; what is empty asks for nothing.
#[derive(Debug, Clone, Default)]
pub struct Asked {
    /// `key=value`, `key!=value`, `key~=pattern`, or texts.
    pub words: Vec<String>,
    /// Of these events.
    pub event: Option<String>,
    /// With these tags.
    pub tag: Option<String>,
    /// Levels, or a level and all above it.
    pub level: Option<String>,
    /// Of a run.
    pub run: Option<String>,
    /// Of a payment: `pay_…`, `pi_…` or `cs_…`.
    pub payment: Option<String>,
    /// Of a checkout session.
    pub session: Option<String>,
    /// From then on.
    pub since: Option<Timestamp>,
    /// Until then.
    pub until: Option<Timestamp>,
    /// Patterns that have to be in the line.
    pub patterns: Vec<String>,
    /// Lines that are not so.
    pub invert: bool,
    /// Lines that are no JSON object.
    pub malformed: bool,
}

impl Asked {
    /// The same as a query.
    pub fn query(&self) -> Result<Query, Error> {
        let mut query = Query::new(self.invert, self.malformed);
        let payment = match self.payment.as_deref() {
            Some(id) if id.starts_with("pi_") => "paymentIntentId",
            Some(id) if id.starts_with("cs_") => "sessionId",
            _ => "paymentId",
        };
        let named = [
            ("event", &self.event),
            ("tag", &self.tag),
            ("runId", &self.run),
            (payment, &self.payment),
            ("sessionId", &self.session),
        ];
        for (key, value) in named {
            if let Some(value) = value {
                query.add(key, Test::Is(value.split(',').map(str::to_owned).collect()));
            }
        }
        if let Some(level) = &self.level {
            query.add_level(level)?;
        }
        for word in &self.words {
            query.add_word(word)?;
        }
        for pattern in &self.patterns {
            query.match_pattern(pattern)?;
        }
        if self.since.is_some() || self.until.is_some() {
            query.add("ts", Test::Within(self.since, self.until));
        }
        Ok(query)
    }
}

/// The words of a line, as a shell would tell them apart: quotes hold a word together.
pub fn words(line: &str) -> Vec<String> {
    let (mut words, mut word, mut quote) = (Vec::new(), None::<String>, None);
    for c in line.chars() {
        match (quote, c) {
            (Some(open), c) if c == open => quote = None,
            (None, '"' | '\'') => {
                quote = Some(c);
                word.get_or_insert_default();
            }
            (None, c) if c.is_whitespace() => words.extend(word.take()),
            _ => word.get_or_insert_default().push(c),
        }
    }
    words.extend(word);
    words
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quotes_hold_a_word_together() {
        assert_eq!(words(r#" event=x 'error~=^a b'  "it's" "" "#), ["event=x", "error~=^a b", "it's", ""]);
        assert!(words("  ").is_empty());
    }
}

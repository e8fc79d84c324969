//! What a list is asked for, as it stands in an address: the same words as the command line's flags.

use serde::Deserialize;

use crate::model::time::Timestamp;
use crate::ops::when::when;
use crate::store::filter::{Filter, STUCK};
use crate::store::{Shared, Subject};
use crate::web::page::Failure;

/// How many rows a page has.
pub(in crate::web) const ROWS: u32 = 50;
/// The most that may be asked for.
const MOST_ROWS: u32 = 1000;

/// The word for every state, where a list shows some of them by itself.
pub(in crate::web) const ANY: &str = "any";

/// Where a list goes on.
pub(in crate::web) struct More {
    /// Of the next page.
    pub(in crate::web) address: String,
    /// How many rows were looked at, where that is why the page ends.
    pub(in crate::web) looked: Option<i64>,
}

/// The conditions of a list. An empty one is none, as forms send them.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub(in crate::web) struct Query {
    pub(in crate::web) status: String,
    pub(in crate::web) since: String,
    pub(in crate::web) until: String,
    pub(in crate::web) customer: String,
    pub(in crate::web) workflow: String,
    pub(in crate::web) step: String,
    pub(in crate::web) error: String,
    pub(in crate::web) source: String,
    #[serde(rename = "type")]
    pub(in crate::web) kind: String,
    pub(in crate::web) payment: String,
    pub(in crate::web) stuck: String,
    pub(in crate::web) before: String,
    pub(in crate::web) limit: String,
    /// What an act that led here has done.
    pub(in crate::web) said: String,
}

impl Query {
    /// As the store takes it.
    pub(in crate::web) async fn filter(&self, store: &Shared, now: Timestamp) -> Result<Filter, Failure> {
        let some = |text: &String| Some(text.trim().to_owned()).filter(|text| !text.is_empty());
        let at = |text: &String| some(text).map(|text| when(&text, now)).transpose().map_err(Failure::bad);
        let payment = match some(&self.payment) {
            None => None,
            Some(id) => match store.resolve(&id).await? {
                Subject::Payment(payment) => Some(payment),
                _ => return Err(Failure::bad(format!("{id} belongs to no payment"))),
            },
        };
        Ok(Filter {
            status: self
                .status
                .split([',', ' '])
                .filter(|word| !word.is_empty() && *word != ANY)
                .map(str::to_owned)
                .collect(),
            since: at(&self.since)?,
            until: at(&self.until)?,
            customer: some(&self.customer),
            workflow: some(&self.workflow),
            step: some(&self.step),
            error: some(&self.error),
            source: some(&self.source),
            kind: some(&self.kind),
            payment,
            stuck: some(&self.stuck).map(|_| now.minus(STUCK)),
            before: some(&self.before).map(|id| row_number(&id)).transpose()?,
            above: None,
            whole: false,
            limit: self.rows(),
        })
    }

    /// Ends a search after `look` rows; `newest` is the id of the newest row.
    pub(in crate::web) fn bound(&self, filter: &mut Filter, look: i64, newest: Option<&str>) -> Result<(), Failure> {
        if self.conditions().iter().any(|(name, _)| *name != "limit") {
            filter.bound(look, newest.map(row_number).transpose()?.unwrap_or_default());
        }
        Ok(())
    }

    /// Where it goes on after these rows, the last of which is `last`, or after the `look` rows that were looked at.
    pub(in crate::web) fn more(
        &self,
        path: &str,
        filter: &Filter,
        look: i64,
        rows: usize,
        last: Option<&str>,
    ) -> Option<More> {
        let full = rows == filter.limit as usize;
        match (last.filter(|_| full), filter.above) {
            (Some(last), _) => Some(More { address: self.next(path, last), looked: None }),
            (None, Some(end)) => Some(More { address: self.next(path, &(end + 1).to_string()), looked: Some(look) }),
            (None, None) => None,
        }
    }

    /// How many rows are asked for.
    pub(in crate::web) fn rows(&self) -> u32 {
        self.limit.parse().unwrap_or(ROWS).clamp(1, MOST_ROWS)
    }

    /// The address of the page after the row with this id, under the same conditions.
    pub(in crate::web) fn next(&self, path: &str, last: &str) -> String {
        self.address_with(path, &[("before", last)])
    }

    /// The address of the list under the same conditions.
    pub(in crate::web) fn address(&self, path: &str) -> String {
        self.address_with(path, &[])
    }

    /// The same with these conditions in the place of those of the same name.
    pub(in crate::web) fn address_with(&self, path: &str, more: &[(&str, &str)]) -> String {
        let mut address = url::form_urlencoded::Serializer::new(String::new());
        let others = self.conditions().into_iter().filter(|(name, _)| more.iter().all(|(other, _)| other != name));
        address.extend_pairs(others.chain(more.iter().copied()));
        let pairs = address.finish();
        if pairs.is_empty() { path.to_owned() } else { format!("{path}?{pairs}") }
    }

    /// What is asked for by this name.
    pub(in crate::web) fn value(&self, name: &str) -> &str {
        self.conditions().into_iter().find(|(known, _)| *known == name).map_or("", |(_, value)| value)
    }

    /// What is asked for, as words and values.
    pub(in crate::web) fn conditions(&self) -> Vec<(&'static str, &str)> {
        let all = [
            ("status", &self.status),
            ("since", &self.since),
            ("until", &self.until),
            ("customer", &self.customer),
            ("workflow", &self.workflow),
            ("step", &self.step),
            ("error", &self.error),
            ("source", &self.source),
            ("type", &self.kind),
            ("payment", &self.payment),
            ("stuck", &self.stuck),
            ("limit", &self.limit),
        ];
        all.into_iter().filter(|(_, value)| !value.is_empty()).map(|(name, value)| (name, value.as_str())).collect()
    }

    /// The command that lists the same.
    pub(in crate::web) fn command(&self, list: &str) -> String {
        self.command_with(list, &[])
    }

    /// The same, with flags that are called otherwise than the conditions.
    pub(in crate::web) fn command_with(&self, list: &str, flags: &[(&str, &str)]) -> String {
        let flags = self.conditions().into_iter().map(|(name, value)| match name {
            "stuck" => " --stuck".to_owned(),
            "status" if value == ANY => " --all".to_owned(),
            name => {
                let flag = flags.iter().find(|(known, _)| *known == name).map_or(name, |(_, flag)| flag);
                format!(" --{flag} {}", quoted(value))
            }
        });
        format!("discuno {list}{}", flags.collect::<String>())
    }
}

/// A word as a shell takes it.
pub(in crate::web) fn quoted(word: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_.,:@/*".contains(c);
    if !word.is_empty() && word.chars().all(plain) {
        word.to_owned()
    } else {
        format!("'{}'", word.replace('\'', "'\\''"))
    }
}

/// The number in `run_12`.
fn row_number(id: &str) -> Result<i64, Failure> {
    let digits = id.rsplit('_').next().unwrap_or(id);
    digits.parse().map_err(|_| Failure::bad(format!("before takes the id of a row, such as run_12, and not {id}")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_list_names_the_command_that_shows_the_same() {
        let query = Query { status: "failed".into(), error: "it's".into(), stuck: "1".into(), ..Query::default() };
        assert_eq!(query.command("runs"), r"discuno runs --status failed --error 'it'\''s' --stuck");
        assert_eq!(query.next("/runs", "run_9"), "/runs?status=failed&error=it%27s&stuck=1&before=run_9");
    }
}

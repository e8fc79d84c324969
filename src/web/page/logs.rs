//! The log, asked as the command asks it.

use askama::Template;
use axum::extract::State;
use axum::extract::rejection::QueryRejection;
use serde::Deserialize;

use crate::logs::asked::{Asked, words};
use crate::logs::query::LEVELS;
use crate::model::time::Timestamp;
use crate::ops::when::when;
use crate::web::admin::Admin;
use crate::web::auth::Identity;
use crate::web::page::log::{Line, Lines, PAGE, search};
use crate::web::page::query::quoted;
use crate::web::page::{Failure, Page, Shell, given};
use crate::web::shown;

#[derive(Template)]
#[template(path = "logs.html")]
pub(in crate::web) struct LogsPage {
    shell: Shell,
    words: Words,
    levels: [&'static str; 5],
    /// None where no file is configured.
    found: Option<Found>,
    command: String,
}

struct Found {
    lines: Vec<Line>,
    more: bool,
    looked_at: String,
}

/// What is asked for, as it stands in the address.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub(in crate::web) struct Words {
    /// Conditions as the command takes them.
    q: String,
    level: String,
    run: String,
    payment: String,
    since: String,
    until: String,
}

impl Words {
    fn asked(&self, now: Timestamp) -> Result<Asked, Failure> {
        let at = |text: &str| given(text).map(|text| when(&text, now)).transpose().map_err(Failure::bad);
        Ok(Asked {
            words: words(&self.q),
            level: given(&self.level),
            run: given(&self.run),
            payment: given(&self.payment),
            since: at(&self.since)?,
            until: at(&self.until)?,
            ..Asked::default()
        })
    }

    /// The command that searches for the same, the newest of it.
    fn command(&self) -> String {
        let flags = [("level", &self.level), ("run", &self.run), ("payment", &self.payment)];
        let times = [("since", &self.since), ("until", &self.until)];
        let mut command = "discuno logs".to_owned();
        for word in words(&self.q) {
            command = command + " " + &quoted(&word);
        }
        for (flag, value) in flags.into_iter().chain(times) {
            if let Some(value) = given(value) {
                command = command + " --" + flag + " " + &quoted(&value);
            }
        }
        command + &format!(" --tail {}", PAGE.lines)
    }
}

pub(in crate::web) async fn list(
    State(admin): State<Admin>,
    identity: Identity,
    words: Result<axum::extract::Query<Words>, QueryRejection>,
) -> Result<Page<LogsPage>, Failure> {
    let axum::extract::Query(words) = words?;
    let asked = words.asked(admin.clock.now())?;
    let found = match admin.log_file.clone() {
        None => None,
        Some(file) => {
            let Lines { newest, more, looked_at } = search(file, &asked, PAGE).await?;
            Some(Found { lines: newest, more, looked_at: shown::bytes(looked_at) })
        }
    };
    let shell = Shell::new(&admin, &identity, "logs", "Logs");
    Ok(Page(LogsPage { shell, levels: LEVELS, found, command: words.command(), words }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_page_names_the_command_that_searches_for_the_same() {
        let q = "event=refund_failed 'two words'".to_owned();
        let words = Words { q, level: "error+".to_owned(), since: "2h".to_owned(), ..Words::default() };
        let command = "discuno logs 'event=refund_failed' 'two words' --level 'error+' --since 2h --tail 200";
        assert_eq!(words.command(), command);
    }
}

//! One deed on every run that a list shows: what is meant is shown first, and its number typed.

use askama::Template;
use axum::Form;
use axum::extract::rejection::{FormRejection, QueryRejection};
use axum::extract::{Query as Address, State};
use axum::response::Redirect;
use serde::Deserialize;

use crate::model::role::Role;
use crate::model::run::{Run, RunState};
use crate::ops::batch::{Became, MOST, Many, Seen, meant};
use crate::web::admin::Admin;
use crate::web::auth::Identity;
use crate::web::page::query::Query;
use crate::web::page::{Failure, Page, Shell, done, given, text};
use crate::web::shown;

/// How many are shown before they are acted on.
const SAMPLE: usize = 5;

#[derive(Template)]
#[template(path = "many.html")]
pub(in crate::web) struct ManyPage {
    shell: Shell,
    many: Many,
    query: Query,
    sample: Vec<Row>,
    count: usize,
    /// Whether there are more than may be acted on at once.
    too_many: bool,
    /// Which are shown: others that come are not meant.
    seen: String,
    /// What holds them back.
    held: Vec<String>,
    command: Option<String>,
}

struct Row {
    id: String,
    workflow: String,
    state: RunState,
    payment: Option<String>,
    created: shown::Time,
}

impl From<&Run> for Row {
    fn from(run: &Run) -> Self {
        Self {
            id: run.id.to_string(),
            workflow: run.workflow.clone(),
            state: run.state,
            payment: run.payment.map(|id| id.to_string()),
            created: shown::time(run.created_at),
        }
    }
}

/// What is to be done.
#[derive(Deserialize)]
pub(in crate::web) struct Deed {
    deed: String,
}

/// The command that does the same, where one has all the conditions.
fn command(many: Many, query: &Query) -> Option<String> {
    let mut command = format!("discuno {many} --all");
    for (name, value) in query.conditions() {
        match name {
            "workflow" | "error" | "step" | "since" | "until" => {}
            "status" if many == Many::Retry => {}
            "status" | "limit" => continue,
            _ => return None,
        }
        command = command + " --" + name + " " + &crate::web::page::query::quoted(value);
    }
    Some(command)
}

pub(in crate::web) async fn ask(
    State(admin): State<Admin>,
    identity: Identity,
    query: Result<Address<Query>, QueryRejection>,
    deed: Result<Address<Deed>, QueryRejection>,
) -> Result<Page<ManyPage>, Failure> {
    identity.must(Role::Operator)?;
    let (Address(query), Address(Deed { deed })) = (query?, deed?);
    let many: Many = deed.parse().map_err(Failure::bad)?;
    let filter = query.filter(&admin.store, admin.clock.now()).await?;
    let runs = meant(&admin.store, many, filter, None).await?;
    let held = many.held_back(&admin.store, &runs).await?;
    Ok(Page(ManyPage {
        shell: Shell::new(&admin, &identity, "runs", format!("{many} runs")),
        many,
        sample: runs.iter().take(SAMPLE).map(Row::from).collect(),
        count: runs.len(),
        too_many: runs.len() > MOST as usize,
        seen: Seen::of(&runs).map(|seen| seen.to_string()).unwrap_or_default(),
        held: held.iter().map(|pause| text(&pause.to_string())).collect(),
        command: command(many, &query),
        query,
    }))
}

/// What somebody has typed who was shown what is meant.
#[derive(Deserialize)]
pub(in crate::web) struct Typed {
    #[serde(flatten)]
    query: Query,
    deed: String,
    seen: Seen,
    count: String,
    #[serde(default)]
    reason: String,
}

pub(in crate::web) async fn act(
    State(admin): State<Admin>,
    identity: Identity,
    typed: Result<Form<Typed>, FormRejection>,
) -> Result<Redirect, Failure> {
    identity.must(Role::Operator)?;
    let Form(Typed { query, deed, seen, count, reason }) = typed.map_err(|error| Failure::bad(error.body_text()))?;
    let many: Many = deed.parse().map_err(Failure::bad)?;
    let filter = query.filter(&admin.store, admin.clock.now()).await?;
    let runs = meant(&admin.store, many, filter, Some(&seen)).await?;
    if runs.len() > MOST as usize {
        return Err(Failure::bad(format!("more than {MOST} runs are meant: nothing was done; narrow the conditions")));
    }
    if count.trim() != runs.len().to_string() {
        let now = runs.len();
        return Err(Failure::conflict(format!(
            "{now} runs are meant, and {} was typed: nothing was done",
            count.trim()
        )));
    }
    let held = many.held_back(&admin.store, &runs).await?;
    let became = admin.desk.order_each(identity.name, given(&reason), runs, many).await.map_err(Failure::broken)?;
    let unknown: Vec<String> =
        became.iter().filter(|(_, one)| one.is_unknown()).map(|(run, _)| run.to_string()).collect();
    let refused = became.iter().filter(|(_, one)| matches!(one, Became::Refused(_)) && !one.is_unknown());
    let refused: Vec<String> = refused.map(|(_, one)| one.to_string()).collect();
    let ordered = became.iter().filter(|(_, one)| matches!(one, Became::Done)).count();
    let mut said = format!("{many}: {ordered} of {} done", became.len());
    if let Some(first) = refused.first() {
        said = format!("{said}, {} refused, the first because {first}", refused.len());
    }
    if !unknown.is_empty() {
        said = format!("{said}; not known whether it was done to {}: look before trying again", unknown.join(", "));
    }
    for pause in held {
        said = format!("{said}; {pause}");
    }
    Ok(done("/runs", &said))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_is_told_only_where_it_means_the_same_runs() {
        let query = |status: &str, customer: &str| Query {
            status: status.to_owned(),
            customer: customer.to_owned(),
            error: "slot taken".to_owned(),
            limit: "50".to_owned(),
            ..Query::default()
        };
        let retry = command(Many::Retry, &query("failed", ""));
        assert_eq!(retry.unwrap(), "discuno retry --all --status failed --error 'slot taken'");
        assert_eq!(command(Many::Cancel, &query("", "")).unwrap(), "discuno cancel --all --error 'slot taken'");
        assert!(command(Many::Cancel, &query("", "zoe")).is_none());
    }
}

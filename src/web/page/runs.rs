//! The list of runs.

use askama::Template;
use axum::extract::State;

use crate::model::run::RunState;
use crate::model::time::Timestamp;
use crate::store::filter::{Filter, LOOK, RunLine};
use crate::store::hours::Counted;
use crate::web::admin::Admin;
use crate::web::auth::Identity;
use crate::web::page::chart::Chart;
use crate::web::page::query::{More, Query};
use crate::web::page::{Failure, Page, Shell, text};
use crate::web::shown;

#[derive(Template)]
#[template(path = "runs.html")]
pub(in crate::web) struct RunsPage {
    shell: Shell,
    query: Query,
    states: &'static [RunState],
    rows: Vec<Row>,
    more: Option<More>,
    hours: Chart,
    retry_all: String,
    cancel_all: String,
    command: String,
}

struct Row {
    id: String,
    workflow: String,
    state: RunState,
    payment: Option<String>,
    step: String,
    tries: String,
    failure: String,
    created: shown::Time,
    due: Option<shown::Time>,
}

impl From<RunLine> for Row {
    fn from(line: RunLine) -> Self {
        let run = line.run;
        let failure = run.failure.as_ref().or(line.last_failure.as_ref().filter(|_| !run.state.is_terminal()));
        Self {
            id: run.id.to_string(),
            state: run.state,
            payment: run.payment.map(|id| id.to_string()),
            step: line.step.unwrap_or_default(),
            tries: line.attempt.map(|count| count.to_string()).unwrap_or_default(),
            failure: failure.map(|failure| text(&format!("{}: {}", failure.code, failure.message))).unwrap_or_default(),
            created: shown::time(run.created_at),
            due: run.due_at.map(shown::time),
            workflow: run.workflow,
        }
    }
}

pub(in crate::web) async fn list(
    State(admin): State<Admin>,
    identity: Identity,
    query: Result<axum::extract::Query<Query>, axum::extract::rejection::QueryRejection>,
) -> Result<Page<RunsPage>, Failure> {
    let axum::extract::Query(query) = query?;
    let mut filter = query.filter(&admin.store, admin.clock.now()).await?.for_role(identity.role);
    let counted = Counted::Made(Box::new(filter.clone()));
    let newest = admin.store.runs(Filter::newest(1)).await?.first().map(|line| line.run.id.to_string());
    query.bound(&mut filter, LOOK, newest.as_deref())?;
    let (rows, hours) =
        tokio::try_join!(admin.store.runs(filter.clone()), admin.store.hours(counted, admin.clock.now()))?;
    let rows: Vec<Row> = rows.into_iter().map(Row::from).collect();
    let hour = |from: Timestamp, until: Timestamp| {
        Some(query.address_with("/runs", &[("since", &from.to_string()), ("until", &until.to_string())]))
    };
    let hours = Chart::new("Runs begun", &hours, hour);
    let all = |deed: &str| query.address_with("/runs/act", &[("deed", deed)]);
    let (retry_all, cancel_all) = (all("retry"), all("cancel"));
    let more = query.more("/runs", &filter, LOOK, rows.len(), rows.last().map(|last| last.id.as_str()));
    let (shell, command) = (Shell::new(&admin, &identity, "runs", "Runs"), query.command("runs"));
    Ok(Page(RunsPage { shell, states: RunState::ALL, rows, more, hours, retry_all, cancel_all, command, query }))
}

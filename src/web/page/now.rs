//! The first page: what needs a person, what waits, what fails, and how much came and went.

use askama::Template;
use axum::extract::State;

use crate::model::time::Timestamp;
use crate::ops::disk::free_bytes;
use crate::store::hours::Counted;
use crate::store::status::{CaseCount, FailingStep, SourceStatus, Status};
use crate::web::admin::Admin;
use crate::web::auth::Identity;
use crate::web::page::chart::Chart;
use crate::web::page::{Failure, Page, Shell, alerts, has_part, text};
use crate::web::shown;

#[derive(Template)]
#[template(path = "now.html")]
pub(in crate::web) struct NowPage {
    shell: Shell,
    cases: Vec<Case>,
    at_risk: Vec<String>,
    open_cases: u32,
    untold_cases: u32,
    alerts: Vec<alerts::Row>,
    refused_keys: Vec<(String, shown::Time)>,
    due: u32,
    running: u32,
    waiting: u32,
    failed_runs: u32,
    oldest_due: Option<shown::Time>,
    failing: Vec<Failing>,
    failed: Vec<(String, u32)>,
    pauses: Vec<Paused>,
    arrived: Chart,
    ended: Chart,
    sources: Vec<Source>,
    database: String,
    free: Option<String>,
    command: &'static str,
}

struct Case {
    kind: String,
    open: u32,
    since: shown::Time,
}

struct Failing {
    workflow: String,
    step: String,
    code: String,
    runs: u32,
    next: Option<shown::Time>,
}

struct Paused {
    what: String,
    since: shown::Time,
    by: String,
    reason: String,
}

struct Source {
    name: &'static str,
    last_hour: String,
    refused: u32,
    last: Option<shown::Time>,
    complete_until: Option<shown::Time>,
    checked: Option<shown::Time>,
}

impl From<CaseCount> for Case {
    fn from(count: CaseCount) -> Self {
        Self { kind: count.kind.to_string(), open: count.open, since: shown::time(count.since) }
    }
}

impl From<FailingStep> for Failing {
    fn from(step: FailingStep) -> Self {
        let FailingStep { workflow, step, code, runs, next } = step;
        Self { workflow, step, code, runs, next: next.map(shown::time) }
    }
}

impl From<SourceStatus> for Source {
    fn from(source: SourceStatus) -> Self {
        Self {
            name: source.source.as_str(),
            last_hour: source.within_the_hour(),
            refused: source.refused,
            last: source.last.map(shown::time),
            complete_until: source.complete_until.map(shown::time),
            checked: source.checked_at.map(shown::time),
        }
    }
}

/// The list of one hour's rows.
fn hour(part: &'static str) -> impl Fn(Timestamp, Timestamp) -> Option<String> {
    move |from, until| has_part(part).then(|| format!("/{part}?since={from}&until={until}"))
}

pub(in crate::web) async fn show(State(admin): State<Admin>, identity: Identity) -> Result<Page<NowPage>, Failure> {
    let now = admin.clock.now();
    let (status, arrived, ended) = tokio::try_join!(
        admin.store.status(now),
        admin.store.hours(Counted::Arrived, now),
        admin.store.hours(Counted::Ended, now),
    )?;
    let Status { backlog, oldest_due, sources, failing, failed, cases, at_risk, pauses, database_bytes, .. } = status;
    let (untold_cases, alerts, refused_keys) = (status.untold_cases, status.alerts, status.refused_keys);
    Ok(Page(NowPage {
        shell: Shell::new(&admin, &identity, "", "Now"),
        cases: cases.into_iter().map(Case::from).collect(),
        at_risk: at_risk.iter().map(ToString::to_string).collect(),
        open_cases: backlog.open_cases,
        untold_cases,
        alerts: alerts.into_iter().map(alerts::Row::from).collect(),
        refused_keys: refused_keys.into_iter().map(|key| (text(&key.provider), shown::time(key.since))).collect(),
        due: backlog.due,
        running: backlog.running,
        waiting: backlog.waiting,
        failed_runs: backlog.failed,
        oldest_due: oldest_due.map(shown::time),
        failing: failing.into_iter().map(Failing::from).collect(),
        failed,
        pauses: pauses
            .into_iter()
            .map(|pause| Paused {
                what: pause.what.to_string(),
                since: shown::time(pause.since),
                by: pause.actor,
                reason: text(&pause.reason.unwrap_or_default()),
            })
            .collect(),
        arrived: Chart::new("Events in", &arrived, hour("events")),
        // The list knows when runs were made, not when they ended.
        ended: Chart::new("Runs ended", &ended, |_, _| None),
        sources: sources.into_iter().map(Source::from).collect(),
        database: shown::bytes(database_bytes),
        free: free_bytes(&admin.db).map(shown::bytes),
        command: "discuno status",
    }))
}

//! One run: its steps and tries, drawn to time, and what can be done about it.

use askama::Template;
use axum::Form;
use axum::extract::{Path, Query, State};
use axum::response::Redirect;
use serde::Deserialize;

use crate::model::id::RunId;
use crate::model::role::Role;
use crate::model::run::{Run, RunState};
use crate::model::step::{Attempt, Ending};
use crate::model::time::Timestamp;
use crate::store::Subject;
use crate::store::order::Deed;
use crate::web::admin::Admin;
use crate::web::auth::Identity;
use crate::web::page::{Failure, Page, Said, Shell, done, text};
use crate::web::shown;

#[derive(Template)]
#[template(path = "run.html")]
pub(in crate::web) struct RunPage {
    shell: Shell,
    said: Option<String>,
    id: String,
    workflow: String,
    state: RunState,
    payment: Option<String>,
    outcome: String,
    created: shown::Time,
    due: Option<shown::Time>,
    took: String,
    retries: u32,
    tries: Vec<Try>,
    /// Steps from which it can be done again.
    steps: Vec<String>,
    can_retry: bool,
    can_cancel: bool,
    command: String,
}

/// One try of a step, and where it stands on a line of a thousand parts.
struct Try {
    step: String,
    number: u32,
    outcome: &'static str,
    retried: bool,
    said: String,
    started: shown::Time,
    took: String,
    at: i64,
    width: i64,
}

/// The time a run has taken so far, as a line of a thousand parts.
struct Line {
    from: Timestamp,
    millis: i64,
}

impl Line {
    fn of(run: &Run, tries: &[Attempt], now: Timestamp) -> Self {
        let from = tries.first().map_or(run.created_at, |first| first.started_at.min(run.created_at));
        let last = tries.last().map_or(run.created_at, |last| last.ended_at);
        let until = run.finished_at.unwrap_or(last).max(last).min(now.max(last));
        Self { from, millis: (until.0 - from.0).max(1) }
    }

    fn place(&self, at: Timestamp) -> i64 {
        ((at.0 - self.from.0) * 1000 / self.millis).clamp(0, 1000)
    }
}

impl Try {
    fn new(attempt: &Attempt, line: &Line) -> Self {
        let said = match &attempt.ending {
            Ending::Done { output } => text(output.get()),
            Ending::Retry { failure } | Ending::Failed { failure } => {
                text(&format!("{} ({}): {}", failure.code, failure.kind, failure.message))
            }
        };
        let at = line.place(attempt.started_at);
        Self {
            step: attempt.step.clone(),
            number: attempt.number,
            outcome: attempt.ending.as_str(),
            retried: attempt.retried,
            said,
            started: shown::time(attempt.started_at),
            took: shown::took(attempt.ended_at.since(attempt.started_at)),
            at: at.min(996),
            width: (line.place(attempt.ended_at) - at).max(4),
        }
    }
}

pub(in crate::web) async fn show(
    State(admin): State<Admin>,
    identity: Identity,
    Path(id): Path<String>,
    Query(Said { said }): Query<Said>,
) -> Result<Page<RunPage>, Failure> {
    let id: RunId = id.parse().map_err(Failure::bad)?;
    let run = admin.store.run(id).await?;
    let story = admin.store.story(run.payment.map_or(Subject::Run(id), Subject::Payment)).await?;
    let attempts = story.runs.into_iter().find(|(other, _)| other.id == id).map(|(_, tries)| tries).unwrap_or_default();
    let now = admin.clock.now();
    let line = Line::of(&run, &attempts, now);
    let mut steps: Vec<String> = Vec::new();
    for attempt in &attempts {
        if !steps.contains(&attempt.step) {
            steps.push(attempt.step.clone());
        }
    }
    let failure = run.failure.as_ref().map(|failure| text(&format!("{}: {}", failure.code, failure.message)));
    Ok(Page(RunPage {
        shell: Shell::new(&admin, &identity, "runs", id.to_string()),
        said,
        id: id.to_string(),
        state: run.state,
        payment: run.payment.map(|id| id.to_string()),
        outcome: run.outcome.clone().or(failure).unwrap_or_default(),
        created: shown::time(run.created_at),
        due: run.due_at.map(shown::time),
        took: shown::took(run.finished_at.unwrap_or(now).since(run.created_at)),
        retries: run.retries,
        tries: attempts.iter().map(|attempt| Try::new(attempt, &line)).collect(),
        steps,
        can_retry: matches!(run.state, RunState::Failed | RunState::Cancelled),
        can_cancel: !run.state.is_terminal(),
        command: format!("discuno show {id}"),
        workflow: run.workflow,
    }))
}

/// Why somebody does something.
#[derive(Deserialize)]
pub(in crate::web) struct Why {
    #[serde(default)]
    reason: String,
    #[serde(default)]
    from: String,
}

impl Why {
    pub(in crate::web) fn reason(&self) -> Option<String> {
        Some(self.reason.trim().to_owned()).filter(|reason| !reason.is_empty())
    }
}

pub(in crate::web) async fn retry(
    State(admin): State<Admin>,
    identity: Identity,
    Path(id): Path<String>,
    Form(why): Form<Why>,
) -> Result<Redirect, Failure> {
    identity.must(Role::Operator)?;
    let run: RunId = id.parse().map_err(Failure::bad)?;
    let from = Some(why.from.clone()).filter(|step| !step.is_empty());
    admin.desk.order(&identity.name, why.reason(), Deed::Retry { run, from }).await?;
    Ok(done(&format!("/runs/{run}"), "retried: a worker goes on with it"))
}

pub(in crate::web) async fn cancel(
    State(admin): State<Admin>,
    identity: Identity,
    Path(id): Path<String>,
    Form(why): Form<Why>,
) -> Result<Redirect, Failure> {
    identity.must(Role::Operator)?;
    let run: RunId = id.parse().map_err(Failure::bad)?;
    admin.desk.order(&identity.name, why.reason(), Deed::Cancel(run)).await?;
    Ok(done(&format!("/runs/{run}"), "it ends at its next step boundary"))
}

//! One run: its steps and tries, drawn to time, and what can be done about it.

use askama::Template;
use axum::extract::{Path, Query, State};
use axum::response::Redirect;
use axum::{Extension, Form};
use serde::Deserialize;

use crate::logs::asked::Asked;
use crate::model::id::RunId;
use crate::model::pause::Pause;
use crate::model::role::Role;
use crate::model::run::{Run, RunState};
use crate::model::step::{Attempt, Ending};
use crate::model::time::Timestamp;
use crate::observe::mask;
use crate::pauses::held_by;
use crate::store::order::Deed;
use crate::store::{Story, Subject};
use crate::web::admin::Admin;
use crate::web::auth::Identity;
use crate::web::live::Drawn;
use crate::web::page::{Failure, Page, Said, Shell, done, given, log, text};
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
    /// What holds it back, or would if it is retried.
    held: Option<Held>,
    took: String,
    retries: u32,
    tries: Vec<Try>,
    keys: Vec<Key>,
    /// None where there is no log file.
    lines: Option<Vec<log::Line>>,
    /// Steps from which it can be done again.
    steps: Vec<String>,
    can_retry: bool,
    can_cancel: bool,
    command: String,
}

/// The pause of its workflow.
struct Held {
    since: shown::Time,
    by: String,
    reason: String,
}

impl From<Pause> for Held {
    fn from(pause: Pause) -> Self {
        let (by, reason) = (mask::plain(&pause.actor), text(&pause.reason.unwrap_or_default()));
        Self { since: shown::time(pause.since), by, reason }
    }
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
    /// Where it was waited, before the try and after it.
    waits: Vec<(i64, i64)>,
}

/// What a provider knows a deed by: the same for every try.
struct Key {
    of: String,
    key: String,
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
        let last = pending(run, tries).map_or(last, |due| last.max(due));
        let until = run.finished_at.unwrap_or(last).max(last).min(now.max(last));
        Self { from, millis: (until.0 - from.0).max(1) }
    }

    fn place(&self, at: Timestamp) -> i64 {
        ((at.0 - self.from.0) * 1000 / self.millis).clamp(0, 1000)
    }

    /// Where a span stands, and how wide.
    fn span(&self, from: Timestamp, until: Timestamp) -> (i64, i64) {
        let at = self.place(from);
        (at, (self.place(until) - at).max(0))
    }
}

/// When the last step is tried again, if it is.
fn pending(run: &Run, tries: &[Attempt]) -> Option<Timestamp> {
    let waits = tries.last().is_some_and(|last| !last.ending.is_final() && !last.retried);
    run.due_at.filter(|_| waits && run.state == RunState::Queued)
}

/// The tries of a run, and the waits between those of one step.
fn tries(run: &Run, attempts: &[Attempt], line: &Line) -> Vec<Try> {
    let mut all: Vec<Try> = Vec::new();
    for (index, attempt) in attempts.iter().enumerate() {
        let mut shown = Try::new(attempt, line);
        let before =
            attempts[..index].iter().rev().find(|other| other.step == attempt.step && !other.ending.is_final());
        if let Some(before) = before {
            shown.waits.push(line.span(before.ended_at, attempt.started_at));
        }
        if index + 1 == attempts.len()
            && let Some(due) = pending(run, attempts)
        {
            shown.waits.push(line.span(attempt.ended_at, due));
        }
        all.push(shown);
    }
    all
}

/// The keys of what is asked of providers for this payment.
fn keys(story: &Story) -> Vec<Key> {
    let refunds = story.refunds.iter().map(|refund| Key { of: refund.id.to_string(), key: refund.idempotency_key() });
    let transfers =
        story.transfers.iter().map(|transfer| Key { of: transfer.id.to_string(), key: transfer.idempotency_key() });
    let mails = story.mails.iter().map(|mail| Key { of: mail.id.to_string(), key: mail.letter.key.clone() });
    refunds.chain(transfers).chain(mails).collect()
}

impl Try {
    fn new(attempt: &Attempt, line: &Line) -> Self {
        let said = match &attempt.ending {
            Ending::Done { output } => text(&without_people(output.get())),
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
            waits: Vec::new(),
        }
    }
}

pub(in crate::web) async fn show(
    State(admin): State<Admin>,
    identity: Identity,
    Path(id): Path<String>,
    Query(Said { said }): Query<Said>,
    drawn: Option<Extension<Drawn>>,
) -> Result<Page<RunPage>, Failure> {
    let id: RunId = id.parse().map_err(Failure::bad)?;
    let run = admin.store.run(id).await?;
    let story = admin.store.story(run.payment.map_or(Subject::Run(id), Subject::Payment)).await?;
    let keys = keys(&story);
    let attempts = story.runs.into_iter().find(|(other, _)| other.id == id).map(|(_, tries)| tries).unwrap_or_default();
    // Who is kept up to date has read the log already.
    let lines = match admin.log_file.clone().filter(|_| drawn.is_none()) {
        Some(file) => {
            let asked = Asked { run: Some(id.to_string()), ..Asked::default() };
            Some(log::search(file, &asked, log::PART).await?.newest)
        }
        None => None,
    };
    let held = match run.state {
        RunState::Succeeded => None,
        _ => held_by(&admin.store, &run.workflow).await?.map(Held::from),
    };
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
        held,
        took: shown::took(run.finished_at.unwrap_or(now).since(run.created_at)),
        retries: run.retries,
        tries: tries(&run, &attempts, &line),
        keys,
        lines,
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
        given(&self.reason)
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
    let deed = Deed::Retry { run, from: given(&why.from) };
    let workflow = admin.store.run(run).await?.workflow;
    let said = match held_by(&admin.store, &workflow).await? {
        Some(pause) => format!("retried, and held back: {pause}"),
        None => "retried: a worker goes on with it".to_owned(),
    };
    admin.desk.order(&identity.name, why.reason(), deed).await?;
    Ok(done(&format!("/runs/{run}"), &said))
}

pub(in crate::web) async fn cancel(
    State(admin): State<Admin>,
    identity: Identity,
    Path(id): Path<String>,
    Form(why): Form<Why>,
) -> Result<Redirect, Failure> {
    identity.must(Role::Operator)?;
    let run: RunId = id.parse().map_err(Failure::bad)?;
    let performed = admin.desk.order(&identity.name, why.reason(), Deed::Cancel(run)).await?;
    let ended = performed.after["state"] == RunState::Cancelled.as_str();
    let said = if ended { "it is cancelled" } else { "it ends at its next step boundary" };
    Ok(done(&format!("/runs/{run}"), said))
}

/// What a step came to, without the people in it.
fn without_people(output: &str) -> String {
    let Ok(mut value) = serde_json::from_str(output) else { return output.to_owned() };
    mask::mask_people(&mut value);
    value.to_string()
}

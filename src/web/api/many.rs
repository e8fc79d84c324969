//! The same act on every run that a list shows: first how many are meant, then that many.

use axum::extract::State;
use axum::http::StatusCode;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::model::id::RunId;
use crate::model::pause::Pause;
use crate::model::role::Role;
use crate::ops::batch::{Became, MOST, Many, Seen, meant};
use crate::store::error::Error;
use crate::store::filter::RunLine;
use crate::web::admin::Admin;
use crate::web::api::answer::{Answer, People};
use crate::web::api::input::{Asked, Given, Meant};
use crate::web::api::list::filter;
use crate::web::auth::Identity;
use crate::web::problem::Problem;

/// What a dry run has answered, so that no others are meant than somebody has seen.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Confirmed {
    /// The `seen` of a dry run; needed unless it is one.
    seen: Option<Seen>,
    /// Why, for the audit trail.
    reason: Option<String>,
    /// Nothing is done.
    #[serde(default)]
    dry_run: bool,
}

/// What was done to many runs.
#[derive(Serialize, JsonSchema)]
pub(super) struct Done {
    /// How many are meant.
    count: usize,
    /// Which they are, to be given back; null of none.
    seen: Option<Seen>,
    /// Those it was done to, the oldest first; in a dry run those it would be tried on.
    runs: Vec<RunId>,
    /// Those to which it had been done before.
    already: Vec<RunId>,
    /// Those to which it was not done, or of which nobody knows: `detail` says which.
    refused: Vec<Refused>,
    /// What holds those back that are retried: they go on once it is resumed.
    paused: Vec<Pause>,
}

/// A run that an act is not allowed on.
#[derive(Serialize, JsonSchema)]
struct Refused {
    run: RunId,
    /// Why, and what to do.
    detail: String,
}

/// `POST /runs/retry?workflow=…`
pub(super) async fn retry(
    State(admin): State<Admin>,
    identity: Identity,
    Meant(asked): Meant<RunLine>,
    Given(confirmed): Given<Confirmed>,
) -> Result<Answer<Done>, Problem> {
    many(&admin, identity, asked, confirmed, Many::Retry).await
}

/// `POST /runs/cancel?workflow=…`
pub(super) async fn cancel(
    State(admin): State<Admin>,
    identity: Identity,
    Meant(asked): Meant<RunLine>,
    Given(confirmed): Given<Confirmed>,
) -> Result<Answer<Done>, Problem> {
    many(&admin, identity, asked, confirmed, Many::Cancel).await
}

async fn many(
    admin: &Admin,
    identity: Identity,
    asked: Asked<RunLine>,
    confirmed: Confirmed,
    many: Many,
) -> Result<Answer<Done>, Problem> {
    identity.must(Role::Operator)?;
    let Confirmed { seen, reason, dry_run } = confirmed;
    if seen.is_none() && !dry_run {
        let first = "ask with \"dry_run\":true first: seen takes what it answers; nothing was done";
        return Err(Error::Illegal(first.to_owned()).into());
    }
    let filter = filter(&admin.store, asked, admin.clock.now()).await?;
    let runs = meant(&admin.store, many, filter, seen.as_ref()).await?;
    if runs.len() > MOST as usize {
        return Err(Error::Illegal(format!("more than {MOST} runs are meant: narrow the conditions")).into());
    }
    let (count, seen) = (runs.len(), Seen::of(&runs));
    let paused = many.held_back(&admin.store, &runs).await?;
    let mut done = Done { count, seen, runs: Vec::new(), already: Vec::new(), refused: Vec::new(), paused };
    if dry_run {
        done.runs = runs.iter().rev().map(|run| run.id).collect();
        return Answer::new(&done, People::Masked);
    }
    let broken = |error: tokio::task::JoinError| {
        Problem::new(StatusCode::INTERNAL_SERVER_ERROR, "answer_failed", format!("some may be done: {error}"))
    };
    let became = admin.desk.order_each(identity.name, reason, runs, many).await.map_err(broken)?;
    for (run, became) in became {
        match became {
            Became::Done => done.runs.push(run),
            Became::AlreadySo => done.already.push(run),
            Became::Refused(error) => done.refused.push(Refused { run, detail: error.to_string() }),
        }
    }
    Answer::new(&done, People::Masked)
}

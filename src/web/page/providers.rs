//! The systems at the other end: how they answer, and what is held back.

use std::collections::BTreeMap;
use std::time::Duration;

use askama::Template;
use axum::Form;
use axum::extract::{Query, State};
use axum::response::Redirect;
use serde::Deserialize;

use crate::model::pause::{Pausable, Pause, PauseKind};
use crate::model::role::Role;
use crate::observe::calls::Tally;
use crate::pauses::{PROVIDERS, all_pausable, pausable};
use crate::store::order::Deed;
use crate::web::admin::Admin;
use crate::web::auth::Identity;
use crate::web::page::{Failure, Page, Said, Shell, done, given, text};
use crate::web::shown;

#[derive(Template)]
#[template(path = "providers.html")]
pub(in crate::web) struct ProvidersPage {
    shell: Shell,
    said: Option<String>,
    rows: Vec<Row>,
    paused: Vec<Held>,
    /// What can be paused and is not.
    others: Vec<Pausable>,
    command: &'static str,
}

struct Row {
    name: &'static str,
    paused: bool,
    /// For how long it has been left alone because it is down.
    open_for: Option<String>,
    /// For how long it has refused our key.
    refused_for: Option<String>,
    tally: Option<Tally>,
    mean: String,
    slowest: String,
}

struct Held {
    what: String,
    name: String,
    since: shown::Time,
    by: String,
    reason: String,
}

impl From<Pause> for Held {
    fn from(pause: Pause) -> Self {
        Self {
            what: pause.what.to_string(),
            name: pause.what.name,
            since: shown::time(pause.since),
            by: pause.actor,
            reason: text(&pause.reason.unwrap_or_default()),
        }
    }
}

pub(in crate::web) async fn list(
    State(admin): State<Admin>,
    identity: Identity,
    Query(Said { said }): Query<Said>,
) -> Result<Page<ProvidersPage>, Failure> {
    let pauses = admin.store.pauses().await?;
    let (calls, open) = (admin.metrics.calls(), admin.metrics.open_breakers());
    let open: BTreeMap<&'static str, Duration> = open.into_iter().collect();
    let mut names = PROVIDERS.to_vec();
    names.extend(calls.keys().filter(|name| !PROVIDERS.contains(name)));
    let is_paused =
        |name: &str| pauses.iter().any(|pause| pause.what.kind == PauseKind::Provider && pause.what.name == name);
    let row = |name: &'static str| {
        let tally = calls.get(name).copied();
        Row {
            name,
            paused: is_paused(name),
            open_for: open.get(name).map(|span| shown::took(*span)),
            refused_for: tally.and_then(|tally| tally.refused_for).map(shown::took),
            mean: tally.and_then(|tally| tally.mean()).map(shown::took).unwrap_or_default(),
            slowest: tally.map(|tally| shown::took(tally.slowest)).unwrap_or_default(),
            tally,
        }
    };
    Ok(Page(ProvidersPage {
        shell: Shell::new(&admin, &identity, "providers", "Providers"),
        said,
        rows: names.into_iter().map(row).collect(),
        others: all_pausable().filter(|what| pauses.iter().all(|pause| pause.what != *what)).collect(),
        paused: pauses.into_iter().map(Held::from).collect(),
        command: "discuno pause",
    }))
}

/// What is to be held back, or let go on, and why.
#[derive(Deserialize)]
pub(in crate::web) struct What {
    what: String,
    #[serde(default)]
    reason: String,
}

impl What {
    fn pausable(&self) -> Result<Pausable, Failure> {
        pausable(&self.what).ok_or_else(|| Failure::bad(format!("{} is nothing that can be paused", self.what)))
    }
}

pub(in crate::web) async fn pause(
    State(admin): State<Admin>,
    identity: Identity,
    Form(what): Form<What>,
) -> Result<Redirect, Failure> {
    identity.must(Role::Operator)?;
    let paused = what.pausable()?;
    let said = format!("{paused} is held back: nothing is lost, what needs it waits");
    admin.desk.order(&identity.name, given(&what.reason), Deed::Pause(paused)).await?;
    Ok(done("/providers", &said))
}

pub(in crate::web) async fn resume(
    State(admin): State<Admin>,
    identity: Identity,
    Form(what): Form<What>,
) -> Result<Redirect, Failure> {
    identity.must(Role::Operator)?;
    let resumed = what.pausable()?;
    let said = format!("{resumed} goes on");
    admin.desk.order(&identity.name, given(&what.reason), Deed::Resume(resumed)).await?;
    Ok(done("/providers", &said))
}

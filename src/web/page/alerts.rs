//! What people were told of, and what nobody could be told of.

use std::time::Duration;

use askama::Template;
use axum::Form;
use axum::extract::{Query, State};
use axum::response::Redirect;
use serde::Deserialize;

use crate::model::alert::{Alert, Condition};
use crate::model::case::{Case, CaseStatus};
use crate::model::id::AlertId;
use crate::model::role::Role;
use crate::model::time::Timestamp;
use crate::ops;
use crate::store::filter::Filter;
use crate::store::order::Deed;
use crate::web::admin::Admin;
use crate::web::auth::Identity;
use crate::web::page::{Failure, Page, Said, Shell, done, given, text};
use crate::web::shown;

/// So many of the newest are shown.
const MOST: u32 = 200;

#[derive(Template)]
#[template(path = "alerts.html")]
pub(in crate::web) struct AlertsPage {
    shell: Shell,
    said: Option<String>,
    /// Who is told, and by which way.
    ways: Vec<String>,
    rows: Vec<Row>,
    /// Those that can be silenced: id, and what they are about.
    open: Vec<(String, String)>,
    messages: Vec<Message>,
    command: &'static str,
}

/// One cause, however often it was found.
pub(super) struct Row {
    id: String,
    pub(super) about: String,
    pub(super) summary: String,
    found: u32,
    pub(super) since: shown::Time,
    told: Option<shown::Time>,
    /// Until when it is not told again.
    silent: Option<shown::Time>,
    /// Why nobody could be told.
    pub(super) failure: Option<String>,
    pub(super) state: &'static str,
}

/// The cases of one kind that were told of together, or of which nobody was told.
struct Message {
    at: Option<Timestamp>,
    kind: String,
    newest: String,
    cases: u32,
}

impl From<Alert> for Row {
    fn from(alert: Alert) -> Self {
        let state = match (alert.ended_at, alert.condition) {
            (_, Condition::Test) => "test",
            (Some(_), _) => "over",
            (None, _) => "open",
        };
        Self {
            id: alert.id.to_string(),
            about: text(&format!("{} {}", alert.condition, alert.subject)),
            summary: text(&alert.summary),
            found: alert.count,
            since: shown::time(alert.first_at),
            told: alert.delivered_at.map(shown::time),
            silent: alert.silent_until().map(shown::time),
            failure: alert.failure.map(|failure| text(&failure)),
            state,
        }
    }
}

impl Message {
    fn told(&self) -> Option<shown::Time> {
        self.at.map(shown::time)
    }
}

/// What went out together, the newest first. What was settled before anybody was told of it needs nobody.
fn messages(cases: &[Case]) -> Vec<Message> {
    let mut all: Vec<Message> = Vec::new();
    for case in cases.iter().filter(|case| case.alerted_at.is_some() || case.status == CaseStatus::Open) {
        let kind = case.kind.to_string();
        match all.iter_mut().find(|known| known.at == case.alerted_at && known.kind == kind) {
            Some(known) => known.cases += 1,
            None => all.push(Message { at: case.alerted_at, kind, newest: case.id.to_string(), cases: 1 }),
        }
    }
    all.sort_by_key(|message| std::cmp::Reverse(message.at.map_or(i64::MAX, |at| at.0)));
    all
}

/// `GET /alerts`
pub(in crate::web) async fn list(
    State(admin): State<Admin>,
    identity: Identity,
    Query(Said { said }): Query<Said>,
) -> Result<Page<AlertsPage>, Failure> {
    let (alerts, cases) = tokio::try_join!(admin.store.alerts(true, MOST), admin.store.cases(Filter::newest(MOST)))?;
    let rows: Vec<Row> = alerts.into_iter().map(Row::from).collect();
    let open = rows.iter().filter(|row| row.state == "open").map(|row| (row.id.clone(), row.about.clone()));
    Ok(Page(AlertsPage {
        shell: Shell::new(&admin, &identity, "alerts", "Alerts"),
        said,
        ways: admin.told.clone(),
        open: open.collect(),
        rows,
        messages: messages(&cases),
        command: "discuno alerts --all",
    }))
}

/// `POST /alerts/test`: has people told that nothing is wrong.
pub(in crate::web) async fn test(State(admin): State<Admin>, identity: Identity) -> Result<Redirect, Failure> {
    identity.must(Role::Operator)?;
    let run = ops::alert::test(&admin.store, &identity.name, admin.clock.now()).await?;
    Ok(done("/alerts", &format!("a test is on its way: {run} tries every way")))
}

/// Which alert is to be silent for how long, and why.
#[derive(Deserialize)]
pub(in crate::web) struct Silence {
    alert: String,
    hours: u64,
    #[serde(default)]
    reason: String,
}

/// `POST /alerts/silence`
pub(in crate::web) async fn silence(
    State(admin): State<Admin>,
    identity: Identity,
    Form(Silence { alert, hours, reason }): Form<Silence>,
) -> Result<Redirect, Failure> {
    identity.must(Role::Operator)?;
    let alert: AlertId = alert.parse().map_err(Failure::bad)?;
    let now = admin.clock.now();
    let until = now.plus(Duration::from_secs(hours.saturating_mul(3600)));
    let performed = admin.desk.order(&identity.name, given(&reason), Deed::Silence { alert, until }).await?;
    Ok(done("/alerts", &format!("{alert} {}", ops::alert::silenced(&performed, now))))
}

//! One event: what came in, what was made of it, and its bytes for who may see them.

use askama::Template;
use axum::Form;
use axum::extract::{Path, Query, State};
use axum::response::Redirect;
use serde_json::json;

use crate::model::event::Event;
use crate::model::id::EventId;
use crate::model::role::Role;
use crate::model::run::RunState;
use crate::observe::mask;
use crate::store::error::Error;
use crate::store::order::Deed;
use crate::store::{Story, Subject};
use crate::web::admin::Admin;
use crate::web::auth::Identity;
use crate::web::page::run::Why;
use crate::web::page::{Failure, Page, Said, Shell, done, text};
use crate::web::shown;

#[derive(Template)]
#[template(path = "event.html")]
pub(in crate::web) struct EventPage {
    shell: Shell,
    said: Option<String>,
    id: String,
    event: Event,
    received: shown::Time,
    made: shown::Time,
    /// What it started: runs, with their workflow, state and how they came out.
    runs: Vec<(String, String, RunState, String)>,
    /// The bytes, where they are shown.
    raw: Option<String>,
    command: String,
}

/// The event, and the runs it started.
async fn story(admin: &Admin, id: &str) -> Result<(Event, Story), Failure> {
    let id: EventId = id.parse().map_err(Failure::bad)?;
    let alone = admin.store.story(Subject::Event(id)).await?;
    let event = alone.events.first().cloned().ok_or_else(|| Error::NotFound(id.to_string()))?;
    let mut story = match event.payment {
        Some(payment) => admin.store.story(Subject::Payment(payment)).await?,
        None => alone,
    };
    story.runs.retain(|(run, _)| run.event == Some(id));
    Ok((event, story))
}

fn page(
    admin: &Admin,
    identity: &Identity,
    (mut event, story): (Event, Story),
    said: Option<String>,
    raw: Option<String>,
) -> Page<EventPage> {
    let runs = story.runs.into_iter().map(|(run, _)| {
        let failure = run.failure.as_ref().map(|failure| text(&failure.to_string()));
        (run.id.to_string(), run.workflow, run.state, run.outcome.or(failure).unwrap_or_default())
    });
    let id = event.id.to_string();
    (event.kind, event.external_id) = (text(&event.kind), text(&event.external_id));
    event.reason = event.reason.as_deref().map(text);
    for value in event.headers.iter_mut().flat_map(|headers| headers.values_mut()) {
        *value = text(value);
    }
    Page(EventPage {
        shell: Shell::new(admin, identity, "events", id.clone()),
        said,
        received: shown::time(event.received_at),
        made: shown::time(event.created_at),
        runs: runs.collect(),
        command: format!("discuno show {id}{}", if raw.is_some() { " --raw" } else { "" }),
        raw,
        id,
        event,
    })
}

pub(in crate::web) async fn show(
    State(admin): State<Admin>,
    identity: Identity,
    Path(id): Path<String>,
    Query(Said { said }): Query<Said>,
) -> Result<Page<EventPage>, Failure> {
    Ok(page(&admin, &identity, story(&admin, &id).await?, said, None))
}

/// `POST /events/{id}/reveal`: the bytes as they came; an act of its own.
pub(in crate::web) async fn reveal(
    State(admin): State<Admin>,
    identity: Identity,
    Path(id): Path<String>,
) -> Result<Page<EventPage>, Failure> {
    identity.must(Role::Operator)?;
    let story = story(&admin, &id).await?;
    let body = admin.store.body(story.0.id).await?;
    let deed = Deed::Reveal { subject: story.0.id.to_string(), payment: story.0.payment, shown: json!({}) };
    admin.desk.order(&identity.name, None, deed).await?;
    let indented = serde_json::from_slice::<serde_json::Value>(&body).ok();
    let indented = indented.and_then(|value| serde_json::to_string_pretty(&value).ok());
    let raw = indented.unwrap_or_else(|| String::from_utf8_lossy(&body).into_owned());
    Ok(page(&admin, &identity, story, None, Some(mask::plain(&raw))))
}

/// `POST /events/{id}/replay`: its bytes are understood anew.
pub(in crate::web) async fn again(
    State(admin): State<Admin>,
    identity: Identity,
    Path(id): Path<String>,
    Form(why): Form<Why>,
) -> Result<Redirect, Failure> {
    identity.must(Role::Operator)?;
    let event: EventId = id.parse().map_err(Failure::bad)?;
    let replayed = admin.desk.replay(&identity.name, why.reason(), event).await?;
    Ok(done(&format!("/events/{event}"), &replayed.to_string()))
}

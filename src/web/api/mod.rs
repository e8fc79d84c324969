//! The API of operators: the rows, stories and acts of the command line, as JSON.

use std::sync::Arc;

use axum::Router;
use axum::extract::{DefaultBodyLimit, Extension, State};
use axum::handler::Handler;
use axum::routing::{get, post};
use schemars::JsonSchema;
use serde::Serialize;
use serde_json::{Value, json};

use crate::model::act::Act;
use crate::model::booking::Booking;
use crate::model::case::Case;
use crate::model::event::Event;
use crate::model::refund::Refund;
use crate::ops::disk::free_bytes;
use crate::store::Story;
use crate::store::filter::{PaymentLine, RunLine};
use crate::store::status::Status;
use crate::web::admin::Admin;
use crate::web::api::answer::{Answer, People};
use crate::web::api::document::{Described, Document};
use crate::web::api::input::{Ask, At};
use crate::web::api::list::{Look, list, one};
use crate::web::auth::Identity;
use crate::web::problem::{self, Problem};

mod act;
mod alerts;
mod answer;
mod document;
mod input;
mod list;
mod many;
mod raw;
mod rows;

/// What every address of the API begins with.
pub(super) const ROOT: &str = "/api/v1/";

/// The largest body that is taken: an act and its reason.
const MOST_BYTES: usize = 64 * 1024;

/// The routes, each with its place in the document.
struct Api {
    routes: Router<Admin>,
    document: Document,
}

impl Api {
    fn get<H, T, I>(mut self, path: &str, id: &str, summary: &str, handler: H) -> Self
    where
        H: Handler<T, Admin> + Described<I>,
        T: 'static,
    {
        let path = format!("{ROOT}{path}");
        self.document.add::<H, I>("get", &path, id, summary);
        Self { routes: self.routes.route(&path, get(handler)), ..self }
    }

    fn post<H, T, I>(mut self, path: &str, id: &str, summary: &str, handler: H) -> Self
    where
        H: Handler<T, Admin> + Described<I>,
        T: 'static,
    {
        let path = format!("{ROOT}{path}");
        self.document.add::<H, I>("post", &path, id, summary);
        Self { routes: self.routes.route(&path, post(handler)), ..self }
    }
}

fn api() -> Api {
    Api { routes: Router::new(), document: Document::new() }
        .get("payments", "payments", "Payments, the newest first", list::<PaymentLine>)
        .get("payments/{id}", "payment", "A payment, by any id of it", one::<PaymentLine>)
        .get("payments/{id}/refund-plan", "refund_plan", "What a refund would do", act::refund_plan)
        .post("payments/{id}/refund", "refund", "Pay back, once however often it is asked for", act::refund)
        .get("refunds", "refunds", "Refunds, the newest first", list::<Refund>)
        .get("refunds/{id}", "refund_of_id", "A refund", one::<Refund>)
        .get("bookings", "bookings", "Bookings, the newest first", list::<Booking>)
        .get("bookings/{id}", "booking", "A booking", one::<Booking>)
        .get("runs", "runs", "Runs, the newest first", list::<RunLine>)
        .get("runs/{id}", "run", "A run", one::<RunLine>)
        .post("runs/retry", "retry_many", "Have every failed or cancelled run go on that the list shows", many::retry)
        .post("runs/cancel", "cancel_many", "End every run that the list shows", many::cancel)
        .post("runs/{id}/retry", "retry", "Have a failed or cancelled run go on", act::retry)
        .post("runs/{id}/cancel", "cancel", "End a run at its next step", act::cancel)
        .get("events", "events", "Events, the newest first", list::<Event>)
        .get("events/{id}", "event", "An event", one::<Event>)
        .get("events/{id}/raw", "raw", "The bytes of an event as they came; goes into the audit trail", raw::raw)
        .post("events/{id}/replay", "replay", "Have an event understood anew", act::replay)
        .get("cases", "cases", "Cases, open and closed, the newest first", list::<Case>)
        .get("cases/{id}", "case", "A case", one::<Case>)
        .post("cases/{id}/resolve", "resolve", "Close a case", act::resolve)
        .get("alerts", "alerts", "What is wrong with the deployment itself, the newest first", alerts::alerts)
        .post("alerts/{id}/silence", "silence", "Have an alert not told for a while", alerts::silence)
        .get("audit", "audit", "What operators did, the newest first", list::<Act>)
        .get("audit/{id}", "act", "One act of an operator", one::<Act>)
        .get("pauses", "pauses", "What is paused", act::pauses)
        .post("pause", "pause", "Hold back a provider's calls or a workflow's runs", act::pause)
        .post("resume", "resume", "Let it go on", act::resume)
        .get("show/{id}", "show", "Everything about whatever has this id", show)
        .get("status", "status", "How everything stands", status)
        .get("openapi.json", "openapi", "This document", openapi)
}

/// The routes of the API.
pub(super) fn router() -> Router<Admin> {
    let Api { routes, document } = api();
    routes
        .method_not_allowed_fallback(problem::method_not_allowed)
        .layer(DefaultBodyLimit::max(MOST_BYTES))
        .layer(Extension(Arc::new(document.finish())))
}

/// `GET /openapi.json`
async fn openapi(Extension(document): Extension<Arc<Value>>) -> Result<Answer<Value>, Problem> {
    Answer::new(&*document, People::Revealed)
}

/// `GET /show/{id}`
async fn show(
    State(admin): State<Admin>,
    identity: Identity,
    At(id): At,
    Ask(look): Ask<Look>,
) -> Result<Answer<Story>, Problem> {
    let story = admin.store.story(admin.store.resolve(&id).await?).await?;
    let payment = story.payment.as_ref().map(|payment| payment.id);
    let people = People::seen_by(&identity, &admin, look.reveal, id, payment, || json!({})).await?;
    Answer::new(&story, people)
}

/// How everything stands.
#[derive(Serialize, JsonSchema)]
struct Standing {
    #[serde(flatten)]
    status: Status,
    /// What the file system of the database has left; null if it does not say.
    disk_free_bytes: Option<u64>,
}

/// `GET /status`
async fn status(State(admin): State<Admin>) -> Result<Answer<Standing>, Problem> {
    let status = admin.store.status(admin.clock.now()).await?;
    Answer::new(&Standing { status, disk_free_bytes: free_bytes(&admin.db) }, People::Revealed)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn the_document_lists_what_is_routed_and_nothing_else() {
        let Api { routes, document } = api();
        let routed = format!("{routes:?}");
        let routed: BTreeSet<&str> = routed.split('"').filter(|text| text.starts_with(ROOT)).collect();
        let document = document.finish();
        let listed: BTreeSet<&str> = document["paths"].as_object().unwrap().keys().map(String::as_str).collect();
        assert!(!listed.is_empty());
        assert_eq!(routed, listed);
    }
}

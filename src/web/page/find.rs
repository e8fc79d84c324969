//! From any id to its page.

use axum::extract::{Query, State};
use axum::response::Redirect;
use serde::Deserialize;

use crate::model::id::{CaseId, EventId, RunId};
use crate::store::Subject;
use crate::web::admin::Admin;
use crate::web::page::Failure;

#[derive(Deserialize)]
pub(in crate::web) struct Wanted {
    #[serde(default)]
    id: String,
}

/// `GET /find?id=pi_…`
pub(in crate::web) async fn find(
    State(admin): State<Admin>,
    Query(Wanted { id }): Query<Wanted>,
) -> Result<Redirect, Failure> {
    let id = id.trim();
    if id.parse::<RunId>().is_ok() {
        return Ok(Redirect::to(&format!("/runs/{id}")));
    }
    if id.parse::<EventId>().is_ok() {
        return Ok(Redirect::to(&format!("/events/{id}")));
    }
    if id.parse::<CaseId>().is_ok() {
        return Ok(Redirect::to(&format!("/cases/{id}")));
    }
    let page = match admin.store.resolve(id).await? {
        Subject::Payment(payment) => format!("/payments/{payment}"),
        Subject::Run(run) => format!("/runs/{run}"),
        Subject::Event(event) => format!("/events/{event}"),
        Subject::Case(case) => format!("/cases/{case}"),
        Subject::Mail(mail) => {
            return Err(Failure::bad(format!("{mail} belongs to no payment: `discuno show {mail}`")));
        }
    };
    Ok(Redirect::to(&page))
}

//! One case: what happened, what is at risk, and how it came out.

use askama::Template;
use axum::Form;
use axum::extract::{Path, Query, State};
use axum::response::Redirect;
use serde::Deserialize;

use crate::model::case::{Case, CaseStatus, Resolution};
use crate::model::id::CaseId;
use crate::model::payment::PaymentStatus;
use crate::model::role::Role;
use crate::store::order::Deed;
use crate::web::admin::Admin;
use crate::web::auth::Identity;
use crate::web::page::{Failure, Page, Said, Shell, done, text};
use crate::web::shown;

#[derive(Template)]
#[template(path = "case.html")]
pub(in crate::web) struct CasePage {
    shell: Shell,
    said: Option<String>,
    case: Case,
    id: String,
    opened: shown::Time,
    told: Option<shown::Time>,
    closed: Option<shown::Time>,
    /// What its payment came to and where it stands.
    payment: Option<(String, String, PaymentStatus)>,
    resolutions: &'static [Resolution],
    command: String,
}

pub(in crate::web) async fn show(
    State(admin): State<Admin>,
    identity: Identity,
    Path(id): Path<String>,
    Query(Said { said }): Query<Said>,
) -> Result<Page<CasePage>, Failure> {
    let id: CaseId = id.parse().map_err(Failure::bad)?;
    let mut case = admin.store.case(id).await?;
    let payment = match case.payment {
        Some(payment) => {
            let payment = admin.store.payment(payment).await?;
            Some((payment.id.to_string(), payment.amount.to_string(), payment.status))
        }
        None => None,
    };
    for told in [&mut case.summary, &mut case.detail, &mut case.cause] {
        *told = text(told);
    }
    case.resolution = case.resolution.as_deref().map(text);
    let open = case.status == CaseStatus::Open;
    Ok(Page(CasePage {
        shell: Shell::new(&admin, &identity, "cases", id.to_string()),
        said,
        id: id.to_string(),
        opened: shown::time(case.opened_at),
        told: case.alerted_at.map(shown::time),
        closed: case.closed_at.map(shown::time),
        payment,
        resolutions: Resolution::ALL,
        command: if open { format!("discuno resolve {id} --as …") } else { format!("discuno show {id}") },
        case,
    }))
}

/// How it came out.
#[derive(Deserialize)]
pub(in crate::web) struct Outcome {
    resolution: String,
    #[serde(default)]
    reason: String,
}

/// `POST /cases/{id}/resolve`.
pub(in crate::web) async fn resolve(
    State(admin): State<Admin>,
    identity: Identity,
    Path(id): Path<String>,
    Form(outcome): Form<Outcome>,
) -> Result<Redirect, Failure> {
    identity.must(Role::Operator)?;
    let case: CaseId = id.parse().map_err(Failure::bad)?;
    let resolution: Resolution = outcome.resolution.parse().map_err(Failure::bad)?;
    let reason = Some(outcome.reason.trim().to_owned()).filter(|reason| !reason.is_empty());
    if reason.is_none() && !resolution.is_in_the_books() {
        return Err(Failure::bad(format!("{resolution} needs a reason: the books do not show it; nothing was done")));
    }
    let performed = admin.desk.order(&identity.name, reason, Deed::Resolve { case, resolution }).await?;
    let said =
        if performed.act.is_some() { format!("closed as {resolution}") } else { "it was closed before".to_owned() };
    Ok(done(&format!("/cases/{case}"), &said))
}

//! Pages: each is a view that one call of the store fills, and a template that shows it.

use askama::Template;
use axum::extract::rejection::QueryRejection;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Redirect, Response};

use crate::model::role::Role;
use crate::observe::mask;
use crate::store::error::Error as StoreError;
use crate::web::admin::Admin;
use crate::web::asset;
use crate::web::auth::Identity;
use crate::web::problem::Problem;

pub(super) mod alerts;
pub(super) mod audit;
mod bookings;
pub(super) mod case;
mod cases;
mod chart;
pub(super) mod event;
mod events;
pub(super) mod find;
pub(super) mod list;
mod log;
pub(super) mod logs;
pub(super) mod many;
pub(super) mod now;
pub(super) mod payment;
mod payments;
pub(super) mod providers;
pub(super) mod query;
pub(super) mod refund;
mod refunds;
pub(super) mod run;
pub(super) mod runs;
pub(super) mod sandbox;

/// A page, to be rendered.
pub(super) struct Page<T>(pub(super) T);

impl<T: Template> IntoResponse for Page<T> {
    fn into_response(self) -> Response {
        match self.0.render() {
            Ok(html) => ([(header::CONTENT_TYPE, "text/html; charset=utf-8")], html).into_response(),
            Err(error) => {
                Problem::new(StatusCode::INTERNAL_SERVER_ERROR, "page_failed", error.to_string()).into_response()
            }
        }
    }
}

/// What is around every page.
pub(super) struct Shell {
    pub(super) title: String,
    /// The part of the site.
    pub(super) part: &'static str,
    pub(super) mode: &'static str,
    pub(super) user: String,
    pub(super) role: Role,
    /// Whether somebody can log out.
    pub(super) session: bool,
    /// Whether the providers are stand-ins, with a page of their own.
    sandbox: bool,
}

impl Shell {
    pub(super) fn new(admin: &Admin, identity: &Identity, part: &'static str, title: impl Into<String>) -> Self {
        Self {
            title: title.into(),
            part,
            mode: admin.mode,
            user: identity.name.clone(),
            role: identity.role,
            session: !admin.access.is_open(),
            sandbox: admin.sandbox.is_some(),
        }
    }

    /// The parts of this site.
    pub(super) fn parts(&self) -> impl Iterator<Item = (&'static str, &'static str)> {
        let sandbox = self.sandbox.then_some(("sandbox", "Sandbox"));
        PARTS.into_iter().chain(sandbox)
    }

    /// Whether the page belongs to this part.
    pub(super) fn is_in(&self, part: &str) -> bool {
        self.part == part
    }

    /// Whether who looks may do what takes this role.
    pub(super) fn may(&self, role: &str) -> bool {
        role.parse().is_ok_and(|role| self.role.may(role))
    }
}

/// The parts of the site, as the navigation lists them.
pub(super) const PARTS: [(&str, &str); 11] = [
    ("", "Now"),
    ("payments", "Payments"),
    ("runs", "Runs"),
    ("events", "Events"),
    ("bookings", "Bookings"),
    ("refunds", "Refunds"),
    ("cases", "Cases"),
    ("alerts", "Alerts"),
    ("providers", "Providers"),
    ("logs", "Logs"),
    ("audit", "Audit"),
];

/// Whether the site has this part.
pub(super) fn has_part(part: &str) -> bool {
    PARTS.iter().any(|(known, _)| *known == part)
}

/// Where the style is.
pub(super) fn style() -> String {
    asset::STYLE.address()
}

/// Where the picture for tabs is.
pub(super) fn icon() -> String {
    asset::ICON.address()
}

/// Where the script is.
pub(super) fn script() -> String {
    asset::SCRIPT.address()
}

/// Why there is no page.
pub(super) struct Failure {
    status: StatusCode,
    what: String,
    /// Whether it may have been done all the same.
    unknown: bool,
}

#[derive(Template)]
#[template(path = "failure.html")]
struct FailurePage {
    status: u16,
    what: String,
    unknown: bool,
}

impl Failure {
    const fn new(status: StatusCode, what: String) -> Self {
        Self { status, what, unknown: false }
    }

    /// What was asked for makes no sense.
    pub(super) fn bad(what: impl ToString) -> Self {
        Self::new(StatusCode::BAD_REQUEST, what.to_string())
    }

    /// It is not as whoever asked believed.
    pub(super) const fn conflict(what: String) -> Self {
        Self::new(StatusCode::CONFLICT, what)
    }

    /// It is not here.
    pub(super) fn missing(what: &str) -> Self {
        Self::new(StatusCode::NOT_FOUND, what.to_owned())
    }

    /// Something here does not work.
    pub(super) fn broken(what: impl ToString) -> Self {
        Self::new(StatusCode::INTERNAL_SERVER_ERROR, what.to_string())
    }
}

impl IntoResponse for Failure {
    fn into_response(self) -> Response {
        let Self { status, what, unknown } = self;
        (status, Page(FailurePage { status: status.as_u16(), what, unknown })).into_response()
    }
}

impl From<StoreError> for Failure {
    fn from(error: StoreError) -> Self {
        Self::from(Problem::from(&error))
    }
}

impl From<Problem> for Failure {
    fn from(problem: Problem) -> Self {
        let unknown = problem.is_unknown();
        Self { unknown, ..Self::new(problem.status, problem.detail) }
    }
}

impl From<QueryRejection> for Failure {
    fn from(rejection: QueryRejection) -> Self {
        Self::bad(rejection.body_text())
    }
}

/// After an act: back to the page, which says what was done.
pub(super) fn done(page: &str, said: &str) -> Redirect {
    let said: String = url::form_urlencoded::byte_serialize(said.as_bytes()).collect();
    Redirect::to(&format!("{page}?said={said}"))
}

/// What an act says it has done.
#[derive(serde::Deserialize, Default)]
pub(super) struct Said {
    pub(super) said: Option<String>,
}

/// What somebody has filled in.
pub(super) fn given(text: &str) -> Option<String> {
    Some(text.trim().to_owned()).filter(|text| !text.is_empty())
}

/// Free text without addresses, and without what could turn a line around, as the templates want it.
pub(super) fn text(text: &str) -> String {
    mask::plain(&mask::without_addresses(text))
}

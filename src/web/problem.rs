//! Refusals, as `application/problem+json` (RFC 9457) with a stable code.

use axum::Json;
use axum::http::{HeaderMap, HeaderValue, StatusCode, Uri, header};
use axum::response::{IntoResponse, Response};
use schemars::JsonSchema;
use serde::Serialize;

use crate::store::error::{COMMIT_UNKNOWN, Error as StoreError};
use crate::web::api;
use crate::web::auth::guard::with_rules;
use crate::web::page::Failure;

/// A refusal.
pub(super) struct Problem {
    pub(super) status: StatusCode,
    pub(super) code: &'static str,
    pub(super) detail: String,
    /// What in the request is wrong, where it is one thing.
    pub(super) field: Option<String>,
    pub(super) retry_after_secs: Option<u32>,
}

/// A refusal as it is sent.
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "Problem")]
pub(super) struct Body {
    /// The status of the answer.
    status: u16,
    /// The status in words.
    title: &'static str,
    /// A stable word for programs.
    code: &'static str,
    /// What happened and what to do, for people.
    detail: String,
    /// What in the request is wrong, where it is one thing.
    #[serde(skip_serializing_if = "Option::is_none")]
    field: Option<String>,
}

impl Problem {
    pub(super) fn new(status: StatusCode, code: &'static str, detail: impl Into<String>) -> Self {
        Self { status, code, detail: detail.into(), field: None, retry_after_secs: None }
    }

    /// As a page, or as a document.
    fn answer(self, uri: &Uri, headers: &HeaderMap) -> Response {
        if wants_page(uri.path(), headers) {
            with_rules(Failure::from(self).into_response())
        } else {
            self.into_response()
        }
    }

    /// Whether what was asked for may have been done all the same.
    pub(super) fn is_unknown(&self) -> bool {
        self.code == COMMIT_UNKNOWN
    }

    /// What is asked for makes no sense.
    pub(super) fn invalid(field: impl Into<String>, detail: impl ToString) -> Self {
        Self { field: Some(field.into()), ..Self::new(StatusCode::BAD_REQUEST, "invalid", detail.to_string()) }
    }
}

impl From<&StoreError> for Problem {
    fn from(error: &StoreError) -> Self {
        let status = match error {
            StoreError::NotFound(_) => StatusCode::NOT_FOUND,
            StoreError::Illegal(_) | StoreError::LeaseLost => StatusCode::CONFLICT,
            StoreError::Busy
            | StoreError::Full(_)
            | StoreError::CommitUnknown(_)
            | StoreError::Unreachable(_)
            | StoreError::Closed => StatusCode::SERVICE_UNAVAILABLE,
            StoreError::Corrupt(_) | StoreError::Backend(_) => StatusCode::INTERNAL_SERVER_ERROR,
        };
        Self::new(status, error.code(), error.to_string())
    }
}

impl From<StoreError> for Problem {
    fn from(error: StoreError) -> Self {
        Self::from(&error)
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let title = self.status.canonical_reason().unwrap_or("refused");
        let Self { status, code, detail, field, retry_after_secs } = self;
        let body = Body { status: status.as_u16(), title, code, detail, field };
        let mut response = (status, Json(body)).into_response();
        let headers = response.headers_mut();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/problem+json"));
        if let Some(secs) = retry_after_secs {
            headers.insert(header::RETRY_AFTER, HeaderValue::from(secs));
        }
        response
    }
}

/// Whether a person asks with a browser, who is answered with a page.
pub(super) fn wants_page(path: &str, headers: &HeaderMap) -> bool {
    let html = |accept: &HeaderValue| accept.as_bytes().windows(9).any(|word| word == b"text/html");
    !path.starts_with(api::ROOT) && headers.get(header::ACCEPT).is_some_and(html)
}

pub(super) async fn not_found(uri: Uri, headers: HeaderMap) -> Response {
    let problem = Problem::new(StatusCode::NOT_FOUND, "not_found", "there is nothing at this address");
    problem.answer(&uri, &headers)
}

/// The router says in `Allow` which methods there are.
pub(super) async fn method_not_allowed(uri: Uri, headers: HeaderMap) -> Response {
    let detail = "this address takes another method: nothing was done";
    Problem::new(StatusCode::METHOD_NOT_ALLOWED, "method_not_allowed", detail).answer(&uri, &headers)
}

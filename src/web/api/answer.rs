//! What the API answers: values of the model as JSON, people masked unless somebody may see them.

use std::marker::PhantomData;

use axum::Json;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use serde_json::Value;

use crate::model::id::PaymentId;
use crate::model::role::Role;
use crate::observe::mask::mask_document;
use crate::store::order::Deed;
use crate::web::admin::Admin;
use crate::web::auth::Identity;
use crate::web::problem::Problem;

/// Whether people are shown as they are.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum People {
    Masked,
    Revealed,
}

impl People {
    /// Who asks to see people has to be an operator, and it goes into the audit trail with what is `shown` of a list.
    pub(super) async fn seen_by(
        identity: &Identity,
        admin: &Admin,
        reveal: bool,
        subject: String,
        payment: Option<PaymentId>,
        shown: impl FnOnce() -> Value,
    ) -> Result<Self, Problem> {
        if !reveal {
            return Ok(Self::Masked);
        }
        identity.must(Role::Operator)?;
        admin.desk.order(&identity.name, None, Deed::Reveal { subject, payment, shown: shown() }).await?;
        Ok(Self::Revealed)
    }
}

/// A `T` as it is sent.
pub(super) struct Answer<T> {
    body: Value,
    of: PhantomData<fn() -> T>,
}

impl<T: Serialize> Answer<T> {
    pub(super) fn new(what: &T, people: People) -> Result<Self, Problem> {
        let unwritten = |error: serde_json::Error| {
            Problem::new(StatusCode::INTERNAL_SERVER_ERROR, "answer_failed", error.to_string())
        };
        let mut body = serde_json::to_value(what).map_err(unwritten)?;
        if people == People::Masked {
            mask_document(&mut body);
        }
        Ok(Self { body, of: PhantomData })
    }
}

impl<T> IntoResponse for Answer<T> {
    fn into_response(self) -> Response {
        Json(self.body).into_response()
    }
}

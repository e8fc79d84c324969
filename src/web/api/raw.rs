//! The bytes of an event as they came.

use axum::extract::State;
use axum::http::header;
use axum::response::{IntoResponse, Response};
use schemars::{Schema, SchemaGenerator, json_schema};
use serde_json::json;

use crate::model::event::Event;
use crate::web::admin::Admin;
use crate::web::api::answer::People;
use crate::web::api::document::Output;
use crate::web::api::input::At;
use crate::web::api::list::find;
use crate::web::auth::Identity;
use crate::web::problem::Problem;

/// Bytes that are nobody's page.
pub(super) struct Raw {
    bytes: Vec<u8>,
    name: String,
}

impl IntoResponse for Raw {
    fn into_response(self) -> Response {
        let headers = [
            (header::CONTENT_TYPE, "application/octet-stream".to_owned()),
            (header::CONTENT_DISPOSITION, format!("attachment; filename=\"{}.json\"", self.name)),
        ];
        (headers, self.bytes).into_response()
    }
}

impl Output for Result<Raw, Problem> {
    const CONTENT: &'static str = "application/octet-stream";

    fn schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": "string", "format": "binary" })
    }
}

/// `GET /events/{id}/raw`
pub(super) async fn raw(State(admin): State<Admin>, identity: Identity, At(id): At) -> Result<Raw, Problem> {
    let event: Event = find(&admin, &id).await?;
    People::seen_by(&identity, &admin, true, event.id.to_string(), event.payment, || json!({})).await?;
    let bytes = admin.store.body(event.id).await?;
    Ok(Raw { bytes, name: event.id.to_string() })
}

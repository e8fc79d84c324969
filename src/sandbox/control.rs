//! `/sandbox/…`: a look inside, and the switches.

use axum::extract::State;
use axum::routing::{get, post};
use axum::{Json, Router};
use bytes::Bytes;
use http::StatusCode;

use crate::sandbox::Sandbox;
use crate::sandbox::fault::Fault;
use crate::sandbox::ledger::Ledger;

pub(super) fn routes() -> Router<Sandbox> {
    Router::new()
        .route("/sandbox/ledger", get(ledger))
        .route("/sandbox/faults", get(faults).post(inject).delete(clear))
        .route("/sandbox/observe", post(observe))
}

async fn ledger(State(sandbox): State<Sandbox>) -> Json<Ledger> {
    Json(sandbox.ledger())
}

async fn faults(State(sandbox): State<Sandbox>) -> Json<Vec<Fault>> {
    Json(sandbox.faults())
}

async fn inject(State(sandbox): State<Sandbox>, Json(fault): Json<Fault>) -> StatusCode {
    sandbox.inject(fault);
    StatusCode::CREATED
}

async fn clear(State(sandbox): State<Sandbox>) -> StatusCode {
    sandbox.clear_faults();
    StatusCode::NO_CONTENT
}

async fn observe(State(sandbox): State<Sandbox>, event: Bytes) -> StatusCode {
    sandbox.observe(&event);
    StatusCode::ACCEPTED
}

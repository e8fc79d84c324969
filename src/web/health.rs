//! Whether the process turns, and whether it can take work.

use std::time::Duration;

use axum::extract::State;
use axum::http::StatusCode;

use crate::web::Web;
use crate::web::problem::Problem;

const PATIENCE: Duration = Duration::from_secs(2);

pub(super) async fn live() -> &'static str {
    "ok\n"
}

pub(super) async fn ready(State(web): State<Web>) -> Result<&'static str, Problem> {
    let unready = |detail: String| Problem::new(StatusCode::SERVICE_UNAVAILABLE, "not_ready", detail);
    match tokio::time::timeout(PATIENCE, web.store.is_writable()).await {
        Ok(Ok(())) => Ok("ok\n"),
        Ok(Err(error)) => Err(unready(error.to_string())),
        Err(_) => Err(unready("the store did not answer in time".to_owned())),
    }
}

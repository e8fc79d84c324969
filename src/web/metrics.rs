//! `GET /metrics`, for whoever may look in.

use axum::extract::State;
use axum::http::{HeaderMap, header};
use axum::response::IntoResponse;

use crate::observe::metrics::as_prometheus_text;
use crate::web::admin::Admin;

/// OpenMetrics for who asks for it, Prometheus' own format for all others.
pub(super) async fn text(State(admin): State<Admin>, headers: HeaderMap) -> impl IntoResponse {
    let text = admin.exposition.text().await;
    let accept = headers.get(header::ACCEPT).and_then(|accept| accept.to_str().ok()).unwrap_or_default();
    if accept.contains("application/openmetrics-text") {
        let kind = "application/openmetrics-text; version=1.0.0; charset=utf-8";
        return ([(header::CONTENT_TYPE, kind)], text);
    }
    ([(header::CONTENT_TYPE, "text/plain; version=0.0.4; charset=utf-8")], as_prometheus_text(&text))
}

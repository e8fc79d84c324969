//! What operators reach: the dashboard, with everything that keeps others out.

use std::path::PathBuf;
use std::sync::Arc;

use axum::Router;
use axum::middleware::{from_fn, from_fn_with_state};
use axum::routing::{get, post};
use tokio_util::sync::CancellationToken;

use crate::clock::Clock;
use crate::model::act::Act;
use crate::model::booking::Booking;
use crate::model::case::Case;
use crate::model::event::Event;
use crate::model::refund::Refund;
use crate::observe::metrics::Metrics;
use crate::ops::desk::Desk;
use crate::ops::exposition::Exposition;
use crate::store::Shared;
use crate::store::filter::PaymentLine;
use crate::web::auth::guard::{rules, same_site};
use crate::web::auth::{Access, identify, login};
use crate::web::live::{self, Hub};
use crate::web::{api, asset, health, metrics, page, problem};

/// What the dashboard works with.
#[derive(Clone)]
pub struct Admin {
    /// The store.
    pub store: Shared,
    /// The time.
    pub clock: Clock,
    /// Who may come in.
    pub access: Access,
    /// How acts are ordered.
    pub desk: Desk,
    /// What this process counts.
    pub metrics: Metrics,
    /// Who is told of cases and alerts and by which way, masked.
    pub told: Vec<String>,
    /// `live` or `test`.
    pub mode: &'static str,
    /// The database file.
    pub db: PathBuf,
    /// The log file, if there is one.
    pub log_file: Option<PathBuf>,
    /// The sandbox's own routes, in `dev`.
    pub sandbox: Option<Router>,
    /// Ends what would never end by itself.
    pub stop: CancellationToken,
    /// What scrapers read.
    pub exposition: Arc<Exposition>,
    /// What open pages are told.
    pub live: Arc<Hub>,
}

/// The routes of operators. They have no fallback: who serves them has.
pub fn router(admin: Admin) -> Router {
    let pages = Router::new()
        .route("/", get(page::now::show))
        .route("/alerts", get(page::alerts::list))
        .route("/alerts/test", post(page::alerts::test))
        .route("/alerts/silence", post(page::alerts::silence))
        .route("/audit", get(page::list::list::<Act>))
        .route("/bookings", get(page::list::list::<Booking>))
        .route("/cases", get(page::list::list::<Case>))
        .route("/cases/{id}", get(page::case::show))
        .route("/cases/{id}/resolve", post(page::case::resolve))
        .route("/events", get(page::list::list::<Event>))
        .route("/events/{id}", get(page::event::show))
        .route("/events/{id}/replay", post(page::event::again))
        .route("/live", get(live::stream))
        .route("/logs", get(page::logs::list))
        .route("/metrics", get(metrics::text))
        .route("/payments", get(page::list::list::<PaymentLine>))
        .route("/payments/{id}", get(page::payment::show))
        .route("/providers", get(page::providers::list))
        .route("/providers/pause", post(page::providers::pause))
        .route("/providers/resume", post(page::providers::resume))
        .route("/refunds", get(page::list::list::<Refund>))
        .route("/runs", get(page::runs::list))
        .route("/runs/act", get(page::many::ask).post(page::many::act))
        .route("/runs/{id}", get(page::run::show))
        .route("/runs/{id}/cancel", post(page::run::cancel))
        .route("/runs/{id}/retry", post(page::run::retry))
        .route("/sandbox", get(page::sandbox::show))
        .route("/sandbox/clear", post(page::sandbox::clear))
        .route("/sandbox/faults", post(page::sandbox::inject))
        .route("/sandbox/replay", post(page::sandbox::replay));
    admin.live.show(&pages.clone().with_state(admin.clone()));
    // Shown once: what asks somebody else, and what shows people.
    let once = Router::new()
        .route("/audit/check", post(page::audit::check))
        .route("/events/{id}/reveal", post(page::event::reveal))
        .route("/find", get(page::find::find))
        .route("/payments/{id}/refund", get(page::refund::show).post(page::refund::order))
        .route("/payments/{id}/reveal", post(page::payment::reveal))
        .route("/payments/{id}/stripe", post(page::payment::ask_stripe));
    let known = pages.merge(once).merge(api::router()).route_layer(from_fn_with_state(admin.clone(), identify));
    let strangers = Router::new()
        .route("/login", get(login::form).post(login::enter))
        .route("/logout", post(login::leave))
        .route("/static/{file}", get(asset::file));
    known
        .merge(strangers)
        .method_not_allowed_fallback(problem::method_not_allowed)
        .layer(from_fn_with_state(admin.clone(), same_site))
        .layer(from_fn(rules))
        .with_state(admin)
}

/// A listener's whole router, where operators have one of their own.
pub fn alone(admin: Admin) -> Router {
    router(admin)
        .route("/livez", get(health::live))
        .fallback(problem::not_found)
        .method_not_allowed_fallback(problem::method_not_allowed)
}

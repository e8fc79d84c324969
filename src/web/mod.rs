//! The HTTP server: webhooks in, health out. The caller binds the listener and decides when to stop.

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::extract::DefaultBodyLimit;
use axum::middleware;
use axum::routing::{get, post};
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto::Builder;
use hyper_util::service::TowerToHyperService;
use tokio::net::TcpListener;
use tokio::sync::Semaphore;
use tokio::time::Instant;
use tokio_io_timeout::TimeoutStream;
use tokio_util::task::TaskTracker;

use crate::clock::Clock;
use crate::config::Secret;
use crate::entropy::Entropy;
use crate::model::event::Source;
use crate::observe::metrics::Metrics;
use crate::observe::trace::{Arrival, Traces};
use crate::store::Shared;
use crate::store::change::NewEvent;

pub mod admin;
mod api;
mod asset;
pub mod auth;
mod events;
mod framing;
mod headers;
mod health;
pub mod live;
mod metrics;
mod page;
mod problem;
mod shown;
mod webhook;

/// The largest body that is taken.
const MOST_BYTES: usize = 1024 * 1024;
/// How long a client may take for its headers.
const HEADER_TIMEOUT: Duration = Duration::from_secs(10);
/// How long a client may take nothing of what it is answered.
const WRITE_TIMEOUT: Duration = Duration::from_secs(30);
/// How many connections are held at once, if the process may open so many files; more wait in the kernel.
const MOST_CONNECTIONS: usize = 1024;
/// At most every fourth descriptor is a client's: providers and the database need theirs.
const SHARE_OF_DESCRIPTORS: u64 = 4;
/// How long answers in flight are given when the server is to stop.
const DRAIN: Duration = Duration::from_secs(20);

/// Is shown the raw bytes of events.
pub type Witness = Arc<dyn Fn(&[u8]) + Send + Sync>;

/// What the routes work with.
#[derive(Clone)]
pub struct Web {
    /// The store.
    pub store: Shared,
    /// The time.
    pub clock: Clock,
    /// The secrets of the platform's Stripe endpoint.
    pub stripe_secrets: Arc<[Secret]>,
    /// The secrets of the endpoint for connected accounts.
    pub connect_secrets: Arc<[Secret]>,
    /// Cal.com's secrets.
    pub cal_secrets: Arc<[Secret]>,
    /// How old a signature may be.
    pub tolerance: Duration,
    /// Whether this deployment is for real money.
    pub live: bool,
    /// What opens the event API.
    pub event_keys: Arc<[Secret]>,
    /// Whether anything does, as in Inngest's own dev server.
    pub any_event_key: bool,
    /// Names of application events that are counted besides the usual ones.
    pub counted: Arc<[String]>,
    /// Chance, for ids.
    pub entropy: Entropy,
    /// What is counted.
    pub metrics: Metrics,
    /// Where it is traced.
    pub traces: Traces,
    /// Told of every event that is taken: how `dev` lets the sandbox know what was paid.
    pub witness: Option<Witness>,
}

impl Web {
    /// This event has been on its way in since `start`.
    fn arrival(&self, event: &NewEvent, start: Instant) -> Arrival {
        self.traces.arrival(event.source, &event.external_id, &event.kind, Some(route(event.source)), start)
    }
}

/// Where the events of a source are taken.
const fn route(source: Source) -> &'static str {
    match source {
        Source::Stripe => "/webhooks/stripe",
        Source::StripeConnect => "/webhooks/stripe-connect",
        Source::Cal => "/webhooks/cal",
        Source::App => "/e/{key}",
    }
}

/// Every route.
pub fn router(web: Web) -> Router {
    for source in Source::ALL {
        // A count that begins with its first refusal would hide it.
        for result in ["accepted", "duplicate", "signature_mismatch", "store_full", "store_error", "commit_unknown"] {
            web.metrics.arrived(source.as_str(), result, 0);
        }
    }
    Router::new()
        .route(route(Source::Stripe), post(webhook::stripe))
        .route(route(Source::StripeConnect), post(webhook::connect))
        .route(route(Source::Cal), post(webhook::cal))
        .route(route(Source::App), post(events::receive).layer(DefaultBodyLimit::max(events::MOST_BYTES)))
        .route("/livez", get(health::live))
        .route("/readyz", get(health::ready))
        .fallback(problem::not_found)
        .method_not_allowed_fallback(problem::method_not_allowed)
        .layer(DefaultBodyLimit::max(MOST_BYTES))
        .with_state(web)
}

/// Serves `router` until `stop`, then finishes what is in flight.
pub async fn serve(listener: TcpListener, router: Router, stop: impl Future<Output = ()>) {
    let router = router.layer(middleware::from_fn(framing::one_reading));
    let mut builder = Builder::new(TokioExecutor::new()).http1_only();
    builder.http1().timer(TokioTimer::new()).header_read_timeout(HEADER_TIMEOUT).max_headers(64);
    let (connections, tasks) = (Arc::new(Semaphore::new(places())), TaskTracker::new());
    let graceful = hyper_util::server::graceful::GracefulShutdown::new();
    tokio::pin!(stop);
    loop {
        let place = tokio::select! {
            place = Arc::clone(&connections).acquire_owned() => place,
            () = &mut stop => break,
        };
        let Ok(place) = place else { break };
        let stream = tokio::select! {
            accepted = listener.accept() => match accepted {
                Ok((stream, _)) => stream,
                Err(error) => {
                    // Out of descriptors, most likely: the others go on, and this one is tried again.
                    tracing::error!(tag = "Web", event = "accept_failed", error = %error);
                    tokio::time::sleep(Duration::from_millis(100)).await;
                    continue;
                }
            },
            () = &mut stop => break,
        };
        let _ = stream.set_nodelay(true);
        let service = TowerToHyperService::new(router.clone());
        let mut stream = TimeoutStream::new(stream);
        stream.set_write_timeout(Some(WRITE_TIMEOUT));
        let connection = builder.serve_connection(TokioIo::new(Box::pin(stream)), service).into_owned();
        let watched = graceful.watch(connection);
        tasks.spawn(async move {
            // A client that goes away is its own business.
            let _ = watched.await;
            drop(place);
        });
    }
    drop(listener);
    tasks.close();
    let drained = async {
        graceful.shutdown().await;
        tasks.wait().await;
    };
    if tokio::time::timeout(DRAIN, drained).await.is_err() {
        tracing::warn!(tag = "Web", event = "drain_timed_out");
    }
}

fn places() -> usize {
    let descriptors = rustix::process::getrlimit(rustix::process::Resource::Nofile).current;
    let share = descriptors.map_or(MOST_CONNECTIONS, |most| usize::try_from(most / SHARE_OF_DESCRIPTORS).unwrap_or(1));
    share.clamp(1, MOST_CONNECTIONS)
}

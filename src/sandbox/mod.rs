//! Stand-ins for Stripe, Cal.com, `PostHog`, Resend and the alert webhook: stateful, deterministic, and faulty on demand.
//!
//! One router serves them all: `/stripe/v1/…`, `/cal/v2/…`, `/posthog/…`, `/resend/…`, `/alerts`, and `/sandbox/…` to look
//! inside. Serve it on a port, or call it in process.
//!
//! Faults are switched on with [`Sandbox::inject`] or `POST /sandbox/faults`. Without either, `+tag`s in the local part of
//! a customer's e-mail address make trouble, so that a fixture alone can tell a story
//! (`zoe+cal-refused+refund-refused@example.edu`):
//!
//! | tag | what happens |
//! |---|---|
//! | `cal-refused` | every booking is refused: the slot is taken |
//! | `cal-confirm` | a booking waits for the mentor to confirm it |
//! | `cal-managed` | Cal.com books under the address that a managed user of the platform has there |
//! | `cal-down` | 503 to every creation, and from then on to every search that begins with its slot |
//! | `cal-create-down` | 503 to every creation; searches are answered |
//! | `cal-lost` | the first creation of a booking takes effect, its answer is lost |
//! | `cal-hang-once` | the first creation of a booking is neither carried out nor answered |
//! | `refund-refused` | Stripe refuses every refund: `charge_not_refundable` |
//! | `refund-pending` | refunds stay pending |
//! | `refund-lost` | the first refund of a payment takes effect, its answer is lost |
//! | `posthog-down` | 503 to every capture whose `properties.customerEmail` carries it |
//! | `share-later` | the mentor's share does not move with the charge |
//! | `mail-down` | 500 to every mail to that address |
//!
//! An injected fault goes before a tag.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use axum::Router;
use axum::extract::{DefaultBodyLimit, Request, State};
use axum::response::Response;
use axum::routing::any;

use crate::clock::Clock;
use crate::entropy::Entropy;
use crate::sandbox::alert::Alerts;
use crate::sandbox::cal::Cal;
use crate::sandbox::fault::{Fault, Faults};
use crate::sandbox::ledger::Ledger;
use crate::sandbox::mail::Mailbox;
use crate::sandbox::posthog::Posthog;
use crate::sandbox::stand_in::StandIn;
use crate::sandbox::stripe::Stripe;

mod alert;
mod answer;
mod cal;
mod cal_check;
mod cal_object;
mod cal_world;
mod call;
mod control;
pub mod fault;
mod form;
pub mod ledger;
mod log;
mod mail;
pub mod news;
mod posthog;
mod stand_in;
mod stripe;
mod stripe_event;
mod stripe_idempotency;
mod stripe_object;
mod stripe_refund;
mod stripe_transfer;
mod stripe_world;
mod tag;
#[cfg(test)]
mod trial;

/// The largest body that any of the providers takes.
const MAX_BODY: usize = 20 * 1024 * 1024;

/// All stand-ins, sharing one clock and one source of chance. Clones are the same sandbox.
#[derive(Clone)]
pub struct Sandbox(Arc<World>);

struct World {
    clock: Clock,
    faults: Mutex<Faults>,
    stripe: Mutex<Stripe>,
    cal: Mutex<Cal>,
    posthog: Mutex<Posthog>,
    mail: Mutex<Mailbox>,
    alerts: Mutex<Alerts>,
}

impl Sandbox {
    /// A sandbox in which nothing has happened yet.
    pub fn new(clock: Clock, entropy: Entropy) -> Self {
        Self(Arc::new(World {
            clock,
            faults: Mutex::default(),
            stripe: Mutex::new(Stripe::new(entropy.clone())),
            cal: Mutex::new(Cal::new(entropy.clone())),
            posthog: Mutex::new(Posthog::new(entropy.clone())),
            mail: Mutex::new(Mailbox::new(entropy)),
            alerts: Mutex::default(),
        }))
    }

    /// Everything that the sandbox answers, with a path prefix for each provider.
    pub fn router(&self) -> Router {
        Router::new()
            .route("/stripe/{*rest}", any(stripe))
            .route("/cal/{*rest}", any(cal))
            .route("/posthog/{*rest}", any(posthog))
            .route("/resend/{*rest}", any(resend))
            .route("/alerts", any(alerts))
            .merge(control::routes())
            .layer(DefaultBodyLimit::max(MAX_BODY))
            .with_state(self.clone())
    }

    /// Takes in a Stripe webhook event (raw JSON) that the world has produced: Stripe's stand-in then knows the payment,
    /// refund or dispute that it tells of, and lists the event. Idempotent; what is not an event is ignored.
    pub fn observe(&self, event: &[u8]) {
        let now = self.0.clock.now();
        lock(&self.0.stripe).observe(event, now);
        if let Ok(event) = serde_json::from_slice(event) {
            lock(&self.0.cal).observe(&event);
        }
    }

    /// What each stand-in holds, at this moment.
    pub fn ledger(&self) -> Ledger {
        Ledger {
            stripe: lock(&self.0.stripe).ledger(),
            cal: lock(&self.0.cal).ledger(),
            posthog: lock(&self.0.posthog).ledger(),
            mail: lock(&self.0.mail).ledger(),
            alerts: lock(&self.0.alerts).ledger(),
        }
    }

    /// Switches a fault on, after those that are on already.
    pub fn inject(&self, fault: Fault) {
        lock(&self.0.faults).push(fault);
    }

    /// Switches this fault off.
    pub fn lift(&self, fault: &Fault) {
        lock(&self.0.faults).lift(fault);
    }

    /// Switches all injected faults off.
    pub fn clear_faults(&self) {
        lock(&self.0.faults).clear();
    }

    /// The faults that are on, with what is left of `times` and `skip`.
    pub fn faults(&self) -> Vec<Fault> {
        lock(&self.0.faults).list().to_vec()
    }

    async fn serve<S: StandIn>(&self, desk: &Mutex<S>, prefix: &str, request: Request) -> Response {
        stand_in::serve(desk, &self.0.faults, &self.0.clock, prefix, request).await
    }
}

impl std::fmt::Debug for Sandbox {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Sandbox").finish_non_exhaustive()
    }
}

async fn stripe(State(sandbox): State<Sandbox>, request: Request) -> Response {
    sandbox.serve(&sandbox.0.stripe, "/stripe/v1", request).await
}

async fn cal(State(sandbox): State<Sandbox>, request: Request) -> Response {
    sandbox.serve(&sandbox.0.cal, "/cal/v2", request).await
}

async fn posthog(State(sandbox): State<Sandbox>, request: Request) -> Response {
    sandbox.serve(&sandbox.0.posthog, "/posthog", request).await
}

async fn resend(State(sandbox): State<Sandbox>, request: Request) -> Response {
    sandbox.serve(&sandbox.0.mail, "/resend", request).await
}

async fn alerts(State(sandbox): State<Sandbox>, request: Request) -> Response {
    sandbox.serve(&sandbox.0.alerts, "", request).await
}

/// A panic in one test must not make every other look like a poisoned lock.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

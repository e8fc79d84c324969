//! `POST /webhooks/…`: 200 once the event and all that it starts are on disk, never before.

use axum::Json;
use axum::body::{Body, Bytes};
use axum::extract::{FromRequest, Request, State};
use axum::http::{HeaderMap, StatusCode};
use serde_json::{Value, json};
use tokio::time::Instant;

use crate::ingress::{Rejected, cal, stripe};
use crate::model::event::{Disposition, Source, Via};
use crate::model::payment::PaymentFact;
use crate::mutant::{Mutant, is_out};
use crate::signature;
use crate::store::Ingested;
use crate::store::change::{Change, Plan};
use crate::store::error::Error;
use crate::web::Web;
use crate::web::headers::kept_headers;
use crate::web::problem::Problem;

/// Stripe asks again by itself; this keeps other senders from asking at once.
const RETRY_AFTER_SECS: u32 = 5;

/// Stripe's events of the platform.
pub(super) async fn stripe(State(web): State<Web>, request: Request<Body>) -> Result<Json<Value>, Problem> {
    receive(&web, request, ("CheckoutWebhook", Source::Stripe), |headers, body| {
        let header = header(headers, "stripe-signature");
        signature::verify_stripe(header, &body, &web.stripe_secrets, web.tolerance, web.clock.now())?;
        stripe::plan(body, Via::Webhook, web.live)
    })
    .await
}

/// Stripe's events of connected accounts.
pub(super) async fn connect(State(web): State<Web>, request: Request<Body>) -> Result<Json<Value>, Problem> {
    receive(&web, request, ("ConnectWebhook", Source::StripeConnect), |headers, body| {
        let header = header(headers, "stripe-signature");
        signature::verify_stripe(header, &body, &web.connect_secrets, web.tolerance, web.clock.now())?;
        stripe::plan_connect(body, Via::Webhook, web.live)
    })
    .await
}

/// Cal.com's events.
pub(super) async fn cal(State(web): State<Web>, request: Request<Body>) -> Result<Json<Value>, Problem> {
    receive(&web, request, ("CalWebhook", Source::Cal), |headers, body| {
        signature::verify_cal(header(headers, "x-cal-signature-256"), &body, &web.cal_secrets)?;
        cal::plan(body, Via::Webhook, web.live, web.clock.now())
    })
    .await
}

/// A header that is no text cannot be right: it is malformed, and not absent.
fn header<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    headers.get(name).map(|value| value.to_str().unwrap_or_default())
}

/// Takes an event, and counts what was made of it.
async fn receive(
    web: &Web,
    request: Request<Body>,
    (tag, source): (&'static str, Source),
    accept: impl FnOnce(&HeaderMap, Bytes) -> Result<Plan, Rejected>,
) -> Result<Json<Value>, Problem> {
    let start = Instant::now();
    let outcome = take(web, request, (tag, source), start, accept).await;
    let result = match &outcome {
        Ok((_, result)) => result,
        // Codes of refusals are a closed set.
        Err(problem) => problem.code,
    };
    web.metrics.arrived(source.as_str(), result, 1);
    web.metrics.answered(source.as_str(), start.elapsed());
    outcome.map(|(answer, _)| answer)
}

async fn take(
    web: &Web,
    request: Request<Body>,
    (tag, source): (&'static str, Source),
    start: Instant,
    accept: impl FnOnce(&HeaderMap, Bytes) -> Result<Plan, Rejected>,
) -> Result<(Json<Value>, &'static str), Problem> {
    let headers = request.headers().clone();
    let body = read(request).await?;
    let mut plan = accept(&headers, body).map_err(|rejected| {
        tracing::warn!(tag, event = "webhook_rejected", code = rejected.code(), error = %rejected);
        if matches!(rejected, Rejected::Signature(_)) {
            web.metrics.signature_refused(source, web.clock.now());
        }
        Problem::new(StatusCode::BAD_REQUEST, rejected.code(), rejected.to_string())
    })?;
    plan.event.headers = kept_headers(&headers);

    let note = Note::of(tag, &plan);
    let arrival = web.arrival(&plan.event, start);
    let (body, made_at) = (plan.event.body.clone(), plan.event.created_at);
    let (now, disposition) = (web.clock.now(), plan.event.disposition);
    let (plan, later) = apart(plan);
    match web.store.ingest(plan, now).await {
        Ok(ingested) => {
            if let Some(witness) = &web.witness {
                witness(&body);
            }
            if let (Some(later), Ingested::New { .. }) = (later, &ingested) {
                web.store.ingest(later, web.clock.now()).await.map_err(|error| not_committed(&note, &error))?;
            }
            note.log(&ingested);
            arrival.end(Ok(ingested.told()), web.clock.now());
            let duplicate = matches!(ingested, Ingested::Duplicate { .. });
            if !duplicate {
                web.metrics.lagged(source.as_str(), now.since(made_at));
            }
            let result = if duplicate { "duplicate" } else { disposition.as_str() };
            Ok((Json(json!({ "received": true, "duplicate": duplicate })), result))
        }
        Err(_) if is_out(Mutant::Commit) => Ok((Json(json!({ "received": true })), "accepted")),
        Err(error) => {
            arrival.end(Err(error.code()), web.clock.now());
            Err(not_committed(&note, &error))
        }
    }
}

/// A plan, and what of it would be committed apart from the rest if it were not one commit.
fn apart(mut plan: Plan) -> (Plan, Option<Plan>) {
    if !is_out(Mutant::OneCommit) {
        return (plan, None);
    }
    let later = plan.clone();
    plan.changes.retain(|change| !matches!(change, Change::Start(_)));
    (plan, Some(later))
}

async fn read(request: Request<Body>) -> Result<Bytes, Problem> {
    Bytes::from_request(request, &()).await.map_err(|rejection| match rejection.status() {
        status @ StatusCode::PAYLOAD_TOO_LARGE => {
            Problem::new(status, "body_too_large", "the body is larger than 1 MiB")
        }
        _ => Problem::new(StatusCode::BAD_REQUEST, "unreadable_body", rejection.body_text()),
    })
}

/// Nothing is promised: the sender is to come again.
fn not_committed(note: &Note, error: &Error) -> Problem {
    tracing::error!(
        tag = note.tag, event = "webhook_not_stored", critical = true, sessionId = note.session, eventId = note.event,
        code = error.code(), error = %error,
    );
    let mut problem = Problem::new(
        StatusCode::SERVICE_UNAVAILABLE,
        error.code(),
        "the event could not be stored and was not acknowledged: send it again",
    );
    problem.retry_after_secs = Some(RETRY_AFTER_SECS);
    problem
}

/// What the log says of an arrival, kept from its plan.
struct Note {
    tag: &'static str,
    event: String,
    kind: String,
    disposition: Disposition,
    reason: Option<String>,
    session: Option<String>,
    payment_intent: Option<String>,
    paid: bool,
}

impl Note {
    fn of(tag: &'static str, plan: &Plan) -> Self {
        let payment = plan.changes.iter().find_map(|change| match change {
            Change::Payment(payment) => Some(payment),
            _ => None,
        });
        Self {
            tag,
            event: plan.event.external_id.clone(),
            kind: plan.event.kind.clone(),
            disposition: plan.event.disposition,
            reason: plan.event.reason.clone(),
            session: payment.map(|payment| payment.session_id.clone()),
            payment_intent: payment.and_then(|payment| payment.payment_intent.clone()),
            paid: payment.is_some_and(|payment| payment.fact == PaymentFact::Paid),
        }
    }

    fn log(&self, ingested: &Ingested) {
        let (session, intent, event) = (&self.session, &self.payment_intent, &self.event);
        tracing::info!(
            tag = self.tag,
            event = "webhook_received",
            sessionId = session,
            paymentIntentId = intent,
            eventId = event,
            kind = self.kind
        );
        match ingested {
            Ingested::Duplicate { differs: true, .. } => tracing::warn!(
                tag = self.tag,
                event = "duplicate_differs",
                eventId = event,
                message = "another body came under a known event id; the first is kept",
            ),
            Ingested::Duplicate { .. } => {
                tracing::info!(
                    tag = self.tag,
                    event = "payment_already_exists",
                    sessionId = session,
                    paymentIntentId = intent,
                    eventId = event
                );
            }
            Ingested::New { payment, payment_created, .. } => {
                self.log_new(payment.map(|id| id.to_string()), *payment_created);
            }
        }
        tracing::info!(tag = self.tag, event = "webhook_response_sent", sessionId = session, eventId = event);
    }

    fn log_new(&self, payment: Option<String>, created: bool) {
        let (session, intent, event) = (&self.session, &self.payment_intent, &self.event);
        match self.disposition {
            Disposition::Quarantined => tracing::error!(
                tag = self.tag,
                event = "event_quarantined",
                critical = true,
                eventId = event,
                reason = self.reason,
            ),
            Disposition::Attention => {
                let name = if intent.is_none() { "missing_payment_intent_id" } else { "missing_required_metadata" };
                tracing::error!(
                    tag = self.tag,
                    event = name,
                    critical = true,
                    paymentId = payment,
                    sessionId = session,
                    paymentIntentId = intent,
                    eventId = event,
                    reason = self.reason,
                );
            }
            Disposition::Ignored => {
                tracing::info!(
                    tag = self.tag,
                    event = "event_ignored",
                    eventId = event,
                    kind = self.kind,
                    reason = self.reason
                );
            }
            Disposition::Accepted if created => {
                tracing::info!(
                    tag = self.tag,
                    event = "payment_record_created",
                    paymentId = payment,
                    sessionId = session,
                    paymentIntentId = intent
                );
            }
            Disposition::Accepted if self.paid => {
                tracing::info!(
                    tag = self.tag,
                    event = "payment_already_exists",
                    paymentId = payment,
                    sessionId = session,
                    paymentIntentId = intent
                );
            }
            Disposition::Accepted => {}
        }
    }
}

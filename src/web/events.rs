//! `POST /e/{key}`: the event API that Inngest's SDKs speak.

use std::str::FromStr;

use axum::Json;
use axum::body::Bytes;
use axum::extract::{FromRequest, Path, Request, State};
use axum::http::StatusCode;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};
use tokio::time::Instant;
use ulid::Ulid;

use crate::entropy::Entropy;
use crate::ingress::app;
use crate::model::event::Source;
use crate::model::time::Timestamp;
use crate::store::Ingested;
use crate::store::error::Error;
use crate::web::Web;
use crate::web::headers::kept_headers;

/// The most events in one request.
const MOST_EVENTS: usize = 5000;
/// The largest request.
pub(super) const MOST_BYTES: usize = 3 * 1024 * 1024;
const TAG: &str = "AppEvents";

type Answer = (StatusCode, Json<Value>);

/// 200 with an id for each event, in order, once all are on disk. 400 with the ids of those before the first that is not
/// an event: they are kept.
pub(super) async fn receive(State(web): State<Web>, Path(key): Path<String>, request: Request) -> Answer {
    let start = Instant::now();
    let (taken, answer) = take(&web, &key, request, start).await;
    let Taken { new, again } = taken;
    let source = Source::App.as_str();
    web.metrics.answered(source, start.elapsed());
    web.metrics.arrived(source, "accepted", new);
    web.metrics.arrived(source, "duplicate", again);
    match answer.0 {
        StatusCode::OK => {}
        StatusCode::UNAUTHORIZED => web.metrics.arrived(source, "event_key_refused", 1),
        StatusCode::SERVICE_UNAVAILABLE => web.metrics.arrived(source, "not_stored", 1),
        _ => web.metrics.arrived(source, "refused", 1),
    }
    answer
}

/// How many events are kept now, of which some were before.
#[derive(Default, Clone, Copy)]
struct Taken {
    new: usize,
    again: usize,
}

/// What is kept now, and the answer.
async fn take(web: &Web, key: &str, request: Request, start: Instant) -> (Taken, Answer) {
    if !web.any_event_key && web.event_keys.is_empty() {
        return refusal(StatusCode::SERVICE_UNAVAILABLE, "no event key is configured: set INNGEST_EVENT_KEY");
    }
    if !web.any_event_key && !web.event_keys.iter().any(|known| known.is(key)) {
        tracing::warn!(tag = TAG, event = "event_key_refused");
        web.metrics.signature_refused(Source::App, web.clock.now());
        return refusal(StatusCode::UNAUTHORIZED, "Event key not found");
    }
    // Read only now: of whoever has no key nothing is held in memory.
    let headers = request.headers().clone();
    let body = match Bytes::from_request(request, &()).await {
        Ok(body) => body,
        Err(rejection) => return refusal(rejection.status(), &rejection.body_text()),
    };
    let now = web.clock.now();
    let events = match app::split(&body) {
        Ok(events) if events.len() <= MOST_EVENTS => events,
        Ok(_) => return refusal(StatusCode::BAD_REQUEST, "more than 5000 events in one request"),
        Err(error) => return refusal(StatusCode::BAD_REQUEST, &error.to_string()),
    };
    let seed = headers.get("x-inngest-event-id-seed").and_then(|value| value.to_str().ok());
    let ids = Ids::new(seed, now, &web.entropy);
    let told = kept_headers(&headers);

    let (mut plans, mut refused) = (Vec::new(), None);
    for (index, raw) in events.iter().enumerate() {
        let id = ids.at(index).to_string();
        match app::plan(raw, &id, &web.counted, web.live, now) {
            Ok(mut plan) => {
                plan.event.headers.clone_from(&told);
                plans.push((id, plan));
            }
            Err(error) => {
                refused = Some(format!("event {}: {error}", index + 1));
                break;
            }
        }
    }
    // All at once, so that they share commits.
    let ingested = plans.into_iter().map(|(id, plan)| {
        let web = &web;
        async move {
            let arrival = web.arrival(&plan.event, start);
            let outcome = web.store.ingest(plan, now).await;
            arrival.end(outcome.as_ref().map(Ingested::told).map_err(Error::code), web.clock.now());
            outcome.map(|ingested| (id, ingested))
        }
    });
    let (mut kept, mut taken) = (Vec::new(), Taken::default());
    for outcome in futures_util::future::join_all(ingested).await {
        match outcome {
            Ok((id, ingested)) => {
                if let Ingested::Duplicate { differs, .. } = ingested {
                    taken.again += 1;
                    if differs {
                        let message = "another body came under a known event id; the first is kept";
                        tracing::warn!(tag = TAG, event = "duplicate_differs", eventId = %id, message);
                    }
                } else {
                    taken.new += 1;
                }
                kept.push(id);
            }
            Err(error) => {
                tracing::error!(tag = TAG, event = "event_not_stored", critical = true, code = error.code(), error = %error);
                let why = "the events could not be stored: send them again";
                return (taken, answer(StatusCode::SERVICE_UNAVAILABLE, &kept, Some(why)));
            }
        }
    }
    tracing::info!(tag = TAG, event = "events_received", count = kept.len());
    let status = if refused.is_some() { StatusCode::BAD_REQUEST } else { StatusCode::OK };
    (taken, answer(status, &kept, refused.as_deref()))
}

/// Nothing is kept.
fn refusal(status: StatusCode, why: &str) -> (Taken, Answer) {
    (Taken::default(), answer(status, &[], Some(why)))
}

fn answer(status: StatusCode, ids: &[String], error: Option<&str>) -> Answer {
    let mut body = json!({ "ids": ids, "status": status.as_u16() });
    if let Some(error) = error {
        body["error"] = error.into();
    }
    (status, Json(body))
}

/// The ids of one request: the same again where the sender brings the seed of an earlier try.
struct Ids {
    millis: u64,
    chance: u128,
}

impl Ids {
    fn new(seed: Option<&str>, now: Timestamp, entropy: &Entropy) -> Self {
        seed.and_then(Self::of_seed).unwrap_or_else(|| {
            let chance = u128::from_str_radix(&entropy.hex(20), 16).unwrap_or_default();
            Self { millis: u64::try_from(now.0).unwrap_or(0), chance }
        })
    }

    /// `<milliseconds>,<base64 of ten bytes>`
    fn of_seed(seed: &str) -> Option<Self> {
        let (millis, chance) = seed.split_once(',')?;
        let bytes = STANDARD.decode(chance).ok().filter(|bytes| bytes.len() == 10)?;
        let chance = bytes.iter().fold(0_u128, |sum, byte| (sum << 8) | u128::from(*byte));
        Some(Self { millis: u64::from_str(millis).ok()?, chance })
    }

    fn at(&self, index: usize) -> Ulid {
        Ulid::from_parts(self.millis, self.chance.wrapping_add(index as u128))
    }
}

//! Cal.com's bookings, as of API version 2024-08-13.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use serde_json::{Value, json};

use crate::entropy::Entropy;
use crate::model::time::Timestamp;
use crate::sandbox::answer::Answer;
use crate::sandbox::cal_check::Ask;
use crate::sandbox::cal_object::{end, envelope, exception, in_status, refuse, render, success};
use crate::sandbox::call::Call;
use crate::sandbox::fault::{Effect, Provider};
use crate::sandbox::ledger::{Booking, CalLedger};
use crate::sandbox::log::Log;
use crate::sandbox::stand_in::StandIn;
use crate::sandbox::tag::tagged;

const TAKEN: &str = "User either already has booking at this time or is not available";

/// The id of a platform's client, as long as Cal.com's are.
const CLIENT: &str = "clw7k2f3p000108l4h2v9a1bc";

/// Cal.com.
#[derive(Debug)]
pub(super) struct Cal {
    bookings: BTreeMap<u64, Booking>,
    by_uid: BTreeMap<String, u64>,
    /// Live bookings by event type and start.
    slots: BTreeMap<(i64, Timestamp), u64>,
    /// By event type and start.
    by_type: BTreeSet<(i64, Timestamp, u64)>,
    /// Slots that a tag has put out of reach.
    down: BTreeSet<(i64, Timestamp)>,
    /// Bookings whose first creation has met with a tag's trouble.
    struck: BTreeSet<(&'static str, String, String)>,
    /// What was made and cancelled by requests, in order.
    pub(super) made: Vec<u64>,
    pub(super) cancelled: Vec<u64>,
    entropy: Entropy,
    log: Log,
}

impl Cal {
    pub(super) fn new(entropy: Entropy) -> Self {
        Self {
            bookings: BTreeMap::new(),
            by_uid: BTreeMap::new(),
            slots: BTreeMap::new(),
            by_type: BTreeSet::new(),
            down: BTreeSet::new(),
            struck: BTreeSet::new(),
            made: Vec::new(),
            cancelled: Vec::new(),
            entropy,
            log: Log::default(),
        }
    }

    pub(super) fn ledger(&self) -> CalLedger {
        CalLedger {
            bookings: self.bookings.values().cloned().collect(),
            requests: self.log.requests(),
            request_count: self.log.count(),
        }
    }

    fn create(&mut self, call: &Call) -> Answer {
        let ask = match Ask::read(call.json()) {
            Ok(ask) => ask,
            Err(message) => return refuse(call, 400, &message),
        };
        if ask.event_type_id <= 0 {
            return refuse(call, 404, &format!("Event type with id {} not found.", ask.event_type_id));
        }
        if ask.start <= call.at {
            return refuse(call, 400, "Attempting to book a meeting in the past.");
        }
        let slot = (ask.event_type_id, ask.start);
        if self.slots.contains_key(&slot) {
            return refuse(call, 400, TAKEN);
        }
        let confirmed_by_hand = tagged(&ask.email, "cal-confirm");
        let booking = Booking {
            id: self.next_id(),
            uid: self.new_uid(&ask.metadata),
            event_type_id: ask.event_type_id,
            start: ask.start,
            minutes: ask.minutes,
            attendee_name: ask.name,
            attendee_email: if tagged(&ask.email, "cal-managed") { of_platform(&ask.email) } else { ask.email },
            attendee_phone: ask.phone,
            attendee_time_zone: ask.time_zone,
            metadata: ask.metadata,
            status: if confirmed_by_hand { "pending" } else { "accepted" }.to_owned(),
            cancellation_reason: None,
            cancelled_by: None,
            rescheduled_from: None,
            rescheduled_to: None,
            host_absent: false,
            attendee_absent: false,
            created_at: call.at,
            cancelled_at: None,
        };
        let answer = success(201, &render(&booking));
        self.made.push(booking.id);
        self.keep(booking);
        answer
    }

    pub(super) fn standing(&self, reference: &str) -> Vec<Booking> {
        let ours = |booking: &&Booking| booking.metadata.get("paymentId").is_some_and(|id| id == reference);
        self.bookings.values().filter(|booking| booking.status == "accepted").filter(ours).cloned().collect()
    }

    pub(super) fn booking(&self, id: u64) -> Option<&Booking> {
        self.bookings.get(&id)
    }

    pub(super) fn next_id(&self) -> u64 {
        91_001 + self.bookings.len() as u64
    }

    pub(super) fn knows(&self, uid: &str) -> bool {
        self.by_uid.contains_key(uid)
    }

    /// From the payment that it is made for, so that a fixture can name it.
    fn new_uid(&self, metadata: &BTreeMap<String, String>) -> String {
        let uid = metadata.get("paymentId").map(|payment| format!("uid-{payment}"));
        uid.filter(|uid| !self.knows(uid)).unwrap_or_else(|| self.entropy.hex(22))
    }

    pub(super) fn keep(&mut self, booking: Booking) {
        let id = booking.id;
        self.slots.insert((booking.event_type_id, booking.start), id);
        self.by_uid.insert(booking.uid.clone(), id);
        self.by_type.insert((booking.event_type_id, booking.start, id));
        self.bookings.insert(id, booking);
    }

    /// Changes a booking; one that no longer stands gives its slot back.
    pub(super) fn change(&mut self, uid: &str, change: impl FnOnce(&mut Booking)) {
        let Some(booking) = self.by_uid.get(uid).and_then(|id| self.bookings.get_mut(id)) else { return };
        change(booking);
        let slot = (booking.event_type_id, booking.start);
        if booking.status != "accepted" && self.slots.get(&slot) == Some(&booking.id) {
            self.slots.remove(&slot);
        }
    }

    fn list(&self, call: &Call) -> Answer {
        let query = &call.query;
        let number = |name: &str, usual: usize| query.get(name).map_or(Some(usual), |text| text.parse().ok());
        let instant = |name: &str| match query.get(name) {
            None => Some(None),
            Some(text) => text.parse::<Timestamp>().ok().map(Some),
        };
        let (Some(take), Some(skip)) = (number("take", 100).filter(|take| (1..=250).contains(take)), number("skip", 0))
        else {
            return refuse(call, 400, "take must be between 1 and 250, skip must not be negative");
        };
        let (Some(after), Some(before)) = (instant("afterStart"), instant("beforeEnd")) else {
            return refuse(call, 400, "afterStart and beforeEnd must be valid ISO 8601 date strings");
        };
        let kind = match query.get("eventTypeId").map(str::parse::<i64>) {
            Some(Err(_)) => return refuse(call, 400, "eventTypeId must be a number"),
            Some(Ok(kind)) => Some(kind),
            None => None,
        };
        let fits = |booking: &&Booking| {
            call.blind_from.is_none_or(|from| booking.created_at < from)
                && query.get("attendeeEmail").is_none_or(|email| booking.attendee_email.eq_ignore_ascii_case(email))
                && kind.is_none_or(|kind| booking.event_type_id == kind)
                && after.is_none_or(|after| booking.start >= after)
                && before.is_none_or(|before| end(booking) <= before)
                && query
                    .get("status")
                    .is_none_or(|names| names.split(',').any(|name| in_status(booking, name, call.at)))
        };
        let found: Vec<&Booking> = match kind {
            Some(kind) => {
                let first = (kind, after.unwrap_or(Timestamp(i64::MIN)), 0);
                let of_kind = self.by_type.range(first..=(kind, Timestamp(i64::MAX), u64::MAX));
                let span = of_kind.take_while(|(_, start, _)| before.is_none_or(|before| *start <= before));
                span.filter_map(|(_, _, id)| self.bookings.get(id)).filter(fits).collect()
            }
            None => self.bookings.values().filter(fits).collect(),
        };
        let page: Vec<Value> = found.iter().skip(skip).take(take).map(|booking| render(booking)).collect();
        let (total, shown) = (found.len(), page.len());
        let pagination = json!({
            "totalItems": total, "returnedItems": shown, "remainingItems": total.saturating_sub(skip + shown),
            "itemsPerPage": take, "currentPage": skip / take + 1, "totalPages": total.div_ceil(take),
            "hasNextPage": skip + shown < total, "hasPreviousPage": skip > 0,
        });
        Answer::json(200, &json!({ "status": "success", "data": page, "pagination": pagination }))
    }

    /// Whether a search begins with a slot that a tag has put out of reach.
    fn is_down(&self, call: &Call) -> bool {
        let kind = call.query.get("eventTypeId").and_then(|kind| kind.parse().ok());
        let after = call.query.get("afterStart").and_then(|after| after.parse::<Timestamp>().ok());
        kind.zip(after).is_some_and(|(kind, after)| {
            self.down.range((kind, after)..=(kind, after.plus(Duration::from_secs(60)))).next().is_some()
        })
    }

    /// Reads or changes the booking that the path names.
    fn one(&mut self, call: &Call, change: impl FnOnce(&mut Booking) -> Result<(), String>) -> Answer {
        let uid = call.segment(1);
        let Some(booking) = self.by_uid.get(uid).and_then(|id| self.bookings.get_mut(id)) else {
            return refuse(call, 404, &format!("Booking with uid={uid} was not found in the database"));
        };
        let stood = booking.status != "cancelled";
        if let Err(message) = change(booking) {
            return refuse(call, 400, &message);
        }
        if booking.status == "cancelled" {
            if stood {
                self.cancelled.push(booking.id);
            }
            let slot = (booking.event_type_id, booking.start);
            if self.slots.get(&slot) == Some(&booking.id) {
                self.slots.remove(&slot);
            }
        }
        success(200, &render(booking))
    }
}

fn cancel(booking: &mut Booking, call: &Call) -> Result<(), String> {
    if booking.status == "cancelled" {
        return Err("This booking has already been cancelled.".to_owned());
    }
    "cancelled".clone_into(&mut booking.status);
    booking.cancelled_at = Some(call.at);
    let reason = call.json().and_then(|body| body["cancellationReason"].as_str());
    booking.cancellation_reason = reason.map(str::to_owned);
    Ok(())
}

fn mark_absent(booking: &mut Booking, call: &Call) -> Result<(), String> {
    if booking.start > call.at {
        return Err("Bookings can only be marked as absent after their start time.".to_owned());
    }
    let body = call.json().and_then(Value::as_object).ok_or("the body must be a JSON object")?;
    if let Some(absent) = body.get("host").and_then(Value::as_bool) {
        booking.host_absent = absent;
    }
    for attendee in body.get("attendees").and_then(Value::as_array).into_iter().flatten() {
        let named = attendee["email"].as_str().is_some_and(|email| email.eq_ignore_ascii_case(&booking.attendee_email));
        if let Some(absent) = attendee["absent"].as_bool().filter(|_| named) {
            booking.attendee_absent = absent;
        }
    }
    Ok(())
}

/// The address under which Cal.com knows a managed user.
fn of_platform(address: &str) -> String {
    let (local, domain) = address.split_once('@').unwrap_or((address, "example.edu"));
    format!("{local}+{CLIENT}@{domain}")
}

impl StandIn for Cal {
    const PROVIDER: Provider = Provider::Cal;

    fn operation(&self, call: &Call) -> &'static str {
        match (call.method.as_str(), call.segments().as_slice()) {
            ("POST", ["bookings"]) => "bookings.create",
            ("GET", ["bookings"]) => "bookings.list",
            ("GET", ["bookings", _]) => "bookings.get",
            ("POST", ["bookings", _, "cancel"]) => "bookings.cancel",
            ("POST", ["bookings", _, "mark-absent"]) => "bookings.mark_absent",
            _ => "unknown",
        }
    }

    fn magic(&mut self, operation: &str, call: &Call) -> Option<Effect> {
        if operation == "bookings.list" {
            return self.is_down(call).then_some(Effect::ErrorBefore { status: 503 });
        }
        let body = call.json().filter(|_| operation == "bookings.create")?;
        let email = body["attendee"]["email"].as_str()?;
        if tagged(email, "cal-down") {
            let start = body["start"].as_str().and_then(|start| start.parse().ok());
            self.down.extend(body["eventTypeId"].as_i64().zip(start));
        }
        if tagged(email, "cal-down") || tagged(email, "cal-create-down") {
            return Some(Effect::ErrorBefore { status: 503 });
        }
        if tagged(email, "cal-refused") {
            return Some(Effect::Refuse { status: 400, code: exception(400).to_owned(), message: TAKEN.to_owned() });
        }
        let slot = format!("{} {}", body["eventTypeId"], body["start"]);
        let mut first = |tag| tagged(email, tag) && self.struck.insert((tag, email.to_owned(), slot.clone()));
        if first("cal-hang-once") {
            return Some(Effect::HangBefore);
        }
        first("cal-lost").then_some(Effect::DropAfter)
    }

    fn act(&mut self, call: &Call) -> Answer {
        if call.header("cal-api-version") != Some("2024-08-13") {
            return refuse(call, 404, &format!("Cannot {} /v2{}", call.method, call.path));
        }
        let platform = call.header("x-cal-client-id").is_some() && call.header("x-cal-secret-key").is_some();
        if !platform && call.bearer().is_none() {
            return refuse(call, 401, "Invalid authentication: no API key, access token or client credentials.");
        }
        match self.operation(call) {
            "bookings.create" => self.create(call),
            "bookings.list" => self.list(call),
            "bookings.get" => self.one(call, |_| Ok(())),
            "bookings.cancel" => self.one(call, |booking| cancel(booking, call)),
            "bookings.mark_absent" => self.one(call, |booking| mark_absent(booking, call)),
            _ => refuse(call, 404, &format!("Cannot {} /v2{}", call.method, call.path)),
        }
    }

    fn refusal(status: u16, code: &str, message: &str) -> Answer {
        envelope(status, code, message, None)
    }

    fn trouble(status: u16) -> Answer {
        let message = match status {
            429 => "CustomThrottlerGuard - Too many requests. Please try again later.",
            _ => "There was an error, please try again later.",
        };
        envelope(status, exception(status), message, None)
    }

    /// Its throttler names the limit in each header, and sends no `Retry-After`.
    fn limited(secs: u64) -> Answer {
        let answer = Self::trouble(429).header("x-ratelimit-limit-default", "500");
        answer.header("x-ratelimit-remaining-default", "0").header("x-ratelimit-reset-default", secs.to_string())
    }

    fn log(&mut self) -> &mut Log {
        &mut self.log
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use serde_json::{Value, json};

    use crate::sandbox::fault::{Effect, Fault, Provider};
    use crate::sandbox::trial::Trial;
    use crate::transport::Error;

    fn booking(email: &str) -> Value {
        json!({"start": "2026-11-12T15:00:00.000Z", "eventTypeId": 456_123, "metadata": {"paymentId": "1"},
            "attendee": {"name": "Zoë", "email": email, "timeZone": "America/New_York", "language": "en"}})
    }

    async fn create(trial: &Trial, body: &Value) -> (u16, Value) {
        let answer = trial.post_json("/cal/v2/bookings", body, &[]).await;
        (answer.status.as_u16(), Trial::json(&answer))
    }

    async fn found(trial: &Trial, query: &str) -> usize {
        let page = Trial::json(&trial.get(&format!("/cal/v2/bookings?{query}")).await);
        page["data"].as_array().unwrap().len()
    }

    #[tokio::test(start_paused = true)]
    async fn a_slot_is_given_once_and_given_back_by_cancelling() {
        let trial = Trial::new();
        let (status, made) = create(&trial, &booking("zoe@example.edu")).await;
        assert_eq!((status, &made["data"]["metadata"]), (201, &json!({"paymentId": "1"})));
        assert_eq!(made["data"]["end"], "2026-11-12T15:30:00.000Z");
        let (status, taken) = create(&trial, &booking("zoe@example.edu")).await;
        let message = "User either already has booking at this time or is not available";
        assert_eq!((status, &taken["error"]["message"]), (400, &json!(message)));

        let uid = made["data"]["uid"].as_str().unwrap();
        let path = format!("/cal/v2/bookings/{uid}/cancel");
        let cancelled = trial.post_json(&path, &json!({"cancellationReason": "refunded"}), &[]).await;
        assert_eq!(Trial::json(&cancelled)["data"]["status"], "cancelled");
        let again = trial.post_json(&path, &json!({}), &[]).await;
        let message = json!("This booking has already been cancelled.");
        assert_eq!((again.status.as_u16(), &Trial::json(&again)["error"]["message"]), (400, &message));
        assert_eq!(create(&trial, &booking("max@example.edu")).await.0, 201);
        assert_eq!(Trial::json(&trial.get(&format!("/cal/v2/bookings/{uid}")).await)["data"]["status"], "cancelled");
    }

    #[tokio::test(start_paused = true)]
    async fn a_booking_is_found_by_attendee_type_time_and_status() {
        let trial = Trial::new();
        create(&trial, &booking("zoe@example.edu")).await;
        let near = "afterStart=2026-11-12T15:00:00Z&beforeEnd=2026-11-12T15:30:00Z";
        assert_eq!(found(&trial, &format!("eventTypeId=456123&attendeeEmail=ZOE@example.edu&{near}")).await, 1);
        assert_eq!(found(&trial, "eventTypeId=456123&status=upcoming").await, 1);
        assert_eq!(found(&trial, "status=cancelled,past").await, 0);
        assert_eq!(found(&trial, "attendeeEmail=max@example.edu").await, 0);
        assert_eq!(found(&trial, "eventTypeId=456123&afterStart=2026-11-12T15:00:01Z").await, 0);
        assert_eq!(found(&trial, "take=1&skip=1").await, 0);
    }

    #[tokio::test(start_paused = true)]
    async fn who_asks_too_often_is_told_when_the_limit_is_counted_anew() {
        let trial = Trial::new();
        trial.sandbox.inject(Fault::new(Provider::Cal, Effect::RateLimited { retry_after_secs: 43 }));
        let limited = trial.get("/cal/v2/bookings").await;
        let header = |name: &str| limited.headers.get(name).and_then(|value| value.to_str().ok());
        let told = ["limit", "remaining", "reset"].map(|what| header(&format!("x-ratelimit-{what}-default")));
        assert_eq!((limited.status.as_u16(), told), (429, [Some("500"), Some("0"), Some("43")]));
        assert_eq!(header("retry-after"), None);
    }

    #[tokio::test(start_paused = true)]
    async fn neither_the_past_nor_a_stranger_is_booked() {
        let trial = Trial::new();
        let mut past = booking("zoe@example.edu");
        past["start"] = json!("2026-11-05T10:00:00Z");
        assert_eq!(create(&trial, &past).await.1["error"]["message"], "Attempting to book a meeting in the past.");
        let stranger = trial.post_json("/cal/v2/bookings", &past, &[("authorization", "")]).await;
        assert_eq!(stranger.status, 401);
        let old = trial.post_json("/cal/v2/bookings", &past, &[("cal-api-version", "2024-04-15")]).await;
        assert_eq!((old.status.as_u16(), &Trial::json(&old)["status"]), (404, &json!("error")));
    }

    #[tokio::test(start_paused = true)]
    async fn only_the_host_is_marked_absent_and_only_after_the_start() {
        let trial = Trial::new();
        let (_, made) = create(&trial, &booking("zoe@example.edu")).await;
        let path = format!("/cal/v2/bookings/{}/mark-absent", made["data"]["uid"].as_str().unwrap());
        assert_eq!(trial.post_json(&path, &json!({"host": true}), &[]).await.status, 400);
        tokio::time::advance(Duration::from_hours(24 * 8)).await;
        let marked = Trial::json(&trial.post_json(&path, &json!({"host": true}), &[]).await);
        assert_eq!(
            (&marked["data"]["absentHost"], &marked["data"]["attendees"][0]["absent"]),
            (&json!(true), &json!(false))
        );
        assert_eq!(found(&trial, "status=past").await, 1);
    }

    #[tokio::test(start_paused = true)]
    async fn tags_refuse_fail_lose_or_hang_a_booking() {
        let trial = Trial::new();
        let (status, refused) = create(&trial, &booking("zoe+cal-refused@example.edu")).await;
        assert_eq!((status, &refused["error"]["code"]), (400, &json!("BadRequestException")));
        assert_eq!(create(&trial, &booking("zoe+cal-down@example.edu")).await.0, 503);
        let its_slot = "/cal/v2/bookings?eventTypeId=456123&afterStart=2026-11-12T14:59:59Z";
        assert_eq!(trial.get(its_slot).await.status, 503);
        assert_eq!(create(&trial, &booking("zoe+cal-create-down@example.edu")).await.0, 503);
        assert_eq!(found(&trial, "attendeeEmail=zoe%2Bcal-create-down@example.edu").await, 0);

        let hanging = booking("zoe+cal-hang-once@example.edu").to_string();
        let json = [("content-type", "application/json")];
        let silent = trial.try_post("/cal/v2/bookings", &hanging, &json).await;
        assert!(matches!(silent, Err(Error::TimedOut { sent: true, .. })), "{silent:?}");
        assert_eq!(trial.sandbox.ledger().cal.bookings.len(), 0);

        let lost = booking("zoe+cal-lost@example.edu");
        let reset = trial.try_post("/cal/v2/bookings", &lost.to_string(), &json).await;
        assert!(matches!(reset, Err(Error::Reset(_))), "{reset:?}");
        assert_eq!(create(&trial, &lost).await.0, 400);
        assert_eq!(found(&trial, "attendeeEmail=zoe%2Bcal-lost@example.edu").await, 1);
        assert_eq!(
            trial.try_post("/cal/v2/bookings", &hanging, &json).await.unwrap().status,
            400,
            "the slot is gone by now"
        );
    }
}

//! Cal.com's events: what each says of a booking.
//!
//! They carry no id and no version, come enveloped or flat, hardly ever again when lost, and again and again where several
//! subscriptions name one address. So every part of a plan holds when it is applied twice or in another order.

use std::time::Duration;

use bytes::Bytes;
use serde_json::{Value, json};

use crate::ingress::{Meaning, Rejected, sha256, text};
use crate::model::booking::{BookingStatus, NewBooking, Person, RESCHEDULED};
use crate::model::event::{Source, Via};
use crate::model::time::Timestamp;
use crate::store::change::{Change, HOST_NO_SHOW_WORKFLOW, NewEvent, NewRun, PaymentKey, Plan};

/// The workflow that counts a booking, and undoes one that comes after its refund.
pub const BOOKING_CREATED_WORKFLOW: &str = "booking-created";
/// The workflow that settles a session that was called off.
pub const BOOKING_CANCELLED_WORKFLOW: &str = "booking-cancelled";
/// The workflow that pays back what the mentor declined.
pub const BOOKING_REJECTED_WORKFLOW: &str = "booking-rejected";
/// The workflow that counts a session's new time.
pub const BOOKING_RESCHEDULED_WORKFLOW: &str = "booking-rescheduled";
/// The workflow that counts a session's start.
pub const MEETING_STARTED_WORKFLOW: &str = "meeting-started";
/// The workflow that counts a session's end.
pub const MEETING_ENDED_WORKFLOW: &str = "meeting-ended";
/// What Cal.com sends once for a session to which the mentor did not come.
pub const HOST_NO_SHOW: &str = "AFTER_HOSTS_CAL_VIDEO_NO_SHOW";

/// What `body` means. `live` is the mode of this deployment: Cal.com has none.
pub fn plan(body: Bytes, via: Via, live: bool, now: Timestamp) -> Result<Plan, Rejected> {
    let root: Value = serde_json::from_slice(&body).map_err(|error| Rejected::Malformed(error.to_string()))?;
    if !root.is_object() {
        return Err(Rejected::Malformed("the body is not a JSON object".to_owned()));
    }
    let kind = text(&root, "triggerEvent").unwrap_or("unknown").chars().take(100).collect::<String>();
    // Meeting events of older senders are flat: the booking itself, whose createdAt is its own.
    let enveloped = root["payload"].is_object();
    let payload = if enveloped { &root["payload"] } else { &root };
    let created = instant(&root, "createdAt");
    let said_at = match (enveloped, kind.as_str()) {
        (false, "MEETING_STARTED") => instant(payload, "startTime"),
        (false, "MEETING_ENDED") => instant(payload, "endTime"),
        _ => created,
    };
    let at = said_at.unwrap_or(now);
    let hash = sha256(&body);
    let key = uid(payload);
    let external_id = match (&key, created) {
        (Some(uid), Some(created)) => format!("{kind}/{uid}/{created}"),
        _ => format!("{kind}/{}", hex::encode(&hash[..16])),
    };
    let Meaning { disposition, reason, changes } = match key {
        Some(uid) => meaning(&kind, &uid, payload, at),
        None => Meaning::none("it names no booking"),
    };
    let event = NewEvent {
        source: Source::Cal,
        external_id,
        kind,
        livemode: live,
        created_at: at,
        via,
        disposition,
        reason,
        headers: None,
        body_sha256: hash,
        body,
    };
    Ok(Plan { event, changes })
}

fn meaning(kind: &str, uid: &str, payload: &Value, at: Timestamp) -> Meaning {
    let booking = |status| booking(uid, payload, status);
    let run = |workflow| {
        let input = json!({
            "uid": uid, "at": at, "cancelled_by": text(payload, "cancelledBy"),
            "request_reschedule": payload["requestReschedule"] == true, "previous": text(payload, "rescheduleUid"),
            "previous_start": instant(payload, "rescheduleStartTime"),
        });
        Change::Start(NewRun::with_input(workflow, uid, input))
    };
    let known_as = match kind {
        "BOOKING_CREATED" if text(payload, "status") == Some("PENDING") => BookingStatus::Pending,
        "BOOKING_CREATED" | "BOOKING_RESCHEDULED" | "MEETING_STARTED" => BookingStatus::Accepted,
        "BOOKING_REQUESTED" => BookingStatus::Pending,
        "BOOKING_REJECTED" => BookingStatus::Rejected,
        "BOOKING_CANCELLED" => BookingStatus::Cancelled,
        "MEETING_ENDED" => BookingStatus::Completed,
        HOST_NO_SHOW | "AFTER_GUESTS_CAL_VIDEO_NO_SHOW" => BookingStatus::Accepted,
        "BOOKING_NO_SHOW_UPDATED" => return no_show_updated(uid, payload, at),
        "BOOKING_PAID" | "BOOKING_PAYMENT_INITIATED" | "RECORDING_READY" | "RECORDING_TRANSCRIPTION_GENERATED" => {
            return Meaning { changes: link(payload), ..Meaning::none("kept for the record") };
        }
        _ => return Meaning::none("a type without consequences here"),
    };
    if kind == "BOOKING_CANCELLED" && !payload["seatsPerTimeSlot"].is_null() {
        return Meaning::none("one seat of several was given up");
    }
    let mut changes = link(payload);
    // Also while the mentor has not agreed to the new time, or does not: the old one is given up.
    changes.extend(predecessor(payload).filter(|previous| previous.uid != uid).map(Change::Booking));
    changes.extend(booking(known_as).map(Change::Booking));
    match kind {
        "BOOKING_CREATED" => changes.push(run(BOOKING_CREATED_WORKFLOW)),
        "BOOKING_CANCELLED" => changes.push(run(BOOKING_CANCELLED_WORKFLOW)),
        "BOOKING_REJECTED" => changes.push(run(BOOKING_REJECTED_WORKFLOW)),
        "BOOKING_RESCHEDULED" => changes.push(run(BOOKING_RESCHEDULED_WORKFLOW)),
        "MEETING_STARTED" => changes.push(run(MEETING_STARTED_WORKFLOW)),
        "MEETING_ENDED" => changes.push(run(MEETING_ENDED_WORKFLOW)),
        HOST_NO_SHOW => {
            changes.push(Change::Absence { uid: uid.to_owned(), host: Some(true), attendee: None, at });
            // Told once for each host who is missing; settled once.
            changes.push(run(HOST_NO_SHOW_WORKFLOW));
        }
        "AFTER_GUESTS_CAL_VIDEO_NO_SHOW" => {
            changes.push(Change::Absence { uid: uid.to_owned(), host: None, attendee: Some(true), at });
        }
        _ => {}
    }
    Meaning::changes(changes)
}

fn no_show_updated(uid: &str, payload: &Value, at: Timestamp) -> Meaning {
    let said = payload["attendees"].as_array().map(|all| all.iter().any(|attendee| attendee["noShow"] == true));
    Meaning::changes(vec![Change::Absence { uid: uid.to_owned(), host: None, attendee: said, at }])
}

/// The payment that a booking of ours carries in its metadata.
fn link(payload: &Value) -> Vec<Change> {
    let metadata = &payload["metadata"];
    let ours = |id: &&str| id.starts_with("pi_") || id.starts_with("cs_");
    let reference = text(metadata, "sessionId").filter(ours).or_else(|| text(metadata, "paymentId").filter(ours));
    reference.map(|id| Change::Link(PaymentKey::Reference(id.to_owned()))).into_iter().collect()
}

/// The booking as far as the payload tells; none without its times.
fn booking(uid: &str, payload: &Value, status: BookingStatus) -> Option<NewBooking> {
    let start = instant(payload, "startTime")?;
    let minutes = payload["length"].as_u64().unwrap_or(30);
    let metadata = &payload["metadata"];
    let word = |key: &str| text(metadata, key).filter(|id| !id.is_empty()).map(str::to_owned);
    Some(NewBooking {
        uid: uid.to_owned(),
        cal_id: payload["bookingId"].as_i64().or_else(|| payload["id"].as_i64()).unwrap_or(0),
        status,
        event_type_id: payload["eventTypeId"].as_i64().or_else(|| payload["eventType"]["id"].as_i64()),
        start,
        end: instant(payload, "endTime").unwrap_or_else(|| start.plus(Duration::from_secs(minutes * 60))),
        title: text(payload, "title").unwrap_or_default().to_owned(),
        meeting_url: word("videoCallUrl"),
        organizer: organizer(payload),
        attendees: attendees(payload),
        mentor_user_id: word("mentorUserId"),
        actor_user_id: word("actorUserId"),
        replaces: text(payload, "rescheduleUid").map(str::to_owned),
        cancelled_by: text(payload, "cancelledBy").map(str::to_owned),
        reason: text(payload, "cancellationReason").or_else(|| text(payload, "rejectionReason")).map(str::to_owned),
    })
}

/// What a booking took the place of: Cal.com sends no cancellation for it.
fn predecessor(payload: &Value) -> Option<NewBooking> {
    let uid = text(payload, "rescheduleUid")?;
    let mut previous = booking(uid, payload, BookingStatus::Cancelled)?;
    previous.cal_id = payload["rescheduleId"].as_i64().unwrap_or(0);
    previous.start = instant(payload, "rescheduleStartTime").unwrap_or(previous.start);
    previous.end = instant(payload, "rescheduleEndTime").unwrap_or(previous.end);
    previous.replaces = None;
    previous.cancelled_by = text(payload, "rescheduledBy").map(str::to_owned);
    previous.reason = Some(RESCHEDULED.to_owned());
    Some(previous)
}

fn organizer(payload: &Value) -> Option<Person> {
    let found = [&payload["organizer"], &payload["user"]].into_iter().find(|value| value.is_object());
    let person = found.map(person).or_else(|| {
        let email = text(payload, "hostEmail").or_else(|| text(payload, "userPrimaryEmail"))?;
        Some(Person { email: email.to_owned(), ..Person::default() })
    })?;
    Some(Person { id: person.id.or_else(|| payload["userId"].as_i64()), ..person })
}

fn attendees(payload: &Value) -> Vec<Person> {
    payload["attendees"].as_array().into_iter().flatten().filter(|value| value.is_object()).map(person).collect()
}

fn person(value: &Value) -> Person {
    let word = |key: &str| text(value, key).unwrap_or_default().to_owned();
    Person {
        id: value["id"].as_i64(),
        name: word("name"),
        email: word("email"),
        time_zone: text(value, "timeZone").map(str::to_owned),
    }
}

/// The uid, or Cal.com's number where an event has nothing else.
fn uid(payload: &Value) -> Option<String> {
    let word = |key: &str| text(payload, key).filter(|uid| !uid.is_empty()).map(str::to_owned);
    word("uid").or_else(|| word("bookingUid")).or_else(|| payload["bookingId"].as_i64().map(|id| id.to_string()))
}

fn instant(value: &Value, key: &str) -> Option<Timestamp> {
    text(value, key)?.parse().ok()
}

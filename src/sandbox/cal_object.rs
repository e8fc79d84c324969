//! Cal.com's objects and errors as they look on the wire.

use std::time::Duration;

use serde_json::{Value, json};

use crate::model::time::Timestamp;
use crate::sandbox::answer::Answer;
use crate::sandbox::call::Call;
use crate::sandbox::ledger::Booking;

pub(super) fn end(booking: &Booking) -> Timestamp {
    booking.start.plus(Duration::from_secs(u64::from(booking.minutes) * 60))
}

pub(super) fn in_status(booking: &Booking, name: &str, now: Timestamp) -> bool {
    let live = booking.status == "accepted";
    match name.trim() {
        "upcoming" => live && end(booking) >= now,
        "past" => live && end(booking) < now,
        "cancelled" => !live,
        _ => false,
    }
}

pub(super) fn render(booking: &Booking) -> Value {
    let url = format!("https://app.cal.com/video/{}", booking.uid);
    let host = 70_000 + booking.event_type_id % 10_000;
    let mut body = json!({
        "id": booking.id,
        "uid": booking.uid,
        "title": format!("Mentor Session between Mentor {host} and {}", booking.attendee_name),
        "description": "",
        "hosts": [{ "id": host, "name": format!("Mentor {host}"), "email": format!("mentor-{host}@example.com"),
            "username": format!("mentor-{host}"), "timeZone": "America/Detroit" }],
        "status": booking.status,
        "start": booking.start.to_string(),
        "end": end(booking).to_string(),
        "duration": booking.minutes,
        "eventTypeId": booking.event_type_id,
        "eventType": { "id": booking.event_type_id, "slug": "mentor-session-30" },
        "meetingUrl": url,
        "location": url,
        "absentHost": booking.host_absent,
        "createdAt": booking.created_at.to_string(),
        "updatedAt": booking.cancelled_at.unwrap_or(booking.created_at).to_string(),
        "rating": null,
        "icsUid": format!("{}@Cal.com", booking.uid),
        "attendees": [{ "name": booking.attendee_name, "email": booking.attendee_email,
            "timeZone": booking.attendee_time_zone, "language": "en", "absent": booking.attendee_absent,
            "phoneNumber": booking.attendee_phone }],
        "guests": [],
        "bookingFieldsResponses": { "name": booking.attendee_name, "email": booking.attendee_email, "guests": [] },
        "metadata": booking.metadata,
    });
    if let Some(uid) = &booking.rescheduled_from {
        body["rescheduledFromUid"] = json!(uid);
    }
    if let Some(uid) = &booking.rescheduled_to {
        body["rescheduledToUid"] = json!(uid);
    }
    if booking.status == "cancelled" {
        body["cancellationReason"] = json!(booking.cancellation_reason.as_deref().unwrap_or_default());
        body["cancelledByEmail"] = json!(booking.cancelled_by);
    }
    body
}

pub(super) fn success(status: u16, data: &Value) -> Answer {
    Answer::json(status, &json!({ "status": "success", "data": data }))
}

pub(super) fn refuse(call: &Call, status: u16, message: &str) -> Answer {
    envelope(status, exception(status), message, Some(call))
}

pub(super) fn envelope(status: u16, code: &str, message: &str, call: Option<&Call>) -> Answer {
    let mut body = json!({ "status": "error", "error": { "code": code, "message": message } });
    if let Some(call) = call {
        body["timestamp"] = json!(call.at.to_string());
        body["path"] = json!(format!("/v2{}", call.target()));
    }
    Answer::json(status, &body)
}

pub(super) fn exception(status: u16) -> &'static str {
    match status {
        400 => "BadRequestException",
        401 => "UnauthorizedException",
        403 => "ForbiddenException",
        404 => "NotFoundException",
        409 => "ConflictException",
        422 => "UnprocessableEntityException",
        429 => "ThrottlerException",
        _ => "InternalServerErrorException",
    }
}

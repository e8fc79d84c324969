//! What happens in the calendar by itself: people who book, move and call off, as the world's events tell.

use std::collections::BTreeMap;

use serde_json::Value;

use crate::model::time::Timestamp;
use crate::sandbox::cal::Cal;
use crate::sandbox::ledger::Booking;

impl Cal {
    /// Takes an event of Cal.com's for what has happened. What is no such event is left alone.
    pub(super) fn observe(&mut self, event: &Value) {
        let Some(kind) = event["triggerEvent"].as_str() else { return };
        let payload = &event["payload"];
        let Some(uid) = payload["uid"].as_str() else { return };
        let at = instant(&event["createdAt"]).unwrap_or(Timestamp(0));
        match kind {
            "BOOKING_CREATED" | "BOOKING_REQUESTED" => self.appear(uid, payload, at),
            "BOOKING_CANCELLED" => {
                self.end(uid, "cancelled", &payload["cancellationReason"], &payload["cancelledBy"], at);
            }
            "BOOKING_REJECTED" => self.end(uid, "rejected", &payload["rejectionReason"], &Value::Null, at),
            "BOOKING_RESCHEDULED" => {
                let previous = payload["rescheduleUid"].as_str().unwrap_or_default();
                self.end(previous, "cancelled", &Value::Null, &Value::Null, at);
                self.change(previous, |booking| booking.rescheduled_to = Some(uid.to_owned()));
                self.appear(uid, payload, at);
            }
            "AFTER_HOSTS_CAL_VIDEO_NO_SHOW" => self.change(uid, |booking| booking.host_absent = true),
            _ => {}
        }
    }

    fn appear(&mut self, uid: &str, payload: &Value, at: Timestamp) {
        let (Some(start), Some(end)) = (instant(&payload["startTime"]), instant(&payload["endTime"])) else { return };
        if self.knows(uid) {
            return;
        }
        let attendee = &payload["attendees"][0];
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        let metadata = payload["metadata"].as_object().into_iter().flatten();
        let metadata: BTreeMap<String, String> = metadata.map(|(key, value)| (key.clone(), text(value))).collect();
        self.keep(Booking {
            id: payload["bookingId"].as_u64().unwrap_or_else(|| self.next_id()),
            uid: uid.to_owned(),
            event_type_id: payload["eventTypeId"].as_i64().unwrap_or(0),
            start,
            minutes: u32::try_from(end.since(start).as_secs() / 60).unwrap_or(30),
            attendee_name: text(&attendee["name"]),
            attendee_email: text(&attendee["email"]),
            attendee_phone: attendee["phoneNumber"].as_str().map(str::to_owned),
            attendee_time_zone: text(&attendee["timeZone"]),
            metadata,
            status: "accepted".to_owned(),
            cancellation_reason: None,
            cancelled_by: None,
            rescheduled_from: payload["rescheduleUid"].as_str().map(str::to_owned),
            rescheduled_to: None,
            host_absent: false,
            attendee_absent: false,
            created_at: at,
            cancelled_at: None,
        });
    }

    fn end(&mut self, uid: &str, status: &str, reason: &Value, by: &Value, at: Timestamp) {
        self.change(uid, |booking| {
            if booking.status == "accepted" {
                status.clone_into(&mut booking.status);
                booking.cancelled_at = Some(at);
                booking.cancellation_reason = reason.as_str().map(str::to_owned);
                booking.cancelled_by = by.as_str().map(str::to_owned);
            }
        });
    }
}

fn instant(value: &Value) -> Option<Timestamp> {
    value.as_str()?.parse().ok()
}

//! Cal.com: bookings (API v2, version 2024-08-13). It knows no idempotency keys: look before booking again.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use http::Method;
use secrecy::{ExposeSecret, SecretString};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Deserializer};
use serde_json::json;
use url::Url;

use crate::model::checkout::Attendee;
use crate::model::time::Timestamp;
use crate::mutant::{Mutant, is_out};
use crate::observe::metrics::Metrics;
use crate::provider::ProviderName;
use crate::provider::client::{Client, Draft, parse};
use crate::provider::error::{Call, Error};
use crate::provider::verdict::CALLED_OFF_ALREADY;
use crate::transport::Transport;

const API_VERSION: &str = "2024-08-13";
const TIMEOUT: Duration = Duration::from_secs(20);
const PAGE: usize = 100;
const MOST_PAGES: usize = 10;
/// How often a booking that is to be called off was moved at most.
const MOST_MOVES: usize = 5;

/// A platform client of Cal.com.
#[derive(Clone)]
pub struct Cal {
    client: Client,
    client_id: String,
    secret_key: SecretString,
}

/// A booking to be made.
#[derive(Debug, Clone)]
pub struct NewBooking<'a> {
    /// When it begins.
    pub start: Timestamp,
    /// Cal.com's event type.
    pub event_type_id: i64,
    /// Who books. A phone number that is not international is left out rather than refused.
    pub attendee: &'a Attendee,
    /// What it carries, so that it can be found again.
    pub metadata: BTreeMap<&'static str, &'a str>,
}

/// A booking as Cal.com has it.
#[derive(Debug, Clone, Deserialize)]
pub struct CalBooking {
    /// The key.
    pub uid: String,
    /// The number.
    pub id: i64,
    /// `accepted`, `pending`, `cancelled`, `rejected`, or a word not known yet.
    pub status: String,
    /// When it begins.
    #[serde(deserialize_with = "instant")]
    pub start: Timestamp,
    /// When it ends.
    #[serde(deserialize_with = "instant")]
    pub end: Timestamp,
    /// What it is called.
    #[serde(default)]
    pub title: String,
    /// Where to meet.
    #[serde(default, rename = "meetingUrl")]
    pub meeting_url: Option<String>,
    /// Who hosts.
    #[serde(default)]
    pub hosts: Vec<Participant>,
    /// Who comes.
    #[serde(default)]
    pub attendees: Vec<Participant>,
    /// What it was made with.
    #[serde(default)]
    pub metadata: BTreeMap<String, serde_json::Value>,
    /// What took its place.
    #[serde(default, rename = "rescheduledToUid")]
    pub moved_to: Option<String>,
    /// Who called it off: an address.
    #[serde(default, rename = "cancelledByEmail")]
    pub cancelled_by: Option<String>,
    /// Why.
    #[serde(default, rename = "cancellationReason")]
    pub reason: Option<String>,
}

/// As much of a booking as tells whether it stands, and where.
#[derive(Deserialize)]
struct Whereabouts {
    status: String,
    #[serde(default, rename = "rescheduledToUid")]
    moved_to: Option<String>,
}

/// Who hosts a booking, or comes to it.
#[derive(Debug, Clone, Deserialize)]
pub struct Participant {
    /// Cal.com's number; of one who is gone it says `unknown`.
    #[serde(default, deserialize_with = "number")]
    pub id: Option<i64>,
    /// What they are called.
    #[serde(default)]
    pub name: Option<String>,
    /// Where to write.
    #[serde(default)]
    pub email: Option<String>,
    /// Their IANA zone.
    #[serde(default, rename = "timeZone")]
    pub time_zone: Option<String>,
}

/// A page of bookings.
#[derive(Debug)]
pub struct Found {
    /// As Cal.com has them.
    pub bookings: Vec<serde_json::Value>,
    /// Whether there is another page.
    pub more: bool,
}

#[derive(Deserialize)]
struct Envelope<T> {
    status: String,
    data: T,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum OneOrMany {
    One(Box<CalBooking>),
    Many(Vec<CalBooking>),
}

impl Cal {
    /// A client; `base` ends in `/v2`.
    pub fn new(transport: Arc<dyn Transport>, base: Url, client_id: String, secret_key: SecretString) -> Self {
        Self { client: Client::new(transport, base, TIMEOUT), client_id, secret_key }
    }

    /// The same, with its calls counted and timed.
    #[must_use]
    pub fn metered(mut self, metrics: Metrics) -> Self {
        self.client = self.client.metered(metrics);
        self
    }

    /// Books. A repeat is refused as `slot_taken` or makes a second booking: look first.
    pub async fn create_booking(&self, new: &NewBooking<'_>, with_phone: bool) -> Result<CalBooking, Error> {
        let call = Call::change(ProviderName::Cal, "bookings.create");
        let mut attendee = json!({
            "name": new.attendee.name, "email": new.attendee.email, "timeZone": new.attendee.time_zone, "language": "en",
        });
        if with_phone && let Some(phone) = new.attendee.phone.as_deref().and_then(international) {
            attendee["phoneNumber"] = phone.into();
        }
        let body = json!({
            "start": new.start.to_string(), "eventTypeId": new.event_type_id, "attendee": attendee, "metadata": new.metadata,
        });
        let private = [new.attendee.name.as_str(), new.attendee.email.as_str()];
        let draft = self.draft(call, Method::POST, &["bookings"]).json(&body).hiding(&private);
        let envelope: Envelope<OneOrMany> = parse(call, &self.client.send(draft).await?)?;
        let booking = match envelope.data {
            OneOrMany::One(booking) => Some(*booking),
            OneOrMany::Many(bookings) => bookings.into_iter().next(),
        };
        booking
            .filter(|booking| envelope.status == "success" && !booking.uid.is_empty())
            .ok_or_else(|| call.unreadable("success without a booking"))
    }

    /// Bookings of an event type that begin at `start`, whatever their status and whoever comes: Cal.com may know an attendee by another
    /// address than the one that was booked under.
    pub async fn bookings(&self, event_type_id: i64, start: Timestamp) -> Result<Vec<CalBooking>, Error> {
        let call = Call::read(ProviderName::Cal, "bookings.list");
        let mut all = Vec::new();
        for page in 0..MOST_PAGES {
            let query = url::form_urlencoded::Serializer::new(String::new())
                .append_pair("eventTypeId", &event_type_id.to_string())
                .append_pair("afterStart", &start.minus(Duration::from_secs(1)).to_string())
                .append_pair("beforeEnd", &start.plus(Duration::from_secs(24 * 3600)).to_string())
                .append_pair("take", &PAGE.to_string())
                .append_pair("skip", &(page * PAGE).to_string())
                .finish();
            let draft = self.draft(call, Method::GET, &["bookings"]).query(&query);
            let envelope: Envelope<Vec<CalBooking>> = parse(call, &self.client.send(draft).await?)?;
            let last = envelope.data.len() < PAGE;
            all.extend(envelope.data.into_iter().filter(|booking| booking.start == start));
            if last {
                return Ok(all);
            }
        }
        Err(call.unreadable("the list of bookings does not end"))
    }

    /// A booking as it is, whatever its status; none if Cal.com has none of this uid.
    pub async fn booking<T: DeserializeOwned>(&self, uid: &str) -> Result<Option<T>, Error> {
        let call = Call::read(ProviderName::Cal, "bookings.get");
        let answer = match self.client.send(self.draft(call, Method::GET, &["bookings", uid])).await {
            Err(error) if error.failure.status == Some(404) => return Ok(None),
            answer => answer?,
        };
        Ok(Some(parse::<Envelope<T>>(call, &answer)?.data))
    }

    /// A page of the bookings that begin within a span, whatever their status, as they are.
    pub async fn bookings_between(&self, from: Timestamp, until: Timestamp, skip: usize) -> Result<Found, Error> {
        let call = Call::read(ProviderName::Cal, "bookings.list");
        let query = url::form_urlencoded::Serializer::new(String::new())
            .append_pair("afterStart", &from.to_string())
            .append_pair("beforeEnd", &until.to_string())
            .append_pair("take", &PAGE.to_string())
            .append_pair("skip", &skip.to_string())
            .finish();
        let draft = self.draft(call, Method::GET, &["bookings"]).query(&query);
        let envelope: Envelope<Vec<serde_json::Value>> = parse(call, &self.client.send(draft).await?)?;
        Ok(Found { more: envelope.data.len() >= PAGE, bookings: envelope.data })
    }

    /// Calls a booking off, or what it was moved to: its uid. What is called off already is as wanted.
    pub async fn cancel_booking(&self, uid: &str, reason: &str) -> Result<String, Error> {
        let mut uid = uid.to_owned();
        for _ in 0..MOST_MOVES {
            let refused = match self.cancel(&uid, reason).await {
                Err(error) if matches!(error.failure.status, Some(400 | 404)) => error,
                answer => return answer.map(|()| uid),
            };
            if is_out(Mutant::CancelLookUp) {
                return Err(refused);
            }
            // Cal.com says the same of one that was moved: the session stands elsewhere.
            let already = refused.code() == CALLED_OFF_ALREADY;
            match self.booking::<Whereabouts>(&uid).await {
                Ok(Some(Whereabouts { moved_to: Some(next), .. })) => uid = next,
                Ok(Some(found)) if already || found.status == "cancelled" => return Ok(uid),
                Ok(None) if already => return Ok(uid),
                Err(unread) if already => return Err(unread),
                Ok(_) | Err(_) => return Err(refused),
            }
        }
        Err(Call::read(ProviderName::Cal, "bookings.get").unreadable("the booking was moved again and again"))
    }

    async fn cancel(&self, uid: &str, reason: &str) -> Result<(), Error> {
        let call = Call::change(ProviderName::Cal, "bookings.cancel");
        let body = json!({ "cancellationReason": reason });
        let draft = self.draft(call, Method::POST, &["bookings", uid, "cancel"]).json(&body);
        self.client.send(draft).await.map(drop)
    }

    /// Marks the host as absent, and nobody else. Refused before the start.
    pub async fn mark_host_absent(&self, uid: &str) -> Result<(), Error> {
        let call = Call::change(ProviderName::Cal, "bookings.mark_absent");
        let draft = self.draft(call, Method::POST, &["bookings", uid, "mark-absent"]).json(&json!({ "host": true }));
        self.client.send(draft).await.map(drop)
    }

    fn draft<'a>(&self, call: Call, method: Method, path: &[&str]) -> Draft<'a> {
        self.client
            .draft(call, method, path)
            .header("cal-api-version", API_VERSION)
            .header("x-cal-client-id", &self.client_id)
            .header("x-cal-secret-key", self.secret_key.expose_secret())
    }
}

/// The number in the form Cal.com takes, or none: a checkout accepts national formats, which it refuses.
pub fn international(phone: &str) -> Option<String> {
    let compact: String = phone.chars().filter(|c| !matches!(c, ' ' | '-' | '(' | ')' | '.')).collect();
    let digits = compact.strip_prefix('+')?;
    ((7..=15).contains(&digits.len()) && digits.bytes().all(|b| b.is_ascii_digit())).then_some(compact)
}

fn instant<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Timestamp, D::Error> {
    String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
}

fn number<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<i64>, D::Error> {
    Ok(serde_json::Value::deserialize(deserializer)?.as_i64())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_host_who_is_gone_has_no_number() {
        let host =
            |id: &str| serde_json::from_str::<Participant>(&format!(r#"{{"id":{id},"name":"unknown"}}"#)).unwrap().id;
        assert_eq!((host("7"), host(r#""unknown""#), host("null")), (Some(7), None, None));
    }

    #[test]
    fn a_phone_is_sent_only_in_the_form_cal_takes() {
        assert_eq!(international("+1 (555) 555-0123").as_deref(), Some("+15555550123"));
        for phone in ["555 555 0123", "", "+", "+12345", "+1234567890123456", "+1555abc0123"] {
            assert_eq!(international(phone), None, "{phone}");
        }
    }
}

//! What Cal.com demands of a booking before it looks at the calendar.

use std::collections::BTreeMap;

use serde_json::{Map, Value};

use crate::model::time::Timestamp;

const KNOWN: [&str; 10] = [
    "start",
    "eventTypeId",
    "attendee",
    "lengthInMinutes",
    "guests",
    "location",
    "meetingUrl",
    "metadata",
    "bookingFieldsResponses",
    "emailVerificationCode",
];

/// A booking as asked for, well-formed.
#[derive(Debug)]
pub(super) struct Ask {
    pub(super) event_type_id: i64,
    pub(super) start: Timestamp,
    pub(super) minutes: u32,
    pub(super) name: String,
    pub(super) email: String,
    pub(super) phone: Option<String>,
    pub(super) time_zone: String,
    pub(super) metadata: BTreeMap<String, String>,
}

impl Ask {
    /// The booking, or the message of the refusal.
    pub(super) fn read(body: Option<&Value>) -> Result<Self, String> {
        let body = body.and_then(Value::as_object).ok_or("the body must be a JSON object")?;
        if let Some(name) = body.keys().find(|name| !KNOWN.contains(&name.as_str())) {
            return Err(format!("property {name} should not exist"));
        }
        let start = body.get("start").and_then(Value::as_str).and_then(|start| start.parse().ok());
        let attendee = body.get("attendee").and_then(Value::as_object).ok_or("attendee must be an object")?;
        let (email, phone) = (text(attendee, "email"), text(attendee, "phoneNumber"));
        if email.is_none() && phone.is_none() {
            return Err("attendee: email or phoneNumber must be provided".to_owned());
        }
        if phone.is_some_and(|phone| !is_international(phone)) {
            return Err("Invalid phone number format. Please use international format.".to_owned());
        }
        if email.is_some_and(|email| !is_address(email)) {
            return Err("attendee.email must be an email".to_owned());
        }
        let zone = text(attendee, "timeZone")
            .filter(|zone| is_zone(zone))
            .ok_or("attendee.timeZone must be a valid IANA time-zone")?;
        let minutes = body.get("lengthInMinutes").map_or(Some(30), Value::as_u64);
        Ok(Self {
            event_type_id: body.get("eventTypeId").and_then(Value::as_i64).ok_or("eventTypeId must be a number")?,
            start: start.ok_or("start must be a valid ISO 8601 date string")?,
            minutes: minutes.and_then(|minutes| minutes.try_into().ok()).ok_or("lengthInMinutes must be a number")?,
            name: text(attendee, "name").ok_or("attendee.name must be a string")?.to_owned(),
            email: email.unwrap_or_default().to_owned(),
            phone: phone.map(str::to_owned),
            time_zone: zone.to_owned(),
            metadata: metadata(body.get("metadata"))?,
        })
    }
}

/// A field that is there and not empty. A wrong type counts as absent.
fn text<'a>(object: &'a Map<String, Value>, name: &str) -> Option<&'a str> {
    object.get(name).and_then(Value::as_str).filter(|text| !text.trim().is_empty())
}

fn is_international(phone: &str) -> bool {
    phone.strip_prefix('+').is_some_and(|digits| {
        (7..=15).contains(&digits.len()) && digits.bytes().all(|byte| byte.is_ascii_digit()) && !digits.starts_with('0')
    })
}

fn is_address(email: &str) -> bool {
    let parts = email.split_once('@');
    parts.is_some_and(|(local, domain)| !local.is_empty() && domain.contains('.') && !domain.contains('@'))
        && !email.contains(char::is_whitespace)
}

fn is_zone(name: &str) -> bool {
    jiff::tz::TimeZone::get(name).is_ok()
}

fn metadata(value: Option<&Value>) -> Result<BTreeMap<String, String>, String> {
    let refusal =
        "Metadata must have at most 50 keys, each key up to 40 characters, and string values up to 500 characters.";
    let pairs = match value {
        None => return Ok(BTreeMap::new()),
        Some(value) => value.as_object().filter(|pairs| pairs.len() <= 50).ok_or(refusal)?,
    };
    let fits = |(key, value): (&String, &Value)| {
        let value = value.as_str().filter(|value| value.chars().count() <= 500 && key.chars().count() <= 40);
        value.map(|value| (key.clone(), value.to_owned())).ok_or_else(|| refusal.to_owned())
    };
    pairs.iter().map(fits).collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn each_wrong_field_is_refused_by_name() {
        let good = json!({"start": "2026-11-12T15:00:00Z", "eventTypeId": 1, "metadata": {"paymentId": "7"},
            "attendee": {"name": "Zoë", "email": "zoe@example.edu", "timeZone": "America/New_York", "phoneNumber": "+15555550123"}});
        assert_eq!(Ask::read(Some(&good)).unwrap().metadata["paymentId"], "7");
        for (path, value, word) in [
            ("/start", json!("soon"), "start"),
            ("/eventTypeId", json!("1"), "eventTypeId"),
            ("/metadata", json!({"paymentId": 7}), "Metadata"),
            ("/attendee/name", json!(""), "name"),
            ("/attendee/email", json!("zoe"), "email"),
            ("/attendee/timeZone", json!("Mars/Olympus"), "timeZone"),
            ("/attendee/phoneNumber", json!("(555) 555-0123"), "phone"),
            ("/attendee/phoneNumber", json!("+123456"), "phone"),
        ] {
            let mut bad = good.clone();
            *bad.pointer_mut(path).unwrap() = value;
            let refusal = Ask::read(Some(&bad)).unwrap_err();
            assert!(refusal.contains(word), "{path}: {refusal}");
        }
    }
}

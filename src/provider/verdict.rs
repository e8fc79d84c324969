//! The one place that says what an answer, or its absence, means.
//!
//! | outcome | of a change | of a read |
//! |---|---|---|
//! | no connection, gate closed | transient: nothing was sent | transient |
//! | time-out, connection lost | unknown | transient |
//! | 5xx | unknown | transient |
//! | 429, Stripe 409 and 424, Resend 409 in progress | transient | transient |
//! | 401, 403 | transient, code `credentials`: it is ours to mend, so work waits and nothing is compensated | the same |
//! | other 4xx | permanent; Cal.com: only if on its short list | the same |

use std::time::Duration;

use serde_json::Value;

use crate::model::failure::{CREDENTIALS, FailureKind};
use crate::mutant::{Mutant, is_out};
use crate::provider::ProviderName;
use crate::provider::error::{Call, Error};
use crate::provider::retry_after::{CAL_BLOCK, wait};
use crate::transport::{self, Response};

/// A spent mail quota does not come back within a backoff.
const QUOTA_WAIT: Duration = Duration::from_secs(3600);

/// The one call of Cal.com whose refusal decides what becomes of a payment.
const BOOK: &str = "bookings.create";
const CALL_OFF: &str = "bookings.cancel";

/// The code of Cal.com's refusal to call off what is called off.
pub(super) const CALLED_OFF_ALREADY: &str = "called_off_already";

pub(crate) fn verdict(
    call: Call,
    outcome: Result<Response, transport::Error>,
    private: &[&str],
) -> Result<Response, Error> {
    let answer = match outcome {
        Ok(answer) if answer.status.is_success() => return Ok(answer),
        Ok(answer) => answer,
        Err(error) => return Err(no_answer(call, &error)),
    };
    let status = answer.status.as_u16();
    let said = Said::read(&answer);
    let (kind, code) = classify(call, status, &said, &answer);
    let message = format!("{call}: {} ({status}): {}", code, said.message);
    let usual = (call.provider == ProviderName::Cal && status == 429).then_some(CAL_BLOCK);
    let mut error = call.failed(kind, &code, &message, private).after(wait(&answer).or(usual));
    if code == "quota" {
        error = error.after(Some(QUOTA_WAIT));
    }
    error.failure.status = Some(status);
    error.replayed = header(&answer, "idempotent-replayed") == Some("true");
    error.request_id = header(&answer, "request-id").map(str::to_owned);
    Err(error)
}

fn no_answer(call: Call, error: &transport::Error) -> Error {
    let kind = if error.may_have_happened() { call.in_doubt() } else { FailureKind::Transient };
    let kind = if is_out(Mutant::Unknown) && kind == FailureKind::Unknown { FailureKind::Permanent } else { kind };
    let (code, wait) = match error {
        transport::Error::Connect(_) => ("no_connection", None),
        transport::Error::TimedOut { .. } => ("timeout", None),
        transport::Error::Reset(_) => ("connection_lost", None),
        transport::Error::TooLarge => ("answer_too_large", None),
        transport::Error::Refused { code, retry_after } => (*code, Some(*retry_after)),
    };
    call.failed(kind, code, &format!("{call}: {error}"), &[]).after(wait)
}

fn classify(call: Call, status: u16, said: &Said, answer: &Response) -> (FailureKind, String) {
    let code = said.code.clone().unwrap_or_else(|| format!("http_{status}"));
    let should_retry = header(answer, "stripe-should-retry");
    match (call.provider, status) {
        (_, 401 | 403) => (FailureKind::Transient, CREDENTIALS.to_owned()),
        (ProviderName::Resend, 429) if code.contains("quota") => (FailureKind::Transient, "quota".to_owned()),
        (_, 429) => (FailureKind::Transient, "rate_limited".to_owned()),
        (ProviderName::Posthog, 503) => (FailureKind::Transient, code),
        (_, 500..) => (call.in_doubt(), code),
        (_, 408) => (call.in_doubt(), code),
        (ProviderName::Cal, _) => cal_refusal(call, status, &said.message),
        (ProviderName::Stripe, 409 | 424) => (FailureKind::Transient, code),
        (ProviderName::Stripe, 400) if matches!(code.as_str(), "rate_limit" | "lock_timeout") => {
            (FailureKind::Transient, code)
        }
        (ProviderName::Stripe, _) if should_retry == Some("true") => (FailureKind::Transient, code),
        (ProviderName::Resend, 409) if code == "concurrent_idempotent_requests" => (FailureKind::Transient, code),
        _ => (FailureKind::Permanent, code),
    }
}

/// A short list of Cal.com's refusals counts as definite, each by what it says: a wrong address, a retired route and whatever
/// stands before Cal.com answer with the same statuses. Any other is tried again and then shown to a person: it never starts a
/// refund by itself, since its meaning is not known.
fn cal_refusal(call: Call, status: u16, message: &str) -> (FailureKind, String) {
    let message = message.to_lowercase().replace('_', " ");
    let has = |part: &str| message.contains(part);
    let taken = has("already has booking") || has("already has a booking");
    let code = match (call.operation, status) {
        (BOOK, 400) if taken || has("not available") => "slot_taken",
        (BOOK, 409) if taken || has("booking conflict") || has("record that already exists") => "slot_taken",
        (BOOK, 400) if has("in the past") => "in_the_past",
        (BOOK, 400) if has("can't be booked") || has("out of bounds") => "out_of_bounds",
        (BOOK, 400) if has("phone") => "phone_invalid",
        (BOOK, 400) if has("max") && has("booking") => "not_bookable",
        (BOOK, 404) if has("event type") && has("not found") => "event_type_missing",
        (BOOK, 422) if has("no hosts") => "not_bookable",
        (CALL_OFF, 400) if has("been cancel") && has("already") => CALLED_OFF_ALREADY,
        (_, 404) if has("booking with uid") && (has("not found") || has("does not exist")) => "booking_missing",
        _ => return (FailureKind::Transient, "unrecognised_refusal".to_owned()),
    };
    (FailureKind::Permanent, code.to_owned())
}

/// What the body says, in whichever of the providers' shapes.
struct Said {
    code: Option<String>,
    message: String,
}

impl Said {
    fn read(answer: &Response) -> Self {
        let Ok(body) = serde_json::from_slice::<Value>(&answer.body) else {
            return Self { code: None, message: String::from_utf8_lossy(&answer.body).chars().take(300).collect() };
        };
        let error = &body["error"];
        let text = |value: &Value| value.as_str().filter(|text| !text.is_empty()).map(str::to_owned);
        let code = text(&error["code"]).or_else(|| text(&error["type"])).or_else(|| text(&body["name"]));
        let message = text(&error["message"]).or_else(|| text(&body["message"])).unwrap_or_default();
        Self { code, message }
    }
}

fn header<'a>(answer: &'a Response, name: &str) -> Option<&'a str> {
    answer.headers.get(name)?.to_str().ok()
}

#[cfg(test)]
mod tests {
    use proptest::collection::vec;
    use proptest::prelude::{any, prop_assert, prop_assert_eq, proptest};
    use proptest::sample::select;

    use super::*;
    use crate::provider::script::answer;

    fn kind(call: Call, status: u16, body: &str) -> (FailureKind, String) {
        let error = verdict(call, answer(status, &[], body), &[]).unwrap_err();
        (error.failure.kind, error.failure.code)
    }

    const REFUND: Call = Call::change(ProviderName::Stripe, "refunds.create");
    const BOOKING: Call = Call::change(ProviderName::Cal, BOOK);
    const WORDS: [&str; 12] = [
        "event type",
        "event",
        "type",
        "not found",
        "found",
        "cannot post",
        "/v2/bookings",
        "conflict",
        "booking_conflict",
        "already has booking",
        "no hosts",
        "booking with uid",
    ];

    #[test]
    fn stripe_answers_mean_what_the_table_says() {
        use FailureKind::{Permanent, Transient, Unknown};
        let body =
            |code: &str| format!(r#"{{"error":{{"type":"invalid_request_error","code":"{code}","message":"m"}}}}"#);
        for (status, code, expected) in [
            (400, "charge_disputed", Permanent),
            (402, "card_declined", Permanent),
            (404, "resource_missing", Permanent),
            (409, "idempotency_key_in_use", Transient),
            (424, "external_dependency_failed", Transient),
            (429, "rate_limit", Transient),
            (401, "api_key_expired", Transient),
            (500, "api_error", Unknown),
            (503, "api_error", Unknown),
        ] {
            assert_eq!(kind(REFUND, status, &body(code)).0, expected, "{status} {code}");
        }
        assert_eq!(kind(Call::read(ProviderName::Stripe, "refunds.list"), 500, "").0, Transient);
    }

    fn said(message: &str) -> String {
        serde_json::json!({"status": "error", "error": {"code": "X", "message": message}}).to_string()
    }

    #[test]
    fn only_listed_refusals_of_cal_are_definite() {
        use FailureKind::{Permanent, Transient, Unknown};
        let no_hosts = "Can't book this team event type because it has no hosts. Please, add at least 1 host to it.";
        for (status, message, expected, code) in [
            (400, "User either already has booking at this time or is not available", Permanent, "slot_taken"),
            (400, "Attempting to book a meeting in the past.", Permanent, "in_the_past"),
            (400, "The event type can't be booked at the start time provided.", Permanent, "out_of_bounds"),
            (400, "Invalid phone number format. Please use international format.", Permanent, "phone_invalid"),
            (404, "Event type with id 1 not found.", Permanent, "event_type_missing"),
            (404, "EVENT TYPE with slug a belonging to user b NOT FOUND", Permanent, "event_type_missing"),
            (404, "event_type_not_found_error", Permanent, "event_type_missing"),
            (409, "booking_conflict", Permanent, "slot_taken"),
            (409, "booking_conflict_error", Permanent, "slot_taken"),
            (
                409,
                "One of the hosts either already has booking at this time or is not available",
                Permanent,
                "slot_taken",
            ),
            (409, "Invalid Input: Trying to create a record that already exists.", Permanent, "slot_taken"),
            (422, no_hosts, Permanent, "not_bookable"),
            (422, "event_type_no_hosts", Permanent, "not_bookable"),
            (400, "something new", Transient, "unrecognised_refusal"),
            (404, "Cannot POST /v2/v2/bookings", Transient, "unrecognised_refusal"),
            (404, "Cannot POST /v2/event-types: not found", Transient, "unrecognised_refusal"),
            (404, "Not Found", Transient, "unrecognised_refusal"),
            (404, "", Transient, "unrecognised_refusal"),
            (405, "Event type with id 1 not found.", Transient, "unrecognised_refusal"),
            (409, "Conflict", Transient, "unrecognised_refusal"),
            (410, "Gone", Transient, "unrecognised_refusal"),
            (422, "Unprocessable Entity", Transient, "unrecognised_refusal"),
            (418, "teapot", Transient, "unrecognised_refusal"),
            (403, "forbidden", Transient, "credentials"),
            (500, "There was an error", Unknown, "X"),
        ] {
            assert_eq!(kind(BOOKING, status, &said(message)), (expected, code.to_owned()), "{status} {message}");
        }
    }

    #[test]
    fn a_page_instead_of_an_answer_is_no_refusal() {
        for (status, page) in
            [(404, "<html><h1>404 Not Found</h1>"), (409, "409"), (422, "[]"), (404, r#"{"message":[]}"#)]
        {
            assert_eq!(kind(BOOKING, status, page).1, "unrecognised_refusal", "{page}");
        }
        let raw = r#"{"statusCode":404,"message":"Cannot POST /v2/v2/bookings","error":"Not Found"}"#;
        assert_eq!(kind(BOOKING, 404, raw).1, "unrecognised_refusal");
    }

    #[test]
    fn what_is_said_of_a_booking_that_is_wanted_is_not_said_of_a_look_or_a_cancellation() {
        for call in [Call::read(ProviderName::Cal, "bookings.list"), Call::change(ProviderName::Cal, "bookings.cancel")]
        {
            for (status, message) in [(404, "Event type with id 1 not found."), (400, "the calendar is not available")]
            {
                assert_eq!(kind(call, status, &said(message)).1, "unrecognised_refusal", "{call} {message}");
            }
            let already = "This booking has already been cancelled.";
            assert_eq!(kind(call, 400, &said(already)).1 == CALLED_OFF_ALREADY, call.operation == CALL_OFF);
            let missing = "Booking with uid=abc was not found in the database";
            assert_eq!(kind(call, 404, &said(missing)), (FailureKind::Permanent, "booking_missing".to_owned()));
        }
    }

    proptest! {
        #[test]
        fn a_status_alone_is_never_a_definite_refusal_of_cal(
            status in 400_u16..430, words in vec(select(&WORDS[..]), 0..6), upper in any::<bool>(),
        ) {
            let text = words.join(" ");
            let message = if upper { text.to_uppercase() } else { text.clone() };
            let (kind, code) = kind(BOOKING, status, &said(&message));
            let says = |parts: &[&str]| parts.iter().all(|part| text.contains(part));
            let known = match status {
                404 => says(&["event type", "not found"]) || says(&["booking with uid", "not found"]),
                409 => says(&["booking_conflict"]) || says(&["already has booking"]),
                422 => says(&["no hosts"]),
                _ => return Ok(()),
            };
            prop_assert_eq!(kind == FailureKind::Permanent, known, "{} {}: {}", status, message, code);
            prop_assert!(known || code == "unrecognised_refusal");
        }
    }

    #[test]
    fn silence_after_sending_a_change_is_unknown_and_before_it_is_not() {
        let lost = verdict(REFUND, Err(transport::Error::Reset("eof".to_owned())), &[]).unwrap_err();
        assert_eq!(lost.failure.kind, FailureKind::Unknown);
        let refused = verdict(REFUND, Err(transport::Error::Connect("refused".to_owned())), &[]).unwrap_err();
        assert_eq!(refused.failure.kind, FailureKind::Transient);
    }

    #[test]
    fn a_throttled_call_of_cal_waits_for_what_it_says_or_a_minute() {
        let (look, block) = (Call::read(ProviderName::Cal, "bookings.list"), Some(Duration::from_secs(60)));
        let wait = |call, status, headers: &[(&'static str, &str)]| {
            verdict(call, answer(status, headers, "{}"), &[]).unwrap_err().failure.retry_after()
        };
        let reset = [("X-RateLimit-Reset-Default", "43")];
        for call in [BOOKING, look] {
            assert_eq!(wait(call, 429, &reset), Some(Duration::from_secs(43)), "{call}");
            assert_eq!(wait(call, 429, &[]), block, "{call}");
            assert_eq!(wait(call, 400, &reset), None, "{call}");
        }
        assert_eq!(wait(REFUND, 429, &[]), None);
    }

    #[test]
    fn a_replayed_answer_and_a_wait_are_noticed() {
        let headers = [("idempotent-replayed", "true"), ("retry-after", "7")];
        let error = verdict(REFUND, answer(500, &headers, "{}"), &[]).unwrap_err();
        assert!(error.replayed);
        assert_eq!(error.failure.retry_after(), Some(Duration::from_secs(7)));
    }
}

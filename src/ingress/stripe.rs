//! Stripe's events: what each means for the ledger and which runs it starts.
//!
//! Parsing is lenient: only what is needed is read, an expandable field may be an id or an object, and a signed event
//! is never refused for a field that is not needed (docs.stripe.com/webhooks).

use bytes::Bytes;
use serde::Deserialize;
use serde_json::Value;
use serde_json::value::RawValue;

use crate::ingress::{Rejected, pick, sha256};
use crate::model::case::{CaseKind, NewCase};
use crate::model::checkout::{Attendee, Checkout};
use crate::model::event::{Disposition, Source};
use crate::model::money::{Currency, Money};
use crate::model::payment::PaymentFact;
use crate::model::time::Timestamp;
use crate::store::change::{Change, NewEvent, NewPayment, NewRun, PaymentKey, Plan};

/// The workflow that carries a paid checkout to its end.
pub const CHECKOUT_WORKFLOW: &str = "process-checkout-side-effects";
/// The workflow that tells a customer that a delayed payment did not arrive.
pub const PAYMENT_FAILED_WORKFLOW: &str = "payment-failed";

/// The metadata keys without which a paid session cannot be booked.
const REQUIRED: [&str; 11] = [
    "mentorUserId",
    "eventTypeId",
    "startTime",
    "attendeeName",
    "attendeeEmail",
    "attendeeTimeZone",
    "mentorUsername",
    "mentorFee",
    "menteeFee",
    "mentorAmount",
    "mentorStripeAccountId",
];

/// What is read of a session. Most of an event is never looked at.
const SESSION: [&str; 8] = [
    "id",
    "payment_status",
    "payment_intent",
    "metadata",
    "amount_total",
    "currency",
    "customer_details",
    "customer_email",
];

#[derive(Deserialize)]
struct Envelope<'a> {
    id: String,
    #[serde(rename = "type")]
    kind: String,
    created: Value,
    #[serde(default)]
    livemode: bool,
    #[serde(default, borrow)]
    data: Option<Data<'a>>,
}

#[derive(Deserialize)]
struct Data<'a> {
    #[serde(borrow)]
    object: Option<&'a RawValue>,
}

/// What `body` means. `live` is the mode of this deployment: an event of the other mode is kept and never acted on.
pub fn plan(body: Bytes, live: bool) -> Result<Plan, Rejected> {
    let raw = body.clone();
    let envelope: Envelope<'_> =
        serde_json::from_slice(&raw).map_err(|error| Rejected::Malformed(error.to_string()))?;
    if envelope.id.is_empty() || envelope.id.len() > 255 {
        return Err(Rejected::Malformed("the event id is empty or longer than 255 characters".to_owned()));
    }
    let created_at = instant(&envelope.created);
    let mut event = NewEvent {
        source: Source::Stripe,
        external_id: envelope.id,
        kind: envelope.kind,
        livemode: envelope.livemode,
        created_at,
        disposition: Disposition::Ignored,
        reason: None,
        body_sha256: sha256(&body),
        body,
    };
    if event.livemode != live {
        event.disposition = Disposition::Quarantined;
        event.reason = Some(
            if live { "a test event at a live deployment" } else { "a live event at a test deployment" }.to_owned(),
        );
        return Ok(Plan { event, changes: Vec::new() });
    }
    let object = pick(envelope.data.and_then(|data| data.object), &SESSION);
    let fact = match event.kind.as_str() {
        "checkout.session.completed" => match text(&object, "payment_status") {
            Some("paid" | "no_payment_required") => PaymentFact::Paid,
            _ => PaymentFact::Unpaid,
        },
        "checkout.session.async_payment_succeeded" => PaymentFact::Paid,
        "checkout.session.async_payment_failed" => PaymentFact::PaymentFailed,
        "checkout.session.expired" => PaymentFact::Expired,
        _ => {
            event.reason = Some("a type without consequences here".to_owned());
            return Ok(Plan { event, changes: Vec::new() });
        }
    };
    let (disposition, reason, changes) = session(&object, fact, created_at, live);
    event.disposition = disposition;
    event.reason = reason;
    Ok(Plan { event, changes })
}

type Decision = (Disposition, Option<String>, Vec<Change>);

fn ignored(reason: &str) -> Decision {
    (Disposition::Ignored, Some(reason.to_owned()), Vec::new())
}

fn session(object: &Value, fact: PaymentFact, created_at: Timestamp, live: bool) -> Decision {
    let Some(session_id) = text(object, "id") else {
        return ignored("a checkout event without a session id");
    };
    let metadata = &object["metadata"];
    if !REQUIRED.iter().any(|key| metadata.get(key).is_some()) {
        return ignored("a session without metadata of ours");
    }
    if fact == PaymentFact::Expired {
        // Most expired sessions were never completed and have no payment here.
        let about = Change::About(PaymentKey::Session(session_id.to_owned()));
        return (
            Disposition::Accepted,
            Some("the session ran out unpaid".to_owned()),
            vec![about, Change::Learn(PaymentFact::Expired)],
        );
    }

    let free = text(object, "payment_status") == Some("no_payment_required");
    let payment_intent = expandable(&object["payment_intent"]);
    let amount = money(object);
    let checkout = amount
        .clone()
        .and_then(|amount| checkout(metadata, session_id, payment_intent.clone(), amount, created_at))
        .and_then(|checkout| {
            if fact == PaymentFact::Paid && !free && payment_intent.is_none() {
                Err("paid, and without a payment intent".to_owned())
            } else {
                Ok(checkout)
            }
        });
    let payment = Change::Payment(Box::new(NewPayment {
        session_id: session_id.to_owned(),
        payment_intent: payment_intent.clone(),
        amount: amount.unwrap_or(Money::new(0, Currency::USD)),
        livemode: live,
        customer_email: text(&object["customer_details"], "email")
            .or_else(|| text(object, "customer_email"))
            .map(str::to_owned),
        checkout: checkout.as_ref().ok().cloned(),
        fact,
    }));

    match (fact, checkout) {
        (PaymentFact::Paid, Ok(_)) => {
            (Disposition::Accepted, None, vec![payment, Change::Start(NewRun::on_subject(CHECKOUT_WORKFLOW))])
        }
        (PaymentFact::Paid, Err(why)) => {
            let case = unusable(session_id, object, &why);
            (Disposition::Attention, Some(why), vec![payment, Change::OpenCase(case)])
        }
        (PaymentFact::PaymentFailed, Ok(_)) => {
            (Disposition::Accepted, None, vec![payment, Change::Start(NewRun::on_subject(PAYMENT_FAILED_WORKFLOW))])
        }
        (_, Ok(_)) => (Disposition::Accepted, Some("the session waits for its payment".to_owned()), vec![payment]),
        (_, Err(why)) => (Disposition::Accepted, Some(format!("unpaid, and {why}")), vec![payment]),
    }
}

fn unusable(session_id: &str, object: &Value, why: &str) -> NewCase {
    let at_risk = money(object).ok();
    let taken = at_risk.map_or_else(|| "money".to_owned(), |amount| amount.to_string());
    NewCase {
        kind: CaseKind::UnusableCheckout,
        cause: format!("unusable_checkout/{session_id}"),
        summary: format!("{taken} was taken for a session that cannot be booked: {why}"),
        detail: format!("session {session_id}: book by hand or refund in full"),
        at_risk,
    }
}

fn checkout(
    metadata: &Value,
    session_id: &str,
    payment_intent: Option<String>,
    amount: Money,
    paid_at: Timestamp,
) -> Result<Checkout, String> {
    let missing: Vec<&str> =
        REQUIRED.into_iter().filter(|key| text(metadata, key).is_none_or(|value| value.trim().is_empty())).collect();
    if !missing.is_empty() {
        return Err(format!("without metadata {}", missing.join(", ")));
    }
    let get = |key: &str| text(metadata, key).unwrap_or_default().trim().to_owned();
    let number = |key: &str| {
        let value: i64 = get(key).parse().map_err(|_| format!("metadata {key} is not a whole number"))?;
        if value < 0 { Err(format!("metadata {key} is negative")) } else { Ok(value) }
    };
    Ok(Checkout {
        session_id: session_id.to_owned(),
        payment_intent,
        amount,
        paid_at,
        mentor_user_id: get("mentorUserId"),
        mentor_username: get("mentorUsername"),
        mentor_account: get("mentorStripeAccountId"),
        event_type_id: number("eventTypeId")?,
        start: get("startTime").parse().map_err(|_| "metadata startTime is not an instant".to_owned())?,
        attendee: Attendee {
            name: get("attendeeName"),
            email: get("attendeeEmail"),
            phone: Some(get("attendeePhone")).filter(|phone| !phone.is_empty()),
            time_zone: get("attendeeTimeZone"),
        },
        mentor_fee: number("mentorFee")?,
        mentee_fee: number("menteeFee")?,
        mentor_amount: number("mentorAmount")?,
    })
}

fn money(object: &Value) -> Result<Money, String> {
    let minor = object["amount_total"].as_i64().filter(|minor| *minor >= 0).ok_or("without an amount")?;
    let currency = text(object, "currency").and_then(|code| code.parse().ok()).ok_or("without a currency")?;
    Ok(Money::new(minor, currency))
}

fn text<'a>(object: &'a Value, key: &str) -> Option<&'a str> {
    object.get(key)?.as_str()
}

/// An id, or an object that has one.
fn expandable(value: &Value) -> Option<String> {
    value.as_str().or_else(|| text(value, "id")).filter(|id| !id.is_empty()).map(str::to_owned)
}

/// Unix seconds, or the text form of a v2 event.
fn instant(value: &Value) -> Timestamp {
    value
        .as_i64()
        .map(Timestamp::from_secs)
        .or_else(|| value.as_str().and_then(|text| text.parse().ok()))
        .unwrap_or(Timestamp(0))
}

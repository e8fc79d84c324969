//! Checkout sessions: what was bought, and whether it is paid.

use serde_json::Value;

use crate::ingress::stripe::{CHECKOUT_WORKFLOW, PAYMENT_FAILED_WORKFLOW, expandable};
use crate::ingress::{Meaning, Told, text};
use crate::model::case::{CaseKind, NewCase};
use crate::model::checkout::{Attendee, Checkout};
use crate::model::event::Disposition;
use crate::model::money::{Currency, Money};
use crate::model::payment::PaymentFact;
use crate::model::time::Timestamp;
use crate::mutant::{Mutant, is_out};
use crate::store::change::{Change, NewPayment, NewRun, PaymentKey};

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

/// What a checkout session's event means.
pub(super) fn meaning(told: &Told<'_>) -> Meaning {
    let object = &told.pick(&SESSION);
    let fact = match told.kind {
        "checkout.session.completed" => match text(object, "payment_status") {
            Some("paid" | "no_payment_required") => PaymentFact::Paid,
            _ => PaymentFact::Unpaid,
        },
        "checkout.session.async_payment_succeeded" if is_out(Mutant::LatePayment) => PaymentFact::Unpaid,
        "checkout.session.async_payment_succeeded" => PaymentFact::Paid,
        "checkout.session.async_payment_failed" => PaymentFact::PaymentFailed,
        "checkout.session.expired" => PaymentFact::Expired,
        _ => return Meaning::none("a type without consequences here"),
    };
    let Some(session_id) = text(object, "id") else {
        return Meaning::none("a checkout event without a session id");
    };
    let metadata = &object["metadata"];
    if !REQUIRED.iter().any(|key| metadata.get(key).is_some()) {
        return Meaning::none("a session without metadata of ours");
    }
    if fact == PaymentFact::Expired {
        // Most expired sessions were never completed and have no payment here.
        let about = Change::About(PaymentKey::Session(session_id.to_owned()));
        return Meaning::because("the session ran out unpaid", vec![about, Change::Learn(PaymentFact::Expired)]);
    }

    let free = text(object, "payment_status") == Some("no_payment_required");
    let payment_intent = expandable(&object["payment_intent"]);
    let amount = money(object);
    let checkout = amount
        .clone()
        .and_then(|amount| checkout(metadata, session_id, payment_intent.clone(), amount, told.at))
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
        livemode: told.live,
        customer_email: text(&object["customer_details"], "email")
            .or_else(|| text(object, "customer_email"))
            .map(str::to_owned),
        checkout: checkout.as_ref().ok().cloned(),
        fact,
    }));

    match (fact, checkout) {
        (PaymentFact::Paid, Ok(_)) => {
            Meaning::changes(vec![payment, Change::Start(NewRun::on_subject(CHECKOUT_WORKFLOW))])
        }
        (PaymentFact::Paid, Err(why)) => {
            let case = unusable(session_id, object, &why);
            let changes = vec![payment, Change::OpenCase(case)];
            Meaning { disposition: Disposition::Attention, reason: Some(why), changes }
        }
        (PaymentFact::PaymentFailed, Ok(_)) => {
            Meaning::changes(vec![payment, Change::Start(NewRun::on_subject(PAYMENT_FAILED_WORKFLOW))])
        }
        (_, Ok(_)) => Meaning::because("the session waits for its payment", vec![payment]),
        (_, Err(why)) => Meaning::because(&format!("unpaid, and {why}"), vec![payment]),
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

/// Stripe takes amounts of twelve digits.
const MOST: i64 = 999_999_999_999;

fn money(object: &Value) -> Result<Money, String> {
    let minor =
        object["amount_total"].as_i64().filter(|minor| (0..=MOST).contains(minor)).ok_or("without an amount")?;
    let currency = text(object, "currency").and_then(|code| code.parse().ok()).ok_or("without a currency")?;
    Ok(Money::new(minor, currency))
}

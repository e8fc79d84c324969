//! Stripe's objects and errors as they look on the wire.

use serde_json::{Value, json};

use crate::sandbox::answer::Answer;
use crate::sandbox::form::Form;
use crate::sandbox::ledger::{PaymentIntent, Refund, Transfer};

/// An error answer of type `invalid_request_error`.
pub(super) fn invalid(status: u16, code: Option<&str>, param: Option<&str>, message: &str) -> Answer {
    error(status, "invalid_request_error", code, param, message)
}

pub(super) fn error(status: u16, kind: &str, code: Option<&str>, param: Option<&str>, message: &str) -> Answer {
    let body = json!({
        "code": code, "doc_url": null, "message": message, "param": param, "type": kind, "request_log_url": null,
    });
    Answer::json(status, &json!({ "error": body }))
}

pub(super) fn missing(what: &str, id: &str, param: &str) -> Answer {
    invalid(404, Some("resource_missing"), Some(param), &format!("No such {what}: '{id}'"))
}

pub(super) fn payment_intent(intent: &PaymentIntent, expand_charge: bool) -> Value {
    let charge = match &intent.charge {
        Some(_) if expand_charge => charge(intent),
        id => json!(id),
    };
    let received = if intent.status == "succeeded" { intent.amount } else { 0 };
    json!({
        "id": intent.id,
        "object": "payment_intent",
        "amount": intent.amount,
        "amount_capturable": 0,
        "amount_received": received,
        "application_fee_amount": intent.application_fee_amount,
        "capture_method": "automatic_async",
        "created": intent.created.as_secs(),
        "currency": intent.currency,
        "latest_charge": charge,
        "livemode": false,
        "metadata": {},
        "on_behalf_of": null,
        "receipt_email": intent.customer_email,
        "status": intent.status,
        "transfer_data": intent.transfer_data,
        "transfer_group": group(intent),
    })
}

pub(super) fn charge(intent: &PaymentIntent) -> Value {
    json!({
        "id": intent.charge,
        "object": "charge",
        "amount": intent.amount,
        "amount_captured": intent.amount,
        "amount_refunded": intent.amount_refunded,
        "application_fee": null,
        "application_fee_amount": intent.application_fee_amount,
        "billing_details": { "email": intent.customer_email },
        "captured": true,
        "created": intent.created.as_secs(),
        "currency": intent.currency,
        "disputed": intent.disputed,
        "livemode": false,
        "metadata": {},
        "paid": true,
        "payment_intent": intent.id,
        "receipt_email": intent.customer_email,
        "refunded": intent.amount_refunded >= intent.amount,
        "status": "succeeded",
        "transfer": intent.transfer,
        "transfer_data": intent.transfer_data,
        "transfer_group": group(intent),
    })
}

fn group(intent: &PaymentIntent) -> Option<String> {
    intent.transfer_data.as_ref().map(|_| format!("group_{}", intent.id))
}

pub(super) fn refund(refund: &Refund) -> Value {
    let mut body = json!({
        "id": refund.id,
        "object": "refund",
        "amount": refund.amount,
        "balance_transaction": null,
        "charge": refund.charge,
        "created": refund.created.as_secs(),
        "currency": refund.currency,
        "metadata": refund.metadata,
        "payment_intent": refund.payment_intent,
        "reason": refund.reason,
        "receipt_number": null,
        "source_transfer_reversal": null,
        "status": refund.status,
        "transfer_reversal": refund.transfer_reversal,
    });
    for (name, value) in [("pending_reason", &refund.pending_reason), ("failure_reason", &refund.failure_reason)] {
        if let Some(value) = value {
            body[name] = json!(value);
        }
    }
    body
}

pub(super) fn transfer(transfer: &Transfer) -> Value {
    json!({
        "id": transfer.id,
        "object": "transfer",
        "amount": transfer.amount,
        "amount_reversed": transfer.amount_reversed,
        "created": transfer.created.as_secs(),
        "currency": transfer.currency,
        "description": null,
        "destination": transfer.destination,
        "livemode": false,
        "metadata": transfer.metadata,
        "reversed": transfer.amount_reversed >= transfer.amount,
        "source_transaction": transfer.source_transaction,
        "source_type": "card",
        "transfer_group": transfer.transfer_group,
    })
}

/// One page of `all` (newest first), as `limit` and `starting_after` of the query ask.
pub(super) fn page(all: &[(&str, Value)], query: &Form, url: &str) -> Answer {
    let limit = match limit(query) {
        Ok(limit) => limit,
        Err(answer) => return answer,
    };
    let from = match query.get("starting_after") {
        None => 0,
        Some(cursor) => match all.iter().position(|(id, _)| *id == cursor) {
            Some(index) => index + 1,
            None => return bad_cursor(cursor, "starting_after"),
        },
    };
    let rest = all.get(from..).unwrap_or_default();
    let data: Vec<&Value> = rest.iter().take(limit).map(|(_, body)| body).collect();
    Answer::json(200, &json!({ "object": "list", "data": data, "has_more": rest.len() > limit, "url": url }))
}

pub(super) fn bad_cursor(cursor: &str, param: &str) -> Answer {
    invalid(400, Some("resource_missing"), Some(param), &format!("No such object: '{cursor}'"))
}

pub(super) fn limit(query: &Form) -> Result<usize, Answer> {
    let Some(text) = query.get("limit") else { return Ok(10) };
    text.parse().ok().filter(|limit| (1..=100).contains(limit)).ok_or_else(|| {
        let message = format!("Invalid limit: {text}; must be between 1 and 100");
        invalid(400, Some("parameter_invalid_integer"), Some("limit"), &message)
    })
}

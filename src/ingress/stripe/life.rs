//! What becomes of a payment at Stripe: refunds, disputes, transfers.

use serde_json::Value;

use crate::ingress::stripe::{READ_REFUNDS_WORKFLOW, amount, expandable, tell_of_refund};
use crate::ingress::{Meaning, Told, text};
use crate::model::dispute::{Dispute, DisputeStatus};
use crate::model::refund::RefundFact;
use crate::model::time::Timestamp;
use crate::store::change::{Change, NewRun, PaymentKey};

/// One refund, however many events tell of it. Those made in Stripe's dashboard appear here too.
pub(super) fn refund(told: &Told<'_>) -> Meaning {
    let object = told.pick(&["id", "amount", "currency", "status", "payment_intent", "metadata"]);
    let (Some(id), Some(intent), Some(amount)) =
        (text(&object, "id"), expandable(&object["payment_intent"]), amount(&object))
    else {
        return Meaning::none("a refund without id, amount or payment intent");
    };
    let fact = match text(&object, "status") {
        Some("succeeded") => RefundFact::Succeeded,
        Some("failed") => RefundFact::Failed,
        Some("canceled") => RefundFact::Canceled,
        _ => RefundFact::Pending,
    };
    let mut changes = vec![
        Change::About(PaymentKey::Intent(intent)),
        Change::RefundAdopted {
            stripe_refund_id: id.to_owned(),
            reference: text(&object["metadata"], "discunoRefund").map(str::to_owned),
            amount,
            fact,
        },
    ];
    if matches!(fact, RefundFact::Pending | RefundFact::Succeeded) {
        changes.push(tell_of_refund(id));
    }
    Meaning::changes(changes)
}

/// A charge says how much of it was refunded in all, and not by which refunds: they are read.
pub(super) fn charge_refunded(told: &Told<'_>) -> Meaning {
    let object = told.pick(&["id", "amount_refunded", "payment_intent"]);
    let (Some(charge), Some(intent), Some(refunded)) =
        (text(&object, "id"), expandable(&object["payment_intent"]), object["amount_refunded"].as_i64())
    else {
        return Meaning::none("a charge without payment intent");
    };
    let read = NewRun::with_input(READ_REFUNDS_WORKFLOW, format!("{charge}/{refunded}"), Value::Null);
    Meaning::changes(vec![Change::About(PaymentKey::Intent(intent)), Change::Start(read)])
}

pub(super) fn dispute(told: &Told<'_>) -> Meaning {
    let object = told.pick(&["id", "amount", "currency", "status", "reason", "payment_intent", "evidence_details"]);
    let (Some(id), Some(intent), Some(amount)) =
        (text(&object, "id"), expandable(&object["payment_intent"]), amount(&object))
    else {
        return Meaning::none("a dispute without id, amount or payment intent");
    };
    let dispute = Dispute {
        id: id.to_owned(),
        status: DisputeStatus::of_stripe(text(&object, "status").unwrap_or_default()),
        amount,
        reason: text(&object, "reason").unwrap_or("no reason given").to_owned(),
        due_at: object["evidence_details"]["due_by"].as_i64().map(Timestamp::from_secs),
        as_of: told.at,
    };
    Meaning::changes(vec![Change::About(PaymentKey::Intent(intent)), Change::Dispute(dispute)])
}

/// A transfer names its payment only by the group of its charge.
pub(super) fn transfer(told: &Told<'_>) -> Meaning {
    let object =
        told.pick(&["id", "amount", "currency", "amount_reversed", "destination", "transfer_group", "metadata"]);
    let intent = text(&object, "transfer_group").and_then(|group| group.strip_prefix("group_"));
    let (Some(id), Some(intent), Some(amount), Some(destination)) = (
        text(&object, "id"),
        intent.filter(|intent| intent.starts_with("pi_")),
        amount(&object),
        expandable(&object["destination"]),
    ) else {
        return Meaning::none("a transfer that belongs to no payment");
    };
    Meaning::changes(vec![
        Change::About(PaymentKey::Intent(intent.to_owned())),
        Change::TransferSeen {
            stripe_transfer_id: id.to_owned(),
            reference: text(&object["metadata"], "discunoTransfer").map(str::to_owned),
            amount,
            reversed: object["amount_reversed"].as_i64().unwrap_or(0).clamp(0, amount.minor),
            destination,
        },
    ])
}

//! What Stripe knows of payments: learnt from the events that the world has produced.

use std::collections::{BTreeMap, BTreeSet};

use serde::Deserialize;
use serde_json::Value;
use serde_json::value::RawValue;

use crate::model::time::Timestamp;
use crate::sandbox::ledger::{PaymentIntent, Refund, Transfer, TransferData};
use crate::sandbox::tag::tagged;

/// The part of an event that says what it is about.
#[derive(Debug, Deserialize)]
pub(super) struct Envelope<'a> {
    pub(super) id: String,
    #[serde(rename = "type")]
    pub(super) kind: String,
    pub(super) created: i64,
    pub(super) account: Option<String>,
    #[serde(borrow)]
    pub(super) data: Data<'a>,
}

/// The object inside.
#[derive(Debug, Deserialize)]
pub(super) struct Data<'a> {
    #[serde(borrow)]
    pub(super) object: &'a RawValue,
}

/// Payments, refunds, transfers, and the ways to find them.
#[derive(Debug, Default)]
pub(super) struct Books {
    pub(super) intents: BTreeMap<String, PaymentIntent>,
    /// Charge to payment.
    pub(super) charges: BTreeMap<String, String>,
    pub(super) refunds: BTreeMap<String, Refund>,
    /// In the order in which they were made.
    pub(super) refund_order: Vec<String>,
    pub(super) refunds_of: BTreeMap<String, Vec<String>>,
    pub(super) transfers: BTreeMap<String, Transfer>,
    /// In the order in which they were made.
    pub(super) transfer_order: Vec<String>,
    /// Transfers by group and by destination; the two kinds of name never meet.
    pub(super) transfers_of: BTreeMap<String, Vec<String>>,
    pub(super) balance: BTreeMap<String, i64>,
    /// What was moved out of each charge.
    pub(super) drawn: BTreeMap<String, i64>,
    /// Accounts that cannot take transfers.
    pub(super) incapable: BTreeSet<String>,
    /// The newest word on the dispute of each charge: when, and whether it keeps the money.
    disputes: BTreeMap<String, (Timestamp, bool)>,
}

impl Books {
    pub(super) fn observe(&mut self, event: &Envelope<'_>) {
        let at = Timestamp::from_secs(event.created);
        let kind = event.kind.as_str();
        let noted = kind.starts_with("checkout.session.")
            || kind.starts_with("payment_intent.")
            || kind.starts_with("charge.dispute.")
            || kind.starts_with("refund.")
            || kind == "account.updated";
        let Some(object) = noted.then(|| serde_json::from_str::<Value>(event.data.object.get()).ok()).flatten() else {
            return;
        };
        match kind.split_once('.').map(|(family, _)| family) {
            Some("checkout") => self.session(kind, &object, at),
            Some("payment_intent") => self.intent(&object, at),
            Some("charge") => self.dispute(&object, at),
            Some("refund") => self.refund(&object, at),
            _ => self.account(&object),
        }
    }

    fn session(&mut self, kind: &str, object: &Value, at: Timestamp) {
        let (Some(id), Some(amount)) = (reference(&object["payment_intent"]), object["amount_total"].as_i64()) else {
            return;
        };
        let metadata = |key: &str| text(&object["metadata"][key]);
        let share = metadata("mentorAmount").and_then(|amount| amount.parse::<i64>().ok()).filter(|amount| *amount > 0);
        let share = metadata("mentorStripeAccountId")
            .zip(share)
            .map(|(destination, share)| TransferData { amount: Some(share.min(amount)), destination });
        let email = text(&object["customer_details"]["email"]).or_else(|| text(&object["customer_email"]));
        let share = share.filter(|_| !email.as_deref().is_some_and(|email| tagged(email, "share-later")));
        let intent = self.open(&id, amount, &object["currency"], at);
        intent.checkout_session = text(&object["id"]);
        intent.customer_email = email.or_else(|| metadata("attendeeEmail")).or(intent.customer_email.take());
        intent.transfer_data = intent.transfer_data.take().or(share);
        if object["payment_status"] == "paid" {
            self.capture(&id, None, at);
        } else if kind.ends_with("async_payment_failed") && intent.status != "succeeded" {
            "requires_payment_method".clone_into(&mut intent.status);
        }
    }

    fn intent(&mut self, object: &Value, at: Timestamp) {
        let (Some(id), Some(amount)) = (text(&object["id"]), object["amount"].as_i64()) else { return };
        let intent = self.open(&id, amount, &object["currency"], at);
        intent.application_fee_amount = object["application_fee_amount"].as_i64().or(intent.application_fee_amount);
        if let Some(destination) = reference(&object["transfer_data"]["destination"]) {
            let amount = object["transfer_data"]["amount"].as_i64();
            intent.transfer_data = Some(TransferData { amount, destination });
        }
        intent.customer_email = intent.customer_email.take().or_else(|| text(&object["receipt_email"]));
        if object["status"] == "succeeded" {
            self.capture(&id, reference(&object["latest_charge"]), at);
        }
    }

    fn open(&mut self, id: &str, amount: i64, currency: &Value, at: Timestamp) -> &mut PaymentIntent {
        self.intents.entry(id.to_owned()).or_insert_with(|| PaymentIntent {
            id: id.to_owned(),
            status: "processing".to_owned(),
            amount,
            currency: currency.as_str().unwrap_or("usd").to_ascii_lowercase(),
            charge: None,
            application_fee_amount: None,
            transfer_data: None,
            transfer: None,
            amount_refunded: 0,
            disputed: false,
            dispute_open: false,
            customer_email: None,
            checkout_session: None,
            created: at,
        })
    }

    /// The money has come in. A share that is heard of only later is moved then.
    fn capture(&mut self, id: &str, charge: Option<String>, at: Timestamp) {
        let Some(intent) = self.intents.get_mut(id) else { return };
        let tail = id.strip_prefix("pi_").unwrap_or(id);
        if intent.charge.is_none() {
            let charge = charge.unwrap_or_else(|| format!("ch_{tail}"));
            "succeeded".clone_into(&mut intent.status);
            let dispute = self.disputes.get(&charge);
            intent.disputed = dispute.is_some();
            intent.dispute_open = dispute.is_some_and(|(_, open)| *open);
            self.charges.insert(charge.clone(), id.to_owned());
            intent.charge = Some(charge);
            let balance = self.balance.entry(intent.currency.clone()).or_default();
            *balance = balance.saturating_add(intent.amount);
        }
        let Some(share) = intent.transfer_data.clone().filter(|_| intent.transfer.is_none()) else { return };
        let transfer = Transfer {
            id: format!("tr_{tail}"),
            amount: share.amount.unwrap_or(intent.amount),
            amount_reversed: 0,
            currency: intent.currency.clone(),
            destination: share.destination,
            source_transaction: intent.charge.clone(),
            transfer_group: Some(format!("group_{id}")),
            metadata: BTreeMap::new(),
            created: at,
        };
        intent.transfer = Some(transfer.id.clone());
        self.add_transfer(transfer);
    }

    pub(super) fn add_transfer(&mut self, transfer: Transfer) {
        *self.balance.entry(transfer.currency.clone()).or_default() -= transfer.amount;
        if let Some(charge) = &transfer.source_transaction {
            *self.drawn.entry(charge.clone()).or_default() += transfer.amount;
        }
        for name in [Some(&transfer.destination), transfer.transfer_group.as_ref()].into_iter().flatten() {
            self.transfers_of.entry(name.clone()).or_default().push(transfer.id.clone());
        }
        self.transfer_order.push(transfer.id.clone());
        self.transfers.insert(transfer.id.clone(), transfer);
    }

    fn dispute(&mut self, object: &Value, at: Timestamp) {
        let Some(charge) = reference(&object["charge"]) else { return };
        let status = object["status"].as_str().unwrap_or_default();
        // An inquiry is none yet.
        if status.starts_with("warning") {
            return;
        }
        let open = status != "won";
        if self.disputes.get(&charge).is_some_and(|(newest, _)| *newest > at) {
            return;
        }
        self.disputes.insert(charge.clone(), (at, open));
        if let Some(intent) = self.charges.get(&charge).and_then(|id| self.intents.get_mut(id)) {
            intent.disputed = true;
            intent.dispute_open = open;
        }
    }

    /// A refund that was made elsewhere, in Stripe's dashboard for one, or a later word on one of ours.
    fn refund(&mut self, object: &Value, at: Timestamp) {
        let (Some(id), Some(intent)) = (text(&object["id"]), reference(&object["payment_intent"])) else { return };
        let status = text(&object["status"]).unwrap_or_else(|| "pending".to_owned());
        let (pending, failure) = (text(&object["pending_reason"]), text(&object["failure_reason"]));
        if let Some(known) = self.refunds.get_mut(&id) {
            if known.updated > at {
                return;
            }
            let change =
                if known.counts() && matches!(status.as_str(), "failed" | "canceled") { known.amount } else { 0 };
            *self.balance.entry(known.currency.clone()).or_default() += change;
            (known.status, known.pending_reason, known.failure_reason, known.updated) = (status, pending, failure, at);
            return self.recount(&intent);
        }
        let Some(amount) = object["amount"].as_i64() else { return };
        let metadata = object["metadata"].as_object().into_iter().flatten();
        self.add_refund(Refund {
            id,
            payment_intent: intent,
            charge: reference(&object["charge"]),
            amount,
            currency: object["currency"].as_str().unwrap_or("usd").to_owned(),
            status,
            reason: text(&object["reason"]),
            pending_reason: pending,
            failure_reason: failure,
            metadata: metadata.filter_map(|(key, value)| Some((key.clone(), text(value)?))).collect(),
            transfer_reversal: reference(&object["transfer_reversal"]),
            transfer_reversed: 0,
            created: object["created"].as_i64().map_or(at, Timestamp::from_secs),
            updated: at,
        });
    }

    pub(super) fn add_refund(&mut self, refund: Refund) {
        let paid_back = if refund.counts() { refund.amount } else { 0 };
        *self.balance.entry(refund.currency.clone()).or_default() += refund.transfer_reversed - paid_back;
        let (id, intent) = (refund.id.clone(), refund.payment_intent.clone());
        self.refund_order.push(id.clone());
        self.refunds_of.entry(intent.clone()).or_default().push(id.clone());
        self.refunds.insert(id, refund);
        self.recount(&intent);
    }

    /// What was refunded of a payment, counted afresh.
    pub(super) fn recount(&mut self, intent: &str) {
        let of = self.refunds_of.get(intent).into_iter().flatten().filter_map(|id| self.refunds.get(id));
        let sum = of.filter(|refund| refund.counts()).map(|refund| refund.amount).sum();
        if let Some(intent) = self.intents.get_mut(intent) {
            intent.amount_refunded = sum;
        }
    }

    fn account(&mut self, object: &Value) {
        let (Some(id), Some(state)) = (text(&object["id"]), object["capabilities"]["transfers"].as_str()) else {
            return;
        };
        if state == "active" {
            self.incapable.remove(&id);
        } else {
            self.incapable.insert(id);
        }
    }
}

fn text(value: &Value) -> Option<String> {
    value.as_str().filter(|text| !text.is_empty()).map(str::to_owned)
}

/// An id, or the id of an expanded object.
fn reference(value: &Value) -> Option<String> {
    text(value).or_else(|| text(&value["id"]))
}

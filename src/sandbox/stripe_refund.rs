//! Refunds: what Stripe checks before it pays back.

use std::collections::BTreeMap;

use serde_json::Value;

use crate::entropy::Entropy;
use crate::model::time::Timestamp;
use crate::sandbox::answer::Answer;
use crate::sandbox::form::Form;
use crate::sandbox::ledger::{PaymentIntent, Refund};
use crate::sandbox::stripe_object::{self, invalid, missing};
use crate::sandbox::stripe_world::Books;
use crate::sandbox::tag::tagged;

const KNOWN: [&str; 8] = [
    "payment_intent",
    "charge",
    "amount",
    "reason",
    "metadata",
    "refund_application_fee",
    "reverse_transfer",
    "expand",
];

/// A refund as asked for, well-formed.
#[derive(Debug)]
pub(super) struct Ask {
    payment_intent: Option<String>,
    charge: Option<String>,
    amount: Option<i64>,
    reason: Option<String>,
    metadata: BTreeMap<String, String>,
    refund_application_fee: bool,
    reverse_transfer: bool,
}

impl Ask {
    pub(super) fn read(form: &Form) -> Result<Self, Answer> {
        unknown(form, &KNOWN)?;
        let (payment_intent, charge) = (form.get("payment_intent"), form.get("charge"));
        if payment_intent.is_none() && charge.is_none() {
            let message = "One of the following params should be provided for this request: payment_intent or charge.";
            return Err(invalid(400, Some("parameter_missing"), None, message));
        }
        let reason = form.get("reason");
        if reason.is_some_and(|reason| !matches!(reason, "duplicate" | "fraudulent" | "requested_by_customer")) {
            let message = "Invalid reason: must be one of duplicate, fraudulent, or requested_by_customer";
            return Err(invalid(400, None, Some("reason"), message));
        }
        Ok(Self {
            payment_intent: payment_intent.map(str::to_owned),
            charge: charge.map(str::to_owned),
            amount: amount(form)?,
            reason: reason.map(str::to_owned),
            metadata: metadata(form)?,
            refund_application_fee: flag(form, "refund_application_fee")?,
            reverse_transfer: flag(form, "reverse_transfer")?,
        })
    }
}

/// Refuses parameters that Stripe does not know.
pub(super) fn unknown(form: &Form, known: &[&str]) -> Result<(), Answer> {
    form.unknown(known).map_or(Ok(()), |name| {
        Err(invalid(400, Some("parameter_unknown"), Some(name), &format!("Received unknown parameter: {name}")))
    })
}

/// A positive amount in minor units.
pub(super) fn amount(form: &Form) -> Result<Option<i64>, Answer> {
    let Some(text) = form.get("amount") else { return Ok(None) };
    match text.parse::<i64>() {
        Ok(amount) if amount > 0 => Ok(Some(amount)),
        Ok(_) => {
            let message = "This value must be greater than or equal to 1.";
            Err(invalid(400, Some("parameter_invalid_integer"), Some("amount"), message))
        }
        Err(_) => {
            let message = format!("Invalid integer: {text}");
            Err(invalid(400, Some("parameter_invalid_integer"), Some("amount"), &message))
        }
    }
}

/// At most 50 pairs, keys of 40 and values of 500 characters.
pub(super) fn metadata(form: &Form) -> Result<BTreeMap<String, String>, Answer> {
    let metadata = form.map("metadata");
    let fits = |(key, value): (&String, &String)| key.chars().count() <= 40 && value.chars().count() <= 500;
    if metadata.len() <= 50 && metadata.iter().all(fits) {
        return Ok(metadata);
    }
    let message =
        "Metadata can have up to 50 keys, with key names up to 40 characters and values up to 500 characters.";
    Err(invalid(400, None, Some("metadata"), message))
}

fn flag(form: &Form, name: &str) -> Result<bool, Answer> {
    match form.get(name) {
        None | Some("false") => Ok(false),
        Some("true") => Ok(true),
        Some(other) => Err(invalid(400, None, Some(name), &format!("Invalid boolean: {other}"))),
    }
}

impl Books {
    /// Makes the refund, or says why not.
    pub(super) fn pay_back(&mut self, ask: Ask, entropy: &Entropy, at: Timestamp) -> Result<Value, Answer> {
        let intent = self.asked_intent(&ask)?;
        let Some(charge) = &intent.charge else {
            let message = format!("This PaymentIntent ({}) does not have a successful charge to refund.", intent.id);
            return Err(invalid(400, None, Some("payment_intent"), &message));
        };
        let left = intent.amount - intent.amount_refunded;
        let amount = ask.amount.unwrap_or(left);
        if intent.dispute_open {
            let message = format!("Charge {charge} has been charged back; cannot issue a refund.");
            return Err(invalid(400, Some("charge_disputed"), None, &message));
        }
        if left <= 0 {
            let message = format!("Charge {charge} has already been refunded.");
            return Err(invalid(400, Some("charge_already_refunded"), None, &message));
        }
        if amount > left {
            let message = format!("Refund amount ({amount}) is greater than unrefunded amount on charge ({left})");
            return Err(invalid(400, Some("amount_too_large"), Some("amount"), &message));
        }
        if ask.refund_application_fee && intent.application_fee_amount.unwrap_or(0) == 0 {
            let message = format!("Attempting to refund_application_fee on {charge}, but it has no application fee");
            return Err(invalid(400, None, Some("refund_application_fee"), &message));
        }
        let reversed = if ask.reverse_transfer { Some(self.share_of(intent, amount)?) } else { None };
        let pending = intent.customer_email.as_deref().is_some_and(|email| tagged(email, "refund-pending"));
        let refund = Refund {
            id: format!("re_{}", entropy.hex(24)),
            payment_intent: intent.id.clone(),
            charge: intent.charge.clone(),
            amount,
            currency: intent.currency.clone(),
            status: if pending { "pending" } else { "succeeded" }.to_owned(),
            reason: ask.reason,
            pending_reason: pending.then(|| "processing".to_owned()),
            failure_reason: None,
            metadata: ask.metadata,
            transfer_reversal: reversed.as_ref().map(|_| format!("trr_{}", entropy.hex(24))),
            transfer_reversed: reversed.as_ref().map_or(0, |(_, amount)| *amount),
            created: at,
            updated: at,
        };
        if let Some(transfer) = reversed.and_then(|(id, _)| self.transfers.get_mut(&id)) {
            transfer.amount_reversed += refund.transfer_reversed;
        }
        let body = stripe_object::refund(&refund);
        self.add_refund(refund);
        Ok(body)
    }

    /// The payment that a refund is asked for, if Stripe knows it.
    fn asked_intent(&self, ask: &Ask) -> Result<&PaymentIntent, Answer> {
        if let Some(id) = &ask.payment_intent {
            return self.intents.get(id).ok_or_else(|| missing("payment_intent", id, "payment_intent"));
        }
        let charge = ask.charge.as_deref().unwrap_or_default();
        let intent = self.charges.get(charge).and_then(|id| self.intents.get(id));
        intent.ok_or_else(|| missing("charge", charge, "charge"))
    }

    /// The customer's address behind a form that asks for a refund.
    pub(super) fn email_of(&self, form: &Form) -> Option<&str> {
        let intent = form.get("payment_intent").or_else(|| Some(self.charges.get(form.get("charge")?)?.as_str()))?;
        self.intents.get(intent)?.customer_email.as_deref()
    }

    /// The mentor's transfer, and what a refund of `amount` takes back from it: the same proportion as of the charge.
    fn share_of(&self, intent: &PaymentIntent, amount: i64) -> Result<(String, i64), Answer> {
        let Some(transfer) = intent.transfer.as_ref().and_then(|id| self.transfers.get(id)) else {
            let message = "Cannot reverse the transfer of a charge that was not created with a destination.";
            return Err(invalid(400, None, Some("reverse_transfer"), message));
        };
        let left = transfer.amount - transfer.amount_reversed;
        if left <= 0 {
            let message = format!("Transfer {} is already fully reversed.", transfer.id);
            return Err(invalid(400, None, Some("reverse_transfer"), &message));
        }
        let share = i128::from(transfer.amount) * i128::from(amount) / i128::from(intent.amount.max(1));
        Ok((transfer.id.clone(), i64::try_from(share).unwrap_or(left).min(left)))
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use crate::sandbox::trial::{NOW, Trial};

    #[tokio::test(start_paused = true)]
    async fn an_application_fee_that_was_never_taken_cannot_be_refunded() {
        let trial = Trial::new();
        trial.paid("pi_1", "zoe@example.edu");
        let body = "payment_intent=pi_1&refund_application_fee=true&reverse_transfer=true";
        let answer = trial.refund(body, None).await;
        assert_eq!(answer.status, 400);
        let error = &Trial::json(&answer)["error"];
        assert_eq!(error["message"], "Attempting to refund_application_fee on ch_1, but it has no application fee");
        assert!(error["code"].is_null());
        assert!(trial.sandbox.ledger().stripe.refunds.is_empty());
    }

    #[tokio::test(start_paused = true)]
    async fn refunds_never_exceed_the_charge() {
        let trial = Trial::new();
        trial.paid("pi_1", "zoe@example.edu");
        let body = "payment_intent=pi_1&amount=2000&reverse_transfer=true&metadata[refundId]=r1";
        let first = Trial::json(&trial.refund(body, None).await);
        assert_eq!(
            (&first["amount"], &first["currency"], &first["status"]),
            (&json!(2000), &json!("usd"), &json!("succeeded"))
        );
        assert_eq!(first["metadata"]["refundId"], "r1");
        let much = trial.refund("payment_intent=pi_1&amount=3001", None).await;
        assert_eq!(Trial::json(&much)["error"]["code"], "amount_too_large");
        trial.refund("payment_intent=pi_1&reverse_transfer=true", None).await;
        let more = trial.refund("payment_intent=pi_1", None).await;
        assert_eq!(Trial::json(&more)["error"]["code"], "charge_already_refunded");

        let books = trial.sandbox.ledger().stripe;
        assert_eq!(books.refunds.iter().map(|refund| refund.transfer_reversed).collect::<Vec<_>>(), [1700, 2550]);
        assert_eq!(books.transfers[0].amount_reversed, 4250);
        assert_eq!((books.refunded("pi_1"), books.balance["usd"]), (5000, 0));
        let list = Trial::json(&trial.get("/stripe/v1/refunds?payment_intent=pi_1&limit=1").await);
        assert_eq!((&list["data"][0]["amount"], &list["has_more"]), (&json!(3000), &json!(true)));
    }

    #[tokio::test(start_paused = true)]
    async fn a_transfer_that_was_never_made_cannot_be_reversed() {
        let trial = Trial::new();
        trial.observe(
            "checkout.session.completed",
            &json!({"id": "cs_1", "payment_intent": "pi_1", "payment_status": "paid",
            "amount_total": 5000, "currency": "usd", "metadata": {}}),
        );
        let answer = trial.refund("payment_intent=pi_1&reverse_transfer=true", None).await;
        assert_eq!((answer.status.as_u16(), trial.sandbox.ledger().stripe.refunds.len()), (400, 0));
        assert_eq!(trial.refund("payment_intent=pi_1", None).await.status, 200);
    }

    #[tokio::test(start_paused = true)]
    async fn nothing_is_refunded_before_the_money_is_there_or_under_dispute() {
        let trial = Trial::new();
        let mut session = json!({"id": "cs_1", "payment_intent": "pi_1", "payment_status": "unpaid",
            "amount_total": 5000, "currency": "usd", "metadata": {}});
        trial.observe("checkout.session.completed", &session);
        assert_eq!(Trial::json(&trial.get("/stripe/v1/payment_intents/pi_1").await)["status"], "processing");
        assert_eq!(trial.refund("payment_intent=pi_1", None).await.status, 400);
        session["payment_status"] = json!("paid");
        trial.observe("checkout.session.async_payment_succeeded", &session);
        trial.observe("charge.dispute.created", &json!({"charge": "ch_1", "status": "needs_response"}));
        let disputed = trial.refund("payment_intent=pi_1", None).await;
        assert_eq!(Trial::json(&disputed)["error"]["code"], "charge_disputed");
        trial.observe("charge.dispute.closed", &json!({"charge": "ch_1", "status": "won"}));
        assert_eq!(trial.refund("payment_intent=pi_1", None).await.status, 200);
    }

    #[tokio::test(start_paused = true)]
    async fn tags_refuse_a_refund_hold_it_back_or_lose_its_answer_once() {
        let trial = Trial::new();
        trial.paid("pi_1", "zoe+refund-refused@example.edu");
        trial.paid("pi_2", "zoe+refund-pending@example.edu");
        trial.paid("pi_3", "zoe+cal-refused+refund-lost@example.edu");
        let refused = trial.refund("payment_intent=pi_1", Some("k1")).await;
        assert_eq!(Trial::json(&refused)["error"]["code"], "charge_not_refundable");
        assert_eq!(trial.refund("payment_intent=pi_1", Some("k1")).await.headers["idempotent-replayed"], "true");
        assert_eq!(Trial::json(&trial.refund("payment_intent=pi_2", None).await)["status"], "pending");
        let lost = trial.try_post("/stripe/v1/refunds", "payment_intent=pi_3", &[("idempotency-key", "k3")]).await;
        assert!(matches!(lost, Err(crate::transport::Error::Reset(_))), "{lost:?}");
        let replayed = trial.refund("payment_intent=pi_3", Some("k3")).await;
        assert_eq!((replayed.status.as_u16(), trial.sandbox.ledger().stripe.refunded("pi_3")), (200, 5000));
    }

    #[tokio::test(start_paused = true)]
    async fn a_refund_that_fails_later_no_longer_counts() {
        let trial = Trial::new();
        trial.paid("pi_1", "zoe@example.edu");
        let mut refund = Trial::json(&trial.refund("payment_intent=pi_1", None).await);
        refund["status"] = json!("failed");
        trial.observe("refund.failed", &refund);
        assert_eq!(trial.sandbox.ledger().stripe.refunded("pi_1"), 0);
        let charge =
            &Trial::json(&trial.get("/stripe/v1/payment_intents/pi_1?expand[]=latest_charge").await)["latest_charge"];
        assert_eq!((&charge["amount_refunded"], &charge["application_fee_amount"]), (&json!(0), &json!(null)));
        assert_eq!(charge["created"], NOW.as_secs());
    }
}

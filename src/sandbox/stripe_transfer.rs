//! Transfers to connected accounts.

use std::collections::BTreeMap;

use serde_json::Value;

use crate::entropy::Entropy;
use crate::model::time::Timestamp;
use crate::sandbox::answer::Answer;
use crate::sandbox::form::Form;
use crate::sandbox::ledger::Transfer;
use crate::sandbox::stripe_object::{self, invalid, missing};
use crate::sandbox::stripe_refund::{amount, metadata, unknown};
use crate::sandbox::stripe_world::Books;

const KNOWN: [&str; 8] =
    ["amount", "currency", "destination", "source_transaction", "transfer_group", "metadata", "description", "expand"];

/// A transfer as asked for, well-formed.
#[derive(Debug)]
pub(super) struct Ask {
    amount: i64,
    currency: String,
    destination: String,
    source_transaction: Option<String>,
    transfer_group: Option<String>,
    metadata: BTreeMap<String, String>,
}

impl Ask {
    pub(super) fn read(form: &Form) -> Result<Self, Answer> {
        unknown(form, &KNOWN)?;
        let needed = |name: &'static str| {
            let message = format!("Missing required param: {name}.");
            move || invalid(400, Some("parameter_missing"), Some(name), &message)
        };
        let text = |name: &'static str| form.get(name).map(str::to_owned).ok_or_else(needed(name));
        let currency = text("currency")?;
        if currency.len() != 3 || !currency.bytes().all(|byte| byte.is_ascii_lowercase()) {
            return Err(invalid(400, None, Some("currency"), &format!("Invalid currency: {currency}")));
        }
        Ok(Self {
            amount: amount(form)?.ok_or_else(needed("amount"))?,
            currency,
            destination: text("destination")?,
            source_transaction: form.get("source_transaction").map(str::to_owned),
            transfer_group: form.get("transfer_group").map(str::to_owned),
            metadata: metadata(form)?,
        })
    }
}

impl Books {
    /// Moves the money, or says why not.
    pub(super) fn pay_out(&mut self, ask: Ask, entropy: &Entropy, at: Timestamp) -> Result<Value, Answer> {
        if !ask.destination.starts_with("acct_") {
            return Err(missing("destination", &ask.destination, "destination"));
        }
        if self.incapable.contains(&ask.destination) {
            let message = "Your destination account needs to have at least one of the following capabilities enabled: \
                           transfers, crypto_transfers, legacy_payments";
            return Err(invalid(400, Some("insufficient_capabilities_for_transfer"), None, message));
        }
        let group = match &ask.source_transaction {
            Some(charge) => Some(self.draw(&ask, charge)?),
            None if ask.amount > self.balance.get(&ask.currency).copied().unwrap_or(0) => {
                let message = "You have insufficient available funds in your Stripe account.";
                return Err(invalid(400, Some("balance_insufficient"), None, message));
            }
            None => None,
        };
        let transfer = Transfer {
            id: format!("tr_{}", entropy.hex(24)),
            amount: ask.amount,
            amount_reversed: 0,
            currency: ask.currency,
            destination: ask.destination,
            source_transaction: ask.source_transaction,
            transfer_group: ask.transfer_group.or(group),
            metadata: ask.metadata,
            created: at,
        };
        let body = stripe_object::transfer(&transfer);
        self.add_transfer(transfer);
        Ok(body)
    }

    /// The group of a charge whose money is still there to be moved.
    fn draw(&self, ask: &Ask, charge: &str) -> Result<String, Answer> {
        let intent = self.charges.get(charge).and_then(|id| self.intents.get(id));
        let intent = intent.ok_or_else(|| missing("charge", charge, "source_transaction"))?;
        if intent.currency != ask.currency {
            let message = format!(
                "The currency of source_transaction's balance transaction ({}) must be the same as \
                                   the transfer currency ({})",
                intent.currency, ask.currency
            );
            return Err(invalid(400, None, Some("currency"), &message));
        }
        let moved = self.drawn.get(charge).copied().unwrap_or(0);
        if moved.saturating_add(ask.amount) > intent.amount {
            let message = format!("Cannot transfer more than the charge still holds: {charge}");
            return Err(invalid(400, None, Some("amount"), &message));
        }
        Ok(format!("group_{}", intent.id))
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use crate::sandbox::trial::Trial;

    async fn transfer(trial: &Trial, body: &str) -> serde_json::Value {
        Trial::json(&trial.try_post("/stripe/v1/transfers", body, &[]).await.unwrap())
    }

    #[tokio::test(start_paused = true)]
    async fn a_charge_gives_no_more_than_it_took() {
        let trial = Trial::new();
        trial.paid("pi_1", "zoe@example.edu");
        let body = "amount=4250&currency=usd&destination=acct_1&source_transaction=ch_1";
        assert_eq!(transfer(&trial, body).await["error"]["param"], "amount");
        let rest = transfer(&trial, "amount=750&currency=usd&destination=acct_2&source_transaction=ch_1").await;
        assert_eq!(rest["transfer_group"], "group_pi_1");
        let group = Trial::json(&trial.get("/stripe/v1/transfers?transfer_group=group_pi_1").await);
        assert_eq!(group["data"].as_array().unwrap().len(), 2);
        let account = Trial::json(&trial.get("/stripe/v1/transfers?destination=acct_2").await);
        assert_eq!(account["data"][0]["id"], rest["id"]);
        let balance = Trial::json(&trial.get("/stripe/v1/balance").await);
        assert_eq!(balance["available"][0]["amount"], 0);
    }

    #[tokio::test(start_paused = true)]
    async fn without_funds_or_capability_nothing_moves() {
        let trial = Trial::new();
        let body = "amount=100&currency=usd&destination=acct_1";
        assert_eq!(transfer(&trial, body).await["error"]["code"], "balance_insufficient");
        trial.paid("pi_1", "zoe@example.edu");
        trial.observe("account.updated", &json!({"id": "acct_1", "capabilities": {"transfers": "inactive"}}));
        assert_eq!(transfer(&trial, body).await["error"]["code"], "insufficient_capabilities_for_transfer");
        trial.observe("account.updated", &json!({"id": "acct_1", "capabilities": {"transfers": "active"}}));
        assert_eq!(transfer(&trial, body).await["amount"], 100);
    }
}

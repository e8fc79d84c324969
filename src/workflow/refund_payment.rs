//! Pays a payment back on purpose, and tells the customer what truly became of it.

use std::sync::Arc;

use serde::Deserialize;
use serde_json::json;

use crate::engine::ctx::Ctx;
use crate::engine::policy::Policy;
use crate::engine::registry::{Outcome, Workflow};
use crate::model::case::{CaseKind, NewCase};
use crate::model::failure::Failure;
use crate::model::money::Money;
use crate::model::payment::{Payment, PaymentFact};
use crate::model::refund::{RefundOrigin, RefundStatus};
use crate::store::change::{Change, NewRun, RefundIntent};
use crate::workflow::{Means, letter, refund, transfer};

/// The workflow's name.
pub const NAME: &str = "refund-payment";

/// What is wanted.
#[derive(Deserialize)]
pub struct Input {
    /// For the ledger and the people on call.
    reason: String,
    /// For the customer.
    told: String,
}

/// A run that pays the subject back in full, once for each `key`.
pub(super) fn start(key: &str, reason: &str, told: &str) -> Change {
    Change::Start(NewRun::with_input(NAME, key, json!({ "reason": reason, "told": told })))
}

/// Pays back.
pub struct RefundPayment(pub Arc<Means>);

impl Workflow for RefundPayment {
    const NAME: &'static str = NAME;
    type Input = Input;

    async fn run(&self, ctx: &Ctx, input: Input) -> Result<Outcome, Failure> {
        let refund = ctx
            .step("refund-payment", Policy::MONEY, async |step| {
                let intent = RefundIntent {
                    payment: step.payment()?,
                    amount: None,
                    reason: input.reason.clone(),
                    origin: RefundOrigin::Workflow,
                    ceiling: self.0.refund_ceiling,
                };
                refund::pay_back(&self.0, &step, intent).await
            })
            .await;
        let payment = ctx
            .step("read-payment", Policy::DEFAULT, async |step| {
                self.0.store.payment(step.payment()?).await.map_err(|error| step.store_failure(error))
            })
            .await?;
        match refund {
            Ok(status) => {
                let mut changes = vec![Change::Cancel { workflow: transfer::NAME }];
                changes.extend(letter(&payment, status, &input.told).map(Change::Mail));
                ctx.commit("tell-customer", changes).await?;
                Ok("refunded")
            }
            Err(failure) => {
                tracing::error!(
                    tag = "Refund", event = "refund_failed", critical = true, runId = %ctx.run().id,
                    paymentId = %payment.id, code = failure.code, error = failure.message,
                );
                let case = Change::OpenCase(refund_failed(&payment, &input.reason, &failure));
                ctx.commit("alert-admin", vec![Change::Learn(PaymentFact::CalledOff), case]).await?;
                Ok("case_opened")
            }
        }
    }
}

fn letter(payment: &Payment, status: RefundStatus, told: &str) -> Option<crate::model::mail::NewMail> {
    let key = payment.payment_intent.as_deref().unwrap_or(&payment.session_id);
    letter::refund_made(payment, key, payment.amount, status, Some(told))
}

fn refund_failed(payment: &Payment, reason: &str, failure: &Failure) -> NewCase {
    let certainty = if failure.is_definite() { "could not be paid back" } else { "may or may not have been paid back" };
    let amount: Money = payment.amount;
    let reference = payment.payment_intent.as_deref().unwrap_or(&payment.session_id);
    NewCase {
        kind: CaseKind::RefundFailed,
        cause: format!("refund_failed/{reference}"),
        summary: format!("{amount} was to be refunded ({reason}) and {certainty}"),
        detail: format!(
            "session {}; refund: {} ({}). Look at the payment in Stripe, then refund it there",
            payment.session_id, failure.code, failure.message
        ),
        at_risk: Some(amount),
    }
}

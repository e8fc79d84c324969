//! Tells a customer that a delayed payment did not arrive.

use std::sync::Arc;

use crate::engine::ctx::Ctx;
use crate::engine::policy::Policy;
use crate::engine::registry::{Outcome, Workflow};
use crate::model::checkout::Checkout;
use crate::model::failure::Failure;
use crate::model::payment::PaymentStatus;
use crate::store::change::Change;
use crate::workflow::{Means, letter};

/// Writes one e-mail: nothing was taken, nothing is booked.
pub struct PaymentFailed(pub Arc<Means>);

impl Workflow for PaymentFailed {
    const NAME: &'static str = crate::ingress::stripe::PAYMENT_FAILED_WORKFLOW;
    type Input = Checkout;

    async fn run(&self, ctx: &Ctx, order: Checkout) -> Result<Outcome, Failure> {
        ctx.step("send-payment-failed-email", Policy::DEFAULT, async |step| {
            let payment = self.0.store.payment(step.payment()?).await.map_err(|error| step.store_failure(error))?;
            // The news may be older than that of a payment after all.
            if payment.status == PaymentStatus::Failed {
                step.also(Change::Mail(letter::payment_failed(&order)));
            }
            Ok(())
        })
        .await?;
        Ok("told")
    }
}

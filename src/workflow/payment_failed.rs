//! Tells a customer that a delayed payment did not arrive.

use crate::engine::ctx::Ctx;
use crate::engine::registry::{Outcome, Workflow};
use crate::model::checkout::Checkout;
use crate::model::failure::Failure;
use crate::store::change::Change;
use crate::workflow::letter;

/// Writes one e-mail: nothing was taken, nothing is booked.
pub struct PaymentFailed;

impl Workflow for PaymentFailed {
    const NAME: &'static str = crate::ingress::stripe::PAYMENT_FAILED_WORKFLOW;
    type Input = Checkout;

    async fn run(&self, ctx: &Ctx, order: Checkout) -> Result<Outcome, Failure> {
        ctx.commit("send-payment-failed-email", vec![Change::Mail(letter::payment_failed(&order))]).await?;
        Ok("told")
    }
}

//! Other versions of the workflows: what a deployment in the middle of everything starts, or goes back to.

use crate::engine::ctx::Ctx;
use crate::engine::registry::{Outcome, Registry, Workflow};
use crate::model::checkout::Checkout;
use crate::model::failure::Failure;
use crate::workflow::checkout::ProcessCheckout;

/// The checkout with a step more at its beginning: runs under way do not fit it.
struct Screened(ProcessCheckout);

impl Workflow for Screened {
    const NAME: &'static str = ProcessCheckout::NAME;
    type Input = Checkout;

    async fn run(&self, ctx: &Ctx, order: Checkout) -> Result<Outcome, Failure> {
        ctx.commit("screen-order", Vec::new()).await?;
        self.0.run(ctx, order).await
    }
}

/// The checkout with a step more at its end: runs under way fit it.
struct Concluded(ProcessCheckout);

impl Workflow for Concluded {
    const NAME: &'static str = ProcessCheckout::NAME;
    type Input = Checkout;

    async fn run(&self, ctx: &Ctx, order: Checkout) -> Result<Outcome, Failure> {
        let outcome = self.0.run(ctx, order).await?;
        ctx.commit("conclude", Vec::new()).await?;
        Ok(outcome)
    }
}

/// The workflows of a version: 0 is the shipped one, 1 has a step before, 2 a step after.
pub(super) fn of(version: usize, shipped: Registry, checkout: ProcessCheckout) -> Registry {
    match version {
        1 => shipped.with(Screened(checkout)),
        2 => shipped.with(Concluded(checkout)),
        _ => shipped,
    }
}

//! What is old and no longer needed goes: the bytes of events, the tries of runs that ended well.

use std::sync::Arc;

use crate::engine::ctx::Ctx;
use crate::engine::policy::Policy;
use crate::engine::registry::{Outcome, Workflow};
use crate::model::failure::Failure;
use crate::workflow::Means;
use crate::workflow::schedule::{PRUNE, Slot};

/// Rows in one transaction: nobody waits long behind it.
const BATCH: u32 = 1000;
/// The rest waits for tomorrow.
const MOST_BATCHES: u32 = 500;

/// Prunes.
pub struct Prune(pub Arc<Means>);

impl Workflow for Prune {
    const NAME: &'static str = PRUNE.workflow;
    type Input = Slot;

    async fn run(&self, ctx: &Ctx, slot: Slot) -> Result<Outcome, Failure> {
        PRUNE.go_on(ctx, slot).await?;
        for _ in 0..MOST_BATCHES {
            let gone = ctx
                .step("prune", Policy::DEFAULT, async |step| {
                    let before = step.now().minus(self.0.retention);
                    self.0.store.prune(before, BATCH).await.map_err(|error| step.store_failure(error))
                })
                .await?;
            if gone == 0 {
                break;
            }
        }
        Ok("pruned")
    }
}

//! What is old and no longer needed goes: the bytes of events, the tries of runs that ended well.

use std::sync::Arc;

use crate::engine::ctx::Ctx;
use crate::engine::policy::Policy;
use crate::engine::registry::{Outcome, Workflow};
use crate::model::failure::Failure;
use crate::workflow::Means;
use crate::workflow::schedule::{PRUNE, Slot};

/// Rows that are looked at in one transaction: nobody waits long behind it.
const BATCH: u32 = 1000;
/// Transactions in one step.
const BATCHES: u32 = 100;

/// Prunes.
pub struct Prune(pub Arc<Means>);

impl Workflow for Prune {
    const NAME: &'static str = PRUNE.workflow;
    type Input = Slot;

    async fn run(&self, ctx: &Ctx, slot: Slot) -> Result<Outcome, Failure> {
        PRUNE.go_on(ctx, slot).await?;
        let mut next = Some(0);
        while let Some(from) = next {
            next = ctx
                .step("prune", Policy::DEFAULT, async |step| {
                    let before = step.now().minus(self.0.retention);
                    let mut next = Some(from);
                    for _ in 0..BATCHES {
                        let Some(after) = next else { break };
                        let pruned = self.0.store.prune(before, after, BATCH).await;
                        next = pruned.map_err(|error| step.store_failure(error))?.next;
                    }
                    Ok(next)
                })
                .await?;
        }
        Ok("pruned")
    }
}

//! Events that came before their payment was known: applied once it is.

use std::sync::Arc;

use serde::Deserialize;

use crate::engine::ctx::Ctx;
use crate::engine::policy::Policy;
use crate::engine::registry::{Outcome, Workflow};
use crate::ingress::stored;
use crate::model::event::Disposition;
use crate::model::failure::Failure;
use crate::model::id::EventId;
use crate::store::Subject;
use crate::workflow::Means;

/// Which event.
#[derive(Deserialize)]
pub struct Input {
    event: i64,
}

/// Plans the event anew and applies what follows.
pub struct ApplyEvent(pub Arc<Means>);

impl Workflow for ApplyEvent {
    const NAME: &'static str = "apply-event";
    type Input = Input;

    async fn run(&self, ctx: &Ctx, input: Input) -> Result<Outcome, Failure> {
        let id = EventId(input.event);
        let applied = ctx
            .step("apply", Policy::DEFAULT, async |step| {
                let story = self.0.store.story(Subject::Event(id)).await.map_err(|error| step.store_failure(error))?;
                let body = self.0.store.body(id).await.map_err(|error| step.store_failure(error))?;
                let Some(event) = story.events.first().filter(|event| event.disposition == Disposition::Accepted)
                else {
                    return Ok(false);
                };
                let plan = stored::plan(event, body.into(), &self.0.counted_events, self.0.live);
                let plan = plan.map_err(|error| Failure::permanent(error.code(), error.to_string()))?;
                plan.changes.into_iter().for_each(|change| step.also(change));
                Ok(true)
            })
            .await?;
        Ok(if applied { "applied" } else { "linked" })
    }
}

//! A new user: made known, then counted.

use std::sync::Arc;

use serde::Deserialize;

use crate::engine::ctx::Ctx;
use crate::engine::policy::Policy;
use crate::engine::registry::{Outcome, Workflow};
use crate::ingress::app;
use crate::model::capture::Capture;
use crate::model::failure::Failure;
use crate::workflow::{Means, track};

/// Who they are, and that they have come.
#[derive(Deserialize)]
pub struct Input {
    identify: Capture,
    signed_up: Capture,
}

/// Identifies, then counts.
pub struct UserSignedUp(pub Arc<Means>);

impl Workflow for UserSignedUp {
    const NAME: &'static str = app::USER_SIGNED_UP_WORKFLOW;
    type Input = Input;

    async fn run(&self, ctx: &Ctx, input: Input) -> Result<Outcome, Failure> {
        let identified =
            ctx.step("identify", Policy::MAIL, async |_| track::send(&self.0, &input.identify).await).await;
        let counted = ctx.step("capture", Policy::MAIL, async |_| track::send(&self.0, &input.signed_up).await).await;
        Ok(if identified.is_ok() && counted.is_ok() { "captured" } else { "given_up" })
    }
}

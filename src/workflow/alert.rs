//! Tells a person of a case, until one of the ways gets through.

use std::sync::Arc;
use std::time::Duration;

use serde::Deserialize;

use crate::engine::ctx::Ctx;
use crate::engine::policy::Policy;
use crate::engine::registry::{Outcome, Workflow};
use crate::model::failure::Failure;
use crate::model::id::CaseId;
use crate::store::change::Change;
use crate::workflow::{Means, letter};

/// How long to wait once every way has failed.
const BETWEEN: Duration = Duration::from_secs(15 * 60);

/// Which case.
#[derive(Deserialize)]
pub struct Input {
    case: i64,
}

/// By e-mail and by the alert webhook. The case counts as told once either got through.
pub struct Alert(pub Arc<Means>);

impl Workflow for Alert {
    const NAME: &'static str = "alert";
    type Input = Input;

    async fn run(&self, ctx: &Ctx, input: Input) -> Result<Outcome, Failure> {
        let id = CaseId(input.case);
        loop {
            let mailed = ctx.step("mail-alert", Policy::DEFAULT, async |step| self.mail(id, &step).await).await;
            let posted = ctx.step("post-alert", Policy::DEFAULT, async |step| self.post(id, &step).await).await;
            if mailed.is_ok() || posted.is_ok() {
                ctx.commit("case-alerted", vec![Change::CaseAlerted(id)]).await?;
                return Ok("told");
            }
            tracing::error!(
                tag = "SideEffects", event = "alert_not_delivered", critical = true, runId = %ctx.run().id, case = %id,
                message = "nobody has been told of this case; it is tried again",
            );
            ctx.sleep("wait", BETWEEN).await;
        }
    }
}

impl Alert {
    async fn mail(&self, id: CaseId, step: &crate::engine::ctx::Step<'_>) -> Result<(), Failure> {
        let (Some(mailer), Some(to)) = (&self.0.providers.mail, &self.0.alert_email) else {
            return Err(Failure::permanent("not_configured", "no alert e-mail is configured"));
        };
        let case = self.0.store.case(id).await.map_err(|error| step.store_failure(error))?;
        mailer.send(&self.0.mail_from, &letter::case_opened(&case, to)).await?;
        Ok(())
    }

    async fn post(&self, id: CaseId, step: &crate::engine::ctx::Step<'_>) -> Result<(), Failure> {
        let Some(hook) = &self.0.providers.alert else {
            return Err(Failure::permanent("not_configured", "no alert webhook is configured"));
        };
        let case = self.0.store.case(id).await.map_err(|error| step.store_failure(error))?;
        Ok(hook.post(&case).await?)
    }
}

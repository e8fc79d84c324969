//! Tells of what is wrong with the deployment, until one of the ways gets through.

use std::sync::Arc;

use serde::Deserialize;

use crate::engine::ctx::{Ctx, Step};
use crate::engine::policy::Policy;
use crate::engine::registry::{Outcome, Workflow};
use crate::model::alert::{Alert, Condition};
use crate::model::failure::Failure;
use crate::model::id::AlertId;
use crate::store::change::Change;
use crate::workflow::alert::{BETWEEN, deliver};
use crate::workflow::{Means, notice};

/// Which alerts.
#[derive(Deserialize)]
pub struct Input {
    /// Began, or go on.
    due: Vec<i64>,
    /// Are over.
    over: Vec<i64>,
}

/// By e-mail and by the alert webhook, as cases are told.
pub struct TellAlerts(pub Arc<Means>);

impl Workflow for TellAlerts {
    const NAME: &'static str = "tell-alerts";
    type Input = Input;

    async fn run(&self, ctx: &Ctx, input: Input) -> Result<Outcome, Failure> {
        let all: Vec<AlertId> = input.due.iter().chain(&input.over).copied().map(AlertId).collect();
        // Composed once, so that every try sends the same.
        let (notice, test) = ctx
            .step("compose", Policy::ENDLESS, async |step| {
                let (due, over) = (self.read(&input.due, &step).await?, self.read(&input.over, &step).await?);
                let test = due.iter().chain(&over).all(|alert| alert.condition == Condition::Test);
                Ok((notice::of_alerts(&ctx.run().key, &due, &over), test))
            })
            .await?;
        loop {
            let (mailed, posted) = deliver(&self.0, ctx, ["mail-alerts", "post-alerts"], &notice).await;
            let (Err(mail), Err(post)) = (&mailed, &posted) else {
                ctx.commit("alerts-told", vec![Change::AlertsTold(all)]).await?;
                return Ok("told");
            };
            let failure = format!("e-mail: {}; webhook: {}", mail.code, post.code);
            tracing::error!(
                tag = "SideEffects", event = "alert_not_delivered", critical = true, runId = %ctx.run().id, error = failure,
                message = "nobody has been told of this alert; it is tried again",
            );
            ctx.commit("alerts-untold", vec![Change::AlertsUntold { alerts: all.clone(), failure }]).await?;
            if test {
                return Ok("not_delivered");
            }
            ctx.sleep("wait", BETWEEN).await;
        }
    }
}

impl TellAlerts {
    async fn read(&self, ids: &[i64], step: &Step<'_>) -> Result<Vec<Alert>, Failure> {
        let mut found = Vec::new();
        for id in ids {
            found.push(self.0.store.alert(AlertId(*id)).await.map_err(|error| step.store_failure(error))?);
        }
        Ok(found)
    }
}

//! Tells a person of a case, until one of the ways gets through.
//!
//! The first of a kind is told at once. Those that are opened within a while after it are told together by one of their
//! runs; the others find that they are told of.

use std::sync::Arc;
use std::time::Duration;

use serde::Deserialize;

use crate::engine::ctx::{Ctx, Step};
use crate::engine::policy::Policy;
use crate::engine::registry::{Outcome, Workflow};
use crate::model::case::Case;
use crate::model::failure::Failure;
use crate::model::id::CaseId;
use crate::model::notice::Notice;
use crate::store::alerts::CaseGroup;
use crate::store::change::Change;
use crate::workflow::{Means, letter, notice};

/// How long to wait once every way has failed.
pub(super) const BETWEEN: Duration = Duration::from_secs(15 * 60);

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
        let cases = loop {
            let span = self.0.alert_group;
            let group = ctx
                .step("gather", Policy::ENDLESS, async |step| {
                    let group = self.0.store.case_group(id, span, step.now()).await;
                    group.map_err(|error| step.store_failure(error))
                })
                .await;
            match group {
                Ok(CaseGroup::Told) => return Ok("told_with_others"),
                Ok(CaseGroup::Wait(until)) => ctx.sleep_until(until).await,
                Ok(CaseGroup::Tell(cases)) => break cases,
                // Whatever is wrong with the group, this one is told of.
                Err(_) => break vec![id],
            }
        };
        loop {
            let mailed = ctx.step("mail-alert", Policy::DEFAULT, async |step| self.mail(&cases, &step).await).await;
            let posted = ctx.step("post-alert", Policy::DEFAULT, async |step| self.post(&cases, &step).await).await;
            if mailed.is_ok() || posted.is_ok() {
                ctx.commit("case-alerted", cases.into_iter().map(Change::CaseAlerted).collect()).await?;
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
    async fn mail(&self, cases: &[CaseId], step: &Step<'_>) -> Result<(), Failure> {
        let cases = self.read(cases, step).await?;
        let (mailer, to) = self.0.alert_mail()?;
        let letter = match cases.as_slice() {
            [one] => letter::case_opened(one, to),
            many => letter::notice(&notice::of_cases(many), to),
        };
        mailer.send(&self.0.mail_from, &letter).await?;
        Ok(())
    }

    async fn post(&self, cases: &[CaseId], step: &Step<'_>) -> Result<(), Failure> {
        let cases = self.read(cases, step).await?;
        Ok(self.0.alert_hook()?.post(&notice::of_cases(&cases)).await?)
    }

    async fn read(&self, ids: &[CaseId], step: &Step<'_>) -> Result<Vec<Case>, Failure> {
        let mut found = Vec::new();
        for id in ids {
            found.push(self.0.store.case(*id).await.map_err(|error| step.store_failure(error))?);
        }
        Ok(found)
    }
}

/// Sends a notice both ways, each as a step; what became of either.
pub(super) async fn deliver(
    means: &Means,
    ctx: &Ctx,
    [mail, post]: [&str; 2],
    notice: &Notice,
) -> (Result<(), Failure>, Result<(), Failure>) {
    let mailed = ctx
        .step(mail, Policy::DEFAULT, async |_| {
            let (mailer, to) = means.alert_mail()?;
            mailer.send(&means.mail_from, &letter::notice(notice, to)).await?;
            Ok(())
        })
        .await;
    let posted = ctx.step(post, Policy::DEFAULT, async |_| Ok(means.alert_hook()?.post(notice).await?)).await;
    (mailed, posted)
}

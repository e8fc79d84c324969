//! The day before, in figures: to the people who run this, and counted.

use std::sync::Arc;
use std::time::Duration;

use serde_json::json;

use crate::engine::ctx::Ctx;
use crate::engine::policy::Policy;
use crate::engine::registry::{Outcome, Workflow};
use crate::model::capture::Capture;
use crate::model::failure::Failure;
use crate::model::takings::Summary;
use crate::model::time::Timestamp;
use crate::store::change::Change;
use crate::workflow::schedule::{DAILY_SUMMARY, Slot};
use crate::workflow::{Means, letter, track};

const DAY: Duration = Duration::from_secs(24 * 3600);

/// Sums a day up.
pub struct DailySummary(pub Arc<Means>);

impl Workflow for DailySummary {
    const NAME: &'static str = DAILY_SUMMARY.workflow;
    type Input = Slot;

    async fn run(&self, ctx: &Ctx, slot: Slot) -> Result<Outcome, Failure> {
        DAILY_SUMMARY.go_on(ctx, slot).await?;
        let until = midnight(slot.due);
        let from = until.minus(DAY);
        let summary = ctx
            .step("sum-up", Policy::DEFAULT, async |step| {
                self.0.store.summary(from, until).await.map_err(|error| step.store_failure(error))
            })
            .await?;
        let day = from.to_string()[..10].to_owned();
        let mail = self.0.alert_email.as_deref().map(|to| letter::daily_summary(&day, &summary, to));
        let capture = counted(&day, &summary, until);
        let changes = mail.map(Change::Mail).into_iter().chain(capture.iter().map(track::later)).collect();
        ctx.commit("tell-admin", changes).await?;
        Ok("told")
    }
}

fn midnight(at: Timestamp) -> Timestamp {
    const MILLIS: i64 = 24 * 3600 * 1000;
    Timestamp(at.0.div_euclid(MILLIS) * MILLIS)
}

fn counted(day: &str, summary: &Summary, at: Timestamp) -> Option<Capture> {
    let takings: Vec<_> = summary
        .takings
        .iter()
        .map(|of| {
            json!({
                "currency": of.currency.code().to_ascii_lowercase(), "payments": of.payments, "paid": of.paid,
                "fees": of.fees, "refunds": of.refunds, "refunded": of.refunded,
            })
        })
        .collect();
    let properties = json!({
        "day": day, "takings": takings, "failedRuns": summary.failed_runs, "openCases": summary.open_cases,
    });
    Capture::of("daily_summary", Some("discuno"), day, at, properties)
}

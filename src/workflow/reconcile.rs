//! Once a day: whether every payment at rest is where it should be. It only reports; people repair.

use std::sync::Arc;
use std::time::Duration;

use serde_json::Value;

use crate::engine::ctx::Ctx;
use crate::engine::policy::Policy;
use crate::engine::registry::{Outcome, Workflow};
use crate::ingress::stripe::READ_REFUNDS_WORKFLOW;
use crate::model::case::{CaseKind, NewCase};
use crate::model::failure::Failure;
use crate::store::change::{Change, NewRun, PaymentKey};
use crate::store::{Discrepancy, Unsettled};
use crate::workflow::Means;
use crate::workflow::schedule::{RECONCILE, Slot};

/// What is under way is given as long before it counts as stuck.
const REST: Duration = Duration::from_secs(6 * 3600);
/// More at once is a fault of its own: the rest follows tomorrow.
const MOST: u32 = 200;

/// Compares.
pub struct Reconcile(pub Arc<Means>);

impl Workflow for Reconcile {
    const NAME: &'static str = RECONCILE.workflow;
    type Input = Slot;

    async fn run(&self, ctx: &Ctx, slot: Slot) -> Result<Outcome, Failure> {
        RECONCILE.go_on(ctx, slot).await?;
        let found = ctx
            .step("compare", Policy::DEFAULT, async |step| {
                let since = step.now().minus(REST);
                let found = self.0.store.discrepancies(since, MOST).await.map_err(|error| step.store_failure(error))?;
                for discrepancy in &found {
                    for change in follow(discrepancy, slot) {
                        step.also(change);
                    }
                }
                Ok(found.len())
            })
            .await?;
        Ok(if found == 0 { "all_accounted_for" } else { "discrepancies_found" })
    }
}

fn follow(found: &Discrepancy, slot: Slot) -> Vec<Change> {
    let payment = &found.payment;
    let about = Change::About(PaymentKey::Session(payment.session_id.clone()));
    let what = match found.what {
        Unsettled::RefundUnknown => {
            // Its news may have been lost: Stripe is read.
            let key = format!("reconcile/{}", slot.due);
            return vec![about, Change::Start(NewRun::with_input(READ_REFUNDS_WORKFLOW, key, Value::Null))];
        }
        Unsettled::Abandoned => "is taken, and nobody is at work on it",
        Unsettled::NothingStands => "is taken, and no session stands for it",
        Unsettled::Unconfirmed => "is taken, and the mentor never confirmed the session, which is over",
        Unsettled::StillStands => "was refunded, and the session still stands",
        Unsettled::RefundPending => "was to be refunded, and Stripe has not carried that out for ten days",
        Unsettled::ShareLeft => "was paid; some or all of it is back, and the mentor still has the share of that",
        Unsettled::ShareOwed => "was paid, and the mentor gave back more of the share than the customer has back",
    };
    let kind = match found.what {
        Unsettled::ShareLeft => CaseKind::TransferNotReversed,
        Unsettled::ShareOwed => CaseKind::TransferBlocked,
        _ => CaseKind::Unaccounted,
    };
    let case = NewCase {
        kind,
        cause: format!("unaccounted/{}/{}", found.what, payment.session_id),
        summary: format!("{} {what}", found.amount),
        detail: format!("{}: compare Stripe and Cal.com, then refund, book or close this", payment.session_id),
        at_risk: Some(found.amount),
    };
    vec![about, Change::OpenCase(case)]
}

//! Mentors' payouts: counted, and told.

use std::sync::Arc;

use serde::Deserialize;
use serde_json::json;

use crate::engine::ctx::Ctx;
use crate::engine::policy::Policy;
use crate::engine::registry::{Outcome, Workflow};
use crate::ingress::stripe;
use crate::model::account::Account;
use crate::model::capture::Capture;
use crate::model::failure::Failure;
use crate::model::money::Money;
use crate::model::time::Timestamp;
use crate::store::change::Change;
use crate::workflow::{Means, letter, track};

/// A payout, as Stripe tells it.
#[derive(Deserialize)]
pub struct Payout {
    #[serde(rename = "payout")]
    id: String,
    account: String,
    amount: Money,
    at: Timestamp,
    #[serde(default)]
    arrival: Option<i64>,
    #[serde(default)]
    code: Option<String>,
}

impl Payout {
    async fn account(&self, ctx: &Ctx, means: &Means) -> Result<Option<Account>, Failure> {
        ctx.step("read-account", Policy::DEFAULT, async |step| {
            means.store.account(&self.account).await.map_err(|error| step.store_failure(error))
        })
        .await
    }
}

/// The mentor has the money.
pub struct PayoutCompleted(pub Arc<Means>);

impl Workflow for PayoutCompleted {
    const NAME: &'static str = stripe::PAYOUT_COMPLETED_WORKFLOW;
    type Input = Payout;

    async fn run(&self, ctx: &Ctx, payout: Payout) -> Result<Outcome, Failure> {
        let Some(account) = payout.account(ctx, &self.0).await? else { return Ok("unknown_account") };
        let properties = json!({
            "payoutId": payout.id, "accountId": payout.account, "amount": payout.amount.minor,
            "currency": payout.amount.currency.code().to_ascii_lowercase(), "arrivalDate": payout.arrival,
        });
        let user = account.user_id.as_deref();
        let capture = Capture::of("payout_completed", user, &payout.id, payout.at, properties);
        let mail = account.email.as_deref().map(|to| letter::payout_paid(to, &payout.id, payout.amount));
        let changes = capture.iter().map(track::later).chain(mail.map(Change::Mail)).collect();
        ctx.commit("track-payout-completed", changes).await?;
        Ok("told")
    }
}

/// The mentor has not got the money.
pub struct PayoutFailed(pub Arc<Means>);

impl Workflow for PayoutFailed {
    const NAME: &'static str = stripe::PAYOUT_FAILED_WORKFLOW;
    type Input = Payout;

    async fn run(&self, ctx: &Ctx, payout: Payout) -> Result<Outcome, Failure> {
        let Some(account) = payout.account(ctx, &self.0).await? else { return Ok("unknown_account") };
        let Some(to) = &account.email else { return Ok("no_address") };
        let code = payout.code.as_deref();
        let mail = letter::payout_failed(to, &payout.id, payout.amount, code);
        ctx.commit("tell-mentor", vec![Change::Mail(mail)]).await?;
        Ok("told")
    }
}

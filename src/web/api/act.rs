//! What operators do, by the same verbs as the command line.

use std::str::FromStr;

use axum::extract::State;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::model::case::Resolution;
use crate::model::id::{ActId, CaseId, EventId, PaymentId, RunId};
use crate::model::money::{Currency, Money};
use crate::model::pause::{Pausable, Pause};
use crate::model::refund::Refund;
use crate::model::role::Role;
use crate::model::run::Run;
use crate::ops::refund::Plan;
use crate::ops::replay::Replayed;
use crate::pauses::{all_pausable, held_by, pausable};
use crate::store::Subject;
use crate::store::error::Error;
use crate::store::order::{Deed, RefundOrder};
use crate::web::admin::Admin;
use crate::web::api::answer::{Answer, People};
use crate::web::api::input::{Ask, At, Count, Given, Minor, Whole};
use crate::web::api::list::missing;
use crate::web::auth::Identity;
use crate::web::problem::Problem;

/// What came of an act.
#[derive(Serialize, JsonSchema)]
pub(super) struct Acted {
    /// Its row in the audit trail; null if nothing had to be done, or it was only rehearsed.
    act: Option<ActId>,
    /// Whether it was so already.
    already: bool,
    /// What was so before.
    before: Value,
    /// What is so now.
    after: Value,
    /// What holds the run back that was retried: it goes on once this is resumed.
    #[serde(skip_serializing_if = "Option::is_none")]
    paused: Option<Pause>,
}

pub(super) async fn act(
    admin: &Admin,
    identity: &Identity,
    reason: Option<String>,
    dry_run: bool,
    deed: Deed,
) -> Result<Answer<Acted>, Problem> {
    Answer::new(&acted(admin, identity, reason, dry_run, deed).await?, People::Masked)
}

async fn acted(
    admin: &Admin,
    identity: &Identity,
    reason: Option<String>,
    dry_run: bool,
    deed: Deed,
) -> Result<Acted, Problem> {
    identity.must(Role::Operator)?;
    let performed = if dry_run {
        admin.desk.rehearse(&identity.name, reason, deed).await?
    } else {
        admin.desk.order(&identity.name, reason, deed).await?
    };
    Ok(Acted {
        act: performed.act.filter(|_| !dry_run),
        already: performed.act.is_none(),
        before: performed.before,
        after: performed.after,
        paused: None,
    })
}

pub(super) fn own<I: FromStr>(id: &str, what: &str) -> Result<I, Problem> {
    id.parse().map_err(|_| missing(&format!("{id} is no {what}")))
}

/// How a run is to go on.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Again {
    /// From this step on everything is done again; every step looks before it acts.
    from: Option<String>,
    /// Why, for the audit trail.
    reason: Option<String>,
    /// Nothing is done.
    #[serde(default)]
    dry_run: bool,
}

/// `POST /runs/{id}/retry`
pub(super) async fn retry(
    State(admin): State<Admin>,
    identity: Identity,
    At(id): At,
    Given(Again { from, reason, dry_run }): Given<Again>,
) -> Result<Answer<Acted>, Problem> {
    let run: RunId = own(&id, "run")?;
    identity.must(Role::Operator)?;
    let workflow = admin.store.run(run).await?.workflow;
    let paused = held_by(&admin.store, &workflow).await?;
    let acted = acted(&admin, &identity, reason, dry_run, Deed::Retry { run, from }).await?;
    Answer::new(&Acted { paused, ..acted }, People::Masked)
}

/// Why something is done.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Why {
    /// Why, for the audit trail.
    reason: Option<String>,
    /// Nothing is done.
    #[serde(default)]
    dry_run: bool,
}

/// `POST /runs/{id}/cancel`
pub(super) async fn cancel(
    State(admin): State<Admin>,
    identity: Identity,
    At(id): At,
    Given(Why { reason, dry_run }): Given<Why>,
) -> Result<Answer<Acted>, Problem> {
    act(&admin, &identity, reason, dry_run, Deed::Cancel(own(&id, "run")?)).await
}

/// Why an event is understood anew.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Anew {
    /// Why, for the audit trail.
    reason: Option<String>,
}

/// `POST /events/{id}/replay`: what it should have started and did not is started.
pub(super) async fn replay(
    State(admin): State<Admin>,
    identity: Identity,
    At(id): At,
    Given(Anew { reason }): Given<Anew>,
) -> Result<Answer<Replayed>, Problem> {
    identity.must(Role::Operator)?;
    let event: EventId = own(&id, "event")?;
    Answer::new(&admin.desk.replay(&identity.name, reason, event).await?, People::Masked)
}

/// How a case came out.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Settled {
    /// `refunded` and `booked` are held against the books.
    resolution: Resolution,
    /// Why, for the audit trail; needed unless the books show it.
    reason: Option<String>,
    /// Nothing is done.
    #[serde(default)]
    dry_run: bool,
}

/// `POST /cases/{id}/resolve`
pub(super) async fn resolve(
    State(admin): State<Admin>,
    identity: Identity,
    At(id): At,
    Given(Settled { resolution, reason, dry_run }): Given<Settled>,
) -> Result<Answer<Acted>, Problem> {
    let case: CaseId = own(&id, "case")?;
    act(&admin, &identity, reason, dry_run, Deed::Resolve { case, resolution }).await
}

/// What is stopped, or goes on.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Held {
    /// A provider (`stripe`, `cal`, `posthog`, `resend`) or a workflow's name.
    name: String,
    /// Why, for the audit trail and whoever wonders.
    reason: Option<String>,
    /// Nothing is done.
    #[serde(default)]
    dry_run: bool,
}

fn held(name: &str) -> Result<Pausable, Problem> {
    pausable(name).ok_or_else(|| {
        let all: Vec<String> = all_pausable().map(|what| what.name).collect();
        missing(&format!("`{name}` cannot be paused; these can: {}", all.join(", ")))
    })
}

/// `POST /pause`
pub(super) async fn pause(
    State(admin): State<Admin>,
    identity: Identity,
    Given(Held { name, reason, dry_run }): Given<Held>,
) -> Result<Answer<Acted>, Problem> {
    act(&admin, &identity, reason, dry_run, Deed::Pause(held(&name)?)).await
}

/// `POST /resume`
pub(super) async fn resume(
    State(admin): State<Admin>,
    identity: Identity,
    Given(Held { name, reason, dry_run }): Given<Held>,
) -> Result<Answer<Acted>, Problem> {
    act(&admin, &identity, reason, dry_run, Deed::Resume(held(&name)?)).await
}

/// What is paused.
#[derive(Serialize, JsonSchema)]
pub(super) struct Pauses {
    pauses: Vec<Pause>,
}

/// `GET /pauses`
pub(super) async fn pauses(State(admin): State<Admin>) -> Result<Answer<Pauses>, Problem> {
    let pauses = admin.store.pauses().await?;
    // Names of providers and workflows, and what operators wrote: nobody is to be hidden.
    Answer::new(&Pauses { pauses }, People::Revealed)
}

/// How much is to be paid back.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Amount {
    /// In the minor unit: cents for USD, yen for JPY.
    minor: Minor,
    /// The payment's currency.
    currency: Currency,
}

/// What is to be paid back.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Wanted {
    /// How much; without it, all that is left.
    amount: Option<Amount>,
    /// How many refunds the payment has, where a further one is wanted although one of this amount is there: what was made since
    /// is the one that is meant.
    seen: Option<Count>,
    /// Call the session off too.
    #[serde(default)]
    cancel_booking: bool,
    /// Why, for the books.
    reason: Option<String>,
    /// Only the plan.
    #[serde(default)]
    dry_run: bool,
}

/// What came of a refund that was ordered.
#[derive(Serialize, JsonSchema)]
pub(super) struct Refunded {
    /// What it would do, or was to do.
    plan: Plan,
    /// The refund; null if it was only planned.
    refund: Option<Refund>,
    /// The run that carries it out, or did.
    run: Option<Run>,
    /// Whether it was there already: nothing is paid twice.
    already: bool,
}

/// `POST /payments/{id}/refund`: records it with its run, which a worker carries out.
pub(super) async fn refund(
    State(admin): State<Admin>,
    identity: Identity,
    At(id): At,
    Given(wanted): Given<Wanted>,
) -> Result<Answer<Refunded>, Problem> {
    let Wanted { amount, seen, cancel_booking, reason, dry_run } = wanted;
    identity.must(if dry_run { Role::Operator } else { Role::Money })?;
    let amount = amount.map(|Amount { minor: Whole(minor), currency }| Money { minor, currency });
    let payment = payment(&admin, &id).await?;
    let seen = seen.and_then(|Whole(seen)| u32::try_from(seen).ok());
    if let Some(seen) = seen {
        // Refunds never become fewer: who has seen more than there are would be paid anew each time.
        let known = admin.store.story(Subject::Payment(payment)).await?.refunds.len();
        if seen as usize > known {
            return Err(Error::Illegal(format!("{payment} has {known} refunds, and not {seen}")).into());
        }
    }
    let order = RefundOrder { payment, amount, another: seen.is_some(), seen, cancel_booking };
    let plan = admin.desk.plan(&order).await?;
    if dry_run {
        let already = plan.existing.is_some() && !plan.carries_on;
        return Answer::new(&Refunded { plan, refund: None, run: None, already }, People::Masked);
    }
    let performed = admin.desk.order(&identity.name, reason, Deed::Refund(order)).await?;
    let refund = match performed.refund {
        Some(refund) => Some(admin.store.refund(refund).await?),
        None => None,
    };
    let run = match performed.run {
        Some(run) => Some(admin.store.run(run).await?),
        None => None,
    };
    Answer::new(&Refunded { plan, refund, run, already: performed.act.is_none() }, People::Masked)
}

/// What a refund would be of.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Planned {
    /// How much, in the minor unit of the payment's currency; without it, all that is left.
    minor: Option<Minor>,
    /// Call the session off too.
    #[serde(default)]
    cancel_booking: bool,
}

/// `GET /payments/{id}/refund-plan`
pub(super) async fn refund_plan(
    State(admin): State<Admin>,
    identity: Identity,
    At(id): At,
    Ask(Planned { minor, cancel_booking }): Ask<Planned>,
) -> Result<Answer<Plan>, Problem> {
    identity.must(Role::Operator)?;
    let id = payment(&admin, &id).await?;
    let paid = admin.store.payment(id).await?.amount;
    let amount = minor.map(|Whole(minor)| Money::new(minor, paid.currency));
    let order = RefundOrder { payment: id, amount, another: false, seen: None, cancel_booking };
    Answer::new(&admin.desk.plan(&order).await?, People::Masked)
}

/// By a whole id only: nobody is to pay back the wrong one.
async fn payment(admin: &Admin, id: &str) -> Result<PaymentId, Problem> {
    match admin.store.resolve_whole(id).await? {
        Subject::Payment(payment) => Ok(payment),
        _ => Err(missing(&format!("{id} belongs to no payment"))),
    }
}

//! Pays a payment back on purpose, and tells the customer what truly became of it.

use std::sync::Arc;

use serde::{Deserialize, Serialize};
use serde_json::json;

use crate::engine::ctx::{Ctx, Step};
use crate::engine::policy::Policy;
use crate::engine::registry::{Outcome, Workflow};
use crate::model::act::{Act, Verb};
use crate::model::booking::NewBooking;
use crate::model::case::{CaseKind, NewCase};
use crate::model::failure::Failure;
use crate::model::id::RefundId;
use crate::model::mail::NewMail;
use crate::model::money::Money;
use crate::model::payment::{Payment, PaymentFact, PaymentStatus};
use crate::model::refund::{Refund, RefundOrigin, RefundStatus};
use crate::model::run::{Run, RunState};
use crate::mutant::{Mutant, is_out};
use crate::store::Story;
use crate::store::change::{CHECKOUT_WORKFLOW, Change, NewRun, REFUND_WORKFLOW, RefundIntent};
use crate::workflow::{Means, booking, calendar, letter, refund, settle, transfer};

/// What is wanted.
#[derive(Deserialize)]
pub struct Input {
    /// For the ledger and the people on call.
    reason: String,
    /// For the customer.
    #[serde(default)]
    told: Option<String>,
    /// The refund that an operator has ordered; none for all that is left.
    #[serde(default)]
    refund: Option<RefundId>,
    /// Whether the session is called off too.
    #[serde(default)]
    cancel_booking: bool,
}

/// A run that pays the subject back in full, once for each `key`.
pub(super) fn start(key: &str, reason: &str, told: &str) -> Change {
    Change::Start(NewRun::with_input(REFUND_WORKFLOW, key, json!({ "reason": reason, "told": told })))
}

/// A run that does what comes after an operator's refund, once for each, where the run that was to has given it up.
pub(super) fn carry_on(refund: &Refund, cancel_booking: bool) -> Change {
    let input = json!({ "reason": refund.reason, "refund": refund.id, "cancel_booking": cancel_booking });
    Change::Start(NewRun::with_input(REFUND_WORKFLOW, format!("late/{}", refund.id), input))
}

/// What operators did about a refund that was ordered.
pub(super) fn orders<'a>(story: &'a Story, refund: &Refund) -> impl Iterator<Item = &'a Act> {
    let ordered = json!(refund.id);
    story.acts.iter().filter(move |act| act.verb == Verb::Refund && act.after["refund"] == ordered)
}

/// The run that was last to carry out an operator's refund.
pub(super) fn last_run<'a>(story: &'a Story, refund: &Refund) -> Option<&'a Run> {
    let last = orders(story, refund).filter(|act| act.after["run"].is_string()).max_by_key(|act| act.id)?;
    ordered_run(story, last)
}

/// Whether `refund`, the last one, was ordered by a person who had the session called off with that, and was not asked about it anew since.
pub(super) fn is_called_off(story: &Story, refund: &Refund) -> bool {
    let last = orders(story, refund).max_by_key(|act| act.id);
    let asked_anew = |act: &Act| {
        let run = ordered_run(story, act).map(|run| run.id);
        has_left_it_standing(story, act) && story.cases.iter().any(|case| case.run == run && case.is_about_customer())
    };
    last.is_some_and(|act| act.calls_off() && came_through(story, act) && !asked_anew(act))
}

/// Whether the run that was to call the session off with the money has ended without that, so that it is for a person to decide anew.
pub(super) fn has_left_it_standing(story: &Story, act: &Act) -> bool {
    let gave_up = |run: &Run| matches!(run.state, RunState::Failed | RunState::Cancelled) || has_given_up(run);
    let late = format!("late/{}", act.after["refund"].as_str().unwrap_or_default());
    let after_all = |run: &Run| run.key == late && run.outcome.as_deref() == Some(CALLED_OFF);
    ordered_run(story, act).is_some_and(gave_up)
        && !story.runs.iter().any(|(run, _)| run.workflow == REFUND_WORKFLOW && after_all(run))
}

/// Whether what a person ordered is paid back, or on its way there.
pub(super) fn came_through(story: &Story, act: &Act) -> bool {
    back_or_under_way(story).any(|refund| act.after["refund"] == json!(refund.id))
}

/// The run that carries out what a person ordered.
pub(super) fn ordered_run<'a>(story: &'a Story, act: &Act) -> Option<&'a Run> {
    story.runs.iter().map(|(run, _)| run).find(|run| act.after["run"] == json!(run.id))
}

/// How much operators wanted to pay back that Stripe is not known to have, and nobody is at work on.
fn left(story: &Story) -> i64 {
    let is_left = |refund: &&Refund| {
        refund.status.is_unconfirmed() && last_run(story, refund).is_some_and(|run| run.state.is_terminal())
    };
    story.refunds.iter().filter(is_left).map(|refund| refund.amount.minor).sum()
}

/// What is back, or on its way there: a wish that nobody carries out any more is not.
pub(super) fn back_or_under_way(story: &Story) -> impl Iterator<Item = &Refund> {
    let carries = |run: &Run| [REFUND_WORKFLOW, CHECKOUT_WORKFLOW].contains(&run.workflow.as_str());
    let at_work = story.runs.iter().any(|(run, _)| carries(run) && !run.state.is_terminal());
    story
        .refunds
        .iter()
        .filter(move |refund| refund.status.is_accepted() || (refund.status.is_unconfirmed() && at_work))
}

fn paid_back(status: PaymentStatus) -> Option<RefundStatus> {
    match status {
        PaymentStatus::Refunded => Some(RefundStatus::Succeeded),
        PaymentStatus::Refunding => Some(RefundStatus::Pending),
        _ => None,
    }
}

/// Whether a run of this has left what it was for to a person.
pub(super) fn has_given_up(run: &Run) -> bool {
    run.outcome.as_deref() == Some(CASE_OPENED)
}

const CASE_OPENED: &str = "case_opened";
const CALLED_OFF: &str = "refunded_and_called_off";

/// Pays back.
pub struct RefundPayment(pub Arc<Means>);

/// Where the payment stands once Stripe has answered.
#[derive(Serialize, Deserialize)]
struct Standing {
    payment: Payment,
    /// How much this was about.
    amount: Money,
    /// The refund's own mark, where an operator has ordered it.
    reference: Option<String>,
    /// The sessions that stand for it.
    live: Vec<NewBooking>,
    /// In minor units: how much of it is not paid back although all of it was wanted, and nobody is at work on.
    #[serde(default)]
    left: i64,
    /// What Stripe is known to have made of it, also where its answer never came.
    #[serde(default)]
    made: Option<RefundStatus>,
}

impl Standing {
    fn is_paid_back(&self) -> bool {
        self.payment.status.is_paid_back()
    }
}

impl Workflow for RefundPayment {
    const NAME: &'static str = REFUND_WORKFLOW;
    type Input = Input;

    async fn run(&self, ctx: &Ctx, input: Input) -> Result<Outcome, Failure> {
        let refund = ctx.step("refund-payment", Policy::MONEY, async |step| self.pay_back(&step, &input).await).await;
        let now = ctx.step("read-payment", Policy::DEFAULT, async |step| self.read(&step, &input).await).await?;
        // Its news may have come while its answer was waited for, the last time as well.
        match refund.or_else(|failure| now.made.ok_or(failure)) {
            Ok(status) => {
                ctx.commit("tell-customer", follow(&now, status, &input)).await?;
                if input.cancel_booking && !is_out(Mutant::CallOff) {
                    return self.call_off(ctx, &now).await;
                }
                Ok("refunded")
            }
            Err(failure) => {
                tracing::error!(
                    tag = "Refund", event = "refund_failed", critical = true, runId = %ctx.run().id,
                    paymentId = %now.payment.id, code = failure.code, error = failure.message,
                );
                let mut changes = vec![Change::OpenCase(refund_failed(&now, &input.reason, &failure))];
                if input.refund.is_none() {
                    changes.insert(0, Change::Learn(PaymentFact::CalledOff));
                }
                ctx.commit("alert-admin", changes).await?;
                Ok(CASE_OPENED)
            }
        }
    }
}

impl RefundPayment {
    async fn pay_back(&self, step: &Step<'_>, input: &Input) -> Result<RefundStatus, Failure> {
        let Some(ordered) = input.refund else {
            let intent = RefundIntent {
                payment: step.payment()?,
                amount: None,
                reason: input.reason.clone(),
                origin: RefundOrigin::Workflow,
                ceiling: self.0.refund_ceiling,
            };
            return refund::pay_back(&self.0, step, intent).await;
        };
        let payment = self.0.store.payment(step.payment()?).await.map_err(|error| step.store_failure(error))?;
        let refund = self.0.store.refund(ordered).await.map_err(|error| step.store_failure(error))?;
        refund::carry_out(&self.0, step, &payment, refund).await
    }

    async fn read(&self, step: &Step<'_>, input: &Input) -> Result<Standing, Failure> {
        let read = self.0.payment_story(step.payment()?).await;
        let (payment, story) = read.map_err(|error| step.store_failure(error))?;
        let ordered = story.refunds.iter().find(|refund| Some(refund.id) == input.refund);
        Ok(Standing {
            amount: ordered.map_or(payment.amount, |refund| refund.amount),
            left: if ordered.is_some() { 0 } else { left(&story) },
            made: match ordered {
                Some(refund) => Some(refund.status).filter(|status| status.is_accepted()),
                None => paid_back(payment.status),
            },
            reference: ordered.map(|refund| refund.reference.clone()),
            live: story
                .bookings
                .into_iter()
                .map(|booking| booking.facts)
                .filter(|facts| facts.status.is_live())
                .collect(),
            payment,
        })
    }

    async fn call_off(&self, ctx: &Ctx, now: &Standing) -> Result<Outcome, Failure> {
        for (nth, booking) in now.live.iter().enumerate() {
            let cancelled = ctx
                .step("cancel-booking", Policy::MONEY, async |step| {
                    let reason = "The payment for this session was refunded.";
                    booking::call_off(&self.0.providers.cal, &step, booking, reason).await?;
                    if now.is_paid_back() && nth + 1 == now.live.len() {
                        step.also(Change::Cancel { workflow: transfer::NAME });
                    }
                    Ok(())
                })
                .await;
            if let Err(failure) = cancelled {
                let summary = format!("{} was paid back, and yet the session stands in the calendar", now.amount);
                let case = booking::still_stands(&booking.uid, summary, Some(now.amount), &failure);
                ctx.commit("alert-admin", vec![Change::OpenCase(case)]).await?;
                return Ok(CASE_OPENED);
            }
        }
        Ok(CALLED_OFF)
    }
}

fn follow(now: &Standing, status: RefundStatus, input: &Input) -> Vec<Change> {
    let mut changes: Vec<Change> = letter(now, status, input.told.as_deref()).map(Change::Mail).into_iter().collect();
    // A run that is cancelled while the session stands beside its refund is a case: what is to be called off is called off first.
    if now.is_paid_back() && (now.live.is_empty() || !input.cancel_booking) {
        changes.push(Change::Cancel { workflow: transfer::NAME });
    }
    if input.refund.is_some() {
        changes.extend(settle::look(&now.payment, !now.live.is_empty()));
    } else if now.is_paid_back() {
        // What was paid back was not to take place. One that came while it was on its way is not wanted either.
        changes.extend(now.live.iter().map(|booking| calendar::compare_after(&booking.uid)));
    }
    if now.left > 0 {
        changes.push(Change::OpenCase(part_is_left(now)));
    }
    changes
}

fn letter(now: &Standing, status: RefundStatus, told: Option<&str>) -> Option<NewMail> {
    let payment = &now.payment;
    let key = now.reference.as_deref().unwrap_or_else(|| payment.reference());
    let amount = Money::new(now.amount.minor - now.left, now.amount.currency);
    letter::refund_made(payment, key, amount, status, told)
}

/// What a person had settled in another way, perhaps, before all of it was to be paid back: the rest is.
fn part_is_left(now: &Standing) -> NewCase {
    let payment = &now.payment;
    let left = Money::new(now.left, now.amount.currency);
    NewCase {
        kind: CaseKind::RefundFailed,
        cause: format!("refund_failed/{}/left", payment.reference()),
        summary: format!("all of {} was to be refunded, and {left} of it was given up before", payment.amount),
        detail: format!(
            "session {}; the rest is paid back. Look at the payment in Stripe, then refund {left} there or with discuno, or close this \
             if the customer has it in another way",
            payment.session_id
        ),
        at_risk: Some(left),
    }
}

fn refund_failed(now: &Standing, reason: &str, failure: &Failure) -> NewCase {
    let certainty = if failure.is_definite() { "could not be paid back" } else { "may or may not have been paid back" };
    let payment = &now.payment;
    NewCase {
        kind: CaseKind::RefundFailed,
        cause: format!("refund_failed/{}", now.reference.as_deref().unwrap_or_else(|| payment.reference())),
        summary: format!("{} was to be refunded ({reason}) and {certainty}", now.amount),
        detail: format!(
            "session {}; refund: {} ({}). Look at the payment in Stripe, then refund it there or with discuno",
            payment.session_id, failure.code, failure.message
        ),
        at_risk: Some(now.amount),
    }
}

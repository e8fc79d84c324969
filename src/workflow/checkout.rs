//! A paid checkout, carried to its end: a live booking, a full refund, or an open case.

use std::sync::Arc;
use std::time::Duration;

use crate::engine::ctx::{Ctx, Step};
use crate::engine::policy::Policy;
use crate::engine::registry::{Outcome, Workflow};
use crate::model::booking::NewBooking;
use crate::model::case::{CaseKind, NewCase};
use crate::model::checkout::Checkout;
use crate::model::failure::{Failure, FailureKind};
use crate::model::id::RefundId;
use crate::model::payment::PaymentFact;
use crate::model::refund::{self, RefundFact, RefundOrigin, RefundStatus};
use crate::model::time::Timestamp;
use crate::mutant::{Mutant, is_out};
use crate::store::Story;
use crate::store::change::{Change, NewRun, RefundIntent};
use crate::workflow::booking::Made;
use crate::workflow::refund::pay_back;
use crate::workflow::{Means, booking, calendar, letter, settle, track, transfer};

/// What was paid longer ago may have been carried out by a database that was lost, or put back since.
const JUST_NOW: Duration = Duration::from_secs(10 * 60);

/// Books what was paid for, or pays it back.
pub struct ProcessCheckout(pub Arc<Means>);

impl Workflow for ProcessCheckout {
    const NAME: &'static str = crate::ingress::stripe::CHECKOUT_WORKFLOW;
    type Input = Checkout;

    async fn run(&self, ctx: &Ctx, order: Checkout) -> Result<Outcome, Failure> {
        self.track_payment(ctx, &order).await?;

        let refused = match self.book(ctx, &order).await {
            // Whoever called it off since decides what becomes of the money.
            Ok(Ok(booking)) if !booking.status.is_live() => return Ok("called_off"),
            Ok(Ok(booking)) => {
                let letters = letter::booking_confirmed(&order, &booking).into_iter().map(Change::Mail).collect();
                ctx.commit("send-confirmation-emails", letters).await.ok();
                return Ok("booked");
            }
            Ok(Err(refused)) => refused,
            // A person has it; and whoever has mended what was in the way retries the run.
            Err(unclear) => {
                ctx.commit("alert-admin", vec![Change::OpenCase(booking_unclear(&order, &unclear))]).await?;
                return Err(unclear);
            }
        };

        if order.payment_intent.is_none() {
            ctx.step("update-payment-status", Policy::DEFAULT, async |step| {
                step.also(Change::Learn(PaymentFact::NothingToRefund));
                step.also(self.late_check(step.now()));
                Ok(())
            })
            .await?;
            let letter = letter::booking_failed(&order, &refused, &Ok(None));
            ctx.commit("send-failure-email", vec![Change::Mail(letter)]).await.ok();
            return Ok("not_booked");
        }

        let refund = ctx.step("refund-payment", Policy::MONEY, async |step| self.pay_back(&step).await).await;
        if let Err(failure) = &refund {
            tracing::error!(
                tag = "SideEffects", event = "refund_failed", critical = true, runId = %ctx.run().id,
                sessionId = order.session_id, paymentIntentId = order.reference(), code = failure.code,
                error = failure.message,
            );
            ctx.commit("alert-admin", vec![Change::OpenCase(refund_failed(&order, &refused, failure))]).await?;
        }
        ctx.step("update-payment-status", Policy::DEFAULT, async |step| self.status_after(&step, refund.is_ok()).await)
            .await?;
        let letter = letter::booking_failed(&order, &refused, &refund.clone().map(Some));
        ctx.commit("send-failure-email", vec![Change::Mail(letter)]).await.ok();
        Ok(if refund.is_ok() { "compensated" } else { "case_opened" })
    }
}

impl ProcessCheckout {
    /// Tried once, shortly: the booking does not wait for analytics. What fails goes on in a run of its own.
    async fn track_payment(&self, ctx: &Ctx, order: &Checkout) -> Result<(), Failure> {
        let capture = track::payment_succeeded(order);
        let tracked =
            ctx.step("track-payment-posthog", Policy::ONCE, async |_| track::send(&self.0, &capture).await).await;
        if tracked.is_err() {
            ctx.commit("track-payment-later", vec![track::later(&capture)]).await?;
        }
        Ok(())
    }

    /// The session that our books have, if Cal.com has told of it. Somebody may have paid it back at Stripe before its event got here, or
    /// an earlier try may have asked for that: then nothing is booked.
    async fn look_at_books(&self, step: &Step<'_>) -> Result<Option<Made>, Failure> {
        let read = self.0.payment_story(step.payment()?).await;
        let (payment, story) = read.map_err(|error| step.store_failure(error))?;
        let is_back = payment.amount.minor > 0 && refund::beyond_recall(&story.refunds) >= payment.amount.minor;
        if is_back || payment.status.is_paid_back() {
            let why = "the payment was refunded, or its refund asked for, before the session was booked";
            return Err(Failure::permanent("refunded_elsewhere", why));
        }
        let standing = story.bookings.into_iter().find(|known| known.facts.status.is_live());
        let Some(known) = standing.filter(|_| !is_out(Mutant::BookingLookUp)) else { return Ok(None) };
        if known.host_absent {
            step.also(calendar::compare_after(&known.facts.uid));
        }
        Ok(Some(Made { booking: known.facts, before: Vec::new() }))
    }

    async fn pay_back(&self, step: &Step<'_>) -> Result<RefundStatus, Failure> {
        let intent = RefundIntent {
            payment: step.payment()?,
            amount: None,
            reason: "the session could not be booked".to_owned(),
            origin: RefundOrigin::Workflow,
            ceiling: self.0.refund_ceiling,
        };
        pay_back(&self.0, step, intent).await
    }

    /// A booking; or a refusal that is certain; or an error where neither is known.
    async fn book(&self, ctx: &Ctx, order: &Checkout) -> Result<Result<NewBooking, Failure>, Failure> {
        let booked = ctx
            .step("create-calcom-booking", Policy::BOOKING, async |step| {
                let fresh = step.fresh && step.now().since(order.paid_at) < JUST_NOW;
                let made = match self.look_at_books(&step).await? {
                    Some(known) => known,
                    None => booking::ensure(&self.0.providers.cal, order, fresh, step.now()).await?,
                };
                self.booked(&step, order, made).await
            })
            .await;
        let failure = match booked {
            Ok(booking) => return Ok(Ok(booking)),
            Err(failure) if failure.kind == FailureKind::Permanent && !booking::is_in_doubt(&failure) => {
                return Ok(Err(failure));
            }
            Err(failure) if booking::needs_a_person(&failure) => return Err(failure),
            Err(failure) => failure,
        };
        if is_out(Mutant::CompensationLookUp) {
            return Ok(Err(failure));
        }
        // Nobody knows whether an earlier try took effect. Before the booking is called failed, Cal.com is read, once its lists are not
        // behind any more.
        let found = ctx
            .step("find-lost-booking", Policy::MONEY, async |step| {
                if step.number == 1 {
                    return Err(not_listed_yet(self.0.listed_after));
                }
                match booking::find_any(&self.0.providers.cal, order).await? {
                    Some(made) => self.booked(&step, order, made).await.map(Some),
                    None => Ok(None),
                }
            })
            .await?;
        Ok(found.ok_or_else(|| booking::without_doubt(failure)))
    }

    /// Records what was made, and has what was called off since settled. What an earlier try wanted to pay back, and never asked for, is not
    /// wanted any more.
    async fn booked(&self, step: &Step<'_>, order: &Checkout, made: Made) -> Result<NewBooking, Failure> {
        if !step.fresh {
            let read = self.0.payment_story(step.payment()?).await;
            let (_, story) = read.map_err(|error| step.store_failure(error))?;
            let wishes = story
                .refunds
                .into_iter()
                .filter(|refund| refund.status == RefundStatus::Intended && refund.origin == RefundOrigin::Workflow);
            wishes.for_each(|refund| step.also(withdrawn(refund.id)));
        }
        let Made { booking, before } = made;
        for moved in before {
            step.also(Change::Booking(moved));
        }
        step.also(Change::Booking(booking.clone()));
        step.also(Change::Learn(PaymentFact::Booked));
        if !booking.status.is_live() {
            step.also(calendar::compare_after(&booking.uid));
        }
        if let Some(run) = transfer::start(order, &booking, self.0.dispute_period) {
            step.also(run);
        }
        Ok(booking)
    }

    /// Where the payment stands is what the refunds add up to, also those that others made.
    async fn status_after(&self, step: &Step<'_>, refunded: bool) -> Result<(), Failure> {
        if !refunded {
            step.also(Change::Learn(PaymentFact::CaseOpened));
            return Ok(());
        }
        let read = self.0.payment_story(step.payment()?).await;
        let (payment, Story { refunds, .. }) = read.map_err(|error| step.store_failure(error))?;
        let (settled, accepted) = (refund::settled(&refunds), refund::accepted(&refunds));
        if let Some(fact) = PaymentFact::of_refunds(settled, accepted, payment.amount.minor) {
            step.also(Change::Learn(fact));
        }
        step.also(self.late_check(step.now()));
        Ok(())
    }

    /// Looks for a booking that comes of a request thought lost.
    fn late_check(&self, now: Timestamp) -> Change {
        let mut check = NewRun::on_subject(settle::NAME);
        check.due_at = Some(now.plus(self.0.settle_after));
        Change::Start(check)
    }
}

fn refund_failed(order: &Checkout, refused: &Failure, failure: &Failure) -> NewCase {
    let certainty = if failure.is_definite() { "could not be paid back" } else { "may or may not have been paid back" };
    NewCase {
        kind: CaseKind::RefundFailed,
        cause: format!("refund_failed/{}", order.reference()),
        summary: format!("{} was taken, the session is not booked, and the money {certainty}", order.amount),
        detail: format!(
            "session {}; booking: {} ({}); refund: {} ({}). Look at the payment in Stripe, then refund it there or with discuno",
            order.session_id, refused.code, refused.message, failure.code, failure.message
        ),
        at_risk: Some(order.amount),
    }
}

fn not_listed_yet(wait: Duration) -> Failure {
    let why = "cal.com may not list yet what it has made";
    let wait = u64::try_from(wait.as_millis()).unwrap_or(u64::MAX);
    Failure { retry_after_ms: Some(wait), ..Failure::transient("not_listed_yet", why) }
}

fn withdrawn(refund: RefundId) -> Change {
    let why = Failure::permanent("booked_after_all", "the session was booked after all, and stripe was not asked");
    Change::RefundLearned { refund, fact: RefundFact::Withdrawn, stripe_refund_id: None, failure: Some(why) }
}

fn booking_unclear(order: &Checkout, failure: &Failure) -> NewCase {
    let next = if failure.is_of_credentials() {
        "Mend the key of Cal.com, then retry the run, or all of them: `discuno retry --all --error credentials`"
    } else {
        "Look at the calendar in Cal.com: if the session stands there it is known here within the hour, if not retry the run, \
         or refund it with discuno"
    };
    NewCase {
        kind: CaseKind::BookingUnclear,
        cause: format!("booking_unclear/{}", order.reference()),
        summary: format!(
            "{} was taken and nobody can tell whether the session is booked; nothing was refunded",
            order.amount
        ),
        detail: format!(
            "session {}; event type {} at {}: {} ({}). {next}",
            order.session_id, order.event_type_id, order.start, failure.code, failure.message
        ),
        at_risk: Some(order.amount),
    }
}

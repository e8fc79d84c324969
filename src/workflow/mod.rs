//! The business, as plain async functions of named steps.

use std::sync::Arc;
use std::time::Duration;

use crate::engine::ctx::Step;
use crate::engine::registry::{Registry, Workflow};
use crate::model::dispute;
use crate::model::failure::Failure;
use crate::model::id::PaymentId;
use crate::model::payment::Payment;
use crate::model::policy::Policies;
use crate::provider::Providers;
use crate::provider::alert::AlertHook;
use crate::provider::mail::Mailer;
use crate::store::error::Error;
use crate::store::{Shared, Story, Subject};

pub mod alert;
pub mod apply_event;
pub mod backfill;
mod booking;
pub mod calendar;
pub mod called_off;
pub mod checkout;
pub mod email;
pub mod letter;
mod notice;
pub mod payment_failed;
pub mod payout;
pub mod prune;
pub mod reconcile;
mod refund;
pub mod refund_news;
pub mod refund_payment;
pub mod schedule;
pub mod settle;
pub mod signup;
pub mod summary;
pub mod tell_alerts;
pub mod track;
pub mod transfer;

/// What workflows work with.
#[derive(Clone)]
pub struct Means {
    /// The store.
    pub store: Shared,
    /// The systems at the other end.
    pub providers: Providers,
    /// Where e-mails come from.
    pub mail_from: String,
    /// Who is told of cases.
    pub alert_email: Option<String>,
    /// How long after one case of a kind was told those that follow are told together.
    pub alert_group: Duration,
    /// How long after a refund a late booking is first looked for.
    pub settle_after: Duration,
    /// When at the latest Cal.com lists what it has made: it reads from copies that may be behind.
    pub listed_after: Duration,
    /// For how long is looked for one.
    pub settle_for: Duration,
    /// How many automatic refunds an hour are let through.
    pub refund_ceiling: u32,
    /// Whether this deployment is for real money.
    pub live: bool,
    /// Names of application events that are counted besides the usual ones.
    pub counted_events: Vec<String>,
    /// What follows when a paid session does not take place.
    pub policies: Policies,
    /// How long what is no longer needed is kept.
    pub retention: Duration,
    /// How long a mentor's share waits where it is ours to move.
    pub dispute_period: Duration,
}

impl Means {
    /// Who sends e-mails to the people on call, and to whom.
    fn alert_mail(&self) -> Result<(&Mailer, &str), Failure> {
        let configured = self.providers.alert_mail.as_ref().zip(self.alert_email.as_deref());
        configured.ok_or_else(|| Failure::permanent("not_configured", "no alert e-mail is configured"))
    }

    /// Who posts to them.
    fn alert_hook(&self) -> Result<&AlertHook, Failure> {
        let hook = self.providers.alert.as_ref();
        hook.ok_or_else(|| Failure::permanent("not_configured", "no alert webhook is configured"))
    }

    /// A charge may keep the mark of a dispute that ended for us: whether each of the payment's did.
    async fn are_disputes_won(&self, step: &Step<'_>) -> Result<bool, Failure> {
        let read = self.payment_story(step.payment()?).await;
        let (_, story) = read.map_err(|error| step.store_failure(error))?;
        Ok(dispute::all_won(&story.disputes))
    }

    /// Everything known of a payment that is there.
    async fn payment_story(&self, id: PaymentId) -> Result<(Payment, Story), Error> {
        let mut story = self.store.story(Subject::Payment(id)).await?;
        let payment = story.payment.take();
        let payment = payment.ok_or_else(|| Error::NotFound(id.to_string()))?;
        Ok((payment, story))
    }
}

/// What runs may be of.
pub const NAMES: [&str; 28] = [
    <checkout::ProcessCheckout as Workflow>::NAME,
    <settle::SettleCheck as Workflow>::NAME,
    <payment_failed::PaymentFailed as Workflow>::NAME,
    <alert::Alert as Workflow>::NAME,
    <tell_alerts::TellAlerts as Workflow>::NAME,
    <email::SendEmail as Workflow>::NAME,
    <track::TrackEvent as Workflow>::NAME,
    <apply_event::ApplyEvent as Workflow>::NAME,
    <calendar::BookingCreated as Workflow>::NAME,
    <calendar::BookingRescheduled as Workflow>::NAME,
    <calendar::CompareBooking as Workflow>::NAME,
    <calendar::MeetingStarted as Workflow>::NAME,
    <calendar::MeetingEnded as Workflow>::NAME,
    <called_off::BookingCancelled as Workflow>::NAME,
    <called_off::BookingRejected as Workflow>::NAME,
    <called_off::HostNoShow as Workflow>::NAME,
    <refund_payment::RefundPayment as Workflow>::NAME,
    <refund_news::TellOfRefund as Workflow>::NAME,
    <refund_news::ReadRefunds as Workflow>::NAME,
    <summary::DailySummary as Workflow>::NAME,
    <prune::Prune as Workflow>::NAME,
    <reconcile::Reconcile as Workflow>::NAME,
    <backfill::BackfillStripe as Workflow>::NAME,
    <backfill::BackfillCal as Workflow>::NAME,
    <signup::UserSignedUp as Workflow>::NAME,
    <payout::PayoutCompleted as Workflow>::NAME,
    <payout::PayoutFailed as Workflow>::NAME,
    <transfer::TransferToMentor as Workflow>::NAME,
];

/// Those whose runs wait for days on purpose.
pub const WAIT_FOR_DAYS: [&str; 7] = [
    <settle::SettleCheck as Workflow>::NAME,
    <transfer::TransferToMentor as Workflow>::NAME,
    <summary::DailySummary as Workflow>::NAME,
    <prune::Prune as Workflow>::NAME,
    <reconcile::Reconcile as Workflow>::NAME,
    <backfill::BackfillStripe as Workflow>::NAME,
    <backfill::BackfillCal as Workflow>::NAME,
];

/// Every workflow by name.
pub fn registry(means: &Arc<Means>) -> Registry {
    Registry::default()
        .with(checkout::ProcessCheckout(Arc::clone(means)))
        .with(settle::SettleCheck(Arc::clone(means)))
        .with(payment_failed::PaymentFailed(Arc::clone(means)))
        .with(alert::Alert(Arc::clone(means)))
        .with(tell_alerts::TellAlerts(Arc::clone(means)))
        .with(email::SendEmail(Arc::clone(means)))
        .with(track::TrackEvent(Arc::clone(means)))
        .with(apply_event::ApplyEvent(Arc::clone(means)))
        .with(calendar::BookingCreated(Arc::clone(means)))
        .with(calendar::BookingRescheduled(Arc::clone(means)))
        .with(calendar::CompareBooking(Arc::clone(means)))
        .with(calendar::MeetingStarted(Arc::clone(means)))
        .with(calendar::MeetingEnded(Arc::clone(means)))
        .with(called_off::BookingCancelled(Arc::clone(means)))
        .with(called_off::BookingRejected(Arc::clone(means)))
        .with(called_off::HostNoShow(Arc::clone(means)))
        .with(refund_payment::RefundPayment(Arc::clone(means)))
        .with(refund_news::TellOfRefund(Arc::clone(means)))
        .with(refund_news::ReadRefunds(Arc::clone(means)))
        .with(summary::DailySummary(Arc::clone(means)))
        .with(prune::Prune(Arc::clone(means)))
        .with(reconcile::Reconcile(Arc::clone(means)))
        .with(backfill::BackfillStripe(Arc::clone(means)))
        .with(backfill::BackfillCal(Arc::clone(means)))
        .with(signup::UserSignedUp(Arc::clone(means)))
        .with(payout::PayoutCompleted(Arc::clone(means)))
        .with(payout::PayoutFailed(Arc::clone(means)))
        .with(transfer::TransferToMentor(Arc::clone(means)))
}

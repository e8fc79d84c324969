//! A story in the order of time: what was done here, and what the providers were heard saying.

use serde::Serialize;

use crate::model::act::Act;
use crate::model::booking::Booking;
use crate::model::case::Case;
use crate::model::event::Event;
use crate::model::mail::Mail;
use crate::model::refund::Refund;
use crate::model::run::Run;
use crate::model::step::{Attempt, Ending};
use crate::model::time::Timestamp;
use crate::model::transfer::Transfer;
use crate::observe::mask::without_addresses;
use crate::store::Story;

/// Whose word it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Side {
    /// Done here.
    Ours,
    /// Told by Stripe, Cal.com, a mail server or the application.
    Theirs,
}

/// Something that happened, or is due.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Moment {
    /// When.
    pub at: Timestamp,
    /// Who says so.
    pub side: Side,
    /// To what: `run_7`, `rf_1`, or a provider's id.
    pub about: String,
    /// What, in a word or two.
    pub what: String,
    /// The rest. May hold addresses of people.
    pub detail: String,
    /// The same without them.
    pub masked: String,
}

impl Moment {
    fn new(at: Timestamp, side: Side, about: impl ToString, what: impl ToString, detail: String) -> Self {
        let masked = without_addresses(&detail);
        Self { at, side, about: about.to_string(), what: what.to_string(), detail, masked }
    }

    fn ours(at: Timestamp, about: impl ToString, what: impl ToString, detail: String) -> Self {
        Self::new(at, Side::Ours, about, what, detail)
    }

    fn theirs(at: Timestamp, about: impl ToString, what: impl ToString, detail: String) -> Self {
        Self::new(at, Side::Theirs, about, what, detail)
    }
}

/// Everything that is known of a story, the oldest first.
pub fn timeline(story: &Story) -> Vec<Moment> {
    let mut moments: Vec<Moment> = story.events.iter().map(arrival).collect();
    moments.extend(story.runs.iter().flat_map(|(run, attempts)| of_run(run, attempts)));
    moments.extend(story.bookings.iter().map(booked));
    moments.extend(story.refunds.iter().flat_map(of_refund));
    moments.extend(story.transfers.iter().map(moved));
    moments.extend(story.disputes.iter().map(|dispute| {
        let due = dispute.due_at.map(|due| format!(", evidence until {due}")).unwrap_or_default();
        let detail = format!("{} {} ({}){due}", dispute.amount, dispute.status, dispute.reason);
        Moment::theirs(dispute.as_of, &dispute.id, "dispute", detail)
    }));
    moments.extend(story.mails.iter().flat_map(of_mail));
    moments.extend(story.cases.iter().flat_map(of_case));
    moments.extend(story.acts.iter().map(acted));
    moments.sort_by_key(|moment| moment.at);
    moments
}

fn acted(act: &Act) -> Moment {
    let why = because(act.reason.as_ref());
    let said = |subject: &str, why: &str| format!("{subject} by {}{why}", act.actor);
    // Who acted is one of the team, and named.
    let masked = said(&without_addresses(&act.subject), &without_addresses(&why));
    Moment { masked, ..Moment::ours(act.at, act.id, act.verb, said(&act.subject, &why)) }
}

fn because(reason: Option<&String>) -> String {
    reason.map(|reason| format!(": {reason}")).unwrap_or_default()
}

fn arrival(event: &Event) -> Moment {
    let detail =
        format!("{} {} {}{}", event.kind, event.external_id, event.disposition, because(event.reason.as_ref()));
    Moment::theirs(event.received_at, event.id, format!("from {}", event.source), detail)
}

fn of_run(run: &Run, attempts: &[Attempt]) -> Vec<Moment> {
    let mut moments =
        vec![Moment::ours(run.created_at, run.id, "started", format!("{}, key {}", run.workflow, run.key))];
    for attempt in attempts {
        let took = attempt.ended_at.since(attempt.started_at).as_millis();
        let how = match &attempt.ending {
            Ending::Done { .. } => "done".to_owned(),
            Ending::Retry { failure } => format!("to be retried, {}: {}", failure.kind, failure.message),
            Ending::Failed { failure } => format!("failed, {}: {}", failure.kind, failure.message),
        };
        let detail = format!("{} try {} ({took} ms) {how}", attempt.step, attempt.number);
        moments.push(Moment::ours(attempt.ended_at, run.id, "step", detail));
    }
    if let Some(finished) = run.finished_at {
        let how = run.failure.as_ref().map(|failure| format!("{}: {}", failure.code, failure.message));
        let how = run.outcome.clone().or(how).unwrap_or_default();
        moments.push(Moment::ours(finished, run.id, run.state, how));
    } else if let Some(due) = run.due_at {
        moments.push(Moment::ours(due, run.id, run.state, "due then".to_owned()));
    }
    moments
}

fn booked(booking: &Booking) -> Moment {
    let facts = &booking.facts;
    let absent = if booking.host_absent { ", the host did not come" } else { "" };
    let detail = format!("{} for {}, now {}{absent}", facts.uid, facts.start, facts.status);
    Moment::theirs(booking.created_at, booking.id, "booked", detail)
}

fn of_refund(refund: &Refund) -> Vec<Moment> {
    let stripe = refund.stripe_refund_id.as_deref().unwrap_or("not at stripe");
    let why = refund.failure.as_ref().map(|failure| format!(": {}", failure.message)).unwrap_or_default();
    let Refund { amount, origin, status, reason, .. } = refund;
    let key = refund.idempotency_key();
    let detail = format!("{amount} by {origin} ({stripe}), key {key}, because {reason}, now {status}{why}");
    let mut moments = vec![Moment::ours(refund.created_at, refund.id, "refund", detail)];
    if let Some(settled) = refund.settled_at {
        moments.push(Moment::theirs(settled, refund.id, status, format!("{amount}, {stripe}{why}")));
    }
    moments
}

fn moved(transfer: &Transfer) -> Moment {
    let stripe = transfer.stripe_transfer_id.as_deref().unwrap_or("not at stripe");
    let (amount, key) = (transfer.amount, transfer.idempotency_key());
    let detail = format!("{amount} to {} ({stripe}), key {key}, now {}", transfer.destination, transfer.status);
    Moment::ours(transfer.created_at, transfer.id, "transfer", detail)
}

fn of_mail(mail: &Mail) -> Vec<Moment> {
    let detail = format!("{} to {}, key {}, now {}", mail.letter.subject, mail.letter.to, mail.letter.key, mail.status);
    let mut moments = vec![Moment::ours(mail.created_at, mail.id, "e-mail", detail)];
    if let Some(sent) = mail.sent_at {
        let detail = format!("taken by the mail server{}", because(mail.provider_id.as_ref()));
        moments.push(Moment::theirs(sent, mail.id, "sent", detail));
    }
    moments
}

fn of_case(case: &Case) -> Vec<Moment> {
    let told = case.alerted_at.map_or_else(|| "nobody told yet".to_owned(), |at| format!("told at {at}"));
    let detail = format!("{}: {} ({told})", case.kind, case.summary);
    let mut moments = vec![Moment::ours(case.opened_at, case.id, "opened", detail)];
    if let (Some(closed), Some(how)) = (case.closed_at, &case.resolution) {
        moments.push(Moment::ours(closed, case.id, "closed", how.clone()));
    }
    moments
}

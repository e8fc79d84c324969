//! Whether the books and everybody else agree once all is at rest: the calendar, letters, analytics, the mentor's share.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use crate::model::dispute::DisputeStatus;
use crate::model::mail::MailStatus;
use crate::model::payment::PaymentStatus;
use crate::model::run::RunState;
use crate::model::step::Ending;
use crate::model::transfer::TransferStatus;
use crate::sandbox::ledger::{Booking, Ledger};
use crate::sim::excuse::{Topic, is_told, is_told_of_kept_share, is_told_of_second};
use crate::sim::invariant::{Matter, Rules, made_for};
use crate::sim::world::BEGINNING;
use crate::workflow::transfer;

/// Resend knows a letter's key for as long. No step is tried for longer but where it was paused, or a person has it tried again.
const LETTER_KNOWN: Duration = Duration::from_hours(24);

/// I3: what is counted is counted once.
pub(super) fn counted_once(theirs: &Ledger, rules: &mut Rules) {
    let mut captures = BTreeSet::new();
    for capture in &theirs.posthog.events {
        rules.hold("I3", captures.insert(&capture.uuid), || format!("{} counts twice", capture.event));
    }
    let mut letters = BTreeMap::new();
    for mail in &theirs.mail.mails {
        let letter = (&mail.idempotency_key, &mail.to, &mail.subject, &mail.html, &mail.text);
        let before = letters.insert(letter, mail.at);
        let is_known = before.is_some_and(|before| mail.at.since(before) < LETTER_KNOWN);
        rules.hold("I3", !is_known, || format!("\"{}\" was sent to {:?} twice", mail.subject, mail.to));
    }
}

impl Matter<'_> {
    /// I10: the sessions that stand in our books are those that stand in the calendar.
    pub(super) fn calendar(&self, rules: &mut Rules) {
        let live = self.story.bookings.iter().filter(|booking| booking.facts.status.is_live());
        let ours: BTreeSet<&str> = live.map(|booking| booking.facts.uid.as_str()).collect();
        let known = |uid: &str| self.story.bookings.iter().any(|booking| booking.facts.uid == uid);
        let about = |booking: &&Booking| known(&booking.uid) || made_for(booking, self.order.reference());
        let standing = self.theirs.cal.bookings.iter().filter(about).filter(|booking| booking.status == "accepted");
        let theirs: BTreeSet<&str> = standing.map(|booking| booking.uid.as_str()).collect();
        let moved = |booking: &Booking| booking.cancelled_at.unwrap_or(booking.created_at);
        let differ: BTreeSet<&str> = ours.symmetric_difference(&theirs).copied().collect();
        let of_differing = || self.theirs.cal.bookings.iter().filter(|booking| differ.contains(booking.uid.as_str()));
        let last = of_differing().map(moved).max().unwrap_or(BEGINNING);
        let made = of_differing().filter(|booking| booking.rescheduled_from.is_none()).map(moved).max();
        let told =
            is_told(self.story, Topic::Sessions, last) || is_told_of_second(self.story, made.unwrap_or(BEGINNING));
        rules.hold("I10", differ.is_empty() || told, || {
            format!("{}: {ours:?} stand here, {theirs:?} at Cal.com", self.payment.id)
        });
    }

    /// I22: that Cal.com has called a session off already is never taken for a failure to call it off. A case that it stands is
    /// opened on other grounds only: that an answer was lost and none came since.
    pub(super) fn called_off(&self, rules: &mut Rules) {
        for (run, attempts) in &self.story.runs {
            for attempt in attempts.iter().filter(|attempt| attempt.step.starts_with("cancel-")) {
                let (Ending::Retry { failure } | Ending::Failed { failure }) = &attempt.ending else { continue };
                rules.hold("I22", failure.status != Some(400), || {
                    format!("{} of {} failed on a session that was called off: {failure}", attempt.step, run.id)
                });
            }
        }
    }

    /// What our books call sent was sent.
    pub(super) fn letters(&self, rules: &mut Rules) {
        for mail in self.story.mails.iter().filter(|mail| mail.status == MailStatus::Sent) {
            let arrived = self.theirs.mail.mails.iter().any(|sent| Some(&sent.id) == mail.provider_id.as_ref());
            rules.hold("I10", arrived, || format!("the letter {} was never sent", mail.letter.key));
        }
    }

    /// I9: for a session that nothing came between, the mentor gets the share. Whatever came between, what is not moved is told of.
    pub(super) fn share_moves(&self, rules: &mut Rules) {
        let story = self.story;
        let lost = story.disputes.iter().any(|dispute| dispute.status == DisputeStatus::Lost);
        if self.payment.status == PaymentStatus::Booked
            && self.intent.is_some()
            && self.payment.checkout.is_some()
            && !lost
        {
            let mut runs = story.runs.iter().map(|(run, _)| run).filter(|run| run.workflow == transfer::NAME);
            let has_run = runs.any(|run| {
                !run.state.is_terminal()
                    || matches!(run.outcome.as_deref(), Some("transferred" | "moved_with_the_charge"))
            });
            let told = is_told_of_kept_share(story);
            let moved = story.transfers.iter().any(|transfer| transfer.status == TransferStatus::Made);
            rules.hold("I9", has_run || moved || told, || format!("nobody sees to the share of {}", self.payment.id));
        }
        let moves_by_itself = self.intent.is_some_and(|intent| intent.transfer.is_none());
        let undisturbed = story.refunds.is_empty() && story.cases.is_empty() && story.acts.is_empty();
        let undisputed = self.disputes.iter().all(|(intent, ..)| intent != &self.order.intent);
        let missed = story.bookings.iter().any(|booking| booking.host_absent);
        if self.payment.status != PaymentStatus::Booked || !moves_by_itself || !undisturbed || !undisputed || missed {
            return;
        }
        let mut runs = story.runs.iter().map(|(run, _)| run).filter(|run| run.workflow == transfer::NAME);
        let moved = runs.any(|run| run.state == RunState::Succeeded && run.outcome.as_deref() == Some("transferred"));
        rules.hold("I9", moved, || format!("the mentor never gets the share of {}", self.payment.id));
    }
}

//! Applies planned changes inside a transaction. Applying one again changes nothing.

use crate::model::case::{CaseKind, NewCase};
use crate::model::id::{EventId, PaymentId, RunId};
use crate::model::mail::NewMail;
use crate::model::payment::{Payment, PaymentFact, PaymentStatus};
use crate::model::time::Timestamp;
use crate::mutant::{Mutant, is_out};
use crate::store::change::{Change, NewPayment, NewRun, PaymentKey, RunKey};
use crate::store::error::Error;
use crate::store::sql::apply::refund::Found;
use crate::store::sql::apply::transfer::Seen;
use crate::store::sql::column::params;
use crate::store::sql::connection::{Connection, OptionalExtension};
use crate::store::sql::{alerts, ledger, row};

mod booking;
mod dispute;
mod refund;
mod stands;
mod transfer;

/// Where the changes come from, and the payment they are about.
#[derive(Debug, Clone, Copy)]
pub(super) struct Scope {
    pub(super) payment: Option<PaymentId>,
    pub(super) payment_created: bool,
    pub(super) event: Option<EventId>,
    pub(super) run: Option<RunId>,
    pub(super) now: Timestamp,
}

impl Scope {
    pub(super) fn apply(&mut self, conn: &Connection<'_>, changes: &[Change]) -> Result<(), Error> {
        for change in changes {
            match change {
                Change::About(key) => {
                    if !self.find_payment(conn, key)? {
                        break;
                    }
                }
                Change::Link(key) => drop(self.find_payment(conn, key)?),
                change => self.apply_one(conn, change)?,
            }
        }
        Ok(())
    }

    /// The payment that `first`, the first change of a plan, names: so that its event is written once, with it.
    pub(super) fn find_subject(&mut self, conn: &Connection<'_>, first: Option<&Change>) -> Result<(), Error> {
        match first {
            Some(Change::Payment(new)) => self.ensure_payment(conn, new),
            Some(Change::About(key) | Change::Link(key)) => self.find_payment(conn, key).map(drop),
            _ => Ok(()),
        }
    }

    fn find_payment(&mut self, conn: &Connection<'_>, key: &PaymentKey) -> Result<bool, Error> {
        let (session, intent) = match key {
            PaymentKey::Session(id) => (Some(id), None),
            PaymentKey::Intent(id) => (None, Some(id)),
            PaymentKey::Reference(id) => (Some(id), Some(id)),
        };
        let find =
            || conn.prepare_cached(FIND_BY_KEY)?.query_row(params![session, intent], |found| found.get(0)).optional();
        let mut found = find()?;
        if found.is_none() {
            // Whoever makes the payment now looks for what waits for it, before or after this.
            conn.lock_name(key.as_str())?;
            found = find()?;
        }
        match found {
            Some(id) => {
                conn.lock_payment(PaymentId(id))?;
                self.payment = Some(PaymentId(id));
            }
            // What the event was about before it could be found: a run's payment stays.
            None if self.payment.is_none() => self.wait_for(conn, key)?,
            None => {}
        }
        Ok(found.is_some())
    }

    /// The event's plan is applied again once its payment is known.
    fn wait_for(&self, conn: &Connection<'_>, key: &PaymentKey) -> Result<(), Error> {
        if let Some(event) = self.event {
            conn.prepare_cached(WAIT_FOR)?.execute(params![event.0, key.as_str()])?;
        }
        Ok(())
    }

    /// What was found out to be the payment of an event that did not name it.
    fn adopt_subject(&mut self, conn: &Connection<'_>, payment: Option<PaymentId>) -> Result<(), Error> {
        self.payment = payment;
        if let (Some(event), Some(payment)) = (self.event, payment) {
            conn.prepare_cached(LINK_EVENT)?.execute([event.0, payment.0])?;
        }
        Ok(())
    }

    /// Starts the runs that apply again what waited for this payment.
    fn release_waiting(&self, conn: &Connection<'_>, payment: PaymentId, new: &NewPayment) -> Result<(), Error> {
        for key in [Some(&new.session_id), new.payment_intent.as_ref()].into_iter().flatten() {
            conn.lock_name(key)?;
        }
        let keys = params![new.session_id, new.payment_intent];
        let waiting: Vec<i64> =
            conn.prepare_cached(WAITING)?.query_map(keys, |found| found.get(0))?.collect::<Result<_, _>>()?;
        for event in waiting {
            conn.prepare_cached(LINK_EVENT)?.execute([event, payment.0])?;
            let scope = Self { payment: Some(payment), event: Some(EventId(event)), ..*self };
            let input = serde_json::json!({ "event": event });
            scope.start(conn, &NewRun::with_input(APPLY_WORKFLOW, format!("event/{event}"), input))?;
        }
        Ok(())
    }

    fn apply_one(&mut self, conn: &Connection<'_>, change: &Change) -> Result<(), Error> {
        match change {
            Change::Payment(new) => self.put_payment(conn, new),
            // Found before any change is applied.
            Change::About(_) | Change::Link(_) => Ok(()),
            Change::Learn(fact) => self.learn(conn, *fact),
            Change::Start(new) => self.start(conn, new).map(drop),
            Change::Cancel { workflow } => self.cancel(conn, workflow),
            // A run asks for it once. What an event says may be said again.
            Change::OpenCase(new) if self.run.is_some() => self.open_case_anew(conn, new.clone()),
            Change::OpenCase(new) => self.open_case(conn, new.clone()),
            Change::CloseCase { cause, resolution } => self.close_case(conn, cause, resolution),
            Change::CaseAlerted(case) => {
                conn.prepare_cached(ALERTED)?.execute(params![case.0, self.now.0])?;
                Ok(())
            }
            Change::AlertsTold(alerts) => alerts::told(conn, alerts, self.now),
            Change::AlertsUntold { alerts, failure } => alerts::untold(conn, alerts, failure),
            Change::Booking(booking) => self.put_booking(conn, booking),
            Change::Mail(mail) => self.put_mail(conn, mail),
            Change::MailSent { mail, provider_id } => {
                conn.prepare_cached(MAIL_SENT)?.execute(params![mail.0, self.now.0, provider_id])?;
                Ok(())
            }
            Change::MailFailed(mail) => {
                conn.prepare_cached(MAIL_FAILED)?.execute([mail.0])?;
                Ok(())
            }
            Change::RefundSent { refund, request, renew } => self.refund_sent(conn, *refund, request, *renew),
            Change::RefundLearned { refund, fact, stripe_refund_id, failure } => {
                let known = ledger::read_refund(conn, *refund)?;
                self.refund_learned(conn, &known, *fact, stripe_refund_id.as_deref(), failure.as_ref())
            }
            Change::RefundAdopted { stripe_refund_id, reference, amount, fact } => {
                let reference = reference.as_deref();
                self.refund_adopted(
                    conn,
                    &Found { stripe_id: stripe_refund_id, reference, amount: *amount, fact: *fact },
                )
            }
            Change::Absence { uid, host, attendee, at } => self.put_absence(conn, uid, *host, *attendee, *at),
            Change::Dispute(dispute) => self.put_dispute(conn, dispute),
            Change::Account(account) => transfer::put_account(conn, account),
            Change::AccountGone { id, as_of } => transfer::account_gone(conn, id, *as_of),
            Change::TransferSent { transfer, request, renew } => self.transfer_sent(conn, *transfer, request, *renew),
            Change::TransferFailed(transfer) => transfer::transfer_failed(conn, *transfer),
            Change::TransferSeen { stripe_transfer_id, reference, amount, reversed, destination } => self
                .transfer_seen(
                    conn,
                    &Seen {
                        stripe_id: stripe_transfer_id,
                        reference: reference.as_deref(),
                        amount: *amount,
                        reversed: *reversed,
                        destination,
                    },
                ),
            Change::Complete { source, until } => {
                conn.prepare_cached(COMPLETE)?.execute(params![source.as_str(), until.0, self.now.0])?;
                Ok(())
            }
        }
    }

    fn subject(&self, conn: &Connection<'_>) -> Result<Payment, Error> {
        let id = self.payment.ok_or_else(|| Error::Backend("a change has no payment to be about".to_owned()))?;
        ledger::read_payment(conn, id)
    }

    /// The row of a checkout session, made if it is not there.
    fn ensure_payment(&mut self, conn: &Connection<'_>, new: &NewPayment) -> Result<(), Error> {
        let status = PaymentStatus::Awaiting.learn(new.fact).unwrap_or(PaymentStatus::Awaiting);
        let checkout = new.checkout.as_ref().map(row::to_json).transpose()?;
        let row = params![
            new.session_id,
            new.payment_intent,
            status.as_str(),
            new.amount.minor,
            new.amount.currency.code(),
            new.livemode,
            new.customer_email,
            checkout,
            self.now.0
        ];
        let made = conn.prepare_cached(INSERT_PAYMENT)?.query_row(row, |made| made.get(0)).optional()?;
        self.payment_created = made.is_some();
        let payment = PaymentId(match made {
            Some(id) => id,
            None => conn.prepare_cached(FIND_PAYMENT)?.query_row([&new.session_id], |found| found.get(0))?,
        });
        conn.lock_payment(payment)?;
        self.payment = Some(payment);
        if self.payment_created { self.release_waiting(conn, payment, new) } else { Ok(()) }
    }

    fn put_payment(&mut self, conn: &Connection<'_>, new: &NewPayment) -> Result<(), Error> {
        if !self.payment_created {
            self.ensure_payment(conn, new)?;
        }
        if self.payment_created {
            return Ok(());
        }
        let known = self.subject(conn)?;
        let news = (known.payment_intent.is_none() && new.payment_intent.is_some())
            || (known.checkout.is_none() && new.checkout.is_some());
        if news && known.status == PaymentStatus::Awaiting {
            conn.prepare_cached(COMPLETE_PAYMENT)?.execute(params![
                known.id.0,
                new.payment_intent,
                new.checkout.as_ref().map(row::to_json).transpose()?,
                new.amount.minor,
                self.now.0
            ])?;
            self.release_waiting(conn, known.id, new)?;
        }
        if known.status == PaymentStatus::Failed && known.payment_intent.is_none() && new.payment_intent.is_none() {
            // A free session is paid with its first word: told again, it is no more to be booked than before.
            return Ok(());
        }
        self.learn(conn, new.fact)
    }

    fn learn(&mut self, conn: &Connection<'_>, fact: PaymentFact) -> Result<(), Error> {
        let payment = self.subject(conn)?;
        match payment.status.learn(fact) {
            Ok(status) if status == payment.status => Ok(()),
            Ok(status) => {
                conn.prepare_cached(SET_STATUS)?.execute(params![payment.id.0, status.as_str(), self.now.0])?;
                let stands_again = (payment.status, status) == (PaymentStatus::Attention, PaymentStatus::Booked);
                if stands_again { self.owe_share(conn, payment.id) } else { Ok(()) }
            }
            Err(contradiction) => self.open_case(
                conn,
                NewCase {
                    kind: CaseKind::Contradiction,
                    cause: format!("contradiction/{}/{fact}", payment.session_id),
                    summary: format!("{contradiction}: what the providers say does not fit together"),
                    detail: format!("known: {}; learnt: {fact}", payment.status),
                    at_risk: Some(payment.amount),
                },
            ),
        }
    }

    /// The run, unless it was there before.
    pub(super) fn start(&self, conn: &Connection<'_>, new: &NewRun) -> Result<Option<RunId>, Error> {
        let (key, payment) = match (&new.key, self.payment) {
            (RunKey::Subject, Some(payment)) => (payment.to_string(), Some(payment)),
            (RunKey::Subject, None) => return Err(Error::Backend("a run has no payment to be about".to_owned())),
            (RunKey::Text(key), payment) => (key.clone(), payment),
        };
        let input = new.input.as_ref().map(row::to_json).transpose()?;
        let row = params![
            new.workflow,
            key,
            new.due_at.unwrap_or(self.now).0,
            payment.map(|id| id.0),
            self.event.map(|id| id.0),
            input,
            self.now.0
        ];
        let started = conn.prepare_cached(INSERT_RUN)?.query_row(row, |made| made.get(0).map(RunId)).optional()?;
        conn.wake();
        Ok(started)
    }

    fn cancel(&mut self, conn: &Connection<'_>, workflow: &str) -> Result<(), Error> {
        let Some(payment) = self.payment else { return Ok(()) };
        conn.prepare_cached(REQUEST_CANCEL)?.execute(params![payment.0, workflow, self.now.0])?;
        conn.wake();
        Ok(())
    }

    pub(super) fn open_case(&mut self, conn: &Connection<'_>, new: NewCase) -> Result<(), Error> {
        let row = params![
            new.kind.as_str(),
            new.cause,
            new.summary,
            new.detail,
            new.at_risk.map(|money| money.minor),
            new.at_risk.map(|money| money.currency.code().to_owned()),
            self.payment.map(|id| id.0),
            self.run.map(|id| id.0),
            self.event.map(|id| id.0),
            self.now.0
        ];
        let opened: Option<i64> = conn.prepare_cached(INSERT_CASE)?.query_row(row, |made| made.get(0)).optional()?;
        if let Some(case) = opened.filter(|_| !is_out(Mutant::CaseAlert)) {
            // Whoever opens a case also has a person told, in the same commit.
            let alert =
                NewRun::with_input(ALERT_WORKFLOW, format!("case/{}", new.cause), serde_json::json!({ "case": case }));
            self.start(conn, &alert)?;
        }
        // The customer has the money back: what is open is between us and the mentor.
        if self.payment.is_some() && new.kind != CaseKind::TransferNotReversed {
            self.learn(conn, PaymentFact::CaseOpened)?;
        }
        Ok(())
    }

    /// A case that a person has closed tells nobody of what comes about after that: then another is opened, with a cause of its own.
    pub(super) fn open_case_anew(&mut self, conn: &Connection<'_>, new: NewCase) -> Result<(), Error> {
        let (mut cause, mut nth) = (new.cause.clone(), 1);
        while conn.prepare_cached(IS_CLOSED)?.exists([&cause])? {
            nth += 1;
            cause = format!("{}/again/{nth}", new.cause);
        }
        self.open_case(conn, NewCase { cause, ..new })
    }

    fn close_case(&mut self, conn: &Connection<'_>, cause: &str, resolution: &str) -> Result<(), Error> {
        conn.prepare_cached(CLOSE_CASE)?.execute(params![cause, self.now.0, resolution])?;
        self.stands_after_all(conn)
    }

    fn put_mail(&mut self, conn: &Connection<'_>, mail: &NewMail) -> Result<(), Error> {
        let row = params![
            mail.key,
            mail.kind,
            mail.to,
            mail.subject,
            mail.html,
            mail.text,
            self.payment.map(|id| id.0),
            self.now.0
        ];
        let written: Option<i64> = conn.prepare_cached(INSERT_MAIL)?.query_row(row, |made| made.get(0)).optional()?;
        if let Some(id) = written {
            let send =
                NewRun::with_input(MAIL_WORKFLOW, format!("mail/{}", mail.key), serde_json::json!({ "mail": id }));
            self.start(conn, &send)?;
        }
        Ok(())
    }
}

/// The workflow that tells a person of a case.
pub(super) const ALERT_WORKFLOW: &str = "alert";
/// The workflow that sends an e-mail.
pub(super) const MAIL_WORKFLOW: &str = "send-email";
/// The workflow that applies an event again once its payment is known.
const APPLY_WORKFLOW: &str = "apply-event";

const FIND_PAYMENT: &str = "SELECT id FROM payments WHERE session_id = ?1";
const FIND_BY_KEY: &str =
    "SELECT id FROM payments WHERE session_id = ?1 UNION ALL SELECT id FROM payments WHERE payment_intent = ?2 LIMIT 1";
const WAIT_FOR: &str = "UPDATE events SET waits_for = ?2 WHERE id = ?1 AND payment_id IS NULL";
const LINK_EVENT: &str = "UPDATE events SET payment_id = ?2, waits_for = NULL WHERE id = ?1 AND payment_id IS NULL";
const WAITING: &str = "SELECT id FROM events WHERE waits_for IN (?1, ?2) ORDER BY id";
const COMPLETE: &str = "INSERT INTO cursors (source, complete_until, checked_at) VALUES (?1, ?2, ?3) \
     ON CONFLICT (source) DO UPDATE SET complete_until = \
     CASE WHEN cursors.complete_until > excluded.complete_until THEN cursors.complete_until ELSE excluded.complete_until END, checked_at = excluded.checked_at";
const CLOSE_CASE: &str =
    "UPDATE cases SET status = 'closed', closed_at = ?2, resolution = ?3 WHERE cause = ?1 AND status = 'open'";
const INSERT_PAYMENT: &str = "INSERT INTO payments (session_id, payment_intent, status, amount, currency, livemode, \
     customer_email, checkout, created_at, updated_at) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?9) \
     ON CONFLICT (session_id) DO NOTHING RETURNING id";
const COMPLETE_PAYMENT: &str = "UPDATE payments SET payment_intent = coalesce(payment_intent, ?2), \
     checkout = coalesce(checkout, ?3), amount = ?4, updated_at = ?5 WHERE id = ?1";
const SET_STATUS: &str = "UPDATE payments SET status = ?2, updated_at = ?3 WHERE id = ?1";
const INSERT_RUN: &str = "INSERT INTO runs (workflow, key, state, due_at, payment_id, event_id, input, created_at) \
     VALUES (?1, ?2, 'queued', ?3, ?4, ?5, ?6, ?7) ON CONFLICT (coalesce(payment_id, 0), workflow, key) DO NOTHING RETURNING id";
/// A queued run becomes due at once, so that its claimer ends it.
const REQUEST_CANCEL: &str = "UPDATE runs SET cancel_requested = 1, due_at = CASE state WHEN 'queued' THEN ?3 ELSE due_at END \
     WHERE coalesce(payment_id, 0) = ?1 AND workflow = ?2 AND state IN ('queued', 'running')";
const INSERT_CASE: &str = "INSERT INTO cases (kind, status, cause, summary, detail, amount, currency, payment_id, \
     run_id, event_id, opened_at) VALUES (?1, 'open', ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10) ON CONFLICT (cause) DO NOTHING RETURNING id";
const IS_CLOSED: &str = "SELECT 1 FROM cases WHERE cause = ?1 AND status = 'closed'";
const ALERTED: &str = "UPDATE cases SET alerted_at = coalesce(alerted_at, ?2) WHERE id = ?1";
const INSERT_MAIL: &str = "INSERT INTO mails (key, kind, recipient, subject, html, text, payment_id, status, created_at) \
     VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, 'queued', ?8) ON CONFLICT (key) DO NOTHING RETURNING id";
const MAIL_SENT: &str = "UPDATE mails SET status = 'sent', sent_at = ?2, provider_id = ?3 WHERE id = ?1";
const MAIL_FAILED: &str = "UPDATE mails SET status = 'failed' WHERE id = ?1 AND status = 'queued'";

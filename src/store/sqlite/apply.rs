//! Applies planned changes inside a transaction. Applying one again changes nothing.

use rusqlite::{Connection, OptionalExtension, params};

use crate::model::booking::NewBooking;
use crate::model::case::{CaseKind, NewCase};
use crate::model::id::{EventId, PaymentId, RefundId, RunId};
use crate::model::mail::NewMail;
use crate::model::money::Money;
use crate::model::payment::{Payment, PaymentFact, PaymentStatus};
use crate::model::refund::{Refund, RefundFact, RefundOrigin, RefundStatus};
use crate::model::time::Timestamp;
use crate::store::change::{Change, NewPayment, NewRun, PaymentKey, RunKey};
use crate::store::error::Error;
use crate::store::sqlite::{ledger, row};

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
    pub(super) fn apply(&mut self, conn: &Connection, changes: Vec<Change>) -> Result<(), Error> {
        for change in changes {
            if let Change::About(key) = &change
                && !self.find_payment(conn, key)?
            {
                break;
            }
            self.apply_one(conn, change)?;
        }
        Ok(())
    }

    /// The payment that `first`, the first change of a plan, names: so that its event is written once, with it.
    pub(super) fn find_subject(&mut self, conn: &Connection, first: Option<&Change>) -> Result<(), Error> {
        match first {
            Some(Change::Payment(new)) => self.ensure_payment(conn, new),
            Some(Change::About(key)) => self.find_payment(conn, key).map(drop),
            _ => Ok(()),
        }
    }

    fn find_payment(&mut self, conn: &Connection, key: &PaymentKey) -> Result<bool, Error> {
        let PaymentKey::Session(session) = key;
        let found = conn.prepare_cached(FIND_PAYMENT)?.query_row([session], |found| found.get(0)).optional()?;
        self.payment = found.map(PaymentId);
        Ok(found.is_some())
    }

    fn apply_one(&mut self, conn: &Connection, change: Change) -> Result<(), Error> {
        match change {
            Change::Payment(new) => self.put_payment(conn, *new),
            // Found before any change is applied.
            Change::About(_) => Ok(()),
            Change::Learn(fact) => self.learn(conn, fact),
            Change::Start(new) => self.start(conn, new),
            Change::Cancel { workflow } => self.cancel(conn, workflow),
            Change::OpenCase(new) => self.open_case(conn, new),
            Change::CaseAlerted(case) => {
                conn.prepare_cached(ALERTED)?.execute(params![case.0, self.now.0])?;
                Ok(())
            }
            Change::Booking(booking) => self.put_booking(conn, &booking),
            Change::Mail(mail) => self.put_mail(conn, mail),
            Change::MailSent { mail, provider_id } => {
                conn.prepare_cached(MAIL_SENT)?.execute(params![mail.0, self.now.0, provider_id])?;
                Ok(())
            }
            Change::MailFailed(mail) => {
                conn.prepare_cached(MAIL_FAILED)?.execute([mail.0])?;
                Ok(())
            }
            Change::RefundSent { refund, request, renew } => self.refund_sent(conn, refund, &request, renew),
            Change::RefundLearned { refund, fact, stripe_refund_id, failure } => {
                let known = ledger::read_refund(conn, refund)?;
                self.refund_learned(conn, &known, fact, stripe_refund_id, failure.as_ref())
            }
            Change::RefundAdopted { stripe_refund_id, amount, fact } => {
                self.refund_adopted(conn, &stripe_refund_id, amount, fact)
            }
        }
    }

    fn subject(&self, conn: &Connection) -> Result<Payment, Error> {
        let id = self.payment.ok_or_else(|| Error::Backend("a change has no payment to be about".to_owned()))?;
        ledger::read_payment(conn, id)
    }

    /// The row of a checkout session, made if it is not there.
    fn ensure_payment(&mut self, conn: &Connection, new: &NewPayment) -> Result<(), Error> {
        let status = PaymentStatus::Awaiting.learn(new.fact).unwrap_or(PaymentStatus::Awaiting);
        let made = conn.prepare_cached(INSERT_PAYMENT)?.execute(params![
            new.session_id,
            new.payment_intent,
            status.as_str(),
            new.amount.minor,
            new.amount.currency.code(),
            new.livemode,
            new.customer_email,
            new.checkout.as_ref().map(row::to_json).transpose()?,
            self.now.0
        ])?;
        self.payment_created = made > 0;
        self.payment = Some(PaymentId(match made {
            0 => conn.prepare_cached(FIND_PAYMENT)?.query_row([&new.session_id], |found| found.get(0))?,
            _ => conn.last_insert_rowid(),
        }));
        Ok(())
    }

    fn put_payment(&mut self, conn: &Connection, new: NewPayment) -> Result<(), Error> {
        if !self.payment_created {
            self.ensure_payment(conn, &new)?;
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
        }
        self.learn(conn, new.fact)
    }

    fn learn(&mut self, conn: &Connection, fact: PaymentFact) -> Result<(), Error> {
        let payment = self.subject(conn)?;
        match payment.status.learn(fact) {
            Ok(status) if status == payment.status => Ok(()),
            Ok(status) => {
                conn.prepare_cached(SET_STATUS)?.execute(params![payment.id.0, status.as_str(), self.now.0])?;
                Ok(())
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

    fn start(&self, conn: &Connection, new: NewRun) -> Result<(), Error> {
        let (key, payment) = match (new.key, self.payment) {
            (RunKey::Subject, Some(payment)) => (payment.to_string(), Some(payment)),
            (RunKey::Subject, None) => return Err(Error::Backend("a run has no payment to be about".to_owned())),
            (RunKey::Text(key), payment) => (key, payment),
        };
        let input = new.input.as_ref().map(row::to_json).transpose()?;
        conn.prepare_cached(INSERT_RUN)?.execute(params![
            new.workflow,
            key,
            new.due_at.unwrap_or(self.now).0,
            payment.map(|id| id.0),
            self.event.map(|id| id.0),
            input,
            self.now.0
        ])?;
        Ok(())
    }

    fn cancel(&mut self, conn: &Connection, workflow: &str) -> Result<(), Error> {
        let Some(payment) = self.payment else { return Ok(()) };
        conn.prepare_cached(REQUEST_CANCEL)?.execute(params![payment.0, workflow, self.now.0])?;
        Ok(())
    }

    pub(super) fn open_case(&mut self, conn: &Connection, new: NewCase) -> Result<(), Error> {
        let opened = conn.prepare_cached(INSERT_CASE)?.execute(params![
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
        ])?;
        if opened > 0 {
            // Whoever opens a case also has a person told, in the same commit.
            let case = conn.last_insert_rowid();
            let alert =
                NewRun::with_input(ALERT_WORKFLOW, format!("case/{}", new.cause), serde_json::json!({ "case": case }));
            self.start(conn, alert)?;
        }
        if self.payment.is_some() {
            self.learn(conn, PaymentFact::CaseOpened)?;
        }
        Ok(())
    }

    fn put_booking(&mut self, conn: &Connection, new: &NewBooking) -> Result<(), Error> {
        conn.prepare_cached(PUT_BOOKING)?.execute(params![
            new.uid,
            new.cal_id,
            self.payment.map(|id| id.0),
            new.status.as_str(),
            new.event_type_id,
            new.start.0,
            new.end.0,
            new.title,
            new.meeting_url,
            new.host_email,
            self.now.0
        ])?;
        Ok(())
    }

    fn put_mail(&mut self, conn: &Connection, mail: NewMail) -> Result<(), Error> {
        let written = conn.prepare_cached(INSERT_MAIL)?.execute(params![
            mail.key,
            mail.kind,
            mail.to,
            mail.subject,
            mail.html,
            mail.text,
            self.payment.map(|id| id.0),
            self.now.0
        ])?;
        if written > 0 {
            let id = conn.last_insert_rowid();
            let send =
                NewRun::with_input(MAIL_WORKFLOW, format!("mail/{}", mail.key), serde_json::json!({ "mail": id }));
            self.start(conn, send)?;
        }
        Ok(())
    }

    fn refund_sent(&self, conn: &Connection, id: RefundId, request: &str, renew: bool) -> Result<(), Error> {
        let known = ledger::read_refund(conn, id)?;
        let status = known.status.learn(RefundFact::Sent).map_err(|error| Error::Illegal(error.to_string()))?;
        let sent = if renew || known.request.is_none() {
            params![id.0, status.as_str(), request, self.now.0, renew]
        } else {
            // The generation's first request stands, and so does the time from which its key is known to Stripe.
            params![id.0, status.as_str(), known.request, known.sent_at.map(|at| at.0), false]
        };
        conn.prepare_cached(REFUND_SENT)?.execute(sent)?;
        Ok(())
    }

    fn refund_learned(
        &mut self,
        conn: &Connection,
        known: &Refund,
        fact: RefundFact,
        stripe_refund_id: Option<String>,
        failure: Option<&crate::model::failure::Failure>,
    ) -> Result<(), Error> {
        let Ok(status) = known.status.learn(fact) else { return Ok(()) };
        let settled = !matches!(status, RefundStatus::Intended | RefundStatus::Sent | RefundStatus::Pending);
        conn.prepare_cached(REFUND_LEARNED)?.execute(params![
            known.id.0,
            status.as_str(),
            stripe_refund_id,
            failure.map(row::to_json).transpose()?,
            settled.then_some(self.now.0)
        ])?;
        self.payment = Some(known.payment);
        self.weigh_refunds(conn, status)
    }

    fn refund_adopted(
        &mut self,
        conn: &Connection,
        stripe_refund_id: &str,
        amount: Money,
        fact: RefundFact,
    ) -> Result<(), Error> {
        let payment = self.subject(conn)?;
        let known = conn.prepare_cached(FIND_STRIPE_REFUND)?.query_row([stripe_refund_id], row::refund).optional()?;
        if let Some(known) = known {
            return self.refund_learned(conn, &known, fact, Some(stripe_refund_id.to_owned()), None);
        }
        let status = match fact {
            RefundFact::Succeeded => RefundStatus::Succeeded,
            RefundFact::Failed => RefundStatus::Failed,
            RefundFact::Canceled => RefundStatus::Canceled,
            RefundFact::Sent | RefundFact::Pending => RefundStatus::Pending,
        };
        conn.prepare_cached(ADOPT_REFUND)?.execute(params![
            payment.id.0,
            amount.minor,
            amount.currency.code(),
            RefundOrigin::Stripe.as_str(),
            status.as_str(),
            format!("stripe/{stripe_refund_id}"),
            stripe_refund_id,
            self.now.0
        ])?;
        self.weigh_refunds(conn, status)
    }

    /// What the refunds add up to decides where the payment stands.
    fn weigh_refunds(&mut self, conn: &Connection, newest: RefundStatus) -> Result<(), Error> {
        let payment = self.subject(conn)?;
        let (settled, held): (i64, i64) =
            conn.prepare_cached(SUM_REFUNDS)?.query_row([payment.id.0], |sums| Ok((sums.get(0)?, sums.get(1)?)))?;
        if settled >= payment.amount.minor {
            self.learn(conn, PaymentFact::Refunded)
        } else if held >= payment.amount.minor && newest == RefundStatus::Pending {
            self.learn(conn, PaymentFact::RefundAccepted)
        } else if !newest.holds_money() {
            self.learn(conn, PaymentFact::RefundFailed)
        } else {
            Ok(())
        }
    }
}

/// The workflow that tells a person of a case.
pub(super) const ALERT_WORKFLOW: &str = "alert";
/// The workflow that sends an e-mail.
pub(super) const MAIL_WORKFLOW: &str = "send-email";

const FIND_PAYMENT: &str = "SELECT id FROM payments WHERE session_id = ?1";
const INSERT_PAYMENT: &str = "INSERT INTO payments (session_id, payment_intent, status, amount, currency, livemode, \
     customer_email, checkout, created_at, updated_at) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?9) \
     ON CONFLICT (session_id) DO NOTHING";
const COMPLETE_PAYMENT: &str = "UPDATE payments SET payment_intent = coalesce(payment_intent, ?2), \
     checkout = coalesce(checkout, ?3), amount = ?4, updated_at = ?5 WHERE id = ?1";
const SET_STATUS: &str = "UPDATE payments SET status = ?2, updated_at = ?3 WHERE id = ?1";
const INSERT_RUN: &str = "INSERT INTO runs (workflow, key, state, due_at, payment_id, event_id, input, created_at) \
     VALUES (?1, ?2, 'queued', ?3, ?4, ?5, ?6, ?7) ON CONFLICT (coalesce(payment_id, 0), workflow, key) DO NOTHING";
/// A queued run becomes due at once, so that its claimer ends it.
const REQUEST_CANCEL: &str = "UPDATE runs SET cancel_requested = 1, due_at = CASE state WHEN 'queued' THEN ?3 ELSE due_at END \
     WHERE coalesce(payment_id, 0) = ?1 AND workflow = ?2 AND state IN ('queued', 'running')";
const INSERT_CASE: &str = "INSERT INTO cases (kind, status, cause, summary, detail, amount, currency, payment_id, \
     run_id, event_id, opened_at) VALUES (?1, 'open', ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10) ON CONFLICT (cause) DO NOTHING";
const ALERTED: &str = "UPDATE cases SET alerted_at = coalesce(alerted_at, ?2) WHERE id = ?1";
const PUT_BOOKING: &str = "INSERT INTO bookings (uid, cal_id, payment_id, status, event_type_id, start_at, end_at, title, \
     meeting_url, host_email, created_at, updated_at) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?11) \
     ON CONFLICT (uid) DO UPDATE SET payment_id = coalesce(payment_id, excluded.payment_id), status = excluded.status, \
     start_at = excluded.start_at, end_at = excluded.end_at, title = excluded.title, \
     meeting_url = coalesce(excluded.meeting_url, meeting_url), host_email = coalesce(excluded.host_email, host_email), \
     updated_at = excluded.updated_at";
const INSERT_MAIL: &str = "INSERT INTO mails (key, kind, recipient, subject, html, text, payment_id, status, created_at) \
     VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, 'queued', ?8) ON CONFLICT (key) DO NOTHING";
const MAIL_SENT: &str = "UPDATE mails SET status = 'sent', sent_at = ?2, provider_id = ?3 WHERE id = ?1";
const MAIL_FAILED: &str = "UPDATE mails SET status = 'failed' WHERE id = ?1 AND status = 'queued'";
const REFUND_SENT: &str =
    "UPDATE refunds SET status = ?2, request = ?3, sent_at = ?4, generation = generation + ?5 WHERE id = ?1";
const REFUND_LEARNED: &str = "UPDATE refunds SET status = ?2, stripe_refund_id = coalesce(?3, stripe_refund_id), \
     failure = ?4, settled_at = ?5 WHERE id = ?1";
const FIND_STRIPE_REFUND: &str = "SELECT f.id, f.payment_id, f.ordinal, f.generation, f.amount, f.currency, f.reason, \
     f.origin, f.status, f.reference, f.request, f.sent_at, f.stripe_refund_id, f.failure, f.created_at, f.settled_at \
     FROM refunds f WHERE f.stripe_refund_id = ?1";
const ADOPT_REFUND: &str = "INSERT INTO refunds (payment_id, ordinal, amount, currency, reason, origin, status, reference, \
     stripe_refund_id, created_at, settled_at) SELECT ?1, coalesce(max(ordinal), 0) + 1, ?2, ?3, 'found at Stripe', ?4, ?5, \
     ?6, ?7, ?8, ?8 FROM refunds WHERE payment_id = ?1";
const SUM_REFUNDS: &str = "SELECT coalesce(sum(amount) FILTER (WHERE status = 'succeeded'), 0), \
     coalesce(sum(amount) FILTER (WHERE status IN ('pending', 'succeeded')), 0) FROM refunds WHERE payment_id = ?1";

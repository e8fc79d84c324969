//! Rows to values and back: the only place that knows the order of columns.

use serde::de::DeserializeOwned;

use crate::model::account::Account;
use crate::model::act::Act;
use crate::model::booking::{Booking, NewBooking};
use crate::model::case::Case;
use crate::model::dispute::Dispute;
use crate::model::event::Event;
use crate::model::failure::Failure;
use crate::model::id::{ActId, BookingId, CaseId, EventId, MailId, PaymentId, RefundId, RunId, TransferId};
use crate::model::mail::{Mail, NewMail};
use crate::model::money::{Currency, Money};
use crate::model::pause::{Pausable, Pause};
use crate::model::payment::Payment;
use crate::model::refund::Refund;
use crate::model::run::Run;
use crate::model::step::{Attempt, Ending};
use crate::model::time::Timestamp;
use crate::model::transfer::Transfer;
use crate::store::error::Error;
use crate::store::sql::connection::{Fault, Read, Row};

pub(super) fn word<T>(row: &Row<'_>, column: usize) -> Read<T>
where
    T: std::str::FromStr,
    T::Err: std::fmt::Display,
{
    row.text(column)?.parse().map_err(|error| Fault::misread(column, error))
}

fn json<T: DeserializeOwned>(row: &Row<'_>, column: usize) -> Read<Option<T>> {
    row.maybe_text(column)?
        .map(|text| serde_json::from_str(text).map_err(|error| Fault::misread(column, error)))
        .transpose()
}

fn time(row: &Row<'_>, column: usize) -> Read<Timestamp> {
    row.get(column).map(Timestamp)
}

fn maybe_time(row: &Row<'_>, column: usize) -> Read<Option<Timestamp>> {
    Ok(row.get::<Option<i64>>(column)?.map(Timestamp))
}

fn money(row: &Row<'_>, amount: usize, currency: usize) -> Read<Money> {
    Ok(Money::new(row.get(amount)?, word(row, currency)?))
}

pub(super) fn currency(row: &Row<'_>, column: usize) -> Read<Currency> {
    word(row, column)
}

/// A value as the text of a JSON column.
pub(super) fn to_json<T: serde::Serialize>(value: &T) -> Result<String, Error> {
    serde_json::to_string(value).map_err(|error| Error::Backend(format!("could not write JSON: {error}")))
}

pub(super) const PAYMENT: &str = "p.id, p.session_id, p.payment_intent, p.status, p.amount, p.currency, p.livemode, \
     p.customer_email, p.checkout, p.created_at, p.updated_at";

pub(super) fn payment(row: &Row<'_>) -> Read<Payment> {
    Ok(Payment {
        id: PaymentId(row.get(0)?),
        session_id: row.get(1)?,
        payment_intent: row.get(2)?,
        status: word(row, 3)?,
        amount: money(row, 4, 5)?,
        livemode: row.get(6)?,
        customer_email: row.get(7)?,
        checkout: json(row, 8)?,
        created_at: time(row, 9)?,
        updated_at: time(row, 10)?,
    })
}

pub(super) const EVENT: &str = "e.id, e.source, e.external_id, e.type, e.livemode, e.created_at, e.received_at, \
     e.disposition, e.reason, e.payment_id, e.headers";

pub(super) fn event(row: &Row<'_>) -> Read<Event> {
    Ok(Event {
        id: EventId(row.get(0)?),
        source: word(row, 1)?,
        external_id: row.get(2)?,
        kind: row.get(3)?,
        livemode: row.get(4)?,
        created_at: time(row, 5)?,
        received_at: time(row, 6)?,
        disposition: word(row, 7)?,
        reason: row.get(8)?,
        payment: row.get::<Option<i64>>(9)?.map(PaymentId),
        headers: json(row, 10)?,
    })
}

pub(super) fn failure(row: &Row<'_>, column: usize) -> Read<Option<Failure>> {
    json(row, column)
}

pub(super) const RUN: &str = "r.id, r.workflow, r.key, r.state, r.due_at, r.token, r.stalls, r.payment_id, r.event_id, \
     r.cancel_requested, r.outcome, r.failure, r.created_at, r.finished_at, r.retries";

pub(super) fn run(row: &Row<'_>) -> Read<Run> {
    Ok(Run {
        id: RunId(row.get(0)?),
        workflow: row.get(1)?,
        key: row.get(2)?,
        state: word(row, 3)?,
        due_at: maybe_time(row, 4)?,
        token: row.get(5)?,
        stalls: row.get(6)?,
        payment: row.get::<Option<i64>>(7)?.map(PaymentId),
        event: row.get::<Option<i64>>(8)?.map(EventId),
        cancel_requested: row.get(9)?,
        outcome: row.get(10)?,
        failure: json(row, 11)?,
        created_at: time(row, 12)?,
        finished_at: maybe_time(row, 13)?,
        retries: row.get(14)?,
    })
}

pub(super) fn attempt(row: &Row<'_>) -> Read<Attempt> {
    let failure = || json(row, 6).and_then(|found| found.ok_or_else(|| Fault::misread(6, "it is missing")));
    let ending = match row.text(4)? {
        "done" => Ending::Done { output: json(row, 5)?.ok_or_else(|| Fault::misread(5, "it is missing"))? },
        "retry" => Ending::Retry { failure: failure()? },
        _ => Ending::Failed { failure: failure()? },
    };
    Ok(Attempt {
        step: row.get(0)?,
        number: row.get(1)?,
        started_at: time(row, 2)?,
        ended_at: time(row, 3)?,
        retried: row.get(7)?,
        ending,
    })
}

pub(super) const REFUND: &str = "f.id, f.payment_id, f.ordinal, f.generation, f.amount, f.currency, f.reason, f.origin, \
     f.status, f.reference, f.request, f.sent_at, f.stripe_refund_id, f.failure, f.created_at, f.settled_at";

pub(super) fn refund(row: &Row<'_>) -> Read<Refund> {
    Ok(Refund {
        id: RefundId(row.get(0)?),
        payment: PaymentId(row.get(1)?),
        ordinal: row.get(2)?,
        generation: row.get(3)?,
        amount: money(row, 4, 5)?,
        reason: row.get(6)?,
        origin: word(row, 7)?,
        status: word(row, 8)?,
        reference: row.get(9)?,
        request: row.get(10)?,
        sent_at: maybe_time(row, 11)?,
        stripe_refund_id: row.get(12)?,
        failure: json(row, 13)?,
        created_at: time(row, 14)?,
        settled_at: maybe_time(row, 15)?,
    })
}

pub(super) const BOOKING: &str = "b.id, b.payment_id, b.uid, b.cal_id, b.status, b.event_type_id, b.start_at, b.end_at, \
     b.title, b.meeting_url, b.organizer, b.attendees, b.mentor_user_id, b.actor_user_id, b.replaces, b.cancelled_by, b.reason, \
     b.host_absent, b.attendee_absent, b.created_at, b.updated_at";

pub(super) fn booking(row: &Row<'_>) -> Read<Booking> {
    Ok(Booking {
        id: BookingId(row.get(0)?),
        payment: row.get::<Option<i64>>(1)?.map(PaymentId),
        facts: NewBooking {
            uid: row.get(2)?,
            cal_id: row.get(3)?,
            status: word(row, 4)?,
            event_type_id: row.get(5)?,
            start: time(row, 6)?,
            end: time(row, 7)?,
            title: row.get(8)?,
            meeting_url: row.get(9)?,
            organizer: json(row, 10)?,
            attendees: json(row, 11)?.unwrap_or_default(),
            mentor_user_id: row.get(12)?,
            actor_user_id: row.get(13)?,
            replaces: row.get(14)?,
            cancelled_by: row.get(15)?,
            reason: row.get(16)?,
        },
        host_absent: row.get(17)?,
        attendee_absent: row.get(18)?,
        created_at: time(row, 19)?,
        updated_at: time(row, 20)?,
    })
}

pub(super) const DISPUTE: &str = "d.id, d.status, d.amount, d.currency, d.reason, d.due_at, d.as_of";

pub(super) fn dispute(row: &Row<'_>) -> Read<Dispute> {
    Ok(Dispute {
        id: row.get(0)?,
        status: word(row, 1)?,
        amount: money(row, 2, 3)?,
        reason: row.get(4)?,
        due_at: maybe_time(row, 5)?,
        as_of: time(row, 6)?,
    })
}

pub(super) const ACCOUNT: &str = "a.id, a.user_id, a.email, a.status, a.charges_enabled, a.payouts_enabled, \
     a.transfers_enabled, a.requirements, a.as_of";

pub(super) fn account(row: &Row<'_>) -> Read<Account> {
    Ok(Account {
        id: row.get(0)?,
        user_id: row.get(1)?,
        email: row.get(2)?,
        status: word(row, 3)?,
        charges_enabled: row.get(4)?,
        payouts_enabled: row.get(5)?,
        transfers_enabled: row.get(6)?,
        requirements: json(row, 7)?.unwrap_or_default(),
        as_of: time(row, 8)?,
    })
}

pub(super) const TRANSFER: &str = "t.id, t.payment_id, t.generation, t.amount, t.currency, t.destination, t.origin, \
     t.status, t.reversed, t.reference, t.request, t.sent_at, t.stripe_transfer_id, t.created_at";

pub(super) fn transfer(row: &Row<'_>) -> Read<Transfer> {
    Ok(Transfer {
        id: TransferId(row.get(0)?),
        payment: PaymentId(row.get(1)?),
        generation: row.get(2)?,
        amount: money(row, 3, 4)?,
        destination: row.get(5)?,
        origin: word(row, 6)?,
        status: word(row, 7)?,
        reversed: row.get(8)?,
        reference: row.get(9)?,
        request: row.get(10)?,
        sent_at: maybe_time(row, 11)?,
        stripe_transfer_id: row.get(12)?,
        created_at: time(row, 13)?,
    })
}

pub(super) const CASE: &str = "c.id, c.kind, c.status, c.cause, c.summary, c.detail, c.amount, c.currency, c.payment_id, \
     c.run_id, c.event_id, c.opened_at, c.alerted_at, c.closed_at, c.resolution";

pub(super) fn case(row: &Row<'_>) -> Read<Case> {
    let at_risk = match row.get::<Option<i64>>(6)? {
        Some(minor) => Some(Money::new(minor, word(row, 7)?)),
        None => None,
    };
    Ok(Case {
        id: CaseId(row.get(0)?),
        kind: word(row, 1)?,
        status: word(row, 2)?,
        cause: row.get(3)?,
        summary: row.get(4)?,
        detail: row.get(5)?,
        at_risk,
        payment: row.get::<Option<i64>>(8)?.map(PaymentId),
        run: row.get::<Option<i64>>(9)?.map(RunId),
        event: row.get::<Option<i64>>(10)?.map(EventId),
        opened_at: time(row, 11)?,
        alerted_at: maybe_time(row, 12)?,
        closed_at: maybe_time(row, 13)?,
        resolution: row.get(14)?,
    })
}

pub(super) const MAIL: &str = "m.id, m.key, m.kind, m.recipient, m.subject, m.html, m.text, m.payment_id, m.status, \
     m.provider_id, m.created_at, m.sent_at";

pub(super) fn mail(row: &Row<'_>) -> Read<Mail> {
    Ok(Mail {
        id: MailId(row.get(0)?),
        letter: NewMail {
            key: row.get(1)?,
            kind: row.get(2)?,
            to: row.get(3)?,
            subject: row.get(4)?,
            html: row.get(5)?,
            text: row.get(6)?,
        },
        payment: row.get::<Option<i64>>(7)?.map(PaymentId),
        status: word(row, 8)?,
        provider_id: row.get(9)?,
        created_at: time(row, 10)?,
        sent_at: maybe_time(row, 11)?,
    })
}

pub(super) const ACT: &str = "a.id, a.at, a.actor, a.verb, a.subject, a.reason, a.payment_id, a.before, a.after";

pub(super) fn act(row: &Row<'_>) -> Read<Act> {
    Ok(Act {
        id: ActId(row.get(0)?),
        at: time(row, 1)?,
        actor: row.get(2)?,
        verb: word(row, 3)?,
        subject: row.get(4)?,
        reason: row.get(5)?,
        payment: row.get::<Option<i64>>(6)?.map(PaymentId),
        before: json(row, 7)?.unwrap_or_default(),
        after: json(row, 8)?.unwrap_or_default(),
    })
}

pub(super) fn pause(row: &Row<'_>) -> Read<Pause> {
    Ok(Pause {
        what: Pausable { kind: word(row, 0)?, name: row.get(1)? },
        since: time(row, 2)?,
        actor: row.get(3)?,
        reason: row.get(4)?,
    })
}

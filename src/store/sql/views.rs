//! Answers to questions of people.

use async_trait::async_trait;

use crate::model::event::Event;
use crate::model::id::{CaseId, EventId, MailId, PaymentId, RunId};
use crate::model::money::Money;
use crate::model::takings::{Summary, Takings};
use crate::model::time::Timestamp;
use crate::store::error::Error;
use crate::store::hours::{Counted, Hours};
use crate::store::levels::Levels;
use crate::store::sql::column::params;
use crate::store::sql::connection::{Connection, OptionalExtension, Read, Row};
use crate::store::sql::{Backend, hours, levels, queue, row, status};
use crate::store::status::Status;
use crate::store::{Backlog, Discrepancy, Story, Subject, Unsettled, Views};

#[async_trait]
impl<B: Backend> Views for B {
    async fn resolve(&self, id: &str) -> Result<Subject, Error> {
        let (id, after) = (id.to_owned(), format!("{id}\u{10ffff}"));
        self.in_snapshot(move |conn| resolve(conn, &id, &after)).await
    }

    async fn resolve_whole(&self, id: &str) -> Result<Subject, Error> {
        let (id, after) = (id.to_owned(), format!("{id}\u{1}"));
        self.in_snapshot(move |conn| resolve(conn, &id, &after)).await
    }

    async fn story(&self, subject: Subject) -> Result<Story, Error> {
        self.in_snapshot(move |conn| story(conn, subject)).await
    }

    async fn body(&self, event: EventId) -> Result<Vec<u8>, Error> {
        self.in_snapshot(move |conn| {
            let body: Option<Option<Vec<u8>>> =
                conn.prepare_cached(BODY)?.query_row([event.0], |found| found.get(0)).optional()?;
            body.flatten().ok_or_else(|| Error::NotFound(format!("body of {event}")))
        })
        .await
    }

    async fn discrepancies(&self, since: Timestamp, limit: u32) -> Result<Vec<Discrepancy>, Error> {
        self.in_snapshot(move |conn| discrepancies(conn, since, limit)).await
    }

    async fn summary(&self, from: Timestamp, until: Timestamp) -> Result<Summary, Error> {
        self.in_snapshot(move |conn| summary(conn, from, until)).await
    }

    async fn status(&self, now: Timestamp) -> Result<Status, Error> {
        self.in_snapshot(move |conn| status::status(conn, now)).await
    }

    async fn levels(&self, now: Timestamp) -> Result<Levels, Error> {
        let levels = self.in_snapshot(move |conn| levels::levels(conn, now)).await?;
        Ok(Levels { log_bytes: self.log_bytes(), ..levels })
    }

    async fn hours(&self, counted: Counted, now: Timestamp) -> Result<Hours, Error> {
        self.in_snapshot(move |conn| hours::hours(conn, &counted, now)).await
    }

    async fn backlog(&self, now: Timestamp) -> Result<Backlog, Error> {
        self.in_snapshot(move |conn| backlog(conn, now)).await
    }
}

pub(super) fn backlog(conn: &Connection<'_>, now: Timestamp) -> Result<Backlog, Error> {
    Ok(conn.prepare_cached(BACKLOG)?.query_row([now.0], |found| {
        let (lapsed, held): (u32, u32) = (found.get(2)?, found.get(3)?);
        Ok(Backlog {
            due: found.get::<u32>(0)?.saturating_sub(lapsed),
            waiting: found.get::<u32>(1)?.saturating_sub(held),
            running: lapsed + held,
            failed: found.get(4)?,
            open_cases: found.get(5)?,
        })
    })?)
}

/// Each with the condition that makes it one. A run that waits for days is not at work on a payment, and one that only looks is neither.
const DISCREPANCIES: [(Unsettled, &str); 8] = [
    (
        Unsettled::Abandoned,
        "p.status = 'paid' AND NOT EXISTS (SELECT 1 FROM runs r WHERE r.payment_id = p.id \
         AND r.workflow <> 'settle-check' AND r.due_at < ?1 + 8 * 3600000)",
    ),
    (
        Unsettled::NothingStands,
        // What is being settled, was left by the owner's policy, or was paid back in part by a person who called it off with that, is not.
        "p.status = 'booked' AND p.payment_intent IS NOT NULL AND NOT EXISTS (SELECT 1 FROM bookings b WHERE b.payment_id = p.id \
         AND b.status IN ('pending', 'accepted', 'completed')) \
         AND NOT EXISTS (SELECT 1 FROM runs r WHERE coalesce(r.payment_id, 0) = p.id \
         AND r.workflow IN ('booking-cancelled', 'booking-rejected', 'compare-booking', 'refund-payment') \
         AND (r.due_at IS NOT NULL OR r.outcome = 'left_by_policy')) \
         AND NOT EXISTS (SELECT 1 FROM refunds f JOIN acts a ON a.payment_id = f.payment_id \
         LEFT JOIN runs r ON coalesce(r.payment_id, 0) = f.payment_id AND ('run_' || r.id = a.after ->> 'run' \
         OR r.workflow = 'refund-payment' AND r.key = 'late/' || (a.after ->> 'refund')) WHERE f.payment_id = p.id \
         AND f.origin = 'operator' AND f.status IN ('pending', 'succeeded') AND a.verb = 'refund' \
         AND CAST(a.after ->> 'cancel_booking' AS TEXT) IN ('1', 'true') \
         AND (r.id IS NULL OR r.due_at IS NOT NULL OR r.outcome <> 'case_opened') \
         AND NOT EXISTS (SELECT 1 FROM bookings b WHERE b.payment_id = p.id AND b.created_at > coalesce(r.finished_at, a.at)))",
    ),
    (
        Unsettled::Unconfirmed,
        "p.status = 'booked' AND EXISTS (SELECT 1 FROM bookings b WHERE b.payment_id = p.id AND b.status = 'pending' AND b.end_at < ?1)",
    ),
    (
        Unsettled::StillStands,
        "p.status = 'refunded' AND EXISTS (SELECT 1 FROM bookings b WHERE b.payment_id = p.id \
         AND b.status IN ('pending', 'accepted') AND b.host_absent = 0 AND b.end_at > ?1)",
    ),
    (
        Unsettled::RefundUnknown,
        "EXISTS (SELECT 1 FROM refunds f WHERE f.payment_id = p.id AND f.status IN ('sent', 'pending') AND f.created_at < ?1)",
    ),
    (
        Unsettled::RefundPending,
        "EXISTS (SELECT 1 FROM refunds f WHERE f.payment_id = p.id AND f.status = 'pending' \
         AND coalesce(f.sent_at, f.created_at) < ?1 - 10 * 86400000 \
         AND NOT EXISTS (SELECT 1 FROM cases c WHERE c.payment_id = p.id AND c.cause LIKE 'unaccounted/refund_pending/%' \
         AND (c.status = 'open' OR c.opened_at >= f.created_at)))",
    ),
    (
        Unsettled::ShareLeft,
        // In proportion; each refund may have been rounded.
        "p.id IN (SELECT f.payment_id FROM refunds f JOIN transfers t ON t.payment_id = f.payment_id \
         JOIN payments q ON q.id = f.payment_id \
         WHERE f.status IN ('pending', 'succeeded') AND f.created_at < ?1 \
         AND (f.origin = 'stripe' OR coalesce(f.request, '') NOT LIKE '%reverse_transfer%') \
         AND t.origin = 'stripe' AND t.status = 'made' \
         AND (SELECT sum(b.amount) * CAST(t.amount AS NUMERIC) - (t.reversed + count(*)) * CAST(q.amount AS NUMERIC) \
         FROM refunds b WHERE b.payment_id = q.id AND b.status IN ('pending', 'succeeded')) > 0) \
         AND NOT EXISTS (SELECT 1 FROM cases c WHERE c.payment_id = p.id AND c.kind = 'transfer_not_reversed' AND (c.status = 'open' \
         OR c.opened_at >= (SELECT max(b.created_at) FROM refunds b WHERE b.payment_id = p.id AND b.status IN ('pending', 'succeeded'))))",
    ),
    (
        Unsettled::ShareOwed,
        "p.status = 'booked' AND p.id IN (SELECT t.payment_id FROM transfers t JOIN payments q ON q.id = t.payment_id \
         WHERE t.status = 'made' AND CAST(t.reversed AS NUMERIC) * q.amount > (SELECT coalesce(sum(b.amount), 0) * CAST(t.amount AS NUMERIC) \
         + count(*) * CAST(q.amount AS NUMERIC) \
         FROM refunds b WHERE b.payment_id = q.id AND b.status IN ('pending', 'succeeded'))) \
         AND NOT EXISTS (SELECT 1 FROM cases c WHERE c.payment_id = p.id AND c.cause LIKE 'unaccounted/share_owed/%' \
         AND (c.status = 'open' OR c.closed_at > p.updated_at))",
    ),
];

/// Of a payment `p`: what of it is not back, nor on its way.
const KEPT: &str = "p.amount - (SELECT coalesce(CAST(sum(f.amount) AS BIGINT), 0) FROM refunds f WHERE f.payment_id = p.id \
     AND f.status IN ('pending', 'succeeded'))";
/// What Stripe has taken on and not carried out.
const WAITS: &str =
    "(SELECT CAST(sum(f.amount) AS BIGINT) FROM refunds f WHERE f.payment_id = p.id AND f.status = 'pending')";

fn discrepancies(conn: &Connection<'_>, since: Timestamp, limit: u32) -> Result<Vec<Discrepancy>, Error> {
    let mut all = Vec::new();
    for (what, condition) in DISCREPANCIES {
        let amount = match what {
            Unsettled::RefundPending => WAITS,
            Unsettled::Abandoned | Unsettled::NothingStands | Unsettled::Unconfirmed => KEPT,
            _ => "p.amount",
        };
        let sql = format!(
            "SELECT {}, {amount} FROM payments p WHERE p.updated_at < ?1 AND {condition} \
             AND NOT EXISTS (SELECT 1 FROM cases c WHERE c.cause = 'unaccounted/{what}/' || p.session_id \
             AND '{what}' NOT IN ('refund_pending', 'share_left', 'share_owed')) \
             AND NOT EXISTS (SELECT 1 FROM cases c WHERE c.payment_id = p.id AND c.status = 'open' \
             AND c.kind NOT IN ('transfer_not_reversed', 'transfer_blocked', 'payout_failed') \
             AND (c.amount IS NOT NULL OR c.kind NOT IN ('run_failed', 'run_cancelled'))) ORDER BY p.id LIMIT ?2",
            row::PAYMENT
        );
        let mut statement = conn.prepare_cached(&sql)?;
        let found = statement.query_map(params![since.0, limit], |found| {
            let payment = row::payment(found)?;
            let amount = Money::new(found.get(11)?, payment.amount.currency);
            Ok(Discrepancy { payment, what, amount })
        })?;
        for discrepancy in found {
            all.push(discrepancy?);
        }
    }
    Ok(all)
}

const PAID: &str = "SELECT currency, count(*), CAST(sum(amount) AS BIGINT), \
     CAST(sum(coalesce(CAST(checkout ->> 'mentor_fee' AS BIGINT), 0)) AS BIGINT) FROM payments \
     WHERE created_at >= ?1 AND created_at < ?2 AND status NOT IN ('awaiting', 'failed', 'expired') GROUP BY currency ORDER BY currency";
const REFUNDED: &str = "SELECT currency, count(*), CAST(sum(amount) AS BIGINT) FROM refunds \
     WHERE created_at >= ?1 AND created_at < ?2 AND status IN ('pending', 'succeeded') GROUP BY currency ORDER BY currency";
const TROUBLE: &str = "SELECT (SELECT count(*) FROM runs WHERE state = 'failed' AND finished_at >= ?1 AND finished_at < ?2), \
     (SELECT count(*) FROM cases WHERE status = 'open')";

fn summary(conn: &Connection<'_>, from: Timestamp, until: Timestamp) -> Result<Summary, Error> {
    let span = [from.0, until.0];
    let mut takings: Vec<Takings> = conn
        .prepare_cached(PAID)?
        .query_map(span, |found| {
            Ok(Takings {
                payments: found.get(1)?,
                paid: found.get(2)?,
                fees: found.get(3)?,
                ..Takings::none(row::currency(found, 0)?)
            })
        })?
        .collect::<Result<_, _>>()?;
    let mut refunds = conn.prepare_cached(REFUNDED)?;
    for found in refunds.query_map(span, |found| Ok((row::currency(found, 0)?, found.get(1)?, found.get(2)?)))? {
        let (currency, count, sum) = found?;
        let place = takings.iter().position(|of| of.currency == currency).unwrap_or_else(|| {
            takings.push(Takings::none(currency));
            takings.len() - 1
        });
        (takings[place].refunds, takings[place].refunded) = (count, sum);
    }
    let (failed_runs, open_cases) =
        conn.prepare_cached(TROUBLE)?.query_row(span, |found| Ok((found.get(0)?, found.get(1)?)))?;
    Ok(Summary { takings, failed_runs, open_cases })
}

const BODY: &str = "SELECT body FROM events WHERE id = ?1";
/// Times are counted in the index alone. Whoever holds a run does so until a lease's end, which is never far from now: so
/// those that are held are among the rows on either side of it.
const BACKLOG: &str = "SELECT \
     (SELECT count(*) FROM runs WHERE due_at <= ?1), \
     (SELECT count(*) FROM runs WHERE due_at > ?1), \
     (SELECT count(*) FROM (SELECT state FROM runs WHERE due_at <= ?1 ORDER BY due_at DESC LIMIT 20000) AS past \
      WHERE state = 'running'), \
     (SELECT count(*) FROM (SELECT state FROM runs WHERE due_at > ?1 ORDER BY due_at LIMIT 20000) AS coming \
      WHERE state = 'running'), \
     (SELECT count(*) FROM runs WHERE state = 'failed'), \
     (SELECT count(*) FROM cases WHERE status = 'open')";

/// Every provider id by which a payment can be named, up to two that begin with the text.
const BY_PROVIDER_ID: &str = "SELECT DISTINCT payment FROM ( \
     SELECT id AS payment FROM payments WHERE session_id >= ?1 AND session_id < ?2 \
     UNION ALL SELECT id FROM payments WHERE payment_intent >= ?1 AND payment_intent < ?2 \
     UNION ALL SELECT payment_id FROM refunds WHERE stripe_refund_id >= ?1 AND stripe_refund_id < ?2 \
     UNION ALL SELECT payment_id FROM transfers WHERE stripe_transfer_id >= ?1 AND stripe_transfer_id < ?2 \
     UNION ALL SELECT payment_id FROM disputes WHERE id >= ?1 AND id < ?2 \
     UNION ALL SELECT payment_id FROM bookings WHERE uid >= ?1 AND uid < ?2 AND payment_id IS NOT NULL \
     UNION ALL SELECT payment_id FROM events WHERE external_id >= ?1 AND external_id < ?2 AND payment_id IS NOT NULL) AS named LIMIT 2";
const BY_EVENT_ID: &str = "SELECT id FROM events WHERE external_id >= ?1 AND external_id < ?2 LIMIT 2";

/// `after` ends the range of ids that are meant.
fn resolve(conn: &Connection<'_>, id: &str, after: &str) -> Result<Subject, Error> {
    if let Some(own) = resolve_own(conn, id)? {
        return Ok(own);
    }
    if id.len() < 4 {
        return Err(Error::NotFound(format!("{id}: give at least four characters of a provider's id")));
    }
    for (sql, make) in [
        (BY_PROVIDER_ID, (|id| Subject::Payment(PaymentId(id))) as fn(i64) -> Subject),
        (BY_EVENT_ID, |id| Subject::Event(EventId(id))),
    ] {
        let found: Vec<i64> =
            conn.prepare_cached(sql)?.query_map([id, after], |row| row.get(0))?.collect::<Result<_, _>>()?;
        match found.as_slice() {
            [] => {}
            [one] => return Ok(make(*one)),
            _ => return Err(Error::Illegal(format!("{id} is the beginning of more than one id"))),
        }
    }
    Err(Error::NotFound(format!(
        "{id} here: give an id as a whole; `discuno backfill stripe` fetches what was never sent"
    )))
}

/// Ids of our own: whatever belongs to a payment stands for the payment.
fn resolve_own(conn: &Connection<'_>, id: &str) -> Result<Option<Subject>, Error> {
    let owned: Option<(&str, i64, Subject)> = if let Ok(PaymentId(n)) = id.parse() {
        Some(("SELECT id FROM payments WHERE id = ?1", n, Subject::Payment(PaymentId(n))))
    } else if let Ok(RunId(n)) = id.parse() {
        Some(("SELECT payment_id FROM runs WHERE id = ?1", n, Subject::Run(RunId(n))))
    } else if let Ok(EventId(n)) = id.parse() {
        Some(("SELECT payment_id FROM events WHERE id = ?1", n, Subject::Event(EventId(n))))
    } else if let Ok(CaseId(n)) = id.parse() {
        Some(("SELECT payment_id FROM cases WHERE id = ?1", n, Subject::Case(CaseId(n))))
    } else if let Ok(MailId(n)) = id.parse() {
        Some(("SELECT payment_id FROM mails WHERE id = ?1", n, Subject::Mail(MailId(n))))
    } else if let Ok(crate::model::id::RefundId(n)) = id.parse() {
        Some(("SELECT payment_id FROM refunds WHERE id = ?1", n, Subject::Payment(PaymentId(0))))
    } else if let Ok(crate::model::id::TransferId(n)) = id.parse() {
        Some(("SELECT payment_id FROM transfers WHERE id = ?1", n, Subject::Payment(PaymentId(0))))
    } else if let Ok(crate::model::id::BookingId(n)) = id.parse() {
        Some(("SELECT payment_id FROM bookings WHERE id = ?1", n, Subject::Payment(PaymentId(0))))
    } else {
        None
    };
    let Some((sql, number, alone)) = owned else { return Ok(None) };
    let payment: Option<Option<i64>> = conn.prepare_cached(sql)?.query_row([number], |row| row.get(0)).optional()?;
    match payment {
        None => Err(Error::NotFound(format!(
            "{id} here: `discuno payments`, `runs`, `events` and `cases` list what there is"
        ))),
        Some(Some(payment)) => Ok(Some(Subject::Payment(PaymentId(payment)))),
        Some(None) => Ok(Some(alone)),
    }
}

fn story(conn: &Connection<'_>, subject: Subject) -> Result<Story, Error> {
    let (column, id) = match subject {
        Subject::Payment(PaymentId(id)) => ("payment_id", id),
        Subject::Run(RunId(id))
        | Subject::Event(EventId(id))
        | Subject::Case(CaseId(id))
        | Subject::Mail(MailId(id)) => ("id", id),
    };
    let of_payment = matches!(subject, Subject::Payment(_));
    let mut story = Story::default();
    if let Subject::Payment(id) = subject {
        let sql = format!("SELECT {} FROM payments p WHERE p.id = ?1", row::PAYMENT);
        story.payment = conn.prepare_cached(&sql)?.query_row([id.0], row::payment).optional()?;
        if story.payment.is_none() {
            return Err(Error::NotFound(id.to_string()));
        }
        story.acts = list(conn, row::ACT, "acts a", "payment_id", id.0, row::act)?;
        story.refunds = list(conn, row::REFUND, "refunds f", "payment_id", id.0, row::refund)?;
        story.bookings = list(conn, row::BOOKING, "bookings b", "payment_id", id.0, row::booking)?;
        story.transfers = list(conn, row::TRANSFER, "transfers t", "payment_id", id.0, row::transfer)?;
        story.disputes = list(conn, row::DISPUTE, "disputes d", "payment_id", id.0, row::dispute)?;
    }
    if of_payment || matches!(subject, Subject::Event(_)) {
        story.events = list::<Event>(conn, row::EVENT, "events e", column, id, row::event)?;
    }
    if of_payment || matches!(subject, Subject::Case(_)) {
        story.cases = list(conn, row::CASE, "cases c", column, id, row::case)?;
    }
    if of_payment || matches!(subject, Subject::Mail(_)) {
        story.mails = list(conn, row::MAIL, "mails m", column, id, row::mail)?;
    }
    if of_payment || matches!(subject, Subject::Run(_)) {
        let by = if of_payment { "coalesce(payment_id, 0)" } else { "id" };
        for run in list(conn, row::RUN, "runs r", by, id, row::run)? {
            let attempts = queue::journal(conn, run.id)?;
            story.runs.push((run, attempts));
        }
    }
    Ok(story)
}

fn list<T>(
    conn: &Connection<'_>,
    columns: &str,
    table: &str,
    by: &str,
    id: i64,
    read: fn(&Row<'_>) -> Read<T>,
) -> Result<Vec<T>, Error> {
    let sql = format!("SELECT {columns} FROM {table} WHERE {by} = ?1 ORDER BY id LIMIT 1000");
    Ok(conn.prepare_cached(&sql)?.query_map(params![id], read)?.collect::<Result<_, _>>()?)
}

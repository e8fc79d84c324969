//! Payments and refunds: reads for workflows, and the wish to pay back.

use async_trait::async_trait;

use crate::model::account::Account;
use crate::model::booking::Booking;
use crate::model::case::Case;
use crate::model::event::{Event, Source};
use crate::model::id::{CaseId, EventId, MailId, PaymentId, RefundId, RunId, TransferId};
use crate::model::lease::Lease;
use crate::model::mail::Mail;
use crate::model::money::Money;
use crate::model::payment::{Payment, PaymentStatus};
use crate::model::refund::{Refund, RefundOrigin};
use crate::model::run::Run;
use crate::model::time::Timestamp;
use crate::model::transfer::Transfer;
use crate::mutant::{Mutant, is_out};
use crate::store::Ledger;
use crate::store::change::{RefundIntent, SETTLING, TransferIntent};
use crate::store::error::Error;
use crate::store::sql::column::params;
use crate::store::sql::connection::{Connection, OptionalExtension, Read, Row};
use crate::store::sql::{Backend, queue, row};

#[async_trait]
impl<B: Backend> Ledger for B {
    async fn intend_refund(&self, lease: Option<Lease>, intent: RefundIntent, now: Timestamp) -> Result<Refund, Error> {
        self.in_transaction(move |conn| {
            conn.lock_payment(intent.payment)?;
            lease.map_or(Ok(()), |lease| queue::check_lease(conn, lease))?;
            intend_refund(conn, &intent, now)
        })
        .await
    }

    async fn intend_transfer(&self, lease: Lease, intent: TransferIntent, now: Timestamp) -> Result<Transfer, Error> {
        self.in_transaction(move |conn| {
            conn.lock_payment(intent.payment)?;
            queue::check_lease(conn, lease)?;
            intend_transfer(conn, &intent, now)
        })
        .await
    }

    async fn transfer(&self, id: TransferId) -> Result<Transfer, Error> {
        self.in_snapshot(move |conn| read_transfer(conn, id)).await
    }

    async fn booking(&self, uid: &str) -> Result<Option<Booking>, Error> {
        let uid = uid.to_owned();
        self.in_snapshot(move |conn| find_booking(conn, &uid)).await
    }

    async fn account(&self, id: &str) -> Result<Option<Account>, Error> {
        let id = id.to_owned();
        let sql = format!("SELECT {} FROM accounts a WHERE a.id = ?1", row::ACCOUNT);
        self.in_snapshot(move |conn| Ok(conn.prepare_cached(&sql)?.query_row([&id], row::account).optional()?)).await
    }

    async fn complete_until(&self, source: Source) -> Result<Option<Timestamp>, Error> {
        self.in_snapshot(move |conn| {
            let until: Option<i64> =
                conn.prepare_cached(CURSOR)?.query_row([source.as_str()], |found| found.get(0)).optional()?;
            Ok(until.map(Timestamp))
        })
        .await
    }

    async fn payment(&self, id: PaymentId) -> Result<Payment, Error> {
        self.in_snapshot(move |conn| read_payment(conn, id)).await
    }

    async fn refund(&self, id: RefundId) -> Result<Refund, Error> {
        self.in_snapshot(move |conn| read_refund(conn, id)).await
    }

    async fn run(&self, id: RunId) -> Result<Run, Error> {
        self.in_snapshot(move |conn| read_run(conn, id)).await
    }

    async fn event(&self, id: EventId) -> Result<Event, Error> {
        self.in_snapshot(move |conn| {
            one(conn, &format!("SELECT {} FROM events e WHERE e.id = ?1", row::EVENT), id.0, row::event, || {
                id.to_string()
            })
        })
        .await
    }

    async fn case(&self, id: CaseId) -> Result<Case, Error> {
        self.in_snapshot(move |conn| read_case(conn, id)).await
    }

    async fn mail(&self, id: MailId) -> Result<Mail, Error> {
        self.in_snapshot(move |conn| {
            one(conn, &format!("SELECT {} FROM mails m WHERE m.id = ?1", row::MAIL), id.0, row::mail, || id.to_string())
        })
        .await
    }
}

pub(super) fn read_payment(conn: &Connection<'_>, id: PaymentId) -> Result<Payment, Error> {
    one(conn, &format!("SELECT {} FROM payments p WHERE p.id = ?1", row::PAYMENT), id.0, row::payment, || {
        id.to_string()
    })
}

pub(super) fn read_refund(conn: &Connection<'_>, id: RefundId) -> Result<Refund, Error> {
    one(conn, &format!("SELECT {} FROM refunds f WHERE f.id = ?1", row::REFUND), id.0, row::refund, || id.to_string())
}

pub(super) fn read_case(conn: &Connection<'_>, id: CaseId) -> Result<Case, Error> {
    one(conn, &format!("SELECT {} FROM cases c WHERE c.id = ?1", row::CASE), id.0, row::case, || id.to_string())
}

pub(super) fn cases_of(conn: &Connection<'_>, payment: PaymentId) -> Result<Vec<Case>, Error> {
    let sql = format!("SELECT {} FROM cases c WHERE c.payment_id = ?1 ORDER BY c.id", row::CASE);
    Ok(conn.prepare_cached(&sql)?.query_map([payment.0], row::case)?.collect::<Result<_, _>>()?)
}

pub(super) fn read_run(conn: &Connection<'_>, id: RunId) -> Result<Run, Error> {
    conn.lock_payment_of(id)?;
    one(conn, &format!("SELECT {} FROM runs r WHERE r.id = ?1", row::RUN), id.0, row::run, || id.to_string())
}

pub(super) fn read_transfer(conn: &Connection<'_>, id: TransferId) -> Result<Transfer, Error> {
    let sql = format!("SELECT {} FROM transfers t WHERE t.id = ?1", row::TRANSFER);
    one(conn, &sql, id.0, row::transfer, || id.to_string())
}

const LIVE_BOOKING: &str =
    "SELECT 1 FROM bookings WHERE payment_id = ?1 AND status IN ('pending', 'accepted', 'completed')";

pub(super) fn has_live_booking(conn: &Connection<'_>, id: PaymentId) -> Result<bool, Error> {
    Ok(conn.prepare_cached(LIVE_BOOKING)?.exists([id.0])?)
}

pub(super) fn find_booking(conn: &Connection<'_>, uid: &str) -> Result<Option<Booking>, Error> {
    let sql = format!(
        "SELECT {} FROM bookings b WHERE b.uid = ?1 OR b.cal_id = ?2 LIMIT 1{}",
        row::BOOKING,
        conn.for_update()
    );
    Ok(conn.prepare_cached(&sql)?.query_row(params![uid, booking_number(uid)], row::booking).optional()?)
}

/// A booking named by Cal.com's number.
pub(super) fn booking_number(uid: &str) -> Option<i64> {
    uid.bytes().all(|byte| byte.is_ascii_digit()).then(|| uid.parse().ok()).flatten()
}

fn one<T>(
    conn: &Connection<'_>,
    sql: &str,
    id: i64,
    read: fn(&Row<'_>) -> Read<T>,
    name: impl FnOnce() -> String,
) -> Result<T, Error> {
    conn.prepare_cached(&format!("{sql}{}", conn.for_update()))?
        .query_row([id], read)
        .optional()?
        .ok_or_else(|| Error::NotFound(name()))
}

const CURSOR: &str = "SELECT complete_until FROM cursors WHERE source = ?1";
const LIVE_TRANSFER: &str = "SELECT id, status = 'made' FROM transfers WHERE payment_id = ?1 AND status <> 'failed'";
const UNDER_WAY: &str =
    "SELECT 1 FROM runs WHERE coalesce(payment_id, 0) = ?1 AND due_at IS NOT NULL AND workflow = ?2";
const HELD_BACK: &str = "SELECT (SELECT count(*) FROM refunds WHERE payment_id = ?1 AND status NOT IN ('failed', 'canceled')) \
     + (SELECT count(*) FROM disputes WHERE payment_id = ?1 AND status IN ('open', 'lost'))";
const INSERT_TRANSFER: &str = "INSERT INTO transfers (payment_id, amount, currency, destination, origin, status, reference, \
     created_at) SELECT ?1, ?2, ?3, ?4, 'workflow', 'intended', ?5 || '/share/' || (count(*) + 1), ?6 \
     FROM transfers WHERE payment_id = ?1 AND origin = 'workflow' RETURNING id";

/// M9, decided in the same transaction that records the wish; of one of which Stripe was asked and has nothing, anew.
fn intend_transfer(conn: &Connection<'_>, intent: &TransferIntent, now: Timestamp) -> Result<Transfer, Error> {
    let live = conn
        .prepare_cached(LIVE_TRANSFER)?
        .query_row([intent.payment.0], |found| Ok((TransferId(found.get(0)?), found.get::<bool>(1)?)));
    let live = live.optional()?;
    if let Some((id, true)) = live {
        return read_transfer(conn, id);
    }
    let payment = read_payment(conn, intent.payment)?;
    let held_back: i64 = conn.prepare_cached(HELD_BACK)?.query_row([payment.id.0], |found| found.get(0))?;
    if held_back > 0 && !is_out(Mutant::ShareChecks) {
        return Err(Error::Illegal(format!("{} is refunded or disputed: its share is not moved", payment.id)));
    }
    // What was checked may be days old by now.
    let mut undecided =
        payment.status != PaymentStatus::Booked || cases_of(conn, payment.id)?.iter().any(Case::is_undecided);
    for workflow in SETTLING {
        undecided |= conn.prepare_cached(UNDER_WAY)?.exists(params![payment.id.0, workflow])?;
    }
    if undecided && !is_out(Mutant::ShareChecks) {
        return Err(Error::Illegal(format!("{} is not settled: its share is not moved", payment.id)));
    }
    if let Some((id, _)) = live {
        return read_transfer(conn, id);
    }
    let Some(payment_intent) = &payment.payment_intent else {
        return Err(Error::Illegal(format!("{} was free: there is no share", payment.id)));
    };
    if intent.amount.currency != payment.amount.currency || intent.amount.minor > payment.amount.minor {
        return Err(Error::Illegal(format!("a share of {} is more than {}", intent.amount, payment.amount)));
    }
    let wanted = params![
        payment.id.0,
        intent.amount.minor,
        intent.amount.currency.code(),
        intent.destination,
        payment_intent,
        now.0
    ];
    let id = conn.prepare_cached(INSERT_TRANSFER)?.query_row(wanted, |found| found.get(0))?;
    read_transfer(conn, TransferId(id))
}

const HOLDING: &str = "SELECT f.id, f.payment_id, f.ordinal, f.generation, f.amount, f.currency, f.reason, f.origin, f.status, \
     f.reference, f.request, f.sent_at, f.stripe_refund_id, f.failure, f.created_at, f.settled_at FROM refunds f \
     WHERE f.payment_id = ?1 ORDER BY f.ordinal";
const INSERT: &str = "INSERT INTO refunds (payment_id, ordinal, amount, currency, reason, origin, status, reference, created_at) \
     VALUES (?1, ?2, ?3, ?4, ?5, ?6, 'intended', ?7, ?8) RETURNING id";
/// Automatic refunds by hour over the last week, the current hour counted back from now as hour 0.
const HOURLY: &str = "SELECT (?1 - created_at) / 3600000, count(*) FROM refunds \
     WHERE origin = 'workflow' AND created_at > ?1 - 168 * 3600000 GROUP BY 1";

/// The refund that a wish for all that is left comes to, once nothing is left: one that is still to be carried out, or the newest. One
/// of a part covers only that.
pub(super) fn covering(known: &[Refund], left: Money) -> Option<&Refund> {
    let holding = || known.iter().rev().filter(|refund| refund.status.holds_money());
    let unfinished = |refund: &&Refund| refund.status.is_unconfirmed();
    let chosen = holding().find(unfinished).or_else(|| holding().next());
    chosen.filter(|_| left.minor == 0 || is_out(Mutant::PartIsNotWhole))
}

/// Every refund of a payment, and what is not paid back yet.
pub(super) fn refunds_and_rest(conn: &Connection<'_>, payment: &Payment) -> Result<(Vec<Refund>, Money), Error> {
    let known: Vec<Refund> =
        conn.prepare_cached(HOLDING)?.query_map([payment.id.0], row::refund)?.collect::<Result<_, _>>()?;
    let held: i64 = known.iter().filter(|refund| refund.status.holds_money()).map(|refund| refund.amount.minor).sum();
    Ok((known, Money::new(payment.amount.minor - held, payment.amount.currency)))
}

/// Refunds that are wanted and of which nobody knows yet whether Stripe has taken them.
pub(super) fn unconfirmed_refunds(conn: &Connection<'_>, payment: &Payment) -> Result<Vec<Refund>, Error> {
    let (mut known, _) = refunds_and_rest(conn, payment)?;
    known.retain(|refund| refund.status.is_unconfirmed());
    Ok(known)
}

pub(super) fn intend_refund(conn: &Connection<'_>, intent: &RefundIntent, now: Timestamp) -> Result<Refund, Error> {
    let payment = read_payment(conn, intent.payment)?;
    let Some(payment_intent) = &payment.payment_intent else {
        return Err(Error::Illegal(format!("{} was free: there is nothing to pay back", payment.id)));
    };
    let (known, left) = refunds_and_rest(conn, &payment)?;
    let amount = intent.amount.unwrap_or(left);

    // One wish for the whole is enough: whoever comes second gets the refund that is there.
    if intent.amount.is_none()
        && let Some(same) = covering(&known, left)
    {
        return Ok(same.clone());
    }
    if amount.minor <= 0 || amount.currency != left.currency || amount.minor > left.minor {
        return Err(Error::Illegal(format!("{amount} cannot be paid back: {left} of {} is left", payment.amount)));
    }
    if intent.origin == RefundOrigin::Workflow {
        check_ceiling(conn, intent.ceiling, now)?;
    }
    let ordinal = known.len() + 1;
    let reference = format!("{payment_intent}/{ordinal}");
    let wanted = params![
        payment.id.0,
        i64::try_from(ordinal).unwrap_or(i64::MAX),
        amount.minor,
        amount.currency.code(),
        intent.reason,
        intent.origin.as_str(),
        reference,
        now.0
    ];
    let id = conn.prepare_cached(INSERT)?.query_row(wanted, |found| found.get(0))?;
    read_refund(conn, RefundId(id))
}

/// A burst of automatic refunds is more likely a fault than a bad hour: past the ceiling, or five times the median
/// hour of the last week if that is more, they wait for a person.
fn check_ceiling(conn: &Connection<'_>, ceiling: u32, now: Timestamp) -> Result<(), Error> {
    conn.lock_name("refund ceiling")?;
    let mut hours = [0_u32; 168];
    let mut statement = conn.prepare_cached(HOURLY)?;
    let counts = statement.query_map([now.0], |found| Ok((found.get::<i64>(0)?, found.get::<u32>(1)?)))?;
    for count in counts {
        let (hour, refunds) = count?;
        if let Some(slot) = usize::try_from(hour).ok().and_then(|hour| hours.get_mut(hour)) {
            *slot = refunds;
        }
    }
    let this_hour = hours[0];
    hours.sort_unstable();
    let ceiling = ceiling.max(5 * hours[hours.len() / 2]);
    if this_hour >= ceiling {
        return Err(Error::Illegal(format!(
            "{this_hour} automatic refunds within an hour is the ceiling: this one waits for a person"
        )));
    }
    Ok(())
}

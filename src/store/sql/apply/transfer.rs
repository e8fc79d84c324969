//! Mentors' shares and the accounts they go to.

use crate::model::account::Account;
use crate::model::case::{CaseKind, NewCase};
use crate::model::id::TransferId;
use crate::model::money::Money;
use crate::model::payment::Payment;
use crate::model::time::Timestamp;
use crate::model::transfer::TransferStatus;
use crate::mutant::{Mutant, is_out};
use crate::store::Unsettled;
use crate::store::error::Error;
use crate::store::sql::apply::{Scope, refund};
use crate::store::sql::column::params;
use crate::store::sql::connection::{Connection, OptionalExtension};
use crate::store::sql::{ledger, row};

const PUT_ACCOUNT: &str = "INSERT INTO accounts (id, user_id, email, status, charges_enabled, payouts_enabled, \
     transfers_enabled, requirements, as_of) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9) ON CONFLICT (id) DO UPDATE SET \
     user_id = coalesce(excluded.user_id, accounts.user_id), email = coalesce(excluded.email, accounts.email), status = excluded.status, \
     charges_enabled = excluded.charges_enabled, payouts_enabled = excluded.payouts_enabled, \
     transfers_enabled = excluded.transfers_enabled, requirements = excluded.requirements, as_of = excluded.as_of \
     WHERE excluded.as_of >= accounts.as_of";
const ACCOUNT_GONE: &str = "INSERT INTO accounts (id, status, charges_enabled, payouts_enabled, transfers_enabled, \
     requirements, as_of) VALUES (?1, 'inactive', 0, 0, 0, '[]', ?2) ON CONFLICT (id) DO UPDATE SET status = 'inactive', \
     charges_enabled = 0, payouts_enabled = 0, transfers_enabled = 0, as_of = excluded.as_of WHERE excluded.as_of >= accounts.as_of";
const SENT: &str = "UPDATE transfers SET status = 'sent', request = ?2, sent_at = ?3, generation = generation + ?4 \
     WHERE id = ?1 AND status IN ('intended', 'sent')";
const FAILED: &str = "UPDATE transfers SET status = 'failed' WHERE id = ?1 AND status IN ('intended', 'sent')";
const FIND: &str = "SELECT id FROM transfers WHERE stripe_transfer_id = ?1 OR reference = ?2";
const SEEN: &str = "UPDATE transfers SET status = CASE WHEN status = 'failed' AND reversed >= amount THEN status ELSE 'made' END, \
     stripe_transfer_id = ?2, reversed = CASE WHEN reversed > ?3 THEN reversed ELSE ?3 END WHERE id = ?1";
/// What is only wanted, or came back as a whole, gives way to what somebody moved by hand.
const SUPERSEDE: &str = "UPDATE transfers SET status = 'failed' WHERE payment_id = ?1 \
     AND (status = 'intended' OR (status = 'made' AND reversed >= amount))";
const LIVE: &str = "SELECT reference FROM transfers WHERE payment_id = ?1 AND status <> 'failed'";
const ADOPT: &str = "INSERT INTO transfers (payment_id, amount, currency, destination, origin, status, reversed, reference, \
     stripe_transfer_id, created_at) VALUES (?1, ?2, ?3, ?4, 'stripe', 'made', ?5, ?6, ?7, ?8)";

/// What moved with the charge comes back with its refund; what was moved afterwards, only by hand.
const MOVED: &str = "SELECT reference, amount, reversed, stripe_transfer_id FROM transfers \
     WHERE payment_id = ?1 AND status = 'made' AND origin = 'workflow'";
const CLOSE_OTHERS: &str = "UPDATE cases SET status = 'closed', closed_at = ?3, resolution = ?4 \
     WHERE payment_id = ?1 AND kind = 'transfer_not_reversed' AND status = 'open' AND cause <> ?2";

/// News of a share is news of its payment.
const TOUCH: &str = "UPDATE payments SET updated_at = ?2 WHERE id = ?1 AND EXISTS (SELECT 1 FROM transfers WHERE id = ?3 AND reversed < ?4)";
const GIVEN_BACK: &str = "SELECT amount, reversed FROM transfers WHERE payment_id = ?1 AND status = 'made'";
const CLOSE_FOUND: &str = "UPDATE cases SET status = 'closed', closed_at = ?3, resolution = 'what is paid back and what the mentor gave back agree' \
     WHERE payment_id = ?1 AND status = 'open' AND substr(cause, 1, length(?2)) = ?2";

const CAME_TO_NOTHING: &str = "SELECT count(*) FROM refunds WHERE payment_id = ?1 AND status IN ('failed', 'canceled') \
     AND stripe_refund_id IS NOT NULL";

/// A transfer as Stripe has it.
pub(super) struct Seen<'a> {
    pub(super) stripe_id: &'a str,
    pub(super) reference: Option<&'a str>,
    pub(super) amount: Money,
    pub(super) reversed: i64,
    pub(super) destination: &'a str,
}

/// How much of a share is to come back with what is paid back, in minor units.
fn due_back(conn: &Connection<'_>, payment: &Payment, share: i64) -> Result<i64, Error> {
    Ok(payment.amount.share_of(share, refund::accepted(conn, payment.id)?))
}

pub(super) fn put_account(conn: &Connection<'_>, new: &Account) -> Result<(), Error> {
    conn.prepare_cached(PUT_ACCOUNT)?.execute(params![
        new.id,
        new.user_id,
        new.email,
        new.status.as_str(),
        new.charges_enabled,
        new.payouts_enabled,
        new.transfers_enabled,
        row::to_json(&new.requirements)?,
        new.as_of.0
    ])?;
    Ok(())
}

pub(super) fn account_gone(conn: &Connection<'_>, id: &str, as_of: Timestamp) -> Result<(), Error> {
    conn.prepare_cached(ACCOUNT_GONE)?.execute(params![id, as_of.0])?;
    Ok(())
}

pub(super) fn transfer_failed(conn: &Connection<'_>, id: TransferId) -> Result<(), Error> {
    conn.prepare_cached(FAILED)?.execute([id.0])?;
    Ok(())
}

impl Scope {
    pub(super) fn transfer_sent(
        &self,
        conn: &Connection<'_>,
        id: TransferId,
        request: &str,
        renew: bool,
    ) -> Result<(), Error> {
        let known = ledger::read_transfer(conn, id)?;
        if matches!(known.status, TransferStatus::Made | TransferStatus::Failed) {
            return Err(Error::Illegal(format!("{id} is {} and is not asked for again", known.status)));
        }
        conn.prepare_cached(SENT)?.execute(params![id.0, request, self.now.0, renew])?;
        Ok(())
    }

    pub(super) fn transfer_seen(&mut self, conn: &Connection<'_>, seen: &Seen<'_>) -> Result<(), Error> {
        let known: Option<i64> = conn
            .prepare_cached(FIND)?
            .query_row(params![seen.stripe_id, seen.reference], |found| found.get(0))
            .optional()?;
        let payment = self.subject(conn)?;
        if let Some(id) = known {
            conn.prepare_cached(TOUCH)?.execute([payment.id.0, self.now.0, id, seen.reversed])?;
            conn.prepare_cached(SEEN)?.execute(params![id, seen.stripe_id, seen.reversed])?;
            return self.weigh_share(conn);
        }
        conn.prepare_cached(SUPERSEDE)?.execute([payment.id.0])?;
        let live: Option<String> =
            conn.prepare_cached(LIVE)?.query_row([payment.id.0], |found| found.get(0)).optional()?;
        if let Some(other) = live {
            return self.open_case(
                conn,
                NewCase {
                    kind: CaseKind::Contradiction,
                    cause: format!("second_transfer/{}", seen.stripe_id),
                    summary: format!("a second transfer of {} for one payment is at Stripe", seen.amount),
                    detail: format!("{} beside {other}: reverse one of them in Stripe", seen.stripe_id),
                    at_risk: Some(seen.amount),
                },
            );
        }
        conn.prepare_cached(ADOPT)?.execute(params![
            payment.id.0,
            seen.amount.minor,
            seen.amount.currency.code(),
            seen.destination,
            seen.reversed,
            format!("stripe/{}", seen.stripe_id),
            seen.stripe_id,
            self.now.0
        ])?;
        self.close_found(conn, &payment)
    }

    /// What the daily comparison has found of a share, and is so no more.
    fn close_found(&self, conn: &Connection<'_>, payment: &Payment) -> Result<(), Error> {
        let made = conn
            .prepare_cached(GIVEN_BACK)?
            .query_row([payment.id.0], |found| Ok((found.get::<i64>(0)?, found.get::<i64>(1)?)));
        let Some((share, reversed)) = made.optional()? else { return Ok(()) };
        let due = due_back(conn, payment, share)?;
        for (what, holds) in [(Unsettled::ShareLeft, reversed < due), (Unsettled::ShareOwed, reversed > due)] {
            if !holds {
                let found = format!("unaccounted/{what}/{}", payment.session_id);
                conn.prepare_cached(CLOSE_FOUND)?.execute(params![payment.id.0, found, self.now.0])?;
            }
        }
        Ok(())
    }

    /// Whoever pays back takes the mentor's share back in proportion, or a person is told that it is still there.
    pub(super) fn weigh_share(&mut self, conn: &Connection<'_>) -> Result<(), Error> {
        let payment = self.subject(conn)?;
        self.close_found(conn, &payment)?;
        let moved = conn.prepare_cached(MOVED)?.query_row([payment.id.0], |found| {
            Ok((found.get::<String>(0)?, found.get::<i64>(1)?, found.get::<i64>(2)?, found.get::<Option<String>>(3)?))
        });
        let Some((reference, share, reversed, stripe_id)) = moved.optional()? else { return Ok(()) };
        let back = refund::accepted(conn, payment.id)?;
        let left = due_back(conn, &payment, share)? - reversed;
        // What came to nothing may be paid back again: that is another matter than before.
        let failed: i64 = conn.prepare_cached(CAME_TO_NOTHING)?.query_row([payment.id.0], |found| found.get(0))?;
        let cause = format!("transfer_not_reversed/{reference}/{back}/{failed}");
        let (settled, why) = if left > 0 {
            (cause.as_str(), "what is paid back is another amount by now")
        } else {
            ("", "what is paid back and what the mentor gave back agree")
        };
        conn.prepare_cached(CLOSE_OTHERS)?.execute(params![payment.id.0, settled, self.now.0, why])?;
        if left <= 0 || is_out(Mutant::ShareCase) {
            return Ok(());
        }
        let money = |minor| Money::new(minor, payment.amount.currency);
        self.open_case(
            conn,
            NewCase {
                kind: CaseKind::TransferNotReversed,
                cause,
                summary: format!(
                    "the customer has {} back, and {} of the mentor's {} was not taken back",
                    money(back),
                    money(left),
                    money(share)
                ),
                detail: format!(
                    "{}: reverse it by hand in Stripe, or close this if the mentor is to keep it",
                    stripe_id.as_deref().unwrap_or(&reference)
                ),
                at_risk: Some(money(left)),
            },
        )
    }
}

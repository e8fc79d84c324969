//! Refunds: what was asked, what was learnt, what others did, and what it all adds up to.

use serde_json::json;

use crate::model::case::{CaseKind, NewCase};
use crate::model::failure::Failure;
use crate::model::id::{PaymentId, RefundId};
use crate::model::money::Money;
use crate::model::payment::PaymentFact;
use crate::model::refund::{Refund, RefundFact, RefundOrigin, RefundStatus};
use crate::mutant::{Mutant, is_out};
use crate::store::Unsettled;
use crate::store::change::{COMPARE_WORKFLOW, NewRun};
use crate::store::error::Error;
use crate::store::sql::apply::Scope;
use crate::store::sql::column::params;
use crate::store::sql::connection::{Connection, OptionalExtension};
use crate::store::sql::{ledger, row};

const SENT: &str =
    "UPDATE refunds SET status = ?2, request = ?3, sent_at = ?4, generation = generation + ?5 WHERE id = ?1";
const LEARNED: &str = "UPDATE refunds SET status = ?2, stripe_refund_id = coalesce(?3, stripe_refund_id), failure = ?4, \
     settled_at = ?5 WHERE id = ?1";
/// By its own mark only while it is wanted, and of the same amount: the books may have been put back to before one of that mark.
const FIND: &str = "SELECT id FROM refunds WHERE stripe_refund_id = ?1 OR (reference = ?2 AND stripe_refund_id IS NULL \
     AND amount = ?3 AND status NOT IN ('failed', 'canceled')) ORDER BY stripe_refund_id IS NULL LIMIT 1";
const SUPERSEDE: &str =
    "UPDATE refunds SET status = 'failed', failure = ?2, settled_at = ?3 WHERE payment_id = ?1 AND status = 'intended'";
const HELD: &str = "SELECT CAST(coalesce(sum(amount), 0) AS BIGINT) FROM refunds WHERE payment_id = ?1 AND status NOT IN ('failed', 'canceled')";
const ADOPT: &str = "INSERT INTO refunds (payment_id, ordinal, amount, currency, reason, origin, status, reference, \
     stripe_refund_id, created_at, settled_at) SELECT ?1, coalesce(max(ordinal), 0) + 1, ?2, ?3, 'found at Stripe', ?4, ?5, \
     ?6, ?7, ?8, ?8 FROM refunds WHERE payment_id = ?1 RETURNING id";
const SUMS: &str = "SELECT CAST(coalesce(sum(amount) FILTER (WHERE status = 'succeeded'), 0) AS BIGINT), \
     CAST(coalesce(sum(amount) FILTER (WHERE status IN ('pending', 'succeeded')), 0) AS BIGINT) FROM refunds WHERE payment_id = ?1";

/// What asks about refunds that Stripe does not carry out, once it has carried out all of them.
const CLOSE_WAITING: &str = "UPDATE cases SET status = 'closed', closed_at = ?3, resolution = 'stripe has said what became of the refund' \
     WHERE payment_id = ?1 AND status = 'open' AND substr(cause, 1, length(?2)) = ?2 \
     AND NOT EXISTS (SELECT 1 FROM refunds f WHERE f.payment_id = ?1 AND f.status = 'pending')";

/// The sessions that stand, where the newest refund was made at Stripe.
const LIVE_AT_STRIPE: &str = "SELECT b.uid, f.reference FROM bookings b JOIN refunds f ON f.payment_id = b.payment_id \
     WHERE b.payment_id = ?1 AND b.status IN ('pending', 'accepted', 'completed') AND b.host_absent = 0 AND f.origin = 'stripe' \
     AND f.id = (SELECT max(id) FROM refunds WHERE payment_id = ?1 AND status NOT IN ('failed', 'canceled'))";

/// A refund as Stripe has it.
pub(super) struct Found<'a> {
    pub(super) stripe_id: &'a str,
    pub(super) reference: Option<&'a str>,
    pub(super) amount: Money,
    pub(super) fact: RefundFact,
}

impl Scope {
    pub(super) fn refund_sent(
        &self,
        conn: &Connection<'_>,
        id: RefundId,
        request: &str,
        renew: bool,
    ) -> Result<(), Error> {
        let known = ledger::read_refund(conn, id)?;
        let status = known.status.learn(RefundFact::Sent).map_err(|error| Error::Illegal(error.to_string()))?;
        let sent = if renew || known.request.is_none() {
            params![id.0, status.as_str(), request, self.now.0, renew]
        } else {
            // The generation's first request stands, and so does the time from which its key is known to Stripe.
            params![id.0, status.as_str(), known.request, known.sent_at.map(|at| at.0), false]
        };
        conn.prepare_cached(SENT)?.execute(sent)?;
        Ok(())
    }

    pub(super) fn refund_learned(
        &mut self,
        conn: &Connection<'_>,
        known: &Refund,
        fact: RefundFact,
        stripe_refund_id: Option<&str>,
        failure: Option<&Failure>,
    ) -> Result<(), Error> {
        let learned = if is_out(Mutant::RefundOrder) { Ok(status_of(fact)) } else { known.status.learn(fact) };
        let Ok(status) = learned else { return Ok(()) };
        if status == known.status && !status.holds_money() {
            // A failure that is told again: what follows from it has followed, and when it settled is known.
            self.payment = Some(known.payment);
            return Ok(());
        }
        let settled = !matches!(status, RefundStatus::Intended | RefundStatus::Sent | RefundStatus::Pending);
        // What is told again settled when it was told first.
        let settled_at = known.settled_at.filter(|_| status == known.status).or(settled.then_some(self.now));
        conn.prepare_cached(LEARNED)?.execute(params![
            known.id.0,
            status.as_str(),
            stripe_refund_id,
            failure.map(row::to_json).transpose()?,
            settled_at.map(|at| at.0)
        ])?;
        self.payment = Some(known.payment);
        self.weigh_refunds(conn, status)?;
        if known.status.is_accepted() && !status.holds_money() {
            self.open_case_of_failure(conn, known.id)
        } else {
            Ok(())
        }
    }

    pub(super) fn refund_adopted(&mut self, conn: &Connection<'_>, found: &Found<'_>) -> Result<(), Error> {
        let known: Option<i64> = conn
            .prepare_cached(FIND)?
            .query_row(params![found.stripe_id, found.reference, found.amount.minor], |row| row.get(0))
            .optional()?;
        if let Some(known) = known {
            let known = ledger::read_refund(conn, RefundId(known))?;
            return self.refund_learned(conn, &known, found.fact, Some(found.stripe_id), None);
        }
        let status = status_of(found.fact);
        let payment = self.subject(conn)?;
        if status.holds_money() && self.exceeds(conn, payment.id, payment.amount, found.amount)? {
            return self.open_case(
                conn,
                NewCase {
                    kind: CaseKind::Contradiction,
                    cause: format!("too_much_refunded/{}", found.stripe_id),
                    summary: format!(
                        "{} was refunded at Stripe by another way, and with what is known that is more than {}",
                        found.amount, payment.amount
                    ),
                    detail: format!("{}: compare the refunds of the payment in Stripe", found.stripe_id),
                    at_risk: Some(found.amount),
                },
            );
        }
        let row = params![
            payment.id.0,
            found.amount.minor,
            found.amount.currency.code(),
            RefundOrigin::Stripe.as_str(),
            status.as_str(),
            format!("stripe/{}", found.stripe_id),
            found.stripe_id,
            self.now.0
        ];
        let adopted = conn.prepare_cached(ADOPT)?.query_row(row, |made| made.get(0))?;
        self.weigh_refunds(conn, status)?;
        // That it was made may have gone unheard. Whoever made it counts on it all the same.
        if status.holds_money() { Ok(()) } else { self.open_case_of_failure(conn, RefundId(adopted)) }
    }

    /// M8: Stripe had taken it, and it came to nothing after all.
    fn open_case_of_failure(&mut self, conn: &Connection<'_>, id: RefundId) -> Result<(), Error> {
        if is_out(Mutant::LateFailure) {
            return Ok(());
        }
        let refund = ledger::read_refund(conn, id)?;
        self.open_case_anew(
            conn,
            NewCase {
                kind: CaseKind::RefundFailed,
                cause: format!("refund_failed/{}", refund.reference),
                summary: format!(
                    "the refund of {} is {} after stripe had accepted it: the money is here and not with the customer",
                    refund.amount, refund.status
                ),
                detail: format!(
                    "{}: pay the customer back by another way, or refund again",
                    refund.stripe_refund_id.as_deref().unwrap_or(&refund.reference)
                ),
                at_risk: Some(refund.amount),
            },
        )
    }

    /// Whether one more refund is too much, once what was only wanted has given way to what was done.
    fn exceeds(&self, conn: &Connection<'_>, payment: PaymentId, paid: Money, more: Money) -> Result<bool, Error> {
        let held = || conn.prepare_cached(HELD)?.query_row([payment.0], |row| row.get::<i64>(0));
        if more.currency != paid.currency {
            return Ok(true);
        }
        if held()? + more.minor <= paid.minor {
            return Ok(false);
        }
        let superseded = Failure::permanent("refunded_elsewhere", "the payment was refunded at stripe by another way");
        conn.prepare_cached(SUPERSEDE)?.execute(params![payment.0, row::to_json(&superseded)?, self.now.0])?;
        Ok(held()? + more.minor > paid.minor)
    }

    /// What the refunds add up to decides where the payment stands.
    fn weigh_refunds(&mut self, conn: &Connection<'_>, newest: RefundStatus) -> Result<(), Error> {
        let payment = self.subject(conn)?;
        let waited_for = format!("unaccounted/{}/{}", Unsettled::RefundPending, payment.session_id);
        if conn.prepare_cached(CLOSE_WAITING)?.execute(params![payment.id.0, waited_for, self.now.0])? > 0 {
            self.stands_after_all(conn)?;
        }
        let (settled, held) = sums(conn, payment.id)?;
        let failed = || (!newest.holds_money()).then_some(PaymentFact::RefundFailed);
        if let Some(fact) = PaymentFact::of_refunds(settled, held, payment.amount.minor).or_else(failed) {
            self.learn(conn, fact)?;
            if !payment.status.is_paid_back() && self.subject(conn)?.status.is_paid_back() {
                self.ask_about_sessions(conn, payment.id)?;
            }
        }
        self.weigh_share(conn)
    }

    /// Whoever pays back at Stripe says nothing of the session, and it may be certain only long after that all is back: when another refund
    /// has come to nothing, say.
    fn ask_about_sessions(&self, conn: &Connection<'_>, payment: PaymentId) -> Result<(), Error> {
        let mut live = conn.prepare_cached(LIVE_AT_STRIPE)?;
        let live = live.query_map([payment.0], |found| Ok((found.get::<String>(0)?, found.get::<String>(1)?)));
        for (uid, reference) in live?.collect::<Result<Vec<_>, _>>()? {
            let input = json!({ "uid": uid, "stood": true });
            self.start(conn, &NewRun::with_input(COMPARE_WORKFLOW, format!("{reference}/{uid}"), input))?;
        }
        Ok(())
    }
}

/// Where a refund stands of which nothing else is known.
const fn status_of(fact: RefundFact) -> RefundStatus {
    match fact {
        RefundFact::Succeeded => RefundStatus::Succeeded,
        RefundFact::Failed => RefundStatus::Failed,
        RefundFact::Canceled | RefundFact::Withdrawn => RefundStatus::Canceled,
        RefundFact::Sent | RefundFact::Pending => RefundStatus::Pending,
    }
}

/// What Stripe has paid back or accepted to, in minor units.
pub(super) fn accepted(conn: &Connection<'_>, payment: PaymentId) -> Result<i64, Error> {
    Ok(sums(conn, payment)?.1)
}

/// What is back, and with it what is on its way.
fn sums(conn: &Connection<'_>, payment: PaymentId) -> Result<(i64, i64), Error> {
    Ok(conn.prepare_cached(SUMS)?.query_row([payment.0], |sums| Ok((sums.get(0)?, sums.get(1)?)))?)
}

//! What a person decided to let stand.

use crate::model::case::{self, CaseKind, CaseStatus, NewCase};
use crate::model::id::{PaymentId, RunId};
use crate::model::payment::{PaymentFact, PaymentStatus};
use crate::model::transfer::not_moved;
use crate::store::change::{NewRun, TRANSFER_WORKFLOW};
use crate::store::error::Error;
use crate::store::sql::apply::Scope;
use crate::store::sql::column::params;
use crate::store::sql::connection::{Connection, OptionalExtension};
use crate::store::sql::{again, ledger};

/// What was ended since the money was to go back; what a person ended stays ended.
const ENDED_SHARE: &str = "SELECT id FROM runs r WHERE coalesce(payment_id, 0) = ?1 AND workflow = ?2 AND state = 'cancelled' \
     AND NOT EXISTS (SELECT 1 FROM acts a WHERE a.verb = 'cancel' AND a.subject = 'run_' || r.id)";
/// The same where its end still waits, as it does while the workflow is paused.
const KEEP_SHARE: &str = "UPDATE runs SET cancel_requested = 0 WHERE coalesce(payment_id, 0) = ?1 AND workflow = ?2 AND state = 'queued' \
     AND cancel_requested = 1 AND NOT EXISTS (SELECT 1 FROM acts a WHERE a.verb = 'cancel' AND a.subject = 'run_' || runs.id)";
/// The run that was to move a share, where it has ended, nothing was moved, and nobody was asked about it. What a person has settled while
/// nothing else was open stays settled, unless a refund that stood then came to nothing later.
const KEPT_SHARE: &str = "SELECT id, outcome, \
     (SELECT count(*) FROM transfers t WHERE t.payment_id = ?1 AND t.status = 'sent') FROM runs r \
     WHERE coalesce(payment_id, 0) = ?1 AND workflow = ?2 AND (state = 'cancelled' OR outcome IN ('not_due', 'case_opened')) \
     AND NOT EXISTS (SELECT 1 FROM transfers t WHERE t.payment_id = ?1 AND t.status = 'made') \
     AND NOT EXISTS (SELECT 1 FROM disputes d WHERE d.payment_id = ?1 AND d.status = 'lost') \
     AND NOT EXISTS (SELECT 1 FROM cases c WHERE c.run_id = r.id AND (c.status = 'open' OR c.kind = 'transfer_blocked' \
     AND c.resolution NOT LIKE 'retried, %' AND NOT EXISTS (SELECT 1 FROM cases o WHERE o.payment_id = ?1 \
     AND o.kind NOT IN ('transfer_blocked', 'transfer_not_reversed', 'payout_failed') \
     AND o.opened_at <= c.closed_at AND (o.closed_at IS NULL OR o.closed_at > c.closed_at)) \
     AND NOT EXISTS (SELECT 1 FROM refunds f WHERE f.payment_id = ?1 AND f.created_at <= c.closed_at AND f.settled_at > c.closed_at \
     AND f.status IN ('failed', 'canceled'))))";

impl Scope {
    /// Once nobody has to act any more, a session of which a person said that it takes place is settled like any other, and its
    /// mentor's share is owed again. Asked whenever a case was closed.
    pub(in crate::store::sql) fn stands_after_all(&mut self, conn: &Connection<'_>) -> Result<(), Error> {
        let Some(id) = self.payment else { return Ok(()) };
        let payment = ledger::read_payment(conn, id)?;
        if payment.status != PaymentStatus::Attention {
            return Ok(());
        }
        let cases = ledger::cases_of(conn, id)?;
        let mut open = cases.iter().filter(|case| case.status == CaseStatus::Open);
        let (refunds, left) = ledger::refunds_and_rest(conn, &payment)?;
        let stands = case::is_let_stand(&cases)
            && open.all(|case| case.kind.is_about_share() || case.is_beside_the_money())
            && left.minor > 0
            && ledger::has_live_booking(conn, id)?
            && !refunds.iter().any(|refund| refund.status.is_unconfirmed());
        if !stands {
            return Ok(());
        }
        self.learn(conn, PaymentFact::Booked)?;
        // Whoever booked it may not have come to its share. When it is due, the run finds out.
        if payment.payment_intent.is_some() && payment.checkout.is_some_and(|order| order.mentor_amount > 0) {
            self.start(conn, &NewRun::on_subject(TRANSFER_WORKFLOW))?;
        }
        Ok(())
    }

    /// The share of a session that stands again: the run that was to move it goes on, or a person is asked.
    pub(super) fn owe_share(&mut self, conn: &Connection<'_>, id: PaymentId) -> Result<(), Error> {
        let share = params![id.0, TRANSFER_WORKFLOW];
        conn.prepare_cached(KEEP_SHARE)?.execute(share)?;
        let ended: Option<i64> = conn.prepare_cached(ENDED_SHARE)?.query_row(share, |found| found.get(0)).optional()?;
        match ended {
            Some(run) => again::begin_anew(conn, RunId(run), self.now),
            None => self.ask_about_share(conn),
        }
    }

    /// Whoever ends the run that was to move the share of a session that is booked is asked what becomes of it: no other does.
    pub(in crate::store::sql) fn ask_about_share(&mut self, conn: &Connection<'_>) -> Result<(), Error> {
        let payment = self.subject(conn)?;
        let (PaymentStatus::Booked, Some(intent), Some(order)) =
            (payment.status, &payment.payment_intent, &payment.checkout)
        else {
            return Ok(());
        };
        let share = order.share();
        let mut kept = conn.prepare_cached(KEPT_SHARE)?;
        let kept = kept.query_row(params![payment.id.0, TRANSFER_WORKFLOW], |found| {
            Ok((RunId(found.get(0)?), found.get::<Option<String>>(1)?, found.get::<i64>(2)? > 0))
        });
        let Some((run, outcome, asked)) = kept.optional()?.filter(|_| share.minor > 0) else { return Ok(()) };
        let (ended, retry) = match outcome.as_deref() {
            None => ("was cancelled", format!("retry {run}, or ")),
            Some("not_due") => ("found it not due", String::new()),
            Some(_) => ("has waited in vain", String::new()),
        };
        let case = NewCase {
            kind: CaseKind::TransferBlocked,
            cause: format!("share_kept/{run}"),
            summary: not_moved(share, asked, &format!("{run} {ended}")),
            detail: format!(
                "{intent} for {}: if it is due {retry}transfer it in Stripe and close this",
                order.mentor_account
            ),
            at_risk: Some(share),
        };
        Self { run: Some(run), ..*self }.open_case_anew(conn, case)
    }
}

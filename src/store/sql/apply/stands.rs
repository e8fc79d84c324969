//! What a person decided to let stand.

use crate::model::case::{CaseKind, Resolution};
use crate::model::id::RunId;
use crate::model::payment::{PaymentFact, PaymentStatus};
use crate::store::change::{NewRun, TRANSFER_WORKFLOW};
use crate::store::error::Error;
use crate::store::sql::apply::Scope;
use crate::store::sql::column::params;
use crate::store::sql::connection::{Connection, OptionalExtension};
use crate::store::sql::{again, ledger, row};

const OPEN_KINDS: &str = "SELECT kind FROM cases WHERE payment_id = ?1 AND status = 'open'";
const SAID: &str = "SELECT resolution FROM cases WHERE payment_id = ?1 AND status = 'closed'";
/// What was ended since the money was to go back; what a person ended stays ended.
const ENDED_SHARE: &str = "SELECT id FROM runs r WHERE coalesce(payment_id, 0) = ?1 AND workflow = ?2 AND state = 'cancelled' \
     AND NOT EXISTS (SELECT 1 FROM acts a WHERE a.verb = 'cancel' AND a.subject = 'run_' || r.id)";
/// The same where its end still waits, as it does while the workflow is paused.
const KEEP_SHARE: &str = "UPDATE runs SET cancel_requested = 0 WHERE coalesce(payment_id, 0) = ?1 AND workflow = ?2 AND state = 'queued' \
     AND cancel_requested = 1 AND NOT EXISTS (SELECT 1 FROM acts a WHERE a.verb = 'cancel' AND a.subject = 'run_' || runs.id)";

impl Scope {
    /// Once nobody has to act any more, a session of which a person said that it takes place is settled like any other, and its
    /// mentor's share is owed again. Asked whenever a case was closed.
    pub(in crate::store::sql) fn stands_after_all(&mut self, conn: &Connection<'_>) -> Result<(), Error> {
        let Some(id) = self.payment else { return Ok(()) };
        let payment = ledger::read_payment(conn, id)?;
        if payment.status != PaymentStatus::Attention {
            return Ok(());
        }
        let mut said = conn.prepare_cached(SAID)?;
        let said: Vec<Option<String>> = said.query_map([id.0], |found| found.get(0))?.collect::<Result<_, _>>()?;
        let mut kinds = conn.prepare_cached(OPEN_KINDS)?;
        let open: Vec<CaseKind> = kinds.query_map([id.0], |found| row::word(found, 0))?.collect::<Result<_, _>>()?;
        let (refunds, left) = ledger::refunds_and_rest(conn, &payment)?;
        let stands = said.into_iter().flatten().any(|text| Resolution::Booked.is_said_in(&text))
            && open.into_iter().all(CaseKind::is_about_share)
            && left.minor > 0
            && ledger::has_live_booking(conn, id)?
            && !refunds.iter().any(|refund| refund.status.is_unconfirmed());
        if !stands {
            return Ok(());
        }
        self.learn(conn, PaymentFact::Booked)?;
        let share = params![id.0, TRANSFER_WORKFLOW];
        conn.prepare_cached(KEEP_SHARE)?.execute(share)?;
        let ended: Option<i64> = conn.prepare_cached(ENDED_SHARE)?.query_row(share, |found| found.get(0)).optional()?;
        if let Some(run) = ended {
            return again::begin_anew(conn, RunId(run), self.now);
        }
        // Whoever booked it may not have come to that. When it is due, the run finds out.
        if payment.payment_intent.is_some() && payment.checkout.is_some_and(|order| order.mentor_amount > 0) {
            self.start(conn, &NewRun::on_subject(TRANSFER_WORKFLOW))?;
        }
        Ok(())
    }
}

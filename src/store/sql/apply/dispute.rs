//! Disputes: kept by what Stripe said last, with a case while somebody has to act.

use crate::model::case::{CaseKind, NewCase};
use crate::model::dispute::{Dispute, DisputeStatus};
use crate::model::payment::PaymentFact;
use crate::mutant::{Mutant, is_out};
use crate::store::error::Error;
use crate::store::sql::apply::Scope;
use crate::store::sql::column::params;
use crate::store::sql::connection::{Connection, OptionalExtension};
use crate::store::sql::row;

/// Within one second the later state of the two counts: a decision is never taken back by the news of the dispute.
const PUT: &str = "INSERT INTO disputes (id, payment_id, status, amount, currency, reason, due_at, as_of) \
     VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8) ON CONFLICT (id) DO UPDATE SET status = excluded.status, \
     amount = excluded.amount, reason = excluded.reason, due_at = coalesce(excluded.due_at, disputes.due_at), as_of = excluded.as_of \
     WHERE excluded.as_of > disputes.as_of OR (excluded.as_of = disputes.as_of AND disputes.status IN ('inquiry', 'open'))";
/// A person has it, or has had it.
const OTHERS: &str = "SELECT 1 FROM cases WHERE payment_id = ?1 AND kind <> 'disputed'";
const STATUS: &str = "SELECT status FROM disputes WHERE id = ?1";
const CLOSE: &str = "UPDATE cases SET status = 'closed', closed_at = ?3, resolution = ?4 WHERE payment_id = ?1 AND kind = 'disputed' \
     AND status = 'open' AND (cause = ?2 OR substr(cause, 1, length(?2) + 1) = ?2 || '/')";

impl Scope {
    pub(super) fn put_dispute(&mut self, conn: &Connection<'_>, new: &Dispute) -> Result<(), Error> {
        let payment = self.subject(conn)?;
        let before = standing(conn, &new.id)?;
        conn.prepare_cached(PUT)?.execute(params![
            new.id,
            payment.id.0,
            new.status.as_str(),
            new.amount.minor,
            new.amount.currency.code(),
            new.reason,
            new.due_at.map(|at| at.0),
            new.as_of.0
        ])?;
        let status = standing(conn, &new.id)?;
        match status {
            // Told again, or late.
            _ if status == before => Ok(()),
            Some(DisputeStatus::Won) => {
                self.close_disputed(conn, &new.id, "the dispute ended and the money is here")?;
                let others = conn.prepare_cached(OTHERS)?.exists([payment.id.0])?;
                if others {
                    self.stands_after_all(conn)?;
                } else {
                    self.learn(conn, PaymentFact::CaseClosed)?;
                }
                // Whoever was to move the share may have taken an earlier word for the last.
                self.ask_about_share(conn)
            }
            // Also one that had ended: what was decided for us can be decided again.
            Some(status) => {
                self.close_disputed(conn, &new.id, "the dispute went on: a case of its own tells how")?;
                if is_out(Mutant::DisputeCase) { Ok(()) } else { self.open_case(conn, disputed(new, status)) }
            }
            None => Ok(()),
        }
    }

    fn close_disputed(&self, conn: &Connection<'_>, dispute: &str, resolution: &str) -> Result<(), Error> {
        let cause = format!("disputed/{dispute}");
        let of = self.payment.map(|id| id.0);
        conn.prepare_cached(CLOSE)?.execute(params![of, cause, self.now.0, resolution])?;
        Ok(())
    }
}

fn standing(conn: &Connection<'_>, dispute: &str) -> Result<Option<DisputeStatus>, Error> {
    Ok(conn.prepare_cached(STATUS)?.query_row([dispute], |found| row::word(found, 0)).optional()?)
}

fn disputed(dispute: &Dispute, status: DisputeStatus) -> NewCase {
    let state = match status {
        DisputeStatus::Inquiry => "the customer's bank asks about it; no money has moved",
        DisputeStatus::Lost => "the dispute is lost and the money is gone",
        DisputeStatus::Open | DisputeStatus::Won => {
            "the customer's bank has taken it back until the dispute is decided"
        }
    };
    let evidence = dispute.due_at.map_or_else(String::new, |due| format!("; evidence is taken until {due}"));
    NewCase {
        kind: CaseKind::Disputed,
        cause: format!("disputed/{}/{status}/{}", dispute.id, dispute.as_of),
        summary: format!("{} is disputed ({}): {state}{evidence}", dispute.amount, dispute.reason),
        detail: format!("{}: answer it in Stripe's dashboard", dispute.id),
        at_risk: Some(dispute.amount),
    }
}

//! Disputes: kept by what Stripe said last, with a case while somebody has to act.

use crate::model::case::{CaseKind, NewCase};
use crate::model::dispute::{Dispute, DisputeStatus};
use crate::model::payment::PaymentFact;
use crate::store::error::Error;
use crate::store::sql::apply::Scope;
use crate::store::sql::column::params;
use crate::store::sql::connection::Connection;

/// Within one second the later state of the two counts: a decision is never taken back by the news of the dispute.
const PUT: &str = "INSERT INTO disputes (id, payment_id, status, amount, currency, reason, due_at, as_of) \
     VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8) ON CONFLICT (id) DO UPDATE SET status = excluded.status, \
     amount = excluded.amount, reason = excluded.reason, due_at = coalesce(excluded.due_at, disputes.due_at), as_of = excluded.as_of \
     WHERE excluded.as_of > disputes.as_of OR (excluded.as_of = disputes.as_of AND disputes.status IN ('inquiry', 'open'))";
/// A person has it, or has had it.
const OTHERS: &str = "SELECT 1 FROM cases WHERE payment_id = ?1 AND kind <> 'disputed'";
const STATUS: &str = "SELECT status FROM disputes WHERE id = ?1";

impl Scope {
    pub(super) fn put_dispute(&mut self, conn: &Connection<'_>, new: &Dispute) -> Result<(), Error> {
        let payment = self.subject(conn)?;
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
        let status: String = conn.prepare_cached(STATUS)?.query_row([&new.id], |found| found.get(0))?;
        match status.parse() {
            Ok(DisputeStatus::Won) => {
                self.close_case(conn, &cause(&new.id), "the dispute ended and the money is here")?;
                let others = conn.prepare_cached(OTHERS)?.exists([payment.id.0])?;
                if others { Ok(()) } else { self.learn(conn, PaymentFact::CaseClosed) }
            }
            Ok(status) => self.open_case(conn, disputed(new, status)),
            Err(error) => Err(Error::Corrupt(error.to_string())),
        }
    }
}

fn cause(dispute: &str) -> String {
    format!("disputed/{dispute}")
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
        cause: cause(&dispute.id),
        summary: format!("{} is disputed ({}): {state}{evidence}", dispute.amount, dispute.reason),
        detail: format!("{}: answer it in Stripe's dashboard", dispute.id),
        at_risk: Some(dispute.amount),
    }
}

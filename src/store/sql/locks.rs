//! What a verb holds still while it decides. One writer at a time needs none of it; many writers at once would, without
//! it, decide on what is no longer so: two refunds each within what is left, a booking put back by older news.
//!
//! The order is always the same, so that nobody waits for somebody who waits for him: the payment, then the run, then
//! whatever belongs to them. Whoever finds himself in a circle all the same is told by the server and begins anew.

use crate::model::id::{PaymentId, RunId};
use crate::store::error::Error;
use crate::store::sql::connection::Connection;

/// Rows that point to it may still be added: only who decides about it has to wait.
const PAYMENT: &str = "SELECT 1 FROM payments WHERE id = ?1 FOR NO KEY UPDATE";
const PAYMENT_OF_RUN: &str =
    "SELECT 1 FROM payments WHERE id = (SELECT payment_id FROM runs WHERE id = ?1) FOR NO KEY UPDATE";
const NAME: &str = "SELECT 1 FROM (SELECT pg_advisory_xact_lock(hashtextextended(?1, 0))) AS held";

impl Connection<'_> {
    /// For the end of a `SELECT` on whose rows a verb decides.
    pub(in crate::store) fn for_update(&self) -> &'static str {
        match self {
            Self::Postgres(session) if session.is_writing() => " FOR NO KEY UPDATE",
            _ => "",
        }
    }

    fn hold(&self, sql: &str, id: i64) -> Result<(), Error> {
        if !self.for_update().is_empty() {
            self.prepare_cached(sql)?.exists([id])?;
        }
        Ok(())
    }

    /// Nobody else decides about this payment until the transaction ends.
    pub(in crate::store) fn lock_payment(&self, id: PaymentId) -> Result<(), Error> {
        self.hold(PAYMENT, id.0)
    }

    /// The same for the payment of a run, before the run itself.
    pub(in crate::store) fn lock_payment_of(&self, run: RunId) -> Result<(), Error> {
        self.hold(PAYMENT_OF_RUN, run.0)
    }

    /// The same for what has no row, or none yet.
    pub(in crate::store) fn lock_name(&self, name: &str) -> Result<(), Error> {
        if !self.for_update().is_empty() {
            self.prepare_cached(NAME)?.exists([name])?;
        }
        Ok(())
    }
}

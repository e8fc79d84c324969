//! Keeps arrivals, each with all that it starts.

use async_trait::async_trait;
use rusqlite::{Connection, OptionalExtension, params};

use crate::model::id::{EventId, PaymentId};
use crate::model::time::Timestamp;
use crate::store::change::Plan;
use crate::store::error::Error;
use crate::store::sqlite::Sqlite;
use crate::store::sqlite::apply::Scope;
use crate::store::{Inbox, Ingested};

const FIND: &str = "SELECT id, payment_id, body_sha256, via FROM events WHERE external_id = ?1 AND source = ?2";
const INSERT: &str = "INSERT INTO events (source, external_id, type, livemode, created_at, received_at, disposition, reason, \
     payment_id, body_sha256, body, via) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12)";

#[async_trait]
impl Inbox for Sqlite {
    async fn ingest(&self, plan: Plan, now: Timestamp) -> Result<Ingested, Error> {
        self.executor.write(move |conn| ingest(conn, plan, now)).await
    }
}

pub(super) fn ingest(conn: &Connection, plan: Plan, now: Timestamp) -> Result<Ingested, Error> {
    let Plan { event, changes } = plan;
    let known: Option<(i64, Option<i64>, [u8; 32], String)> = conn
        .prepare_cached(FIND)?
        .query_row(params![event.external_id, event.source.as_str()], |row| {
            Ok((row.get(0)?, row.get(1)?, row.get(2)?, row.get(3)?))
        })
        .optional()?;

    if let Some((id, payment, sha256, via)) = known {
        // What is fetched is written differently from what is sent.
        let differs = sha256 != event.body_sha256 && via == event.via.as_str();
        if !differs {
            let payment = payment.map(PaymentId);
            let mut scope = Scope { payment, payment_created: false, event: Some(EventId(id)), run: None, now };
            scope.apply(conn, changes)?;
        }
        return Ok(Ingested::Duplicate { event: EventId(id), differs });
    }

    let mut scope = Scope { payment: None, payment_created: false, event: None, run: None, now };
    scope.find_subject(conn, changes.first())?;
    conn.prepare_cached(INSERT)?.execute(params![
        event.source.as_str(),
        event.external_id,
        event.kind,
        event.livemode,
        event.created_at.0,
        now.0,
        event.disposition.as_str(),
        event.reason,
        scope.payment.map(|id| id.0),
        event.body_sha256,
        event.body.as_ref(),
        event.via.as_str()
    ])?;
    let id = EventId(conn.last_insert_rowid());
    scope.event = Some(id);
    scope.apply(conn, changes)?;
    Ok(Ingested::New { event: id, payment: scope.payment, payment_created: scope.payment_created })
}

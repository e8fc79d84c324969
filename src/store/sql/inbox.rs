//! Keeps arrivals, each with all that it starts.

use async_trait::async_trait;

use crate::model::id::{EventId, PaymentId};
use crate::model::time::Timestamp;
use crate::mutant::{Mutant, is_out};
use crate::store::change::Plan;
use crate::store::error::Error;
use crate::store::sql::apply::Scope;
use crate::store::sql::column::params;
use crate::store::sql::connection::{Connection, OptionalExtension};
use crate::store::sql::{Backend, row};
use crate::store::{Inbox, Ingested};

const FIND: &str = "SELECT id, payment_id, body_sha256, via FROM events WHERE external_id = ?1 AND source = ?2";
const INSERT: &str = "INSERT INTO events (source, external_id, type, livemode, created_at, received_at, disposition, reason, \
     payment_id, body_sha256, body, via, headers) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13) \
     ON CONFLICT (external_id, source) DO NOTHING RETURNING id";

#[async_trait]
impl<B: Backend> Inbox for B {
    async fn ingest(&self, plan: Plan, now: Timestamp) -> Result<Ingested, Error> {
        self.in_transaction(move |conn| ingest(conn, &plan, now)).await
    }
}

pub(super) fn ingest(conn: &Connection<'_>, plan: &Plan, now: Timestamp) -> Result<Ingested, Error> {
    if is_out(Mutant::Dedupe) && !plan.event.external_id.contains('@') {
        let mut renamed = plan.clone();
        renamed.event.external_id = format!("{}@{now}", plan.event.external_id);
        return ingest(conn, &renamed, now);
    }
    if let Some(known) = again(conn, plan, now)? {
        return Ok(known);
    }
    let Plan { event, changes } = plan;
    let mut scope = Scope { payment: None, payment_created: false, event: None, run: None, now };
    scope.find_subject(conn, changes.first())?;
    let headers = event.headers.as_ref().map(row::to_json).transpose()?;
    let row = params![
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
        event.via.as_str(),
        headers
    ];
    let Some(id) = conn.prepare_cached(INSERT)?.query_row(row, |made| made.get(0).map(EventId)).optional()? else {
        // It arrived elsewhere at the same time, and is committed by now.
        return again(conn, plan, now)?.ok_or(Error::Busy);
    };
    scope.event = Some(id);
    scope.apply(conn, changes)?;
    Ok(Ingested::New { event: id, payment: scope.payment, payment_created: scope.payment_created })
}

/// What is made of an arrival that is kept before.
fn again(conn: &Connection<'_>, plan: &Plan, now: Timestamp) -> Result<Option<Ingested>, Error> {
    let Plan { event, changes } = plan;
    let known: Option<(i64, Option<i64>, [u8; 32], String)> = conn
        .prepare_cached(FIND)?
        .query_row(params![event.external_id, event.source.as_str()], |row| {
            Ok((row.get(0)?, row.get(1)?, row.get(2)?, row.get(3)?))
        })
        .optional()?;

    let Some((id, payment, sha256, via)) = known else { return Ok(None) };
    // What is fetched is written differently from what is sent.
    let differs = sha256 != event.body_sha256 && via == event.via.as_str();
    if !differs {
        let payment = payment.map(PaymentId);
        let mut scope = Scope { payment, payment_created: false, event: Some(EventId(id)), run: None, now };
        scope.apply(conn, changes)?;
    }
    Ok(Some(Ingested::Duplicate { event: EventId(id), differs }))
}

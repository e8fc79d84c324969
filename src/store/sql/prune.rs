//! Takes away what is old and no longer needed, at a cost that does not grow with what was taken away before.

use std::time::Duration;

use crate::model::time::Timestamp;
use crate::store::error::Error;
use crate::store::sql::column::params;
use crate::store::sql::connection::{Connection, OptionalExtension};

/// No event up to this one has a body any more.
const MARK: &str = "SELECT CAST(value AS BIGINT) FROM meta WHERE key = 'pruned'";
const SET_MARK: &str = "INSERT INTO meta (key, value) VALUES ('pruned', ?1) \
     ON CONFLICT (key) DO UPDATE SET value = excluded.value";
/// The last event before the first that has a body, or is too young for all before it to be committed.
const NEW_MARK: &str = "SELECT id FROM events WHERE id > ?1 AND id < coalesce((SELECT id FROM events WHERE id > ?1 \
     AND (body IS NOT NULL OR received_at >= ?2) ORDER BY id LIMIT 1), 9223372036854775807) ORDER BY id DESC LIMIT 1";
/// No transaction is open for as long.
const COMMITTED: Duration = Duration::from_hours(1);

/// What has waited for its payment as long will not meet it any more.
const BODIES: &str = "UPDATE events SET body = NULL, headers = NULL, waits_for = NULL WHERE id IN \
     (SELECT id FROM events WHERE id > ?3 AND received_at < ?1 AND body IS NOT NULL ORDER BY id LIMIT ?2)";
/// In their order, since the oldest are the first to go; each looks for its own run, of which there are many more.
const ATTEMPTS: &str = "DELETE FROM attempts WHERE run_id IN (SELECT a.run_id FROM attempts a WHERE \
     (SELECT r.finished_at FROM runs r WHERE r.id = a.run_id AND r.state = 'succeeded') < ?1 ORDER BY a.run_id LIMIT ?2)";
/// Only what no event could start again. The index of identities has what is on no payment in one place.
const RUNS: &str = "DELETE FROM runs WHERE id IN (SELECT id FROM runs WHERE coalesce(payment_id, 0) = 0 \
     AND state = 'succeeded' AND finished_at < ?1 AND payment_id IS NULL AND event_id IS NULL LIMIT ?2)";
const PRUNABLE: &str = "SELECT (SELECT count(*) FROM events WHERE id > ?2 AND received_at < ?1 AND body IS NOT NULL) \
     + (SELECT count(*) FROM attempts a JOIN runs r ON r.id = a.run_id WHERE r.state = 'succeeded' AND r.finished_at < ?1) \
     + (SELECT count(*) FROM runs WHERE coalesce(payment_id, 0) = 0 AND state = 'succeeded' AND finished_at < ?1 \
     AND payment_id IS NULL AND event_id IS NULL)";

fn mark(conn: &Connection<'_>) -> Result<i64, Error> {
    Ok(conn.prepare_cached(MARK)?.query_row((), |found| found.get(0)).optional()?.unwrap_or_default())
}

/// At most `limit` of each; how many rows went.
pub(super) fn prune(conn: &Connection<'_>, before: Timestamp, limit: u32) -> Result<u32, Error> {
    let known = mark(conn)?;
    let mut gone = conn.prepare_cached(BODIES)?.execute(params![before.0, limit, known])?;
    let committed = before.minus(COMMITTED).0;
    let reached = conn.prepare_cached(NEW_MARK)?.query_row([known, committed], |found| found.get(0)).optional()?;
    if let Some::<i64>(reached) = reached {
        conn.prepare_cached(SET_MARK)?.execute([&reached.to_string()])?;
    }
    for sql in [ATTEMPTS, RUNS] {
        gone += conn.prepare_cached(sql)?.execute(params![before.0, limit])?;
    }
    Ok(u32::try_from(gone).unwrap_or(u32::MAX))
}

/// How many rows [`prune`] would take away in all.
pub(super) fn prunable(conn: &Connection<'_>, before: Timestamp) -> Result<u32, Error> {
    Ok(conn.prepare_cached(PRUNABLE)?.query_row([before.0, mark(conn)?], |found| found.get(0))?)
}

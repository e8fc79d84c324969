//! Runs that ended without success and are set going once more, or that wait for their next try.

use crate::model::id::RunId;
use crate::model::time::Timestamp;
use crate::store::error::Error;
use crate::store::sql::column::params;
use crate::store::sql::connection::Connection;

const AGAIN: &str = "UPDATE runs SET state = 'queued', due_at = ?2, outcome = NULL, failure = NULL, finished_at = NULL, \
     cancel_requested = 0, stalls = 0, retries = retries + 1 WHERE id = ?1 AND state IN ('failed', 'cancelled')";
const FORGET_ALL: &str = "UPDATE attempts SET retried = 1 WHERE run_id = ?1";
/// A step and whatever came of it.
const FORGET: &str = "UPDATE attempts SET retried = 1 WHERE run_id = ?1 AND seq >= \
     (SELECT min(seq) FROM attempts WHERE run_id = ?1 AND step = ?2)";

const AT_ONCE: &str = "UPDATE runs SET due_at = ?2 WHERE id = ?1 AND state = 'queued' AND due_at > ?2 AND 'retry' = \
     (SELECT outcome FROM attempts WHERE run_id = ?1 ORDER BY seq DESC LIMIT 1)";

/// Has the run tried again now, if it waits for its next try. Whether it did.
pub(super) fn at_once(conn: &Connection<'_>, id: RunId, now: Timestamp) -> Result<bool, Error> {
    let waited = conn.prepare_cached(AT_ONCE)?.execute([id.0, now.0])? > 0;
    if waited {
        conn.wake();
    }
    Ok(waited)
}

/// Has the run begin anew, whatever it remembers.
pub(super) fn begin_anew(conn: &Connection<'_>, id: RunId, now: Timestamp) -> Result<(), Error> {
    conn.prepare_cached(FORGET_ALL)?.execute([id.0])?;
    queue(conn, id, now)
}

/// Has the run go on with `step`, or where it stands if there is none.
pub(super) fn go_on(conn: &Connection<'_>, id: RunId, step: Option<&str>, now: Timestamp) -> Result<(), Error> {
    conn.prepare_cached(FORGET)?.execute(params![id.0, step])?;
    queue(conn, id, now)
}

fn queue(conn: &Connection<'_>, id: RunId, now: Timestamp) -> Result<(), Error> {
    conn.prepare_cached(AGAIN)?.execute([id.0, now.0])?;
    conn.wake();
    Ok(())
}

//! Runs that ended without success and are set going once more, or that wait for their next try.

use std::time::Duration;

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

/// The longest that any policy of retries waits.
const LONGEST_WAIT: Duration = Duration::from_hours(1);
/// What was taken before waits for its next try, or for a time of day and is put back when it is looked at too early; what
/// was not is only moved if it was due at once. One whose time lies before what it has recorded was moved already, by
/// another process that saw the clock set back.
const EARLIER: &str = "UPDATE runs SET due_at = CASE WHEN due_at - ?2 > ?1 THEN due_at - ?2 ELSE ?1 END \
     WHERE due_at > ?1 AND due_at <= ?3 AND state = 'queued' AND (token > 0 OR due_at <= created_at) \
     AND NOT EXISTS (SELECT 1 FROM attempts a WHERE a.run_id = runs.id AND a.ended_at > runs.due_at)";
const SHORTER: &str = "UPDATE runs SET due_at = ?1 WHERE due_at > ?1 AND state = 'running'";

/// What was moved back already counts no more, nor does what would not be.
const AHEAD: &str = "SELECT max(at) FROM (SELECT a.ended_at AS at FROM runs r JOIN attempts a ON a.run_id = r.id \
     WHERE r.due_at > ?1 AND a.ended_at > ?1 AND (r.state = 'running' OR r.due_at BETWEEN a.ended_at AND a.ended_at + ?2) \
     UNION ALL SELECT created_at FROM runs WHERE due_at > ?1 AND created_at > ?1 AND (state = 'running' OR due_at <= created_at)) AS ahead";

/// What a clock that was ahead of `now` read when it last recorded anything of what waits.
pub(super) fn recorded_ahead(conn: &Connection<'_>, now: Timestamp) -> Result<Option<Timestamp>, Error> {
    let longest = i64::try_from(LONGEST_WAIT.as_millis()).unwrap_or(i64::MAX);
    let ahead: Option<i64> = conn.prepare_cached(AHEAD)?.query_row([now.0, longest], |found| found.get(0))?;
    Ok(ahead.map(Timestamp))
}

/// What was to be tried again by a clock that has been set back by `step` is tried as soon as it was meant to.
pub(super) fn clock_set_back(
    conn: &Connection<'_>,
    step: Duration,
    now: Timestamp,
    lease_end: Timestamp,
) -> Result<u64, Error> {
    let last = now.plus(step).plus(LONGEST_WAIT);
    let step = i64::try_from(step.as_millis()).unwrap_or(i64::MAX);
    let moved = conn.prepare_cached(EARLIER)?.execute([now.0, step, last.0])?;
    conn.prepare_cached(SHORTER)?.execute([lease_end.0])?;
    conn.wake();
    Ok(u64::try_from(moved).unwrap_or(u64::MAX))
}

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

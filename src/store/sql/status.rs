//! The state of everything, on one page. Counts look at the newest rows only, so that it costs the same for any history.

use crate::model::event::Source;
use crate::model::money::Money;
use crate::model::time::Timestamp;
use crate::store::alerts::Refused;
use crate::store::error::Error;
use crate::store::sql::column::params;
use crate::store::sql::connection::{Connection, OptionalExtension, Row};
use crate::store::sql::{refused, row, views};
use crate::store::status::{CaseCount, FailingStep, SourceStatus, Status};

const HOUR: i64 = 3_600_000;

const MODE: &str = "SELECT value FROM meta WHERE key = 'mode'";
const OLDEST: &str = "SELECT due_at FROM runs WHERE due_at <= ?1 AND state = 'queued' AND NOT EXISTS \
     (SELECT 1 FROM pauses WHERE kind = 'workflow' AND name = runs.workflow) ORDER BY due_at LIMIT 1";
/// A row has its bytes beside it: each costs a page of the file.
const ARRIVED: &str = "SELECT source, count(*) FILTER (WHERE received_at > ?1), max(received_at), count(*) \
     FROM (SELECT source, received_at FROM events ORDER BY id DESC LIMIT ?2) AS newest GROUP BY source";
/// So many are looked at.
const NEWEST: u32 = 4000;
const COMPLETE: &str = "SELECT complete_until, checked_at FROM cursors WHERE source = ?1";
const ENDED: &str = "SELECT state, count(*) FROM (SELECT state, finished_at FROM runs ORDER BY id DESC LIMIT 20000) AS newest \
     WHERE finished_at > ?1 GROUP BY state ORDER BY state";
const FAILING: &str = "WITH waiting AS (SELECT id, workflow, due_at, \
     (SELECT max(seq) FROM attempts a WHERE a.run_id = r.id) AS last \
     FROM runs r WHERE due_at IS NOT NULL ORDER BY due_at LIMIT 5000) \
     SELECT w.workflow, a.step, a.failure ->> 'code', count(*), min(w.due_at) FROM waiting w \
     JOIN attempts a ON a.run_id = w.id AND a.seq = w.last WHERE a.outcome = 'retry' GROUP BY 1, 2, 3 ORDER BY 4 DESC LIMIT 20";
const FAILED: &str = "SELECT workflow, count(*) FROM runs WHERE state = 'failed' GROUP BY workflow ORDER BY 2 DESC";
const CASES: &str =
    "SELECT kind, count(*), min(opened_at) FROM cases WHERE status = 'open' GROUP BY kind ORDER BY min(opened_at)";
const AT_RISK: &str = "SELECT CAST(sum(amount) AS BIGINT), currency FROM (SELECT max(amount) AS amount, currency FROM cases \
     WHERE status = 'open' AND amount IS NOT NULL GROUP BY coalesce(payment_id, -id), currency) AS each GROUP BY currency ORDER BY currency";
const UNTOLD: &str = "SELECT count(*) FROM cases WHERE status = 'open' AND alerted_at IS NULL AND opened_at <= ?1";
/// As long is given to who tells of cases, by one try after the other and together with others.
const TELLING: i64 = HOUR / 4;
const BYTES: &str = "SELECT page_count * page_size FROM pragma_page_count(), pragma_page_size()";
const BYTES_ON_SERVER: &str = "SELECT CAST(coalesce(sum(pg_total_relation_size(c.oid)), 0) AS BIGINT) FROM pg_class c \
     WHERE c.relkind = 'r' AND c.relnamespace = current_schema()::regnamespace";

pub(super) fn status(conn: &Connection<'_>, now: Timestamp) -> Result<Status, Error> {
    let since = now.0 - HOUR;
    let refused = refused::read(conn, now)?;
    Ok(Status {
        at: now,
        mode: conn.prepare_cached(MODE)?.query_row((), |found| found.get(0)).optional()?,
        backlog: views::backlog(conn, now)?,
        oldest_due: oldest_due(conn, now)?,
        sources: sources(conn, since, &refused)?,
        ended: counts(conn, ENDED, since)?,
        failing: failing(conn)?,
        failed: conn
            .prepare_cached(FAILED)?
            .query_map((), |found| Ok((found.get(0)?, found.get(1)?)))?
            .collect::<Result<_, _>>()?,
        cases: cases(conn)?,
        at_risk: at_risk(conn)?,
        untold_cases: untold_cases(conn, Timestamp(now.0 - TELLING))?,
        refused_keys: refused.keys,
        alerts: super::alerts::alerts(conn, false, 20)?,
        pauses: super::operate::pauses(conn)?,
        database_bytes: database_bytes(conn)?,
    })
}

pub(super) fn oldest_due(conn: &Connection<'_>, now: Timestamp) -> Result<Option<Timestamp>, Error> {
    let due = conn.prepare_cached(OLDEST)?.query_row([now.0], |found| found.get(0)).optional()?;
    Ok(due.map(Timestamp))
}

/// Open cases of before `before` that nobody was told of.
pub(super) fn untold_cases(conn: &Connection<'_>, before: Timestamp) -> Result<u32, Error> {
    Ok(conn.prepare_cached(UNTOLD)?.query_row([before.0], |found| found.get(0))?)
}

pub(super) fn at_risk(conn: &Connection<'_>) -> Result<Vec<Money>, Error> {
    let read = |found: &Row<'_>| Ok(Money::new(found.get(0)?, row::currency(found, 1)?));
    Ok(conn.prepare_cached(AT_RISK)?.query_map((), read)?.collect::<Result<_, _>>()?)
}

pub(super) fn database_bytes(conn: &Connection<'_>) -> Result<u64, Error> {
    let sql = conn.pick(BYTES, BYTES_ON_SERVER);
    Ok(conn.prepare_cached(sql)?.query_row((), |found| found.get::<i64>(0))?.unsigned_abs())
}

fn counts(conn: &Connection<'_>, sql: &str, since: i64) -> Result<Vec<(String, u32)>, Error> {
    let mut statement = conn.prepare_cached(sql)?;
    Ok(statement.query_map([since], |found| Ok((found.get(0)?, found.get(1)?)))?.collect::<Result<_, _>>()?)
}

fn sources(conn: &Connection<'_>, since: i64, refused: &Refused) -> Result<Vec<SourceStatus>, Error> {
    let mut statement = conn.prepare_cached(ARRIVED)?;
    let arrived: Vec<(String, u32, i64, u32)> = statement
        .query_map(params![since, NEWEST], |found| Ok((found.get(0)?, found.get(1)?, found.get(2)?, found.get(3)?)))?
        .collect::<Result<_, _>>()?;
    // Where all that were looked at came within the hour, there were others.
    let others = arrived.iter().map(|(.., all)| all).sum::<u32>() >= NEWEST
        && arrived.iter().all(|(_, within, _, all)| within == all);
    let mut all = Vec::new();
    for &source in Source::ALL {
        let known = arrived.iter().find(|(name, ..)| name == source.as_str());
        let listed: Option<(i64, i64)> = conn
            .prepare_cached(COMPLETE)?
            .query_row(params![source.as_str()], |found| Ok((found.get(0)?, found.get(1)?)))
            .optional()?;
        all.push(SourceStatus {
            source,
            last_hour: known.map_or(0, |(_, count, ..)| *count),
            at_least: others,
            last: known.map(|(_, _, last, _)| Timestamp(*last)),
            refused: refused.signatures.iter().find(|(of, _)| *of == source).map_or(0, |(_, refused)| refused.sum()),
            complete_until: listed.map(|(until, _)| Timestamp(until)),
            checked_at: listed.map(|(_, checked)| Timestamp(checked)),
        });
    }
    Ok(all)
}

fn failing(conn: &Connection<'_>) -> Result<Vec<FailingStep>, Error> {
    let mut statement = conn.prepare_cached(FAILING)?;
    let read = |found: &Row<'_>| {
        Ok(FailingStep {
            workflow: found.get(0)?,
            step: found.get(1)?,
            code: found.get(2)?,
            runs: found.get(3)?,
            next: found.get::<Option<i64>>(4)?.map(Timestamp),
        })
    };
    Ok(statement.query_map((), read)?.collect::<Result<_, _>>()?)
}

fn cases(conn: &Connection<'_>) -> Result<Vec<CaseCount>, Error> {
    let mut statement = conn.prepare_cached(CASES)?;
    let read = |found: &Row<'_>| {
        Ok(CaseCount { kind: row::word(found, 0)?, open: found.get(1)?, since: Timestamp(found.get(2)?) })
    };
    Ok(statement.query_map((), read)?.collect::<Result<_, _>>()?)
}

//! How much there is of everything, for gauges that are read every few seconds.

use std::collections::BTreeMap;

use crate::model::alert::Condition;
use crate::model::event::Source;
use crate::model::time::Timestamp;
use crate::store::Unsettled;
use crate::store::error::Error;
use crate::store::levels::Levels;
use crate::store::sql::connection::{Connection, OptionalExtension, Row};
use crate::store::sql::{alerts, row, status};

const RUNS: &str = "SELECT workflow, CASE WHEN state = 'running' THEN 'running' WHEN due_at <= ?1 THEN 'due' ELSE 'waiting' END, \
     count(*) FROM (SELECT workflow, state, due_at FROM runs WHERE due_at IS NOT NULL ORDER BY due_at LIMIT 20000) AS next GROUP BY 1, 2 \
     UNION ALL SELECT workflow, 'failed', count(*) FROM runs WHERE state = 'failed' GROUP BY workflow";
const REFUNDS: &str =
    "SELECT status, count(*) FROM (SELECT status FROM refunds ORDER BY id DESC LIMIT 50000) AS newest GROUP BY status";
const CASES: &str = "SELECT kind, count(*) FROM cases WHERE status = 'open' GROUP BY kind";
const ALERTS: &str = "SELECT condition, subject FROM alerts WHERE ended_at IS NULL";
const UNTOLD_ALERTS: &str =
    "SELECT count(*) FROM alerts WHERE condition <> 'test' AND (failure IS NOT NULL OR delivered_at IS NULL)";
const UNACCOUNTED: &str = "SELECT count(*) FROM cases WHERE status = 'open' AND cause LIKE ?1";
const COMPLETE: &str = "SELECT complete_until FROM cursors WHERE source = ?1";

pub(super) fn levels(conn: &Connection<'_>, now: Timestamp) -> Result<Levels, Error> {
    let count = |sql: &str| Ok::<u32, Error>(conn.prepare_cached(sql)?.query_row((), |found| found.get(0))?);
    let run = |found: &Row<'_>| Ok((found.get(0)?, row::word(found, 1)?, found.get(2)?));
    let mut unaccounted = Vec::new();
    for &rule in Unsettled::ALL {
        let like = format!("unaccounted/{rule}/%");
        unaccounted.push((rule, conn.prepare_cached(UNACCOUNTED)?.query_row([like], |found| found.get(0))?));
    }
    let mut complete = Vec::new();
    for &source in Source::ALL {
        let until: Option<i64> =
            conn.prepare_cached(COMPLETE)?.query_row([source.as_str()], |found| found.get(0)).optional()?;
        complete.extend(until.map(|until| (source, Timestamp(until))));
    }
    Ok(Levels {
        runs: conn.prepare_cached(RUNS)?.query_map([now.0], run)?.collect::<Result<_, _>>()?,
        oldest_due: status::oldest_due(conn, now)?,
        refunds: conn
            .prepare_cached(REFUNDS)?
            .query_map((), |found| Ok((row::word(found, 0)?, found.get(1)?)))?
            .collect::<Result<_, _>>()?,
        cases: conn
            .prepare_cached(CASES)?
            .query_map((), |found| Ok((row::word(found, 0)?, found.get(1)?)))?
            .collect::<Result<_, _>>()?,
        untold_cases: status::untold_cases(conn, now)?,
        alerts: open_alerts(conn)?,
        untold_alerts: count(UNTOLD_ALERTS)?,
        unaccounted,
        at_risk: status::at_risk(conn)?,
        complete,
        database_bytes: status::database_bytes(conn)?,
        log_bytes: 0,
    })
}

/// There are few: one for each cause.
fn open_alerts(conn: &Connection<'_>) -> Result<Vec<(Condition, u32)>, Error> {
    let mut counts = BTreeMap::new();
    let read = |found: &Row<'_>| Ok(alerts::meant(row::word(found, 0)?, found.get(1)?).0);
    for condition in conn.prepare_cached(ALERTS)?.query_map((), read)? {
        *counts.entry(condition?).or_default() += 1;
    }
    Ok(counts.into_iter().collect())
}

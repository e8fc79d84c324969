//! How much happened in each hour. Rows come in the order of their numbers, so that a time is found by halving.

use crate::model::time::Timestamp;
use crate::store::error::Error;
use crate::store::filter::Filter;
use crate::store::hours::{Counted, HOUR, Hours};
use crate::store::sql::column::params;
use crate::store::sql::connection::{Connection, OptionalExtension, Read, Row};
use crate::store::sql::lists;

/// How many of the newest rows are looked at.
const NEWEST: i64 = 20_000;
/// The same where each has to meet conditions, the customer's for one.
const SEARCHED: i64 = 10_000;

const EVENT_AT: &str = "SELECT id, received_at FROM events WHERE id >= ?1 ORDER BY id LIMIT 1";
const RUN_AT: &str = "SELECT id, created_at FROM runs WHERE id >= ?1 ORDER BY id LIMIT 1";
const LAST_EVENT: &str = "SELECT coalesce(max(id), 0) FROM events";
const LAST_RUN: &str = "SELECT coalesce(max(id), 0) FROM runs";
const BETWEEN: &str = "SELECT count(*) FROM events WHERE id >= ?1 AND id < ?2";
const ENDED: &str = "SELECT (finished_at - ?1) / ?2, state, count(*) FROM runs WHERE id > ?3 AND finished_at >= ?1 \
     GROUP BY 1, 2";

pub(super) fn hours(conn: &Connection<'_>, counted: &Counted, now: Timestamp) -> Result<Hours, Error> {
    match counted {
        Counted::Arrived => arrived(conn, now),
        Counted::Ended => ended(conn, now),
        Counted::Made(filter) => made(conn, filter, now),
    }
}

fn last(conn: &Connection<'_>, sql: &str) -> Result<i64, Error> {
    Ok(conn.prepare_cached(sql)?.query_row((), |found| found.get(0))?)
}

/// The first row of a table that came at `at` or later; one past the last if there is none.
fn first_since(conn: &Connection<'_>, row_at: &str, last: i64, at: Timestamp) -> Result<i64, Error> {
    let (mut low, mut high) = (1, last + 1);
    let mut row = conn.prepare_cached(row_at)?;
    while low < high {
        let middle = low + (high - low) / 2;
        let found = row.query_row([middle], |found| Ok((found.get::<i64>(0)?, found.get::<i64>(1)?)));
        match found.optional()? {
            Some((id, came)) if came < at.0 => low = id + 1,
            _ => high = middle,
        }
    }
    Ok(low)
}

/// Events stay for ever, and SQLite leaves no number out: there it is the numbers that tell how many came.
fn arrived(conn: &Connection<'_>, now: Timestamp) -> Result<Hours, Error> {
    let mut hours = Hours::until(now);
    let last = last(conn, LAST_EVENT)?;
    let mut begin = first_since(conn, EVENT_AT, last, hours.from)?;
    for hour in 0..hours.counts.len() {
        let end = first_since(conn, EVENT_AT, last, hours.beginning(hour + 1))?;
        let count = match conn {
            Connection::Sqlite(_) => u32::try_from(end - begin).unwrap_or_default(),
            Connection::Postgres(_) => conn.prepare_cached(BETWEEN)?.query_row([begin, end], |found| found.get(0))?,
        };
        if count > 0 {
            hours.add(i64::try_from(hour).unwrap_or_default(), "arrived", count);
        }
        begin = end;
    }
    Ok(hours)
}

fn ended(conn: &Connection<'_>, now: Timestamp) -> Result<Hours, Error> {
    let mut hours = Hours::until(now);
    let before = last(conn, LAST_RUN)? - NEWEST;
    if before > 0 {
        hours.whole_since = hours.whole_since.max(made_at(conn, before + 1)?.unwrap_or(now));
    }
    let mut statement = conn.prepare_cached(ENDED)?;
    let counts: Vec<_> = statement.query_map(params![hours.from.0, HOUR, before], count)?.collect::<Result<_, _>>()?;
    for (hour, state, count) in counts {
        hours.add(hour, &state, count);
    }
    Ok(hours)
}

fn made(conn: &Connection<'_>, filter: &Filter, now: Timestamp) -> Result<Hours, Error> {
    let until = filter.until.map_or(now, |until| Timestamp(until.0 - 1).min(now));
    let mut hours = Hours::until(until);
    let last = last(conn, LAST_RUN)?;
    let end = first_since(conn, RUN_AT, last, Timestamp(until.0 + 1))?;
    let since = filter.since.map_or(hours.from, |since| since.max(hours.from));
    let mut begin = first_since(conn, RUN_AT, last, since)?;
    if end - begin > SEARCHED {
        begin = end - SEARCHED;
        hours.whole_since = made_at(conn, begin)?.unwrap_or(now);
    }
    // The histogram is of the whole list, on whichever of its pages.
    let filter = Filter { before: None, ..filter.clone() };
    for (hour, state, count) in lists::runs_by_hour(conn, &filter, (begin, end), hours.from)? {
        hours.add(hour, &state, count);
    }
    Ok(hours)
}

fn made_at(conn: &Connection<'_>, id: i64) -> Result<Option<Timestamp>, Error> {
    let made = conn.prepare_cached(RUN_AT)?.query_row([id], |found| found.get(1)).optional()?;
    Ok(made.map(Timestamp))
}

/// An hour, a word, and how many.
pub(super) fn count(found: &Row<'_>) -> Read<(i64, String, u32)> {
    Ok((found.get(0)?, found.get(1)?, found.get(2)?))
}

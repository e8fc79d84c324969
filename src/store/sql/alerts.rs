//! Alerts: one open row for each cause, and the run that tells of it in the same commit.

use std::time::Duration;

use async_trait::async_trait;
use serde_json::json;

use crate::model::alert::{Alert, Condition, Finding, Pace};
use crate::model::case::CaseStatus;
use crate::model::event::Source;
use crate::model::id::{AlertId, CaseId, EventId, RunId};
use crate::model::refusal::RefusedSignatures;
use crate::model::time::Timestamp;
use crate::store::alerts::{Alerts, Arrivals, CaseGroup, KeySeen, Refused};
use crate::store::change::NewRun;
use crate::store::error::Error;
use crate::store::sql::apply::Scope;
use crate::store::sql::column::params;
use crate::store::sql::connection::{Connection, Read, Row};
use crate::store::sql::{Backend, again, ledger, refused, row};

const ALERT: &str = "SELECT id, condition, subject, summary, count, first_at, last_at, silenced_until, delivered_at, failure, ended_at \
     FROM alerts";
const OPEN: &str = "INSERT INTO alerts (condition, subject, summary, count, first_at, last_at) VALUES (?1, ?2, ?3, 1, ?4, ?4) \
     ON CONFLICT (condition, subject) WHERE ended_at IS NULL \
     DO UPDATE SET summary = excluded.summary, count = alerts.count + 1, last_at = excluded.last_at";
/// What was found just now: what only has not ended yet is not told again.
const DUE: &str = "SELECT id FROM alerts WHERE ended_at IS NULL AND last_at = ?1 \
     AND (silenced_until IS NULL OR silenced_until <= ?1) ORDER BY id";
const OVER: &str = "SELECT id FROM alerts WHERE ended_at IS NULL AND last_at <= ?1 ORDER BY id";
const END: &str = "UPDATE alerts SET ended_at = ?2 WHERE id = ?1";
const SILENCE: &str = "UPDATE alerts SET silenced_until = ?2 WHERE id = ?1";
const TOLD: &str = "UPDATE alerts SET delivered_at = ?2, failure = NULL WHERE id = ?1";
const UNTOLD: &str = "UPDATE alerts SET failure = ?2 WHERE id = ?1";
const END_TESTS: &str = "UPDATE alerts SET ended_at = ?1 WHERE ended_at IS NULL AND condition = 'test'";
/// Twenty thousand rows back at the most, for a process that has just begun to look.
const ARRIVED: &str = "SELECT source, via, max(received_at) FROM (SELECT source, via, received_at FROM events WHERE id > ?1 \
     ORDER BY id DESC LIMIT 20000) AS newest GROUP BY source, via";
const NEWEST: &str = "SELECT max(id) FROM events";
const LAST_TOLD: &str = "SELECT max(alerted_at) FROM (SELECT kind, alerted_at FROM cases ORDER BY id DESC LIMIT 5000) AS newest WHERE kind = ?1";
/// The first open case of the kind on whose telling a run still is.
const FIRST: &str = "SELECT min(c.id) FROM cases c JOIN runs r ON coalesce(r.payment_id, 0) = coalesce(c.payment_id, 0) \
     AND r.workflow = 'alert' AND r.key = 'case/' || c.cause \
     WHERE c.status = 'open' AND c.kind = ?1 AND c.alerted_at IS NULL AND r.due_at IS NOT NULL";
const UNTOLD_CASES: &str =
    "SELECT id FROM cases WHERE status = 'open' AND kind = ?1 AND alerted_at IS NULL ORDER BY id LIMIT 200";
/// The runs that were to tell of an open case and ended a while ago without anybody being told.
const GIVEN_UP: &str = "SELECT r.id FROM cases c JOIN runs r ON coalesce(r.payment_id, 0) = coalesce(c.payment_id, 0) \
     AND r.workflow = 'alert' AND r.key = 'case/' || c.cause \
     WHERE c.status = 'open' AND c.alerted_at IS NULL AND r.state IN ('failed', 'cancelled') AND r.finished_at <= ?1 \
     ORDER BY c.opened_at LIMIT 200";
const FIND_RUN: &str = "SELECT id FROM runs WHERE coalesce(payment_id, 0) = 0 AND workflow = ?1 AND key = ?2";

/// How long whoever was to tell of a case and could not is left alone: it may be what kills its executors.
const AGAIN: Duration = Duration::from_secs(3600);

/// The workflow that tells of alerts.
pub(super) const TELL_WORKFLOW: &str = "tell-alerts";

#[async_trait]
impl<B: Backend> Alerts for B {
    async fn report(&self, found: Vec<Finding>, pace: Pace, now: Timestamp) -> Result<Option<RunId>, Error> {
        let idle = self
            .in_snapshot(move |conn| {
                let over = ids(conn, OVER, now.minus(pace.rest))?;
                Ok(over.is_empty() && ids(conn, GIVEN_UP, now.minus(AGAIN))?.is_empty())
            })
            .await?;
        if found.is_empty() && idle {
            return Ok(None);
        }
        self.in_transaction(move |conn| report(conn, &found, pace, now)).await
    }

    async fn alert(&self, id: AlertId) -> Result<Alert, Error> {
        self.in_snapshot(move |conn| read_alert(conn, id)).await
    }

    async fn alerts(&self, all: bool, limit: u32) -> Result<Vec<Alert>, Error> {
        self.in_snapshot(move |conn| alerts(conn, all, limit)).await
    }

    async fn arrivals(&self, after: EventId) -> Result<Arrivals, Error> {
        self.in_snapshot(move |conn| arrivals(conn, after)).await
    }

    async fn note_refused(
        &self,
        keys: Vec<KeySeen>,
        signatures: Vec<(Source, RefusedSignatures)>,
        now: Timestamp,
    ) -> Result<(), Error> {
        self.in_transaction(move |conn| refused::note(conn, &keys, &signatures, now)).await
    }

    async fn refused(&self, now: Timestamp) -> Result<Refused, Error> {
        self.in_snapshot(move |conn| refused::read(conn, now)).await
    }

    async fn case_group(&self, case: CaseId, span: Duration, now: Timestamp) -> Result<CaseGroup, Error> {
        self.in_snapshot(move |conn| case_group(conn, case, span, now)).await
    }
}

pub(super) fn read_alert(conn: &Connection<'_>, id: AlertId) -> Result<Alert, Error> {
    let sql = format!("{ALERT} WHERE id = ?1");
    let mut found = conn.prepare_cached(&sql)?;
    let mut found = found.query_map([id.0], read)?;
    found.next().transpose()?.ok_or_else(|| Error::NotFound(id.to_string()))
}

/// Until then it is not told again.
pub(super) fn silence(conn: &Connection<'_>, id: AlertId, until: Timestamp) -> Result<(), Error> {
    Ok(conn.prepare_cached(SILENCE)?.execute([id.0, until.0]).map(drop)?)
}

/// What is open, or what was ever.
pub(super) fn alerts(conn: &Connection<'_>, all: bool, limit: u32) -> Result<Vec<Alert>, Error> {
    let sql = format!(
        "{ALERT} WHERE ?1 OR ended_at IS NULL OR condition <> 'test' AND (delivered_at IS NULL OR failure IS NOT NULL) \
         ORDER BY id DESC LIMIT ?2"
    );
    Ok(conn.prepare_cached(&sql)?.query_map(params![all, limit], read)?.collect::<Result<_, _>>()?)
}

pub(super) fn told(conn: &Connection<'_>, alerts: &[AlertId], now: Timestamp) -> Result<(), Error> {
    alerts.iter().try_for_each(|id| Ok(conn.prepare_cached(TOLD)?.execute([id.0, now.0]).map(drop)?))
}

pub(super) fn untold(conn: &Connection<'_>, alerts: &[AlertId], failure: &str) -> Result<(), Error> {
    alerts.iter().try_for_each(|id| Ok(conn.prepare_cached(UNTOLD)?.execute(params![id.0, failure]).map(drop)?))
}

/// Conditions that are not among the words of the table: each is kept as the word that is nearest, with this before its
/// subject, so that programs of before read it too.
const KEPT_AS: [(Condition, Condition, &str); 2] = [
    (Condition::KeyRefused, Condition::BreakerOpen, "key/"),
    (Condition::SignaturesRefused, Condition::SourceSilent, "signatures/"),
];

/// The condition and the subject as they are kept.
fn kept(condition: Condition, subject: &str) -> (Condition, String) {
    match KEPT_AS.iter().find(|(meant, ..)| *meant == condition) {
        Some((_, word, mark)) => (*word, format!("{mark}{subject}")),
        None => (condition, subject.to_owned()),
    }
}

/// What is meant by a condition and a subject that were kept.
pub(super) fn meant(condition: Condition, subject: String) -> (Condition, String) {
    let known = KEPT_AS.iter().find_map(|(meant, word, mark)| {
        Some((*meant, subject.strip_prefix(mark).filter(|_| *word == condition)?.to_owned()))
    });
    known.unwrap_or((condition, subject))
}

fn read(found: &Row<'_>) -> Read<Alert> {
    let (condition, subject) = meant(row::word(found, 1)?, found.get(2)?);
    Ok(Alert {
        id: AlertId(found.get(0)?),
        condition,
        subject,
        summary: found.get(3)?,
        count: found.get(4)?,
        first_at: Timestamp(found.get(5)?),
        last_at: Timestamp(found.get(6)?),
        silenced_until: found.get::<Option<i64>>(7)?.map(Timestamp),
        delivered_at: found.get::<Option<i64>>(8)?.map(Timestamp),
        failure: found.get(9)?,
        ended_at: found.get::<Option<i64>>(10)?.map(Timestamp),
    })
}

fn ids(conn: &Connection<'_>, sql: &str, at: Timestamp) -> Result<Vec<i64>, Error> {
    Ok(conn.prepare_cached(sql)?.query_map([at.0], |found| found.get(0))?.collect::<Result<_, _>>()?)
}

/// What is due is told by one run, however much it is.
fn report(conn: &Connection<'_>, found: &[Finding], pace: Pace, now: Timestamp) -> Result<Option<RunId>, Error> {
    // Every process that serves looks, and one of them tells.
    conn.lock_name("alerts")?;
    for run in ids(conn, GIVEN_UP, now.minus(AGAIN))? {
        again::begin_anew(conn, RunId(run), now)?;
    }
    for finding in found {
        let (condition, subject) = kept(finding.condition, &finding.subject);
        let told = params![condition.as_str(), subject, finding.summary, now.0];
        conn.prepare_cached(OPEN)?.execute(told)?;
    }
    let (due, over) = (ids(conn, DUE, now)?, ids(conn, OVER, now.minus(pace.rest))?);
    for id in &due {
        silence(conn, AlertId(*id), now.plus(pace.repeat))?;
    }
    for id in &over {
        conn.prepare_cached(END)?.execute([*id, now.0])?;
    }
    // A test is over as soon as it is told.
    conn.prepare_cached(END_TESTS)?.execute([now.0])?;
    let Some(first) = due.first().or(over.first()) else { return Ok(None) };
    let key = format!("alerts/{now}/{first}");
    let scope = Scope { payment: None, payment_created: false, event: None, run: None, now };
    let run = NewRun::with_input(TELL_WORKFLOW, key.clone(), json!({ "due": due, "over": over }));
    match scope.start(conn, &run)? {
        Some(run) => Ok(Some(run)),
        None => Ok(Some(RunId(conn.prepare_cached(FIND_RUN)?.query_row([TELL_WORKFLOW, &key], |found| found.get(0))?))),
    }
}

/// What came in after `after`: the newest of each sender and way.
fn arrivals(conn: &Connection<'_>, after: EventId) -> Result<Arrivals, Error> {
    let newest: Option<i64> = conn.prepare_cached(NEWEST)?.query_row((), |found| found.get(0))?;
    let newest = EventId(newest.unwrap_or(after.0));
    let read = |found: &Row<'_>| Ok((row::word(found, 0)?, row::word(found, 1)?, Timestamp(found.get(2)?)));
    let last = conn.prepare_cached(ARRIVED)?.query_map([after.0], read)?.collect::<Result<_, _>>()?;
    Ok(Arrivals { newest, last })
}

/// One of those who would tell of a case of this kind tells of all; the others wait until they are told of.
fn case_group(conn: &Connection<'_>, id: CaseId, span: Duration, now: Timestamp) -> Result<CaseGroup, Error> {
    let case = ledger::read_case(conn, id)?;
    if case.alerted_at.is_some() {
        return Ok(CaseGroup::Told);
    }
    if span.is_zero() || case.status == CaseStatus::Closed {
        return Ok(CaseGroup::Tell(vec![id]));
    }
    let kind = case.kind.as_str();
    let last: Option<i64> = conn.prepare_cached(LAST_TOLD)?.query_row([kind], |found| found.get(0))?;
    // What was told at a time that is still to come was told before the clock was set back.
    let last = last.map(Timestamp).filter(|last| *last <= now);
    if let Some(quiet) = last.map(|last| last.plus(span)).filter(|quiet| *quiet > now) {
        return Ok(CaseGroup::Wait(quiet));
    }
    let first: Option<i64> = conn.prepare_cached(FIRST)?.query_row([kind], |found| found.get(0))?;
    if first.is_some_and(|first| first < id.0) {
        return Ok(CaseGroup::Wait(now.plus(span)));
    }
    let mut all = conn.prepare_cached(UNTOLD_CASES)?;
    let all = all.query_map([kind], |found| found.get(0).map(CaseId))?.collect::<Result<_, _>>()?;
    Ok(CaseGroup::Tell(all))
}

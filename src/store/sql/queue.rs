//! Runs: claiming, remembering, ending. Every write of an executor names its token.

use std::collections::BTreeMap;
use std::time::Duration;

use async_trait::async_trait;
use serde_json::value::RawValue;
use tokio::sync::watch;

use crate::model::case::{CaseKind, NewCase};
use crate::model::failure::Failure;
use crate::model::id::{EventId, PaymentId, RunId};
use crate::model::lease::Lease;
use crate::model::money::Money;
use crate::model::payment::{Payment, PaymentStatus};
use crate::model::run::{End, RunState};
use crate::model::step::{Attempt, Ending};
use crate::model::time::Timestamp;
use crate::mutant::{Mutant, is_out};
use crate::store::change::{Change, NewRun, TRACK_WORKFLOW, TRANSFER_WORKFLOW};
use crate::store::error::Error;
use crate::store::sql::alerts::TELL_WORKFLOW;
use crate::store::sql::apply::{ALERT_WORKFLOW, MAIL_WORKFLOW, Scope};
use crate::store::sql::column::{Column, params};
use crate::store::sql::connection::{Connection, OptionalExtension, Row};
use crate::store::sql::{Backend, again, ledger, row};
use crate::store::{Claimed, Onward, Pruned, Queue};

const DUE: &str = "SELECT id FROM runs WHERE due_at <= ?1 \
     AND NOT EXISTS (SELECT 1 FROM pauses WHERE kind = 'workflow' AND name = runs.workflow) ORDER BY due_at LIMIT ?2";
const DUE_RUN: &str = "SELECT id FROM runs WHERE id = ?1 AND (due_at <= ?2 OR state = 'queued') \
     AND NOT EXISTS (SELECT 1 FROM pauses WHERE kind = 'workflow' AND name = runs.workflow)";
const CLAIM: &str =
    "UPDATE runs SET state = 'running', owner = ?1, due_at = ?2, token = token + 1, stalls = stalls + 1 WHERE id IN";
const READ: &str = "SELECT r.id, r.workflow, r.key, r.state, r.due_at, r.token, r.stalls, r.payment_id, r.event_id, \
     r.cancel_requested, r.outcome, r.failure, r.created_at, r.finished_at, r.retries, coalesce(r.input, p.checkout, 'null') \
     FROM runs r LEFT JOIN payments p ON p.id = r.payment_id WHERE r.id IN";
const JOURNALS: &str = "SELECT a.step, a.number, a.started_at, a.ended_at, a.outcome, a.output, a.failure, a.retried, a.run_id \
     FROM attempts a WHERE a.run_id IN";
const HELD: &str = "SELECT payment_id, event_id, cancel_requested, workflow FROM runs WHERE id = ?1 AND token = ?2 AND state = 'running'";
const STILL: &str = "SELECT id, token FROM runs WHERE state = 'running' AND id IN";
const RENEW: &str = "UPDATE runs SET due_at = ?1 WHERE id IN";
const REMEMBER: &str = "INSERT INTO attempts (run_id, seq, step, number, started_at, ended_at, outcome, output, failure) \
     VALUES (?1, (SELECT count(*) FROM attempts WHERE run_id = ?1), ?2, ?3, ?4, ?5, ?6, ?7, ?8)";
const PROGRESS: &str = "UPDATE runs SET stalls = 0 WHERE id = ?1 AND stalls <> 0";
const SUSPEND: &str = "UPDATE runs SET state = 'queued', owner = NULL, due_at = ?2 WHERE id = ?1";
const FINISH: &str = "UPDATE runs SET state = ?2, owner = NULL, due_at = NULL, outcome = ?3, failure = ?4, finished_at = ?5 WHERE id = ?1";
/// What has waited for its payment as long will not meet it any more.
const PRUNE_BODIES: &str = "UPDATE events SET body = NULL, headers = NULL, waits_for = NULL \
     WHERE id > ?2 AND id <= ?3 AND received_at < ?1 AND body IS NOT NULL";
const PRUNE_ATTEMPTS: &str = "DELETE FROM attempts WHERE run_id IN \
     (SELECT id FROM runs WHERE id > ?2 AND id <= ?3 AND state = 'succeeded' AND finished_at < ?1)";
const CANCEL: &str = "UPDATE runs SET cancel_requested = 1 WHERE id = ?1 AND state IN ('queued', 'running')";
/// Only what no event could start again.
const PRUNE_RUNS: &str = "DELETE FROM runs WHERE id > ?2 AND id <= ?3 AND state = 'succeeded' AND finished_at < ?1 \
     AND payment_id IS NULL AND event_id IS NULL";
const LAST_ROW: &str =
    "SELECT max(id) FROM (SELECT max(id) AS id FROM events UNION ALL SELECT max(id) FROM runs) AS last";
const PRUNABLE: &str = "SELECT (SELECT count(*) FROM events WHERE received_at < ?1 AND body IS NOT NULL) \
     + (SELECT count(*) FROM attempts a JOIN runs r ON r.id = a.run_id WHERE r.state = 'succeeded' AND r.finished_at < ?1) \
     + (SELECT count(*) FROM runs WHERE state = 'succeeded' AND finished_at < ?1 AND payment_id IS NULL AND event_id IS NULL)";
const NEXT_DUE: &str = "SELECT due_at FROM runs WHERE due_at IS NOT NULL \
     AND NOT EXISTS (SELECT 1 FROM pauses WHERE kind = 'workflow' AND name = runs.workflow) ORDER BY due_at LIMIT 1";
/// What a clock that was wrong has put off for longer than any schedule waits does not count.
const TO_COME: &str = "SELECT 1 FROM runs WHERE due_at <= ?2 AND workflow = ?1";
const LONGEST_SCHEDULE: Duration = Duration::from_hours(25);
const PUT_BACK: &str = "UPDATE runs SET state = 'queued', owner = NULL, due_at = ?2, stalls = CASE WHEN stalls > 0 THEN stalls - 1 ELSE 0 END WHERE id = ?1";

#[async_trait]
impl<B: Backend> Queue for B {
    async fn claim(&self, owner: &str, want: usize, now: Timestamp, until: Timestamp) -> Result<Vec<Claimed>, Error> {
        let owner = owner.to_owned();
        self.in_transaction(move |conn| claim(conn, &owner, want, now, until)).await
    }

    async fn claim_run(
        &self,
        owner: &str,
        run: RunId,
        now: Timestamp,
        until: Timestamp,
    ) -> Result<Option<Claimed>, Error> {
        let owner = owner.to_owned();
        self.in_transaction(move |conn| {
            let due = conn.prepare_cached(&format!("{DUE_RUN}{}", skip_held(conn)))?.exists([run.0, now.0])?;
            let due: &[i64] = if due { &[run.0] } else { &[] };
            Ok(claim_all(conn, &owner, due, until)?.pop())
        })
        .await
    }

    async fn renew(&self, leases: Vec<Lease>, until: Timestamp) -> Result<Vec<Lease>, Error> {
        self.in_transaction(move |conn| {
            let ids: Vec<i64> = leases.iter().map(|lease| lease.run.0).collect();
            if ids.is_empty() {
                return Ok(Vec::new());
            }
            let still = format!("{STILL} ({}) ORDER BY id{}", places(1, padded(&ids).len()), conn.for_update());
            let still = conn
                .prepare_cached(&still)?
                .query_map(padded(&ids).as_slice(), |found| Ok((RunId(found.get(0)?), found.get::<i64>(1)?)))?
                .collect::<Result<Vec<_>, _>>()?;
            let (held, lost): (Vec<Lease>, _) =
                leases.iter().partition(|lease| still.contains(&(lease.run, lease.token)));
            let held = padded(&held.iter().map(|lease| lease.run.0).collect::<Vec<_>>());
            if !held.is_empty() {
                let renew = format!("{RENEW} ({})", places(2, held.len()));
                conn.prepare_cached(&renew)?.execute([&[Column::Integer(until.0)], &held[..]].concat().as_slice())?;
            }
            Ok(lost)
        })
        .await
    }

    async fn record(
        &self,
        lease: Lease,
        attempt: Attempt,
        changes: Vec<Change>,
        now: Timestamp,
    ) -> Result<Onward, Error> {
        self.in_transaction(move |conn| {
            Held::decide(conn, lease, !changes.is_empty())?;
            let mut held = Held::check(conn, lease, now)?;
            remember(conn, lease.run, &attempt)?;
            held.scope.apply(conn, &changes)?;
            Ok(if held.cancel_requested { Onward::CancelRequested } else { Onward::Continue })
        })
        .await
    }

    async fn write(&self, lease: Lease, changes: Vec<Change>, now: Timestamp) -> Result<(), Error> {
        self.in_transaction(move |conn| {
            Held::decide(conn, lease, true)?;
            Held::check(conn, lease, now)?.scope.apply(conn, &changes)
        })
        .await
    }

    async fn suspend(
        &self,
        lease: Lease,
        attempt: Option<Attempt>,
        due_at: Timestamp,
        now: Timestamp,
    ) -> Result<(), Error> {
        self.in_transaction(move |conn| {
            let held = Held::check(conn, lease, now)?;
            if let Some(attempt) = &attempt {
                remember(conn, lease.run, attempt)?;
            }
            // Somebody waits for the run to end: it is due at once.
            let due_at = if held.cancel_requested { now } else { due_at };
            conn.prepare_cached(SUSPEND)?.execute([lease.run.0, due_at.0])?;
            conn.wake();
            Ok(())
        })
        .await
    }

    async fn put_back(&self, lease: Lease, due_at: Timestamp, now: Timestamp) -> Result<(), Error> {
        self.in_transaction(move |conn| {
            let held = Held::check(conn, lease, now)?;
            let due_at = if held.cancel_requested { now } else { due_at };
            conn.prepare_cached(PUT_BACK)?.execute([lease.run.0, due_at.0])?;
            conn.wake();
            Ok(())
        })
        .await
    }

    async fn finish(&self, lease: Lease, end: End, now: Timestamp) -> Result<(), Error> {
        self.in_transaction(move |conn| {
            Held::decide(conn, lease, true)?;
            let mut held = Held::check(conn, lease, now)?;
            finish(conn, lease.run, &held.workflow, &mut held.scope, &end)
        })
        .await
    }

    async fn cancel(&self, run: RunId, now: Timestamp) -> Result<bool, Error> {
        self.in_transaction(move |conn| cancel(conn, run, now)).await
    }

    async fn ensure(&self, runs: Vec<NewRun>, now: Timestamp) -> Result<(), Error> {
        self.in_transaction(move |conn| {
            let scope = Scope { payment: None, payment_created: false, event: None, run: None, now };
            for run in &runs {
                if !conn.prepare_cached(TO_COME)?.exists(params![run.workflow, now.plus(LONGEST_SCHEDULE).0])? {
                    scope.start(conn, run)?;
                }
            }
            Ok(())
        })
        .await
    }

    async fn prune(&self, before: Timestamp, after: i64, rows: u32) -> Result<Pruned, Error> {
        self.in_transaction(move |conn| {
            let until = after.saturating_add(rows.into());
            let mut gone = 0;
            for sql in [PRUNE_BODIES, PRUNE_ATTEMPTS, PRUNE_RUNS] {
                gone += conn.prepare_cached(sql)?.execute(params![before.0, after, until])?;
            }
            let last: Option<i64> = conn.prepare_cached(LAST_ROW)?.query_row((), |found| found.get(0))?;
            let next = last.is_some_and(|last| last > until).then_some(until);
            Ok(Pruned { gone: u32::try_from(gone).unwrap_or(u32::MAX), next })
        })
        .await
    }

    async fn prunable(&self, before: Timestamp) -> Result<u32, Error> {
        self.in_snapshot(move |conn| Ok(conn.prepare_cached(PRUNABLE)?.query_row([before.0], |found| found.get(0))?))
            .await
    }

    async fn clock_set_back(&self, step: Duration, now: Timestamp, lease_end: Timestamp) -> Result<u64, Error> {
        self.in_transaction(move |conn| again::clock_set_back(conn, step, now, lease_end)).await
    }

    async fn recorded_ahead(&self, now: Timestamp) -> Result<Option<Timestamp>, Error> {
        self.in_snapshot(move |conn| again::recorded_ahead(conn, now)).await
    }

    async fn next_due(&self) -> Result<Option<Timestamp>, Error> {
        self.in_snapshot(|conn| {
            let due: Option<i64> = conn.prepare_cached(NEXT_DUE)?.query_row((), |found| found.get(0)).optional()?;
            Ok(due.map(Timestamp))
        })
        .await
    }

    fn changes(&self) -> watch::Receiver<u64> {
        self.wake_ups().subscribe()
    }
}

fn claim(
    conn: &Connection<'_>,
    owner: &str,
    want: usize,
    now: Timestamp,
    until: Timestamp,
) -> Result<Vec<Claimed>, Error> {
    let want = i64::try_from(want).unwrap_or(i64::MAX);
    let due: Vec<i64> = conn
        .prepare_cached(&format!("{DUE}{}", skip_held(conn)))?
        .query_map([now.0, want], |found| found.get(0))?
        .collect::<Result<_, _>>()?;
    claim_all(conn, owner, &due, until)
}

/// Whoever claims at the same time takes other runs.
fn skip_held(conn: &Connection<'_>) -> &'static str {
    conn.pick("", " FOR NO KEY UPDATE SKIP LOCKED")
}

/// These ids, the last again and again up to a power of two, so that few statements are prepared.
fn padded(ids: &[i64]) -> Vec<Column<'static>> {
    let last = ids.last().into_iter().cycle();
    ids.iter().chain(last).take(ids.len().next_power_of_two()).map(|id| Column::Integer(*id)).collect()
}

/// In three statements whatever their number: each is a way to the server and back.
fn claim_all(conn: &Connection<'_>, owner: &str, ids: &[i64], until: Timestamp) -> Result<Vec<Claimed>, Error> {
    if ids.is_empty() {
        return Ok(Vec::new());
    }
    let bound = padded(ids);
    let with_owner = [&[Column::Text(owner), Column::Integer(until.0)], bound.as_slice()].concat();
    conn.prepare_cached(&format!("{CLAIM} ({})", places(3, bound.len())))?.execute(with_owner.as_slice())?;
    let read = format!("{READ} ({})", places(1, bound.len()));
    let runs = conn
        .prepare_cached(&read)?
        .query_map(bound.as_slice(), |found| Ok((row::run(found)?, found.get::<String>(15)?)))?
        .collect::<Result<Vec<_>, _>>()?;
    // A run that was never claimed before has tried nothing.
    let known: Vec<i64> = runs.iter().filter(|(run, _)| run.token > 1).map(|(run, _)| run.id.0).collect();
    let mut journals = journals(conn, &known)?;
    let claimed = runs.into_iter().map(|(run, input)| {
        let input = RawValue::from_string(input).map_err(|error| Error::Corrupt(error.to_string()))?;
        let journal = journals.remove(&run.id).unwrap_or_default();
        Ok(Claimed { lease: Lease { run: run.id, token: run.token, until }, run, input, journal })
    });
    let mut claimed = claimed.collect::<Result<Vec<_>, Error>>()?;
    claimed.sort_by_key(|claimed| ids.iter().position(|id| *id == claimed.run.id.0));
    Ok(claimed)
}

/// `?3, ?4, ?5` for three from the third on.
fn places(first: usize, count: usize) -> String {
    (first..first + count).map(|place| format!("?{place}")).collect::<Vec<_>>().join(", ")
}

pub(super) fn journal(conn: &Connection<'_>, run: RunId) -> Result<Vec<Attempt>, Error> {
    Ok(journals(conn, &[run.0])?.remove(&run).unwrap_or_default())
}

/// What each of the runs has tried, in order.
fn journals(conn: &Connection<'_>, ids: &[i64]) -> Result<BTreeMap<RunId, Vec<Attempt>>, Error> {
    let mut journals: BTreeMap<RunId, Vec<Attempt>> = BTreeMap::new();
    if ids.is_empty() {
        return Ok(journals);
    }
    let bound = padded(ids);
    let sql = format!("{JOURNALS} ({}) ORDER BY a.run_id, a.seq", places(1, bound.len()));
    let read = |found: &Row<'_>| Ok((RunId(found.get(8)?), row::attempt(found)?));
    for attempt in conn.prepare_cached(&sql)?.query_map(bound.as_slice(), read)? {
        let (run, attempt) = attempt?;
        journals.entry(run).or_default().push(attempt);
    }
    Ok(journals)
}

/// What is known of a run whose lease still holds.
struct Held {
    scope: Scope,
    cancel_requested: bool,
    workflow: String,
}

impl Held {
    /// Before the fence, where what follows is about the payment too.
    fn decide(conn: &Connection<'_>, lease: Lease, about_payment: bool) -> Result<(), Error> {
        if about_payment { conn.lock_payment_of(lease.run) } else { Ok(()) }
    }

    /// The fence: fails once another executor has claimed the run.
    fn check(conn: &Connection<'_>, lease: Lease, now: Timestamp) -> Result<Self, Error> {
        let token = if is_out(Mutant::Fence) { newest_token(conn, lease.run)? } else { lease.token };
        conn.prepare_cached(&format!("{HELD}{}", conn.for_update()))?
            .query_row([lease.run.0, token], |found| {
                Ok(Self {
                    scope: Scope {
                        payment: found.get::<Option<i64>>(0)?.map(PaymentId),
                        payment_created: false,
                        event: found.get::<Option<i64>>(1)?.map(EventId),
                        run: Some(lease.run),
                        now,
                    },
                    cancel_requested: found.get(2)?,
                    workflow: found.get(3)?,
                })
            })
            .optional()?
            .ok_or(Error::LeaseLost)
    }
}

/// What a write would have to name if it did not name its own.
fn newest_token(conn: &Connection<'_>, run: RunId) -> Result<i64, Error> {
    Ok(ledger::read_run(conn, run)?.token)
}

pub(super) fn check_lease(conn: &Connection<'_>, lease: Lease) -> Result<(), Error> {
    let held = format!("{HELD}{}", conn.for_update());
    conn.prepare_cached(&held)?.exists([lease.run.0, lease.token])?.then_some(()).ok_or(Error::LeaseLost)
}

fn remember(conn: &Connection<'_>, run: RunId, attempt: &Attempt) -> Result<(), Error> {
    let (output, failure) = match &attempt.ending {
        Ending::Done { output } => (Some(output.get()), None),
        Ending::Retry { failure } | Ending::Failed { failure } => (None, Some(row::to_json(failure)?)),
    };
    conn.prepare_cached(REMEMBER)?.execute(params![
        run.0,
        attempt.step,
        attempt.number,
        attempt.started_at.0,
        attempt.ended_at.0,
        attempt.ending.as_str(),
        output,
        failure
    ])?;
    conn.prepare_cached(PROGRESS)?.execute([run.0])?;
    Ok(())
}

/// Whether the run has ended.
pub(super) fn cancel(conn: &Connection<'_>, id: RunId, now: Timestamp) -> Result<bool, Error> {
    let run = ledger::read_run(conn, id)?;
    conn.prepare_cached(CANCEL)?.execute([id.0])?;
    conn.wake();
    if run.state == RunState::Queued {
        let mut scope = Scope { payment: run.payment, payment_created: false, event: run.event, run: Some(id), now };
        finish(conn, id, "", &mut scope, &End::Cancelled)?;
    }
    Ok(run.state != RunState::Running)
}

fn finish(conn: &Connection<'_>, run: RunId, workflow: &str, scope: &mut Scope, end: &End) -> Result<(), Error> {
    let now = scope.now.0;
    match end {
        End::Succeeded(outcome) => {
            conn.prepare_cached(FINISH)?.execute(params![run.0, "succeeded", outcome, None::<String>, now])?;
            let resolution = format!("retried, and ended as {outcome}");
            if conn.prepare_cached(CLOSE_RETRIED)?.execute(params![run.0, now, resolution, outcome])? > 0 {
                scope.stands_after_all(conn)?;
            }
            Ok(())
        }
        End::Failed(failure) => {
            conn.prepare_cached(FINISH)?.execute(params![
                run.0,
                "failed",
                None::<String>,
                row::to_json(failure)?,
                now
            ])?;
            // An alert about an alert would never end: what it was for stays open and says so.
            if workflow == ALERT_WORKFLOW || workflow == TELL_WORKFLOW {
                Ok(())
            } else {
                open_failed(conn, run, workflow, scope, failure)
            }
        }
        End::Cancelled => {
            conn.prepare_cached(FINISH)?.execute(params![run.0, "cancelled", None::<String>, None::<String>, now])?;
            open_cancelled(conn, run, scope)
        }
    }
}

/// What an operator has mended by a retry needs nobody any more; what the run has found of others does.
const CLOSE_RETRIED: &str = "UPDATE cases SET status = 'closed', closed_at = ?2, resolution = ?3 \
     WHERE (SELECT retries FROM runs WHERE id = ?1) > 0 AND run_id = ?1 AND status = 'open' \
     AND coalesce(payment_id, 0) = (SELECT coalesce(payment_id, 0) FROM runs WHERE id = ?1) AND (kind IN ('run_failed', 'run_cancelled') \
     OR (kind IN ('booking_unclear', 'transfer_blocked') AND ?4 <> 'case_opened'))";
/// Somebody knows of the run's end before, and has not settled it.
const HAS_CASE: &str = "SELECT 1 FROM cases WHERE run_id = ?1 AND status = 'open' \
     AND kind IN ('run_failed', 'run_cancelled', 'booking_unclear', 'transfer_blocked')";
const RETRIES: &str = "SELECT retries FROM runs WHERE id = ?1";

/// The cause of a case about a run's end: once for each time that it was set going.
fn cause(conn: &Connection<'_>, what: &str, run: RunId) -> Result<String, Error> {
    let retries: u32 = conn.prepare_cached(RETRIES)?.query_row([run.0], |found| found.get(0))?;
    Ok(if retries == 0 { format!("{what}/{run}") } else { format!("{what}/{run}/{retries}") })
}

fn open_failed(
    conn: &Connection<'_>,
    run: RunId,
    workflow: &str,
    scope: &mut Scope,
    failure: &Failure,
) -> Result<(), Error> {
    if conn.prepare_cached(HAS_CASE)?.exists([run.0])? {
        return Ok(());
    }
    let payment = scope.payment.map(|id| ledger::read_payment(conn, id)).transpose()?;
    let mut open = payment.map(|payment| unaccounted(conn, &payment)).transpose()?.flatten();
    // Whoever paid it back and let the session stand has decided so: no letter that cannot be sent asks again.
    if BESIDE_THE_MONEY.contains(&workflow) {
        open = open.filter(|open| !open.is_of_the_session);
    }
    let said = format!("{}: {}", failure.code, failure.message);
    scope.open_case(
        conn,
        NewCase {
            kind: CaseKind::RunFailed,
            cause: cause(conn, "run_failed", run)?,
            summary: match &open {
                Some(Unaccounted { amount, why, .. }) => format!("{workflow} failed while {amount} {why}"),
                None => format!("{workflow} failed; no money hangs on it"),
            },
            detail: match &open {
                Some(Unaccounted { to_do, .. }) => format!("{said}. Now {to_do}"),
                None => said,
            },
            at_risk: open.map(|open| open.amount),
        },
    )
}

const STANDS: &str = "SELECT 1 FROM bookings WHERE payment_id = ?1 AND status IN ('pending', 'accepted', 'completed') AND host_absent = 0";

/// A dispute says nothing of the session, nor does what is said of the mentor's share or of a run on which no money hangs.
const HAS_OTHER_CASE: &str = "SELECT 1 FROM cases WHERE payment_id = ?1 AND status = 'open' \
     AND kind NOT IN ('disputed', 'transfer_not_reversed', 'transfer_blocked', 'payout_failed') \
     AND (amount IS NOT NULL OR kind NOT IN ('run_failed', 'run_cancelled'))";

/// What is not as it should be at rest: so much, why, and what is to be done.
struct Unaccounted {
    amount: Money,
    why: String,
    to_do: &'static str,
    /// Whether it is the session that is left, and not the money.
    is_of_the_session: bool,
}

/// What is not as it should be at rest, if anything: one live session, or the whole amount back.
fn unaccounted(conn: &Connection<'_>, payment: &Payment) -> Result<Option<Unaccounted>, Error> {
    let stands = conn.prepare_cached(STANDS)?.exists([payment.id.0])?;
    let unknown = ledger::unconfirmed_refunds(conn, payment)?;
    let is_told = conn.prepare_cached(HAS_OTHER_CASE)?.exists([payment.id.0])?;
    let why = match payment.status {
        PaymentStatus::Paid => "is taken and neither booked nor refunded",
        PaymentStatus::Attention if !stands && !is_told => "is taken and neither booked nor refunded",
        _ if !unknown.is_empty() => {
            let named: Vec<String> = unknown.iter().map(|refund| refund.id.to_string()).collect();
            let sum = unknown.iter().map(|refund| refund.amount.minor).sum();
            return Ok(Some(Unaccounted {
                amount: Money::new(sum, payment.amount.currency),
                why: format!("({}) was to be refunded and nobody knows whether it was", named.join(", ")),
                to_do: "retry the run: it asks Stripe first, and pays nothing twice",
                is_of_the_session: false,
            }));
        }
        PaymentStatus::Booked if !stands => "is taken and no session stands for it",
        status if status.is_paid_back() && stands && !is_told => "was refunded and the session still stands",
        _ => return Ok(None),
    };
    Ok(Some(Unaccounted {
        amount: payment.amount,
        why: why.to_owned(),
        to_do: "look for a session at Cal.com, then refund, call it off or retry the run",
        is_of_the_session: payment.status.is_paid_back(),
    }))
}

/// Where the customer's money is does not hang on these.
const BESIDE_THE_MONEY: [&str; 2] = [TRACK_WORKFLOW, MAIL_WORKFLOW];

fn open_cancelled(conn: &Connection<'_>, run: RunId, scope: &mut Scope) -> Result<(), Error> {
    let Some(payment) = scope.payment.filter(|_| !is_out(Mutant::CancelCase)) else { return Ok(()) };
    let workflow = ledger::read_run(conn, run)?.workflow;
    if workflow == TRANSFER_WORKFLOW {
        return scope.ask_about_share(conn);
    }
    if BESIDE_THE_MONEY.contains(&workflow.as_str()) || conn.prepare_cached(HAS_CASE)?.exists([run.0])? {
        return Ok(());
    }
    let payment = ledger::read_payment(conn, payment)?;
    let Some(Unaccounted { amount, why, to_do, .. }) = unaccounted(conn, &payment)? else { return Ok(()) };
    scope.open_case(
        conn,
        NewCase {
            kind: CaseKind::RunCancelled,
            cause: cause(conn, "run_cancelled", run)?,
            summary: format!("{run} was cancelled while {amount} {why}"),
            detail: to_do.to_owned(),
            at_risk: Some(amount),
        },
    )
}

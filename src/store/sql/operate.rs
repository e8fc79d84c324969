//! What operators do: each deed with its row in the audit trail, in one transaction.

use std::time::Duration;

use async_trait::async_trait;
use serde_json::{Value, json};

use crate::model::act::{Act, Verb};
use crate::model::case::{CaseStatus, NewCase, Resolution};
use crate::model::id::{ActId, AlertId, CaseId, EventId, PaymentId, RunId};
use crate::model::money::Money;
use crate::model::pause::{Pausable, Pause};
use crate::model::payment::{Payment, PaymentStatus};
use crate::model::refund::{Refund, RefundOrigin, RefundStatus};
use crate::model::run::{RunChange, RunState};
use crate::model::time::Timestamp;
use crate::mutant::{Mutant, is_out};
use crate::store::change::{CHECKOUT_WORKFLOW, NewRun, Plan, REFUND_WORKFLOW, RefundIntent};
use crate::store::error::Error;
use crate::store::order::{Deed, Order, Performed, RefundOrder};
use crate::store::sql::apply::{ALERT_WORKFLOW, Scope};
use crate::store::sql::column::params;
use crate::store::sql::connection::{Connection, OptionalExtension};
use crate::store::sql::{Backend, acts, again, alerts, inbox, ledger, queue, row};
use crate::store::{Ingested, Operations};

#[async_trait]
impl<B: Backend> Operations for B {
    async fn operate(&self, order: Order, now: Timestamp) -> Result<Performed, Error> {
        self.in_transaction(move |conn| operate(conn, &order, now)).await
    }

    async fn rehearse(&self, order: Order, now: Timestamp) -> Result<Performed, Error> {
        self.in_transaction(move |conn| conn.rehearse(|conn| operate(conn, &order, now))).await
    }

    async fn pauses(&self) -> Result<Vec<Pause>, Error> {
        self.in_snapshot(pauses).await
    }

    async fn broken_act(&self) -> Result<Option<ActId>, Error> {
        self.in_snapshot(acts::broken).await
    }
}

/// What a deed came to: what goes into the trail, and what the caller is told.
struct Done {
    verb: Verb,
    subject: String,
    payment: Option<PaymentId>,
    already: bool,
    performed: Performed,
}

impl Done {
    fn new(verb: Verb, subject: impl ToString, before: Value, after: Value) -> Self {
        let performed = Performed { act: None, refund: None, run: None, before, after };
        Self { verb, subject: subject.to_string(), payment: None, already: false, performed }
    }
}

pub(in crate::store) fn operate(conn: &Connection<'_>, order: &Order, now: Timestamp) -> Result<Performed, Error> {
    let Order { actor, reason, deed } = order.clone();
    let done = match deed {
        Deed::Refund(wanted) => refund(conn, &wanted, reason.as_deref(), now)?,
        Deed::Retry { run, from } => retry(conn, run, from.as_deref(), now)?,
        Deed::Replay { event, plan } => replay(conn, event, *plan, now)?,
        Deed::Cancel(run) => cancel(conn, run, now)?,
        Deed::Resolve { case, resolution } => resolve(conn, case, resolution, reason.as_deref(), now)?,
        Deed::OpenCase { payment, case } => open_case(conn, payment, case, now)?,
        Deed::Pause(what) => pause(conn, &what, &actor, reason.as_deref(), now)?,
        Deed::Resume(what) => resume(conn, &what)?,
        Deed::Silence { alert, until } => silence(conn, alert, until, now)?,
        Deed::Reveal { subject, payment, shown } => {
            Done { payment, ..Done::new(Verb::Reveal, subject, json!({}), shown) }
        }
        Deed::Note { verb, subject, after } => Done::new(verb, subject, json!({}), after),
    };
    let mut performed = done.performed;
    if !done.already {
        let act = Act {
            id: ActId(0),
            at: now,
            actor,
            verb: done.verb,
            subject: done.subject,
            reason,
            payment: done.payment,
            before: performed.before.clone(),
            after: performed.after.clone(),
        };
        performed.act = Some(acts::append(conn, act)?);
    }
    Ok(performed)
}

const OPEN_DISPUTE: &str = "SELECT id FROM disputes WHERE payment_id = ?1 AND status <> 'won'";
const MOVED_SHARE: &str = "SELECT stripe_transfer_id, amount, reversed FROM transfers \
     WHERE payment_id = ?1 AND status = 'made' AND origin = 'workflow'";
const UNFINISHED: &str = "SELECT id FROM runs WHERE coalesce(payment_id, 0) = ?1 AND workflow = ?2 \
     AND state IN ('queued', 'running') ORDER BY id DESC LIMIT 1";
const REFUND_RUNS: &str = "SELECT count(*) FROM runs WHERE coalesce(payment_id, 0) = ?1 AND workflow = ?2";

/// Whether so much of a payment, of which so much is left, may be paid back by a person, and if not why and what to do.
fn check_refundable(conn: &Connection<'_>, payment: &Payment, wanted: Money, left: Money) -> Result<(), Error> {
    let id = payment.id;
    if payment.payment_intent.is_none() {
        return Err(Error::Illegal(format!("{id} was free: there is nothing to pay back")));
    }
    if matches!(payment.status, PaymentStatus::Awaiting | PaymentStatus::Failed | PaymentStatus::Expired) {
        return Err(Error::Illegal(format!("{id} is {}: nothing was taken; `discuno show {id}`", payment.status)));
    }
    let dispute: Option<String> =
        conn.prepare_cached(OPEN_DISPUTE)?.query_row([id.0], |found| found.get(0)).optional()?;
    if let Some(dispute) = dispute {
        return Err(Error::Illegal(format!(
            "{id} is disputed ({dispute}): a refund could pay the customer twice; answer the dispute in stripe"
        )));
    }
    let share = conn
        .prepare_cached(MOVED_SHARE)?
        .query_row([id.0], |found| Ok((found.get::<Option<String>>(0)?, found.get::<i64>(1)?, found.get::<i64>(2)?)));
    let Some((transfer, share, reversed)) = share.optional()? else { return Ok(()) };
    let back = payment.amount.minor - left.minor + wanted.minor;
    let missing = payment.amount.share_of(share, back) - reversed;
    if missing <= 0 {
        return Ok(());
    }
    Err(Error::Illegal(format!(
        "the mentor's share of {id} was moved ({}): reverse {} of it in stripe first, then repeat this",
        transfer.unwrap_or_default(),
        Money::new(missing, payment.amount.currency)
    )))
}

/// From here on it is a person who wants it.
const TAKE_OVER: &str = "UPDATE refunds SET origin = ?2 WHERE id = ?1";

fn refund(conn: &Connection<'_>, wanted: &RefundOrder, reason: Option<&str>, now: Timestamp) -> Result<Done, Error> {
    let payment = ledger::read_payment(conn, wanted.payment)?;
    let (known, left) = ledger::refunds_and_rest(conn, &payment)?;
    let there = match wanted.amount {
        Some(_) if is_out(Mutant::RefundGuard) => None,
        None => ledger::covering(&known, left),
        Some(amount) if !wanted.another => {
            known.iter().rev().find(|refund| refund.status.holds_money() && refund.amount == amount)
        }
        Some(amount) => {
            let since = wanted.seen.and_then(|seen| known.get(usize::try_from(seen).ok()?..)).unwrap_or_default();
            since.iter().find(|refund| refund.status.holds_money() && refund.amount == amount)
        }
    };
    let before = json!({ "status": payment.status, "left": left });
    let (refund, run) = if let Some(there) = there {
        match unfinished(conn, payment.id)? {
            // Nobody is at work on it and nobody knows how it stands: it is carried on, with the same key.
            None if matches!(there.status, RefundStatus::Intended | RefundStatus::Sent) => {
                conn.prepare_cached(TAKE_OVER)?.execute(params![there.id.0, RefundOrigin::Operator.as_str()])?;
                (there.clone(), start_refund(conn, &payment, there, wanted, reason, now)?)
            }
            run => {
                check_called_off(conn, &payment, there, wanted, run)?;
                let mut done = refunded(&payment, there, run, before);
                done.already = true;
                return Ok(done);
            }
        }
    } else {
        let amount = wanted.amount.unwrap_or(left);
        check_refundable(conn, &payment, amount, left)?;
        if let Some(run) = unfinished_of(conn, payment.id, CHECKOUT_WORKFLOW)? {
            return Err(Error::Illegal(format!(
                "{run} is still booking or refunding {}: wait for it, or end it with `discuno cancel {run}`",
                payment.id
            )));
        }
        let intent = RefundIntent {
            payment: payment.id,
            amount: Some(amount),
            reason: reason.unwrap_or("ordered by an operator").to_owned(),
            origin: RefundOrigin::Operator,
            ceiling: u32::MAX,
        };
        let refund = ledger::intend_refund(conn, &intent, now)?;
        let run = start_refund(conn, &payment, &refund, wanted, reason, now)?;
        (refund, run)
    };
    let mut done = refunded(&payment, &refund, Some(run), before);
    if wanted.cancel_booking {
        done.performed.after["cancel_booking"] = Value::Bool(true);
    }
    Ok(done)
}

const CALLS_OFF: &str =
    "SELECT 1 FROM runs WHERE id = ?1 AND CAST(input ->> 'cancel_booking' AS TEXT) IN ('1', 'true')";

/// Nobody is to believe that a session is called off by a refund that was ordered without that.
fn check_called_off(
    conn: &Connection<'_>,
    payment: &Payment,
    there: &Refund,
    wanted: &RefundOrder,
    run: Option<RunId>,
) -> Result<(), Error> {
    let will_be = match run {
        Some(run) => conn.prepare_cached(CALLS_OFF)?.exists([run.0])?,
        None => false,
    };
    if wanted.cancel_booking && !will_be && ledger::has_live_booking(conn, payment.id)? {
        return Err(Error::Illegal(format!(
            "{} of {} was ordered before, and leaves the session standing: call it off in cal.com",
            there.id, payment.id
        )));
    }
    Ok(())
}

fn refunded(payment: &Payment, refund: &Refund, run: Option<RunId>, before: Value) -> Done {
    let after = json!({ "refund": refund.id, "amount": refund.amount, "run": run });
    let mut done = Done::new(Verb::Refund, payment.id, before, after);
    done.payment = Some(payment.id);
    done.performed.refund = Some(refund.id);
    done.performed.run = run;
    done
}

fn start_refund(
    conn: &Connection<'_>,
    payment: &Payment,
    refund: &Refund,
    wanted: &RefundOrder,
    reason: Option<&str>,
    now: Timestamp,
) -> Result<RunId, Error> {
    let runs: i64 =
        conn.prepare_cached(REFUND_RUNS)?.query_row(params![payment.id.0, REFUND_WORKFLOW], |n| n.get(0))?;
    let scope = Scope { payment: Some(payment.id), payment_created: false, event: None, run: None, now };
    let input = json!({ "reason": reason.unwrap_or("ordered by an operator"), "refund": refund.id, "cancel_booking": wanted.cancel_booking });
    let run = NewRun::with_input(REFUND_WORKFLOW, format!("operator/{}/{runs}", refund.ordinal), input);
    scope.start(conn, &run)?.ok_or_else(|| Error::Illegal(format!("another refund of {} is being ordered", payment.id)))
}

/// The run that is at work on a refund of the payment.
fn unfinished(conn: &Connection<'_>, payment: PaymentId) -> Result<Option<RunId>, Error> {
    Ok(match unfinished_of(conn, payment, REFUND_WORKFLOW)? {
        Some(run) => Some(run),
        None => unfinished_of(conn, payment, CHECKOUT_WORKFLOW)?,
    })
}

fn unfinished_of(conn: &Connection<'_>, payment: PaymentId, workflow: &str) -> Result<Option<RunId>, Error> {
    let mut statement = conn.prepare_cached(UNFINISHED)?;
    Ok(statement.query_row(params![payment.0, workflow], |found| found.get(0).map(RunId)).optional()?)
}

const LAST_FAILED: &str =
    "SELECT step FROM attempts WHERE run_id = ?1 AND outcome = 'failed' AND retried = 0 ORDER BY seq DESC LIMIT 1";
const HAS_STEP: &str = "SELECT 1 FROM attempts WHERE run_id = ?1 AND step = ?2";
/// Of what a run gave up: a session booked by hand, or a share paid by hand, is nothing that the books can see.
const SETTLED: &str = "SELECT id FROM cases WHERE run_id = ?1 AND status = 'closed' AND (kind IN ('booking_unclear', 'transfer_blocked') \
     OR (kind IN ('run_failed', 'run_cancelled') AND amount IS NOT NULL AND resolution NOT LIKE 'false_alarm%')) LIMIT 1";
/// Of a refund of ours: another workflow's input may name one of Stripe's.
const ORDERED: &str = "SELECT f.status FROM runs r JOIN refunds f \
     ON f.id = CASE r.workflow WHEN 'refund-payment' THEN CAST(substr(r.input ->> 'refund', 4) AS BIGINT) END WHERE r.id = ?1";

fn retry(conn: &Connection<'_>, id: RunId, from: Option<&str>, now: Timestamp) -> Result<Done, Error> {
    let run = ledger::read_run(conn, id)?;
    if from.is_none() && again::at_once(conn, id, now)? {
        let (before, after) = [run.due_at, Some(now)].map(|due| json!({ "state": run.state, "due_at": due })).into();
        let mut done = Done::new(Verb::Retry, id, before, after);
        (done.payment, done.performed.run) = (run.payment, Some(id));
        return Ok(done);
    }
    run.state.next(RunChange::Retry).map_err(|error| {
        Error::Illegal(match run.state {
            RunState::Succeeded => format!("{id} has succeeded: what is done is not done twice"),
            RunState::Queued | RunState::Running => format!("{id} is {}: it goes on by itself", run.state),
            RunState::Failed | RunState::Cancelled => error.to_string(),
        })
    })?;
    if let Some(payment) = run.payment
        && run.workflow == CHECKOUT_WORKFLOW
    {
        let status = ledger::read_payment(conn, payment)?.status;
        if !matches!(status, PaymentStatus::Paid | PaymentStatus::Attention) {
            return Err(Error::Illegal(format!("{payment} is {status}: {id} has nothing left to do for it")));
        }
        if unfinished_of(conn, payment, REFUND_WORKFLOW)?.is_some() {
            return Err(Error::Illegal(format!("{payment} is being refunded: {id} would book it")));
        }
    }
    if let Some(case) = conn.prepare_cached(SETTLED)?.query_row([id.0], |found| found.get(0).map(CaseId)).optional()? {
        return Err(Error::Illegal(format!("{case} about {id} was settled by a person: a retry could do it twice")));
    }
    let ordered: Option<String> = conn.prepare_cached(ORDERED)?.query_row([id.0], |found| found.get(0)).optional()?;
    if ordered.is_some_and(|status| matches!(status.as_str(), "failed" | "canceled")) {
        return Err(Error::Illegal(format!("the refund of {id} was refused: order a new one with `discuno refund`")));
    }
    if let Some(step) = from
        && !conn.prepare_cached(HAS_STEP)?.exists(params![id.0, step])?
    {
        return Err(Error::NotFound(format!("step {step} in {id}")));
    }
    let failed: Option<String> =
        conn.prepare_cached(LAST_FAILED)?.query_row([id.0], |found| found.get(0)).optional()?;
    let from = from.map(str::to_owned).or(failed);
    again::go_on(conn, id, from.as_deref(), now)?;
    let before = json!({ "state": run.state, "failure": run.failure });
    let mut done = Done::new(Verb::Retry, id, before, json!({ "state": RunState::Queued, "from": from }));
    (done.payment, done.performed.run) = (run.payment, Some(id));
    Ok(done)
}

const OF_EVENT: &str = "SELECT payment_id, (SELECT coalesce(max(id), 0) FROM runs) FROM events WHERE id = ?1";
const STARTED: &str = "SELECT id FROM runs WHERE id > ?1 AND event_id = ?2 ORDER BY id";

fn replay(conn: &Connection<'_>, id: EventId, plan: Plan, now: Timestamp) -> Result<Done, Error> {
    let (payment, newest): (Option<i64>, i64) = conn
        .prepare_cached(OF_EVENT)?
        .query_row([id.0], |found| Ok((found.get(0)?, found.get(1)?)))
        .optional()?
        .ok_or_else(|| Error::NotFound(id.to_string()))?;
    match inbox::ingest(conn, &plan, now)? {
        Ingested::Duplicate { event, differs: false } if event == id => {}
        _ => return Err(Error::Illegal(format!("the bytes of {id} are not those it came with"))),
    }
    let started: Vec<RunId> = conn
        .prepare_cached(STARTED)?
        .query_map([newest, id.0], |found| found.get(0).map(RunId))?
        .collect::<Result<_, _>>()?;
    let done = Done::new(Verb::Replay, id, json!({}), json!({ "started": started }));
    Ok(Done { payment: payment.map(PaymentId), ..done })
}

fn cancel(conn: &Connection<'_>, id: RunId, now: Timestamp) -> Result<Done, Error> {
    let run = ledger::read_run(conn, id)?;
    let already = run.state == RunState::Cancelled || run.cancel_requested;
    if run.workflow == ALERT_WORKFLOW && !run.state.is_terminal() {
        return Err(Error::Illegal(format!("{id} tells a person of a case: nobody would know of it")));
    }
    if run.state.is_terminal() && !already {
        return Err(Error::Illegal(format!("{id} has ended: it {}", run.state)));
    }
    let ended = already || queue::cancel(conn, id, now)?;
    let state = if ended && run.state != RunState::Running { RunState::Cancelled } else { run.state };
    let after = json!({ "state": state, "cancel_requested": true });
    let mut done = Done::new(Verb::Cancel, id, json!({ "state": run.state }), after);
    (done.payment, done.performed.run, done.already) = (run.payment, Some(id), already);
    Ok(done)
}

/// Sessions stand, and to none of them the mentor came.
const ONLY_MISSED: &str = "SELECT 1 FROM bookings WHERE payment_id = ?1 AND status IN ('pending', 'accepted', 'completed') \
     GROUP BY payment_id HAVING min(host_absent) = 1";
const CLOSE: &str = "UPDATE cases SET status = 'closed', closed_at = ?2, resolution = ?3 WHERE id = ?1";
fn resolve(
    conn: &Connection<'_>,
    id: CaseId,
    resolution: Resolution,
    reason: Option<&str>,
    now: Timestamp,
) -> Result<Done, Error> {
    let case = ledger::read_case(conn, id)?;
    let before = json!({ "status": case.status, "resolution": case.resolution });
    let text = match reason {
        Some(reason) => format!("{resolution}: {reason}"),
        None => resolution.to_string(),
    };
    let mut done =
        Done::new(Verb::Resolve, id, before, json!({ "status": CaseStatus::Closed, "resolution": resolution }));
    done.payment = case.payment;
    if case.status == CaseStatus::Closed {
        if !case.is_settled_as(resolution) {
            let how = case.resolution.unwrap_or_default();
            return Err(Error::Illegal(format!("{id} was closed before, as {how}: it stays so")));
        }
        done.already = true;
        return Ok(done);
    }
    if let Some(payment) = case.payment {
        conn.lock_payment(payment)?;
        let payment = ledger::read_payment(conn, payment)?;
        let stands = ledger::has_live_booking(conn, payment.id)?;
        let is_missed = reason.is_none() && conn.prepare_cached(ONLY_MISSED)?.exists([payment.id.0])?;
        let contradicted = match resolution {
            Resolution::Refunded if payment.status != PaymentStatus::Refunded => Some("not all of it is back"),
            Resolution::Booked if !stands => Some("no live session stands for it"),
            Resolution::Booked if is_missed => {
                Some("its mentor did not come, as far as cal.com tells: say why with --reason")
            }
            Resolution::Booked if !ledger::unconfirmed_refunds(conn, &payment)?.is_empty() => {
                Some("nobody knows yet whether a refund of it was made")
            }
            Resolution::FalseAlarm if payment.status == PaymentStatus::Attention => {
                Some("money was taken and nothing accounts for it")
            }
            _ => None,
        };
        if let Some(why) = contradicted {
            return Err(Error::Illegal(format!(
                "{id} cannot be resolved as {resolution}: {} is {} and {why}; `discuno refund {0}` pays it back",
                payment.id, payment.status
            )));
        }
    }
    conn.prepare_cached(CLOSE)?.execute(params![id.0, now.0, text])?;
    Scope { payment: case.payment, payment_created: false, event: None, run: None, now }.stands_after_all(conn)?;
    Ok(done)
}

const KNOWN_CAUSE: &str = "SELECT 1 FROM cases WHERE cause = ?1";

fn open_case(conn: &Connection<'_>, payment: PaymentId, case: NewCase, now: Timestamp) -> Result<Done, Error> {
    let already = conn.prepare_cached(KNOWN_CAUSE)?.exists([&case.cause])?;
    let after = json!({ "kind": case.kind, "summary": case.summary });
    if !already {
        let mut scope = Scope { payment: Some(payment), payment_created: false, event: None, run: None, now };
        scope.open_case(conn, case)?;
    }
    let done = Done::new(Verb::Open, payment, json!({}), after);
    Ok(Done { payment: Some(payment), already, ..done })
}

/// What is silenced for longer is forgotten.
const MOST_SILENT: Duration = Duration::from_secs(7 * 86_400);

const PAUSES: &str = "SELECT kind, name, since, actor, reason FROM pauses ORDER BY kind, name";
const PAUSED: &str = "SELECT 1 FROM pauses WHERE kind = ?1 AND name = ?2";
const PAUSE: &str = "INSERT INTO pauses (kind, name, since, actor, reason) VALUES (?1, ?2, ?3, ?4, ?5) \
     ON CONFLICT (kind, name) DO NOTHING";
const RESUME: &str = "DELETE FROM pauses WHERE kind = ?1 AND name = ?2";

pub(super) fn pauses(conn: &Connection<'_>) -> Result<Vec<Pause>, Error> {
    Ok(conn.prepare_cached(PAUSES)?.query_map((), row::pause)?.collect::<Result<_, _>>()?)
}

fn is_paused(conn: &Connection<'_>, what: &Pausable) -> Result<bool, Error> {
    Ok(conn.prepare_cached(PAUSED)?.exists(params![what.kind.as_str(), what.name])?)
}

fn pause(
    conn: &Connection<'_>,
    what: &Pausable,
    actor: &str,
    reason: Option<&str>,
    now: Timestamp,
) -> Result<Done, Error> {
    let mut done = Done::new(Verb::Pause, what, json!({ "paused": false }), json!({ "paused": true }));
    done.already = is_paused(conn, what)?;
    if !done.already {
        conn.prepare_cached(PAUSE)?.execute(params![what.kind.as_str(), what.name, now.0, actor, reason])?;
    }
    Ok(done)
}

fn resume(conn: &Connection<'_>, what: &Pausable) -> Result<Done, Error> {
    let mut done = Done::new(Verb::Resume, what, json!({ "paused": true }), json!({ "paused": false }));
    done.already = conn.prepare_cached(RESUME)?.execute(params![what.kind.as_str(), what.name])? == 0;
    conn.wake();
    Ok(done)
}

fn silence(conn: &Connection<'_>, id: AlertId, until: Timestamp, now: Timestamp) -> Result<Done, Error> {
    let alert = alerts::read_alert(conn, id)?;
    if let Some(ended) = alert.ended_at {
        return Err(Error::Illegal(format!("{id} is over since {ended}: there is nothing to silence")));
    }
    if until.since(now) > MOST_SILENT {
        return Err(Error::Illegal(format!(
            "an alert is silenced for {} days at the most",
            MOST_SILENT.as_secs() / 86_400
        )));
    }
    // It may be silent for longer already: by somebody, or because it was told a moment ago.
    let until = if until > now { alert.silenced_until.map_or(until, |known| known.max(until)) } else { now };
    let silenced = |until: Option<Timestamp>| json!({ "silenced_until": until });
    let mut done = Done::new(Verb::Silence, id, silenced(alert.silenced_until), silenced(Some(until)));
    done.already = alert.silenced_until == Some(until) || until == now && alert.silenced_until <= Some(now);
    if !done.already {
        alerts::silence(conn, id, until)?;
    }
    Ok(done)
}

//! Lists: the newest rows first, by conditions, from a place on.

use async_trait::async_trait;

use crate::model::act::Act;
use crate::model::booking::Booking;
use crate::model::case::Case;
use crate::model::event::Event;
use crate::model::money::Money;
use crate::model::refund::Refund;
use crate::model::time::Timestamp;
use crate::store::Lists;
use crate::store::error::Error;
use crate::store::filter::{Filter, PaymentLine, RunLine};
use crate::store::hours::HOUR;
use crate::store::sql::column::{Column, Param};
use crate::store::sql::connection::{Connection, Read, Row};
use crate::store::sql::{Backend, hours, row};

/// What a condition compares with.
enum Value {
    Number(i64),
    Text(String),
}

impl From<i64> for Value {
    fn from(number: i64) -> Self {
        Self::Number(number)
    }
}

impl From<String> for Value {
    fn from(text: String) -> Self {
        Self::Text(text)
    }
}

impl Param for Value {
    fn column(&self) -> Column<'_> {
        match self {
            Self::Number(number) => Column::Integer(*number),
            Self::Text(text) => Column::Text(text),
        }
    }
}

/// A condition with its parameter.
struct Conditions {
    sql: String,
    values: Vec<Value>,
}

impl Conditions {
    /// What every list can be asked for. `at` is the column that says when a row was made.
    fn of(filter: &Filter, alias: &str, at: &str) -> Self {
        let mut all = Self { sql: "1 = 1".to_owned(), values: Vec::new() };
        all.and(&format!("{alias}.{at} >= ?"), filter.since.map(|at| at.0));
        all.and(&format!("{alias}.{at} < ?"), filter.until.map(|at| at.0));
        all.and(&format!("{alias}.id < ?"), filter.before);
        all.and(&format!("{alias}.id > ?"), filter.above);
        all
    }

    fn and(&mut self, condition: &str, value: Option<impl Into<Value>>) {
        let Some(value) = value else { return };
        self.values.push(value.into());
        let place = format!("?{}", self.values.len());
        self.sql.push_str(" AND ");
        self.sql.push_str(&condition.replace('?', &place));
    }

    /// What is asked of a run `r`.
    fn of_run(&mut self, filter: &Filter) {
        self.and("r.workflow = ?", filter.workflow.clone());
        self.and(&format!("{} = ?", last("step")), filter.step.clone());
        let failure = format!("coalesce(CAST(r.failure AS TEXT), CAST({} AS TEXT), '')", last("failure"));
        self.and(&format!("instr({failure}, ?) > 0"), filter.error.clone());
    }

    fn one_of(&mut self, column: &str, words: &[String]) {
        if words.is_empty() {
            return;
        }
        let places: Vec<String> = words
            .iter()
            .map(|word| {
                self.values.push(word.clone().into());
                format!("?{}", self.values.len())
            })
            .collect();
        self.sql = format!("{} AND {column} IN ({})", self.sql, places.join(", "));
    }

    /// `checkout.*` is whatever begins so.
    fn like(&mut self, column: &str, kind: Option<&str>) {
        let Some(kind) = kind else { return };
        let literal = kind.trim_end_matches('*').to_owned();
        if kind.ends_with('*') {
            self.and(&format!("substr({column}, 1, length(?)) = ?"), Some(literal));
        } else {
            self.and(&format!("{column} = ?"), Some(literal));
        }
    }

    fn list<T>(
        mut self,
        conn: &Connection<'_>,
        select: &str,
        alias: &str,
        limit: u32,
        read: fn(&Row<'_>) -> Read<T>,
    ) -> Result<Vec<T>, Error> {
        self.values.push(i64::from(limit).into());
        let sql = format!("{select} WHERE {} ORDER BY {alias}.id DESC LIMIT ?{}", self.sql, self.values.len());
        let mut statement = conn.prepare_cached(&sql)?;
        Ok(statement.query_map(self.values.as_slice(), read)?.collect::<Result<_, _>>()?)
    }
}

#[async_trait]
impl<B: Backend> Lists for B {
    async fn payments(&self, filter: Filter) -> Result<Vec<PaymentLine>, Error> {
        self.in_snapshot(move |conn| payments(conn, &filter)).await
    }

    async fn refunds(&self, filter: Filter) -> Result<Vec<Refund>, Error> {
        self.in_snapshot(move |conn| {
            let mut all = Conditions::of(&filter, "f", "created_at");
            all.one_of("f.status", &filter.status);
            all.and("f.origin = ?", filter.source.clone());
            all.and("f.payment_id = ?", filter.payment.map(|id| id.0));
            all.and(&on_customer("f.payment_id", filter.whole), filter.customer.clone());
            all.and("instr(coalesce(CAST(f.failure AS TEXT), ''), ?) > 0", filter.error.clone());
            all.and("f.status IN ('intended', 'sent', 'pending') AND f.created_at < ?", filter.stuck.map(|at| at.0));
            all.list(conn, &format!("SELECT {} FROM refunds f", row::REFUND), "f", filter.limit, row::refund)
        })
        .await
    }

    async fn bookings(&self, filter: Filter) -> Result<Vec<Booking>, Error> {
        self.in_snapshot(move |conn| {
            let mut all = Conditions::of(&filter, "b", "created_at");
            all.one_of("b.status", &filter.status);
            all.and("b.payment_id = ?", filter.payment.map(|id| id.0));
            let attendee = is_asked("person.value ->> 'email'", filter.whole);
            let host = is_asked("b.organizer ->> 'email'", filter.whole);
            let attendees = conn.elements("b.attendees");
            let takes_part = format!("({host} OR EXISTS (SELECT 1 FROM {attendees} AS person WHERE {attendee}))");
            all.and(&takes_part, filter.customer.clone());
            all.and("b.status IN ('pending', 'accepted') AND b.end_at < ?", filter.stuck.map(|at| at.0));
            all.list(conn, &format!("SELECT {} FROM bookings b", row::BOOKING), "b", filter.limit, row::booking)
        })
        .await
    }

    async fn runs(&self, filter: Filter) -> Result<Vec<RunLine>, Error> {
        self.in_snapshot(move |conn| runs(conn, &filter)).await
    }

    async fn events(&self, filter: Filter) -> Result<Vec<Event>, Error> {
        self.in_snapshot(move |conn| {
            let mut all = Conditions::of(&filter, "e", "received_at");
            all.one_of("e.disposition", &filter.status);
            all.and("e.source = ?", filter.source.clone());
            all.like("e.type", filter.kind.as_deref());
            all.and("e.payment_id = ?", filter.payment.map(|id| id.0));
            all.and(&on_customer("e.payment_id", filter.whole), filter.customer.clone());
            all.and("instr(coalesce(e.reason, ''), ?) > 0", filter.error.clone());
            all.and("e.waits_for IS NOT NULL AND e.received_at < ?", filter.stuck.map(|at| at.0));
            all.list(conn, &format!("SELECT {} FROM events e", row::EVENT), "e", filter.limit, row::event)
        })
        .await
    }

    async fn cases(&self, filter: Filter) -> Result<Vec<Case>, Error> {
        self.in_snapshot(move |conn| {
            let mut all = Conditions::of(&filter, "c", "opened_at");
            all.one_of("c.status", &filter.status);
            all.like("c.kind", filter.kind.as_deref());
            all.and("c.payment_id = ?", filter.payment.map(|id| id.0));
            all.and(&on_customer("c.payment_id", filter.whole), filter.customer.clone());
            all.and("c.status = 'open' AND c.alerted_at IS NULL AND c.opened_at < ?", filter.stuck.map(|at| at.0));
            all.list(conn, &format!("SELECT {} FROM cases c", row::CASE), "c", filter.limit, row::case)
        })
        .await
    }

    async fn acts(&self, filter: Filter) -> Result<Vec<Act>, Error> {
        self.in_snapshot(move |conn| {
            let mut all = Conditions::of(&filter, "a", "at");
            all.one_of("a.verb", &filter.status);
            all.and("a.actor = ?", filter.source.clone());
            all.and("a.payment_id = ?", filter.payment.map(|id| id.0));
            all.list(conn, &format!("SELECT {} FROM acts a", row::ACT), "a", filter.limit, row::act)
        })
        .await
    }
}

/// Whether an address is the one that is asked for, or has it in it.
fn is_asked(address: &str, whole: bool) -> String {
    if whole {
        format!("lower(coalesce({address}, '')) = lower(?)")
    } else {
        format!("instr(lower(coalesce({address}, '')), lower(?)) > 0")
    }
}

/// Whose payment it is, by the address that Stripe or the order knows.
fn of_customer(whole: bool) -> String {
    let (stripe, order) = ("p.customer_email", "p.checkout -> 'attendee' ->> 'email'");
    format!("({} OR {})", is_asked(stripe, whole), is_asked(order, whole))
}

/// The same for what is on a payment.
fn on_customer(payment: &str, whole: bool) -> String {
    format!("EXISTS (SELECT 1 FROM payments p WHERE p.id = {payment} AND {})", of_customer(whole))
}

const PAYMENT_FACTS: &str = "(SELECT CAST(coalesce(sum(f.amount), 0) AS BIGINT) FROM refunds f WHERE f.payment_id = p.id \
     AND f.status NOT IN ('failed', 'canceled')), \
     (SELECT CAST(coalesce(sum(f.amount), 0) AS BIGINT) FROM refunds f WHERE f.payment_id = p.id \
     AND f.status IN ('intended', 'sent')), \
     (SELECT count(*) FROM cases c WHERE c.payment_id = p.id AND c.status = 'open')";

fn payments(conn: &Connection<'_>, filter: &Filter) -> Result<Vec<PaymentLine>, Error> {
    let mut all = Conditions::of(filter, "p", "created_at");
    all.one_of("p.status", &filter.status);
    all.and("p.id = ?", filter.payment.map(|id| id.0));
    all.and(&of_customer(filter.whole), filter.customer.clone());
    if filter.workflow.is_some() || filter.step.is_some() || filter.error.is_some() {
        let mut of_run = Conditions { sql: "1 = 1".to_owned(), values: std::mem::take(&mut all.values) };
        of_run.of_run(filter);
        all.values = of_run.values;
        // The sign takes the column's affinity away: only so does SQLite use the index on the expression.
        let of_payment = "SELECT 1 FROM runs r WHERE coalesce(r.payment_id, 0) = +p.id";
        all.sql = format!("{} AND EXISTS ({of_payment} AND {})", all.sql, of_run.sql);
    }
    all.and("p.status IN ('paid', 'refunding', 'attention') AND p.updated_at < ?", filter.stuck.map(|at| at.0));
    let select = format!("SELECT {}, {PAYMENT_FACTS} FROM payments p", row::PAYMENT);
    all.list(conn, &select, "p", filter.limit, |found| {
        let payment = row::payment(found)?;
        let refunded = Money::new(found.get(11)?, payment.amount.currency);
        let unconfirmed = Money::new(found.get(12)?, payment.amount.currency);
        Ok(PaymentLine { payment, refunded, unconfirmed, open_cases: found.get(13)? })
    })
}

/// A column of the last try of `r`.
fn last(column: &str) -> String {
    format!("(SELECT a.{column} FROM attempts a WHERE a.run_id = r.id ORDER BY a.seq DESC LIMIT 1)")
}

/// What a list of runs is asked for.
fn of_runs(filter: &Filter) -> Conditions {
    let mut all = Conditions::of(filter, "r", "created_at");
    all.one_of("r.state", &filter.status);
    all.and("coalesce(r.payment_id, 0) = ?", filter.payment.map(|id| id.0));
    all.and(&on_customer("r.payment_id", filter.whole), filter.customer.clone());
    all.of_run(filter);
    // Due for long and not taken, or tried in vain again and again.
    let stuck = format!(
        "((r.due_at IS NOT NULL AND r.due_at < ?) OR (r.due_at IS NOT NULL AND r.created_at < ? AND {} = 'retry'))",
        last("outcome")
    );
    all.and(&stuck, filter.stuck.map(|at| at.0));
    all
}

/// The runs that a list shows, of the numbers from one to before another: how many were made in each hour since `from`.
pub(super) fn runs_by_hour(
    conn: &Connection<'_>,
    filter: &Filter,
    (begin, end): (i64, i64),
    from: Timestamp,
) -> Result<Vec<(i64, String, u32)>, Error> {
    let mut all = of_runs(filter);
    all.and("r.id >= ?", Some(begin));
    all.and("r.id < ?", Some(end));
    all.and("r.created_at >= ?", Some(from.0));
    let (from, hour) = (all.values.len(), all.values.len() + 1);
    all.values.push(HOUR.into());
    let sql = format!(
        "SELECT (r.created_at - ?{from}) / ?{hour}, r.state, count(*) FROM runs r WHERE {} GROUP BY 1, 2",
        all.sql
    );
    let mut statement = conn.prepare_cached(&sql)?;
    Ok(statement.query_map(all.values.as_slice(), hours::count)?.collect::<Result<_, _>>()?)
}

fn runs(conn: &Connection<'_>, filter: &Filter) -> Result<Vec<RunLine>, Error> {
    let all = of_runs(filter);
    let select = format!("SELECT {}, {}, {}, {} FROM runs r", row::RUN, last("step"), last("number"), last("failure"));
    all.list(conn, &select, "r", filter.limit, |found| {
        Ok(RunLine {
            run: row::run(found)?,
            step: found.get(15)?,
            attempt: found.get(16)?,
            last_failure: row::failure(found, 17)?,
        })
    })
}

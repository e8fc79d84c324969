//! A connection to the server, used from one thread: each call returns once the server has answered, except for what is
//! sent ahead.

use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::error::Error as _;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use bytes::BytesMut;
use futures_util::{StreamExt, pin_mut};
use tokio::runtime::Runtime;
use tokio::time::Instant;
use tokio_postgres::error::SqlState;
use tokio_postgres::types::{FromSql, IsNull, ToSql, Type, to_sql_checked};
use tokio_postgres::{Client, Row, Statement};

use crate::clock::Anchor;
use crate::model::time::Timestamp;
use crate::store::error::Error;
use crate::store::postgres::address::{Address, GREETING, Pace, WHERE};
use crate::store::sql::{Column, Fault};

/// Conditions are put together from a few dozen parts: more statements than these are not worth the server's memory.
const STATEMENTS: usize = 400;

/// What the promises of the store rest on, for every session. A commit is on disk, and at the standby that is waited
/// for, when it is answered.
const SETTINGS: &str = "SET synchronous_commit = on; SET statement_timeout = '30s'; SET lock_timeout = '3s'; \
     SET idle_in_transaction_session_timeout = '60s'; SET search_path = discuno; SET client_min_messages = warning; \
     SET default_transaction_isolation = 'read committed'; SET standard_conforming_strings = on; SET jit = off";

const TIME: &str = "SELECT CAST(extract(epoch FROM clock_timestamp()) * 1000 AS BIGINT)";

/// Whom the server has at the other end of a session: numbers are given again, but not at the same instant.
const PEER: &str = "SELECT pid, CAST(extract(epoch FROM backend_start) * 1000000 AS BIGINT) FROM pg_stat_activity \
     WHERE pid = pg_backend_pid()";
/// Of a commit that waits for a standby nothing else shows.
const IS_AT_WORK: &str = "SELECT 1 FROM pg_stat_activity WHERE pid = ?1 AND state = 'active' \
     AND CAST(extract(epoch FROM backend_start) * 1000000 AS BIGINT) = ?2";

type Ahead = Pin<Box<dyn Future<Output = Result<(), tokio_postgres::Error>> + Send>>;

/// A connection to the server.
pub struct Session {
    runtime: Runtime,
    client: Arc<Client>,
    statements: RefCell<HashMap<String, Statement>>,
    /// Sent, and not answered yet.
    ahead: RefCell<Vec<Ahead>>,
    /// A commit that was not answered in time.
    doubt: RefCell<Option<Ahead>>,
    peer: Peer,
    /// Something went wrong in this transaction: the server does nothing more in it.
    failed: Cell<bool>,
    writing: Cell<bool>,
    woke: Cell<bool>,
    clock: Arc<Anchor>,
    clock_read: Cell<Instant>,
    pace: Pace,
}

/// The process of the server's that serves a session.
#[derive(Clone, Copy, Default)]
struct Peer {
    pid: i64,
    since: i64,
}

impl Session {
    pub(super) fn open(address: &Address) -> Result<Self, Error> {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .map_err(|error| Error::Backend(format!("could not start a runtime: {error}")))?;
        let client = runtime.block_on(async {
            let (client, connection) = address.connect().await?;
            tokio::spawn(connection.keep());
            match tokio::time::timeout(GREETING, client.batch_execute(SETTINGS)).await {
                Ok(set) => set.map_err(|error| fault(&error))?,
                Err(_) => return Err(Error::Unreachable("the server let us in and said nothing more".to_owned())),
            }
            Ok::<_, Error>(client)
        })?;
        let mut session = Self {
            runtime,
            client: Arc::new(client),
            statements: RefCell::default(),
            ahead: RefCell::default(),
            doubt: RefCell::default(),
            peer: Peer::default(),
            failed: Cell::new(false),
            writing: Cell::new(false),
            woke: Cell::new(false),
            clock: Arc::clone(address.clock()),
            clock_read: Cell::new(Instant::now()),
            pace: address.pace(),
        };
        session.read_clock()?;
        session.peer = session.read_peer()?;
        Ok(session)
    }

    /// Steady clocks go apart too, if slowly.
    pub(super) fn keep_time(&self) -> Result<(), Error> {
        if self.clock_read.get().elapsed() < self.pace.clock { Ok(()) } else { self.read_clock() }
    }

    fn read_clock(&self) -> Result<(), Error> {
        let statement = self.prepared(TIME)?;
        let asked = Instant::now();
        let rows = self.query(&statement, Vec::new())?;
        if let Some(Ok(Column::Integer(now))) = rows.first().map(|row| column(row, 0)) {
            self.clock.set(Timestamp(now).plus(asked.elapsed() / 2));
        }
        self.clock_read.set(Instant::now());
        Ok(())
    }

    fn read_peer(&self) -> Result<Peer, Error> {
        let rows = self.query(&self.prepared(PEER)?, Vec::new())?;
        match rows.first().map(|row| (column(row, 0), column(row, 1))) {
            Some((Ok(Column::Integer(pid)), Ok(Column::Integer(since)))) => Ok(Peer { pid, since }),
            _ => Ok(Peer::default()),
        }
    }

    /// Waits for an answer, and before it for those to what was sent ahead.
    fn wait<T>(&self, answer: impl Future<Output = Result<T, tokio_postgres::Error>>) -> Result<T, Error> {
        let ahead = std::mem::take(&mut *self.ahead.borrow_mut());
        let all = async {
            pin_mut!(answer);
            // On its way before anything is waited for.
            let early = poll_once(answer.as_mut());
            for sent in ahead {
                sent.await?;
            }
            match early {
                Poll::Ready(result) => result,
                Poll::Pending => answer.await,
            }
        };
        let outcome = self.runtime.block_on(async { tokio::time::timeout(self.pace.answer, all).await });
        let outcome = match outcome {
            Ok(outcome) => outcome.map_err(|error| fault(&error)),
            Err(_) => Err(Error::Unreachable("the server did not answer in time".to_owned())),
        };
        if outcome.is_err() {
            self.failed.set(true);
        }
        outcome
    }

    /// Sends a command and goes on; what became of it shows at the next answer.
    pub(super) fn send_ahead(&self, command: &'static str) {
        let client = Arc::clone(&self.client);
        let mut sent: Ahead = Box::pin(async move { client.batch_execute(command).await });
        let guard = self.runtime.enter();
        if let Poll::Ready(result) = poll_once(sent.as_mut()) {
            sent = Box::pin(std::future::ready(result));
        }
        drop(guard);
        self.ahead.borrow_mut().push(sent);
    }

    pub(in crate::store) fn batch(&self, commands: &str) -> Result<(), Error> {
        self.wait(self.client.batch_execute(commands))
    }

    pub(in crate::store) fn prepared(&self, sql: &str) -> Result<Statement, Error> {
        if let Some(known) = self.statements.borrow().get(sql) {
            return Ok(known.clone());
        }
        let statement = self.wait(self.client.prepare(&places(sql)))?;
        let mut statements = self.statements.borrow_mut();
        if statements.len() >= STATEMENTS {
            statements.clear();
        }
        statements.insert(sql.to_owned(), statement.clone());
        Ok(statement)
    }

    pub(in crate::store) fn execute(&self, statement: &Statement, values: Vec<Column<'_>>) -> Result<usize, Error> {
        let changed = self.wait(self.client.execute_raw(statement, values))?;
        Ok(usize::try_from(changed).unwrap_or(usize::MAX))
    }

    pub(in crate::store) fn query(&self, statement: &Statement, values: Vec<Column<'_>>) -> Result<Vec<Row>, Error> {
        self.wait(async {
            let rows = self.client.query_raw(statement, values).await?;
            pin_mut!(rows);
            let mut all = Vec::new();
            while let Some(row) = rows.next().await {
                all.push(row?);
            }
            Ok(all)
        })
    }

    /// Commits. `after` is asked for in the same breath and costs no wait; it begins once the commit has ended.
    ///
    /// Without a word from the server nobody knows. Its word that something failed means that nothing was kept.
    pub(super) fn commit(&self, after: Option<&'static str>) -> Result<(), Error> {
        let earlier = std::mem::take(&mut *self.ahead.borrow_mut());
        self.send_ahead("COMMIT");
        let Some(committed) = self.ahead.borrow_mut().pop() else { return Err(Error::Closed) };
        if let Some(after) = after {
            self.send_ahead(after);
        }
        let mut all: Ahead = Box::pin(async move {
            let mut outcome = Ok(());
            for answer in earlier.into_iter().chain([committed]) {
                outcome = outcome.and(answer.await);
            }
            outcome
        });
        match self.runtime.block_on(async { tokio::time::timeout(self.pace.answer, all.as_mut()).await }) {
            Ok(Ok(())) => Ok(()),
            Ok(Err(error)) => match fault(&error) {
                told if error.as_db_error().is_some() && !matches!(told, Error::Unreachable(_)) => Err(told),
                lost => Err(Error::CommitUnknown(lost.to_string())),
            },
            Err(_) => {
                *self.doubt.borrow_mut() = Some(all);
                Err(Error::CommitUnknown("the server did not answer in time".to_owned()))
            }
        }
    }

    /// Whether the server still owes its word on a commit.
    pub(super) fn is_in_doubt(&self) -> bool {
        self.doubt.borrow().is_some()
    }

    /// Waits for that word for so long. Whether it came; an error says that the session is of no more use.
    pub(super) fn hear(&self, patience: Duration) -> Result<bool, Error> {
        let mut doubt = self.doubt.borrow_mut();
        let Some(answer) = doubt.as_mut() else { return Ok(true) };
        let heard = self.runtime.block_on(async { tokio::time::timeout(patience, answer.as_mut()).await });
        let Ok(heard) = heard else { return Ok(false) };
        *doubt = None;
        heard.map(|()| true).map_err(|error| fault(&error))
    }

    /// Whether the server is at work for the other session, as it is while a commit waits.
    pub(super) fn sees_at_work(&self, other: &Self) -> Result<bool, Error> {
        let Peer { pid, since } = other.peer;
        let rows = self.query(&self.prepared(IS_AT_WORK)?, vec![Column::Integer(pid), Column::Integer(since)])?;
        Ok(!rows.is_empty())
    }

    /// A new transaction has begun.
    pub(super) fn begin(&self, writing: bool) {
        self.forgive();
        self.writing.set(writing);
        self.woke.set(false);
    }

    /// What went wrong is rolled back.
    pub(in crate::store) fn forgive(&self) {
        self.failed.set(false);
    }

    pub(super) fn has_failed(&self) -> bool {
        self.failed.get()
    }

    pub(in crate::store) fn is_writing(&self) -> bool {
        self.writing.get()
    }

    pub(in crate::store) fn wake(&self) {
        self.woke.set(true);
    }

    pub(super) fn woke(&self) -> bool {
        self.woke.get()
    }
}

fn poll_once<F: Future + ?Sized>(future: Pin<&mut F>) -> Poll<F::Output> {
    future.poll(&mut Context::from_waker(Waker::noop()))
}

/// `?1` as PostgreSQL writes it.
fn places(sql: &str) -> String {
    sql.replace('?', "$")
}

/// What an error of the client or the server comes to. The text of statements and values is not part of it.
pub(super) fn fault(error: &tokio_postgres::Error) -> Error {
    let Some(told) = error.as_db_error() else {
        let cause = error.source().map(|source| format!(": {source}")).unwrap_or_default();
        return if error.is_closed() || error.source().is_some_and(<dyn std::error::Error>::is::<std::io::Error>) {
            Error::Unreachable(format!("{error}{cause}"))
        } else {
            Error::Backend(format!("{error}{cause}"))
        };
    };
    let said = told.message().to_owned();
    let code = told.code();
    if [
        SqlState::T_R_SERIALIZATION_FAILURE,
        SqlState::T_R_DEADLOCK_DETECTED,
        SqlState::LOCK_NOT_AVAILABLE,
        SqlState::QUERY_CANCELED,
    ]
    .contains(code)
    {
        return Error::Busy;
    }
    match code.code() {
        // Connections; shutting down or starting up; a standby, which cannot be written.
        text if text.starts_with("08") || text.starts_with("57P") || text == "25006" || text == "25P03" => {
            Error::Unreachable(said)
        }
        "28P01" => Error::Illegal(format!("the server does not take the password: {said}; {WHERE}")),
        text if text.starts_with("28") => Error::Illegal(format!("the server lets nobody in by this name: {said}")),
        "53300" => Error::Unreachable(said),
        text if text.starts_with("53") || text.starts_with("58") => Error::Full(said),
        _ => Error::Backend(said),
    }
}

/// A document with another character for each NUL that is written as an escape. A backslash that is escaped itself begins none.
fn without_nul(json: &str) -> String {
    let (mut out, mut rest) = (String::with_capacity(json.len()), json);
    while let Some((before, escape)) = rest.find('\\').map(|at| rest.split_at(at)) {
        out.push_str(before);
        rest = if let Some(rest) = escape.strip_prefix("\\u0000") {
            out.push('\u{fffd}');
            rest
        } else {
            let (escape, rest) = escape.split_at_checked(2).unwrap_or((escape, ""));
            out.push_str(escape);
            rest
        };
    }
    out + rest
}

impl ToSql for Column<'_> {
    fn to_sql(&self, ty: &Type, out: &mut BytesMut) -> Result<IsNull, Box<dyn std::error::Error + Sync + Send>> {
        match *self {
            Self::Null => Ok(IsNull::Yes),
            Self::Integer(number) => match *ty {
                Type::INT2 => i16::try_from(number)?.to_sql(ty, out),
                Type::INT4 => i32::try_from(number)?.to_sql(ty, out),
                Type::BOOL => (number != 0).to_sql(ty, out),
                Type::INT8 => number.to_sql(ty, out),
                _ => Err(format!("a number where {ty} is wanted").into()),
            },
            // The server keeps no NUL in text; the bytes of an event are kept as they came all the same.
            Self::Text(text) if text.contains('\0') => {
                out.extend_from_slice(text.replace('\0', "\u{fffd}").as_bytes());
                Ok(IsNull::No)
            }
            Self::Text(text) if *ty == Type::JSON && text.contains("\\u0000") => {
                out.extend_from_slice(without_nul(text).as_bytes());
                Ok(IsNull::No)
            }
            Self::Text(text) => {
                out.extend_from_slice(text.as_bytes());
                Ok(IsNull::No)
            }
            Self::Blob(bytes) => {
                out.extend_from_slice(bytes);
                Ok(IsNull::No)
            }
        }
    }

    fn accepts(_: &Type) -> bool {
        true
    }

    to_sql_checked!();
}

impl<'a> FromSql<'a> for Column<'a> {
    fn from_sql(ty: &Type, raw: &'a [u8]) -> Result<Self, Box<dyn std::error::Error + Sync + Send>> {
        Ok(match *ty {
            Type::INT8 => Self::Integer(i64::from_sql(ty, raw)?),
            Type::INT4 => Self::Integer(i32::from_sql(ty, raw)?.into()),
            Type::INT2 => Self::Integer(i16::from_sql(ty, raw)?.into()),
            Type::BOOL => Self::Integer(bool::from_sql(ty, raw)?.into()),
            Type::TEXT | Type::VARCHAR | Type::NAME | Type::JSON => Self::Text(std::str::from_utf8(raw)?),
            Type::BYTEA => Self::Blob(raw),
            _ => return Err(format!("{ty} is not a type of ours").into()),
        })
    }

    fn from_sql_null(_: &Type) -> Result<Self, Box<dyn std::error::Error + Sync + Send>> {
        Ok(Self::Null)
    }

    fn accepts(_: &Type) -> bool {
        true
    }
}

/// A value of a row.
pub(in crate::store) fn column(row: &Row, column: usize) -> Result<Column<'_>, Fault> {
    row.try_get(column).map_err(|error| Fault::misread(column, error))
}

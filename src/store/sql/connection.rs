//! A connection as the verbs see it, whichever engine is behind it.

use crate::store::error::Error;
use crate::store::postgres::session::{self, Session};
use crate::store::sql::column::{Column, FromColumn, Params};

/// A connection inside a transaction.
#[derive(Clone, Copy)]
pub enum Connection<'a> {
    /// To a file.
    Sqlite(&'a rusqlite::Connection),
    /// To a server.
    Postgres(&'a Session),
}

/// Why a row was not had.
#[derive(Debug)]
pub(in crate::store) enum Fault {
    /// There is none.
    NoRow,
    /// Anything else.
    Failed(Error),
}

/// What reading a row comes to.
pub(in crate::store) type Read<T> = Result<T, Fault>;

impl Fault {
    /// A row that is not what it should be.
    pub(in crate::store) fn misread(column: usize, why: impl std::fmt::Display) -> Self {
        Self::Failed(Error::Backend(format!("column {column} cannot be read: {why}")))
    }
}

impl From<Fault> for Error {
    fn from(fault: Fault) -> Self {
        match fault {
            Fault::NoRow => Self::Backend("a row that must be there is missing".to_owned()),
            Fault::Failed(error) => error,
        }
    }
}

impl From<Error> for Fault {
    fn from(error: Error) -> Self {
        Self::Failed(error)
    }
}

impl From<rusqlite::Error> for Fault {
    fn from(error: rusqlite::Error) -> Self {
        if matches!(error, rusqlite::Error::QueryReturnedNoRows) { Self::NoRow } else { Self::Failed(error.into()) }
    }
}

/// A row that may be missing.
pub(in crate::store) trait OptionalExtension<T> {
    fn optional(self) -> Read<Option<T>>;
}

impl<T> OptionalExtension<T> for Read<T> {
    fn optional(self) -> Read<Option<T>> {
        match self {
            Ok(value) => Ok(Some(value)),
            Err(Fault::NoRow) => Ok(None),
            Err(fault) => Err(fault),
        }
    }
}

impl<'a> Connection<'a> {
    /// The elements of a list that is kept as JSON, as rows with a `value`.
    pub(in crate::store) fn elements(&self, column: &str) -> String {
        match self {
            Self::Postgres(_) => format!("json_array_elements({column})"),
            Self::Sqlite(_) => format!("json_each({column})"),
        }
    }

    /// The statement, which the engine keeps prepared.
    pub(in crate::store) fn prepare_cached(&self, sql: &str) -> Read<Statement<'a>> {
        Ok(match self {
            Self::Sqlite(conn) => Statement::Sqlite(conn.prepare_cached(sql)?),
            Self::Postgres(session) => Statement::Postgres(session, session.prepared(sql)?),
        })
    }

    /// The text for this engine, where there is no text for both.
    pub(in crate::store) fn pick<T>(&self, sqlite: T, postgres: T) -> T {
        match self {
            Self::Sqlite(_) => sqlite,
            Self::Postgres(_) => postgres,
        }
    }

    /// Runs statements that nothing is bound to.
    pub(in crate::store) fn batch(&self, statements: &str) -> Result<(), Error> {
        match self {
            Self::Sqlite(conn) => conn.execute_batch(statements).map_err(Error::from),
            Self::Postgres(session) => session.batch(statements),
        }
    }

    /// What `work` comes to, with everything that it wrote taken back.
    pub(in crate::store) fn rehearse<T>(&self, work: impl FnOnce(&Self) -> Result<T, Error>) -> Result<T, Error> {
        self.batch("SAVEPOINT rehearsal")?;
        let outcome = work(self);
        if let Self::Postgres(session) = self {
            session.forgive();
        }
        self.batch("ROLLBACK TO rehearsal; RELEASE rehearsal")?;
        outcome
    }

    /// Runs may have become due by this transaction: whoever waits is to look once it is committed.
    pub(in crate::store) fn wake(&self) {
        if let Self::Postgres(session) = self {
            session.wake();
        }
    }
}

/// A prepared statement.
pub(in crate::store) enum Statement<'a> {
    Sqlite(rusqlite::CachedStatement<'a>),
    Postgres(&'a Session, tokio_postgres::Statement),
}

impl Statement<'_> {
    /// How many rows it changed.
    pub(in crate::store) fn execute(&mut self, params: impl Params) -> Read<usize> {
        match self {
            Self::Sqlite(statement) => Ok(statement.execute(rusqlite::params_from_iter(params.columns()))?),
            Self::Postgres(session, statement) => Ok(session.execute(statement, params.columns())?),
        }
    }

    /// Its first row.
    pub(in crate::store) fn query_row<T>(
        &mut self,
        params: impl Params,
        read: impl FnOnce(&Row<'_>) -> Read<T>,
    ) -> Read<T> {
        match self {
            Self::Sqlite(statement) => {
                let mut rows = statement.query(rusqlite::params_from_iter(params.columns()))?;
                read(&Row::Sqlite(rows.next()?.ok_or(Fault::NoRow)?))
            }
            Self::Postgres(session, statement) => {
                let rows = session.query(statement, params.columns())?;
                read(&Row::Postgres(rows.first().ok_or(Fault::NoRow)?))
            }
        }
    }

    /// Whether there is a row.
    pub(in crate::store) fn exists(&mut self, params: impl Params) -> Read<bool> {
        Ok(self.query_row(params, |_| Ok(())).optional()?.is_some())
    }

    /// Every row.
    pub(in crate::store) fn query_map<T>(
        &mut self,
        params: impl Params,
        mut read: impl FnMut(&Row<'_>) -> Read<T>,
    ) -> Read<std::vec::IntoIter<Read<T>>> {
        let mut all = Vec::new();
        match self {
            Self::Sqlite(statement) => {
                let mut rows = statement.query(rusqlite::params_from_iter(params.columns()))?;
                while let Some(row) = rows.next()? {
                    all.push(read(&Row::Sqlite(row)));
                }
            }
            Self::Postgres(session, statement) => {
                let rows = session.query(statement, params.columns())?;
                all.extend(rows.iter().map(|row| read(&Row::Postgres(row))));
            }
        }
        Ok(all.into_iter())
    }
}

/// A row of an answer.
pub(in crate::store) enum Row<'a> {
    Sqlite(&'a rusqlite::Row<'a>),
    Postgres(&'a tokio_postgres::Row),
}

impl Row<'_> {
    pub(in crate::store) fn column(&self, column: usize) -> Read<Column<'_>> {
        match self {
            Self::Sqlite(row) => match row.get_ref(column)? {
                rusqlite::types::ValueRef::Null => Ok(Column::Null),
                rusqlite::types::ValueRef::Integer(number) => Ok(Column::Integer(number)),
                rusqlite::types::ValueRef::Text(text) => {
                    std::str::from_utf8(text).map(Column::Text).map_err(|error| Fault::misread(column, error))
                }
                rusqlite::types::ValueRef::Blob(bytes) => Ok(Column::Blob(bytes)),
                rusqlite::types::ValueRef::Real(_) => Err(Fault::misread(column, "it is a fraction")),
            },
            Self::Postgres(row) => session::column(row, column),
        }
    }

    pub(in crate::store) fn get<T: FromColumn>(&self, column: usize) -> Read<T> {
        T::from_column(self.column(column)?).ok_or_else(|| Fault::misread(column, "it is of another type"))
    }

    /// Text that may be missing.
    pub(in crate::store) fn maybe_text(&self, column: usize) -> Read<Option<&str>> {
        match self.column(column)? {
            Column::Null => Ok(None),
            Column::Text(text) => Ok(Some(text)),
            Column::Integer(_) | Column::Blob(_) => Err(Fault::misread(column, "it is not text")),
        }
    }

    pub(in crate::store) fn text(&self, column: usize) -> Read<&str> {
        self.maybe_text(column)?.ok_or_else(|| Fault::misread(column, "it is missing"))
    }
}

impl rusqlite::ToSql for Column<'_> {
    fn to_sql(&self) -> rusqlite::Result<rusqlite::types::ToSqlOutput<'_>> {
        Ok(rusqlite::types::ToSqlOutput::Borrowed(match *self {
            Self::Null => rusqlite::types::ValueRef::Null,
            Self::Integer(number) => rusqlite::types::ValueRef::Integer(number),
            Self::Text(text) => rusqlite::types::ValueRef::Text(text.as_bytes()),
            Self::Blob(bytes) => rusqlite::types::ValueRef::Blob(bytes),
        }))
    }
}

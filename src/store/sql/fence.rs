//! Closes a store whose data is elsewhere: two that both act would both pay back.
//!
//! The server or file itself refuses every write, so that processes that are at work in it stop too, whichever version
//! they are of. Reading goes on for them; nobody opens it any more.

use crate::store::error::Error;
use crate::store::sql::connection::Connection;
use crate::store::sql::{Backend, copy, meta};

/// Set where the data has gone.
const MOVED: &str = "moved";
/// Set while data is coming in.
const FILLING: &str = "filling";

/// Refuses to open what is closed.
pub(in crate::store) fn check(conn: &Connection<'_>) -> Result<(), Error> {
    if let Some(to) = meta::get(conn, MOVED)? {
        return Err(Error::Illegal(format!(
            "its data was moved to {to}: use that, or, if that does not open or nothing was done there, `discuno db reopen` makes this one the one in use again"
        )));
    }
    if let Some(from) = meta::get(conn, FILLING)? {
        return Err(Error::Illegal(format!(
            "data from {from} is coming in, or the copy did not end: if none is under way, `discuno db reopen --db {from}` takes {from} into use again, and `discuno db copy` repeats it"
        )));
    }
    Ok(())
}

/// Whether a copy into it has not ended.
pub(in crate::store) fn is_filling(conn: &Connection<'_>) -> Result<bool, Error> {
    Ok(meta::get(conn, FILLING)?.is_some())
}

/// Nobody writes to it from now on. What was being written is committed before this returns.
pub async fn close<B: Backend>(store: &B, to: &str) -> Result<(), Error> {
    let to = to.to_owned();
    store
        .in_transaction(move |conn| {
            meta::put(conn, MOVED, &to)?;
            let why = format!("the data was moved to {to}").replace('\'', "''");
            for table in copy::tables() {
                conn.batch(&match conn {
                    Connection::Sqlite(_) => ["INSERT", "UPDATE", "DELETE"]
                        .map(|verb| {
                            format!(
                                "CREATE TRIGGER moved_{table}_{verb} BEFORE {verb} ON {table} \
                                 BEGIN SELECT RAISE(ABORT, '{why}'); END;"
                            )
                        })
                        .concat(),
                    Connection::Postgres(_) => format!(
                        "CREATE TRIGGER moved BEFORE INSERT OR UPDATE OR DELETE OR TRUNCATE ON {table} \
                         FOR EACH STATEMENT EXECUTE FUNCTION refuse('{why}');"
                    ),
                })?;
            }
            Ok(())
        })
        .await
}

/// Whether it is closed since its data is at `to`.
pub(super) async fn is_moved<B: Backend>(store: &B, to: &str) -> Result<bool, Error> {
    Ok(store.in_snapshot(|conn| meta::get(conn, MOVED)).await?.as_deref() == Some(to))
}

/// It may be written to again. Whether it was closed.
pub async fn reopen<B: Backend>(store: &B) -> Result<bool, Error> {
    store
        .in_transaction(|conn| {
            if meta::get(conn, MOVED)?.is_none() {
                return Ok(false);
            }
            for table in copy::tables() {
                conn.batch(&match conn {
                    Connection::Sqlite(_) => ["INSERT", "UPDATE", "DELETE"]
                        .map(|verb| format!("DROP TRIGGER moved_{table}_{verb};"))
                        .concat(),
                    Connection::Postgres(_) => format!("DROP TRIGGER moved ON {table};"),
                })?;
            }
            meta::clear(conn, MOVED)?;
            Ok(true)
        })
        .await
}

/// Nobody opens it until everything is there.
pub(super) async fn filling<B: Backend>(store: &B, from: Option<&str>) -> Result<(), Error> {
    let from = from.map(str::to_owned);
    store
        .in_transaction(move |conn| match &from {
            Some(from) => meta::put(conn, FILLING, from),
            None => meta::clear(conn, FILLING),
        })
        .await
}

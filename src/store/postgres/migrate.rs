//! Brings a database to the schema of this program, and keeps what it was made for.

use crate::store::error::Error;
use crate::store::postgres::address::Address;
use crate::store::postgres::session::Session;
use crate::store::sql::{Connection, fence};

pub(super) const SCHEMA: &str = include_str!("../../../schema.postgres.sql");

/// The version of `schema.postgres.sql`.
const VERSION: i64 = 1;

/// One process at a time brings a database up.
const LOCK: &str = "SELECT 1 FROM (SELECT pg_advisory_xact_lock(4871002)) AS held";
const THERE: &str = "SELECT 1 FROM pg_namespace n JOIN pg_class c ON c.relnamespace = n.oid \
     WHERE n.nspname = 'discuno' AND c.relname = 'meta'";
const GET: &str = "SELECT value FROM meta WHERE key = ?1";
const PUT: &str = "INSERT INTO meta (key, value) VALUES (?1, ?2)";

/// Makes the schema in a database that has none; refuses one of a newer program, and one that holds the other kind of
/// money.
pub(super) fn run(address: &Address, money: &str) -> Result<(), Error> {
    let session = Session::open(address)?;
    session.batch("BEGIN")?;
    let outcome = bring_up(&session, money);
    session.batch(if outcome.is_ok() { "COMMIT" } else { "ROLLBACK" })?;
    outcome
}

fn bring_up(session: &Session, money: &str) -> Result<(), Error> {
    let conn = Connection::Postgres(session);
    conn.prepare_cached(LOCK)?.exists(())?;
    if !conn.prepare_cached(THERE)?.exists(())? {
        session.batch("CREATE SCHEMA IF NOT EXISTS discuno")?;
        session.batch(SCHEMA)?;
        conn.prepare_cached(PUT)?.execute(["schema", &VERSION.to_string()])?;
    }
    compatible(&conn)?;
    fence::check(&conn)?;
    match get(&conn, "mode")? {
        None => {
            conn.prepare_cached(PUT)?.execute(["mode", money])?;
            Ok(())
        }
        Some(known) if known == money => Ok(()),
        Some(known) => Err(Error::Illegal(format!(
            "the database holds {known} payments and the configuration is for {money}: use a database of its own"
        ))),
    }
}

/// Whether the database is of this program's schema.
pub(super) fn check(address: &Address) -> Result<(), Error> {
    let session = Session::open(address)?;
    let conn = Connection::Postgres(&session);
    if !conn.prepare_cached(THERE)?.exists(())? {
        return Err(Error::NotFound(
            "schema of ours in this database: `discuno serve` makes it, and --db or DISCUNO_DB says where".to_owned(),
        ));
    }
    compatible(&conn)?;
    fence::check(&conn)
}

/// Drops our schema if a copy into it did not end.
pub(super) fn discard_unfinished(address: &Address) -> Result<bool, Error> {
    let session = Session::open(address)?;
    let conn = Connection::Postgres(&session);
    if !conn.prepare_cached(THERE)?.exists(())? || !fence::is_filling(&conn)? {
        return Ok(false);
    }
    session.batch("DROP SCHEMA discuno CASCADE")?;
    Ok(true)
}

fn compatible(conn: &Connection<'_>) -> Result<(), Error> {
    let version = get(conn, "schema")?.and_then(|text| text.parse::<i64>().ok()).unwrap_or_default();
    if version == VERSION {
        return Ok(());
    }
    let advice =
        if version > VERSION { "use the newer discuno" } else { "it was never released: begin a new database" };
    Err(Error::Illegal(format!("the database has schema {version} and this program knows {VERSION}: {advice}")))
}

fn get(conn: &Connection<'_>, key: &str) -> Result<Option<String>, Error> {
    let mut statement = conn.prepare_cached(GET)?;
    let found = statement.query_map([key], |row| row.get(0))?.next().transpose()?;
    Ok(found)
}

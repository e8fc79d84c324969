//! Brings a database to the schema of this program, and keeps what it was made for.

use crate::store::error::Error;
use crate::store::postgres::address::Address;
use crate::store::postgres::session::Session;
use crate::store::sql::{Connection, fence, meta};

pub(super) const SCHEMA: &str = include_str!("../../../schema.postgres.sql");

/// What brings a database from one version to the next, while programs of the version before are at work in it.
struct Delta {
    sql: &'static str,
    /// The oldest program that can go on working in what it makes.
    least: i64,
}

/// The first one starts at version 1. Whoever changes `schema.postgres.sql` adds one, and keeps the schema of the version before
/// in `tests/fixtures/databases`.
const DELTAS: [Delta; 2] =
    [Delta { sql: include_str!("deltas/2.sql"), least: 1 }, Delta { sql: include_str!("deltas/3.sql"), least: 1 }];

/// The version of `schema.postgres.sql`.
const VERSION: i64 = 3;

/// How often a lock that somebody holds is waited for, 3 s each time: who waits for it behind us waits as long.
const TRIES: usize = 10;

/// One process at a time brings a database up.
const LOCK: &str = "SELECT 1 FROM (SELECT pg_advisory_xact_lock(4871002)) AS held";
const THERE: &str = "SELECT 1 FROM pg_namespace n JOIN pg_class c ON c.relnamespace = n.oid \
     WHERE n.nspname = 'discuno' AND c.relname = 'meta'";
/// Who owns the schema need not have the right to make one, and that is asked for even where nothing is to be made.
const NAMED: &str = "SELECT 1 FROM pg_namespace WHERE nspname = 'discuno'";
/// All of it but the schema, which who owns it may not have the right to make again.
const EMPTY: &str = "DO $$ DECLARE thing TEXT; BEGIN \
     FOR thing IN SELECT 'TABLE ' || CAST(oid AS regclass) FROM pg_class WHERE relnamespace = 'discuno'::regnamespace AND relkind = 'r' \
     UNION ALL SELECT 'FUNCTION ' || CAST(oid AS regprocedure) FROM pg_proc WHERE pronamespace = 'discuno'::regnamespace \
     LOOP EXECUTE 'DROP ' || thing || ' CASCADE'; END LOOP; END $$";

/// Makes the schema in a database that has none, and brings one of an older program up; refuses one of a newer program that does
/// not let this one work in it, and one that holds the other kind of money.
pub(super) fn run(address: &Address, money: &str) -> Result<(), Error> {
    let session = Session::open(address)?;
    let mut tries = 1;
    loop {
        session.batch("BEGIN")?;
        let outcome = bring_up(&session, money);
        session.batch(if outcome.is_ok() { "COMMIT" } else { "ROLLBACK" })?;
        match outcome {
            Err(Error::Busy) if tries < TRIES => tries += 1,
            outcome => return outcome,
        }
    }
}

fn bring_up(session: &Session, money: &str) -> Result<(), Error> {
    let conn = Connection::Postgres(session);
    conn.prepare_cached(LOCK)?.exists(())?;
    if !conn.prepare_cached(THERE)?.exists(())? {
        if !conn.prepare_cached(NAMED)?.exists(())? {
            session.batch("CREATE SCHEMA discuno")?;
        }
        session.batch(SCHEMA)?;
        tracing::info!(tag = "Store", event = "database_made");
        meta::put(&conn, "schema", &VERSION.to_string())?;
    }
    upgrade(session)?;
    compatible(&conn)?;
    fence::check(&conn)?;
    match meta::get(&conn, "mode")? {
        None => meta::put(&conn, "mode", money),
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

/// Empties our schema if a copy into it did not end.
pub(super) fn discard_unfinished(address: &Address) -> Result<bool, Error> {
    let session = Session::open(address)?;
    let conn = Connection::Postgres(&session);
    if !conn.prepare_cached(THERE)?.exists(())? || !fence::is_filling(&conn)? {
        return Ok(false);
    }
    session.batch(EMPTY)?;
    Ok(true)
}

/// Only adds: whoever is at work in the database goes on.
fn upgrade(session: &Session) -> Result<(), Error> {
    let conn = Connection::Postgres(session);
    let version = number(&conn, "schema")?;
    let steps = usize::try_from(version - 1).ok().and_then(|done| DELTAS.get(done..)).unwrap_or_default();
    let Some(least) = steps.iter().map(|delta| delta.least).max() else { return Ok(()) };
    session.batch("SET LOCAL statement_timeout = 0")?;
    for delta in steps {
        session.batch(delta.sql)?;
    }
    meta::put(&conn, "schema", &VERSION.to_string())?;
    meta::put(&conn, "schema_least", &least.to_string())
}

fn compatible(conn: &Connection<'_>) -> Result<(), Error> {
    let (version, least) = (number(conn, "schema")?, number(conn, "schema_least")?);
    let beside = version > VERSION && (1..=VERSION).contains(&least);
    if version == VERSION || beside {
        return Ok(());
    }
    let advice = if version > VERSION { "use the newer discuno" } else { "`discuno serve` brings it there" };
    Err(Error::Illegal(format!("the database has schema {version} and this program knows {VERSION}: {advice}")))
}

fn number(conn: &Connection<'_>, key: &str) -> Result<i64, Error> {
    Ok(meta::get(conn, key)?.and_then(|text| text.parse().ok()).unwrap_or_default())
}

//! Brings a database to the schema of this program, and keeps what it was made for.

use rusqlite::{Connection, OptionalExtension, Row};

use crate::store::error::Error;

const SCHEMA: &str = include_str!("../../../schema.sql");

/// What brings a database of each older version to the next; the first one starts at version 1. Whoever changes
/// `schema.sql` adds one, and keeps a database of the version before in `tests/fixtures/databases`.
const DELTAS: [&str; 5] = [
    include_str!("deltas/2.sql"),
    include_str!("deltas/3.sql"),
    include_str!("deltas/4.sql"),
    include_str!("deltas/5.sql"),
    include_str!("deltas/6.sql"),
];

/// The `user_version` of `schema.sql`.
pub(super) const VERSION: i64 = 6;

/// How many of the tables a file has that every version of the schema has had, and is to keep: by them it is known as ours.
const KNOWN_BY: &str = "SELECT count(*) FROM sqlite_schema WHERE type = 'table' AND name IN \
    ('meta', 'payments', 'events', 'runs', 'attempts', 'refunds')";
const KNOWN_TABLES: i64 = 6;

/// Makes the schema in an empty file, or brings an older one to it, in one transaction. `keep` is told the older version
/// before anything is changed, when nobody else can write. Refuses a file of a newer program, or one that is not ours.
pub(super) fn run(conn: &Connection, keep: impl FnOnce(i64) -> Result<(), Error>) -> Result<(), Error> {
    // A table that is made anew keeps its name for those that point to it.
    conn.execute_batch("PRAGMA foreign_keys = OFF; PRAGMA legacy_alter_table = ON; BEGIN IMMEDIATE")?;
    let outcome = bring_up(conn, keep);
    conn.execute_batch(if outcome.is_ok() { "COMMIT" } else { "ROLLBACK" })?;
    conn.execute_batch("PRAGMA legacy_alter_table = OFF; PRAGMA foreign_keys = ON")?;
    outcome
}

fn bring_up(conn: &Connection, keep: impl FnOnce(i64) -> Result<(), Error>) -> Result<(), Error> {
    if is_blank(conn)? {
        conn.execute_batch(SCHEMA)?;
        tracing::info!(tag = "Store", event = "database_made", file = conn.path());
        return Ok(conn.pragma_update(None, "user_version", VERSION)?);
    }
    check_known(conn)?;
    match version(conn)? {
        VERSION => Ok(()),
        older => {
            keep(older)?;
            upgrade(conn, older)
        }
    }
}

fn upgrade(conn: &Connection, from: i64) -> Result<(), Error> {
    let steps = usize::try_from(from - 1).ok().and_then(|done| DELTAS.get(done..));
    for delta in steps.unwrap_or_default() {
        conn.execute_batch(delta)?;
    }
    let wrong = missing(conn)?.into_iter().chain(lost(conn)?).next();
    if let Some(wrong) = wrong {
        return Err(Error::Corrupt(format!(
            "schema {from} could not be brought to {VERSION}: {wrong}; nothing was changed"
        )));
    }
    Ok(conn.pragma_update(None, "user_version", VERSION)?)
}

/// The version of the file's schema; none has been made yet if it is 0.
pub(super) fn version(conn: &Connection) -> Result<i64, Error> {
    Ok(conn.prepare_cached("PRAGMA user_version")?.query_row([], |row| row.get(0))?)
}

/// Whether nothing has been made in the file, by anybody.
fn is_blank(conn: &Connection) -> Result<bool, Error> {
    let objects: i64 = conn.query_row("SELECT count(*) FROM sqlite_schema", [], |row| row.get(0))?;
    Ok(objects == 0 && version(conn)? == 0)
}

/// Whether it was a discuno that made the file: any program may have given it a number.
pub(super) fn is_ours(conn: &Connection) -> Result<bool, Error> {
    let known: i64 = conn.query_row(KNOWN_BY, [], |row| row.get(0))?;
    Ok(known == KNOWN_TABLES)
}

/// Refuses what another program has made.
pub(super) fn check_not_foreign(conn: &Connection) -> Result<(), Error> {
    if is_ours(conn)? || is_blank(conn)? { Ok(()) } else { Err(not_ours()) }
}

/// Whether the file is of this program's schema.
pub(super) fn check(conn: &Connection) -> Result<(), Error> {
    if is_ours(conn)? { check_version(conn) } else { Err(not_ours()) }
}

/// The same of a file that is known to be ours.
pub(super) fn check_version(conn: &Connection) -> Result<(), Error> {
    match version(conn)? {
        VERSION => Ok(()),
        0 => Err(not_ours()),
        older @ 1..VERSION => Err(Error::Illegal(format!(
            "the database has schema {older} and this program knows {VERSION}: `discuno db migrate` brings it there"
        ))),
        other => Err(newer(other)),
    }
}

/// The same, but an older one will do.
pub(super) fn check_known(conn: &Connection) -> Result<(), Error> {
    if is_ours(conn)? && (1..VERSION).contains(&version(conn)?) { Ok(()) } else { check(conn) }
}

fn not_ours() -> Error {
    Error::Illegal("the file is not a discuno database: it is left as it is".to_owned())
}

fn newer(version: i64) -> Error {
    Error::Illegal(format!("the database has schema {version} and this program knows {VERSION}: use the newer discuno"))
}

/// What `schema.sql` has and the file has not, in words.
pub(super) fn missing(conn: &Connection) -> Result<Vec<String>, Error> {
    let (ours, theirs) = (fresh()?, objects(conn)?);
    let missing = ours.iter().filter(|object| !theirs.contains(object));
    Ok(missing.map(|(name, _)| format!("{name} is not as the schema has it")).collect())
}

/// What the file has and `schema.sql` has not, in words.
pub(super) fn foreign(conn: &Connection) -> Result<Vec<String>, Error> {
    let (ours, theirs) = (fresh()?, objects(conn)?);
    let foreign = theirs.iter().filter(|(name, _)| !ours.iter().any(|(known, _)| known == name));
    Ok(foreign.map(|(name, _)| format!("{name} is not of the schema")).collect())
}

/// Rows that point to one that is not there, in words.
pub(super) fn lost(conn: &Connection) -> Result<Vec<String>, Error> {
    let mut statement = conn.prepare("PRAGMA foreign_key_check")?;
    let lost = statement.query_map([], |row| {
        let (table, parent): (String, String) = (row.get(0)?, row.get(2)?);
        Ok(format!("a row of {table} points to a row of {parent} that is not there"))
    })?;
    Ok(lost.collect::<Result<_, _>>()?)
}

/// Everything that a schema is made of: its name, and the statement that made it, its words apart by one space each.
type Objects = Vec<(String, String)>;

fn objects(conn: &Connection) -> Result<Objects, Error> {
    let sql = "SELECT name, sql FROM sqlite_schema WHERE sql IS NOT NULL AND name NOT LIKE 'sqlite_%' ORDER BY name";
    let mut statement = conn.prepare(sql)?;
    let object = |row: &Row<'_>| {
        let sql: String = row.get(1)?;
        Ok((row.get(0)?, sql.split_whitespace().collect::<Vec<_>>().join(" ")))
    };
    Ok(statement.query_map([], object)?.collect::<Result<_, _>>()?)
}

fn fresh() -> Result<Objects, Error> {
    let conn = Connection::open_in_memory()?;
    conn.execute_batch(SCHEMA)?;
    objects(&conn)
}

const GET: &str = "SELECT value FROM meta WHERE key = ?1";
const PUT: &str = "INSERT INTO meta (key, value) VALUES (?1, ?2)";

/// Remembers whether the database holds test or live money, and refuses the other kind ever after.
pub(super) fn bind_mode(conn: &Connection, mode: &str) -> Result<(), Error> {
    let known: Option<String> = conn.query_row(GET, ["mode"], |row| row.get(0)).optional()?;
    match known {
        None => conn.execute(PUT, ["mode", mode]).map(drop).map_err(Error::from),
        Some(known) if known == mode => Ok(()),
        Some(known) => Err(Error::Illegal(format!(
            "the database holds {known} payments and the configuration is for {mode}: use a database of its own"
        ))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_version_but_the_first_has_a_delta() {
        assert_eq!(usize::try_from(VERSION), Ok(1 + DELTAS.len()));
    }
}

//! Brings a database to the schema of this program, and keeps what it was made for.

use rusqlite::{Connection, OptionalExtension};

use crate::store::error::Error;

const SCHEMA: &str = include_str!("../../../schema.sql");

/// The `user_version` of `schema.sql`.
pub(super) const VERSION: i64 = 3;

/// Makes the schema in an empty file; refuses a file of a newer program, or one that is not ours.
pub(super) fn run(conn: &Connection) -> Result<(), Error> {
    conn.execute_batch("BEGIN IMMEDIATE")?;
    let outcome = bring_up(conn);
    conn.execute_batch(if outcome.is_ok() { "COMMIT" } else { "ROLLBACK" })?;
    outcome
}

fn bring_up(conn: &Connection) -> Result<(), Error> {
    let version: i64 = conn.query_row("PRAGMA user_version", [], |row| row.get(0))?;
    match version {
        VERSION => Ok(()),
        0 => {
            let tables: i64 = conn.query_row("SELECT count(*) FROM sqlite_schema", [], |row| row.get(0))?;
            if tables > 0 {
                return Err(Error::Corrupt("the file holds another program's tables".to_owned()));
            }
            conn.execute_batch(SCHEMA)?;
            conn.pragma_update(None, "user_version", VERSION)?;
            Ok(())
        }
        other => Err(foreign(other)),
    }
}

/// Whether the file is of this program's schema.
pub(super) fn check(conn: &Connection) -> Result<(), Error> {
    match conn.query_row("PRAGMA user_version", [], |row| row.get(0))? {
        VERSION => Ok(()),
        0 => Err(Error::Corrupt("the file is not a discuno database".to_owned())),
        other => Err(foreign(other)),
    }
}

/// No released program wrote an older one.
fn foreign(version: i64) -> Error {
    let advice = if version > VERSION { "use the newer discuno" } else { "it was never released: begin a new file" };
    Error::Illegal(format!("the database has schema {version} and this program knows {VERSION}: {advice}"))
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

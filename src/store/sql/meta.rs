//! What a database keeps of itself: a few words, each by its name.

use crate::store::error::Error;
use crate::store::sql::connection::{Connection, OptionalExtension};

const GET: &str = "SELECT value FROM meta WHERE key = ?1";
const PUT: &str =
    "INSERT INTO meta (key, value) VALUES (?1, ?2) ON CONFLICT (key) DO UPDATE SET value = excluded.value";
const CLEAR: &str = "DELETE FROM meta WHERE key = ?1";

pub(in crate::store) fn get(conn: &Connection<'_>, key: &str) -> Result<Option<String>, Error> {
    Ok(conn.prepare_cached(GET)?.query_row([key], |found| found.get(0)).optional()?)
}

/// Whatever it was before.
pub(in crate::store) fn put(conn: &Connection<'_>, key: &str, value: &str) -> Result<(), Error> {
    conn.prepare_cached(PUT)?.execute([key, value])?;
    Ok(())
}

pub(super) fn clear(conn: &Connection<'_>, key: &str) -> Result<(), Error> {
    conn.prepare_cached(CLEAR)?.execute([key])?;
    Ok(())
}

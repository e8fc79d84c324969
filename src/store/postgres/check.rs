//! Holds what a server has against the schema of this program.

use crate::store::error::Error;
use crate::store::postgres::address::Address;
use crate::store::postgres::session::Session;
use crate::store::postgres::{apart, migrate};
use crate::store::sql::Connection;

/// Every rule with its text, whose names of tables do not say in which schema they are.
const OBJECTS: &str = "\
  SELECT 'column ' || c.relname || '.' || a.attname, format_type(a.atttypid, a.atttypmod) || CASE WHEN a.attnotnull THEN ' not null' ELSE '' END \
    FROM pg_attribute a JOIN pg_class c ON c.oid = a.attrelid \
    WHERE c.relnamespace = current_schema()::regnamespace AND c.relkind = 'r' AND a.attnum > 0 AND NOT a.attisdropped \
  UNION ALL SELECT 'rule ' || c.relname || '.' || r.conname, pg_get_constraintdef(r.oid) \
    FROM pg_constraint r JOIN pg_class c ON c.oid = r.conrelid WHERE r.connamespace = current_schema()::regnamespace \
  UNION ALL SELECT 'index ' || indexname, replace(indexdef, current_schema() || '.', '') \
    FROM pg_indexes WHERE schemaname = current_schema() \
  UNION ALL SELECT 'trigger ' || c.relname || '.' || t.tgname, replace(pg_get_triggerdef(t.oid), current_schema() || '.', '') || CAST(t.tgenabled AS TEXT) \
    FROM pg_trigger t JOIN pg_class c ON c.oid = t.tgrelid \
    WHERE c.relnamespace = current_schema()::regnamespace AND NOT t.tgisinternal \
  UNION ALL SELECT 'function ' || p.proname, p.prosrc FROM pg_proc p WHERE p.pronamespace = current_schema()::regnamespace \
  UNION ALL SELECT 'invalid ' || c.relname, 'index' FROM pg_index i JOIN pg_class c ON c.oid = i.indexrelid \
    WHERE c.relnamespace = current_schema()::regnamespace AND NOT i.indisvalid";

/// What is not as the schema has it, in words.
pub fn check(address: &Address) -> Result<Vec<String>, Error> {
    apart(|| {
        let session = Session::open(address)?;
        let theirs = objects(&session)?;
        // Made beside it and never committed: so both are told of in the server's own words.
        session.batch("BEGIN; CREATE SCHEMA discuno_check; SET LOCAL search_path = discuno_check").map_err(refused)?;
        session.batch(migrate::SCHEMA)?;
        let ours = objects(&session)?;
        session.batch("ROLLBACK")?;
        let missing = ours.iter().filter(|object| !theirs.contains(object));
        let mut found: Vec<String> = missing.map(|(name, _)| format!("{name} is not as the schema has it")).collect();
        let foreign = theirs.iter().filter(|(name, _)| !ours.iter().any(|(known, _)| known == name));
        found.extend(foreign.map(|(name, _)| format!("{name} is not of the schema")));
        found.sort();
        Ok(found)
    })
}

fn refused(error: Error) -> Error {
    match error {
        Error::Backend(said) => Error::Illegal(format!(
            "{said}: the schema is held against one that is made beside it and never kept; ask as a role that may make one"
        )),
        other => other,
    }
}

fn objects(session: &Session) -> Result<Vec<(String, String)>, Error> {
    let mut statement = Connection::Postgres(session).prepare_cached(OBJECTS)?;
    let rows = statement.query_map((), |row| Ok((row.get(0)?, row.get(1)?)))?;
    Ok(rows.collect::<Result<_, _>>()?)
}

//! What is refused for want of the right secret: a few short rows of `meta`, one for each provider and each source.

use std::time::Duration;

use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::model::event::Source;
use crate::model::refusal::{RefusedKey, RefusedSignatures};
use crate::model::time::Timestamp;
use crate::store::alerts::{KeySeen, Refused};
use crate::store::error::Error;
use crate::store::sql::connection::Connection;
use crate::store::sql::{meta, row};

const KEYS: &str = "SELECT value FROM meta WHERE key LIKE 'refused_key/%' ORDER BY key";

/// Every provider is asked every day: a refusal that is older is of a provider that is not in use any more.
const FORGOTTEN: Duration = Duration::from_hours(26);

pub(super) fn read(conn: &Connection<'_>, now: Timestamp) -> Result<Refused, Error> {
    let mut keys = Vec::new();
    for value in conn.prepare_cached(KEYS)?.query_map((), |found| found.get::<String>(0))? {
        keys.extend(serde_json::from_str::<RefusedKey>(&value?).ok());
    }
    keys.retain(|key| now.since(key.last) <= FORGOTTEN);
    let mut signatures = Vec::new();
    for &source in Source::ALL {
        let mut refused = of_source(conn, source)?;
        refused.forget(now);
        if !refused.is_empty() {
            signatures.push((source, refused));
        }
    }
    Ok(Refused { keys, signatures })
}

pub(super) fn note(
    conn: &Connection<'_>,
    keys: &[KeySeen],
    signatures: &[(Source, RefusedSignatures)],
    now: Timestamp,
) -> Result<(), Error> {
    // Every process has seen its own part.
    conn.lock_name("refused")?;
    for seen in keys {
        note_key(conn, seen, now)?;
    }
    for (source, more) in signatures {
        let mut refused = of_source(conn, *source)?;
        refused.add(more);
        refused.forget(now);
        put(conn, &format!("refused_signatures/{source}"), &refused)?;
    }
    Ok(())
}

fn note_key(conn: &Connection<'_>, seen: &KeySeen, now: Timestamp) -> Result<(), Error> {
    let (KeySeen::Refused(RefusedKey { provider, .. }) | KeySeen::Taken { provider, .. }) = seen;
    let name = format!("refused_key/{provider}");
    let known: Option<RefusedKey> = get(conn, &name)?;
    let known = known.filter(|known| now.since(known.last) <= FORGOTTEN);
    match (seen, known) {
        (KeySeen::Refused(new), known) => {
            let since = known.map_or(new.since, |known| known.since.min(new.since));
            put(conn, &name, &RefusedKey { since, ..new.clone() })
        }
        // Another process was refused after this one was not.
        (KeySeen::Taken { at, .. }, Some(known)) if *at < known.last => Ok(()),
        (KeySeen::Taken { .. }, _) => meta::clear(conn, &name),
    }
}

fn of_source(conn: &Connection<'_>, source: Source) -> Result<RefusedSignatures, Error> {
    Ok(get(conn, &format!("refused_signatures/{source}"))?.unwrap_or_default())
}

/// What cannot be read is as good as forgotten.
fn get<T: DeserializeOwned>(conn: &Connection<'_>, name: &str) -> Result<Option<T>, Error> {
    Ok(meta::get(conn, name)?.and_then(|value| serde_json::from_str(&value).ok()))
}

fn put(conn: &Connection<'_>, name: &str, value: &impl Serialize) -> Result<(), Error> {
    meta::put(conn, name, &row::to_json(value)?)
}

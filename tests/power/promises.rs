//! What the store has said is on disk, and whether it is.

use std::path::Path;

use discuno::store::sqlite::Mode;
use rusqlite::Connection;

use crate::Machine;
use crate::{block_on, subjects};

/// Something that the store has answered `Ok` to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Kept {
    /// This arrival, with its payment and its run.
    Arrival(String),
    /// This step of the run with this key.
    Step(String, String),
    /// The end of the run with this key.
    End(String),
}

/// Something kept, and how many operations the disk had done when the store said so.
#[derive(Debug, Clone)]
pub(crate) struct Promise {
    pub(crate) kept: Kept,
    pub(crate) after: usize,
}

/// What is wrong with the database on the machine's disk; nothing if it holds these, is whole, and can be worked on.
pub(crate) fn broken(machine: &Machine, promised: &[&Kept]) -> Vec<String> {
    let store = match machine.store(Mode::Inline) {
        Ok(store) => store,
        Err(error) => return vec![format!("it cannot be opened: {error}")],
    };
    let mut wrong = wrong_in(&machine.db(), promised).unwrap_or_else(|error| vec![error.to_string()]);
    if let Err(error) = block_on(store.ingest(subjects::paid("afterwards"), crate::conformance::NOW)) {
        wrong.push(format!("nothing can be written: {error}"));
    }
    wrong
}

fn wrong_in(db: &Path, promised: &[&Kept]) -> rusqlite::Result<Vec<String>> {
    let file = Connection::open(db)?;
    let mut wrong = Vec::new();
    let verdict: String = file.query_row("PRAGMA integrity_check", [], |row| row.get(0))?;
    if verdict != "ok" {
        wrong.push(verdict);
    }
    for kept in promised {
        if !is_there(&file, kept)? {
            wrong.push(format!("{kept:?} was promised and is lost"));
        }
    }
    // Each of the three came with the other two, or none of them did.
    let halves: i64 = file.query_row(
        "SELECT (SELECT count(*) FROM events WHERE external_id LIKE 'evt_paid%' AND payment_id IS NULL)
              + (SELECT count(*) FROM payments p WHERE NOT EXISTS (SELECT 1 FROM events WHERE payment_id = p.id))
              + (SELECT count(*) FROM payments p WHERE NOT EXISTS (SELECT 1 FROM runs WHERE payment_id = p.id))",
        [],
        |row| row.get(0),
    )?;
    if halves > 0 {
        wrong.push(format!("{halves} halves of a transaction"));
    }
    Ok(wrong)
}

pub(crate) fn is_there(file: &Connection, kept: &Kept) -> rusqlite::Result<bool> {
    let count: i64 = match kept {
        Kept::Arrival(name) => {
            let sql = "SELECT count(*) FROM events WHERE external_id = 'evt_' || ?1";
            file.prepare_cached(sql)?.query_row([name], |row| row.get(0))?
        }
        Kept::Step(run, step) => {
            let sql = "SELECT count(*) FROM attempts a JOIN runs r ON r.id = a.run_id WHERE r.key = ?1 AND a.step = ?2";
            file.prepare_cached(sql)?.query_row([run, step], |row| row.get(0))?
        }
        Kept::End(run) => {
            let sql = "SELECT count(*) FROM runs WHERE key = ?1 AND state = 'succeeded'";
            file.prepare_cached(sql)?.query_row([run], |row| row.get(0))?
        }
    };
    Ok(count > 0)
}

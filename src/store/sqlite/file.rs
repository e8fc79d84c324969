//! The database as a file: copied while it is in use, put back, looked over.

use std::fs::File;
use std::path::{Path, PathBuf};

use rusqlite::Connection;
use rusqlite::backup::Backup;

use crate::store::error::Error;
use crate::store::sqlite::{connection, migrate};

/// Copies the database to a new file while others read and write it. What was committed before it began is in the copy;
/// when it returns the copy is on disk.
pub fn backup(db: &Path, to: &Path) -> Result<(), Error> {
    let source = connection::reader(db)?;
    migrate::check(&source)?;
    if to.exists() {
        return Err(Error::Illegal(format!("{} is there already: nothing was overwritten", to.display())));
    }
    let unfinished = unfinished(to);
    let copied = copy(&source, &unfinished).and_then(|()| {
        let file = File::open(&unfinished).map_err(|error| full(&unfinished, &error))?;
        file.sync_all().map_err(|error| full(&unfinished, &error))?;
        std::fs::rename(&unfinished, to).map_err(|error| full(to, &error))
    });
    if copied.is_err() {
        let _ = std::fs::remove_file(&unfinished);
    }
    copied
}

/// Puts a backup in the place of the database. What was there is kept under the name that is returned. Processes that run
/// on it go on with what the backup holds: whatever they were about to record for runs it does not know is refused.
pub fn restore(backup_file: &Path, db: &Path, stamp: &str) -> Result<Option<PathBuf>, Error> {
    let source = connection::reader(backup_file)?;
    migrate::check(&source)?;
    let damage = damage(&source)?;
    if !damage.is_empty() {
        return Err(Error::Corrupt(format!("{} is damaged: {}", backup_file.display(), damage.join("; "))));
    }
    let kept = db.exists().then(|| with_suffix(db, &format!(".before-{stamp}")));
    if let Some(kept) = &kept {
        backup(db, kept)?;
    }
    let mut target = connection::writer(db)?;
    run(&source, &mut target)?;
    Ok(kept)
}

/// What is wrong with the file, in words; nothing if it is whole and of this program's schema.
pub fn check(db: &Path) -> Result<Vec<String>, Error> {
    let conn = connection::reader(db)?;
    migrate::check(&conn)?;
    let mut found = damage(&conn)?;
    let fresh = Connection::open_in_memory()?;
    migrate::run(&fresh)?;
    let objects = |conn: &Connection| -> Result<Vec<(String, String)>, Error> {
        let sql =
            "SELECT name, sql FROM sqlite_schema WHERE sql IS NOT NULL AND name NOT LIKE 'sqlite_%' ORDER BY name";
        let mut statement = conn.prepare(sql)?;
        Ok(statement.query_map([], |row| Ok((row.get(0)?, row.get(1)?)))?.collect::<Result<_, _>>()?)
    };
    let (ours, theirs) = (objects(&fresh)?, objects(&conn)?);
    let missing = ours.iter().filter(|object| !theirs.contains(object));
    found.extend(missing.map(|(name, _)| format!("{name} is not as the schema has it")));
    let foreign = theirs.iter().filter(|(name, _)| !ours.iter().any(|(known, _)| known == name));
    found.extend(foreign.map(|(name, _)| format!("{name} is not of the schema")));
    Ok(found)
}

/// Gives the disk what deleted rows have left.
pub fn vacuum(db: &Path) -> Result<(), Error> {
    let conn = connection::writer(db)?;
    Ok(conn.execute_batch("VACUUM; PRAGMA wal_checkpoint(TRUNCATE);")?)
}

fn damage(conn: &Connection) -> Result<Vec<String>, Error> {
    let mut statement = conn.prepare("PRAGMA integrity_check(20)")?;
    let mut found: Vec<String> = statement.query_map([], |row| row.get(0))?.collect::<Result<_, _>>()?;
    found.retain(|line| line != "ok");
    let mut statement = conn.prepare("PRAGMA foreign_key_check")?;
    let lost = statement.query_map([], |row| {
        let (table, parent): (String, String) = (row.get(0)?, row.get(2)?);
        Ok(format!("a row of {table} points to a row of {parent} that is not there"))
    })?;
    for line in lost {
        found.push(line?);
    }
    Ok(found)
}

fn copy(source: &Connection, to: &Path) -> Result<(), Error> {
    let mut target = connection::writer(to)?;
    run(source, &mut target)?;
    // A file of its own, without a log beside it.
    let mode: String = target.query_row("PRAGMA journal_mode = DELETE", [], |row| row.get(0))?;
    if mode == "delete" { Ok(()) } else { Err(Error::Backend("the copy kept its log".to_owned())) }
}

/// All pages at once: one snapshot, whatever is written meanwhile.
fn run(source: &Connection, target: &mut Connection) -> Result<(), Error> {
    let backup = Backup::new(source, target)?;
    match backup.step(-1)? {
        rusqlite::backup::StepResult::Done => Ok(()),
        _ => Err(Error::Busy),
    }
}

/// Bytes in the log beside the database.
pub(super) fn log_bytes(path: &Path) -> u64 {
    std::fs::metadata(with_suffix(path, "-wal")).map_or(0, |found| found.len())
}

fn unfinished(to: &Path) -> PathBuf {
    with_suffix(to, ".unfinished")
}

fn with_suffix(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(suffix);
    PathBuf::from(name)
}

fn full(path: &Path, error: &std::io::Error) -> Error {
    Error::Full(format!("{}: {error}", path.display()))
}

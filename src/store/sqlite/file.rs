//! The database as a file: copied while it is in use, put back, looked over.

use std::fs::File;
use std::path::{Path, PathBuf};

use rusqlite::Connection;
use rusqlite::backup::Backup;

use crate::model::time::Timestamp;
use crate::owner::{self, Owner};
use crate::store::error::Error;
use crate::store::order::Order;
use crate::store::sql;
use crate::store::sql::operate::operate;
use crate::store::sqlite::{agreement, connection, migrate};

/// Copies the database to a new file while others read and write it. What was committed before it began is in the copy;
/// when it returns the copy is on disk.
pub fn backup(db: &Path, to: &Path) -> Result<(), Error> {
    let source = connection::looker(db)?;
    migrate::check_known(&source)?;
    copy(&source, to)
}

/// Brings a file that is there to this program's schema. Says where the copy is that was made before, if one was needed.
pub fn upgrade(db: &Path) -> Result<Option<PathBuf>, Error> {
    there(db)?;
    migrate(db)
}

/// The same, and makes the file if there is none.
pub(super) fn migrate(db: &Path) -> Result<Option<PathBuf>, Error> {
    let conn = connection::writer(db)?;
    let mut kept = None;
    migrate::run(&conn, |version| {
        let to = free(db, &format!(".schema-{version}"));
        copy(&connection::reader(db)?, &to)?;
        tracing::warn!(
            tag = "Store",
            event = "database_upgrade",
            from = version,
            to = migrate::VERSION,
            copy = %to.display(),
        );
        kept = Some(to);
        Ok(())
    })?;
    Ok(kept)
}

/// The name under which a restore keeps what was there.
pub fn kept_as(db: &Path, stamp: &str) -> PathBuf {
    with_suffix(db, &format!(".before-{stamp}"))
}

/// Puts a backup in the place of the database, with `orders` already carried out on it: nobody ever sees it without them. What
/// was there is kept as `kept`, byte by byte if it is damaged. Processes that run on it go on with what the backup holds: whatever
/// they were about to record for runs it does not know is refused.
pub fn restore(backup_file: &Path, db: &Path, kept: &Path, orders: Vec<Order>, now: Timestamp) -> Result<(), Error> {
    let source = connection::looker(backup_file)?;
    migrate::check_known(&source)?;
    let damage = damage(&source)?;
    if !damage.is_empty() {
        return Err(Error::Corrupt(format!("{} is damaged: {}", backup_file.display(), damage.join("; "))));
    }
    let staging = with_suffix(db, ".restoring");
    remove(&staging);
    let restored = prepare(&source, &staging, orders, now).and_then(|staged| take_place(&staged, db, kept));
    remove(&staging);
    restored
}

/// Nobody writes between the copy of what was there and the moment when it is gone: what was acknowledged is in one of the two.
fn take_place(staged: &Connection, db: &Path, kept: &Path) -> Result<(), Error> {
    let turn = connection::lock_file(db);
    let _ = turn.as_ref().map(File::lock);
    if db.exists() {
        match backup(db, kept) {
            Err(Error::Corrupt(_)) => set_aside(db, kept)?,
            copied => copied?,
        }
    }
    run(staged, &mut connection::writer(db)?)
}

/// The backup as it is to be, in a file of its own and of this program's schema.
fn prepare(source: &Connection, staging: &Path, orders: Vec<Order>, now: Timestamp) -> Result<Connection, Error> {
    fill(source, staging)?;
    let staged = connection::writer(staging)?;
    migrate::run(&staged, |_| Ok(()))?;
    staged.execute_batch("BEGIN IMMEDIATE")?;
    for order in &orders {
        operate(&sql::Connection::Sqlite(&staged), order, now)?;
    }
    staged.execute_batch("COMMIT")?;
    Ok(staged)
}

/// A file that cannot be read as a database, moved away with its log. An empty one of the same owner takes its place.
fn set_aside(db: &Path, kept: &Path) -> Result<(), Error> {
    let owner = std::fs::metadata(db).map(|found| Owner::of(&found)).ok();
    for suffix in ["-wal", "-shm", ""] {
        let from = with_suffix(db, suffix);
        if from.exists() {
            std::fs::rename(&from, with_suffix(kept, suffix)).map_err(|error| full(&from, &error))?;
        }
    }
    owner::create(db, owner).map(drop).map_err(|error| full(db, &error))
}

/// What is wrong with the file, in words; nothing if it is whole and of the schema that it says.
pub fn check(db: &Path) -> Result<Vec<String>, Error> {
    let conn = connection::looker(db)?;
    migrate::check_known(&conn)?;
    let mut found = damage(&conn)?;
    if migrate::version(&conn)? == migrate::VERSION {
        found.extend(migrate::missing(&conn)?);
        found.extend(migrate::foreign(&conn)?);
        found.extend(agreement::disagreements(&conn)?);
    }
    Ok(found)
}

/// Whether there is such a file.
pub(super) fn there(db: &Path) -> Result<(), Error> {
    if db.is_dir() {
        return Err(Error::Illegal("it is a directory".to_owned()));
    }
    if !db.is_file() {
        return Err(Error::NotFound(
            "such file: `discuno serve` makes it, and --db or DISCUNO_DB says where".to_owned(),
        ));
    }
    Ok(())
}

/// Gives the disk what deleted rows have left.
pub fn vacuum(db: &Path) -> Result<(), Error> {
    let conn = connection::writer(db)?;
    Ok(conn.execute_batch("VACUUM; PRAGMA wal_checkpoint(TRUNCATE);")?)
}

pub(super) fn damage(conn: &Connection) -> Result<Vec<String>, Error> {
    let mut statement = conn.prepare("PRAGMA integrity_check(20)")?;
    let mut found: Vec<String> = statement.query_map([], |row| row.get(0))?.collect::<Result<_, _>>()?;
    found.retain(|line| line != "ok");
    found.extend(migrate::lost(conn)?);
    Ok(found)
}

/// A file of its own, without a log beside it, on disk when this returns.
fn copy(source: &Connection, to: &Path) -> Result<(), Error> {
    if to.exists() {
        return Err(Error::Illegal(format!("{} is there already: nothing was overwritten", to.display())));
    }
    let unfinished = with_suffix(to, ".unfinished");
    // Of a copy that was killed.
    remove(&unfinished);
    let copied = fill(source, &unfinished).and_then(|()| {
        let file = File::open(&unfinished).map_err(|error| full(&unfinished, &error))?;
        file.sync_all().map_err(|error| full(&unfinished, &error))?;
        std::fs::rename(&unfinished, to).and_then(|()| sync_folder(to)).map_err(|error| full(to, &error))
    });
    if copied.is_err() {
        remove(&unfinished);
    }
    copied
}

fn fill(source: &Connection, to: &Path) -> Result<(), Error> {
    let mut target = connection::writer(to)?;
    run(source, &mut target)?;
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

/// The first name that no file has: an older copy is never lost to a newer one.
fn free(path: &Path, suffix: &str) -> PathBuf {
    let first = with_suffix(path, suffix);
    let others = (2..u32::MAX).map(|number| with_suffix(path, &format!("{suffix}.{number}")));
    std::iter::once(first.clone()).chain(others).find(|name| !name.exists()).unwrap_or(first)
}

/// Without it the new name may be gone after a power cut.
fn sync_folder(path: &Path) -> std::io::Result<()> {
    File::open(owner::folder(path))?.sync_all()
}

/// Takes away what was begun, with its log.
fn remove(path: &Path) {
    for suffix in ["", "-wal", "-shm"] {
        let _ = std::fs::remove_file(with_suffix(path, suffix));
    }
}

fn with_suffix(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(suffix);
    PathBuf::from(name)
}

fn full(path: &Path, error: &std::io::Error) -> Error {
    Error::Full(format!("{}: {error}", path.display()))
}

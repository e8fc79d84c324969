//! Opens connections with the pragmas that the promises of the store rest on.

use std::fs::File;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use rusqlite::config::DbConfig;
use rusqlite::{Connection, ErrorCode, OpenFlags};
use url::Url;

use crate::owner;
use crate::store::BUSY_TIMEOUT;
use crate::store::error::Error;
use crate::store::sqlite::{file, migrate};

/// The first SQLite release without the WAL-reset race, by which a commit could be lost when another connection
/// was at its checkpoint (sqlite.org/wal.html, "The WAL-Reset Bug").
const OLDEST_SQLITE: i32 = 3_051_003;

pub(super) fn writer(path: &Path) -> Result<Connection, Error> {
    check_version(rusqlite::version_number())?;
    if path.as_os_str() != ":memory:" {
        // Made by us first, so that nobody else can read it from its first moment. A file that is there is never opened here: closing it
        // would drop the locks that SQLite holds on it for this process, and whoever closes it next would delete the log under us
        // (sqlite.org/howtocorrupt.html, 2.2).
        match owner::create(path, None) {
            Err(error) if error.kind() != ErrorKind::AlreadyExists => return Err(cannot_open(path, &error)),
            _ => {}
        }
    }
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_CREATE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let conn = Connection::open_with_flags(path, flags)?;
    harden(&conn)?;
    check_owner(&conn)?;
    let journal: String = conn.query_row("PRAGMA journal_mode = WAL", [], |row| row.get(0))?;
    if !matches!(journal.as_str(), "wal" | "memory") {
        return Err(Error::Backend(format!("the file system of {} cannot hold a WAL database", path.display())));
    }
    conn.execute_batch(
        "PRAGMA synchronous = FULL; PRAGMA foreign_keys = ON; PRAGMA trusted_schema = OFF; PRAGMA cell_size_check = ON;\
         PRAGMA wal_autocheckpoint = 10000; PRAGMA cache_size = -8000;",
    )?;
    let synchronous: i64 = conn.query_row("PRAGMA synchronous", [], |row| row.get(0))?;
    if synchronous != 2 {
        return Err(Error::Backend("SQLite did not take synchronous=FULL".to_owned()));
    }
    conn.set_prepared_statement_cache_capacity(128);
    Ok(conn)
}

pub(super) fn reader(path: &Path) -> Result<Connection, Error> {
    open_reader(path, OpenFlags::empty())
}

fn open_reader(path: &Path, more: OpenFlags) -> Result<Connection, Error> {
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX | more;
    let conn = Connection::open_with_flags(path, flags)?;
    harden(&conn)?;
    conn.execute_batch("PRAGMA query_only = ON; PRAGMA trusted_schema = OFF; PRAGMA cell_size_check = ON;")?;
    conn.set_prepared_statement_cache_capacity(64);
    Ok(conn)
}

/// For who only looks, wherever the file is. What was written in WAL mode is read with the help of a file beside it; where none can be
/// made and nothing is in the log, the file alone is all there is and is read as one that nobody changes.
pub(super) fn looker(path: &Path) -> Result<Connection, Error> {
    let conn = reader(path)?;
    let read = conn.query_row("SELECT count(*) FROM sqlite_schema", [], |_| Ok(()));
    let code = read.err().and_then(|error| error.sqlite_error_code());
    if !matches!(code, Some(ErrorCode::CannotOpen | ErrorCode::ReadOnly)) {
        return Ok(conn);
    }
    if file::log_bytes(path) > 0 {
        return Err(Error::Illegal(
            "it has a log beside it, which cannot be read where nothing can be written: copy both to where it can"
                .to_owned(),
        ));
    }
    open_reader(&unchanging(path)?, OpenFlags::SQLITE_OPEN_URI)
}

/// The file's address for SQLite, as one that nobody changes.
fn unchanging(path: &Path) -> Result<PathBuf, Error> {
    let whole = std::path::absolute(path).map_err(|error| cannot_open(path, &error))?;
    let address = Url::from_file_path(whole);
    let mut address = address.map_err(|()| Error::Backend(format!("{} has no address", path.display())))?;
    address.set_query(Some("immutable=1"));
    Ok(PathBuf::from(address.as_str()))
}

/// Another program's file is as it was once we have looked at it: what its log holds stays there too.
fn check_owner(conn: &Connection) -> Result<(), Error> {
    conn.set_db_config(DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, true)?;
    migrate::check_not_foreign(conn)?;
    conn.set_db_config(DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, false)?;
    Ok(())
}

/// What a damaged or forged file says of itself is not believed.
fn harden(conn: &Connection) -> Result<(), Error> {
    conn.busy_timeout(BUSY_TIMEOUT)?;
    conn.set_db_config(DbConfig::SQLITE_DBCONFIG_DEFENSIVE, true)?;
    // A plan does not depend on what is bound: else each `LIMIT ?` is prepared anew whenever it is run.
    conn.set_db_config(DbConfig::SQLITE_DBCONFIG_ENABLE_QPSG, true)?;
    Ok(())
}

/// The file whose lock gives processes their turn at writing; none where it cannot be made.
pub(super) fn lock_file(path: &Path) -> Option<File> {
    let mut name = path.as_os_str().to_owned();
    name.push(".lock");
    owner::open(Path::new(&name), None).ok()
}

fn check_version(version: i32) -> Result<(), Error> {
    if version < OLDEST_SQLITE {
        return Err(Error::Backend(format!(
            "SQLite {version} can lose commits; {OLDEST_SQLITE} (3.51.3) or newer is needed"
        )));
    }
    Ok(())
}

fn cannot_open(path: &Path, error: &std::io::Error) -> Error {
    Error::Full(format!("could not open {}: {error}", path.display()))
}

impl From<rusqlite::Error> for Error {
    fn from(error: rusqlite::Error) -> Self {
        match error.sqlite_error_code() {
            Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked) => Self::Busy,
            Some(ErrorCode::DiskFull | ErrorCode::ReadOnly | ErrorCode::CannotOpen | ErrorCode::SystemIoFailure) => {
                Self::Full(error.to_string())
            }
            Some(ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase) => Self::Corrupt(error.to_string()),
            _ => Self::Backend(error.to_string()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_bundled_sqlite_has_the_wal_reset_fix_and_an_older_one_is_refused() {
        assert!(check_version(rusqlite::version_number()).is_ok(), "{}", rusqlite::version());
        assert!(check_version(3_050_002).is_err());
    }

    #[test]
    fn what_the_promises_rest_on_is_in_force_on_every_connection() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("d.db");
        let writer = writer(&path).unwrap();
        let (reader, looker) = (reader(&path).unwrap(), looker(&path).unwrap());
        let number = |conn: &Connection, name: &str| {
            conn.query_row(&format!("PRAGMA {name}"), [], |row| row.get::<_, i64>(0)).unwrap()
        };
        assert_eq!((number(&writer, "synchronous"), number(&writer, "foreign_keys")), (2, 1));
        for conn in [&writer, &reader, &looker] {
            assert_eq!((number(conn, "trusted_schema"), number(conn, "cell_size_check")), (0, 1));
            assert!(conn.db_config(DbConfig::SQLITE_DBCONFIG_DEFENSIVE).unwrap());
            let why = conn.query_row("SELECT load_extension('x')", [], |_| Ok(())).unwrap_err().to_string();
            assert!(why.contains("not authorized") || why.contains("no such function"), "{why}");
        }
        for conn in [&reader, &looker] {
            assert!(conn.execute_batch("CREATE TABLE t (x)").is_err(), "it can write");
        }
    }
}

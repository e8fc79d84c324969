//! The store on one SQLite file: WAL, `synchronous=FULL`, one writing thread with group commit.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Once, Weak};
use std::time::Duration;

use tokio::sync::watch;

use crate::observe::metrics::Metrics;
use crate::store::error::Error;
use crate::store::sql::{Backend, Connection, fence};
use crate::store::sqlite::executor::Executor;

mod agreement;
mod connection;
mod executor;
pub mod file;
mod migrate;
mod network;
mod turn;

pub use crate::store::sqlite::executor::Mode;

/// How often another process's commits are looked for.
const WATCH: Duration = Duration::from_millis(20);

/// One database file.
#[derive(Clone)]
pub struct Sqlite {
    path: PathBuf,
    mode: Mode,
    executor: Executor,
    watching: Arc<Once>,
}

impl Sqlite {
    /// Opens the file, or makes it, and brings it to this program's schema; an older one is copied first. `money` says
    /// whether it is for `test` or `live` payments, and is remembered: the other kind is refused from then on.
    pub fn open(path: &Path, mode: Mode, money: &str) -> Result<Self, Error> {
        Self::metered(path, mode, money, Metrics::default())
    }

    /// The same, with its commits counted and timed.
    pub fn metered(path: &Path, mode: Mode, money: &str, metrics: Metrics) -> Result<Self, Error> {
        network::check(path)?;
        file::migrate(path)?;
        let conn = connection::writer(path)?;
        fence::check(&Connection::Sqlite(&conn))?;
        migrate::bind_mode(&conn, money)?;
        drop(conn);
        let executor = Executor::open(path, mode, metrics)?;
        Ok(Self { path: path.to_owned(), mode, executor, watching: Arc::new(Once::new()) })
    }

    /// A database in memory, for simulation: verbs run on the caller's thread, and [`forget`](Self::forget) empties it.
    pub fn in_memory(money: &str) -> Result<Self, Error> {
        let path = PathBuf::from(":memory:");
        let conn = connection::writer(&path)?;
        migrate::run(&conn, |_| Ok(()))?;
        migrate::bind_mode(&conn, money)?;
        let executor = Executor::in_memory(conn)?;
        Ok(Self { path, mode: Mode::Inline, executor, watching: Arc::new(Once::new()) })
    }

    /// Makes a database in memory as it was when it was opened.
    pub fn forget(&self) -> Result<(), Error> {
        self.executor.forget()
    }

    /// What is wrong with it, in words: [`file::check`] for a database in memory.
    pub fn damage(&self) -> Result<Vec<String>, Error> {
        self.executor.look(file::damage)
    }

    /// How much a database in memory takes.
    pub fn bytes(&self) -> Result<u64, Error> {
        self.executor.look(|conn| {
            let read = |pragma: &str| conn.prepare_cached(pragma)?.query_row([], |row| row.get::<_, i64>(0));
            Ok((read("PRAGMA page_count")? * read("PRAGMA page_size")?).unsigned_abs())
        })
    }

    /// Opens a file that is there and of this program's schema, whichever money it holds; makes and changes nothing.
    pub fn existing(path: &Path, mode: Mode) -> Result<Self, Error> {
        file::there(path)?;
        network::check(path)?;
        let conn = connection::reader(path)?;
        migrate::check(&conn)?;
        fence::check(&Connection::Sqlite(&conn))?;
        let executor = Executor::open(path, mode, Metrics::default())?;
        Ok(Self { path: path.to_owned(), mode, executor, watching: Arc::new(Once::new()) })
    }

    /// The same only to look at it, wherever it is: nothing can be written.
    pub fn looking(path: &Path, mode: Mode) -> Result<Self, Error> {
        file::there(path)?;
        let conn = connection::looker(path)?;
        migrate::check(&conn)?;
        fence::check(&Connection::Sqlite(&conn))?;
        let executor = Executor::looking(path, mode)?;
        Ok(Self { path: path.to_owned(), mode, executor, watching: Arc::new(Once::new()) })
    }

    /// Opens a file whose data was moved away.
    pub fn closed(path: &Path, mode: Mode) -> Result<Self, Error> {
        file::there(path)?;
        migrate::check(&connection::reader(path)?)?;
        let executor = Executor::open(path, mode, Metrics::default())?;
        Ok(Self { path: path.to_owned(), mode, executor, watching: Arc::new(Once::new()) })
    }

    /// Removes a file into which a copy was made that did not end. Whether it was one.
    pub fn discard_unfinished(path: &Path) -> Result<bool, Error> {
        if !path.is_file() {
            return Ok(false);
        }
        let conn = connection::reader(path)?;
        if !migrate::is_ours(&conn)? || !fence::is_filling(&Connection::Sqlite(&conn))? {
            return Ok(false);
        }
        drop(conn);
        for suffix in ["", "-wal", "-shm", ".lock"] {
            let mut name = path.as_os_str().to_owned();
            name.push(suffix);
            match std::fs::remove_file(&name) {
                Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                    return Err(Error::Full(format!("could not remove {}: {error}", name.display())));
                }
                _ => {}
            }
        }
        Ok(true)
    }

    /// Starts to look for commits of other processes; the first call counts.
    fn watch_other_processes(&self) {
        if self.mode == Mode::Inline {
            return;
        }
        self.watching.call_once(|| {
            let (path, changes) = (self.path.clone(), Arc::downgrade(self.executor.changes()));
            let started =
                std::thread::Builder::new().name("store-watch".to_owned()).spawn(move || watch(&path, &changes));
            if let Err(error) = started {
                tracing::warn!(tag = "Store", event = "store_watch_failed", error = %error);
            }
        });
    }
}

fn watch(path: &Path, changes: &Weak<watch::Sender<u64>>) {
    let Ok(conn) = connection::reader(path) else { return };
    let mut seen = 0_i64;
    while let Some(changes) = changes.upgrade() {
        let version =
            conn.prepare_cached("PRAGMA data_version").and_then(|mut pragma| pragma.query_row([], |row| row.get(0)));
        if let Ok(version) = version
            && version != seen
        {
            seen = version;
            changes.send_modify(|count| *count += 1);
        }
        drop(changes);
        std::thread::sleep(WATCH);
    }
}

impl Backend for Sqlite {
    async fn in_transaction<T, F>(&self, work: F) -> Result<T, Error>
    where
        T: Send + 'static,
        F: Fn(&Connection<'_>) -> Result<T, Error> + Send + 'static,
    {
        self.executor.write(work).await
    }

    async fn in_snapshot<T, F>(&self, work: F) -> Result<T, Error>
    where
        T: Send + 'static,
        F: Fn(&Connection<'_>) -> Result<T, Error> + Send + 'static,
    {
        self.executor.read(work).await
    }

    fn wake_ups(&self) -> Arc<watch::Sender<u64>> {
        self.watch_other_processes();
        Arc::clone(self.executor.changes())
    }

    fn log_bytes(&self) -> u64 {
        file::log_bytes(&self.path)
    }
}

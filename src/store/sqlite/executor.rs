//! Runs closures on SQLite connections: grouped into commits by one writing thread, or inline for simulation.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError, mpsc};

use rusqlite::Connection;
use tokio::sync::watch;
use tokio::time::Instant;

use crate::observe::metrics::Metrics;
use crate::store::BUSY_TIMEOUT;
use crate::store::error::Error;
use crate::store::sql;
use crate::store::sql::job::{Job, spawn, submit};
use crate::store::sqlite::turn::Turn;
use crate::store::sqlite::{connection, migrate};

/// At most this many jobs share one commit.
const GROUP: usize = 256;

/// After this many jobs the log is copied into the database, by a thread of its own so that commits do not wait for it.
const CHECKPOINT_AFTER: usize = 500;

/// How the closures are run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    /// One writing thread with group commit and two reading threads.
    Threads,
    /// On the caller's thread, one commit each: a paused clock must not run ahead while another thread works.
    Inline,
}

/// The connections and who runs them.
#[derive(Clone)]
pub(super) struct Executor {
    inner: Inner,
    changes: Arc<watch::Sender<u64>>,
}

#[derive(Clone)]
enum Inner {
    /// Without a writer, only to be looked at.
    Threads {
        writer: Option<mpsc::Sender<Box<dyn Job>>>,
        reader: mpsc::Sender<Box<dyn Job>>,
    },
    Inline(Arc<Mutex<Connection>>, Nesting),
}

/// What a write transaction is, where it runs on the caller's thread.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Nesting {
    /// A transaction of its own.
    Whole,
    /// A savepoint of the one transaction that [`Executor::forget`] takes back.
    Inner,
}

impl Executor {
    pub(super) fn open(path: &Path, mode: Mode, metrics: Metrics) -> Result<Self, Error> {
        let changes = Arc::new(watch::Sender::new(0));
        let inner = match mode {
            Mode::Inline => Inner::Inline(Arc::new(Mutex::new(connection::writer(path)?)), Nesting::Whole),
            Mode::Threads => {
                let (writer, jobs) = mpsc::channel();
                let (checkpoints, asked) = mpsc::sync_channel(1);
                let group = Group::open(path, Arc::clone(&changes), checkpoints, metrics)?;
                spawn("store-writer", move || group.serve(&jobs))?;
                let conn = connection::writer(path)?;
                spawn("store-checkpoint", move || checkpoint(&conn, &asked))?;
                Inner::Threads { writer: Some(writer), reader: readers(|| connection::reader(path))? }
            }
        };
        Ok(Self { inner, changes })
    }

    /// Nothing can be written by it.
    pub(super) fn looking(path: &Path, mode: Mode) -> Result<Self, Error> {
        let inner = match mode {
            Mode::Inline => Inner::Inline(Arc::new(Mutex::new(connection::looker(path)?)), Nesting::Whole),
            Mode::Threads => Inner::Threads { writer: None, reader: readers(|| connection::looker(path))? },
        };
        Ok(Self { inner, changes: Arc::new(watch::Sender::new(0)) })
    }

    /// On a database in memory that is ready for use.
    pub(super) fn in_memory(conn: Connection) -> Result<Self, Error> {
        begin(&conn)?;
        let inner = Inner::Inline(Arc::new(Mutex::new(conn)), Nesting::Inner);
        Ok(Self { inner, changes: Arc::new(watch::Sender::new(0)) })
    }

    /// Takes back all that was written to a database in memory. Statements stay prepared, which is what costs.
    pub(super) fn forget(&self) -> Result<(), Error> {
        if let Inner::Inline(conn, Nesting::Inner) = &self.inner {
            let conn = conn.lock().unwrap_or_else(PoisonError::into_inner);
            rollback(&conn)?;
            begin(&conn)?;
        }
        Ok(())
    }

    /// Looks at a database in memory.
    pub(super) fn look<T>(&self, look: impl FnOnce(&Connection) -> Result<T, Error>) -> Result<T, Error> {
        match &self.inner {
            Inner::Inline(conn, _) => look(&conn.lock().unwrap_or_else(PoisonError::into_inner)),
            Inner::Threads { .. } => Err(Error::Closed),
        }
    }

    pub(super) fn changes(&self) -> &Arc<watch::Sender<u64>> {
        &self.changes
    }

    /// Runs `work` in a write transaction; `Ok` means that it is on disk.
    pub(super) async fn write<T, F>(&self, work: F) -> Result<T, Error>
    where
        T: Send + 'static,
        F: Fn(&sql::Connection<'_>) -> Result<T, Error> + Send + 'static,
    {
        match &self.inner {
            Inner::Threads { writer: Some(writer), .. } => submit(writer, work).await,
            Inner::Threads { writer: None, .. } => {
                Err(Error::Illegal("the database was opened only to be looked at".to_owned()))
            }
            Inner::Inline(conn, nesting) => {
                let conn = conn.lock().unwrap_or_else(PoisonError::into_inner);
                let result = match nesting {
                    Nesting::Whole => {
                        begin(&conn)?;
                        let result = work(&sql::Connection::Sqlite(&conn));
                        if result.is_ok() { commit(&conn) } else { rollback(&conn) }?;
                        result
                    }
                    Nesting::Inner => {
                        run(&conn, "SAVEPOINT job")?;
                        let result = work(&sql::Connection::Sqlite(&conn));
                        if result.is_err() {
                            run(&conn, "ROLLBACK TO job")?;
                        }
                        run(&conn, "RELEASE job")?;
                        result
                    }
                };
                drop(conn);
                self.changes.send_modify(|count| *count += 1);
                result
            }
        }
    }

    /// Runs `work` on a consistent snapshot.
    pub(super) async fn read<T, F>(&self, work: F) -> Result<T, Error>
    where
        T: Send + 'static,
        F: Fn(&sql::Connection<'_>) -> Result<T, Error> + Send + 'static,
    {
        match &self.inner {
            Inner::Threads { reader, .. } => submit(reader, work).await,
            Inner::Inline(conn, _) => {
                let conn = conn.lock().unwrap_or_else(PoisonError::into_inner);
                work(&sql::Connection::Sqlite(&conn))
            }
        }
    }
}

/// Two threads that read.
fn readers(open: impl Fn() -> Result<Connection, Error>) -> Result<mpsc::Sender<Box<dyn Job>>, Error> {
    let (reader, jobs) = mpsc::channel::<Box<dyn Job>>();
    let jobs = Arc::new(Mutex::new(jobs));
    for name in ["store-reader-1", "store-reader-2"] {
        let (conn, jobs) = (open()?, Arc::clone(&jobs));
        spawn(name, move || read(&conn, &jobs))?;
    }
    Ok(reader)
}

fn read(conn: &Connection, jobs: &Mutex<mpsc::Receiver<Box<dyn Job>>>) {
    loop {
        let job = jobs.lock().unwrap_or_else(PoisonError::into_inner).recv();
        let Ok(mut job) = job else { return };
        let began = conn.execute_batch("BEGIN").map_err(Error::from);
        if began.is_ok() {
            job.run(&sql::Connection::Sqlite(conn));
            let _ = conn.execute_batch("ROLLBACK");
        }
        job.answer(began);
    }
}

/// Commits go on meanwhile. What they add is left to the next turn, or to the writer once the log has grown too long.
fn checkpoint(conn: &Connection, asked: &mpsc::Receiver<()>) {
    while asked.recv().is_ok() {
        if let Err(error) = conn.query_row("PRAGMA wal_checkpoint(PASSIVE)", [], |_| Ok(())) {
            tracing::warn!(tag = "Store", event = "checkpoint_failed", error = %error);
        }
    }
}

/// The writing thread: takes what waits, gives each its savepoint, commits once, then answers everyone.
struct Group {
    path: PathBuf,
    conn: Connection,
    /// Taken before each transaction.
    turn: Option<Turn>,
    changes: Arc<watch::Sender<u64>>,
    checkpoints: mpsc::SyncSender<()>,
    metrics: Metrics,
    jobs_since_checkpoint: usize,
}

impl Group {
    fn open(
        path: &Path,
        changes: Arc<watch::Sender<u64>>,
        checkpoints: mpsc::SyncSender<()>,
        metrics: Metrics,
    ) -> Result<Self, Error> {
        let (conn, turn) = (connection::writer(path)?, Turn::at(path)?);
        Ok(Self { path: path.to_owned(), conn, turn, changes, checkpoints, metrics, jobs_since_checkpoint: 0 })
    }

    fn serve(mut self, jobs: &mpsc::Receiver<Box<dyn Job>>) {
        while let Ok(first) = jobs.recv() {
            let mut group = vec![first];
            if self.turn.as_ref().is_some_and(|turn| !turn.take(BUSY_TIMEOUT)) {
                refuse(group, jobs);
                continue;
            }
            group.extend(jobs.try_iter().take(GROUP - 1));
            let start = Instant::now();
            let outcome = self.transact(&mut group);
            self.metrics.committed(u32::try_from(group.len()).unwrap_or(u32::MAX), start.elapsed());
            if let Some(turn) = &self.turn {
                turn.pass();
            }
            if matches!(outcome, Err(Error::Busy)) {
                refuse(group, jobs);
                continue;
            }
            if outcome.is_ok() {
                self.changes.send_modify(|count| *count += 1);
            }
            self.jobs_since_checkpoint += group.len();
            for job in group {
                job.answer(outcome.clone());
            }
            if self.jobs_since_checkpoint >= CHECKPOINT_AFTER {
                // One that is still at it will be asked again soon.
                let _ = self.checkpoints.try_send(());
                self.jobs_since_checkpoint = 0;
            }
            if matches!(outcome, Err(Error::CommitUnknown(_) | Error::Full(_) | Error::Corrupt(_))) {
                self.reopen();
            }
        }
    }

    fn transact(&self, group: &mut [Box<dyn Job>]) -> Result<(), Error> {
        begin(&self.conn)?;
        for job in group.iter_mut() {
            let ended = run(&self.conn, "SAVEPOINT job").and_then(|()| {
                if !job.run(&sql::Connection::Sqlite(&self.conn)) {
                    run(&self.conn, "ROLLBACK TO job")?;
                }
                run(&self.conn, "RELEASE job")
            });
            if let Err(error) = ended {
                let _ = rollback(&self.conn);
                return Err(error);
            }
        }
        commit(&self.conn)
    }

    /// After an I/O error a connection's view of the file is not to be trusted: it is replaced.
    fn reopen(&mut self) {
        match connection::writer(&self.path) {
            Ok(conn) => self.conn = conn,
            Err(error) => {
                tracing::error!(tag = "Store", event = "store_reopen_failed", critical = true, error = %error);
            }
        }
    }
}

/// Nobody waits longer than once for whoever holds the lock: those that came meanwhile are refused with those that waited.
fn refuse(waited: Vec<Box<dyn Job>>, jobs: &mpsc::Receiver<Box<dyn Job>>) {
    for job in waited.into_iter().chain(jobs.try_iter()) {
        job.answer(Err(Error::Busy));
    }
}

fn run(conn: &Connection, statement: &str) -> Result<(), Error> {
    conn.prepare_cached(statement)?.execute([])?;
    Ok(())
}

/// A program that has been left behind by a newer one writes no more.
fn begin(conn: &Connection) -> Result<(), Error> {
    run(conn, "BEGIN IMMEDIATE")?;
    migrate::check_version(conn).inspect_err(|_| {
        let _ = rollback(conn);
    })
}

fn commit(conn: &Connection) -> Result<(), Error> {
    let outcome = conn.prepare_cached("COMMIT").and_then(|mut statement| statement.execute([]));
    match outcome {
        Ok(_) => Ok(()),
        Err(error) => {
            let definite = matches!(
                error.sqlite_error_code(),
                Some(rusqlite::ErrorCode::DatabaseBusy | rusqlite::ErrorCode::DiskFull | rusqlite::ErrorCode::ReadOnly)
            );
            if rollback(conn).is_err() || !definite {
                return Err(Error::CommitUnknown(error.to_string()));
            }
            Err(error.into())
        }
    }
}

fn rollback(conn: &Connection) -> Result<(), Error> {
    if conn.is_autocommit() { Ok(()) } else { conn.execute_batch("ROLLBACK").map_err(Error::from) }
}

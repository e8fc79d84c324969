//! The store on a PostgreSQL server, shared by any number of processes on any number of machines.
//!
//! Verbs are those of `store::sql`, run on threads that each hold a connection. Why they are safe under many writers at
//! READ COMMITTED is said in `sql::locks`; what the server itself forbids is in `schema.postgres.sql`.

use std::sync::{Arc, Once};

use tokio::sync::watch;

use crate::observe::metrics::Metrics;
use crate::store::error::Error;
use crate::store::postgres::executor::Executor;
use crate::store::sql::{Backend, Connection};

pub mod address;
pub mod check;
mod executor;
mod listen;
mod migrate;
pub(in crate::store) mod session;
mod tls;

pub use crate::store::postgres::address::Address;
pub use crate::store::postgres::session::Session;

/// How the verbs are run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    /// On threads, each with a connection.
    Threads {
        /// How many write, each with group commit.
        writers: usize,
        /// How many read.
        readers: usize,
    },
    /// One after the other while the caller's thread stands still: a paused clock must not run ahead meanwhile.
    Inline,
}

impl Mode {
    /// What one process usually needs.
    pub const USUAL: Self = Self::Threads { writers: 2, readers: 2 };
}

/// One database.
#[derive(Clone)]
pub struct Postgres {
    address: Address,
    mode: Mode,
    executor: Executor,
    listening: Arc<Once>,
}

impl Postgres {
    /// Opens the database and brings it to this program's schema. `money` says whether it is for `test` or `live`
    /// payments, and is remembered: the other kind is refused from then on.
    pub fn open(address: &Address, mode: Mode, money: &str) -> Result<Self, Error> {
        Self::metered(address, mode, money, Metrics::default())
    }

    /// The same, with its commits counted and timed.
    pub fn metered(address: &Address, mode: Mode, money: &str, metrics: Metrics) -> Result<Self, Error> {
        apart(|| migrate::run(address, money))?;
        Self::with(address, mode, metrics)
    }

    /// Opens a database that is of this program's schema, whichever money it holds; makes and changes nothing.
    pub fn existing(address: &Address, mode: Mode) -> Result<Self, Error> {
        apart(|| migrate::check(address))?;
        Self::with(address, mode, Metrics::default())
    }

    /// Opens a database whose data was moved away.
    pub fn closed(address: &Address, mode: Mode) -> Result<Self, Error> {
        Self::with(address, mode, Metrics::default())
    }

    /// Drops what a copy has left that did not end. Whether there was any.
    pub fn discard_unfinished(address: &Address) -> Result<bool, Error> {
        apart(|| migrate::discard_unfinished(address))
    }

    fn with(address: &Address, mode: Mode, metrics: Metrics) -> Result<Self, Error> {
        let executor = Executor::open(address, mode, &metrics)?;
        Ok(Self { address: address.clone(), mode, executor, listening: Arc::new(Once::new()) })
    }
}

/// Runs it on a thread of its own: a session waits, which tasks must not.
fn apart<T: Send>(work: impl FnOnce() -> Result<T, Error> + Send) -> Result<T, Error> {
    let stopped = || Error::Backend("a thread of the store ended by itself".to_owned());
    std::thread::scope(|scope| scope.spawn(work).join().unwrap_or_else(|_| Err(stopped())))
}

impl Backend for Postgres {
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
        let changes = self.executor.changes();
        if self.mode != Mode::Inline {
            self.listening.call_once(|| listen::start(&self.address, changes));
        }
        Arc::clone(changes)
    }
}

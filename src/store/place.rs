//! Where a store is kept, and the store that is kept there.

use std::fmt;
use std::path::Path;
use std::sync::Arc;

use tokio::sync::watch;

use crate::observe::metrics::Metrics;
use crate::store::error::Error;
use crate::store::postgres::{self, Address, Postgres};
use crate::store::sql::{Backend, Connection};
use crate::store::sqlite::{self, Sqlite};

/// Where a store is kept.
#[derive(Debug, Clone, Copy)]
pub enum Place<'a> {
    /// In a file, for the processes of one machine.
    File(&'a Path),
    /// On a server, for any number of machines.
    Server(&'a Address),
}

impl fmt::Display for Place<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File(path) => write!(f, "{}", path.display()),
            Self::Server(address) => write!(f, "{address}"),
        }
    }
}

/// A store of either kind.
pub enum Kept {
    /// In a file.
    File(Sqlite),
    /// On a server.
    Server(Postgres),
}

impl Kept {
    /// Opens it, or makes it, for `money`, with its commits counted and timed.
    pub fn open(place: Place<'_>, mode: sqlite::Mode, money: &str, metrics: Metrics) -> Result<Self, Error> {
        match place {
            Place::File(path) => Sqlite::metered(path, mode, money, metrics).map(Self::File),
            Place::Server(address) => {
                Postgres::metered(address, on_server(mode, address), money, metrics).map(Self::Server)
            }
        }
    }

    /// Opens what is there; makes and changes nothing.
    pub fn existing(place: Place<'_>, mode: sqlite::Mode) -> Result<Self, Error> {
        match place {
            Place::File(path) => Sqlite::existing(path, mode).map(Self::File),
            Place::Server(address) => Postgres::existing(address, on_server(mode, address)).map(Self::Server),
        }
    }

    /// The same only to look at it: a file may be where nothing can be written.
    pub fn looking(place: Place<'_>, mode: sqlite::Mode) -> Result<Self, Error> {
        match place {
            Place::File(path) => Sqlite::looking(path, mode).map(Self::File),
            Place::Server(_) => Self::existing(place, mode),
        }
    }

    /// Opens what is there although its data was moved away.
    pub fn closed(place: Place<'_>, mode: sqlite::Mode) -> Result<Self, Error> {
        match place {
            Place::File(path) => Sqlite::closed(path, mode).map(Self::File),
            Place::Server(address) => Postgres::closed(address, on_server(mode, address)).map(Self::Server),
        }
    }

    /// Takes away what a copy has left that did not end. Whether there was any.
    pub fn discard_unfinished(place: Place<'_>) -> Result<bool, Error> {
        match place {
            Place::File(path) => Sqlite::discard_unfinished(path),
            Place::Server(address) => Postgres::discard_unfinished(address),
        }
    }
}

/// How it runs on a server what runs on a file in this way.
fn on_server(mode: sqlite::Mode, address: &Address) -> postgres::Mode {
    match mode {
        sqlite::Mode::Inline => postgres::Mode::Inline,
        sqlite::Mode::Threads => {
            let writers = address.connections() / 2;
            postgres::Mode::Threads { writers, readers: address.connections() - writers }
        }
    }
}

impl Backend for Kept {
    async fn in_transaction<T, F>(&self, work: F) -> Result<T, Error>
    where
        T: Send + 'static,
        F: Fn(&Connection<'_>) -> Result<T, Error> + Send + 'static,
    {
        match self {
            Self::File(store) => store.in_transaction(work).await,
            Self::Server(store) => store.in_transaction(work).await,
        }
    }

    async fn in_snapshot<T, F>(&self, work: F) -> Result<T, Error>
    where
        T: Send + 'static,
        F: Fn(&Connection<'_>) -> Result<T, Error> + Send + 'static,
    {
        match self {
            Self::File(store) => store.in_snapshot(work).await,
            Self::Server(store) => store.in_snapshot(work).await,
        }
    }

    fn wake_ups(&self) -> Arc<watch::Sender<u64>> {
        match self {
            Self::File(store) => store.wake_ups(),
            Self::Server(store) => store.wake_ups(),
        }
    }

    fn log_bytes(&self) -> u64 {
        match self {
            Self::File(store) => store.log_bytes(),
            Self::Server(store) => store.log_bytes(),
        }
    }
}

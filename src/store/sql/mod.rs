//! The verbs of the store in SQL, written once: both engines run the same text over `Connection`, and differ only in
//! how they run it. What is spelt differently is spelt so that both read it; what one engine gets from having a single
//! writer the other is told by locks (`Connection::lock_payment` and its neighbours, which cost SQLite nothing).

use std::sync::Arc;

use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use tokio::sync::watch;

use crate::store::Store;
use crate::store::error::Error;

mod acts;
mod again;
mod alerts;
mod apply;
mod column;
mod connection;
pub mod copy;
pub mod fence;
mod hours;
mod inbox;
pub(in crate::store) mod job;
mod ledger;
mod levels;
mod lists;
mod locks;
pub(in crate::store) mod meta;
pub(in crate::store) mod operate;
mod queue;
mod refused;
mod row;
mod status;
mod views;

pub(in crate::store) use crate::store::sql::column::Column;
pub(in crate::store) use crate::store::sql::connection::{Connection, Fault};

/// An engine that can run the verbs.
pub trait Backend: Send + Sync + 'static {
    /// Runs `work` in a write transaction; `Ok` means that it is on disk. It may be run again where nothing of it was
    /// kept.
    fn in_transaction<T, F>(&self, work: F) -> impl Future<Output = Result<T, Error>> + Send
    where
        T: Send + 'static,
        F: Fn(&Connection<'_>) -> Result<T, Error> + Send + 'static;

    /// Runs `work` on a consistent snapshot.
    fn in_snapshot<T, F>(&self, work: F) -> impl Future<Output = Result<T, Error>> + Send
    where
        T: Send + 'static,
        F: Fn(&Connection<'_>) -> Result<T, Error> + Send + 'static;

    /// Changes whenever runs may have become due.
    fn wake_ups(&self) -> Arc<watch::Sender<u64>>;

    /// Bytes in a log beside the database, where there is one.
    fn log_bytes(&self) -> u64 {
        0
    }
}

const TOUCH: &str = "INSERT INTO meta (key, value) VALUES ('probe', '1') \
     ON CONFLICT (key) DO UPDATE SET value = CAST(CAST(meta.value AS BIGINT) + 1 AS TEXT)";

impl<B: Backend> Store for B {
    fn is_writable(&self) -> BoxFuture<'_, Result<(), Error>> {
        self.in_transaction(|conn| Ok(conn.prepare_cached(TOUCH)?.execute(()).map(drop)?)).boxed()
    }
}

//! The store on one SQLite file: WAL, `synchronous=FULL`, one writing thread with group commit.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Once, Weak};
use std::time::Duration;

use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use tokio::sync::watch;

use crate::observe::metrics::Metrics;
use crate::store::Store;
use crate::store::error::Error;
use crate::store::sqlite::executor::Executor;

mod acts;
mod alerts;
mod apply;
mod connection;
mod executor;
pub mod file;
mod inbox;
mod ledger;
mod levels;
mod lists;
mod migrate;
mod operate;
mod queue;
mod row;
mod status;
mod views;

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
        file::migrate(path)?;
        migrate::bind_mode(&connection::writer(path)?, money)?;
        let executor = Executor::open(path, mode, metrics)?;
        Ok(Self { path: path.to_owned(), mode, executor, watching: Arc::new(Once::new()) })
    }

    /// Opens a file that is there and of this program's schema, whichever money it holds; makes and changes nothing.
    pub fn existing(path: &Path, mode: Mode) -> Result<Self, Error> {
        file::there(path)?;
        migrate::check(&connection::reader(path)?)?;
        let executor = Executor::open(path, mode, Metrics::default())?;
        Ok(Self { path: path.to_owned(), mode, executor, watching: Arc::new(Once::new()) })
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

const TOUCH: &str =
    "INSERT INTO meta (key, value) VALUES ('probe', '1') ON CONFLICT (key) DO UPDATE SET value = value + 1";

impl Store for Sqlite {
    fn is_writable(&self) -> BoxFuture<'_, Result<(), Error>> {
        self.executor.write(|conn| Ok(conn.prepare_cached(TOUCH)?.execute([]).map(drop)?)).boxed()
    }
}

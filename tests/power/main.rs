//! Power cuts and failing writes, under the shipped store on a disk in memory.
//!
//! A small part of them runs with the other tests; `DISCUNO_POWER=1` tries every way at every operation, 2 every other way at each.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use discuno::model::time::Timestamp;
use discuno::store::Shared;
use discuno::store::sqlite::{Mode, Sqlite};
use discuno_vfs::{Disk, Files, Geometry};

mod cuts;
mod failures;
mod flips;
mod promises;
#[path = "../it/conformance/subjects.rs"]
#[expect(dead_code, reason = "the workloads need a part of it")]
mod subjects;
mod upgrades;
mod workloads;

/// What the subjects take for the present.
mod conformance {
    pub(crate) const NOW: super::Timestamp = super::Timestamp(1_793_872_800_000);
}

/// As SSDs write and as SQLite's own file systems assume; as old ones do; and without any promise about the neighbours.
const GEOMETRIES: [Geometry; 3] = [
    Geometry { sector: 4096, powersafe_overwrite: true },
    Geometry { sector: 512, powersafe_overwrite: true },
    Geometry { sector: 4096, powersafe_overwrite: false },
];

/// From one way that is tried to the next.
fn stride(usually: usize) -> usize {
    std::env::var("DISCUNO_POWER")
        .ok()
        .and_then(|asked| asked.parse().ok())
        .filter(|stride| *stride > 0)
        .unwrap_or(usually)
}

/// A folder whose disk can be taken out.
struct Machine {
    folder: tempfile::TempDir,
}

impl Machine {
    fn new() -> Self {
        discuno_vfs::install();
        Self { folder: tempfile::tempdir().unwrap() }
    }

    /// With this disk in.
    fn with(disk: &Disk) -> Self {
        let machine = Self::new();
        machine.insert(disk);
        machine
    }

    fn insert(&self, disk: &Disk) {
        discuno_vfs::mount(self.folder.path(), disk);
    }

    /// The one database on its disk.
    fn db(&self) -> PathBuf {
        self.folder.path().join("discuno.db")
    }

    /// Another folder's files, as they would be called here.
    fn renamed(&self, files: Files) -> Files {
        let here = |name: PathBuf| self.folder.path().join(name.file_name().unwrap());
        files.into_iter().map(|(name, bytes)| (here(name), bytes)).collect()
    }

    fn store(&self, mode: Mode) -> Result<Shared, discuno::store::error::Error> {
        Ok(Arc::new(Sqlite::open(&self.db(), mode, "test")?))
    }
}

impl Drop for Machine {
    fn drop(&mut self) {
        discuno_vfs::unmount(self.folder.path());
    }
}

/// A disk on which the database has been made, so that what is tried is the work on it.
fn made(geometry: Geometry) -> Files {
    let disk = Disk::new(geometry, BTreeMap::new());
    let machine = Machine::with(&disk);
    drop(machine.store(Mode::Inline).unwrap());
    disk.files().into_iter().map(|(name, bytes)| (Path::new("/made").join(name.file_name().unwrap()), bytes)).collect()
}

/// Has every core take the next of `count` until none is left.
fn on_every_core(count: usize, work: impl Fn(usize) + Sync) {
    let next = AtomicUsize::new(0);
    let cores = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    std::thread::scope(|scope| {
        for _ in 0..cores {
            scope.spawn(|| {
                while let Some(number) = Some(next.fetch_add(1, Ordering::Relaxed)).filter(|number| *number < count) {
                    work(number);
                }
            });
        }
    });
}

fn block_on<T>(work: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(work)
}

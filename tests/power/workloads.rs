//! What the store is at when it happens.

use std::path::Path;
use std::time::Duration;

use discuno::model::run::End;
use discuno::store::Shared;
use discuno::store::error::Error;
use discuno_vfs::Disk;
use futures_util::future::join_all;

use crate::conformance::NOW;
use crate::promises::{Kept, Promise};
use crate::subjects::{done, paid, task};

/// A kind of work.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Workload {
    /// Webhooks, some of them at once.
    Inbox,
    /// Runs, step by step to their ends.
    Steps,
    /// Both, while the log is copied into the database again and again.
    Checkpoints,
}

impl Workload {
    pub(crate) const ALL: [Self; 3] = [Self::Inbox, Self::Steps, Self::Checkpoints];
}

/// What came of it.
#[derive(Default)]
pub(crate) struct Work {
    pub(crate) promises: Vec<Promise>,
    /// What the store said it had not written.
    pub(crate) refused: Vec<Kept>,
}

impl Work {
    fn note<T>(&mut self, disk: &Disk, kept: Kept, answer: &Result<T, Error>) {
        match answer {
            Ok(_) => self.promises.push(Promise { kept, after: disk.recorded() }),
            Err(Error::CommitUnknown(_)) => {}
            Err(_) => self.refused.push(kept),
        }
    }
}

impl Workload {
    /// Does the work. What fails is left, and the rest is tried all the same.
    pub(crate) async fn run(self, store: &Shared, disk: &Disk, db: &Path) -> Work {
        let mut work = Work::default();
        match self {
            Self::Inbox => {
                for group in 0..8 {
                    arrive(store, disk, &mut work, group, 3).await;
                }
            }
            Self::Steps => {
                for number in 0..4 {
                    carry(store, disk, &mut work, number).await;
                }
            }
            Self::Checkpoints => {
                for number in 0..5 {
                    arrive(store, disk, &mut work, number, 2).await;
                    checkpoint(db, if number % 2 == 0 { "PASSIVE" } else { "TRUNCATE" });
                    carry(store, disk, &mut work, number).await;
                    checkpoint(db, "RESTART");
                }
            }
        }
        work
    }
}

async fn arrive(store: &Shared, disk: &Disk, work: &mut Work, group: usize, at_once: usize) {
    let names: Vec<String> = (0..at_once).map(|number| format!("paid_{group}_{number}")).collect();
    let answers = join_all(names.iter().map(|name| store.ingest(paid(name), NOW))).await;
    for (name, answer) in names.into_iter().zip(answers) {
        work.note(disk, Kept::Arrival(name), &answer);
    }
}

async fn carry(store: &Shared, disk: &Disk, work: &mut Work, number: usize) {
    let name = format!("task_{number}");
    let arrived = store.ingest(task(&name), NOW).await;
    work.note(disk, Kept::Arrival(name.clone()), &arrived);
    let Ok(claimed) = store.claim("power", 50, NOW, NOW.plus(Duration::from_secs(1))).await else { return };
    let Some(lease) = claimed.iter().find(|claimed| claimed.run.key == name).map(|claimed| claimed.lease) else {
        return;
    };
    for step in ["look", "book", "tell"] {
        let recorded = store.record(lease, done(step, 1, "\"done\""), vec![], NOW).await;
        work.note(disk, Kept::Step(name.clone(), step.to_owned()), &recorded);
    }
    let ended = store.finish(lease, End::Succeeded("as meant".to_owned()), NOW).await;
    work.note(disk, Kept::End(name), &ended);
}

/// As another process would, at the worst of times. That it cannot is no failure.
fn checkpoint(db: &Path, how: &str) {
    let Ok(file) = rusqlite::Connection::open(db) else { return };
    let _ = file.query_row(&format!("PRAGMA wal_checkpoint({how})"), [], |_| Ok(()));
}

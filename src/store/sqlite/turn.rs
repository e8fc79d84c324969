//! Processes take turns at writing, as the kernel has them wait: SQLite's own wait for its lock is unfair between them.

use std::fs::{File, TryLockError};
use std::path::Path;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError, mpsc};
use std::time::Duration;

use crate::store::error::Error;
use crate::store::sql::job::spawn;
use crate::store::sqlite::connection;

/// One process's place in the queue. A thread of its own stands in it, so that nobody else waits for ever where a holder stands still.
pub(super) struct Turn {
    lock: Arc<Lock>,
    ask: mpsc::Sender<()>,
}

struct Lock {
    file: File,
    place: Mutex<Place>,
    moved: Condvar,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Place {
    /// Nobody stands in the queue.
    Out,
    /// The thread does, and somebody waits for it.
    Waiting,
    /// The thread does, and nobody wants the turn any more.
    Forsaken,
    /// The thread got it, for whoever waits.
    Ours,
}

impl Turn {
    /// At the database at `path`; none where its lock file cannot be made: commits are merely unfair then.
    pub(super) fn at(path: &Path) -> Result<Option<Self>, Error> {
        let Some(file) = connection::lock_file(path) else { return Ok(None) };
        let (ask, asked) = mpsc::channel();
        let lock = Arc::new(Lock { file, place: Mutex::new(Place::Out), moved: Condvar::new() });
        let standing = Arc::clone(&lock);
        spawn("store-turn", move || {
            while asked.recv().is_ok() {
                standing.stand();
            }
        })?;
        Ok(Some(Self { lock, ask }))
    }

    /// Whether it was had within `patience`.
    pub(super) fn take(&self, patience: Duration) -> bool {
        let lock = &self.lock;
        let mut place = lock.place();
        if *place == Place::Out {
            match lock.file.try_lock() {
                Err(TryLockError::WouldBlock) => {}
                Ok(()) | Err(TryLockError::Error(_)) => return true,
            }
            let _ = self.ask.send(());
        }
        *place = Place::Waiting;
        let waits = |place: &mut Place| *place == Place::Waiting;
        let (mut place, _) =
            lock.moved.wait_timeout_while(place, patience, waits).unwrap_or_else(PoisonError::into_inner);
        let ours = *place == Place::Ours;
        *place = if ours { Place::Out } else { Place::Forsaken };
        ours
    }

    /// Lets the next one have it.
    pub(super) fn pass(&self) {
        let _ = self.lock.file.unlock();
    }
}

impl Lock {
    fn stand(&self) {
        let _ = self.file.lock();
        let mut place = self.place();
        if *place == Place::Forsaken {
            let _ = self.file.unlock();
            *place = Place::Out;
        } else {
            *place = Place::Ours;
            self.moved.notify_all();
        }
    }

    fn place(&self) -> MutexGuard<'_, Place> {
        self.place.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SOON: Duration = Duration::from_millis(20);
    const LATE: Duration = Duration::from_secs(30);

    #[test]
    fn whoever_has_given_up_does_not_keep_the_turn_and_may_come_again() {
        let dir = tempfile::tempdir().unwrap();
        let [first, second, third] = [(); 3].map(|()| Turn::at(&dir.path().join("db")).unwrap().unwrap());
        assert!(first.take(SOON));
        assert!(!second.take(SOON) && !second.take(SOON));
        first.pass();
        assert!(third.take(LATE), "the second has gone");
        assert!(!second.take(SOON));
        third.pass();
        assert!(second.take(LATE));
        second.pass();
        assert!(first.take(LATE));
    }
}

//! A store whose n-th write by a run goes wrong.

use std::sync::atomic::{AtomicI64, Ordering};

use discuno::sim::watched::{Verb, Watch, Watched};
use discuno::store::Shared;
use discuno::store::error::Error;

use crate::support::Trip;

/// Fails one write of the runs: before it is done, or after, when nobody is told that it is done.
pub(crate) struct Flaw {
    left: AtomicI64,
    trip: Trip,
}

/// A store with a flaw.
pub(crate) type Flaky = Watched<Flaw>;

impl Flaw {
    /// Fails the write numbered `write`.
    pub(crate) fn at(inner: Shared, write: i64, trip: Trip) -> Flaky {
        Watched::new(inner, Self { left: AtomicI64::new(write), trip })
    }

    /// Whether there were as many writes.
    pub(crate) fn tripped(&self) -> bool {
        self.left.load(Ordering::SeqCst) < 0
    }

    /// Whether this is the moment. A write is counted before it is done, and met again after it.
    fn is_met(&self, verb: Verb, trip: Trip) -> bool {
        verb.by_run && self.trip == trip && self.left.fetch_sub(1, Ordering::SeqCst) == 0
    }
}

impl Watch for Flaw {
    async fn before(&self, verb: Verb) -> Result<(), Error> {
        if self.is_met(verb, Trip::Before) { Err(Error::Full("the disk is full".to_owned())) } else { Ok(()) }
    }

    async fn after(&self, verb: Verb, refused: Option<&Error>) -> Result<(), Error> {
        if refused.is_none() && self.is_met(verb, Trip::After) {
            return Err(Error::CommitUnknown("the disk did not answer".to_owned()));
        }
        Ok(())
    }
}

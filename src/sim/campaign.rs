//! Many seeds, on several threads: each seed is one thread's business alone.

use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use tokio::time::Instant;

use crate::sim::coverage::Coverage;
use crate::sim::hub::lock;
use crate::sim::report::{Report, Violation};
use crate::sim::script::{Scope, Script};
use crate::sim::world::play;

/// Which seeds are gone through.
#[derive(Debug, Clone, Copy)]
pub struct Campaign {
    /// The first.
    pub first: u64,
    /// How many; none for as many as there is time for.
    pub seeds: Option<u64>,
    /// For how long; none for as long as it takes.
    pub time: Option<Duration>,
    /// What each is drawn from.
    pub scope: Scope,
    /// How many threads.
    pub threads: usize,
}

/// What came of them.
#[derive(Debug, Default)]
pub struct Tally {
    /// How many were gone through.
    pub seeds: u64,
    /// The lowest seed that broke a rule.
    pub failed: Option<(u64, Violation)>,
    /// What was seen.
    pub coverage: Coverage,
    /// How many commits and calls were met, before and after.
    pub boundaries: u64,
    /// How long it took.
    pub took: Duration,
}

impl Campaign {
    /// Goes through them, until one breaks a rule.
    pub fn run(&self) -> Tally {
        self.run_with(|script| play(script, false))
    }

    /// The same, each history played by `play`.
    pub fn run_with(&self, play: impl Fn(&Script) -> Report + Sync) -> Tally {
        let began = Instant::now();
        let (next, stop, tally) = (AtomicU64::new(0), AtomicBool::new(false), Mutex::new(Tally::default()));
        std::thread::scope(|scope| {
            for _ in 0..self.threads.max(1) {
                scope.spawn(|| {
                    #[cfg(feature = "mutants")]
                    crate::mutant::take_out(self.scope.mutant);
                    let mut mine = Tally::default();
                    while !stop.load(Ordering::Relaxed) {
                        let nth = next.fetch_add(1, Ordering::Relaxed);
                        if self.seeds.is_some_and(|seeds| nth >= seeds)
                            || self.time.is_some_and(|time| began.elapsed() >= time)
                        {
                            break;
                        }
                        let seed = self.first.wrapping_add(nth);
                        let report = play(&Script::draw(seed, &self.scope));
                        mine.seeds += 1;
                        mine.coverage.merge(&report.coverage);
                        mine.boundaries += report.boundaries.iter().sum::<u64>();
                        if let Some(violation) = report.violation {
                            mine.failed = Some((seed, violation));
                            stop.store(true, Ordering::Relaxed);
                        }
                    }
                    lock(&tally).take_over(mine);
                });
            }
        });
        let mut tally = tally.into_inner().unwrap_or_default();
        tally.took = began.elapsed();
        tally
    }
}

impl Tally {
    fn take_over(&mut self, other: Self) {
        self.seeds += other.seeds;
        self.boundaries += other.boundaries;
        self.coverage.merge(&other.coverage);
        let lower = |(seed, _): &(u64, Violation)| self.failed.as_ref().is_none_or(|(known, _)| seed < known);
        if other.failed.as_ref().is_some_and(lower) {
            self.failed = other.failed;
        }
    }
}

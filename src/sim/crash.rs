//! Crash points, exhaustively: a process is gone right before and right after each of its commits and calls. Nothing is drawn.

use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use crate::sim::hub::lock;
use crate::sim::paths::{main_paths, other_paths};
use crate::sim::report::Violation;
use crate::sim::script::{Act, Blow, Item, Script};
use crate::sim::world::play;

/// What was gone through.
#[derive(Debug, Default)]
pub struct Points {
    /// How many scripts, each with its crashes.
    pub gone_through: u64,
    /// The first that broke a rule: which path, where it was struck, and what broke.
    pub failed: Option<(String, Violation)>,
}

/// Every path of every workflow, struck once at each of its commits and calls.
pub fn at_every_point(threads: usize) -> Points {
    let mut cases = Vec::new();
    for (path, script) in main_paths().into_iter().chain(other_paths()) {
        cases.extend((0..working(&script)).map(|boundary| (path, script.clone(), vec![boundary])));
    }
    go_through(&cases, threads)
}

/// Every main path, struck at each two of them.
pub fn at_every_two_points(threads: usize) -> Points {
    let mut cases = Vec::new();
    for (path, script) in main_paths() {
        let all = working(&script);
        for first in 0..all {
            cases.extend((first + 1..all).map(|second| (path, script.clone(), vec![first, second])));
        }
    }
    go_through(&cases, threads)
}

/// How many boundaries the process meets before nothing goes wrong any more.
fn working(script: &Script) -> u64 {
    play(script, false).working.first().copied().unwrap_or(0)
}

fn go_through(cases: &[(&str, Script, Vec<u64>)], threads: usize) -> Points {
    let (next, points) = (AtomicUsize::new(0), Mutex::new(Points::default()));
    std::thread::scope(|scope| {
        for _ in 0..threads.max(1) {
            scope.spawn(|| {
                while let Some((path, script, boundaries)) = cases.get(next.fetch_add(1, Ordering::Relaxed)) {
                    let broken = play(&struck(script, boundaries), false).violation;
                    let mut points = lock(&points);
                    points.gone_through += 1;
                    if let Some(violation) = broken {
                        points.failed.get_or_insert((format!("{path}, struck at {boundaries:?}"), violation));
                        return;
                    }
                }
            });
        }
    });
    points.into_inner().unwrap_or_default()
}

fn struck(script: &Script, boundaries: &[u64]) -> Script {
    let mut struck = script.clone();
    let crashes = boundaries.iter().map(|&boundary| {
        let act = Act::Blow { process: 0, boundary, blow: Blow::Crash { down: 2000 } };
        Item { at: 0, act }
    });
    struck.items.splice(0..0, crashes);
    struck
}

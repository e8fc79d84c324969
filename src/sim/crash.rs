//! Crash points, exhaustively: a process is gone right before and right after each of its commits and calls. Nothing is drawn.

use std::collections::BTreeSet;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use crate::sim::hub::lock;
use crate::sim::paths::{main_paths, other_paths};
use crate::sim::report::{Report, Violation};
use crate::sim::script::{Act, Blow, Item, Script};
use crate::sim::world::play;
use crate::workflow;

/// What was gone through.
#[derive(Debug, Default)]
pub struct Points {
    /// How many scripts, each with its crashes.
    pub gone_through: u64,
    /// The first that broke a rule: which path, where it was struck, and what broke.
    pub failed: Option<(String, Violation)>,
    /// The workflows that were struck at a commit of their own.
    struck: BTreeSet<String>,
}

impl Points {
    /// Workflows that were never struck.
    pub fn missed(&self) -> Vec<&'static str> {
        workflow::NAMES.into_iter().filter(|name| !self.struck.contains(*name)).collect()
    }

    fn take_over(&mut self, path: &str, boundaries: &[u64], report: Report) {
        self.gone_through += 1;
        self.struck.extend(report.coverage.under("struck/").map(|(workflow, _)| workflow.to_owned()));
        if let Some(violation) = report.violation {
            self.failed.get_or_insert((format!("{path}, struck at {boundaries:?}"), violation));
        }
    }
}

/// Every path of every workflow, struck once at each of its commits and calls, or at every `stride`th of them.
pub fn at_every_point(threads: usize, stride: usize) -> Points {
    let mut cases = Vec::new();
    for (path, script) in main_paths().into_iter().chain(other_paths()) {
        cases.extend((0..working(&play(&script, false))).map(|boundary| (path, script.clone(), boundary)));
    }
    let cases: Vec<_> = cases.into_iter().step_by(stride).collect();
    go_through(&cases, threads, |points, path, script, boundary| {
        let report = play(&struck(script, &[boundary]), false);
        lock(points).take_over(path, &[boundary], report);
    })
}

/// Every main path, struck at each two of them: the second at each that comes once it was struck at the first.
pub fn at_every_two_points(threads: usize) -> Points {
    let mut cases = Vec::new();
    for (path, script) in main_paths() {
        cases.extend((0..working(&play(&script, false))).map(|first| (path, script.clone(), first)));
    }
    go_through(&cases, threads, |points, path, script, first| {
        let all = working(&play(&struck(script, &[first]), false));
        for second in first + 1..all {
            let report = play(&struck(script, &[first, second]), false);
            lock(points).take_over(path, &[first, second], report);
        }
    })
}

/// How many boundaries the process met before nothing went wrong any more.
fn working(report: &Report) -> u64 {
    report.working.first().copied().unwrap_or(0)
}

/// Until one breaks a rule.
fn go_through(
    cases: &[(&str, Script, u64)],
    threads: usize,
    strike: impl Fn(&Mutex<Points>, &str, &Script, u64) + Sync,
) -> Points {
    let (next, points) = (AtomicUsize::new(0), Mutex::new(Points::default()));
    std::thread::scope(|scope| {
        for _ in 0..threads.max(1) {
            scope.spawn(|| {
                while let Some((path, script, boundary)) = cases.get(next.fetch_add(1, Ordering::Relaxed)) {
                    strike(&points, path, script, *boundary);
                    if lock(&points).failed.is_some() {
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

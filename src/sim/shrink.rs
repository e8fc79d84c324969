//! Makes a failing script short: what can be left out, while the same rule still breaks, is left out.

use crate::sim::report::Report;
use crate::sim::script::Script;
use crate::sim::world::play;

/// The shortest script that was found to break the same rule, and what comes of it.
pub fn shrink(script: &Script, rule: &str) -> (Script, Report) {
    let mut best = script.clone();
    let breaks = |script: &Script| play(script, false).violation.is_some_and(|found| found.rule == rule);
    let mut size = best.items.len().div_ceil(2).max(1);
    loop {
        let mut from = 0;
        while from < best.items.len() {
            let mut shorter = best.clone();
            shorter.items.drain(from..(from + size).min(best.items.len()));
            if breaks(&shorter) {
                best = shorter;
            } else {
                from += size;
            }
        }
        if size == 1 {
            break;
        }
        size = size.div_ceil(2);
    }
    let mut fair = best.clone();
    fair.weather = crate::sim::script::Weather::Fair;
    if breaks(&fair) {
        best = fair;
    }
    let report = play(&best, true);
    (best, report)
}

//! Makes a failing script short: what can be left out, while the same rule still breaks, is left out.

use crate::sim::report::Report;
use crate::sim::script::{Script, Weather};
use crate::sim::world::play;

/// The shortest script that was found to break the same rule, and what comes of it.
pub fn shrink(script: &Script, rule: &str) -> (Script, Report) {
    let best = shortest(script, |script| play(script, false).violation.is_some_and(|found| found.rule == rule));
    let report = play(&best, true);
    (best, report)
}

fn shortest(script: &Script, breaks: impl Fn(&Script) -> bool) -> Script {
    let mut best = script.clone();
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
    fair.weather = Weather::Fair;
    if breaks(&fair) { fair } else { best }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sim::script::{Act, Item, Scope};

    /// A hundred things that happen, one a second.
    fn long() -> Script {
        let mut script = Script::draw(1, &Scope::default());
        script.items = (0..100).map(|second| Item { at: second * 1000, act: Act::DiskFull(second) }).collect();
        script
    }

    fn has(script: &Script, seconds: &[u64]) -> bool {
        seconds.iter().all(|second| script.items.iter().any(|item| item.act == Act::DiskFull(*second)))
    }

    #[test]
    fn what_it_takes_is_left_and_nothing_else() {
        for needed in [&[0][..], &[99], &[37, 38], &[0, 50, 99], &[3, 17, 41, 42, 77]] {
            let short = shortest(&long(), |script| has(script, needed));
            let left: Vec<u64> = short.items.iter().map(|item| item.at / 1000).collect();
            assert_eq!(left, needed);
            assert_eq!(short.weather, Weather::Fair);
        }
    }

    #[test]
    fn what_needs_nothing_is_left_with_nothing_and_what_needs_its_weather_keeps_it() {
        assert_eq!(shortest(&long(), |_| true).items, Vec::new());
        let short = shortest(&long(), |script| script.weather == Weather::Heavy && has(script, &[8]));
        assert_eq!((short.items.len(), short.weather), (1, Weather::Heavy));
        let all: Vec<u64> = (0..100).collect();
        assert_eq!(shortest(&long(), |script| has(script, &all)).items, long().items);
    }

    #[test]
    fn a_script_that_breaks_no_such_rule_stays_as_it_is() {
        let script = Script { items: long().items[..1].to_vec(), ..long() };
        assert_eq!(shrink(&script, "M2").0, script);
    }
}

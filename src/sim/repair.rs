//! Repairs hide faults of the engine: how many a campaign may have.

use crate::sim::coverage::Coverage;
use crate::sim::script::Weather;

/// What is repaired, and in how many of 10,000 sessions at most where everything goes wrong that can. Where nothing does, in none.
const BOUNDS: [(&str, u64); 5] = [
    ("repair/settle-check late_booking_cancelled", 60),
    ("repair/booking-created late_booking_cancelled", 200),
    ("repair/reconcile abandoned", 10),
    ("repair/reconcile nothing_stands", 2),
    ("repair/reconcile still_stands", 10),
];

/// Fewer sessions say nothing of a rate.
const ENOUGH: u64 = 3000;

/// Repairs that are too many, in words.
pub fn excessive(coverage: &Coverage, weather: Weather) -> Vec<String> {
    let sessions: u64 = coverage.under("end/").map(|(_, times)| times).sum();
    let most = |bound: u64| match weather {
        Weather::Fair => 0,
        Weather::Light | Weather::Heavy => bound * sessions / 10_000,
    };
    let known = |what: &str| BOUNDS.iter().find(|(name, _)| *name == what).map_or(0, |(_, bound)| most(*bound));
    let judged = weather == Weather::Fair || sessions >= ENOUGH;
    let all = coverage.under("repair/").filter(|(what, _)| judged && !what.starts_with("apply-event"));
    all.filter(|(what, times)| *times > known(&format!("repair/{what}")))
        .map(|(what, times)| format!("{what}: {times} times for {sessions} sessions"))
        .collect()
}

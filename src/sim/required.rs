//! What a campaign must have seen to count.

use crate::sim::coverage::Coverage;
use crate::sim::round::{BLOWS, EFFECTS, VERBS, WHEN};
use crate::sim::script::OPERATIONS;

const ENDS: [&str; 5] = ["booked", "refunding", "refunded", "failed", "attention"];
const OTHERS: [&str; 21] = [
    "delivery/lost",
    "delivery/days late",
    "delivery/twice",
    "delivery/out of order",
    "delivery/refused",
    "deploy/1",
    "deploy/2",
    "clock/ahead",
    "clock/behind",
    "operator/Refund done",
    "operator/RefundPart done",
    "operator/Cancel done",
    "operator/Retry done",
    "operator/Resolve done",
    "operator/PauseProvider done",
    "deed/Disputed",
    "deed/RefundedInDashboard",
    "deed/RefundFails",
    "deed/Rescheduled",
    "deed/SlotTaken",
    "replayed/500",
];

/// What was seen less often than `times`, and how often it was.
pub fn missing(coverage: &Coverage, times: u64) -> Vec<(String, u64)> {
    let faults = EFFECTS
        .iter()
        .flat_map(|effect| OPERATIONS.iter().map(move |(_, operation)| format!("fault/{effect} {operation}")));
    let blows = BLOWS.iter().flat_map(|blow| {
        WHEN.iter().flat_map(move |when| VERBS.iter().map(move |verb| format!("blow/{blow} {when} {verb}")))
    });
    let ends = ENDS.iter().map(|end| format!("end/{end}"));
    let others = OTHERS.iter().map(|what| (*what).to_owned());
    let all = faults.chain(blows).chain(ends).chain(others).map(|what| {
        let seen = coverage.of(&what);
        (what, seen)
    });
    all.filter(|(_, seen)| *seen < times).collect()
}

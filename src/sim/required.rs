//! What a campaign must have seen to count.

use crate::sim::coverage::Coverage;
use crate::sim::round::{BLOWS, CALLS, EFFECTS, VERBS, WHEN};
use crate::sim::script::OPERATIONS;

/// How payments end. `awaiting` and `paid` are no ends, and a session that expires leaves no payment.
const ENDS: [&str; 5] = ["booked", "refunding", "refunded", "failed", "attention"];
/// Besides these there are states that no campaign comes to a hundred times: a refund that stays `sent` but for a workflow's, one made in
/// the dashboard that is anything but paid or failed.
const OTHERS: [&str; 46] = [
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
    "operator/LetStand done",
    "operator/PauseWorkflow done",
    "deed/Disputed",
    "deed/DisputeLost",
    "deed/DisputeWon",
    "deed/RefundedInDashboard",
    "deed/RefundFails",
    "deed/Rescheduled",
    "deed/BookedAgain",
    "deed/SlotTaken",
    "event/of the other mode",
    "replayed/500",
    "fault/behind bookings.list",
    "outage/Alert",
    "outage/Cal",
    "outage/Mail",
    "outage/Posthog",
    "outage/Stripe",
    "blow/full before claim",
    "blow/full before ingest",
    "blow/full before suspend",
    "refund/operator failed",
    "refund/operator intended",
    "refund/operator pending",
    "refund/operator succeeded",
    "refund/stripe failed",
    "refund/stripe succeeded",
    "refund/workflow failed",
    "refund/workflow intended",
    "refund/workflow pending",
    "refund/workflow succeeded",
];

/// What was seen less often than `times`, and how often it was.
pub fn missing(coverage: &Coverage, times: u64) -> Vec<(String, u64)> {
    let faults = EFFECTS
        .iter()
        .flat_map(|effect| OPERATIONS.iter().map(move |(_, operation)| format!("fault/{effect} {operation}")));
    let blows = BLOWS.iter().flat_map(|blow| {
        WHEN.iter().flat_map(move |when| VERBS.iter().map(move |verb| format!("blow/{blow} {when} {verb}")))
    });
    let crashes = CALLS.iter().flat_map(|call| WHEN.iter().map(move |when| format!("blow/crash {when} {call}")));
    let ends = ENDS.iter().map(|end| format!("end/{end}"));
    let others = OTHERS.iter().map(|what| (*what).to_owned());
    let all = faults.chain(blows).chain(crashes).chain(ends).chain(others).map(|what| {
        let seen = coverage.of(&what);
        (what, seen)
    });
    all.filter(|(_, seen)| *seen < times).collect()
}

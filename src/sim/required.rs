//! What a campaign must have seen to count.

use crate::sim::coverage::Coverage;

const EFFECTS: [&str; 9] = [
    "error_before",
    "error_after",
    "drop_before",
    "drop_after",
    "hang_before",
    "hang_after",
    "slow",
    "rate_limited",
    "refuse",
];
const OPERATIONS: [&str; 12] = [
    "posthog POST i/v0/e",
    "cal POST bookings",
    "cal GET bookings",
    "cal POST bookings/cancel",
    "cal POST bookings/mark-absent",
    "stripe GET payment_intents/one",
    "stripe POST refunds",
    "stripe GET refunds",
    "stripe GET events",
    "stripe POST transfers",
    "mail POST emails",
    "alert POST alerts",
];
const VERBS: [&str; 8] = ["ingest", "claim", "record", "suspend", "finish", "write", "intend_refund", "renew"];
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
    let faults = EFFECTS.iter().flat_map(|effect| OPERATIONS.iter().map(move |at| format!("fault/{effect} {at}")));
    let blows = ["crash", "freeze", "commit"].iter().flat_map(|blow| {
        ["before", "after"]
            .iter()
            .flat_map(move |when| VERBS.iter().map(move |verb| format!("blow/{blow} {when} {verb}")))
    });
    let ends = ENDS.iter().map(|end| format!("end/{end}"));
    let others = OTHERS.iter().map(|what| (*what).to_owned());
    let all = faults.chain(blows).chain(ends).chain(others).map(|what| {
        let seen = coverage.of(&what);
        (what, seen)
    });
    all.filter(|(_, seen)| *seen < times).collect()
}

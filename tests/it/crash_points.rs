//! Crash points, a part of them for every workflow. `discuno sim --crash-points` goes through each, and through all pairs as well.

use discuno::sim::crash;

/// Of so many crash points one is tried.
const STRIDE: usize = 10;

#[test]
fn gone_before_or_after_any_commit_or_call_of_any_workflow_nothing_is_lost_or_doubled() {
    let points = crash::at_every_point(2, STRIDE);
    assert_eq!(points.failed, None);
    assert_eq!(points.missed(), Vec::<&str>::new(), "workflows that were never struck");
    assert!(points.gone_through > 300, "{points:?}");
    println!("{} crash points", points.gone_through);
}

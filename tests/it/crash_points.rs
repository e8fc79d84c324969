//! Crash points, a thirtieth of them. `discuno sim --crash-points` goes through each, and through all pairs as well, and sees to it that
//! every workflow is struck.

use discuno::sim::crash;

/// Of so many crash points one is tried.
const STRIDE: usize = 30;

#[test]
fn gone_before_or_after_a_commit_or_call_nothing_is_lost_or_doubled() {
    let points = crash::at_every_point(2, STRIDE);
    assert_eq!(points.failed, None);
    assert!(points.gone_through > 100, "{points:?}");
    println!("{} crash points", points.gone_through);
}

//! The histories of the simulation, kept on a server: its checker has nothing against them there either.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use discuno::sim::script::{Scope, Script};
use discuno::sim::{Coverage, play_on};
use discuno::store::postgres::{Mode, Postgres};

use crate::sim::ONCE_BROKEN;
use crate::support::cluster::Cluster;

/// How many are gone through, if `DISCUNO_SIM_SEEDS` says nothing.
const USUALLY: u64 = 40;
/// Past those that are drawn by chance alone: every second one has a fault or a blow strike where it is sure to.
const FIRST: u64 = 200_000;

fn seeds() -> Vec<u64> {
    let many = std::env::var("DISCUNO_SIM_SEEDS").map_or(USUALLY, |count| count.parse().unwrap());
    ONCE_BROKEN.iter().map(|(seed, _)| *seed).chain(FIRST..FIRST + many).collect()
}

#[test]
fn what_is_kept_on_a_server_comes_to_its_right_end_whatever_goes_wrong() {
    let Some(cluster) = Cluster::shared() else { return };
    let (seeds, next) = (seeds(), AtomicU64::new(0));
    let go = || {
        let mut seen = Coverage::default();
        while let Some(&seed) = seeds.get(usize::try_from(next.fetch_add(1, Ordering::Relaxed)).unwrap()) {
            let lent = cluster.lend();
            let store = Postgres::open(&lent.address().parse().unwrap(), Mode::Inline, "test").unwrap();
            let report = play_on(Arc::new(store), &Script::draw(seed, &Scope::default()));
            assert_eq!(report.violation, None, "seed {seed}");
            seen.merge(&report.coverage);
        }
        seen
    };
    let mut seen = Coverage::default();
    std::thread::scope(|scope| {
        let threads = [scope.spawn(go), scope.spawn(go)];
        for thread in threads {
            seen.merge(&thread.join().unwrap());
        }
    });
    for kind in
        ["end/", "repair/", "delivery/", "operator/", "clock/", "deploy/", "blow/", "fault/", "refund/", "case/"]
    {
        assert!(seen.under(kind).next().is_some(), "{kind} was never seen");
    }
}

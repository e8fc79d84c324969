//! The histories of the simulation, kept on a server: its checker has nothing against them there either.

use std::sync::Arc;

use discuno::sim::script::{Scope, Script};
use discuno::sim::{Campaign, Report, play_on};
use discuno::store::postgres::{Mode, Postgres};

use crate::sim::ONCE_BROKEN;
use crate::support::cluster::Cluster;

/// How many are gone through, if `DISCUNO_SIM_SEEDS` says nothing.
const USUALLY: u64 = 20;
/// Past those that are drawn by chance alone: every second one has a fault or a blow strike where it is sure to.
const FIRST: u64 = 200_000;

fn on_a_server(cluster: &'static Cluster, script: &Script) -> Report {
    let lent = cluster.lend();
    let store = Postgres::open(&lent.address().parse().unwrap(), Mode::Inline, "test").unwrap();
    play_on(Arc::new(store), script)
}

#[test]
fn what_is_kept_on_a_server_comes_to_its_right_end_whatever_goes_wrong() {
    let Some(cluster) = Cluster::shared() else { return };
    let scope = Scope::default();
    for (seed, why) in ONCE_BROKEN {
        let report = on_a_server(cluster, &Script::draw(seed, &scope));
        assert_eq!(report.violation, None, "seed {seed}: {why}");
    }
    let seeds = std::env::var("DISCUNO_SIM_SEEDS").map_or(USUALLY, |count| count.parse().unwrap());
    let campaign = Campaign { first: FIRST, seeds: Some(seeds), time: None, scope, threads: 2 };
    let tally = campaign.run_with(|script| on_a_server(cluster, script));
    assert_eq!((tally.failed, tally.seeds), (None, seeds));
    for kind in
        ["end/", "repair/", "delivery/", "operator/", "clock/", "deploy/", "blow/", "fault/", "refund/", "case/"]
    {
        assert!(tally.coverage.under(kind).next().is_some(), "{kind} was never seen");
    }
}

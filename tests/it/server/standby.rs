//! A commit that is not answered: the connection is kept and no other takes its place, until the server's word is heard.

use std::sync::Arc;
use std::time::Duration;

use discuno::clock::Clock;
use discuno::model::time::Timestamp;
use discuno::store::error::Error;
use discuno::store::filter::Filter;
use discuno::store::postgres::address::Pace;
use discuno::store::postgres::{Address, Mode, Postgres};
use discuno::store::{Ingested, Shared};

use crate::conformance::NOW;
use crate::conformance::subjects::paid;
use crate::support::cable::Cable;
use crate::support::cluster::Cluster;
use crate::support::newest;
use crate::support::process::{PATIENCE, until};

/// Far shorter than a commit takes without its standby, and longer than anything else here.
const SOON: Pace = Pace { answer: Duration::from_secs(3), clock: Duration::from_secs(60) };

/// How often an arrival comes while there is no standby.
const ARRIVALS: usize = 8;

fn open(address: &str) -> Shared {
    let address = address.parse::<Address>().unwrap().at(SOON);
    Arc::new(Postgres::open(&address, Mode::USUAL, "test").unwrap())
}

/// Has every commit wait for this standby, or for none.
async fn waits_for(cluster: &Cluster, standby: &str) {
    let run = |sql: &str| cluster.run("postgres", sql).unwrap();
    run(&format!("ALTER SYSTEM SET synchronous_standby_names = '{standby}'"));
    run("SELECT pg_reload_conf()");
    until("the server knows", PATIENCE, async || run("SHOW synchronous_standby_names") == standby).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn while_no_standby_is_there_no_connections_pile_up_and_each_arrival_is_kept_once_in_the_end() {
    let Some(cluster) = Cluster::own() else { return };
    let address = cluster.fresh();
    let store = open(&address);
    store.ingest(paid("earlier"), NOW).await.unwrap();
    waits_for(&cluster, "nobody").await;

    let mut unknown = 0;
    for number in 0..ARRIVALS {
        match store.ingest(paid(&number.to_string()), NOW).await {
            Err(Error::CommitUnknown(_)) => unknown += 1,
            Err(Error::Unreachable(said)) => assert!(said.contains("nothing was written"), "{said}"),
            other => panic!("{other:?}"),
        }
    }
    let ours = "FROM pg_stat_activity WHERE application_name = 'discuno'";
    let count = |which: &str| -> usize {
        cluster.run("postgres", &format!("SELECT count(*) {ours} {which}")).unwrap().parse().unwrap()
    };
    assert_eq!(unknown, 2, "once for each thread that writes");
    assert_eq!(count("AND wait_event = 'SyncRep'"), unknown);
    assert!(count("") <= 6, "{}", count(""));
    // Who reads need not wait.
    assert_eq!(newest(&store, 99).await.len(), 1);

    waits_for(&cluster, "").await;
    until("it is written again", PATIENCE, async || store.is_writable().await.is_ok()).await;
    for number in 0..ARRIVALS {
        let again = store.ingest(paid(&number.to_string()), NOW).await.unwrap();
        assert_eq!(
            matches!(again, Ingested::Duplicate { differs: false, .. }),
            number < unknown,
            "{number}: {again:?}"
        );
    }
    assert_eq!(store.events(Filter::newest(99)).await.unwrap().len(), ARRIVALS + 1);
    assert_eq!(newest(&store, 99).await.len(), ARRIVALS + 1);
    assert!(count("") <= 4, "{}", count(""));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_commit_whose_answer_is_lost_on_the_way_is_not_waited_for_for_ever() {
    let Some(cluster) = Cluster::shared() else { return };
    let (cable, direct) = (Cable::to(cluster), cluster.fresh());
    let store = open(&cable.address(&direct));
    store.ingest(paid("earlier"), NOW).await.unwrap();
    cable.is_silent_from_the_next_commit();
    let answer = store.ingest(paid("1"), NOW).await;
    assert!(matches!(answer, Err(Error::CommitUnknown(_))), "{answer:?}");
    for name in ["1", "2", "3", "4"] {
        let again = store.ingest(paid(name), NOW).await.unwrap();
        assert_eq!(matches!(again, Ingested::Duplicate { .. }), name == "1", "{name}: {again:?}");
    }
}

#[tokio::test]
async fn a_clock_that_is_wrong_is_set_right_though_the_store_is_asked_nothing() {
    let Some(cluster) = Cluster::shared() else { return };
    let often = Pace { clock: Duration::from_millis(50), ..SOON };
    let address = cluster.fresh().parse::<Address>().unwrap().at(often);
    let _store = Postgres::open(&address, Mode::USUAL, "test").unwrap();
    // As that of a machine that has slept for long.
    address.clock().set(Timestamp(7));
    let off = || Clock::System.now().since(address.clock().now());
    until("it is right", PATIENCE, async || off() < Duration::from_secs(60)).await;
}

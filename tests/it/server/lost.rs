//! A connection that is gone between a commit and its answer: nobody knows, nobody says otherwise, and the same again does no harm.

use std::sync::Arc;

use discuno::model::step::{Attempt, Ending};
use discuno::store::error::Error;
use discuno::store::filter::Filter;
use discuno::store::postgres::{Mode, Postgres};
use discuno::store::{Ingested, Shared};

use crate::conformance::subjects::{done, paid, task};
use crate::conformance::{LEASE, NOW};
use crate::support::cable::Cable;
use crate::support::cluster::Cluster;
use crate::support::process::{Deployment, checkout, session};
use crate::support::{Trip, newest};

const TRIPS: [Trip; 2] = [Trip::Before, Trip::After];

/// For each way to lose it: a store at the other end of a cable, and the same database reached without.
fn stores() -> Vec<(Cable, Shared, Shared, Trip)> {
    let Some(cluster) = Cluster::shared() else { return Vec::new() };
    let ways = [Mode::USUAL, Mode::Inline].into_iter().flat_map(|mode| TRIPS.map(|trip| (mode, trip)));
    let stores = ways.map(|(mode, trip)| {
        let (cable, direct) = (Cable::to(cluster), cluster.fresh());
        let open = |address: &str, mode| Arc::new(Postgres::open(&address.parse().unwrap(), mode, "test").unwrap());
        let far = open(&cable.address(&direct), mode);
        (cable, far as Shared, open(&direct, Mode::Inline) as Shared, trip)
    });
    stores.collect()
}

#[tokio::test]
async fn of_several_hosts_each_with_a_port_of_its_own_the_one_that_can_be_written_is_used() {
    let Some(cluster) = Cluster::shared() else { return };
    let (gone, direct) = (std::net::TcpListener::bind("127.0.0.1:0").unwrap(), cluster.fresh());
    let there = Cable::to(cluster).address(&direct);
    let address = there.replace('@', &format!("@127.0.0.1:{},", gone.local_addr().unwrap().port()));
    drop(gone);
    let store: Shared = Arc::new(Postgres::open(&address.parse().unwrap(), Mode::USUAL, "test").unwrap());
    store.ingest(paid("1"), NOW).await.unwrap();
    assert_eq!(newest(&store, 9).await.len(), 1);
}

#[tokio::test]
async fn a_host_that_takes_the_call_and_says_nothing_is_left_for_the_next() {
    let Some(cluster) = Cluster::shared() else { return };
    let (frozen, direct) = (std::net::TcpListener::bind("127.0.0.1:0").unwrap(), cluster.fresh());
    let there = Cable::to(cluster).address(&direct);
    let address = there.replace('@', &format!("@127.0.0.1:{},", frozen.local_addr().unwrap().port()));
    let open = tokio::task::spawn_blocking(move || Postgres::open(&address.parse().unwrap(), Mode::Inline, "test"));
    let store: Shared = Arc::new(tokio::time::timeout(LEASE * 10, open).await.unwrap().unwrap().unwrap());
    store.ingest(paid("1"), NOW).await.unwrap();
    assert_eq!(newest(&store, 9).await.len(), 1);
}

fn is_unknown<T>(answer: &Result<T, Error>) -> bool {
    matches!(answer, Err(error @ Error::CommitUnknown(_)) if error.is_transient())
}

#[tokio::test]
async fn an_arrival_whose_commit_is_not_answered_is_unknown_and_is_kept_once_when_it_comes_again() {
    for (cable, far, direct, trip) in stores() {
        far.ingest(paid("earlier"), NOW).await.unwrap();
        cable.is_cut_at_the_next_commit(trip);
        let answer = far.ingest(paid("1"), NOW).await;
        assert!(is_unknown(&answer) && cable.cuts() == 1, "{trip:?}: {answer:?}");
        assert_eq!(direct.resolve("evt_1").await.is_ok(), trip == Trip::After, "{trip:?}: it is as the server has it");
        let again = far.ingest(paid("1"), NOW).await.unwrap();
        match trip {
            Trip::Before => assert!(matches!(again, Ingested::New { payment_created: true, .. }), "{again:?}"),
            Trip::After => assert!(matches!(again, Ingested::Duplicate { differs: false, .. }), "{again:?}"),
        }
        assert_eq!(direct.events(Filter::newest(9)).await.unwrap().len(), 2, "{trip:?}");
        assert_eq!(newest(&direct, 9).await.len(), 2, "{trip:?}");
        assert_eq!(direct.claim("test", 9, NOW, NOW.plus(LEASE)).await.unwrap().len(), 2, "{trip:?}");
    }
}

#[tokio::test]
async fn of_arrivals_that_share_a_lost_commit_none_is_said_to_be_kept_and_each_is_kept_once_in_the_end() {
    const ARRIVALS: usize = 40;
    for (cable, far, direct, trip) in stores() {
        cable.is_cut_at_the_next_commit(trip);
        let mut acknowledged = 0;
        for round in 0..2 {
            let arrivals = (0..ARRIVALS).map(|number| far.ingest(paid(&number.to_string()), NOW));
            for answer in futures_util::future::join_all(arrivals).await {
                assert!(answer.is_ok() || (round == 0 && is_unknown(&answer)), "{trip:?}: {answer:?}");
                acknowledged += usize::from(matches!(answer, Ok(Ingested::New { .. })));
            }
        }
        assert_eq!(cable.cuts(), 1);
        assert_eq!(newest(&direct, 99).await.len(), ARRIVALS, "{trip:?}");
        assert_eq!(direct.claim("test", 99, NOW, NOW.plus(LEASE)).await.unwrap().len(), ARRIVALS, "{trip:?}");
        assert_eq!(acknowledged == ARRIVALS, trip == Trip::Before, "{trip:?}: {acknowledged} were said to be new");
    }
}

#[tokio::test]
async fn a_step_whose_commit_is_not_answered_is_unknown_and_is_recorded_once() {
    for (cable, far, direct, trip) in stores() {
        far.ingest(task("1"), NOW).await.unwrap();
        let claim = async |store: &Shared| store.claim("test", 1, NOW, NOW.plus(LEASE)).await.unwrap().remove(0);
        let lease = claim(&far).await.lease;
        cable.is_cut_at_the_next_commit(trip);
        let answer = far.record(lease, done("one", 1, "1"), vec![], NOW).await;
        assert!(is_unknown(&answer) && cable.cuts() == 1, "{trip:?}: {answer:?}");
        let again = far.record(lease, done("one", 1, "2"), vec![], NOW).await;
        assert_eq!(again.is_ok(), trip == Trip::Before, "{trip:?}: {again:?}");
        far.suspend(lease, None, NOW, NOW).await.unwrap();
        let journal = claim(&direct).await.journal;
        let [Attempt { ending: Ending::Done { output }, .. }] = &journal[..] else { panic!("{trip:?}: {journal:?}") };
        assert_eq!(output.get(), if trip == Trip::Before { "2" } else { "1" });
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn with_every_few_commits_lost_every_acknowledged_purchase_ends_rightly() {
    let Some(cluster) = Cluster::shared() else { return };
    let (mut deployment, direct, cable) = (Deployment::new().await, cluster.fresh(), Cable::to(cluster));
    deployment.settings.insert("DISCUNO_DB", cable.address(&direct));
    let serve = deployment.serve(&["--worker"]).await;
    deployment.settings.insert("DISCUNO_DB", direct);

    cable.is_cut_at_the_next_commit(Trip::After);
    let refused = deployment.pay(serve.address().unwrap(), &checkout(0, "")).await.unwrap();
    let document = refused.json().to_string();
    assert!(refused.status == 503 && document.contains("commit_unknown"), "{}: {document}", refused.status);

    cable.is_cut_at_every(5);
    for (number, tags) in ["", "+cal-refused", "", "+booking-answer-lost"].iter().enumerate() {
        while deployment.pay(serve.address().unwrap(), &checkout(number, tags)).await.unwrap().status != 200 {}
    }
    let acknowledged: Vec<String> = (0..4).map(session).collect();
    deployment.settled().await;
    deployment.assert_all_is_right(&acknowledged, "with every few commits lost").await;
    assert!(cable.cuts() > 4, "{}", cable.cuts());
}

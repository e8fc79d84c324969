//! Several hosts that share a server: cut off, killed, far away, and the server itself lost.
//!
//! `DISCUNO_TEST_HOSTS=1 cargo test --test it hosts` plays it, as root, where namespaces and PostgreSQL are to be had.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use discuno::workflow::WAIT_FOR_DAYS;
use tokio::time::sleep;

use crate::support::cluster::{binaries, left_out};
use crate::support::is_busy;
use crate::support::network::{HERE, Host, Network, Server};
use crate::support::process::{Deployment, PATIENCE, Process, checkout, session, until};

const CHECKOUTS: usize = 120;
const TAGS: [&str; 4] = ["", "+cal-refused", "", "+booking-answer-lost"];

async fn on(deployment: &Deployment, host: &Host, args: &[&str]) -> Process {
    let process = Process::start(deployment.command_under(&host.wrapper(), args));
    process.ready().await;
    process
}

/// Sends each event to one host after the other until it is acknowledged.
async fn pay_all(deployment: Arc<Deployment>, to: [SocketAddr; 2]) -> Vec<String> {
    let mut acknowledged = Vec::new();
    for number in 0..CHECKOUTS {
        let event = checkout(number, TAGS[number % TAGS.len()]);
        for turn in number.. {
            match deployment.pay(to[turn % 2], &event).await {
                Some(answer) if answer.status == 200 => break,
                _ => sleep(Duration::from_millis(200)).await,
            }
        }
        acknowledged.push(session(number));
        sleep(Duration::from_millis(120)).await;
    }
    acknowledged
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whatever_happens_to_hosts_and_server_every_paid_session_ends_rightly() {
    if std::env::var_os("DISCUNO_TEST_HOSTS").is_none() {
        return left_out("DISCUNO_TEST_HOSTS is not set");
    }
    if binaries().is_none() {
        return left_out("PostgreSQL is not installed here");
    }
    let Some(network) = Network::of(8) else { return left_out("no network namespaces for us") };
    let [primary, standby, serve_one, serve_two, one, two, three, four] = network.hosts.as_slice() else { panic!() };
    let dir = tempfile::tempdir_in("/dev/shm").unwrap();
    let _first = Server::primary(primary, dir.path());
    let second = Server::standby(standby, primary, dir.path());

    let mut deployment = Deployment::at(HERE).await;
    let address = format!("postgres://discuno@{},{}/postgres", primary.address, standby.address);
    deployment.settings.insert("DISCUNO_DB", address);
    deployment.settings.insert("DISCUNO_LEASE", "2s".to_owned());
    deployment.settings.insert("DISCUNO_LISTEN", "0.0.0.0:8480".to_owned());
    let deployment = Arc::new(deployment);
    let (mut serves, mut workers) = (Vec::new(), Vec::new());
    for host in [serve_one, serve_two] {
        serves.push(on(&deployment, host, &["serve"]).await);
    }
    for host in [one, two, three, four] {
        workers.push(on(&deployment, host, &["worker"]).await);
    }
    let to = [serve_one, serve_two].map(|host| format!("{}:8480", host.address).parse().unwrap());
    let paying = tokio::spawn(pay_all(Arc::clone(&deployment), to));

    if !three.is_far_away() {
        left_out("slow and lossy links: there is neither netem nor nft");
    }
    sleep(Duration::from_secs(2)).await;
    // Cut off for longer than its leases: others take its runs, and what it records afterwards is refused.
    one.cut_off();
    sleep(Duration::from_secs(5)).await;
    one.joined_again();
    // Killed in the middle of things, and started again.
    workers[1].kill();
    sleep(Duration::from_secs(1)).await;
    workers[1] = on(&deployment, two, &["worker"]).await;
    // A host that takes webhooks cannot reach the server: it does not acknowledge what it cannot keep.
    serve_one.cut_off();
    sleep(Duration::from_secs(2)).await;
    serve_one.joined_again();
    // The server is lost, and the standby takes its place.
    primary.loses_power();
    sleep(Duration::from_secs(1)).await;
    second.is_promoted();
    sleep(Duration::from_secs(2)).await;
    four.cut_off();
    sleep(Duration::from_secs(3)).await;
    four.joined_again();

    let acknowledged = tokio::time::timeout(Duration::from_secs(120), paying).await.expect("all is paid").unwrap();
    assert_eq!(acknowledged.len(), CHECKOUTS);
    let store = deployment.store();
    until("every run has ended", PATIENCE * 4, async || !is_busy(&store, &WAIT_FOR_DAYS).await).await;
    deployment.assert_all_is_right(&acknowledged, "several hosts").await;
}

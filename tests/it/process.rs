//! The real binary, in processes that share a file, are killed, stopped, and run out of space.

use std::collections::BTreeSet;
use std::time::Duration;

use discuno::model::payment::PaymentStatus;
use rustix::process::{Flock, FlockOffsetType, FlockType, fcntl_getlk};
use tokio::time::Instant;

use crate::support::cluster::is_without_files;
use crate::support::money;
use crate::support::newest;
use crate::support::process::{Deployment, PATIENCE, Process, checkout, session, until};

mod command_line;
mod crash;
#[cfg(target_os = "linux")]
mod disk;
mod files;
mod hostile;
mod signals;
mod supervised;

const TAGS: [&str; 3] = ["", "+cal-refused", "+cal-refused+refund-refused"];

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_serve_and_two_workers_on_one_file_have_each_effect_once() {
    let mut deployment = Deployment::new().await;
    deployment.settings.insert("DISCUNO_LEASE", "60s".to_owned());
    let serve = deployment.serve(&[]).await;
    let workers = [deployment.worker().await, deployment.worker().await];

    let numbers: Vec<usize> = (0..30).collect();
    let posts = numbers.iter().map(|number| {
        let (deployment, event) = (&deployment, checkout(*number, TAGS[number % 3]));
        let to = serve.address().unwrap();
        async move { assert_eq!(deployment.pay(to, &event).await.unwrap().status, 200) }
    });
    futures_util::future::join_all(posts).await;
    deployment.settled().await;

    let sessions: Vec<String> = numbers.iter().map(|number| session(*number)).collect();
    deployment.assert_all_is_right(&sessions, "side by side").await;
    // Nobody failed: every effect was asked for once, and not just had once.
    let theirs = deployment.sandbox.ledger();
    let asked = theirs.cal.requests.iter().filter(|request| request.method == "POST").count();
    assert_eq!(asked, 30, "one request for each booking");
    assert_eq!(theirs.mail.request_count, 10 * 2 + 20, "two e-mails for a booking, one for a failure");
    assert_eq!((theirs.posthog.events.len(), theirs.alerts.posts.len()), (30, 10));
    let ended = || workers.iter().flat_map(|worker| worker.logged("run_finished"));
    until("the log tells of every end", PATIENCE, || std::future::ready(ended().count() >= 30 + 40 + 10)).await;
    let runs: BTreeSet<String> = ended().map(|line| line["runId"].to_string()).collect();
    assert_eq!(runs.len(), ended().count(), "a run ended at both workers");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_worker_sees_at_once_what_another_process_has_committed() {
    let deployment = Deployment::new().await;
    let serve = deployment.serve(&[]).await;
    let _worker = deployment.worker().await;
    let store = deployment.store();
    for number in 0..3 {
        // The worker has nothing left to do and would look again after a minute.
        deployment.settled().await;
        let answer = deployment.pay(serve.address().unwrap(), &checkout(number, "")).await;
        let (answered, committed) = (answer.unwrap().status, Instant::now());
        assert_eq!(answered, 200);
        until("the session is booked", Duration::from_secs(5), || async {
            let payments = newest(&store, money::ALL).await;
            payments.len() == number + 1 && payments.iter().all(|payment| payment.status == PaymentStatus::Booked)
        })
        .await;
        println!("booked {} ms after the answer", committed.elapsed().as_millis());
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_runs_of_a_serve_that_is_gone_are_carried_on_by_a_worker() {
    let deployment = Deployment::new().await;
    let mut serve = deployment.serve(&[]).await;
    assert_eq!(deployment.pay(serve.address().unwrap(), &checkout(0, "")).await.unwrap().status, 200);
    serve.kill();
    let mut worker: Process = deployment.worker().await;
    deployment.settled().await;
    worker.signal(rustix::process::Signal::TERM);
    assert!(worker.exits_within(PATIENCE).await.success());
    deployment.assert_all_is_right(&[session(0)], "carried on").await;
}

/// Where SQLite keeps its shared lock on the file for as long as it is open (sqlite.org/fileformat2.html, "The Lock-Byte Page").
const SHARED_LOCK: Flock =
    Flock { start: 0x4000_0002, length: 510, pid: None, typ: FlockType::WriteLock, offset_type: FlockOffsetType::Set };

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_serve_keeps_its_lock_on_the_file_whoever_opens_and_closes_it() {
    if is_without_files() {
        return;
    }
    let deployment = Deployment::new().await;
    let mut serve = deployment.serve(&["--worker"]).await;
    let to = serve.address().unwrap();
    for number in 0..3 {
        assert_eq!(deployment.pay(to, &checkout(number, "")).await.unwrap().status, 200);
        // Without the lock an older SQLite takes itself for the last one there, and deletes the log under the server.
        let file = std::fs::File::open(&deployment.db).unwrap();
        let holder = fcntl_getlk(&file, &SHARED_LOCK).unwrap().and_then(|lock| lock.pid);
        assert_eq!(holder, Some(serve.pid()));
        rusqlite::Connection::open(&deployment.db).unwrap().close().unwrap();
    }
    deployment.settled().await;
    serve.kill();
    deployment.assert_all_is_right(&[session(0), session(1), session(2)], "after passers-by").await;
}

//! The files that a process makes: whose they are, and what becomes of the log.

use std::fs::File;
use std::os::unix::fs::{MetadataExt, chown};

use discuno::sandbox::fault::{Effect, Fault, Provider};
use discuno::store::BUSY_TIMEOUT;
use tokio::time::Instant;

use crate::support::cluster::is_without_files;
use crate::support::process::{Deployment, PATIENCE, checkout, until};

/// Somebody who is not root.
const SOMEBODY: u32 = 65_532;

#[tokio::test]
async fn what_root_makes_belongs_to_whoever_has_the_folder() {
    if is_without_files() {
        return;
    }
    let mut deployment = Deployment::new().await;
    let folder = deployment.db.parent().unwrap().to_owned();
    if !rustix::process::geteuid().is_root() {
        println!("skipped: only root gives files away");
        return;
    }
    chown(&folder, Some(SOMEBODY), Some(SOMEBODY)).unwrap();
    let log = folder.join("discuno.log");
    deployment.settings.insert("DISCUNO_LOG_FILE", log.display().to_string());
    let owner = |path: &std::path::Path| std::fs::metadata(path).map(|found| (found.uid(), found.gid())).unwrap();
    drop(deployment.serve(&[]).await);
    assert_eq!(deployment.ran(&["pause", "cal"]).0, Some(0));
    assert_eq!([owner(&deployment.db), owner(&log)], [(SOMEBODY, SOMEBODY); 2]);
    // Full: the next line goes into a new one.
    File::options().write(true).open(&log).unwrap().set_len(64 << 20).unwrap();
    drop(deployment.serve(&[]).await);
    assert!(folder.join("discuno.log.1").exists());
    assert_eq!(owner(&log), (SOMEBODY, SOMEBODY));

    let copy = folder.join("copy.db");
    assert_eq!(deployment.ran(&["db", "backup", copy.to_str().unwrap()]).0, Some(0));
    for suffix in ["-wal", "-shm"] {
        let _ = std::fs::remove_file(format!("{}{suffix}", deployment.db.display()));
    }
    std::fs::write(&deployment.db, "SQLite format 3\0 that was").unwrap();
    chown(&deployment.db, Some(SOMEBODY), Some(SOMEBODY + 1)).unwrap();
    let (status, _, said) = deployment.ran(&["db", "restore", copy.to_str().unwrap(), "--yes"]);
    assert_eq!(status, Some(0), "{said}");
    assert_eq!(owner(&deployment.db), (SOMEBODY, SOMEBODY + 1), "that of the file that it replaces");
}

#[tokio::test]
async fn a_log_that_cannot_be_opened_is_told_of_and_stops_nobody() {
    let mut deployment = Deployment::new().await;
    let log = deployment.db.with_file_name("nowhere").join("discuno.log");
    deployment.settings.insert("DISCUNO_LOG_FILE", log.display().to_string());
    let serve = deployment.serve(&[]).await;
    assert!(serve.everything_logged().contains("could not be opened"), "{}", serve.everything_logged());
    let (status, table, _) = deployment.ran(&["check", "--offline"]);
    assert!(status == Some(9) && table.contains("cannot be written, or not be put aside"), "{table}");
}

#[tokio::test]
async fn a_log_that_cannot_be_put_aside_is_told_of_once_and_loses_no_line() {
    let mut deployment = Deployment::new().await;
    let log = deployment.db.with_file_name("discuno.log");
    deployment.settings.insert("DISCUNO_LOG_FILE", log.display().to_string());
    for number in 1..=8 {
        std::fs::create_dir_all(deployment.db.with_file_name(format!("discuno.log.{number}")).join("in")).unwrap();
    }
    File::create(&log).unwrap().set_len((64 << 20) - 1).unwrap();
    let serve = deployment.serve(&["--worker"]).await;
    let written = || async { std::fs::read(&log).unwrap().ends_with(b"}\n") };
    until("lines are written", PATIENCE, written).await;
    let told = serve.everything_logged().matches("could not be put aside").count();
    assert_eq!(told, 1, "{}", serve.everything_logged());
}

#[tokio::test]
async fn a_level_that_there_is_not_is_named_by_every_command() {
    let mut deployment = Deployment::new().await;
    drop(deployment.store());
    deployment.settings.insert("DISCUNO_LOG", "warning".to_owned());
    for (args, status) in [(&["payments"][..], 2), (&["serve"], 2), (&["check", "--offline"], 9)] {
        let (ended, _, said) = deployment.ran(args);
        assert!(ended == Some(status) && said.contains("DISCUNO_LOG"), "{args:?}: {said}");
    }
}

#[tokio::test]
async fn a_backup_that_is_not_there_is_no_such_thing() {
    if is_without_files() {
        return;
    }
    let deployment = Deployment::new().await;
    let (status, _, said) = deployment.ran(&["db", "restore", "nope.db", "--yes"]);
    assert!(status == Some(3) && said.contains("nope.db"), "{said}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nobody_waits_for_ever_for_a_process_that_stands_still_while_it_writes() {
    if is_without_files() {
        return;
    }
    let deployment = Deployment::new().await;
    let serve = deployment.serve(&[]).await;
    let to = serve.address().unwrap();
    let turn = File::open(format!("{}.lock", deployment.db.display())).unwrap();
    turn.lock().unwrap();
    let refused = tokio::time::timeout(PATIENCE, deployment.pay(to, &checkout(0, ""))).await.unwrap().unwrap();
    assert_eq!(refused.status, 503, "{}", refused.json());
    serve.until_logged("webhook_not_stored").await;
    turn.unlock().unwrap();
    assert_eq!(deployment.pay(to, &checkout(0, "")).await.unwrap().status, 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_comes_while_others_wait_for_the_lock_is_refused_with_them() {
    if is_without_files() {
        return;
    }
    let deployment = Deployment::new().await;
    let serve = deployment.serve(&[]).await;
    let to = serve.address().unwrap();
    let turn = File::open(format!("{}.lock", deployment.db.display())).unwrap();
    turn.lock().unwrap();
    let inode = format!(":{} ", turn.metadata().unwrap().ino());
    let is_waited_for = || {
        // Where the kernel does not say, they are likely to come one after the other all the same.
        let Ok(locks) = std::fs::read_to_string("/proc/locks") else { return true };
        locks.lines().any(|line| line.contains("->") && line.contains(&inode))
    };
    let first = async { (deployment.pay(to, &checkout(0, "")).await.unwrap(), Instant::now()) };
    let second = async {
        until("the first waits", PATIENCE, async || is_waited_for()).await;
        (deployment.pay(to, &checkout(1, "")).await.unwrap(), Instant::now())
    };
    let ((first, once), (second, then)) = tokio::join!(first, second);
    assert_eq!((first.status, second.status), (503, 503));
    assert!(then.duration_since(once) < BUSY_TIMEOUT / 2, "it waited once more: {:?}", then.duration_since(once));
    drop(turn);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_done_is_recorded_once_the_lock_is_had_and_is_not_done_again() {
    if is_without_files() {
        return;
    }
    let mut deployment = Deployment::new().await;
    deployment.settings.insert("DISCUNO_LEASE", "60s".to_owned());
    let serve = deployment.serve(&["--worker"]).await;
    let to = serve.address().unwrap();
    // Both letters of a purchase are on their way for long enough.
    let slow = Fault::new(Provider::Mail, Effect::Slow { millis: 3000 });
    deployment.sandbox.inject(Fault { times: Some(2), ..slow });
    assert_eq!(deployment.pay(to, &checkout(0, "")).await.unwrap().status, 200);
    until("the letters are on their way", PATIENCE, async || deployment.sandbox.faults().is_empty()).await;
    let turn = File::open(format!("{}.lock", deployment.db.display())).unwrap();
    turn.lock().unwrap();
    // Whoever was refused once has waited for as long as anybody does.
    until("the letters are there", PATIENCE, async || deployment.sandbox.ledger().mail.mails.len() == 2).await;
    assert_eq!(deployment.pay(to, &checkout(0, "")).await.unwrap().status, 503);
    turn.unlock().unwrap();
    deployment.settled().await;
    assert_eq!(deployment.sandbox.ledger().mail.request_count, 2);
}

//! A disk that is full for a while.

use std::fs::File;
use std::io::Write;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::Command;

use discuno::sandbox::fault::{Effect, Fault, Provider};
use rustix::process::{Resource, Rlimit, getrlimit, prlimit};

use crate::support::cluster::is_without_files;
use crate::support::http;
use crate::support::process::{Deployment, PATIENCE, Process, checkout, session, until};

/// The process can write no more until `free`; meanwhile nothing is acknowledged, and afterwards it mends itself.
async fn runs_dry_and_recovers(deployment: &Deployment, serve: &Process, fill: impl FnOnce(), free: impl FnOnce()) {
    let to = serve.address().unwrap();
    let pay = async |number| deployment.pay(to, &checkout(number, "")).await.unwrap();
    assert_eq!(pay(0).await.status, 200);
    deployment.settled().await;
    // The second is acknowledged, and the answer to its booking comes when nothing can be written.
    let slow = Fault::new(Provider::Cal, Effect::Slow { millis: 6000 }).on("bookings.create").times(1);
    deployment.sandbox.inject(slow);
    assert_eq!(pay(1).await.status, 200);
    until("the booking is asked for", PATIENCE, || std::future::ready(deployment.sandbox.faults().is_empty())).await;
    fill();

    let refused = pay(2).await;
    assert_eq!((refused.status, refused.header("retry-after")), (503, Some("5")), "{}", refused.json());
    serve.until_logged("webhook_not_stored").await;
    let line = serve.logged("webhook_not_stored").remove(0);
    assert_eq!((&line["level"], &line["eventId"]), (&"critical".into(), &"evt_process_2".into()), "{line}");
    assert_eq!(status(to, "/readyz").await, 503);
    assert_eq!(status(to, "/livez").await, 200, "a restart would not help");
    serve.until_logged("run_not_recorded").await;

    free();
    until("the process is ready again", PATIENCE, || async { status(to, "/readyz").await == 200 }).await;
    assert_eq!(pay(2).await.status, 200);
    deployment.settled().await;
    deployment.assert_all_is_right(&[session(0), session(1), session(2)], "after the disk was full").await;
    assert_eq!(deployment.sandbox.ledger().cal.bookings.len(), 3);
}

async fn status(to: SocketAddr, path: &'static str) -> u16 {
    tokio::task::spawn_blocking(move || http::get(to, path).unwrap().status).await.unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_write_that_fails_is_503_until_it_succeeds_again() {
    if is_without_files() {
        return;
    }
    let deployment = Deployment::new().await;
    // The signal would end the process where the error is to reach it.
    let wrapper = ["sh", "-c", "trap '' XFSZ; exec \"$0\" \"$@\""];
    let serve = Process::start(deployment.command_under(&wrapper, &["serve", "--worker"]));
    serve.until_logged("serving").await;
    let maximum = getrlimit(Resource::Fsize).maximum;
    let limit = |current| {
        prlimit(Some(serve.pid()), Resource::Fsize, Rlimit { current, maximum }).unwrap();
    };
    runs_dry_and_recovers(&deployment, &serve, || limit(Some(0)), || limit(maximum)).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_full_disk_is_503_until_there_is_space_again() {
    if is_without_files() {
        return;
    }
    let mut deployment = Deployment::new().await;
    let Some(disk) = SmallDisk::mount(deployment.db.with_file_name("small")) else {
        println!("skipped: only root may mount a small disk");
        return;
    };
    deployment.db = disk.0.join("discuno.db");
    deployment.settings.insert("DISCUNO_DB", deployment.db.display().to_string());
    let serve = deployment.serve(&["--worker"]).await;
    let filler = disk.0.join("filler");
    let fill = || {
        let mut file = File::create(&filler).unwrap();
        while file.write_all(&[0; 4096]).is_ok() {}
    };
    runs_dry_and_recovers(&deployment, &serve, fill, || std::fs::remove_file(&filler).unwrap()).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn commands_that_only_look_work_where_nothing_can_be_written() {
    if is_without_files() {
        return;
    }
    let deployment = Deployment::new().await;
    deployment.play(&[checkout(1, "")]).await;
    let Some(disk) = SmallDisk::mount(deployment.db.with_file_name("small")) else {
        println!("skipped: only root may mount a small disk");
        return;
    };
    let at = |name: &str| disk.0.join(name).display().to_string();
    // A name that would mean something else in an address.
    let (backup, in_wal_mode, with_log) = (at("backup.db"), at("100%?a=b#c d.db"), at("killed.db"));
    // Whoever closes it last takes the log away: it is copied while somebody has it open who has written.
    let writer = rusqlite::Connection::open(&deployment.db).unwrap();
    writer.execute("UPDATE payments SET updated_at = updated_at + 1", []).unwrap();
    std::fs::copy(&deployment.db, &with_log).unwrap();
    std::fs::copy(deployment.db.with_extension("db-wal"), format!("{with_log}-wal")).unwrap();
    drop(writer);
    assert_eq!(deployment.ran(&["db", "backup", &backup]).0, Some(0));
    std::fs::copy(&backup, &in_wal_mode).unwrap();
    rusqlite::Connection::open(&in_wal_mode).unwrap().pragma_update(None, "journal_mode", "wal").unwrap();
    let bytes = std::fs::read(&backup).unwrap();
    let looks = [
        &["status"][..],
        &["payments"],
        &["show", "pay_1"],
        &["db", "check"],
        &["audit", "--verify"],
        &["alerts"],
        &["pause"],
        &["db", "prune", "--dry-run"],
    ];
    // The third time what reading has left lies beside it.
    for (time, how) in ["ro", "rw", "ro"].into_iter().enumerate() {
        disk.remount(how);
        for db in [&backup, &in_wal_mode] {
            for look in looks {
                let (status, _, said) = deployment.ran(&[look, &["--db", db]].concat());
                assert_eq!(status, Some(0), "{look:?} of {db}, {how}: {said}");
            }
            let copy = deployment.db.with_file_name(format!("copy-{time}-{}", db.len()));
            let (status, _, said) = deployment.ran(&["db", "backup", copy.to_str().unwrap(), "--db", db]);
            assert_eq!(status, Some(0), "{db}, {how}: {said}");
        }
        assert!(std::fs::read(&backup).unwrap() == bytes, "{how}: not as it was");
    }
    for look in looks {
        let (status, out, said) = deployment.ran(&[look, &["--db", &with_log]].concat());
        assert_eq!((status, out.as_str()), (Some(5), ""), "{look:?}: {said}");
        assert!(said.contains("copy both to where it can"), "{look:?}: {said}");
    }
    let (status, _, said) = deployment.ran(&["pause", "cal", "--db", &backup]);
    assert_eq!(status, Some(1), "{said}");
    assert!(said.contains("cannot be written"), "{said}");
}

/// A disk of one megabyte, gone when dropped.
struct SmallDisk(PathBuf);

impl SmallDisk {
    fn mount(at: PathBuf) -> Option<Self> {
        std::fs::create_dir(&at).unwrap();
        let done = Command::new("mount").args(["-t", "tmpfs", "-o", "size=1m", "discuno-test"]).arg(&at).output();
        done.is_ok_and(|done| done.status.success()).then_some(Self(at))
    }

    fn remount(&self, how: &str) {
        assert!(Command::new("mount").args(["-o", &format!("remount,{how}")]).arg(&self.0).status().unwrap().success());
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        // Lazily: the process that writes there may go later.
        let _ = Command::new("umount").arg("-l").arg(&self.0).status();
    }
}

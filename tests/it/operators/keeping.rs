//! `discuno status`, `db`, `completions` and `man`.

use std::collections::BTreeSet;
use std::ffi::OsString;
use std::path::Path;
use std::time::Duration;

use discuno::model::payment::PaymentStatus;
use discuno::store::Inbox;
use discuno::store::sqlite::{Mode, Sqlite, file};
use serde_json::Value;
use tokio_util::sync::CancellationToken;

use crate::conformance::NOW;
use crate::conformance::subjects::plan;
use crate::support::cluster::is_on_a_server;
use crate::support::cluster::is_without_files;
use crate::support::process::{Deployment, checkout};
use crate::support::pty::Terminal;
use crate::support::{Event, World, scratch};

async fn lively() -> Deployment {
    let deployment = Deployment::new().await;
    deployment.play(&[checkout(1, ""), checkout(2, "+cal-refused+refund-refused")]).await;
    deployment
}

#[tokio::test(flavor = "multi_thread")]
async fn one_screen_tells_who_has_to_act_and_what_came_in() {
    let deployment = lively().await;
    deployment.ran(&["pause", "cal", "--reason", "maintenance"]);
    let (status, screen, message) = deployment.ran(&["status"]);
    assert_eq!(status, Some(0), "{message}");
    for told in
        ["test money", "1 open, at risk: 50.00 USD", "refund_failed", "provider/cal by mia", "maintenance", "stripe"]
    {
        assert!(screen.contains(told), "{told}: {screen}");
    }
    let (_, document, _) = deployment.ran(&["status", "--json"]);
    let document: Value = serde_json::from_str(&document).unwrap();
    assert_eq!((&document["backlog"]["open_cases"], &document["at_risk"][0]["minor"]), (&1.into(), &5000.into()));
    assert_eq!(document["disk_free_bytes"].as_u64().is_some_and(|free| free > 0), !is_on_a_server());
    let mut terminal = Terminal::start(deployment.command(&["status", "--watch"]), 60);
    terminal.shows("maintenance").await;
    deployment.ran(&["resume", "cal"]);
    terminal.shows("paused").await;
    terminal.interrupt();
    assert_eq!(terminal.ends().await, Some(130));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_backup_is_taken_at_work_and_put_back_with_what_was_there_kept() {
    if is_without_files() {
        return;
    }
    let deployment = lively().await;
    let copy = deployment.db.with_extension("copy");
    let copy = copy.to_str().unwrap();
    let serve = deployment.serve(&["--worker"]).await;
    assert_eq!(deployment.ran(&["db", "backup", copy]).0, Some(0));
    let (status, _, message) = deployment.ran(&["db", "backup", copy]);
    assert_eq!(status, Some(5), "nothing is overwritten: {message}");
    let third = checkout(3, "");
    deployment.pay(serve.address().unwrap(), &third).await.unwrap();
    drop(serve);
    deployment.play(&[]).await;

    assert_eq!(deployment.ran(&["db", "restore", copy]).0, Some(6));
    let (status, _, message) = deployment.ran(&["db", "restore", copy, "--yes", "--reason", "a lost disk"]);
    assert_eq!(status, Some(0), "{message}");
    assert_eq!(deployment.ran(&["show", "pay_3"]).0, Some(3), "it was paid after the backup");
    assert!(deployment.ran(&["audit"]).1.contains("restore"));
    let kept = message.lines().find_map(|line| line.strip_prefix("what was there is in ")).unwrap();
    assert_eq!(deployment.ran(&["show", "pay_3", "--db", kept]).0, Some(0));

    assert_eq!(deployment.ran(&["db", "check"]).0, Some(0));

    // Nothing goes on before a person has looked.
    let serve = deployment.serve(&["--worker"]).await;
    deployment.pay(serve.address().unwrap(), &checkout(4, "")).await.unwrap();
    drop(serve);
    let claimed = || {
        let file = rusqlite::Connection::open(&deployment.db).unwrap();
        let sql = "SELECT token FROM runs WHERE workflow LIKE 'process-checkout%' ORDER BY id DESC LIMIT 1";
        file.query_row(sql, [], |row| row.get::<_, i64>(0)).unwrap()
    };
    assert_eq!(claimed(), 0);
    let screen = deployment.ran(&["status"]).1;
    assert!(screen.contains(" more by mia") && screen.contains("reconcile first"), "{screen}");
    let (status, released, _) = deployment.ran(&["resume", "--all"]);
    assert_eq!((status, released.lines().count()), (Some(0), discuno::workflow::NAMES.len() - 2));
    assert!(!released.contains("alert"), "people are told all the while: {released}");
    assert!(deployment.ran(&["resume", "--all"]).2.contains("nothing is paused"));

    // The event that the backup knows nothing of comes again, and books nothing twice.
    deployment.play(&[third]).await;
    assert_eq!(deployment.sandbox.ledger().cal.bookings.len(), 3);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_restore_that_is_only_rehearsed_says_what_it_would_do_and_changes_nothing() {
    if is_without_files() {
        return;
    }
    let deployment = lively().await;
    let copy = deployment.db.with_extension("copy");
    assert_eq!(deployment.ran(&["db", "backup", copy.to_str().unwrap()]).0, Some(0));
    deployment.play(&[checkout(3, "")]).await;
    let files = || {
        let found = std::fs::read_dir(deployment.db.parent().unwrap()).unwrap().map(|entry| entry.unwrap().file_name());
        // SQLite's own log and its index are there as long as anybody looks.
        let is_sqlites_own = |name: &OsString| ["-wal", "-shm"].iter().any(|end| name.to_string_lossy().ends_with(end));
        let mut found: Vec<_> = found.filter(|name| !is_sqlites_own(name)).collect();
        found.sort();
        found
    };
    let (before, trail) = (files(), deployment.ran(&["audit"]).1);

    let restore = ["db", "restore", copy.to_str().unwrap(), "--dry-run", "--json"];
    let (status, document, message) = deployment.ran(&restore);
    assert_eq!(status, Some(0), "{message}");
    let document: Value = serde_json::from_str(&document).unwrap();
    let expected = serde_json::json!({ "database": deployment.db, "restored": copy, "kept": null, "dry_run": true });
    assert_eq!(document, expected);
    assert!(message.contains("which is kept beside it") && message.contains("nothing was done"), "{message}");
    assert_eq!(files(), before, "nothing is made");
    assert_eq!(deployment.ran(&["audit"]).1, trail);
    assert_eq!(deployment.ran(&["show", "pay_3"]).0, Some(0), "it was paid after the backup");
    assert!(!deployment.ran(&["status"]).1.contains("paused"));

    // What could not be restored is refused without being tried, with a document too.
    let missing = deployment.db.with_extension("missing");
    for (from, expected) in [(&missing, Some(3)), (&copy, Some(1))] {
        if expected == Some(1) {
            std::fs::write(&copy, b"SQLite format 3\0 and nothing of it").unwrap();
        }
        let (status, document, message) =
            deployment.ran(&["db", "restore", from.to_str().unwrap(), "--dry-run", "--json"]);
        let last: Value = serde_json::from_str(message.lines().last().unwrap()).unwrap();
        assert_eq!((status, document.as_str()), (expected, ""), "{message}");
        assert_eq!(last["error"]["status"].as_i64(), expected.map(i64::from), "{message}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_database_that_other_tools_have_put_back_is_held_until_a_person_has_looked() {
    let deployment = lively().await;
    let (status, held, message) = deployment.ran(&["db", "hold", "--reason", "recovered to 14:05"]);
    assert_eq!((status, held.lines().count()), (Some(0), discuno::workflow::NAMES.len() - 2), "{message}");
    assert!(!held.contains("alert"), "people are told all the while: {held}");
    assert!(message.contains("reconcile") && message.contains("resume --all"), "{message}");
    let (status, again, _) = deployment.ran(&["db", "hold", "--json"]);
    let again: Value = serde_json::from_str(&again).unwrap();
    assert_eq!((status, &again["held"][0]["result"]), (Some(0), &"was held before".into()), "{again}");
    let serve = deployment.serve(&["--worker"]).await;
    deployment.pay(serve.address().unwrap(), &checkout(4, "")).await.unwrap();
    drop(serve);
    let taken = "SELECT count(*) FROM runs r JOIN payments p ON p.id = r.payment_id \
                 WHERE p.session_id = (SELECT session_id FROM payments ORDER BY id DESC LIMIT 1) AND r.token > 0";
    assert_eq!(deployment.books().count(taken), 0);
    assert!(deployment.ran(&["status"]).1.contains("recovered to 14:05"));
    assert!(deployment.ran(&["audit"]).1.contains("recovered to 14:05"));
    deployment.ran(&["resume", "--all"]);
    deployment.play(&[]).await;
    assert_eq!(deployment.sandbox.ledger().cal.bookings.len(), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_damaged_or_foreign_file_is_found_and_not_restored() {
    if is_without_files() {
        return;
    }
    let deployment = lively().await;
    assert_eq!(deployment.ran(&["db", "check"]).0, Some(0));
    let broken = deployment.db.with_extension("broken");
    let broken = broken.to_str().unwrap();
    assert_eq!(deployment.ran(&["db", "backup", broken]).0, Some(0));
    let file = rusqlite::Connection::open(broken).unwrap();
    file.execute_batch("PRAGMA foreign_keys = OFF; DROP TRIGGER acts_stay; DELETE FROM payments WHERE id = 1").unwrap();
    drop(file);
    let (status, found, _) = deployment.ran(&["db", "check", "--db", broken]);
    assert_eq!(status, Some(9));
    assert!(found.contains("acts_stay") && found.contains("payments"), "{found}");
    let (status, _, message) = deployment.ran(&["db", "restore", broken, "--yes"]);
    assert_eq!(status, Some(1), "{message}");
    assert_eq!(deployment.ran(&["show", "pay_1"]).0, Some(0));
    // What is damaged gives way to a backup and is kept; what is somebody else's does not.
    let good = deployment.db.with_extension("good");
    let good = good.to_str().unwrap();
    assert_eq!(deployment.ran(&["db", "backup", good]).0, Some(0));
    let target = deployment.db.with_extension("target");
    let target = target.to_str().unwrap();
    std::fs::write(target, b"SQLite format 3\0 that was").unwrap();
    let (status, _, message) = deployment.ran(&["payments", "--db", target]);
    assert!(status == Some(1) && message.contains("discuno db restore"), "{message}");
    let (status, _, message) = deployment.ran(&["db", "restore", good, "--db", target, "--yes"]);
    assert_eq!(status, Some(0), "{message}");
    let kept = message.lines().find_map(|line| line.strip_prefix("what was there is in ")).unwrap();
    assert_eq!(std::fs::read(kept).unwrap(), b"SQLite format 3\0 that was");
    assert_eq!(deployment.ran(&["db", "check", "--db", target]).0, Some(0));
    let theirs = deployment.db.with_extension("theirs");
    rusqlite::Connection::open(&theirs).unwrap().execute_batch("CREATE TABLE notes (text)").unwrap();
    let (status, _, message) = deployment.ran(&["db", "restore", good, "--db", theirs.to_str().unwrap(), "--yes"]);
    assert!(status == Some(5) && message.contains("left as it is"), "{message}");
    let left = std::fs::read_dir(theirs.parent().unwrap()).unwrap().map(|entry| entry.unwrap().file_name());
    let left: Vec<_> = left.filter(|name| name.to_string_lossy().contains(".restoring")).collect();
    assert!(left.is_empty(), "{left:?}");
    std::fs::write(broken, b"SQLite format 3\0 and nothing of it").unwrap();
    let itself = deployment.db.to_str().unwrap();
    let (status, _, message) = deployment.ran(&["db", "restore", itself, "--yes"]);
    assert!(status == Some(5) && message.contains("the database itself"), "{message}");
    let (status, _, message) = deployment.ran(&["db", "restore", broken, "--yes"]);
    assert!(status == Some(1) && message.contains("nothing was changed"), "{message}");
    assert!(!message.contains("discuno db restore"), "{message}");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_acknowledged_while_a_backup_is_put_back_is_in_one_of_the_two_files() {
    let dir = scratch();
    let [db, copy, kept] = ["d.db", "copy.db", "kept.db"].map(|name| dir.path().join(name));
    let store = Sqlite::open(&db, Mode::Threads, "test").unwrap();
    store.ingest(plan("evt_before", vec![]), NOW).await.unwrap();
    file::backup(&db, &copy).unwrap();
    let stop = CancellationToken::new();
    let arrivals = tokio::spawn({
        let (store, stop) = (store.clone(), stop.clone());
        async move {
            let mut acknowledged = Vec::new();
            while !stop.is_cancelled() || acknowledged.len() < 2 {
                let id = format!("evt_{}", acknowledged.len());
                store.ingest(plan(&id, vec![]), NOW).await.unwrap();
                acknowledged.push(id);
            }
            acknowledged
        }
    });
    let from = (copy.clone(), db.clone(), kept.clone());
    tokio::task::spawn_blocking(move || file::restore(&from.0, &from.1, &from.2, vec![], NOW)).await.unwrap().unwrap();
    stop.cancel();
    let acknowledged = arrivals.await.unwrap();
    let ids = |path: &Path| -> BTreeSet<String> {
        let conn = rusqlite::Connection::open(path).unwrap();
        let mut all = conn.prepare("SELECT external_id FROM events").unwrap();
        all.query_map([], |row| row.get(0)).unwrap().map(Result::unwrap).collect()
    };
    let there: BTreeSet<String> = ids(&kept).union(&ids(&db)).cloned().collect();
    let lost: Vec<_> = acknowledged.iter().filter(|id| !there.contains(*id)).collect();
    assert!(acknowledged.len() > 1 && lost.is_empty(), "of {} these are lost: {lost:?}", acknowledged.len());
}

#[tokio::test(flavor = "multi_thread")]
async fn pruning_counts_first_and_keeps_what_money_hangs_on() {
    let deployment = lively().await;
    let (_, counted, _) = deployment.ran(&["db", "prune", "--older-than", "now", "--dry-run"]);
    let all = ["db", "prune", "--older-than", "now", "--vacuum"];
    let (status, _, message) = deployment.ran(&[&all[..], &["--yes"]].concat());
    assert!(status == Some(2) && message.contains("--even-recent"), "what is recent is needed: {message}");
    let all = [&all[..], &["--even-recent"]].concat();
    assert_eq!(deployment.ran(&all).0, Some(6), "nobody has said yes");
    let (status, _, message) = deployment.ran(&["db", "prune", "--older-than", "2999-01-01", "--even-recent", "--yes"]);
    assert!(status == Some(2) && message.contains("in the future"), "{message}");
    let (status, gone, message) = deployment.ran(&[&all[..], &["--yes"]].concat());
    assert_eq!(status, Some(0), "{message}");
    let number = |text: &str| text.split('\t').next().unwrap().parse::<u32>().unwrap();
    assert!(number(&counted) > 0, "{counted}");
    assert_eq!(number(&counted), number(&gone));
    assert_eq!(deployment.ran(&["payments"]).1.lines().count(), 3);
    assert_eq!(deployment.ran(&["show", "evt_process_1", "--raw"]).0, Some(3), "its bytes are gone");
    deployment.play(&[checkout(1, "").id("evt_process_later")]).await;
    let (status, bytes, said) = deployment.ran(&["show", "pi_process_1", "--raw"]);
    assert_eq!((status, bytes.lines().count()), (Some(0), 1), "what there is: {said}");
    assert!(bytes.contains("evt_process_later") && said.contains("pruned: body of ev_1"), "{said}");
    assert_eq!(deployment.ran(&["db", "check"]).0, Some(0));
    assert_eq!(deployment.ran(&["db", "migrate"]).0, Some(0));
}

#[tokio::test(flavor = "multi_thread")]
async fn every_command_has_a_manual_page_and_completions() {
    let deployment = Deployment::new().await;
    for shell in ["bash", "zsh", "fish"] {
        let (status, script, _) = deployment.ran(&["completions", shell]);
        assert_eq!(status, Some(0));
        assert!(script.contains("refund") && script.contains("dry-run"), "{shell}");
    }
    let (_, help, _) = deployment.ran(&["--help"]);
    let commands: Vec<&str> = help
        .lines()
        .skip_while(|line| *line != "Commands:")
        .skip(1)
        .take_while(|line| !line.is_empty())
        .filter_map(|line| line.strip_prefix("  ")?.split_whitespace().next())
        .filter(|name| *name != "help")
        .collect();
    assert!(commands.len() > 20, "{commands:?}");
    for command in commands {
        let (status, page, _) = deployment.ran(&["man", command]);
        assert_eq!(status, Some(0), "{command}");
        assert!(page.contains(&format!("discuno\\-{command}")), "{command}: {page}");
        let (status, help, _) = deployment.ran(&[command, "--help"]);
        assert_eq!(status, Some(0), "{command}");
        assert!(help.contains("Usage: discuno"), "{command}");
    }
    assert!(deployment.ran(&["man", "db", "backup"]).1.contains("discuno\\-db\\-backup"));
    assert_eq!(deployment.ran(&["man", "db", "nothing"]).0, Some(2));
    assert_eq!(deployment.ran(&["man", "nothing"]).0, Some(2));
}

#[tokio::test(start_paused = true)]
async fn what_a_lost_database_had_booked_is_found_and_not_booked_again() {
    let purchase = Event::paid("zoe@example.edu");
    let world = World::new();
    world.send(&purchase).await;
    world.settle().await;
    let mut again = World::idle();
    again.sandbox = world.sandbox.clone();
    again.work_over(again.providers());
    tokio::time::sleep(Duration::from_secs(3600)).await;
    again.send(&purchase).await;
    again.settle().await;
    assert_eq!(again.payment().await.status, PaymentStatus::Booked);
    let asked = again.ledger().cal.requests.iter().filter(|request| request.method == "POST").count();
    assert_eq!(asked, 1, "the second database asks for no booking");
}

//! From a file to a server and back.

use discuno::store::postgres::{self, Postgres};
use discuno::store::sql::{copy, fence};
use discuno::store::sqlite::{Mode, Sqlite};
use serde_json::Value;

use crate::support::cluster::Cluster;
use crate::support::process::{Deployment, PATIENCE, Process, checkout, until};

fn payments(deployment: &Deployment) -> Vec<Value> {
    let (status, document, message) = deployment.ran(&["payments", "--json"]);
    assert_eq!(status, Some(0), "{message}");
    serde_json::from_str::<Value>(&document).unwrap()["payments"].as_array().unwrap().clone()
}

fn copies(deployment: &Deployment, from: &str, to: &str) {
    let (status, table, message) = deployment.ran(&["db", "copy", "--from", from, "--to", to, "--yes"]);
    assert_eq!(status, Some(0), "{message}");
    assert!(table.contains("attempts"), "{table}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_business_moves_to_a_server_and_back_and_only_one_of_the_two_can_act() {
    let Some(cluster) = Cluster::shared() else { return };
    let (mut deployment, server) = (Deployment::new().await, cluster.fresh());
    let file = deployment.db.display().to_string();
    deployment.settings.insert("DISCUNO_DB", file.clone());
    deployment.play(&[checkout(1, ""), checkout(2, "+cal-refused")]).await;
    let before = payments(&deployment);
    copies(&deployment, &format!("sqlite:{file}"), &server);

    // The file tells where its data is, and no process can write to it, however long it has had it open.
    let (status, _, message) = deployment.ran(&["payments"]);
    assert_ne!(status, Some(0));
    assert!(message.contains("was moved to postgres://") && message.contains("discuno db reopen"), "{message}");
    let conn = rusqlite::Connection::open(&deployment.db).unwrap();
    let refused = conn.execute("UPDATE runs SET stalls = 0", []).unwrap_err();
    assert!(refused.to_string().contains("was moved"), "{refused}");

    // The server has all of it, and goes on.
    deployment.settings.insert("DISCUNO_DB", server.clone());
    assert_eq!(payments(&deployment), before);
    assert_eq!(deployment.ran(&["db", "check"]).0, Some(0), "{:?}", deployment.ran(&["db", "check"]));
    deployment.play(&[checkout(3, "")]).await;
    deployment.assert_all_is_right(&[], "on the server").await;
    let (status, screen, message) = deployment.ran(&["status"]);
    assert_eq!(status, Some(0), "{message}");
    assert!(screen.contains("postgres://"), "{screen}");

    // And back.
    let back = deployment.db.with_file_name("back.db").display().to_string();
    let after = payments(&deployment);
    copies(&deployment, &server, &back);
    let database = server.rsplit('/').next().unwrap();
    let refused = cluster.run(database, "UPDATE discuno.runs SET stalls = 0").unwrap_err();
    assert!(refused.contains("was moved"), "{refused}");
    deployment.settings.insert("DISCUNO_DB", back);
    assert_eq!(payments(&deployment), after);
    assert_eq!(deployment.ran(&["db", "check"]).0, Some(0));
    deployment.play(&[checkout(4, "")]).await;
    assert_eq!(payments(&deployment).len(), 4);

    // A person may say that nothing was done there.
    deployment.settings.insert("DISCUNO_DB", server);
    assert_eq!(deployment.ran(&["db", "reopen", "--yes"]).0, Some(0));
    assert_eq!(payments(&deployment), after);
}

#[tokio::test(flavor = "multi_thread")]
async fn after_a_copy_that_was_killed_both_sides_name_the_way_on() {
    let Some(cluster) = Cluster::shared() else { return };
    let (mut deployment, server) = (Deployment::new().await, cluster.fresh());
    let (file, name) = (deployment.db.display().to_string(), server.rsplit('/').next().unwrap().to_owned());
    deployment.settings.insert("DISCUNO_DB", file.clone());
    deployment.play(&[checkout(1, "")]).await;
    let before = payments(&deployment);

    // Somebody holds a table still, so that the copy is met in the middle.
    drop(Postgres::open(&server.parse().unwrap(), postgres::Mode::Inline, "test").unwrap());
    let (held, number) = ("discuno.events", |sql: &str| cluster.run(&name, sql).unwrap().parse::<u32>().unwrap());
    let locks =
        format!("SELECT count(*) FROM pg_locks WHERE relation = '{held}'::regclass AND mode LIKE '%ExclusiveLock'");
    let hold = format!("LOCK TABLE {held} IN EXCLUSIVE MODE; SELECT pg_sleep(600)");
    std::thread::scope(|scope| {
        let holder = scope.spawn(|| cluster.run(&name, &hold));
        let killed = async {
            until("it is held", PATIENCE, async || number(&format!("{locks} AND granted")) == 1).await;
            let mut copy =
                Process::start(deployment.command(&["db", "copy", "--from", &file, "--to", &server, "--yes"]));
            until("it is copied", PATIENCE, async || number(&format!("{locks} AND NOT granted")) == 1).await;
            copy.kill();
        };
        tokio::task::block_in_place(|| tokio::runtime::Handle::current().block_on(killed));
        let end = "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity WHERE query LIKE 'LOCK TABLE%'";
        assert_eq!(number(end), 1);
        holder.join().unwrap().unwrap_err();
    });

    let reopen = format!("`discuno db reopen --db {file}`");
    let (status, _, message) = deployment.ran(&["db", "copy", "--from", &file, "--to", &server, "--yes"]);
    assert!(
        status != Some(0) && message.contains("does not open") && message.contains("discuno db reopen"),
        "{message}"
    );
    deployment.settings.insert("DISCUNO_DB", server.clone());
    let (status, _, message) = deployment.ran(&["payments"]);
    assert!(status != Some(0) && message.contains("did not end") && message.contains(&reopen), "{message}");

    // As it was told.
    assert_eq!(deployment.ran(&["db", "reopen", "--db", &file, "--yes"]).0, Some(0));
    copies(&deployment, &file, &server);
    assert_eq!(payments(&deployment), before);
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_copied_over_what_is_there() {
    let Some(cluster) = Cluster::shared() else { return };
    let (mut deployment, server) = (Deployment::new().await, cluster.fresh());
    let file = deployment.db.display().to_string();
    deployment.settings.insert("DISCUNO_DB", server.clone());
    deployment.play(&[checkout(1, "")]).await;
    deployment.settings.insert("DISCUNO_DB", file.clone());
    deployment.play(&[checkout(2, "")]).await;
    let (status, _, message) = deployment.ran(&["db", "copy", "--from", &file, "--to", &server, "--yes"]);
    assert_ne!(status, Some(0));
    assert!(message.contains("has to be empty"), "{message}");
    assert_eq!(payments(&deployment).len(), 1, "the file is in use as before");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_done_to_a_file_is_refused_for_a_server_with_what_to_do_instead() {
    let Some(cluster) = Cluster::shared() else { return };
    let mut deployment = Deployment::new().await;
    deployment.settings.insert("DISCUNO_DB", cluster.fresh());
    deployment.play(&[checkout(1, "")]).await;
    let (status, _, message) = deployment.ran(&["db", "backup", "copy.db"]);
    assert_ne!(status, Some(0));
    assert!(message.contains("pg_basebackup"), "{message}");
    for command in [&["db", "migrate"][..], &["db", "prune"], &["db", "check"], &["check", "--offline"]] {
        assert_eq!(deployment.ran(command).0, Some(0), "{command:?}: {}", deployment.ran(command).2);
    }
}

#[test]
fn the_demo_ends_rightly_on_a_server() {
    let Some(cluster) = Cluster::shared() else { return };
    let mut demo = std::process::Command::new(env!("CARGO_BIN_EXE_discuno"));
    let output = demo.args(["demo", "--db", &cluster.fresh()]).output().unwrap();
    let said = [output.stdout, output.stderr].concat();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&said));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_opened_again_while_it_was_copied_stays_the_one_in_use() {
    let dir = tempfile::tempdir().unwrap();
    let open = |name: &str| Sqlite::open(&dir.path().join(name), Mode::Inline, "test").unwrap();
    let (source, target) = (open("a.db"), open("b.db"));
    let mut opened = false;
    let copied = copy::copy((&source, "a.db"), (&target, "b.db"), |_| {
        if !std::mem::replace(&mut opened, true) {
            let open = fence::reopen(&source);
            tokio::task::block_in_place(|| tokio::runtime::Handle::current().block_on(open)).unwrap();
        }
    });
    let refused = copied.await.unwrap_err().to_string();
    assert!(refused.contains("was opened again"), "{refused}");
    assert!(Sqlite::existing(&dir.path().join("a.db"), Mode::Inline).is_ok());
    let other = Sqlite::existing(&dir.path().join("b.db"), Mode::Inline).err().unwrap().to_string();
    assert!(other.contains("did not end"), "{other}");
}

//! Databases of every earlier version are upgraded and worked on; a newer one is refused.

use std::collections::BTreeMap;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::time::Duration;

use discuno::model::payment::PaymentStatus;
use discuno::model::time::Timestamp;
use discuno::store::error::Error;
use discuno::store::filter::Filter;
use discuno::store::postgres::{self, Address, Postgres};
use discuno::store::sqlite::{Mode, Sqlite, file};
use discuno::store::{Inbox, Lists, Store};
use rusqlite::Connection;

use crate::conformance::subjects;
use crate::support::cluster::{Cluster, is_without_files};
use crate::support::process::{Deployment, PATIENCE, until};
use crate::support::{World, money, newest, scratch};

/// A database that a program of each version left when it was killed at work. With a new version comes a new one.
const VERSIONS: [u32; 5] = [1, 2, 3, 4, 5];

fn unpack(version: u32, to: &Path) {
    let name = format!("tests/fixtures/databases/v{version}.db.gz");
    let packed = std::fs::File::open(Path::new(env!("CARGO_MANIFEST_DIR")).join(name)).unwrap();
    let mut bytes = Vec::new();
    flate2::read::GzDecoder::new(packed).read_to_end(&mut bytes).unwrap();
    std::fs::write(to, bytes).unwrap();
}

fn version_of(db: &Path) -> u32 {
    Connection::open(db).unwrap().query_row("PRAGMA user_version", [], |row| row.get(0)).unwrap()
}

/// Pretends that a program from the future has been here.
fn make_newer(db: &Path) {
    let newer = version_of(db) + 1;
    Connection::open(db).unwrap().pragma_update(None, "user_version", newer).unwrap();
}

fn all_rows(db: &Path) -> BTreeMap<String, i64> {
    let file = Connection::open(db).unwrap();
    let mut tables = file.prepare("SELECT name FROM sqlite_schema WHERE type = 'table'").unwrap();
    let tables: Vec<String> = tables.query_map([], |row| row.get(0)).unwrap().map(Result::unwrap).collect();
    let count =
        |table: &String| file.query_row(&format!("SELECT count(*) FROM {table}"), [], |row| row.get(0)).unwrap();
    tables.iter().map(|table| (table.clone(), count(table))).filter(|(_, rows)| *rows > 0).collect()
}

#[test]
fn each_earlier_schema_becomes_the_one_of_today_with_a_copy_kept() {
    let today = scratch();
    let today = today.path().join("today.db");
    drop(Sqlite::open(&today, Mode::Inline, "test").unwrap());
    for version in VERSIONS {
        let dir = scratch();
        let db = dir.path().join("old.db");
        unpack(version, &db);
        let rows = all_rows(&db);
        let kept = file::upgrade(&db).unwrap().expect("a copy");
        assert_eq!((version_of(&db), version_of(&kept)), (version_of(&today), version));
        assert_eq!(file::check(&db).unwrap(), Vec::<String>::new(), "v{version}");
        assert_eq!((all_rows(&db), all_rows(&kept)), (rows.clone(), rows), "v{version}: every row is there");
        assert_eq!(file::upgrade(&db).unwrap(), None, "v{version}: once is enough");
        // The copy can be put back and is upgraded on the way; no copy takes the place of another.
        file::restore(&kept, &db, &file::kept_as(&db, "again"), Vec::new(), Timestamp(0)).unwrap();
        assert_eq!((version_of(&db), version_of(&kept)), (version_of(&today), version), "v{version}");
        unpack(version, &db);
        assert_eq!(file::upgrade(&db).unwrap(), Some(PathBuf::from(format!("{}.2", kept.display()))), "v{version}");
    }
}

#[tokio::test(start_paused = true)]
async fn what_an_earlier_version_was_at_is_carried_to_a_right_end() {
    if is_without_files() {
        return;
    }
    for version in VERSIONS {
        let context = format!("v{version}");
        let dir = scratch();
        let old = dir.path().join("old.db");
        unpack(version, &old);
        let last = "SELECT max(received_at) FROM events";
        let last: i64 = Connection::open(&old).unwrap().query_row(last, [], |row| row.get(0)).unwrap();
        let mut world = World::starting_at(Timestamp(last).plus(Duration::from_secs(120)), |config| {
            std::fs::copy(&old, &config.db).unwrap();
        });
        let db = world.app.config.db.clone();
        let before = newest(&world.app.store, money::ALL).await;
        // What was paid back or booked before is in the books of providers that are not there any more.
        let underway = before.iter().filter(|known| known.status == PaymentStatus::Paid);
        let underway: Vec<String> = underway.map(|known| known.session_id.clone()).collect();
        assert!(underway.len() >= 5, "{context}: {underway:?}");
        let bodies: Vec<Vec<u8>> = {
            let file = Connection::open(&db).unwrap();
            let mut bodies = file.prepare("SELECT body FROM events ORDER BY id").unwrap();
            bodies.query_map([], |row| row.get(0)).unwrap().map(Result::unwrap).collect()
        };
        for body in &bodies {
            world.sandbox.observe(body);
        }

        world.work_over(world.providers());
        world.settle().await;
        money::assert_these(&world.app.store, &world.ledger(), &context, |payment| {
            underway.contains(&payment.session_id)
        })
        .await;
        for (was, is) in before.iter().zip(newest(&world.app.store, money::ALL).await) {
            let ended = was.status != PaymentStatus::Paid;
            assert!(!ended || was.status == is.status, "{context}: {} was {}", is.id, was.status);
        }
        world.assert_repeatable(&context).await;
        assert_eq!(file::check(&db).unwrap(), Vec::<String>::new(), "{context}");
    }
}

#[test]
fn an_upgrade_that_cannot_be_kept_changes_nothing() {
    let dir = scratch();
    let db = dir.path().join("odd.db");
    unpack(3, &db);
    let odd = Connection::open(&db).unwrap();
    odd.execute_batch("PRAGMA foreign_keys = OFF; DELETE FROM payments WHERE id = 1").unwrap();
    drop(odd);
    let refused = file::upgrade(&db).unwrap_err();
    assert!(matches!(&refused, Error::Corrupt(why) if why.contains("nothing was changed")), "{refused}");
    assert_eq!(version_of(&db), 3);
}

#[tokio::test]
async fn a_store_that_is_open_when_a_newer_program_comes_writes_no_more() {
    for mode in [Mode::Inline, Mode::Threads] {
        let dir = scratch();
        let db = dir.path().join("discuno.db");
        let store = Sqlite::open(&db, mode, "test").unwrap();
        store.is_writable().await.unwrap();
        make_newer(&db);
        let refused = store.ingest(subjects::paid("1"), crate::conformance::NOW).await.unwrap_err();
        assert!(matches!(&refused, Error::Illegal(why) if why.contains("use the newer discuno")), "{refused}");
        assert_eq!(all_rows(&db).get("events"), None);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn every_command_refuses_a_newer_database_and_says_so() {
    if is_without_files() {
        return;
    }
    let deployment = Deployment::new().await;
    drop(deployment.store());
    make_newer(&deployment.db);
    // The store's threads close the file, and the last takes the log with it: unless two are so near to each other that neither is.
    let log = deployment.db.with_extension("db-wal");
    until("nobody has the file open", PATIENCE, async || {
        all_rows(&deployment.db);
        !log.exists()
    })
    .await;
    let bytes = std::fs::read(&deployment.db).unwrap();
    for args in [
        &["serve"][..],
        &["worker"],
        &["serve", "--worker"],
        &["status"],
        &["payments"],
        &["show", "pay_1"],
        &["refund", "pay_1", "--yes"],
        &["reconcile"],
        &["db", "check"],
        &["db", "migrate"],
        &["db", "backup", "copy.db"],
    ] {
        let (status, out, said) = deployment.ran(args);
        assert_eq!(status, Some(5), "{args:?}: {said}");
        assert!(said.contains("use the newer discuno") && out.is_empty(), "{args:?}: {said}");
    }
    assert!(std::fs::read(&deployment.db).unwrap() == bytes, "the file is another");
}

/// A file of another program, which has given it this number and left some of what it holds in its log.
fn make_foreign(db: &Path, number: u32, journal: &str) {
    let made = db.with_extension("made");
    let theirs = Connection::open(&made).unwrap();
    theirs.pragma_update(None, "journal_mode", journal).unwrap();
    theirs.pragma_update(None, "user_version", number).unwrap();
    theirs.execute_batch("CREATE TABLE meta (key, value); INSERT INTO meta VALUES ('mode', 'test')").unwrap();
    // As a process leaves it that was killed.
    let with = |path: &Path, suffix: &str| PathBuf::from(format!("{}{suffix}", path.display()));
    for suffix in ["", "-wal"].iter().filter(|suffix| with(&made, suffix).exists()) {
        std::fs::copy(with(&made, suffix), with(db, suffix)).unwrap();
    }
    drop(theirs);
    std::fs::remove_file(made).unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn every_command_leaves_a_file_of_another_program_as_it_is_and_says_so() {
    if is_without_files() {
        return;
    }
    for (number, journal) in [(0, "delete"), (3, "delete"), (6, "delete"), (9, "delete"), (3, "wal")] {
        let deployment = Deployment::new().await;
        make_foreign(&deployment.db, number, journal);
        let files = || {
            let all = std::fs::read_dir(deployment.db.parent().unwrap()).unwrap();
            let kept = all.map(|file| file.unwrap().path()).filter(|path| !path.ends_with("discuno.db-shm"));
            kept.map(|path| (path.clone(), std::fs::read(path).unwrap())).collect::<BTreeMap<_, _>>()
        };
        let before = files();
        for args in [
            &["serve"][..],
            &["worker"],
            &["db", "migrate"],
            &["db", "check"],
            &["db", "backup", "copy.db"],
            &["db", "restore", "discuno.db", "--yes"],
            &["status"],
            &["payments"],
            &["refund", "pay_1", "--yes"],
        ] {
            let (status, out, said) = deployment.ran(args);
            assert_eq!(status, Some(5), "{args:?} on {number}, {journal}: {said}");
            assert!(said.contains("not a discuno database: it is left as it is"), "{args:?} on {number}: {said}");
            assert!(!said.contains("database_upgrade") && out.is_empty(), "{args:?} on {number}: {said}");
            assert!(files() == before, "{args:?} on {number}, {journal}: not as it was");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_reads_an_older_database_names_the_command_that_upgrades_it() {
    if is_without_files() {
        return;
    }
    let deployment = Deployment::new().await;
    unpack(2, &deployment.db);
    let (status, _, said) = deployment.ran(&["payments"]);
    assert_eq!(status, Some(5), "{said}");
    assert!(said.contains("discuno db migrate"), "{said}");
    let (status, _, said) = deployment.ran(&["db", "migrate"]);
    assert_eq!(status, Some(0), "{said}");
    assert!(said.contains("discuno.db.schema-2"), "{said}");
    assert_eq!(deployment.ran(&["payments"]).0, Some(0));
}

/// The schemas that programs of each version made on PostgreSQL.
const POSTGRES: [&str; 2] =
    [include_str!("../fixtures/databases/postgres-v1.sql"), include_str!("../fixtures/databases/postgres-v2.sql")];

fn name_of(address: &str) -> &str {
    address.rsplit('/').next().unwrap()
}

#[test]
fn an_older_postgres_schema_is_brought_up_while_others_are_at_work_in_it() {
    let Some(cluster) = Cluster::shared() else { return };
    for (version, schema) in POSTGRES.iter().enumerate() {
        let address = cluster.fresh();
        let name = name_of(&address);
        let made = format!(
            "CREATE SCHEMA discuno; SET search_path = discuno; {schema} INSERT INTO meta VALUES ('schema', '{}'), ('mode', 'test')",
            version + 1
        );
        cluster.run(name, &made).unwrap();
        let place: Address = address.parse().unwrap();
        let too_old = Postgres::existing(&place, postgres::Mode::Inline).err().map(|error| error.to_string());
        assert!(too_old.as_ref().is_some_and(|error| error.contains("`discuno serve` brings it there")), "{too_old:?}");
        std::thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| drop(Postgres::open(&place, postgres::Mode::Inline, "test").unwrap()));
            }
        });
        assert_eq!(postgres::check::check(&place).unwrap(), Vec::<String>::new());
        let fresh = cluster.fresh();
        drop(Postgres::open(&fresh.parse().unwrap(), postgres::Mode::Inline, "test").unwrap());
        let made = |name: &str| {
            let options =
                "SELECT relname, reloptions FROM pg_class WHERE relnamespace = 'discuno'::regnamespace ORDER BY 1";
            (
                cluster.run(name, options).unwrap(),
                cluster.run(name, "SELECT value FROM discuno.meta WHERE key = 'schema'").unwrap(),
            )
        };
        assert_eq!(made(name), made(name_of(&fresh)));
    }
}

#[test]
fn a_program_works_in_a_newer_postgres_schema_only_if_that_lets_it() {
    let Some(cluster) = Cluster::shared() else { return };
    let address = cluster.fresh();
    let name = name_of(&address);
    let place: Address = address.parse().unwrap();
    let open = || Postgres::open(&place, postgres::Mode::Inline, "test").map(drop);
    open().unwrap();
    let known: i64 = cluster.run(name, "SELECT value FROM discuno.meta WHERE key = 'schema'").unwrap().parse().unwrap();
    let newer = |least: i64| {
        let set = |key: &str, value: i64| {
            let put = format!(
                "INSERT INTO discuno.meta VALUES ('{key}', '{value}') ON CONFLICT (key) DO UPDATE SET value = excluded.value"
            );
            cluster.run(name, &put).unwrap();
        };
        set("schema", known + 1);
        set("schema_least", least);
        open()
    };
    newer(known).unwrap();
    let refused = newer(known + 1).unwrap_err().to_string();
    assert!(refused.contains("use the newer discuno"), "{refused}");
}

#[tokio::test]
async fn who_owns_our_schema_needs_no_right_to_make_one() {
    let Some(cluster) = Cluster::shared() else { return };
    let address = cluster.fresh();
    let name = name_of(&address);
    let run = |sql: &str| cluster.run(name, sql).unwrap();
    run("CREATE ROLE keeper LOGIN");
    run(&format!("REVOKE ALL ON DATABASE {name} FROM PUBLIC; GRANT CONNECT ON DATABASE {name} TO keeper"));
    run("CREATE SCHEMA discuno AUTHORIZATION keeper");
    let place: Address = address.replacen("discuno@", "keeper@", 1).parse().unwrap();
    let open = || Postgres::open(&place, postgres::Mode::Inline, "test").unwrap();
    open().ingest(subjects::paid("1"), crate::conformance::NOW).await.unwrap();
    drop(open());
    let refused = postgres::check::check(&place).unwrap_err().to_string();
    assert!(refused.contains("permission denied") && refused.contains("a role that may"), "{refused}");
    // What a copy has left is taken away, and made again.
    run("INSERT INTO discuno.meta VALUES ('filling', 'discuno.db')");
    assert!(Postgres::discard_unfinished(&place).unwrap());
    assert!(open().events(Filter::newest(9)).await.unwrap().is_empty());
}

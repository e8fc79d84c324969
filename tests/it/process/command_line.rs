//! How commands end.

use std::fs::{File, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Stdio;

use discuno::entropy::Entropy;

use crate::support::cluster::is_without_files;
use crate::support::process::{Deployment, PATIENCE, checkout, until};

#[tokio::test]
async fn a_reader_that_has_seen_enough_is_no_failure() {
    let deployment = Deployment::new().await;
    for args in [&["check", "--offline"][..], &["check", "--offline", "--json"]] {
        let (reader, writer) = std::io::pipe().unwrap();
        drop(reader);
        let output = deployment.command(args).stdout(writer).stderr(Stdio::piped()).output().unwrap();
        let said = String::from_utf8_lossy(&output.stderr);
        let (as_ever, ..) = deployment.ran(args);
        assert!(output.status.code() == as_ever && said.is_empty(), "{args:?}: {}, {said}", output.status);
    }
}

#[tokio::test]
async fn what_was_found_decides_how_a_command_ends_whoever_reads_it() {
    let mut deployment = Deployment::new().await;
    deployment.settings.remove("X_CAL_ID");
    for args in [&["check", "--offline"][..], &["check", "--offline", "--json"]] {
        let (reader, writer) = std::io::pipe().unwrap();
        drop(reader);
        let output = deployment.command(args).stdout(writer).stderr(Stdio::piped()).output().unwrap();
        assert_eq!(output.status.code(), Some(9), "{args:?}");
    }
}

#[tokio::test]
async fn help_that_cannot_be_written_is_a_failure() {
    let full = || File::options().write(true).open("/dev/full").unwrap();
    let deployment = Deployment::new().await;
    for args in [&["--help"][..], &["refund", "--help"], &["--version"]] {
        assert_eq!(deployment.command(args).stdout(full()).status().unwrap().code(), Some(1), "{args:?}");
        assert_eq!(deployment.ran(args).0, Some(0), "{args:?}");
    }
}

#[tokio::test]
async fn showing_an_unknown_id_exits_with_3_and_says_which() {
    let deployment = Deployment::new().await;
    drop(deployment.store());
    for id in ["pay_7", "run_7", "evt_process_7", "pi_process_7"] {
        let output = deployment.command(&["show", id]).output().unwrap();
        let said = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(3), "{id}: {said}");
        assert!(said.contains(id) && output.stdout.is_empty(), "{id}: {said}");
    }
}

#[tokio::test]
async fn looking_at_a_database_that_is_not_there_makes_none() {
    if is_without_files() {
        return;
    }
    let deployment = Deployment::new().await;
    let output = deployment.command(&["show", "pay_7"]).output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(3), "{said}");
    assert!(said.contains("--db") && said.contains(&deployment.db.display().to_string()), "{said}");
    assert!(!deployment.db.exists());
    std::fs::write(&deployment.db, "not a database, and somebody else's").unwrap();
    let output = deployment.command(&["show", "pay_7"]).output().unwrap();
    assert_eq!(output.status.code(), Some(1), "{}", String::from_utf8_lossy(&output.stderr));
    assert_eq!(std::fs::read(&deployment.db).unwrap(), b"not a database, and somebody else's");
}

#[tokio::test]
async fn a_database_that_is_begun_is_told_of_and_one_that_is_there_is_not() {
    if is_without_files() {
        return;
    }
    let deployment = Deployment::new().await;
    let first = deployment.worker().await;
    first.until_logged("database_made").await;
    drop(first);
    let second = deployment.worker().await;
    assert_eq!(second.logged("database_made"), Vec::<serde_json::Value>::new());
}

#[tokio::test]
async fn a_dot_env_counts_where_the_program_is_and_is_to_be_kept_from_other_users() {
    let deployment = Deployment::new().await;
    let here = deployment.db.parent().unwrap();
    let (file, below) = (here.join(".env"), here.join("below"));
    std::fs::create_dir(&below).unwrap();
    std::fs::write(&file, "STRIPE_SECRET_KEY=sk_live_of_the_file\n").unwrap();
    let check = |at: &Path, mode: u32| {
        std::fs::set_permissions(&file, Permissions::from_mode(mode)).unwrap();
        let mut command = deployment.command(&["check", "--offline"]);
        command.env_remove("STRIPE_SECRET_KEY").env_remove("STRIPE_API_BASE").current_dir(at);
        String::from_utf8(command.output().unwrap().stdout).unwrap()
    };
    assert!(check(here, 0o644).contains("secrets\tWRONG\tevery user of this machine can read .env: chmod 600 .env"));
    assert!(check(here, 0o640).contains("secrets\tok\t"));
    let elsewhere = check(&below, 0o644);
    assert!(elsewhere.contains("STRIPE_SECRET_KEY\t-\tnot set") && !elsewhere.contains("secrets\t"), "{elsewhere}");
}

#[tokio::test]
async fn a_worker_without_its_settings_exits_with_2_and_names_them_all() {
    let mut deployment = Deployment::new().await;
    deployment.settings.remove("X_CAL_ID");
    deployment.settings.remove("STRIPE_SECRET_KEY");
    let output = deployment.command(&["worker"]).output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(2), "{said}");
    assert!(said.contains("X_CAL_ID") && said.contains("STRIPE_SECRET_KEY"), "{said}");
    assert!(!deployment.db.exists(), "nothing is opened before the settings are whole");
}

#[tokio::test]
async fn an_error_is_a_document_for_whoever_reads_documents() {
    let deployment = Deployment::new().await;
    drop(deployment.store());
    let cases: [(&[&str], i64, &str); 7] = [
        (&["payments", "--no-such-flag", "--json"], 2, "usage"),
        (&["db", "prune", "--vacuums", "--json"], 2, "usage"),
        (&["logs", "--json", "--file", "nowhere.log"], 2, "failed"),
        (&["logs", "--json", "--since", "never"], 2, "usage"),
        (&["show", "pay_7", "--json"], 3, "not_found"),
        (&["payments", "--status", "odd", "--ndjson"], 2, "usage"),
        (&["refund", "pay_7", "--json"], 3, "not_found"),
    ];
    for (args, status, code) in cases {
        let (exit, out, said) = deployment.ran(args);
        let error: serde_json::Value = serde_json::from_str(said.lines().last().unwrap()).unwrap();
        assert_eq!((i64::from(exit.unwrap()), out.as_str()), (status, ""), "{args:?}: {said}");
        assert_eq!((&error["error"]["status"], &error["error"]["code"]), (&status.into(), &code.into()), "{said}");
        assert!(error["error"]["message"].as_str().unwrap().len() > 10, "{said}");
    }
}

fn fixture() -> String {
    format!("{}/fixtures/stripe.json", env!("CARGO_MANIFEST_DIR"))
}

#[tokio::test]
async fn a_command_that_is_not_used_as_it_is_meant_exits_with_2_and_says_what_is_meant() {
    let deployment = Deployment::new().await;
    let fixture = fixture();
    let cases: [(&[&str], &str); 20] = [
        (&["sim", "--seeds", "5", "--trace", "trace.txt"], "--trace"),
        (&["sim", "--for", "1s", "--trace", "trace.txt"], "--trace"),
        (&["replay", &fixture, "--to", "banana"], "banana"),
        (&["replay", &fixture, "--to", "localhost:8480"], "http://"),
        (&["replay", &fixture, "--set", "foo"], "path=value"),
        (&["replay", &fixture, "--set", "type.foo=1"], "foo is not inside"),
        (&["replay", &fixture, "--set", "=1"], "--set =1"),
        (&["replay", &fixture, "--reason", "the fix is out"], "--reason"),
        (&["replay", "ev_1", "--times", "3"], "--times"),
        (&["replay", "ev_1", "--to", "http://127.0.0.1:1"], "--to"),
        (&["replay", "ev_1", &fixture], "one after the other"),
        (&["sim", "--seeds", "0"], "--seeds"),
        (&["sim", "--payments", "0"], "--payments"),
        (&["sim", "--for", "0s"], "--for"),
        (&["sim", "--crash-points", "--seeds", "3"], "--crash-points"),
        (&["backfill", "stripe", "--types", "checkout.session.complted"], "checkout.session.completed"),
        (&["backfill", "stripe", "--since", "1h", "--until", "2h"], "one is after the other"),
        (&["payments", "--since", "1d", "--until", "2d"], "one is after the other"),
        (&["retry", "--all", "--since", "1d", "--until", "2d", "--yes"], "one is after the other"),
        (&["audit", "--verb", "dance"], "replay"),
    ];
    drop(deployment.store());
    for (args, what) in cases {
        let (status, out, said) = deployment.ran(args);
        assert_eq!((status, out.as_str()), (Some(2), ""), "{args:?}: {said}");
        assert!(said.contains(what), "{args:?}: {said}");
    }
    assert!(!deployment.db.with_file_name("trace.txt").exists());
    let (_, help, _) = deployment.ran(&["audit", "--help"]);
    assert!(help.contains("replay") && help.contains("silence"), "{help}");
}

/// Words of a command line that acts, but for the one that agrees to it.
const WORDS: [&str; 22] = [
    "refund",
    "retry",
    "cancel",
    "resolve",
    "db",
    "prune",
    "restore",
    "pay_1",
    "run_1",
    "case_1",
    "pay_9",
    "--amount",
    "12.50",
    "--cancel-booking",
    "--json",
    "--all",
    "--as",
    "refunded",
    "--reason",
    "because",
    "--dry-run",
    "--workflow",
];

#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_done_to_what_nobody_has_agreed_to_whatever_is_on_the_command_line() {
    let seed = std::env::var("DISCUNO_TEST_SEED").ok().and_then(|seed| seed.parse().ok());
    let seed: u64 = seed.unwrap_or_else(|| Entropy::from_os().below(u64::MAX));
    println!("DISCUNO_TEST_SEED={seed}");
    let deployment = Deployment::new().await;
    deployment.play(&[checkout(0, "+cal-refused+refund-refused"), checkout(1, "")]).await;
    let books = deployment.books();
    let done = "SELECT (SELECT count(*) FROM acts) || ' ' || (SELECT count(*) FROM refunds) || ' ' || (SELECT count(*) FROM runs) \
                || ' ' || (SELECT count(*) FROM cases WHERE status = 'open') || ' ' || (SELECT count(*) FROM events)";
    let before = books.rows(done);
    let chance = Entropy::seeded(seed);
    let pick = |from: &[&'static str]| from[usize::try_from(chance.below(from.len() as u64)).unwrap()];
    for _ in 0..80 {
        let first = pick(&WORDS[..4]);
        let words: Vec<&str> = std::iter::once(first).chain((0..chance.below(5)).map(|_| pick(&WORDS))).collect();
        let (status, _, said) = deployment.ran(&words);
        let known = matches!(status, Some(0 | 1 | 2 | 3 | 5 | 6));
        assert!(known && !said.contains("panicked"), "DISCUNO_TEST_SEED={seed}: {words:?}: {status:?} {said}");
        assert_eq!(books.rows(done), before, "DISCUNO_TEST_SEED={seed}: {words:?}: {said}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_replay_whose_server_goes_away_tells_what_was_accepted_before() {
    let deployment = Deployment::new().await;
    let mut serve = deployment.serve(&[]).await;
    let to = format!("http://{}", serve.address().unwrap());
    let mut command = deployment.command(&["replay", &fixture(), "--times", "1000", "--rate", "50", "--to", &to]);
    let replay = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let ended = tokio::task::spawn_blocking(|| replay.wait_with_output().unwrap());
    let books = deployment.books();
    until("some events are there", PATIENCE, async || books.count("SELECT count(*) FROM events") > 5).await;
    serve.kill();
    let ended = tokio::time::timeout(PATIENCE, ended).await.expect("it ends").unwrap();
    let (out, said) = (String::from_utf8_lossy(&ended.stdout), String::from_utf8_lossy(&ended.stderr));
    assert_eq!(ended.status.code(), Some(1), "{said}");
    let accepted: u64 = out.lines().nth(1).unwrap().split('\t').nth(1).unwrap().parse().unwrap();
    assert!(accepted >= 5, "{out}");
    assert!(said.contains("nobody answers at") && said.contains("were answered"), "{said}");
}

#[cfg(not(feature = "otlp"))]
#[tokio::test]
async fn a_program_without_traces_says_so_to_whoever_asks_for_them() {
    let mut deployment = Deployment::new().await;
    drop(deployment.store());
    deployment.settings.insert("OTEL_EXPORTER_OTLP_ENDPOINT", "http://127.0.0.1:4318".to_owned());
    let (status, table, _) = deployment.ran(&["check", "--offline"]);
    assert!(status == Some(0) && table.contains("built without the feature otlp"), "{table}");
    let serve = deployment.serve(&["--worker"]).await;
    assert_eq!(serve.logged("traces_not_built_in").len(), 1);
}

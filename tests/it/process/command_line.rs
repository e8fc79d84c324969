//! How commands end.

use std::process::Stdio;

use crate::support::cluster::is_without_files;
use crate::support::process::Deployment;

#[tokio::test]
async fn a_reader_that_has_seen_enough_is_no_failure() {
    let deployment = Deployment::new().await;
    for args in [&["check", "--offline"][..], &["check", "--offline", "--json"]] {
        let (reader, writer) = std::io::pipe().unwrap();
        drop(reader);
        let output = deployment.command(args).stdout(writer).stderr(Stdio::piped()).output().unwrap();
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success() && said.is_empty(), "{args:?}: {}, {said}", output.status);
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
    let cases: [(&[&str], i64, &str); 3] = [
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

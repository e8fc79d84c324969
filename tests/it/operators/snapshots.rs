//! What the command line promises: its help texts and the fields of its documents, held against files.
//!
//! `UPDATE_SNAPSHOTS=1 cargo test --test it snapshots` writes them anew.

use std::collections::BTreeSet;
use std::path::Path;

use serde_json::{Value, json};

use crate::support::cluster::is_on_a_server;
use crate::support::process::{Deployment, checkout};

fn assert_same(name: &str, now: &str) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(name);
    if std::env::var_os("UPDATE_SNAPSHOTS").is_some() {
        std::fs::write(&path, now).unwrap();
    }
    let before = std::fs::read_to_string(&path).unwrap_or_default();
    let lines = |text: &str| text.lines().map(str::to_owned).collect::<BTreeSet<_>>();
    let (old, new) = (lines(&before), lines(now));
    let gone: Vec<_> = old.difference(&new).collect();
    let come: Vec<_> = new.difference(&old).collect();
    assert!(before == now, "{name} is no longer so; gone: {gone:#?}; come: {come:#?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_help_texts_are_as_they_were() {
    let deployment = Deployment::new().await;
    let (_, all, _) = deployment.ran(&["--help"]);
    let mut text = format!("$ discuno --help\n{all}");
    let listed = all.lines().skip_while(|line| *line != "Commands:").skip(1).take_while(|line| !line.is_empty());
    let names =
        listed.filter_map(|line| line.strip_prefix("  ")?.split_whitespace().next()).filter(|name| *name != "help");
    let mut commands: Vec<Vec<&str>> = names.map(|name| vec![name]).collect();
    commands.extend(
        ["backup", "restore", "hold", "check", "prune", "migrate", "copy", "reopen"].map(|name| vec!["db", name]),
    );
    for command in commands {
        let (status, help, _) = deployment.ran(&[&command[..], &["--help"]].concat());
        assert_eq!(status, Some(0), "{command:?}");
        text.push_str(&["\n$ discuno ", &command.join(" "), " --help\n", &help].concat());
    }
    let trimmed: Vec<&str> = text.lines().map(str::trim_end).collect();
    assert_same("tests/snapshots/help.txt", &(trimmed.join("\n") + "\n"));
}

/// The places of a document, with what is in them.
fn shape(value: &Value, place: &str, into: &mut BTreeSet<String>) {
    match value {
        Value::Object(fields) if !fields.is_empty() => {
            for (name, field) in fields {
                shape(field, &format!("{place}.{name}"), into);
            }
        }
        Value::Array(items) if !items.is_empty() => {
            for item in items {
                shape(item, &format!("{place}[]"), into);
            }
        }
        leaf => {
            let kind = match leaf {
                Value::Null => return,
                Value::Bool(_) => "boolean",
                Value::Number(_) => "number",
                Value::String(_) => "string",
                Value::Array(_) => "[]",
                Value::Object(_) => "{}",
            };
            into.insert(format!("{place} {kind}"));
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_fields_of_every_document_are_as_they_were() {
    let mut deployment = Deployment::new().await;
    let log = deployment.db.with_file_name("discuno.log").display().to_string();
    deployment.settings.insert("DISCUNO_LOG_FILE", log);
    deployment
        .play(&[
            checkout(1, ""),
            checkout(2, "+cal-refused"),
            checkout(3, "+cal-refused+refund-refused"),
            checkout(4, "+share-later"),
            checkout(5, "").session("metadata", json!({})),
        ])
        .await;
    deployment.ran(&["pause", "posthog", "--reason", "maintenance"]);
    let commands: [&[&str]; 29] = [
        &["payments", "--json"],
        &["refunds", "--json"],
        &["bookings", "--json"],
        &["runs", "--json"],
        &["events", "--json"],
        &["cases", "--json"],
        &["show", "pay_1", "--json"],
        &["show", "pay_3", "--json"],
        &["refund", "pay_1", "--dry-run", "--json"],
        &["refund", "pay_1", "--amount", "5", "--yes", "--json"],
        &["show", "pay_1", "--json"],
        &["audit", "--json"],
        &["status", "--json"],
        &["reconcile", "--json"],
        &["check", "--offline", "--json"],
        &["events", "--type", "none", "--json"],
        &["cancel", "pay_4", "--dry-run", "--json"],
        &["cancel", "pay_4", "--yes", "--json"],
        &["resolve", "case_1", "--as", "settled_elsewhere", "--reason", "in a talk", "--dry-run", "--json"],
        &["resolve", "case_1", "--as", "settled_elsewhere", "--reason", "in a talk", "--yes", "--json"],
        &["pause", "--json"],
        &["pause", "cal", "--json"],
        &["resume", "--all", "--json"],
        &["audit", "--verify", "--json"],
        &["db", "hold", "--json"],
        &["db", "check", "--json"],
        &["db", "migrate", "--json"],
        &["db", "prune", "--dry-run", "--json"],
        &["logs", "--count-by", "event", "--json"],
    ];
    let mut fields = BTreeSet::new();
    for command in commands {
        let (_, document, message) = deployment.ran(command);
        let document: Value = serde_json::from_str(&document).unwrap_or_else(|_| panic!("{command:?}: {message}"));
        // What says of a command what document it prints.
        let of = |word: &&&str| matches!(**word, "--dry-run" | "--verify" | "hold" | "check" | "migrate" | "prune");
        let told: Vec<&str> = std::iter::once(&command[0]).chain(command[1..].iter().filter(of)).copied().collect();
        shape(&document, &format!("{}: ", told.join(" ")), &mut fields);
    }
    if is_on_a_server() {
        // How full its disk is only a server's own machine knows.
        fields.insert("status: .disk_free_bytes number".to_owned());
    }
    // Settings have names of their own, and what steps return is theirs.
    fields.retain(|field| !field.contains(".output"));
    let lines: Vec<String> = fields.into_iter().map(|field| field.replace(": .", ": ")).collect();
    assert_same("docs/json-fields.txt", &(lines.join("\n") + "\n"));
}

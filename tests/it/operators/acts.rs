//! `discuno retry`, `cancel`, `resolve`.

use discuno::sandbox::fault::{Effect, Fault, Provider};
use serde_json::Value;

use crate::support::process::{Deployment, PATIENCE, checkout, until};
use crate::support::pty::Terminal;

fn refusal() -> Effect {
    Effect::Refuse { status: 422, code: "validation_error".to_owned(), message: "no".to_owned() }
}

/// Two purchases whose e-mails were refused: four failed runs.
async fn unmailed() -> Deployment {
    let deployment = Deployment::new().await;
    deployment.sandbox.inject(Fault::new(Provider::Mail, refusal()).on("emails.send"));
    deployment.play(&[checkout(1, ""), checkout(2, "")]).await;
    deployment
}

fn failed(deployment: &Deployment) -> Vec<String> {
    let (_, table, _) = deployment.ran(&["runs", "--status", "failed"]);
    table.lines().skip(1).map(|line| line.split('\t').next().unwrap().to_owned()).collect()
}

fn open_cases(deployment: &Deployment) -> Vec<String> {
    let (_, document, _) = deployment.ran(&["cases", "--json"]);
    let document: Value = serde_json::from_str(&document).unwrap();
    document["cases"].as_array().unwrap().iter().map(|case| case["id"].as_str().unwrap().to_owned()).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn failed_runs_are_retried_in_bulk_and_their_cases_close_themselves() {
    let deployment = unmailed().await;
    let runs = failed(&deployment);
    assert_eq!((runs.len(), open_cases(&deployment).len()), (4, 4));
    let (status, _, message) = deployment.ran(&["retry", "--all", "--workflow", "send-email"]);
    assert_eq!(status, Some(6), "{message}");
    assert!(message.contains("4 runs to retry") && message.contains(&runs[3]), "{message}");

    deployment.sandbox.clear_faults();
    let (status, table, message) = deployment.ran(&[
        "retry",
        "--all",
        "--workflow",
        "send-email",
        "--since",
        "1h",
        "--max",
        "3",
        "--yes",
        "--json",
    ]);
    assert_eq!(status, Some(0), "{message}");
    assert!(message.contains("a worker goes on"), "{message}");
    assert_eq!(table.matches(r#""result": "done""#).count(), 3, "{table}");
    let (_, _, message) = deployment.ran(&["retry", "--all", "--until", "1h", "--yes"]);
    assert!(message.contains("nothing to retry") && !message.contains("worker"), "{message}");
    deployment.play(&[]).await;
    assert_eq!((failed(&deployment).len(), open_cases(&deployment).len()), (1, 1));
    assert_eq!(deployment.sandbox.ledger().mail.mails.len(), 3);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_retry_says_what_holds_the_runs_back_and_so_does_the_story() {
    let deployment = unmailed().await;
    let run = failed(&deployment).remove(0);
    deployment.ran(&["pause", "send-email", "--reason", "moving house"]);
    let (status, table, message) = deployment.ran(&["retry", &run, "--yes", "--json"]);
    assert_eq!(status, Some(0), "{message}");
    let held = "workflow/send-email is paused since";
    assert!(
        message.contains(held) && message.contains("by mia (moving house): `discuno resume send-email`"),
        "{message}"
    );
    assert!(message.contains("only once it is resumed"), "{message}");
    let document: Value = serde_json::from_str(&table).unwrap();
    assert_eq!(
        (&document["paused"][0]["name"], &document["runs"][0]["result"]),
        (&"send-email".into(), &"done".into())
    );
    assert!(deployment.ran(&["show", &run]).2.contains(held));
    deployment.ran(&["resume", "send-email"]);
    assert!(!deployment.ran(&["show", &run]).2.contains(held));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_that_fails_again_has_its_case_still() {
    let deployment = unmailed().await;
    let run = failed(&deployment).remove(0);
    let (_, story, _) = deployment.ran(&["cases", "--json"]);
    let cases: Value = serde_json::from_str(&story).unwrap();
    let case = cases["cases"].as_array().unwrap().iter().find(|case| case["run"] == run).unwrap()["id"].clone();
    let resolved = deployment.ran(&[
        "resolve",
        case.as_str().unwrap(),
        "--as",
        "false_alarm",
        "--reason",
        "told by phone",
        "--yes",
    ]);
    assert_eq!(resolved.0, Some(0), "{}", resolved.2);
    assert_eq!(open_cases(&deployment).len(), 3);
    assert_eq!(deployment.ran(&["retry", &run, "--yes"]).0, Some(0));
    deployment.play(&[]).await;
    assert_eq!(open_cases(&deployment).len(), 4, "it failed once more, and somebody has to know");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_has_succeeded_is_not_retried_and_what_is_over_not_cancelled() {
    let deployment = Deployment::new().await;
    deployment.play(&[checkout(1, "")]).await;
    let (_, table, _) = deployment.ran(&["runs", "--workflow", "process-checkout-side-effects"]);
    let checkout = table.lines().nth(1).unwrap().split('\t').next().unwrap().to_owned();
    for verb in ["retry", "cancel"] {
        let (status, _, message) = deployment.ran(&[verb, &checkout, "--yes"]);
        assert_eq!(status, Some(5), "{verb}: {message}");
        assert!(message.contains("succeeded"), "{verb}: {message}");
        assert_eq!(deployment.ran(&[verb, "run_99", "--yes"]).0, Some(3), "{verb}");
        assert_eq!(deployment.ran(&[verb]).0, Some(2), "{verb}");
    }
    let (status, _, message) = deployment.ran(&["retry", "pay_1", "--yes"]);
    assert_eq!(status, Some(0), "{message}");
    assert!(message.contains("nothing to retry"), "{message}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cancelled_checkout_is_a_case_that_a_retry_settles() {
    let deployment = Deployment::new().await;
    let serve = deployment.serve(&[]).await;
    deployment.pay(serve.address().unwrap(), &checkout(1, "")).await.unwrap();
    drop(serve);
    let mut terminal = Terminal::start(deployment.command(&["cancel", "run_1", "--reason", "looking"]), 100);
    terminal.shows("cancel run_1?").await;
    assert!(terminal.screen().contains("50.00 USD paid, test"), "{}", terminal.screen());
    terminal.type_line("yes");
    assert_eq!(terminal.ends().await, Some(0), "{}", terminal.screen());
    let cases = open_cases(&deployment);
    assert_eq!(cases.len(), 1);

    let (status, _, message) = deployment.ran(&["resolve", &cases[0], "--as", "booked", "--yes"]);
    assert_eq!(status, Some(5), "{message}");
    assert!(message.contains("no live session") && message.contains("discuno refund pay_1"), "{message}");
    let (status, _, message) = deployment.ran(&["resolve", &cases[0], "--as", "settled_elsewhere", "--yes"]);
    assert_eq!(status, Some(2), "{message}");

    assert_eq!(deployment.ran(&["retry", "pay_1", "--yes"]).0, Some(0));
    deployment.play(&[]).await;
    assert_eq!(open_cases(&deployment).len(), 0);
    let (_, story, _) = deployment.ran(&["show", "pay_1"]);
    for told in ["cancel", "retry", "booked", "run_1 by mia: looking"] {
        assert!(story.contains(told), "{told}: {story}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_checkout_is_not_retried_once_its_payment_is_refunded() {
    let deployment = Deployment::new().await;
    let serve = deployment.serve(&[]).await;
    deployment.pay(serve.address().unwrap(), &checkout(1, "")).await.unwrap();
    drop(serve);
    let (status, _, message) = deployment.ran(&["refund", "pay_1", "--yes"]);
    assert_eq!(status, Some(5), "the checkout is still at work: {message}");
    assert!(message.contains("discuno cancel run_1"), "{message}");
    assert_eq!(deployment.ran(&["cancel", "run_1", "--yes"]).0, Some(0));
    assert_eq!(deployment.ran(&["refund", "pay_1", "--yes"]).0, Some(0));
    let (status, _, message) = deployment.ran(&["retry", "run_1", "--yes"]);
    assert_eq!(status, Some(5), "{message}");
    assert!(message.contains("refunded"), "{message}");
    let (status, _, message) = deployment.ran(&["resolve", &open_cases(&deployment)[0], "--as", "refunded", "--yes"]);
    assert_eq!(status, Some(0), "{message}");
    deployment.play(&[]).await;
    assert!(deployment.sandbox.ledger().cal.bookings.is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stored_event_is_replayed_by_its_id_and_nothing_happens_twice() {
    let deployment = Deployment::new().await;
    deployment.play(&[checkout(1, "")]).await;
    let (_, runs, _) = deployment.ran(&["runs"]);
    let (status, said, message) = deployment.ran(&["replay", "ev_1", "--reason", "the fix is out"]);
    assert_eq!(status, Some(0), "{message}");
    assert!(said.contains("ev_1"), "{said}");
    deployment.play(&[]).await;
    assert_eq!(deployment.ran(&["runs"]).1.lines().count(), runs.lines().count());
    assert_eq!(deployment.sandbox.ledger().cal.bookings.len(), 1);
    let (_, audit, _) = deployment.ran(&["audit", "--json"]);
    assert!(audit.contains("the fix is out") && audit.contains("ev_1"), "{audit}");
    let (status, _, message) = deployment.ran(&["replay", "ev_99"]);
    assert_eq!(status, Some(3), "{message}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_that_waits_for_its_next_try_is_tried_at_once() {
    let mut deployment = Deployment::new().await;
    deployment.settings.insert("DISCUNO_RETRY_BASE", "24h".to_owned());
    let failure = Effect::ErrorBefore { status: 503 };
    deployment.sandbox.inject(Fault::new(Provider::Mail, failure).times(1));
    let serve = deployment.serve(&["--worker"]).await;
    assert_eq!(deployment.pay(serve.address().unwrap(), &checkout(1, "")).await.unwrap().status, 200);
    let books = deployment.books();
    let of = |state: &str| format!("SELECT count(*) FROM runs WHERE workflow = 'send-email' AND state = '{state}'");
    let waiting = format!("{} AND due_at > {}", of("queued"), discuno::clock::Clock::System.now().0 + 1000);
    until("a try has failed", PATIENCE, async || books.count(&waiting) == 1).await;
    let run = format!("run_{}", books.count(&waiting.replace("count(*)", "id")));
    let (status, _, said) = deployment.ran(&["retry", &run, "--yes"]);
    assert_eq!(status, Some(0), "{said}");
    until("it has ended", PATIENCE, async || books.count(&of("succeeded")) == 2).await;
    assert!(deployment.ran(&["audit", "--verb", "retry"]).1.contains(&run));
    assert_eq!(deployment.ran(&["retry", &run, "--yes"]).0, Some(5), "what is done is not done twice");
}

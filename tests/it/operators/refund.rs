//! `discuno refund`.

use std::process::Stdio;
use std::time::Duration;

use discuno::sandbox::fault::{Effect, Fault, Provider};
use rustix::process::{Pid, Signal, kill_process};
use serde_json::{Value, json};

use crate::support::Event;
use crate::support::cluster::is_on_a_server;
use crate::support::process::{Deployment, PATIENCE, Process, checkout, until};
use crate::support::pty::Terminal;

async fn booked() -> Deployment {
    let deployment = Deployment::new().await;
    deployment.play(&[checkout(1, "")]).await;
    deployment
}

fn refunds(deployment: &Deployment) -> Vec<i64> {
    deployment.sandbox.ledger().stripe.refunds.iter().map(|refund| refund.amount).collect()
}

fn status_of(deployment: &Deployment) -> String {
    let (_, shown, _) = deployment.ran(&["show", "pay_1", "--json"]);
    let shown: Value = serde_json::from_str(&shown).unwrap();
    shown["payment"]["status"].as_str().unwrap().to_owned()
}

/// The refund that a command printed: the nth, and on a server, whose numbers have gaps, one at least so high.
fn printed(table: &str, nth: u32) -> String {
    let refund = table.lines().nth(1).unwrap().split('\t').next().unwrap();
    let number: u32 = refund.strip_prefix("rf_").unwrap().parse().unwrap();
    assert!(number == nth || is_on_a_server() && number > nth, "{table}");
    refund.to_owned()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_booked_payment_is_refunded_once_however_often_it_is_asked() {
    let deployment = booked().await;
    let (status, plan, _) = deployment.ran(&["refund", "pay_1", "--dry-run"]);
    assert_eq!(status, Some(0));
    assert!(plan.contains("this refund\t50.00 USD") && plan.contains("still stands"), "{plan}");
    assert!(refunds(&deployment).is_empty());

    let mut first = None;
    for (id, said) in
        [("pay_1", "on its way"), ("pi_process_1", "nothing was done twice"), ("cs_test_process_1", "twice")]
    {
        let (status, table, message) = deployment.ran(&["refund", id, "--yes", "--reason", "asked for"]);
        assert_eq!(status, Some(0), "{id}: {message}");
        let refund = printed(&table, 1);
        assert_eq!(*first.get_or_insert_with(|| refund.clone()), refund, "{id}: the same one");
        assert!(table.contains(&format!("{refund}\tsucceeded\t50.00 USD\tpay_1\tre_")), "{table}");
        assert!(message.contains(said), "{id}: {message}");
    }
    assert_eq!(refunds(&deployment), [5000]);
    assert_eq!(status_of(&deployment), "refunded");
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_terminal_and_without_yes_nothing_is_done() {
    let deployment = booked().await;
    for extra in [&[][..], &["--no-input"]] {
        let (status, _, message) = deployment.ran(&[&["refund", "pay_1"], extra].concat());
        assert_eq!(status, Some(6), "{message}");
        assert!(message.contains("50.00 USD") && message.contains("--yes"), "the plan and what to do: {message}");
    }
    assert!(refunds(&deployment).is_empty());
    assert_eq!(status_of(&deployment), "booked");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_amount_has_to_be_typed_on_a_terminal() {
    let deployment = booked().await;
    for (typed, status, made) in [("yes", Some(6), 0), ("5.00", Some(6), 0), ("50.00", Some(0), 1)] {
        let mut terminal = Terminal::start(deployment.command(&["refund", "pay_1"]), 60);
        terminal.shows("Type the amount (50.00 USD)").await;
        terminal.type_line(typed);
        assert_eq!(terminal.ends().await, status, "{typed}: {}", terminal.screen());
        assert_eq!(refunds(&deployment).len(), made, "{typed}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn equal_partial_refunds_are_one_unless_another_is_asked_for() {
    let deployment = booked().await;
    let partial = |extra: &[&str]| deployment.ran(&[&["refund", "pay_1", "--yes", "--amount", "20"], extra].concat());
    assert_eq!(partial(&[]).0, Some(0));
    assert_eq!(partial(&[]).0, Some(0));
    assert_eq!(refunds(&deployment), [2000]);
    let (status, _, message) = partial(&["--another"]);
    assert_eq!(status, Some(0), "{message}");
    assert_eq!(refunds(&deployment), [2000, 2000]);
    let (status, _, message) = partial(&["--another"]);
    assert_eq!(status, Some(5), "{message}");
    assert!(message.contains("10.00 USD of 50.00 USD is left"), "{message}");
    assert_eq!(status_of(&deployment), "booked", "a part of it is no refund of it");
    let (status, _, message) = deployment.ran(&["refund", "pay_1", "--yes"]);
    assert_eq!(status, Some(0), "{message}");
    assert_eq!(refunds(&deployment), [2000, 2000, 1000]);
    assert_eq!(status_of(&deployment), "refunded");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_session_is_called_off_on_request() {
    let deployment = booked().await;
    let (status, _, message) = deployment.ran(&["refund", "pay_1", "--yes", "--cancel-booking"]);
    assert_eq!(status, Some(0), "{message}");
    let bookings = deployment.sandbox.ledger().cal.bookings;
    assert!(bookings.iter().all(|booking| booking.status == "cancelled"), "{bookings:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_refunded_is_refused_with_the_reason() {
    let deployment = Deployment::new().await;
    let unpaid = checkout(2, "").session("payment_status", json!("unpaid"));
    deployment.play(&[checkout(1, ""), unpaid, checkout(3, "").free(), checkout(4, "")]).await;
    let dispute = Event(json!({
        "id": "evt_dispute", "type": "charge.dispute.created", "created": 1, "livemode": false, "api_version": "2026-01-28",
        "data": { "object": {
            "id": "dp_1", "object": "dispute", "payment_intent": "pi_process_4", "charge": "ch_process_4", "amount": 5000,
            "currency": "usd", "reason": "fraudulent", "status": "needs_response", "evidence_details": { "due_by": 4_000_000_000_i64 },
        } },
    }));
    deployment.play(&[dispute]).await;
    let cases = [
        ("cs_test_process_2", 5, "nothing was taken"),
        ("cs_test_process_3", 5, "free"),
        ("pi_process_4", 5, "disputed"),
        ("pi_somebody_elses", 3, "pi_somebody_elses"),
        ("pi_process", 3, "pi_process"),
        ("pay_99", 3, "pay_99"),
    ];
    for (id, expected, why) in cases {
        let (status, _, message) = deployment.ran(&["refund", id, "--yes"]);
        assert_eq!(status, Some(expected), "{id}: {message}");
        assert!(message.contains(why), "{id}: {message}");
    }
    for amount in ["0", "50.01", "1e2", "-5", "5 EUR", "0.001"] {
        let (status, _, message) = deployment.ran(&["refund", "pay_1", "--yes", &format!("--amount={amount}")]);
        assert!(matches!(status, Some(2 | 5)), "{amount}: {message}");
    }
    assert!(refunds(&deployment).is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn two_operators_at_once_make_one_refund() {
    let deployment = booked().await;
    let mut both = [0, 1].map(|_| Process::start(deployment.command(&["refund", "pay_1", "--yes"])));
    for operator in &mut both {
        let status = operator.exits_within(PATIENCE).await;
        assert!(status.success(), "{status}");
    }
    assert_eq!(refunds(&deployment), [5000]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_worker_finishes_what_a_killed_operator_began() {
    let deployment = booked().await;
    deployment.sandbox.inject(Fault::new(Provider::Stripe, Effect::HangBefore).on("refunds.create").times(1));
    let mut operator = Process::start(deployment.command(&["refund", "pay_1", "--yes"]));
    until("stripe is asked", PATIENCE, || std::future::ready(deployment.sandbox.faults().is_empty())).await;
    operator.kill();
    let _worker = deployment.worker().await;
    deployment.settled().await;
    assert_eq!(refunds(&deployment), [5000]);
    assert_eq!(status_of(&deployment), "refunded");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_operator_who_interrupts_a_recorded_refund_is_told_that_it_goes_on() {
    let deployment = Deployment::new().await;
    deployment.play(&[checkout(1, ""), checkout(2, "")]).await;
    let hang = Fault::new(Provider::Stripe, Effect::HangBefore).on("refunds.create").times(1);
    let is_asked = async || deployment.sandbox.faults().is_empty();

    deployment.sandbox.inject(hang.clone());
    let mut terminal = Terminal::start(deployment.command(&["refund", "pay_1", "--yes"]), 100);
    until("stripe is asked", PATIENCE, is_asked).await;
    terminal.interrupt();
    assert_eq!(terminal.ends().await, Some(130), "{}", terminal.screen());
    for said in ["is recorded and a worker goes on with it", "pays nothing twice", "`discuno show pay_1`"] {
        assert!(terminal.screen().contains(said), "{said}: {}", terminal.screen());
    }

    deployment.sandbox.inject(hang);
    let mut command = deployment.command(&["refund", "pay_2", "--yes", "--json"]);
    let operator = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let pid = Pid::from_child(&operator);
    let ended = tokio::task::spawn_blocking(|| operator.wait_with_output().unwrap());
    until("stripe is asked", PATIENCE, is_asked).await;
    kill_process(pid, Signal::INT).unwrap();
    let ended = tokio::time::timeout(PATIENCE, ended).await.expect("it ends").unwrap();
    let (out, said) = (String::from_utf8_lossy(&ended.stdout), String::from_utf8_lossy(&ended.stderr));
    assert_eq!(ended.status.code(), Some(130), "{said}");
    let document: Value = serde_json::from_str(&out).unwrap_or_else(|_| panic!("{out}: {said}"));
    assert_eq!(document["refund"]["status"], "sent", "{out}");
    assert!(said.contains("is recorded and a worker goes on with it"), "{said}");

    let _worker = deployment.worker().await;
    deployment.settled().await;
    assert_eq!(refunds(&deployment), [5000, 5000]);
}

#[tokio::test(flavor = "multi_thread")]
async fn nobody_waits_longer_for_stripe_than_they_said() {
    let deployment = booked().await;
    deployment.sandbox.inject(Fault::new(Provider::Stripe, Effect::HangBefore).on("refunds.create").times(1));
    let mut operator = Process::start(deployment.command(&["refund", "pay_1", "--yes", "--wait", "2s"]));
    // The call in flight would end by itself after 20 s.
    let status = operator.exits_within(Duration::from_secs(12)).await;
    assert_eq!(status.code(), Some(8), "{}", operator.everything_logged());
    let _worker = deployment.worker().await;
    deployment.settled().await;
    assert_eq!(refunds(&deployment), [5000]);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_that_is_not_known_is_said_and_repeating_finds_it() {
    let mut deployment = booked().await;
    deployment.settings.insert("DISCUNO_RETRY_BASE", "1h".to_owned());
    for operation in ["refunds.create", "refunds.list"] {
        deployment.sandbox.inject(Fault::new(Provider::Stripe, Effect::DropAfter).on(operation).times(1));
    }
    let (status, table, message) = deployment.ran(&["refund", "pay_1", "--yes", "--wait", "2s"]);
    assert_eq!(status, Some(8), "{message}");
    let refund = printed(&table, 1);
    assert!(table.contains(&format!("{refund}\tsent")), "{table}");
    assert!(message.contains("unknown") && message.contains("Nothing is paid twice"), "{message}");
    let (status, table, message) = deployment.ran(&["refund", "pay_1", "--yes"]);
    assert_eq!(status, Some(0), "{message}");
    assert!(table.contains(&format!("{refund}\tsucceeded")), "{table}");
    assert_eq!(refunds(&deployment), [5000]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refund_that_stripe_refuses_is_a_failure_and_a_case() {
    let deployment = booked().await;
    let refusal = Effect::Refuse { status: 400, code: "teapot".to_owned(), message: "no".to_owned() };
    deployment.sandbox.inject(Fault::new(Provider::Stripe, refusal).on("refunds.create"));
    let (status, table, message) = deployment.ran(&["refund", "pay_1", "--yes"]);
    let refused = printed(&table, 1);
    assert_eq!(status, Some(1), "{message}");
    assert!(message.contains("the money is still here"), "{message}");
    assert!(refunds(&deployment).is_empty());
    assert_eq!(status_of(&deployment), "booked");
    deployment.sandbox.clear_faults();
    let (status, table, message) = deployment.ran(&["refund", "pay_1", "--yes"]);
    assert_eq!(status, Some(0), "{message}");
    let second = printed(&table, 2);
    assert!(second != refused && table.contains(&format!("{second}\tsucceeded")), "{table}");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_became_of_the_money_decides_whoever_reads_the_output() {
    let deployment = Deployment::new().await;
    deployment.play(&[checkout(1, ""), checkout(2, "+refund-pending")]).await;
    let full = std::fs::File::options().write(true).open("/dev/full").unwrap();
    let output = deployment.command(&["refund", "pay_1", "--yes"]).stdout(full).output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{said}");
    assert!(said.contains("50.00 USD of pay_1 is on its way"), "{said}");
    let (reader, writer) = std::io::pipe().unwrap();
    drop(reader);
    let output = deployment.command(&["refund", "pay_2", "--yes"]).stdout(writer).output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(8), "it is pending, though nobody reads it: {said}");
    assert_eq!(refunds(&deployment), [5000, 5000]);
}

#[tokio::test(flavor = "multi_thread")]
async fn while_refunds_are_paused_none_is_begun() {
    let deployment = booked().await;
    for what in ["stripe", "refund-payment"] {
        deployment.ran(&["pause", what, "--reason", "moving accounts"]);
        let (status, _, message) = deployment.ran(&["refund", "pay_1", "--yes"]);
        assert_eq!(status, Some(5), "{message}");
        assert!(message.contains("nothing was paid back") && message.contains("moving accounts"), "{message}");
        assert!(message.contains(&format!("discuno resume {what}")), "{message}");
        deployment.ran(&["resume", what]);
    }
    assert!(deployment.ran(&["refunds"]).1.lines().count() == 1, "none is written down either");
    assert_eq!(deployment.ran(&["refund", "pay_1", "--yes"]).0, Some(0));
    assert_eq!(refunds(&deployment), [5000]);
}

#[tokio::test(flavor = "multi_thread")]
async fn nobody_is_told_that_a_session_is_called_off_by_a_refund_that_left_it_standing() {
    let deployment = booked().await;
    assert_eq!(deployment.ran(&["refund", "pay_1", "--yes"]).0, Some(0));
    for more in [&["--dry-run"][..], &["--yes"]] {
        let (status, told, message) = deployment.ran(&[&["refund", "pay_1", "--cancel-booking"], more].concat());
        assert_eq!(status, Some(5), "{told}{message}");
        assert!(message.contains("leaves the session standing: call it off in cal.com"), "{message}");
    }
    let bookings = deployment.sandbox.ledger().cal.bookings;
    assert!(bookings.iter().all(|booking| booking.status == "accepted"), "{bookings:?}");
}

//! `discuno reconcile` and `check`.

use discuno::sandbox::fault::{Effect, Fault, Provider};
use serde_json::Value;

use crate::support::Event;
use crate::support::process::{Deployment, checkout};

fn findings(deployment: &Deployment, args: &[&str]) -> (Option<i32>, Vec<(String, String)>) {
    let (status, document, message) = deployment.ran(&[&["reconcile", "--json"], args].concat());
    let document: Value = serde_json::from_str(&document).unwrap_or_else(|_| panic!("{message}"));
    let word = |value: &Value| value.as_str().unwrap().to_owned();
    let found = document["findings"].as_array().unwrap().iter();
    (status, found.map(|finding| (word(&finding["rule"]), word(&finding["what"]))).collect())
}

fn cancelled_behind_our_back(deployment: &Deployment, number: usize) {
    let event = serde_json::json!({
        "triggerEvent": "BOOKING_CANCELLED", "createdAt": "2026-11-24T12:00:00.000Z",
        "payload": { "uid": format!("uid-pi_process_{number}"), "status": "CANCELLED" },
    });
    deployment.sandbox.observe(event.to_string().as_bytes());
}

#[tokio::test(flavor = "multi_thread")]
async fn books_that_agree_with_the_providers_have_no_findings() {
    let deployment = Deployment::new().await;
    let tags = ["", "+cal-refused", "+cal-refused+refund-refused", "+refund-pending+cal-refused", "+share-later"];
    let all: Vec<Event> = tags.iter().enumerate().map(|(number, tags)| checkout(number, tags)).collect();
    deployment.play(&all).await;
    deployment.ran(&["refund", "pi_process_0", "--yes", "--amount", "5"]);
    let (status, found) = findings(&deployment, &[]);
    assert_eq!((status, found), (Some(0), Vec::new()));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_the_providers_say_otherwise_is_a_finding_and_on_request_a_case() {
    let deployment = Deployment::new().await;
    deployment.play(&[checkout(1, ""), checkout(2, ""), checkout(3, "")]).await;
    cancelled_behind_our_back(&deployment, 1);
    let refunded = serde_json::json!({
        "id": "evt_dashboard", "type": "refund.created", "created": 1, "livemode": false,
        "data": { "object": {
            "id": "re_dashboard", "object": "refund", "payment_intent": "pi_process_2", "charge": "ch_process_2",
            "amount": 1500, "currency": "usd", "status": "succeeded", "metadata": {},
        } },
    });
    deployment.sandbox.observe(refunded.to_string().as_bytes());
    let lost = "UPDATE payments SET status = 'paid' WHERE payment_intent = 'pi_process_3'; \
        DELETE FROM attempts; DELETE FROM runs;";
    deployment.books().run(lost).unwrap();
    let (status, found) = findings(&deployment, &[]);
    assert_eq!(status, Some(9));
    let pair = |rule: &str, what: &str| (rule.to_owned(), what.to_owned());
    assert_eq!(found, [pair("M2", "nothing_stands"), pair("M3", "refunds_differ"), pair("M1", "nothing_started")]);

    for opened in ["3 cases opened", "0 cases opened"] {
        let (status, _, message) = deployment.ran(&["reconcile", "--open-cases"]);
        assert_eq!(status, Some(9), "{message}");
        assert!(message.contains(opened), "{opened}: {message}");
    }
    assert_eq!(deployment.ran(&["cases", "--kind", "unaccounted"]).1.lines().count(), 4);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_provider_that_cannot_be_read_is_no_finding_and_no_agreement() {
    let deployment = Deployment::new().await;
    deployment.play(&[checkout(1, "")]).await;
    deployment.sandbox.inject(Fault::new(Provider::Stripe, Effect::ErrorBefore { status: 500 }));
    let (status, table, message) = deployment.ran(&["reconcile"]);
    assert_eq!((status, table.as_str()), (Some(1), ""), "{message}");
    assert!(message.contains("did not come to its end") && message.contains("`discuno check`"), "{message}");
    let cause = message.trim_end().rsplit(": ").next().unwrap();
    assert_eq!(message.matches(cause).count(), 1, "the cause is said once: {message}");
}

#[tokio::test(flavor = "multi_thread")]
async fn check_tells_what_each_key_may_do_and_changes_nothing() {
    let deployment = Deployment::new().await;
    deployment.play(&[checkout(1, "")]).await;
    let money = || {
        let stripe = deployment.sandbox.ledger().stripe;
        let (bookings, mails) = (deployment.sandbox.ledger().cal.bookings, deployment.sandbox.ledger().mail.mails);
        format!("{:?} {:?} {:?} {bookings:?} {mails:?}", stripe.payment_intents, stripe.refunds, stripe.transfers)
    };
    let before = money();
    let mut command = deployment.command(&["check", "--json"]);
    command.env("ALERT_EMAIL", "oncall@discuno.example").env("STRIPE_CONNECT_WEBHOOK_SECRET", "whsec_x");
    let output = command.output().unwrap();
    let document: Value = serde_json::from_slice(&output.stdout).unwrap();
    let checks = document["checks"].as_array().unwrap();
    for what in [
        "database",
        "stripe reach",
        "stripe clock",
        "stripe refunds.create",
        "cal bookings.list",
        "cal bookings.create",
        "posthog reach",
        "resend emails.send",
    ] {
        let check = checks.iter().find(|check| check["what"] == what).unwrap_or_else(|| panic!("{what}: {checks:#?}"));
        assert_eq!(check["ok"], true, "{check}");
    }
    assert_eq!(money(), before);

    let denied = Effect::Refuse { status: 403, code: "permission".to_owned(), message: "no".to_owned() };
    deployment.sandbox.inject(Fault::new(Provider::Stripe, denied).on("refunds.create"));
    let (status, table, _) = deployment.ran(&["check"]);
    assert_eq!(status, Some(9));
    assert!(table.contains("stripe refunds.create\tWRONG\tthe key may not do this"), "{table}");
    let (_, table, _) = deployment.ran(&["check", "--offline"]);
    assert!(!table.contains("refunds.create"), "{table}");
}

//! Each rule that `discuno reconcile` goes by: what breaks it is found under its name.

use serde_json::{Value, json};

use crate::support::process::{Deployment, checkout};

/// What is found, as `M5 still_stands pay_1`.
fn found(deployment: &Deployment) -> Vec<String> {
    let (status, document, message) = deployment.ran(&["reconcile", "--json"]);
    let document: Value = serde_json::from_str(&document).unwrap_or_else(|_| panic!("{message}"));
    let findings = document["findings"].as_array().unwrap();
    assert_eq!(status, Some(if findings.is_empty() { 0 } else { 9 }), "{message}");
    if !findings.is_empty() {
        assert!(document["at_stake"][0]["minor"].as_i64().unwrap() >= 5000, "{document}");
    }
    let word = |value: &Value| value.as_str().unwrap().to_owned();
    let line = |finding: &Value| ["rule", "what", "payment"].map(|field| word(&finding[field])).join(" ");
    findings.iter().map(line).collect()
}

fn change(deployment: &Deployment, sql: &str) {
    deployment.books().run(sql).unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn each_rule_finds_what_breaks_it() {
    let deployment = Deployment::new().await;
    deployment.play(&[checkout(1, ""), checkout(2, "+cal-refused")]).await;
    assert_eq!(deployment.ran(&["refund", "pay_1", "--yes", "--cancel-booking"]).0, Some(0));
    deployment.play(&[]).await;
    assert!(found(&deployment).is_empty(), "{:?}", found(&deployment));
    let share = "INSERT INTO transfers (payment_id, amount, currency, destination, origin, status, reference, stripe_transfer_id, \
        created_at) VALUES (2, 4250, 'USD', 'acct_1', 'stripe', 'made', 'x', 'tr_1', 0)";
    let breaks = [
        ("UPDATE payments SET status = 'paid' WHERE id = 1", "M2 abandoned pay_1"),
        ("UPDATE payments SET status = 'attention' WHERE id = 1", "M2 no_case pay_1"),
        ("UPDATE payments SET status = 'booked' WHERE id = 1", "M2 nothing_stands pay_1"),
        ("UPDATE refunds SET amount = 4000 WHERE payment_id = 2", "M3 refunds_differ pay_2"),
        ("UPDATE payments SET payment_intent = 'pi_elsewhere' WHERE id = 2", "M3 not_at_stripe pay_2"),
        ("UPDATE refunds SET status = 'sent', sent_at = 0 WHERE payment_id = 2", "M4 refund_unknown pay_2"),
        (
            "UPDATE refunds SET request = replace(request, 'reverse_transfer=true', '') WHERE payment_id = 2",
            "M6 flags_differ pay_2",
        ),
        (share, "M9 share_not_taken_back pay_2"),
        ("UPDATE payments SET livemode = 1 WHERE id = 2", "M10 wrong_mode pay_2"),
    ];
    deployment.books().keep();
    for (sql, finding) in breaks {
        change(&deployment, sql);
        let all = found(&deployment);
        assert!(all.iter().any(|found| found == finding), "{finding}: {all:?}");
        deployment.books().put_back();
    }
    let told = "INSERT INTO cases (kind, status, cause, summary, detail, payment_id, opened_at) \
        VALUES ('transfer_not_reversed', 'open', 'x', 'x', 'x', 2, 0)";
    change(&deployment, &format!("{share}; {told}"));
    assert!(found(&deployment).is_empty(), "a person has been told of the share: {:?}", found(&deployment));
    deployment.books().put_back();
    change(&deployment, "DELETE FROM attempts; DELETE FROM runs; UPDATE payments SET status = 'paid' WHERE id = 2");
    assert!(found(&deployment).contains(&"M1 nothing_started pay_2".to_owned()), "{:?}", found(&deployment));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_the_providers_hold_against_the_books_is_found() {
    let deployment = Deployment::new().await;
    deployment.play(&[checkout(1, ""), checkout(2, ""), checkout(3, "+cal-refused")]).await;
    assert_eq!(deployment.ran(&["refund", "pay_1", "--yes"]).0, Some(0));
    change(&deployment, "UPDATE payments SET status = 'failed' WHERE id = 2");
    let refund = deployment
        .sandbox
        .ledger()
        .stripe
        .refunds
        .iter()
        .find(|refund| refund.payment_intent == "pi_process_3")
        .unwrap()
        .id
        .clone();
    let failed = json!({
        "id": "evt_late", "type": "refund.failed", "created": 2_000_000_000, "livemode": false,
        "data": { "object": {
            "id": refund, "object": "refund", "payment_intent": "pi_process_3", "charge": "ch_process_3", "amount": 5000,
            "currency": "usd", "status": "failed", "failure_reason": "lost_or_stolen_card", "metadata": {},
        } },
    });
    deployment.sandbox.observe(failed.to_string().as_bytes());
    let all = found(&deployment);
    for finding in ["M5 still_stands pay_1", "M7 booked_unpaid pay_2", "M8 refund_failed_unseen pay_3"] {
        assert!(all.iter().any(|found| found == finding), "{finding}: {all:?}");
    }
}

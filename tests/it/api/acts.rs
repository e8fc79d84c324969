//! Acts: who may, what comes of them, and what is the same when it is asked for twice.

use discuno::model::alert::{Condition, Finding, Pace};
use discuno::model::role::Role;
use discuno::model::run::RunState;
use discuno::sandbox::fault::{Effect, Fault, Provider};
use serde_json::{Value, json};

use crate::api::{Client, purchase};
use crate::support::World;

async fn booked() -> World {
    let world = World::new();
    world.send(&purchase(1)).await;
    world.settle().await;
    world
}

fn count(world: &World) -> usize {
    world.ledger().stripe.refunds.len()
}

#[tokio::test(start_paused = true)]
async fn each_act_takes_its_role() {
    let world = booked().await;
    let (viewer, operator) = (Client::of(&world, Role::Viewer), Client::of(&world, Role::Operator));
    let acts = [
        ("runs/run_1/retry", json!({})),
        ("runs/run_1/cancel", json!({})),
        ("cases/case_1/resolve", json!({ "resolution": "refunded" })),
        ("events/ev_1/replay", json!({})),
        ("alerts/alert_1/silence", json!({ "seconds": 3600 })),
        ("pause", json!({ "name": "cal" })),
        ("resume", json!({ "name": "cal" })),
        ("payments/pay_1/refund", json!({})),
        ("payments/pay_1/refund", json!({ "dry_run": true })),
    ];
    for (path, with) in acts {
        let (status, refusal) = viewer.post(path, with).await;
        assert_eq!((status, &refusal["code"]), (403, &json!("forbidden")), "{path}");
    }
    assert_eq!(viewer.refused("payments/pay_1/refund-plan").await.0, 403);
    assert_eq!(operator.post("payments/pay_1/refund", json!({})).await.0, 403);
    assert_eq!(count(&world), 0);
    assert_eq!(operator.get("audit").await["acts"], json!([]), "what is refused is no act");
}

#[tokio::test(start_paused = true)]
async fn a_refund_is_planned_then_ordered_and_never_paid_twice() {
    let world = booked().await;
    let (operator, money) = (Client::of(&world, Role::Operator), Client::of(&world, Role::Money));
    let plan = operator.get("payments/pi_1/refund-plan").await;
    assert_eq!((&plan["amount"], &plan["refunded"]["minor"]), (&plan["paid"], &json!(0)));
    let part = operator.get("payments/pi_1/refund-plan?minor=1250").await;
    assert_eq!(part["amount"], json!({ "minor": 1250, "currency": "USD" }));
    let (status, rehearsed) = operator.post("payments/pay_1/refund", json!({ "dry_run": true })).await;
    assert_eq!((status, &rehearsed["plan"], &rehearsed["refund"]), (200, &plan, &Value::Null));
    assert_eq!(count(&world), 0, "a plan pays nothing");

    let wanted = json!({ "amount": { "minor": 1250, "currency": "USD" }, "reason": "half the session" });
    let (status, first) = money.post("payments/pay_1/refund", wanted.clone()).await;
    assert_eq!((status, &first["already"], &first["plan"]), (200, &json!(false), &part));
    world.settle().await;
    let (status, second) = money.post("payments/pay_1/refund", wanted).await;
    assert_eq!((status, &second["already"], &second["refund"]["id"]), (200, &json!(true), &first["refund"]["id"]));
    assert_eq!(second["refund"]["status"], "succeeded");
    world.settle().await;
    assert_eq!(count(&world), 1);
    let trail = money.get("audit?verb=refund").await;
    assert_eq!(trail["acts"].as_array().unwrap().len(), 1, "what was there already is no act");
    assert_eq!((&trail["acts"][0]["actor"], &trail["acts"][0]["reason"]), (&json!("mia"), &json!("half the session")));

    let (_, rest) = money.post("payments/pay_1/refund", json!({ "cancel_booking": true })).await;
    assert_eq!(rest["refund"]["amount"]["minor"], plan["paid"]["minor"].as_i64().unwrap() - 1250);
    world.settle().await;
    assert_eq!(count(&world), 2);
    world.assert_money_is_right("refunded over the api").await;
}

#[tokio::test(start_paused = true)]
async fn a_further_refund_of_the_same_amount_is_made_once_for_who_has_seen_the_first() {
    let world = booked().await;
    let money = Client::of(&world, Role::Money);
    let wanted = |seen: u32| json!({ "amount": { "minor": 500, "currency": "USD" }, "seen": seen });
    assert_eq!(money.post("payments/pay_1/refund", wanted(1)).await.0, 409, "there is none to have seen");
    let mut last = json!(null);
    for (seen, already) in [(0, false), (0, true), (1, false), (1, true)] {
        let (status, refunded) = money.post("payments/pay_1/refund", wanted(seen)).await;
        assert_eq!((status, &refunded["already"]), (200, &json!(already)), "{refunded}");
        assert_eq!(refunded["refund"]["id"] == last, already, "{refunded}");
        last = refunded["refund"]["id"].clone();
        world.settle().await;
    }
    assert_eq!(count(&world), 2);
}

#[tokio::test(start_paused = true)]
async fn an_event_is_understood_anew_and_nothing_happens_twice() {
    let world = booked().await;
    let operator = Client::of(&world, Role::Operator);
    let (status, replayed) = operator.post("events/ev_1/replay", json!({ "reason": "the fix is out" })).await;
    assert_eq!((status, &replayed["event"], &replayed["started"]), (200, &json!("ev_1"), &json!([])), "{replayed}");
    world.settle().await;
    assert_eq!(world.ledger().cal.bookings.len(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_refund_that_cannot_be_is_refused_with_why_and_nothing_is_recorded() {
    let world = booked().await;
    let money = Client::of(&world, Role::Money);
    for amount in [json!({ "minor": 999_999, "currency": "USD" }), json!({ "minor": 100, "currency": "EUR" })] {
        let (status, refusal) = money.post("payments/pay_1/refund", json!({ "amount": amount })).await;
        assert_eq!((status, &refusal["code"]), (409, &json!("illegal")), "{amount}: {refusal}");
    }
    // The beginning of an id is enough to look, and not to pay.
    assert_eq!(money.get("payments/cs_test").await["id"], "pay_1");
    assert_eq!(money.post("payments/cs_test/refund", json!({})).await.0, 404);
    assert_eq!(money.post("pause", json!({ "name": "stripe" })).await.0, 200);
    let (status, refusal) = money.post("payments/pay_1/refund", json!({})).await;
    assert!(status == 409 && refusal["detail"].as_str().unwrap().contains("paused"), "{refusal}");
    assert_eq!(money.get("refunds").await["refunds"], json!([]));
}

#[tokio::test(start_paused = true)]
async fn a_failed_run_goes_on_and_a_waiting_one_ends() {
    let world = World::new();
    let refusal = Effect::Refuse { status: 422, code: "validation_error".to_owned(), message: "no".to_owned() };
    world.sandbox.inject(Fault::new(Provider::Mail, refusal).on("emails.send").times(1000));
    world.send(&purchase(1)).await;
    world.settle().await;
    let operator = Client::of(&world, Role::Operator);
    let failed = operator.get("runs?status=failed&workflow=send-email&limit=1").await;
    let run = failed["runs"][0]["id"].as_str().unwrap().to_owned();
    world.sandbox.clear_faults();

    let retry = format!("runs/{run}/retry");
    let (status, rehearsed) = operator.post(&retry, json!({ "dry_run": true })).await;
    assert_eq!((status, &rehearsed["act"], &rehearsed["already"]), (200, &Value::Null, &json!(false)));
    assert_eq!(operator.post(&retry, json!({ "from": "nothing" })).await.0, 404);
    let (status, acted) = operator.post(&retry, json!({ "reason": "mail is back" })).await;
    assert_eq!(
        (status, &acted["before"]["state"], &acted["after"]["state"]),
        (200, &json!("failed"), &json!("queued"))
    );
    world.settle().await;
    assert_eq!(world.app.store.run(run.parse().unwrap()).await.unwrap().state, RunState::Succeeded);
    let (status, refusal) = operator.post(&retry, json!({})).await;
    assert_eq!((status, &refusal["code"]), (409, &json!("illegal")));

    let waiting = operator.get("runs?status=queued&limit=1").await;
    let cancel = format!("runs/{}/cancel", waiting["runs"][0]["id"].as_str().unwrap());
    let (_, first) = operator.post(&cancel, json!({})).await;
    let (_, second) = operator.post(&cancel, json!({})).await;
    assert_eq!((&first["already"], &second["already"], &second["act"]), (&json!(false), &json!(true), &Value::Null));
}

#[tokio::test(start_paused = true)]
async fn a_case_is_closed_with_what_the_books_show_or_with_a_reason() {
    let world = World::new();
    world.send(&purchase(1).metadata("eventTypeId", Value::Null)).await;
    world.settle().await;
    let operator = Client::of(&world, Role::Operator);
    let resolve = "cases/case_1/resolve";
    for with in [
        json!({ "resolution": "refunded" }),
        json!({ "resolution": "settled_elsewhere" }),
        json!({ "resolution": "settled_elsewhere", "reason": " " }),
        json!({ "resolution": "settled_elsewhere", "dry_run": true }),
    ] {
        let (status, refusal) = operator.post(resolve, with.clone()).await;
        assert_eq!((status, &refusal["code"]), (409, &json!("illegal")), "{with}: {refusal}");
    }
    let settled = json!({ "resolution": "settled_elsewhere", "reason": "by bank transfer" });
    assert_eq!(operator.post(resolve, settled.clone()).await.0, 200);
    let case = operator.get("cases/case_1").await;
    assert_eq!(
        (&case["status"], &case["resolution"]),
        (&json!("closed"), &json!("settled_elsewhere: by bank transfer"))
    );
    assert_eq!(operator.post(resolve, settled).await.1["already"], true);
    for (list, listed) in [("cases", 1), ("cases?status=closed", 1), ("cases?status=open", 0)] {
        assert_eq!(operator.get(list).await["cases"].as_array().unwrap().len(), listed, "{list}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_provider_is_held_back_and_goes_on() {
    let world = World::idle();
    let operator = Client::of(&world, Role::Operator);
    let why = json!({ "name": "cal", "reason": "maintenance" });
    assert_eq!(operator.post("pause", why.clone()).await.1["already"], false);
    assert_eq!(operator.post("pause", why).await.1["already"], true);
    let pauses = operator.get("pauses").await;
    assert_eq!((&pauses["pauses"][0]["name"], &pauses["pauses"][0]["reason"]), (&json!("cal"), &json!("maintenance")));
    assert_eq!(operator.post("resume", json!({ "name": "provider/cal" })).await.0, 200);
    assert_eq!(operator.get("pauses").await["pauses"], json!([]));
    let (status, refusal) = operator.post("pause", json!({ "name": "everything" })).await;
    assert!(status == 404 && refusal["detail"].as_str().unwrap().contains("send-email"), "{refusal}");
}

#[tokio::test(start_paused = true)]
async fn an_alert_is_listed_and_silenced() {
    let world = World::new();
    let (viewer, operator) = (Client::of(&world, Role::Viewer), Client::of(&world, Role::Operator));
    let summary = "it has been failing for 1 min and is left alone".to_owned();
    let finding = Finding { condition: Condition::BreakerOpen, subject: "cal".to_owned(), summary };
    let hour = std::time::Duration::from_secs(3600);
    let pace = Pace { repeat: hour, rest: hour };
    world.app.store.report(vec![finding], pace, world.app.clock.now()).await.unwrap();
    let alerts = viewer.get("alerts").await;
    assert_eq!(
        (&alerts["alerts"][0]["id"], &alerts["alerts"][0]["condition"]),
        (&json!("alert_1"), &json!("breaker_open"))
    );
    let (status, acted) =
        operator.post("alerts/alert_1/silence", json!({ "seconds": 7200, "reason": "they know" })).await;
    assert_eq!((status, &acted["act"]), (200, &json!("act_1")), "{acted}");
    assert_eq!(viewer.get("alerts").await["alerts"][0]["silenced_until"], acted["after"]["silenced_until"]);
    let (status, refusal) = operator.post("alerts/alert_1/silence", json!({ "seconds": 700_000 })).await;
    assert!(status == 409 && refusal["detail"].as_str().unwrap().contains("7 days"), "{status} {refusal}");
}

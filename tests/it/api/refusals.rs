//! Refusals: each is a problem with a stable code, and says what is wrong.

use discuno::model::role::Role;
use http::header;
use serde_json::json;

use crate::api::{Client, problem, purchase};
use crate::support::World;
use crate::support::desk::{Desk, TOKENS};

#[tokio::test(start_paused = true)]
async fn nobody_comes_in_without_a_token_and_nobody_is_sent_to_the_log_in() {
    let world = World::idle();
    for path in ["payments", "runs/run_1", "openapi.json", "status"] {
        let answer = Desk::stranger(&world).with("accept", "text/html").get(&format!("/api/v1/{path}")).await;
        assert_eq!((answer.status.as_u16(), answer.header(header::WWW_AUTHENTICATE)), (401, "Bearer"), "{path}");
        assert_eq!(problem(&answer)["code"], "unauthorized", "{path}");
    }
    let wrong = Desk::stranger(&world).with("authorization", "Bearer viewer").get("/api/v1/payments").await;
    assert_eq!(wrong.status, 401);
}

#[tokio::test]
async fn a_session_s_cookie_acts_from_its_own_site_only() {
    let world = World::idle();
    let entered = Desk::stranger(&world).post("/login", &format!("password={}", TOKENS[1].1)).await;
    let session = entered.header(header::SET_COOKIE).split(';').next().unwrap().to_owned();
    let pause = json!({ "name": "cal" }).to_string();
    for (name, value) in [("sec-fetch-site", "cross-site"), ("origin", "https://evil.example")] {
        let desk = Desk::stranger(&world).with("cookie", &session).with("content-type", "application/json");
        let answer = desk.with(name, value).post("/api/v1/pause", &pause).await;
        assert_eq!((answer.status.as_u16(), &problem(&answer)["code"]), (403, &json!("cross_site")), "{name}");
    }
    assert!(world.app.store.pauses().await.unwrap().is_empty());
    let own = Desk::stranger(&world).with("cookie", &session).with("sec-fetch-site", "same-origin");
    assert_eq!(own.with("content-type", "application/json").post("/api/v1/pause", &pause).await.status, 200);
}

#[tokio::test(start_paused = true)]
async fn what_is_not_there_is_not_found() {
    let world = World::idle();
    world.send(&purchase(1)).await;
    let money = Client::of(&world, Role::Money);
    for list in ["payments", "refunds", "bookings", "runs", "events", "cases", "audit"] {
        for id in ["nothing", "pay_404", "run_404", "pi_nothing", "99999999999999999999", "%00", "a%2Fb", "%C3%A9"] {
            let (status, refusal) = money.refused(&format!("{list}/{id}")).await;
            assert_eq!((status, &refusal["code"]), (404, &json!("not_found")), "{list}/{id}");
        }
    }
    for path in ["show/nothing", "payments/pay_404/refund-plan", "payments?payment=pi_nothing", "runs?payment=evt_x"] {
        assert_eq!(money.refused(path).await.0, 404, "{path}");
    }
    for path in ["runs/run_404/retry", "runs/nothing/cancel", "payments/pay_404/refund", "events/ev_404/replay"] {
        assert_eq!(money.post(path, json!({})).await.0, 404, "{path}");
    }
    assert_eq!(money.post("cases/case_404/resolve", json!({ "resolution": "refunded" })).await.0, 404);
    let (status, refusal) = money.refused("refunds/evt_1").await;
    assert_eq!((status, &refusal["code"]), (404, &json!("not_found")), "an id of something else");
}

#[tokio::test(start_paused = true)]
async fn a_condition_that_is_not_understood_is_named() {
    let world = World::idle();
    let client = Client::of(&world, Role::Viewer);
    let wrong = [
        ("payments?status=bookd", "status"),
        ("payments?status=", "status"),
        ("payments?status=paid,", "status"),
        ("payments?since=soon", "since"),
        ("payments?until=2026-13-01", "until"),
        ("payments?before=run_1", "before"),
        ("payments?before=1", "before"),
        ("payments?limit=0", "limit"),
        ("payments?limit=1001", "limit"),
        ("payments?limit=many", "limit"),
        ("payments?reveal=yes", "reveal"),
        ("payments?stuck=1", "stuck"),
        ("payments?statuss=paid", "statuss"),
        ("payments?kind=disputed", "kind"),
        ("refunds?origin=nobody", "origin"),
        ("events?source=paypal", "source"),
        ("cases?kind=nothing", "kind"),
        ("audit?verb=look", "verb"),
        ("audit?stuck=true", "stuck"),
        ("runs/run_1?show=true", "show"),
        ("payments?limit=1&limit=2", "limit"),
    ];
    for (path, field) in wrong {
        let (status, refusal) = client.refused(path).await;
        assert_eq!(
            (status, &refusal["code"], &refusal["field"]),
            (400, &json!("invalid"), &json!(field)),
            "{path}: {refusal}"
        );
    }
    let (status, refusal) = Client::of(&world, Role::Operator).refused("payments/pay_1/refund-plan?minor=0").await;
    assert_eq!((status, &refusal["field"]), (400, &json!("minor")));
}

#[tokio::test(start_paused = true)]
async fn a_body_that_is_not_understood_is_refused_and_nothing_is_done() {
    let world = World::idle();
    let money = Client::of(&world, Role::Money);
    let wrong = [
        (json!({ "nam": "cal" }), "nam"),
        (json!({ "name": 5 }), "name"),
        (json!({ "name": "cal", "dry_run": "yes" }), "dry_run"),
    ];
    for (with, field) in wrong {
        let (status, refusal) = money.post("pause", with.clone()).await;
        assert_eq!((status, &refusal["field"]), (400, &json!(field)), "{with}: {refusal}");
    }
    for minor in [json!(1.5), json!(0), json!(-5), json!(1e300), json!("5"), json!(u64::MAX)] {
        let amount = json!({ "amount": { "minor": minor, "currency": "USD" } });
        let (status, refusal) = money.post("payments/pay_1/refund", amount).await;
        assert_eq!((status, &refusal["field"]), (400, &json!("amount.minor")), "{minor}: {refusal}");
    }
    // The same numbers, as JSON has them.
    let whole = json!({ "amount": { "minor": 5.0, "currency": "USD" }, "seen": 1.0 });
    assert_eq!(money.post("payments/pay_1/refund", whole).await.0, 404);
    for body in ["", "{", "[]", "null", "{} {}", "\u{1}"] {
        let answer = money.0.post("/api/v1/pause", body).await;
        assert_eq!((answer.status.as_u16(), &problem(&answer)["code"]), (400, &json!("invalid")), "{body}");
    }
    for kind in ["application/x-www-form-urlencoded", "text/plain", "application/jsonx", ""] {
        let desk = Desk::of(&world, Role::Money).with("content-type", kind);
        let answer = desk.post("/api/v1/pause", r#"{"name":"cal"}"#).await;
        assert_eq!((answer.status.as_u16(), &problem(&answer)["code"]), (415, &json!("not_json")), "{kind}");
    }
    let large = format!(r#"{{"name":"{}"}}"#, "x".repeat(64 * 1024));
    assert_eq!(problem(&money.0.post("/api/v1/pause", &large).await)["code"], "body_too_large");
    assert!(world.app.store.pauses().await.unwrap().is_empty());
}

#[tokio::test(start_paused = true)]
async fn every_address_of_the_document_answers_and_takes_no_other_method() {
    let world = World::idle();
    let money = Client::of(&world, Role::Money);
    let document = money.get("openapi.json").await;
    assert_eq!(document["openapi"], "3.1.0");
    for (path, methods) in document["paths"].as_object().unwrap() {
        let path = path.replace("{id}", "nothing");
        for method in ["GET", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"] {
            let answer = money.0.ask(method, &path, "{}").await;
            if methods.get(method.to_lowercase()).is_some() {
                assert_ne!(answer.status, 405, "{method} {path}");
                continue;
            }
            assert_eq!(
                (answer.status.as_u16(), &problem(&answer)["code"]),
                (405, &json!("method_not_allowed")),
                "{path}"
            );
            let allowed = answer.header(header::ALLOW).to_owned();
            assert!(
                methods.as_object().unwrap().keys().all(|method| allowed.contains(&method.to_uppercase())),
                "{path}: {allowed}"
            );
        }
    }
}

#[tokio::test(start_paused = true)]
async fn every_operation_tells_its_answer_its_refusals_and_has_a_name_of_its_own() {
    let world = World::idle();
    let document = Client::of(&world, Role::Viewer).get("openapi.json").await;
    let methods = document["paths"].as_object().unwrap().values().flat_map(|path| path.as_object().unwrap().values());
    let mut names: Vec<&str> = Vec::new();
    for operation in methods {
        names.push(operation["operationId"].as_str().unwrap());
        let responses = &operation["responses"];
        let contents = responses["200"]["content"].as_object().unwrap();
        assert!(contents.len() == 1 && contents.values().all(|content| !content["schema"].is_null()), "{operation}");
        assert_eq!(responses["404"]["$ref"], "#/components/responses/Problem");
        assert_eq!(responses["415"].is_object(), operation["requestBody"].is_object());
        assert!(!operation["parameters"].to_string().contains("null"), "{operation}");
    }
    let all = names.len();
    names.sort_unstable();
    names.dedup();
    assert_eq!(names.len(), all);
    let schemas = document["components"]["schemas"].as_object().unwrap();
    for name in ["Payment", "PaymentStatus", "Money", "RunId", "Problem", "Story"] {
        assert!(schemas.keys().any(|known| known.starts_with(name)), "{name}: {:?}", schemas.keys());
    }
}

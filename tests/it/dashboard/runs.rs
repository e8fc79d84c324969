//! Runs on the dashboard.

use discuno::model::pause::{Pausable, PauseKind};
use discuno::model::role::Role;
use discuno::model::run::RunState;
use discuno::sandbox::fault::{Effect, Fault, Provider};
use discuno::store::order::Deed;
use http::{StatusCode, header};

use crate::support::desk::Desk;
use crate::support::{Event, World};

async fn failed() -> (World, String) {
    let world = World::new();
    let refusal = Effect::Refuse { status: 418, code: "teapot".to_owned(), message: "<b>no</b>".to_owned() };
    world.sandbox.inject(Fault::new(Provider::Mail, refusal).on("emails.send").times(1000));
    world.sandbox.inject(
        Fault::new(
            Provider::Cal,
            Effect::Refuse {
                status: 400,
                code: "slot_taken".to_owned(),
                message: "User either already has booking at this time or is not available".to_owned(),
            },
        )
        .on("bookings.create")
        .times(1000),
    );
    world.send(&Event::paid("zoe@example.edu")).await;
    world.settle().await;
    let runs = world.runs_of("send-email").await;
    let run = runs.iter().find(|run| run.state == RunState::Failed).expect("a failed run");
    let id = run.id.to_string();
    (world, id)
}

#[tokio::test(start_paused = true)]
async fn a_run_shows_each_try_with_its_error_escaped_and_no_address() {
    let (world, id) = failed().await;
    let page = Desk::of(&world, Role::Viewer).get(&format!("/runs/{id}")).await;
    assert_eq!(page.status, StatusCode::OK);
    assert!(page.body.contains("teapot") && page.body.contains("&#60;b&#62;no"), "{}", page.body);
    assert!(!page.body.contains("zoe@example.edu"));
    let list = Desk::of(&world, Role::Viewer).get("/runs?status=failed").await;
    assert!(list.body.contains(&format!("<a href=\"/runs/{id}\">{id}</a>")), "{}", list.body);
    let none = Desk::of(&world, Role::Viewer).get("/runs?status=failed&workflow=nothing").await;
    assert!(!none.body.contains(&id));
}

#[tokio::test(start_paused = true)]
async fn an_operator_has_a_failed_run_go_on_and_a_viewer_does_not() {
    let (world, id) = failed().await;
    let path = format!("/runs/{id}/retry");
    assert_eq!(Desk::of(&world, Role::Viewer).post(&path, "").await.status, StatusCode::FORBIDDEN);
    world.sandbox.clear_faults();
    let done = Desk::of(&world, Role::Operator).post(&path, "reason=mail+is+back").await;
    assert_eq!(done.status, StatusCode::SEE_OTHER);
    assert!(done.header(header::LOCATION).starts_with(&format!("/runs/{id}?said=")));
    world.settle().await;
    let run = world.app.store.run(id.parse().unwrap()).await.unwrap();
    assert_eq!((run.state, run.retries), (RunState::Succeeded, 1));
    let act = world.story().await.acts.pop().expect("an act");
    assert_eq!((act.actor.as_str(), act.reason.as_deref()), ("token", Some("mail is back")));
    let again = Desk::of(&world, Role::Operator).post(&path, "").await;
    assert_eq!(again.status, StatusCode::CONFLICT);
}

#[tokio::test(start_paused = true)]
async fn what_cannot_be_read_in_an_address_is_said() {
    let world = World::idle();
    for path in ["/runs?since=soon", "/runs?before=x", "/runs/nothing", "/runs?payment=run_1"] {
        let answer = Desk::of(&world, Role::Viewer).get(path).await;
        assert!(answer.status.is_client_error(), "{path}: {}", answer.status);
    }
}

#[tokio::test(start_paused = true)]
async fn a_run_shows_its_waits_its_keys_and_what_the_log_says_of_it() {
    let dir = crate::support::scratch();
    let file = dir.path().join("log");
    let world = World::with(|config| config.log_file = Some(file.clone()));
    world.sandbox.inject(Fault::new(Provider::Stripe, Effect::DropBefore).on("refunds.list").times(1));
    world.send(&Event::paid("zoe+cal-refused+refund-lost@example.edu")).await;
    world.settle().await;
    let run = world.runs_of("process-checkout-side-effects").await.remove(0).id;
    let line = format!(r#"{{"ts":"2026-11-05T09:00:00.000Z","level":"warn","event":"step_failed","runId":"{run}"}}"#);
    std::fs::write(&file, format!("{line}\n{{\"runId\":\"run_404\",\"event\":\"other\"}}\n")).unwrap();
    let viewer = Desk::of(&world, Role::Viewer);
    let page = viewer.get(&format!("/runs/{run}")).await.body;
    assert!(page.contains("class=\"wait\""), "it was tried again after a while: {page}");
    assert!(page.contains("<code>refund/pi_") && page.contains("step_failed</th>"), "{page}");
    assert!(!page.contains("run_404"));
    let list = viewer.get("/runs?workflow=process-checkout-side-effects").await.body;
    assert!(list.contains("aria-label=\"Runs begun by hour\"") && list.contains("1 in all"), "{list}");
}

#[tokio::test(start_paused = true)]
async fn a_search_ends_after_some_rows_and_goes_on_from_there() {
    let world = World::idle();
    let many = "WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 12000) \
        INSERT INTO runs (workflow, key, state, outcome, created_at, finished_at) \
        SELECT CASE i WHEN 7 THEN 'backfill' ELSE 'prune' END, 'k' || i, 'succeeded', 'done', 1, 2 FROM n";
    world.books().run(many).unwrap();
    let viewer = Desk::of(&world, Role::Viewer);
    let page = viewer.get("/runs?workflow=backfill").await;
    assert!(page.body.contains("10000 rows were looked at"), "{}", page.body);
    let (_, rest) = page.body.split_once("<a href=\"/runs?workflow=backfill&#38;before=").expect("where it goes on");
    let before: i64 = rest.split('"').next().unwrap().parse().unwrap();
    let page = viewer.get(&format!("/runs?workflow=backfill&before={before}")).await;
    assert!(!page.body.contains("looked at") && page.body.contains("<!--item run_7-->"), "{}", page.body);
    let page = viewer.get("/runs").await;
    assert!(!page.body.contains("looked at") && page.body.contains("Older"), "{}", page.body);
}

#[tokio::test(start_paused = true)]
async fn a_run_that_nobody_holds_is_said_to_be_cancelled_and_one_at_work_to_end_soon() {
    let world = World::idle();
    let operator = Desk::of(&world, Role::Operator);
    world.send(&Event::paid("zoe@example.edu")).await;
    let other = Event::paid("tom@example.edu").id("evt_2").session("id", "cs_2".into());
    world.send(&other.session("payment_intent", "pi_2".into())).await;
    let runs = world.run_ids("process-checkout-side-effects").await;
    let now = world.app.clock.now();
    let lease = std::time::Duration::from_secs(60);
    world.app.store.claim_run("somebody", runs[0], now, now.plus(lease)).await.unwrap().expect("it is due");
    for (run, said) in [(runs[0], "it+ends+at+its+next"), (runs[1], "it+is+cancelled")] {
        let answer = operator.post(&format!("/runs/{run}/cancel"), "").await;
        assert!(answer.header(header::LOCATION).contains(said), "{run}: {}", answer.header(header::LOCATION));
    }
}

#[tokio::test(start_paused = true)]
async fn a_run_whose_workflow_is_paused_says_so_and_so_does_the_answer_of_a_retry() {
    let (world, id) = failed().await;
    let (path, operator) = (format!("/runs/{id}"), Desk::of(&world, Role::Operator));
    assert!(!operator.get(&path).await.body.contains("Held back"));
    let what = Pausable { kind: PauseKind::Workflow, name: "send-email".to_owned() };
    world.operate(Deed::Pause(what.clone())).await.unwrap();
    let page = operator.get(&path).await.body;
    assert!(page.contains("send-email is paused</a> by mia since") && page.contains("asked for"), "{page}");
    assert!(page.contains("<code>discuno resume send-email</code>"), "{page}");
    let many = operator.get("/runs/act?workflow=send-email&status=failed&deed=retry").await.body;
    assert!(many.contains("workflow/send-email is paused since"), "{many}");
    let done = operator.post(&format!("{path}/retry"), "").await;
    let said = done.header(header::LOCATION);
    assert!(said.contains("workflow%2Fsend-email+is+paused") && said.contains("resume+send-email"), "{said}");
    world.operate(Deed::Resume(what)).await.unwrap();
    assert!(!operator.get(&path).await.body.contains("Held back"));
}

#[tokio::test(start_paused = true)]
async fn what_may_have_been_done_is_not_said_to_have_failed() {
    let (world, id) = failed().await;
    let cut_off = Desk::cut_off(&world, Role::Operator);
    let answer = cut_off.post(&format!("/runs/{id}/retry"), "").await;
    assert_eq!(answer.status, StatusCode::SERVICE_UNAVAILABLE);
    assert!(answer.body.contains("<h1>It is not known whether that was done</h1>"), "{}", answer.body);
    assert!(
        answer.body.contains("look before asking again") && answer.body.contains("href=\"/audit\""),
        "{}",
        answer.body
    );
    assert!(cut_off.get("/audit").await.body.contains(&id), "the trail tells");
    world.settle().await;
    let asked = cut_off.get("/runs/act?status=failed&deed=retry").await.body;
    let after = |mark: &str| asked.split_once(mark).unwrap().1.split(['"', '<']).next().unwrap().to_owned();
    let (count, seen) = (after("<p class=\"big\"><strong>"), after("name=\"seen\" value=\""));
    let form = format!("status=failed&deed=retry&count={count}&seen={seen}");
    let many = cut_off.post("/runs/act", &form).await;
    let said = many.header(header::LOCATION);
    assert!(said.contains("not+known+whether+it+was+done+to+run_") && !said.contains("refused"), "{said}");
    let refused = Desk::of(&world, Role::Operator).post(&format!("/runs/{id}/retry"), "from=nothing").await;
    assert!(refused.body.contains("<h1>That did not work</h1>"), "{}", refused.body);
}

//! Refunds from the dashboard.

use discuno::model::payment::PaymentStatus;
use discuno::model::role::Role;
use discuno::sandbox::fault::{Effect, Fault, Provider};
use discuno::store::order::Deed;
use http::{StatusCode, header};

use crate::support::cluster::is_on_a_server;
use crate::support::desk::{Desk, Shown};
use crate::support::{Event, World};

const PATH: &str = "/payments/pay_1/refund";

async fn booked() -> World {
    let world = World::new();
    world.send(&Event::paid("zoe@example.edu")).await;
    world.settle().await;
    world
}

fn refunds(world: &World) -> Vec<i64> {
    world.ledger().stripe.refunds.iter().map(|refund| refund.amount).collect()
}

/// The value of a hidden field.
fn hidden<'a>(page: &'a Shown, name: &str) -> &'a str {
    let (_, rest) = page.body.split_once(&format!("name=\"{name}\" value=\"")).expect(name);
    rest.split('"').next().unwrap()
}

#[tokio::test(start_paused = true)]
async fn a_refund_is_planned_confirmed_by_its_amount_and_made_once() {
    let world = booked().await;
    let money = Desk::of(&world, Role::Money);
    let plan = money.get(PATH).await;
    assert!(plan.body.contains("50.00 USD") && plan.body.contains("still stands"), "{}", plan.body);
    assert!(!plan.body.contains(": --cancel-booking"), "a flag of the command means nothing here");
    assert!(!plan.body.contains("zoe@") && !plan.body.contains("data-live"), "{}", plan.body);
    assert!(world.story().await.refunds.is_empty(), "a plan changes nothing");
    for typed in ["", "yes", "5.00", "50.000"] {
        let refused = money.post(PATH, &format!("seen=0&typed={typed}")).await;
        assert_eq!(refused.status, StatusCode::CONFLICT, "{typed}");
        assert!(refused.body.contains("nothing was done"), "{typed}: {}", refused.body);
    }
    let form = "seen=0&typed=50.00&reason=asked+for&cancel_booking=1";
    let done = money.post(PATH, form).await;
    let said = done.header(header::LOCATION).strip_prefix("/payments/pay_1?said=").expect(&done.body);
    let refund = said.split('+').next().unwrap().to_owned();
    assert!(refund == "rf_1" || is_on_a_server() && refund.starts_with("rf_"), "{refund}");
    let again = money.post(PATH, form).await;
    assert!(
        again.header(header::LOCATION).contains("paid+nothing+twice")
            || again.header(header::LOCATION).contains("nothing+was+paid+twice")
    );
    world.settle().await;
    assert_eq!(refunds(&world), [5000]);
    assert_eq!(world.payment().await.status, PaymentStatus::Refunded);
    let acts = world.story().await.acts;
    assert_eq!((acts.len(), acts[0].reason.as_deref()), (1, Some("asked for")));
    let page = Desk::of(&world, Role::Viewer).get("/payments/pay_1").await;
    assert!(page.body.contains("state succeeded") && page.body.contains("refund/pi_"), "{}", page.body);
    assert!(money.get(PATH).await.body.contains(&format!("{refund} of 50.00 USD is there already")));
    world.assert_money_is_right("refund from the dashboard").await;
}

#[tokio::test(start_paused = true)]
async fn a_further_refund_sent_twice_is_one_and_a_new_form_makes_another() {
    let world = booked().await;
    let money = Desk::of(&world, Role::Money);
    for round in 1..=2 {
        let plan = money.get(&format!("{PATH}?amount=10&another=1")).await;
        let seen = hidden(&plan, "seen");
        let form = format!("amount=10&another=1&seen={seen}&typed=10.00");
        for _ in 0..3 {
            assert_eq!(money.post(PATH, &form).await.status, StatusCode::SEE_OTHER);
        }
        world.settle().await;
        assert_eq!(refunds(&world), vec![1000; round]);
    }
}

#[tokio::test(start_paused = true)]
async fn a_form_that_no_longer_fits_what_is_left_is_refused_with_the_plan_of_now() {
    let world = booked().await;
    let money = Desk::of(&world, Role::Money);
    let stale = "seen=0&typed=50.00";
    assert_eq!(money.post(PATH, "amount=20&seen=0&typed=20").await.status, StatusCode::SEE_OTHER);
    world.settle().await;
    let refused = money.post(PATH, stale).await;
    assert_eq!(refused.status, StatusCode::CONFLICT);
    assert!(refused.body.contains("this pays back 30.00 USD, and nothing was done"), "{}", refused.body);
    assert_eq!(refunds(&world), [2000]);
}

#[tokio::test(start_paused = true)]
async fn who_may_not_pay_back_does_not_and_what_cannot_be_paid_back_says_why() {
    let world = booked().await;
    for role in [Role::Viewer, Role::Operator] {
        let refused = Desk::of(&world, role).post(PATH, "seen=0&typed=50.00").await;
        assert_eq!(refused.status, StatusCode::FORBIDDEN, "{role}");
    }
    assert!(Desk::of(&world, Role::Operator).get(PATH).await.body.contains("disabled"));
    let money = Desk::of(&world, Role::Money);
    let more = money.get(&format!("{PATH}?amount=60")).await;
    assert!(more.body.contains("cannot be paid back: 50.00 USD of 50.00 USD is left"), "{}", more.body);
    for bad in ["amount=1.234", "amount=%3Cb%3E"] {
        assert_eq!(money.get(&format!("{PATH}?{bad}")).await.status, StatusCode::BAD_REQUEST, "{bad}");
    }
    assert!(world.story().await.acts.is_empty() && refunds(&world).is_empty());
}

#[tokio::test(start_paused = true)]
async fn an_order_that_stripe_does_not_answer_is_kept_and_shown_and_settles_later() {
    let world = booked().await;
    let money = Desk::of(&world, Role::Money);
    let lost = Fault::new(Provider::Stripe, Effect::DropAfter).on("refunds.create");
    world.sandbox.inject(lost);
    assert_eq!(money.post(PATH, "seen=0&typed=50.00").await.status, StatusCode::SEE_OTHER);
    assert_eq!(money.post(PATH, "seen=0&typed=50.00").await.status, StatusCode::SEE_OTHER);
    world.settle().await;
    assert_eq!(refunds(&world), [5000]);
    world.assert_money_is_right("lost answer").await;
}

#[tokio::test(start_paused = true)]
async fn a_refund_that_nobody_is_at_work_on_is_not_said_to_be_on_its_way_and_is_carried_on() {
    let world = booked().await;
    let money = Desk::of(&world, Role::Money);
    let down = Fault::new(Provider::Stripe, Effect::ErrorBefore { status: 503 });
    world.sandbox.inject(down.on("refunds.create").times(1000));
    assert_eq!(money.post(PATH, "amount=10&seen=0&typed=10.00").await.status, StatusCode::SEE_OTHER);
    let run = world.runs_of("refund-payment").await[0].id;
    let page = money.get("/payments/pay_1").await.body;
    assert!(page.contains("not confirmed by Stripe</dt><dd>10.00 USD</dd>"), "{page}");
    world.operate(Deed::Cancel(run)).await.unwrap();
    for _ in 0..1000 {
        if world.runs_of("refund-payment").await[0].state.is_terminal() {
            break;
        }
        tokio::time::sleep(std::time::Duration::from_secs(1)).await;
    }
    let page = money.get("/payments/pay_1").await.body;
    assert!(page.contains("10.00 USD: nobody is at work on it"), "{page}");
    assert!(!page.contains("Refunded, or"), "{page}");
    assert!(money.get("/payments").await.body.contains("10.00 USD not confirmed"));
    let case = world.story().await.cases.remove(0);
    assert!(case.summary.contains("while 10.00 USD (rf_"), "{}", case.summary);
    assert_eq!(case.at_risk.unwrap().minor, 1000);
    assert!(case.detail.contains("retry the run: it asks Stripe first"), "{}", case.detail);
    let plan = money.get(&format!("{PATH}?amount=10")).await.body;
    assert!(plan.contains("this carries it on") && plan.contains("name=\"typed\""), "{plan}");
    world.sandbox.clear_faults();
    let carried = money.post(PATH, "amount=10&seen=1&typed=10.00").await;
    assert!(carried.header(header::LOCATION).contains("is+carried+on"), "{}", carried.body);
    world.settle().await;
    assert_eq!(refunds(&world), [1000], "the same one, and no other");
}

//! Orders that were carried out in part: what is left of them is for a person, and hides nothing of what comes after it.

use std::time::Duration;

use discuno::model::booking::BookingStatus;
use discuno::model::case::{CaseKind, Resolution};
use discuno::model::pause::{Pausable, PauseKind};
use discuno::model::payment::PaymentStatus;
use discuno::model::policy::Policy;
use discuno::model::run::RunState;
use discuno::sandbox::fault::{Effect, Fault, Provider};
use discuno::store::Unsettled;
use discuno::store::order::Deed;
use serde_json::json;

use crate::calendar::{booked, created};
use crate::late_news::{close, first_of, kinds, moved, off, open_cases};
use crate::life::sample;
use crate::one_after_another::absent;
use crate::support::{Event, World};

const JANE: &str = "jane@example.com";

/// A refund is ordered with the session called off, and the run that carries it out is cancelled before it comes to Cal.com.
async fn broken_off(world: &World, amount: Option<i64>) {
    let cal = Pausable { kind: PauseKind::Provider, name: "cal".to_owned() };
    world.operate(Deed::Pause(cal.clone())).await.unwrap();
    world.order_part(amount, true).await.unwrap();
    tokio::time::sleep(Duration::from_secs(30)).await;
    let run = world.runs_of("refund-payment").await.remove(0).id;
    world.operate(Deed::Cancel(run)).await.unwrap();
    world.operate(Deed::Resume(cal)).await.unwrap();
    world.settle().await;
    assert_eq!(world.runs_of("refund-payment").await[0].state, RunState::Cancelled);
    assert_eq!(world.ledger().cal.bookings[0].status, "accepted");
}

#[tokio::test(start_paused = true)]
async fn what_is_left_of_the_money_is_asked_about_where_an_order_to_call_off_was_cancelled_before_it_did() {
    let world = World::with(|config| config.policies.mentor_cancels = Policy::Case);
    let purchase = booked(&world).await;
    broken_off(&world, Some(1500)).await;
    assert_eq!(world.payment().await.status, PaymentStatus::Booked);
    world.send_cal(&off(&purchase, &first_of(&world), JANE)).await;
    world.settle().await;
    assert_eq!(kinds(&open_cases(&world).await), [CaseKind::SessionCancelled]);
    assert_eq!(world.payment().await.status, PaymentStatus::Attention);
}

#[tokio::test(start_paused = true)]
async fn the_daily_comparison_finds_what_such_an_order_has_left_without_a_session() {
    let world = World::new();
    booked(&world).await;
    broken_off(&world, Some(1500)).await;
    // As if by a fault that nobody has thought of.
    world.books().run("UPDATE bookings SET status = 'cancelled'").unwrap();
    let later = world.app.clock.now().plus(Duration::from_hours(24));
    let found = world.app.store.discrepancies(later, 10).await.unwrap();
    let found: Vec<_> = found.iter().map(|found| (found.what, found.amount.minor)).collect();
    assert_eq!(found, [(Unsettled::NothingStands, 3500)]);
}

#[tokio::test(start_paused = true)]
async fn a_session_that_such_an_order_has_left_and_a_person_lets_stand_may_be_moved() {
    let world = World::new();
    let purchase = booked(&world).await;
    broken_off(&world, None).await;
    assert_eq!(kinds(&open_cases(&world).await), [CaseKind::RunCancelled]);
    close(&world, Resolution::SettledElsewhere).await;
    world.send_cal(&moved(&purchase, &first_of(&world), "uid-second")).await;
    world.settle().await;
    let bookings = world.story().await.bookings;
    let second = bookings.iter().find(|booking| booking.facts.uid == "uid-second").unwrap();
    assert_eq!(second.facts.status, BookingStatus::Accepted);
}

#[tokio::test(start_paused = true)]
async fn a_person_knows_of_a_session_that_such_an_order_has_left_while_stripe_takes_its_time() {
    let world = World::new();
    let purchase = Event::paid("zoe+refund-pending@example.edu");
    world.send(&purchase).await;
    world.settle().await;
    broken_off(&world, None).await;
    assert_eq!(world.payment().await.status, PaymentStatus::Refunding);
    assert_eq!(kinds(&open_cases(&world).await), [CaseKind::RunCancelled]);
}

#[tokio::test(start_paused = true)]
async fn a_session_that_turns_up_after_such_an_order_is_called_off() {
    let world = World::new();
    let purchase = Event::paid("zoe@example.edu");
    world.sandbox.inject(Fault::new(Provider::Cal, Effect::ErrorBefore { status: 503 }));
    world.send(&purchase).await;
    world.settle().await;
    assert_eq!(kinds(&open_cases(&world).await), [CaseKind::BookingUnclear]);
    world.sandbox.inject(Fault::new(Provider::Stripe, Effect::Slow { millis: 8000 }).on("refunds.create"));
    world.order_part(None, true).await.unwrap();
    tokio::time::sleep(Duration::from_secs(4)).await;
    let run = world.runs_of("refund-payment").await.remove(0).id;
    world.operate(Deed::Cancel(run)).await.unwrap();
    world.settle().await;
    assert_eq!(world.runs_of("refund-payment").await[0].state, RunState::Cancelled);
    assert_eq!(world.payment().await.status, PaymentStatus::Refunded);
    world.sandbox.clear_faults();
    world.sandbox.observe(&created(&purchase).body());
    world.send_cal(&created(&purchase)).await;
    world.settle().await;
    assert_eq!(world.ledger().cal.bookings[0].status, "cancelled");
}

#[tokio::test(start_paused = true)]
async fn a_session_that_was_agreed_on_after_a_part_was_called_off_is_asked_about_once_stripe_pays_the_rest_back() {
    let world = World::new();
    let purchase = booked(&world).await;
    let first = first_of(&world);
    world.order_part(Some(1000), true).await.unwrap();
    world.settle().await;
    assert_eq!(world.ledger().cal.bookings[0].status, "cancelled");
    world.send_cal(&moved(&purchase, &first, "uid-second")).await;
    world.settle().await;
    let mut rest = sample("refund.updated_succeeded", &purchase);
    rest.0["data"]["object"]["id"] = json!("re_the_rest");
    rest.0["data"]["object"]["amount"] = json!(4000);
    world.send(&rest).await;
    world.settle().await;
    assert_eq!(world.payment().await.status, PaymentStatus::Refunded);
    assert_eq!(kinds(&open_cases(&world).await), [CaseKind::BookingAfterRefund]);
    let bookings = world.story().await.bookings;
    let second = bookings.iter().find(|booking| booking.facts.uid == "uid-second").unwrap();
    assert_eq!(second.facts.status, BookingStatus::Accepted);
}

#[tokio::test(start_paused = true)]
async fn a_session_that_was_said_to_stand_is_settled_once_the_last_case_about_it_is_closed_by_a_retry() {
    let world = World::new();
    world.sandbox.inject(Fault::new(Provider::Mail, Effect::ErrorBefore { status: 503 }));
    let purchase = Event::paid("zoe@example.edu");
    world.send(&purchase).await;
    tokio::time::sleep(Duration::from_secs(60)).await;
    let missed = Pausable { kind: PauseKind::Workflow, name: "host-no-show".to_owned() };
    world.operate(Deed::Pause(missed.clone())).await.unwrap();
    world.send_cal(&absent(&purchase, &first_of(&world))).await;
    tokio::time::sleep(Duration::from_hours(20)).await;
    world.operate(Deed::Resume(missed)).await.unwrap();
    world.settle().await;
    let open = open_cases(&world).await;
    let (missed, failed): (Vec<_>, Vec<_>) = open.into_iter().partition(|case| case.kind == CaseKind::HostNoShow);
    assert!(failed.iter().any(|case| case.at_risk.is_some()), "{failed:?}");
    world.operate(Deed::Resolve { case: missed[0].id, resolution: Resolution::Booked }).await.unwrap();
    assert_eq!(world.payment().await.status, PaymentStatus::Attention);
    world.sandbox.clear_faults();
    for case in failed {
        world.operate(Deed::Retry { run: case.run.unwrap(), from: None }).await.unwrap();
    }
    world.settle().await;
    assert!(open_cases(&world).await.is_empty());
    assert_eq!(world.payment().await.status, PaymentStatus::Booked);
}

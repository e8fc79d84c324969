//! What people decide about a session, and what Cal.com tells late or from a copy that is behind.

use std::time::Duration;

use discuno::model::case::{CaseKind, NewCase, Resolution};
use discuno::model::id::CaseId;
use discuno::model::pause::{Pausable, PauseKind};
use discuno::model::payment::PaymentStatus;
use discuno::model::policy::Policy;
use discuno::model::refund::RefundStatus;
use discuno::model::run::RunState;
use discuno::sandbox::fault::{Effect, Fault, Provider};
use discuno::store::order::Deed;
use serde_json::json;

use crate::calendar::{booked, cancelled, created};
use crate::support::{CalEvent, Event, World};

fn settled_by_refund() -> World {
    World::with(|config| config.policies.mentor_cancels = Policy::Refund)
}

#[tokio::test(start_paused = true)]
async fn a_second_session_takes_the_place_of_the_one_that_is_called_off() {
    let world = settled_by_refund();
    let purchase = booked(&world).await;
    world.send_cal(&created(&purchase).set("uid", json!("uid-second")).set("bookingId", json!(92_000))).await;
    world.settle().await;
    let by_mentor = || cancelled(&purchase).set("cancelledBy", json!("jane+discuno@example.com"));
    world.send_cal(&by_mentor()).await;
    world.settle().await;
    let story = world.story().await;
    assert!(story.refunds.is_empty(), "the session that is left was paid for: {:?}", story.refunds);
    let live: Vec<&str> = story
        .bookings
        .iter()
        .filter(|booking| booking.facts.status.is_live())
        .map(|booking| booking.facts.uid.as_str())
        .collect();
    assert_eq!((live, story.payment.unwrap().status), (vec!["uid-second"], PaymentStatus::Booked));
    // It is settled like any other from now on.
    world.send_cal(&by_mentor().set("uid", json!("uid-second"))).await;
    world.settle().await;
    assert_eq!(world.payment().await.status, PaymentStatus::Refunded);
    world.assert_money_is_right("second").await;
}

#[tokio::test(start_paused = true)]
async fn a_part_that_an_operator_paid_back_with_the_session_called_off_stays_a_part() {
    let world = settled_by_refund();
    let purchase = booked(&world).await;
    world.order_part(Some(2500), true).await.unwrap();
    world.settle().await;
    // Cal.com tells of it under the name of the account that asked.
    world.send_cal(&cancelled(&purchase).set("cancelledBy", json!("jane+discuno@example.com"))).await;
    world.settle().await;
    let story = world.story().await;
    assert_eq!(world.ledger().stripe.refunds.iter().map(|refund| refund.amount).collect::<Vec<_>>(), [2500]);
    assert!(story.cases.is_empty(), "a person has decided: {:?}", story.cases);
    let found = world
        .app
        .store
        .discrepancies(world.app.clock.now().plus(Duration::from_secs(8 * 24 * 3600)), 10)
        .await
        .unwrap();
    assert!(found.is_empty(), "{found:?}");
}

#[tokio::test(start_paused = true)]
async fn whoever_cancels_what_only_counts_is_told_nothing_of_a_refund_that_another_run_carries() {
    let world = World::new();
    let down = |provider| Fault::new(provider, Effect::ErrorBefore { status: 503 });
    world.sandbox.inject(down(Provider::Posthog));
    world.sandbox.inject(down(Provider::Stripe).on("refunds.create"));
    world.send(&Event::paid("zoe@example.edu")).await;
    tokio::time::sleep(Duration::from_secs(10)).await;
    world.order_refund().await;
    tokio::time::sleep(Duration::from_secs(10)).await;
    assert_eq!(world.story().await.refunds[0].status, RefundStatus::Sent);
    let counts = world.runs_of("track-event").await.remove(0).id;
    world.operate(Deed::Cancel(counts)).await.unwrap();
    tokio::time::sleep(Duration::from_secs(600)).await;
    assert!(world.story().await.cases.is_empty(), "{:?}", world.story().await.cases);
}

#[tokio::test(start_paused = true)]
async fn a_session_that_a_person_lets_stand_is_settled_like_any_other_afterwards() {
    let world = World::new();
    let (purchase, case) = with_failed_refund(&world).await;
    let share = world.runs_of("transfer-to-mentor").await.remove(0);
    assert_eq!(share.state, RunState::Cancelled);
    world.operate(Deed::Resolve { case, resolution: Resolution::Booked }).await.unwrap();
    assert_eq!(world.payment().await.status, PaymentStatus::Booked);
    world.settle().await;
    assert_eq!(
        world.runs_of("transfer-to-mentor").await[0].state,
        RunState::Queued,
        "the mentor's share is owed again"
    );
    let otherwise = world.operate(Deed::Resolve { case, resolution: Resolution::SettledElsewhere }).await;
    assert!(otherwise.unwrap_err().to_string().contains("was closed before, as booked"));

    world.send_cal(&CalEvent::sample("BOOKING_REJECTED").about(&purchase)).await;
    world.settle().await;
    assert_eq!(world.payment().await.status, PaymentStatus::Refunding);
    world.assert_money_is_right("let stand").await;
}

/// A booked payment whose refund, ordered by a person, failed at Stripe: a case is open.
async fn with_failed_refund(world: &World) -> (Event, CaseId) {
    let purchase = Event::paid("zoe+refund-pending@example.edu");
    world.send(&purchase).await;
    world.settle().await;
    world.order_part(None, false).await.unwrap();
    world.settle().await;
    let theirs = world.ledger().stripe.refunds.remove(0);
    let failed = json!({"id": theirs.id, "amount": 5000, "currency": "usd", "status": "failed",
        "payment_intent": theirs.payment_intent, "metadata": theirs.metadata, "failure_reason": "declined"});
    world.send(&Event::told("evt_failed", "refund.failed", 1_793_874_500, failed)).await;
    world.settle().await;
    let story = world.story().await;
    assert_eq!(story.payment.unwrap().status, PaymentStatus::Attention);
    (purchase, story.cases[0].id)
}

#[tokio::test(start_paused = true)]
async fn a_session_that_is_let_stand_is_settled_once_the_last_case_about_it_is_closed() {
    for by_stripe in [true, false] {
        let world = World::new();
        let (purchase, case) = with_failed_refund(&world).await;
        let dispute = |id: &str, status: &str, created: i64| {
            let object = json!({"id": "du_1", "amount": 5000, "currency": "usd", "status": status,
                "reason": "fraudulent", "payment_intent": purchase.0["data"]["object"]["payment_intent"]});
            Event::told(id, "charge.dispute.updated", created, object)
        };
        world.send(&dispute("evt_1", "needs_response", 1_793_875_000)).await;
        world.settle().await;
        world.operate(Deed::Resolve { case, resolution: Resolution::Booked }).await.unwrap();
        assert_eq!(world.payment().await.status, PaymentStatus::Attention, "a person still has to act");
        if by_stripe {
            world.send(&dispute("evt_2", "won", 1_793_876_000)).await;
            world.settle().await;
        } else {
            let cases = world.story().await.cases;
            let case = cases.iter().find(|case| case.kind == CaseKind::Disputed).unwrap().id;
            world.operate(Deed::Resolve { case, resolution: Resolution::SettledElsewhere }).await.unwrap();
        }
        assert_eq!(world.payment().await.status, PaymentStatus::Booked, "by stripe: {by_stripe}");
        world.settle().await;
        assert_eq!(world.runs_of("transfer-to-mentor").await[0].state, RunState::Queued);
        world.assert_money_is_right("the last case").await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_share_whose_end_waits_for_a_pause_is_owed_again_as_well() {
    let world = World::new();
    let transfers = || Pausable { kind: PauseKind::Workflow, name: "transfer-to-mentor".to_owned() };
    world.operate(Deed::Pause(transfers())).await.unwrap();
    let (_, case) = with_failed_refund(&world).await;
    assert!(world.runs_of("transfer-to-mentor").await[0].cancel_requested);
    world.operate(Deed::Resolve { case, resolution: Resolution::Booked }).await.unwrap();
    world.operate(Deed::Resume(transfers())).await.unwrap();
    world.settle().await;
    let run = world.runs_of("transfer-to-mentor").await.remove(0);
    assert_eq!((run.state, run.cancel_requested), (RunState::Queued, false));
}

#[tokio::test(start_paused = true)]
async fn a_session_that_cal_com_told_of_is_the_payments_however_its_lists_are() {
    let world = World::new();
    let purchase = Event::paid("zoe@example.edu");
    let cal = |effect| Fault::new(Provider::Cal, effect);
    world.sandbox.inject(cal(Effect::ErrorAfter { status: 502 }).on("bookings.create").times(1));
    world.sandbox.inject(cal(Effect::ErrorBefore { status: 503 }).on("bookings.list"));
    world.send(&purchase).await;
    tokio::time::sleep(Duration::from_millis(200)).await;
    world.send_cal(&created(&purchase)).await;
    world.settle().await;
    let story = world.story().await;
    assert_eq!((story.cases.len(), story.refunds.len()), (0, 0), "{:?}", story.cases);
    assert_eq!(world.steps().await.last().unwrap(), "send-confirmation-emails");
    world.assert_money_is_right("told").await;
}

#[tokio::test(start_paused = true)]
async fn a_list_that_is_behind_does_not_have_a_booked_session_paid_back() {
    let world = World::new();
    let cal = |effect| Fault::new(Provider::Cal, effect);
    world.sandbox.inject(cal(Effect::ErrorAfter { status: 502 }).on("bookings.create").times(1));
    world.sandbox.inject(cal(Effect::Behind { millis: 60_000 }).on("bookings.list").times(4));
    world.send(&Event::paid("zoe@example.edu")).await;
    world.settle().await;
    let story = world.story().await;
    assert_eq!((story.payment.unwrap().status, story.refunds.len()), (PaymentStatus::Booked, 0));
    world.assert_money_is_right("behind").await;
}

#[tokio::test(start_paused = true)]
async fn an_outage_of_a_minute_costs_no_sale() {
    let world = World::new();
    let down = || Fault::new(Provider::Cal, Effect::ErrorBefore { status: 503 });
    world.sandbox.inject(down().on("bookings.create").times(6));
    world.send(&Event::paid("zoe@example.edu")).await;
    world.settle().await;
    assert_eq!(world.payment().await.status, PaymentStatus::Booked);
    world.assert_money_is_right("stumble").await;
}

#[tokio::test(start_paused = true)]
async fn a_case_is_not_resolved_as_booked_while_a_refund_is_in_doubt() {
    let mut world = World::new();
    booked(&world).await;
    world.kill_worker();
    let payment = world.payment().await.id;
    world.order_part(None, false).await.unwrap();
    let case = NewCase {
        kind: CaseKind::Unaccounted,
        cause: "looked at".to_owned(),
        summary: "looked at".to_owned(),
        detail: String::new(),
        at_risk: None,
    };
    world.operate(Deed::OpenCase { payment, case }).await.unwrap();
    let case = world.story().await.cases[0].id;
    let refused = world.operate(Deed::Resolve { case, resolution: Resolution::Booked }).await.unwrap_err();
    assert!(refused.to_string().contains("nobody knows yet whether a refund of it was made"), "{refused}");
    world.work_over(world.providers());
    world.settle().await;
    world.operate(Deed::Resolve { case, resolution: Resolution::Refunded }).await.unwrap();
}

fn key_refused(provider: Provider) -> Fault {
    let no = Effect::Refuse { status: 401, code: "unauthorized".to_owned(), message: "no such key".to_owned() };
    Fault::new(provider, no)
}

#[tokio::test(start_paused = true)]
async fn a_sale_that_was_given_up_for_a_refused_key_is_retried_once_the_key_is_mended() {
    for settled_by_hand in [false, true] {
        let world = World::new();
        let fault = key_refused(Provider::Cal);
        world.sandbox.inject(fault.clone());
        world.send(&Event::paid("zoe@example.edu")).await;
        world.settle().await;
        let run = world.runs_of("process-checkout-side-effects").await.remove(0);
        assert_eq!(
            (run.state, run.failure.map(|failure| failure.code)),
            (RunState::Failed, Some("credentials".into()))
        );
        let cases = world.story().await.cases;
        assert_eq!((cases.len(), cases[0].kind), (1, CaseKind::BookingUnclear), "{cases:?}");
        assert!(cases[0].alerted_at.is_some() && cases[0].detail.contains("Mend the key"), "{cases:?}");
        world.sandbox.lift(&fault);
        if settled_by_hand {
            let resolution = Resolution::SettledElsewhere;
            world.operate(Deed::Resolve { case: cases[0].id, resolution }).await.unwrap();
            let refused = world.operate(Deed::Retry { run: run.id, from: None }).await.unwrap_err();
            assert!(refused.to_string().contains("was settled by a person"), "{refused}");
            continue;
        }
        world.operate(Deed::Retry { run: run.id, from: None }).await.unwrap();
        world.settle().await;
        let story = world.story().await;
        assert_eq!(story.payment.unwrap().status, PaymentStatus::Booked);
        assert_eq!(story.cases[0].resolution.as_deref(), Some("retried, and ended as booked"));
        assert_eq!(world.runs_of("transfer-to-mentor").await.len(), 1);
        world.assert_money_is_right("key mended").await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_share_that_was_given_up_for_a_refused_key_is_retried_once_the_key_is_mended() {
    let mut world = World::new();
    let fault = key_refused(Provider::Stripe).on("transfers.create");
    world.sandbox.inject(fault.clone());
    world.send(&Event::paid("zoe+share-later@example.edu")).await;
    world.settle_share().await;
    let run = world.runs_of("transfer-to-mentor").await.remove(0);
    assert_eq!((run.state, run.failure.map(|failure| failure.code)), (RunState::Failed, Some("credentials".into())));
    let cases = world.story().await.cases;
    assert_eq!((cases.len(), cases[0].kind), (1, CaseKind::TransferBlocked), "{cases:?}");
    world.sandbox.lift(&fault);
    world.operate(Deed::Retry { run: run.id, from: None }).await.unwrap();
    world.settle_share().await;
    assert_eq!(world.runs_of("transfer-to-mentor").await[0].outcome.as_deref(), Some("transferred"));
    assert_eq!(world.ledger().stripe.transfers.len(), 1);
    assert_eq!(world.story().await.cases[0].resolution.as_deref(), Some("retried, and ended as transferred"));
}

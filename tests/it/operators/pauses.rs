//! Pausing a provider or a workflow, in virtual time.

use std::time::Duration;

use discuno::config::Secret;
use discuno::model::pause::{Pausable, PauseKind};
use discuno::model::payment::PaymentStatus;
use discuno::store::order::Deed;

use crate::support::{Event, World};

fn provider(name: &str) -> Pausable {
    Pausable { kind: PauseKind::Provider, name: name.to_owned() }
}

const DAY: Duration = Duration::from_secs(24 * 3600);

#[tokio::test(start_paused = true)]
async fn what_needs_a_paused_provider_waits_and_uses_up_no_try() {
    let world = World::new();
    world.operate(Deed::Pause(provider("cal"))).await.unwrap();
    world.send(&Event::paid("zoe@example.edu")).await;
    tokio::time::sleep(DAY).await;
    assert_eq!(world.payment().await.status, PaymentStatus::Paid);
    assert!(world.ledger().cal.bookings.is_empty());
    assert!(!world.steps().await.contains(&"create-calcom-booking".to_owned()));

    world.operate(Deed::Resume(provider("cal"))).await.unwrap();
    world.settle().await;
    assert_eq!(world.payment().await.status, PaymentStatus::Booked);
    assert_eq!(world.ledger().cal.bookings.len(), 1);
    assert!(world.story().await.cases.is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_booking_does_not_wait_for_paused_analytics() {
    let world = World::new();
    world.operate(Deed::Pause(provider("posthog"))).await.unwrap();
    world.send(&Event::paid("zoe@example.edu")).await;
    tokio::time::sleep(Duration::from_secs(60)).await;
    assert_eq!(world.payment().await.status, PaymentStatus::Booked);
    assert!(world.counted().is_empty());
    world.operate(Deed::Resume(provider("posthog"))).await.unwrap();
    world.settle().await;
    assert_eq!(world.counted().iter().filter(|event| *event == "payment_succeeded").count(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_paused_workflow_is_not_begun_and_holds_up_no_other() {
    let world = World::new();
    let what = Pausable { kind: PauseKind::Workflow, name: "send-email".to_owned() };
    world.operate(Deed::Pause(what.clone())).await.unwrap();
    let again = world.operate(Deed::Pause(what.clone())).await.unwrap();
    assert!(again.act.is_none(), "it was paused already");
    world.send(&Event::paid("zoe@example.edu")).await;
    tokio::time::sleep(DAY).await;
    assert_eq!(world.payment().await.status, PaymentStatus::Booked);
    assert!(world.ledger().mail.mails.is_empty());
    assert!(world.runs_of("send-email").await.iter().all(|run| run.token == 0), "none was claimed");
    world.operate(Deed::Resume(what)).await.unwrap();
    world.settle().await;
    assert_eq!(world.ledger().mail.mails.len(), 2);
}

#[tokio::test(start_paused = true)]
async fn e_mail_that_goes_by_smtp_is_held_back_too() {
    let world = World::with(|config| {
        config.mail.resend_key = None;
        // Nobody is there: what is not held back has failed for good after a day.
        config.mail.smtp_url = Some(Secret::new("smtp://127.0.0.1:1"));
    });
    world.operate(Deed::Pause(provider("resend"))).await.unwrap();
    world.send(&Event::paid("zoe@example.edu")).await;
    tokio::time::sleep(2 * DAY).await;
    assert_eq!(world.payment().await.status, PaymentStatus::Booked);
    let letters = world.runs_of("send-email").await;
    assert!(!letters.is_empty() && letters.iter().all(|run| !run.state.is_terminal()), "{letters:?}");
    assert!(world.story().await.cases.is_empty());
}

//! What operators do, from command lines of their own.

use std::sync::Arc;
use std::time::Duration;

use crate::model::case::{CaseKind, Resolution};
use crate::model::id::PaymentId;
use crate::model::money::{Currency, Money};
use crate::model::pause::{Pausable, PauseKind};
use crate::model::run::RunState;
use crate::sim::script::Command;
use crate::sim::world::World;
use crate::store::order::{Deed, Order, RefundOrder};
use crate::store::{Story, Subject};

/// How long a command carries out what it has ordered.
const PATIENCE: Duration = Duration::from_secs(60);

/// Orders `command` for the purchase of this number, if there is anything to order it for.
pub(super) async fn act(world: &mut World, number: usize, command: Command) {
    let Some(session) = world.orders.iter().find(|order| order.purchase.number == number) else { return };
    let Ok(Subject::Payment(payment)) = world.store.resolve_whole(&session.session).await else { return };
    let Ok(story) = world.store.story(Subject::Payment(payment)).await else { return };
    let Some(deed) = deed(command, payment, &story) else { return };
    let reason = Some("asked for".to_owned());
    let order = Order { actor: "mia".to_owned(), reason, deed };
    let outcome = world.store.operate(order, world.hub.now()).await;
    let word = format!("{command:?}").split([' ', '{']).next().unwrap_or_default().to_owned();
    world.hub.note(|| match &outcome {
        Ok(done) => format!("an operator: {command:?}: {}", done.after),
        Err(error) => format!("an operator: {command:?}: refused: {error}"),
    });
    world.hub.count(|| format!("operator/{word} {}", if outcome.is_ok() { "done" } else { "refused" }));
    world.hub.wake();
    let Ok(done) = outcome else { return };
    match command {
        Command::Refund { .. } | Command::RefundPart { .. } => {
            let (Some(run), Ok(worker)) = (done.run, world.command_line()) else { return };
            world.background.spawn(async move {
                // Whoever runs the deployment finishes what is not finished here.
                let _ = worker.carry(run, PATIENCE).await;
            });
        }
        Command::PauseProvider { millis } | Command::PauseWorkflow { millis, .. } => {
            let (store, hub) = (Arc::clone(&world.store), Arc::clone(&world.hub));
            world.background.spawn(async move {
                tokio::time::sleep(Duration::from_millis(millis)).await;
                let order = Order { actor: "mia".to_owned(), reason: None, deed: Deed::Resume(paused(command)) };
                let _ = store.operate(order, hub.now()).await;
                hub.wake();
            });
        }
        Command::Cancel | Command::Retry | Command::Resolve | Command::LetStand => {}
    }
}

fn deed(command: Command, payment: PaymentId, story: &Story) -> Option<Deed> {
    let newest = |states: &[RunState]| {
        let runs = story.runs.iter().map(|(run, _)| run).filter(|run| states.contains(&run.state));
        runs.max_by_key(|run| run.id).map(|run| run.id)
    };
    let refund = |amount, cancel_booking| RefundOrder { payment, amount, another: false, cancel_booking, seen: None };
    Some(match command {
        Command::Refund { cancel_booking } => Deed::Refund(refund(None, cancel_booking)),
        Command::RefundPart { amount, cancel_booking } => {
            Deed::Refund(refund(Some(Money::new(amount, Currency::USD)), cancel_booking))
        }
        Command::Cancel => Deed::Cancel(newest(&[RunState::Queued, RunState::Running])?),
        Command::Retry => Deed::Retry { run: newest(&[RunState::Failed, RunState::Cancelled])?, from: None },
        Command::Resolve | Command::LetStand => {
            let settled = command == Command::Resolve;
            let about_session = |kind: CaseKind| settled || !kind.is_about_share();
            let open = story.cases.iter().find(|case| case.closed_at.is_none() && about_session(case.kind))?;
            let resolution = if settled { Resolution::SettledElsewhere } else { Resolution::Booked };
            Deed::Resolve { case: open.id, resolution }
        }
        Command::PauseProvider { .. } | Command::PauseWorkflow { .. } => Deed::Pause(paused(command)),
    })
}

fn paused(command: Command) -> Pausable {
    match command {
        Command::PauseWorkflow { name, .. } => Pausable { kind: PauseKind::Workflow, name: name.to_owned() },
        _ => Pausable { kind: PauseKind::Provider, name: "stripe".to_owned() },
    }
}

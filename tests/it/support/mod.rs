//! What tests stand on: events, and a whole deployment in virtual time.

pub(crate) mod books;
pub(crate) mod cable;
mod cal_event;
pub(crate) mod cluster;
pub(crate) mod desk;
pub(crate) mod event;
mod flaky;
pub(crate) mod http;
pub(crate) mod money;
pub(crate) mod network;
pub(crate) mod process;
pub(crate) mod pty;
mod rehearsal;
pub(crate) mod street;
mod world;

pub(crate) use cal_event::CalEvent;
pub(crate) use event::Event;
pub(crate) use rehearsal::{Act, Rehearsal};
pub(crate) use world::{Trip, Tripwire, World};

/// A directory that is gone with the test; in memory where that can be had, since nothing here outlives the machine.
pub(crate) fn scratch() -> tempfile::TempDir {
    let memory = std::path::Path::new("/dev/shm");
    if memory.is_dir() { tempfile::tempdir_in(memory) } else { tempfile::tempdir() }.unwrap()
}

/// Two purchases whose e-mails cannot be sent, after every try.
pub(crate) async fn without_mail() -> World {
    let world = World::new();
    for number in 1..=2 {
        let event = Event::paid(&format!("zoe{number}+mail-down@example.edu")).id(&format!("evt_{number}"));
        let event = event.session("id", format!("cs_{number}").into());
        world.send(&event.session("payment_intent", format!("pi_{number}").into())).await;
    }
    world.settle().await;
    world
}

/// The newest payments.
pub(crate) async fn newest(store: &discuno::store::Shared, limit: u32) -> Vec<discuno::model::payment::Payment> {
    let lines = store.payments(discuno::store::filter::Filter::newest(limit)).await.unwrap();
    lines.into_iter().map(|line| line.payment).collect()
}

/// Whether a run has not ended, other than those that wait for days on purpose.
pub(crate) async fn is_busy(store: &discuno::store::Shared, waits_on_purpose: &[&str]) -> bool {
    let unfinished = discuno::store::filter::Filter {
        status: vec!["queued".to_owned(), "running".to_owned()],
        ..discuno::store::filter::Filter::newest(1000)
    };
    let runs = store.runs(unfinished).await.unwrap();
    runs.iter().any(|line| !waits_on_purpose.contains(&line.run.workflow.as_str()))
}

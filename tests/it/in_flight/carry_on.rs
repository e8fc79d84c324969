//! A run that was cut goes on, with the database and the providers as they were.

use std::time::Duration;

use discuno::model::id::RunId;
use discuno::model::time::Timestamp;
use discuno::store::sqlite::file;
use discuno::transport::Request;
use rusqlite::Connection;

use crate::in_flight::film::{Asked, Cut, Happening};
use crate::in_flight::ways::adjust;
use crate::support::World;
use crate::support::event::NOW;

pub(crate) async fn carried_on(cut: &Cut) {
    let context = format!("{}: {}", cut.way, cut.stage);
    let mut world = World::starting_at(NOW, |config| {
        adjust(config, cut.refund_called_off);
        cut.make(&config.db);
    });
    remember(&world, cut).await;
    wait_until(&world, cut.at).await;
    world.work_over(world.providers());
    let run = RunId(cut.run);
    let ended = loop {
        let run = world.app.store.run(run).await.unwrap();
        if run.state.is_terminal() {
            break run;
        }
        assert!(world.app.clock.now().since(cut.at) < Duration::from_hours(24 * 60), "{context}: it never ends");
        let due = world.app.store.next_due().await.unwrap().unwrap_or(cut.at);
        wait_until(&world, due.plus(Duration::from_millis(20))).await;
    };
    world.settle().await;
    world.assert_repeatable(&context).await;
    let end = format!("{} {}", ended.state.as_str(), ended.outcome.as_deref().unwrap_or_default());
    assert_eq!(end, cut.end, "{context}: {:?}", ended.failure);
    world.assert_money_is_right(&context).await;
    assert_eq!(file::check(&world.app.config.db).unwrap(), Vec::<String>::new(), "{context}");
}

async fn wait_until(world: &World, at: Timestamp) {
    tokio::time::sleep(at.since(world.app.clock.now())).await;
}

/// Lets the providers have gone through what they had when the run was cut.
async fn remember(world: &World, cut: &Cut) {
    let file = Connection::open(&world.app.config.db).unwrap();
    let mut told = file.prepare("SELECT received_at, body FROM events ORDER BY id").unwrap();
    let told = told.query_map([], |row| Ok((row.get(0)?, Happening::Event(row.get(1)?)))).unwrap();
    // What happened unheard had happened before what was told in the same millisecond.
    let mut happened: Vec<(i64, Happening)> = cut.happened.iter().cloned().chain(told.map(Result::unwrap)).collect();
    happened.sort_by_key(|(at, _)| *at);
    let mut happened = happened.into_iter().peekable();
    for asked in &cut.asked {
        while let Some(next) = happened.next_if(|(at, _)| *at <= asked.at) {
            happen(world, next).await;
        }
        wait_until(world, Timestamp(asked.at)).await;
        ask(world, asked).await;
    }
    for next in happened {
        happen(world, next).await;
    }
}

async fn happen(world: &World, (at, what): (i64, Happening)) {
    wait_until(world, Timestamp(at)).await;
    match what {
        Happening::Event(event) => world.sandbox.observe(&event),
        Happening::Trouble(fault) => world.sandbox.inject(fault),
    }
}

async fn ask(world: &World, asked: &Asked) {
    let headers = asked.headers.iter().map(|(name, value)| (name.parse().unwrap(), value.parse().unwrap()));
    let request = Request {
        method: asked.method.parse().unwrap(),
        url: asked.url.parse().unwrap(),
        headers: headers.collect(),
        body: asked.body.clone().into_bytes().into(),
        timeout: Duration::from_secs(20),
    };
    // Whoever was waiting for the answer is gone.
    let _ = world.providers().send(request).await;
}

//! Events of the database, understood anew.

use discuno::app::{App, Parts};
use discuno::model::id::EventId;
use discuno::ops::replay::replay;

use crate::exit::Exit;
use crate::output;
use crate::runtime::{Overrides, actor, start_log};

pub(crate) async fn run(events: &[EventId], reason: Option<String>, overrides: &Overrides) -> anyhow::Result<Exit> {
    let config = overrides.config(&[])?;
    start_log(&config, false)?;
    let app = App::existing(config, Parts::system())?;
    let understanding = app.understanding();
    for event in events {
        let who = (&*actor(), reason.clone());
        let replayed = replay(&app.store, &understanding, who, *event, app.clock.now()).await?;
        output::line(&replayed.to_string())?;
    }
    Ok(Exit::Done)
}

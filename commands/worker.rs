//! `discuno worker`: carries runs to their end.

use discuno::app::{App, Parts};
use discuno::config::Problems;

use crate::exit::Exit;
use crate::runtime::{Overrides, start_log, stop_signal};

/// Carry runs to their end
///
/// Any number of workers may share a database with `serve`. SIGTERM finishes what is in flight.
#[derive(clap::Args)]
pub(crate) struct Args {
    #[command(flatten)]
    overrides: Overrides,
    /// Runs moved at once [default: 64, or DISCUNO_CONCURRENCY]
    #[arg(long, value_name = "N")]
    concurrency: Option<usize>,
}

pub(crate) async fn run(args: Args) -> anyhow::Result<Exit> {
    let config =
        args.overrides.config(&[("DISCUNO_CONCURRENCY", args.concurrency.map(|number| number.to_string()))])?;
    start_log(&config, true)?;
    let missing = config.missing_for_worker();
    if !missing.is_empty() {
        return Err(Problems(missing).into());
    }
    let stop = stop_signal()?;
    let app = App::open(config, Parts::system())?;
    app.begin_schedules().await?;
    tokio::join!(app.worker()?.run(stop.clone()), app.watch().run(stop));
    Ok(Exit::Done)
}

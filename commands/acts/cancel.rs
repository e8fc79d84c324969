//! `discuno cancel`: ends runs.

use discuno::app::{App, Parts};
use discuno::model::run::Run;
use discuno::ops::batch::Many;
use discuno::store::order::Deed;

use crate::acts::Target;
use crate::exit::Exit;
use crate::runtime::{Overrides, start_log};

/// End runs at their next step
///
/// One that nobody holds ends at once. Where money is taken and nothing accounts for it, a case is opened.
#[derive(clap::Args)]
#[command(
    after_help = "Examples:\n  discuno cancel run_7 --reason \"booked by hand\"\n  discuno cancel --all --workflow track-event"
)]
pub(crate) struct Args {
    #[command(flatten)]
    overrides: Overrides,
    #[command(flatten)]
    target: Target,
}

pub(crate) async fn run(args: Args) -> anyhow::Result<Exit> {
    let config = args.overrides.config(&[])?;
    start_log(&config, false)?;
    let app = App::existing(config, Parts::system())?;
    let runs = args.target.runs(&app, &["queued", "running"], |run: &Run| !run.state.is_terminal()).await?;
    args.target.act(&app, Many::Cancel, runs, Deed::Cancel).await
}

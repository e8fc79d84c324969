//! `discuno retry`: has ended runs go on.

use discuno::app::{App, Parts};
use discuno::model::run::RunState;
use discuno::ops::batch::Many;
use discuno::store::order::Deed;

use crate::acts::Target;
use crate::exit::Exit;
use crate::runtime::{Overrides, start_log};

/// Have failed or cancelled runs go on from where they failed
///
/// One that waits for its next try is tried at once. What has succeeded is not done again. With --from everything from that step on is; every step looks before it acts, so
/// nothing is booked, paid or sent twice. A worker picks the runs up.
#[derive(clap::Args)]
#[command(after_help = "Examples:\n  discuno retry run_7\n  discuno retry pay_12\n  \
    discuno retry --all --workflow send-email --error credentials --max 200 --rate 20")]
pub(crate) struct Args {
    #[command(flatten)]
    overrides: Overrides,
    #[command(flatten)]
    target: Target,
    /// From this step on
    #[arg(long, value_name = "STEP", conflicts_with = "all")]
    from: Option<String>,
    /// With --all: failed or cancelled
    #[arg(long, value_name = "STATE", default_value = "failed", value_parser = ["failed", "cancelled"])]
    status: String,
}

pub(crate) async fn run(args: Args) -> anyhow::Result<Exit> {
    let config = args.overrides.config(&[])?;
    start_log(&config, false)?;
    let app = App::existing(config, Parts::system())?;
    let ended = |run: &discuno::model::run::Run| matches!(run.state, RunState::Failed | RunState::Cancelled);
    let runs = args.target.runs(&app, &[&args.status], ended).await?;
    let deed = |run| Deed::Retry { run, from: args.from.clone() };
    args.target.act(&app, Many::Retry, runs, deed).await
}

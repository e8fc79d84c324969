//! `discuno alerts`: what is wrong with the deployment, and whether anybody was told.

use std::time::Duration;

use discuno::app::{App, Parts};
use discuno::model::alert::Alert;
use discuno::model::id::AlertId;
use discuno::model::step::Ending;
use discuno::ops;
use discuno::store::Subject;
use discuno::store::order::{Deed, Order};
use serde_json::json;

use crate::exit::{Exit, Usage};
use crate::lists::{or_dash, time};
use crate::output::{self, Table};
use crate::runtime::{Overrides, actor, span};

/// How long the ways to tell somebody are given.
const PATIENCE: Duration = Duration::from_secs(60);

/// Show what is wrong with the deployment itself, and whether anybody was told
///
/// A sender that is silent, a backlog that grows old, a provider that is down, a disk that is nearly full: found by workers every minute, told
/// by e-mail and webhook once for each cause, again after DISCUNO_ALERT_REPEAT, and once more when it is over.
#[derive(clap::Args)]
#[command(
    args_conflicts_with_subcommands = true,
    after_help = "Examples:\n  discuno alerts\n  discuno alerts --all --json\n  discuno alerts silence alert_7 --for 4h\n  discuno alerts test"
)]
pub(crate) struct Args {
    #[command(subcommand)]
    command: Option<Command>,
    #[command(flatten)]
    overrides: Overrides,
    /// What is over too
    #[arg(long)]
    all: bool,
    /// At most so many
    #[arg(long, short = 'n', value_name = "N", default_value_t = 50)]
    limit: u32,
    /// Print one JSON document
    #[arg(long)]
    json: bool,
}

#[derive(clap::Subcommand)]
enum Command {
    Test(TestArgs),
    Silence(SilenceArgs),
}

/// Have an alert not told again for a while, however long it goes on
///
/// After that it is told again if it still goes on, and once when it is over. Cases cannot be silenced: `discuno resolve`.
#[derive(clap::Args)]
#[command(
    after_help = "Examples:\n  discuno alerts silence alert_7 --for 4h --reason \"cal.com is working on it\"\n  discuno alerts silence alert_7 --for 0s"
)]
struct SilenceArgs {
    #[command(flatten)]
    overrides: Overrides,
    /// Which: alert_7
    alert: String,
    /// For how long, a week at the most; 0s ends it
    #[arg(long = "for", value_name = "SPAN", value_parser = span)]
    span: Duration,
    /// Why, for the audit trail
    #[arg(long)]
    reason: Option<String>,
    /// Print one JSON document
    #[arg(long)]
    json: bool,
}

/// Send a test alert every way that is configured, and say which arrived
#[derive(clap::Args)]
struct TestArgs {
    #[command(flatten)]
    overrides: Overrides,
    /// Print one JSON document
    #[arg(long)]
    json: bool,
}

pub(crate) async fn run(args: Args) -> anyhow::Result<Exit> {
    match args.command {
        Some(Command::Test(args)) => return test(args).await,
        Some(Command::Silence(args)) => return silence(args).await,
        None => {}
    }
    let app = App::looking(args.overrides.config(&[])?, Parts::system())?;
    let alerts = app.store.alerts(args.all, args.limit).await?;
    if args.json {
        output::document(&json!({ "alerts": alerts }))?;
    } else {
        let mut table =
            Table::new(["alert", "condition", "subject", "summary", "since", "told", "silent until", "over", "found"]);
        for alert in &alerts {
            table.row(cells(alert));
        }
        table.print()?;
        if alerts.is_empty() {
            output::note("none");
        }
    }
    Ok(Exit::Done)
}

fn cells(alert: &Alert) -> [String; 9] {
    let told = match (&alert.failure, alert.delivered_at) {
        (Some(failure), _) => format!("NOT: {failure}"),
        (None, told) => or_dash(told.map(time)),
    };
    [
        alert.id.to_string(),
        alert.condition.to_string(),
        alert.subject.clone(),
        alert.summary.clone(),
        time(alert.first_at),
        told,
        or_dash(alert.silent_until().map(time)),
        or_dash(alert.ended_at.map(time)),
        alert.count.to_string(),
    ]
}

async fn silence(args: SilenceArgs) -> anyhow::Result<Exit> {
    let alert: AlertId = args.alert.parse().map_err(|error| Usage(format!("{error}")))?;
    let app = App::existing(args.overrides.config(&[])?, Parts::system())?;
    let now = app.clock.now();
    let deed = Deed::Silence { alert, until: now.plus(args.span) };
    let performed = app.store.operate(Order { actor: actor(), reason: args.reason, deed }, now).await?;
    let said = ops::alert::silenced(&performed, now);
    let document =
        json!({ "alert": alert, "act": performed.act, "before": performed.before, "after": performed.after });
    output::outcome(args.json, [&alert.to_string(), &said], &document)?;
    Ok(Exit::Done)
}

async fn test(args: TestArgs) -> anyhow::Result<Exit> {
    let app = App::existing(args.overrides.config(&[])?, Parts::system())?;
    let worker = app.worker()?;
    let run = ops::alert::test(&app.store, &actor(), app.clock.now()).await?;
    let run = worker.carry(run, PATIENCE).await?;
    let story = app.store.story(Subject::Run(run.id)).await?;
    let tries = story.runs.iter().flat_map(|(_, tries)| tries);
    let mut ways = Vec::new();
    for (step, way) in [("mail-alerts", "e-mail"), ("post-alerts", "webhook")] {
        let last = tries.clone().rfind(|attempt| attempt.step == step);
        let said = match last.map(|attempt| &attempt.ending) {
            Some(Ending::Done { .. }) => "sent".to_owned(),
            Some(Ending::Retry { failure } | Ending::Failed { failure }) => {
                format!("{}: {}", failure.code, failure.message)
            }
            None => "not tried yet".to_owned(),
        };
        ways.push((way, matches!(last.map(|attempt| &attempt.ending), Some(Ending::Done { .. })), said));
    }
    if args.json {
        let ways: Vec<_> =
            ways.iter().map(|(way, sent, said)| json!({ "way": way, "sent": sent, "said": said })).collect();
        output::document(&json!({ "run": run, "ways": ways }))?;
    } else {
        let mut table = Table::new(["way", "result"]);
        for (way, _, said) in &ways {
            table.row([(*way).to_owned(), said.clone()]);
        }
        table.print()?;
    }
    anyhow::ensure!(ways.iter().any(|(_, sent, _)| *sent), "nobody could be told: `discuno show {}`", run.id);
    Ok(Exit::Done)
}

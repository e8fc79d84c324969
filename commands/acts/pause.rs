//! `discuno pause` and `discuno resume`: a provider or a workflow.

use discuno::app::{App, Parts};
use discuno::config::Config;
use discuno::model::pause::Pausable;
use discuno::pauses::{PROVIDERS, pausable};
use discuno::store::order::{Deed, Order, Performed};
use discuno::workflow;
use serde_json::{Value, json};

use crate::exit::{Exit, Usage};
use crate::output::{self, Table};
use crate::runtime::{Overrides, actor, start_log};

/// Hold back a provider's calls or a workflow's runs
///
/// Nothing is lost and no try is used up: what needs it waits. Webhooks are still taken. Felt by every process within a second.
#[derive(clap::Args)]
#[command(
    after_help = "Examples:\n  discuno pause cal --reason \"maintenance until 14:00\"\n  discuno pause transfer-to-mentor\n  discuno pause"
)]
pub(crate) struct PauseArgs {
    #[command(flatten)]
    overrides: Overrides,
    /// stripe, cal, posthog, resend (e-mail, by SMTP too), or a workflow's name; without one, what is paused is listed
    name: Option<String>,
    /// Why, for the audit trail and whoever wonders
    #[arg(long)]
    reason: Option<String>,
    /// Print one JSON document
    #[arg(long)]
    json: bool,
}

/// Let a provider or a workflow go on
#[derive(clap::Args)]
#[command(
    after_help = "Examples:\n  discuno resume cal\n  discuno resume --all --reason \"reconciled after the restore\""
)]
pub(crate) struct ResumeArgs {
    #[command(flatten)]
    overrides: Overrides,
    /// What is paused
    #[arg(required_unless_present = "all", conflicts_with = "all")]
    name: Option<String>,
    /// Everything that is paused
    #[arg(long)]
    all: bool,
    /// Why, for the audit trail
    #[arg(long)]
    reason: Option<String>,
    /// Print one JSON document
    #[arg(long)]
    json: bool,
}

pub(crate) async fn pause(args: PauseArgs) -> anyhow::Result<Exit> {
    let app = open(&args.overrides, if args.name.is_some() { App::existing } else { App::looking })?;
    let Some(name) = args.name else { return list(&app, args.json).await };
    let what = known(&name)?;
    let order = Order { actor: actor(), reason: args.reason, deed: Deed::Pause(what.clone()) };
    let performed = app.store.operate(order, app.clock.now()).await?;
    let said = if performed.act.is_some() { "paused" } else { "was paused before" };
    output::outcome(args.json, [&what.to_string(), said], &document(&what, said, &performed))?;
    output::note(&format!("`discuno resume {name}` lets it go on"));
    Ok(Exit::Done)
}

pub(crate) async fn resume(args: ResumeArgs) -> anyhow::Result<Exit> {
    let app = open(&args.overrides, App::existing)?;
    let all = match &args.name {
        Some(name) => vec![known(name)?],
        None => app.store.pauses().await?.into_iter().map(|pause| pause.what).collect(),
    };
    if all.is_empty() {
        output::note("nothing is paused");
    }
    let mut resumed = Vec::new();
    for what in all {
        let order = Order { actor: actor(), reason: args.reason.clone(), deed: Deed::Resume(what.clone()) };
        let performed = app.store.operate(order, app.clock.now()).await?;
        let said = if performed.act.is_some() { "goes on" } else { "was not paused" };
        resumed.push(document(&what, said, &performed));
        if !args.json {
            output::cells([&what.to_string(), said])?;
        }
    }
    if args.json {
        output::document(&json!({ "resumed": resumed }))?;
    }
    Ok(Exit::Done)
}

fn document(what: &Pausable, result: &str, performed: &Performed) -> Value {
    json!({ "name": what.to_string(), "result": result, "act": performed.act })
}

fn open(overrides: &Overrides, how: fn(Config, Parts) -> anyhow::Result<App>) -> anyhow::Result<App> {
    let config = overrides.config(&[])?;
    start_log(&config, false)?;
    how(config, Parts::system())
}

/// A name as a person gives it, with or without what kind it is of.
fn known(name: &str) -> Result<Pausable, Usage> {
    pausable(name).ok_or_else(|| {
        let all = [&PROVIDERS[..], &workflow::NAMES[..]].concat().join(", ");
        Usage(format!("`{name}` cannot be paused; these can: {all}"))
    })
}

async fn list(app: &App, json: bool) -> anyhow::Result<Exit> {
    if json {
        output::document(&json!({ "pauses": app.store.pauses().await? }))?;
        return Ok(Exit::Done);
    }
    let mut table = Table::new(["paused", "since", "by", "reason"]);
    for pause in app.store.pauses().await? {
        let reason = pause.reason.unwrap_or_else(|| "-".to_owned());
        table.row([pause.what.to_string(), pause.since.to_string(), pause.actor, reason]);
    }
    table.print()?;
    Ok(Exit::Done)
}

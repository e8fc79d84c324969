//! `discuno send`: an event of the application's, from the shell.

use std::io::Read;

use anyhow::Context;
use discuno::app::{App, Parts};
use discuno::entropy::Entropy;
use discuno::ingress::app;
use discuno::store::Ingested;
use serde_json::{Value, json};

use crate::exit::{Exit, Usage};
use crate::output;
use crate::runtime::Overrides;

/// Keep an event of the application's and start what it starts
///
/// Example: discuno send user_signed_up --data '{"userId":"7b1f","email":"zoe@example.edu","name":"Zoë"}'
#[derive(clap::Args)]
pub(crate) struct Args {
    #[command(flatten)]
    overrides: Overrides,
    /// Its name
    name: String,
    /// Its data: JSON, @file, or - for standard input
    #[arg(long, value_name = "JSON", default_value = "{}")]
    data: String,
    /// Its id; the same id is taken once
    #[arg(long)]
    id: Option<String>,
}

pub(crate) async fn run(args: Args) -> anyhow::Result<Exit> {
    let text = match args.data.strip_prefix('@') {
        Some(path) => std::fs::read_to_string(path).with_context(|| format!("could not read {path}"))?,
        None if args.data == "-" => {
            let mut text = String::new();
            std::io::stdin().read_to_string(&mut text).context("could not read standard input")?;
            text
        }
        None => args.data,
    };
    let data: Value = serde_json::from_str(&text).map_err(|error| Usage(format!("--data is not JSON: {error}")))?;
    let mut event = json!({ "name": args.name, "data": data });
    if let Some(id) = args.id {
        event["id"] = id.into();
    }
    let app = App::existing(args.overrides.config(&[])?, Parts::system())?;
    let raw = serde_json::value::to_raw_value(&event)?;
    let given = format!("cli-{}", Entropy::from_os().hex(20));
    let live = app.is_live();
    let plan = app::plan(&raw, &given, &app.config.counted_events, live, app.clock.now());
    let plan = plan.map_err(|error| Usage(error.to_string()))?;
    let (id, why) = (plan.event.external_id.clone(), plan.event.reason.clone());
    let ingested = app.store.ingest(plan, app.clock.now()).await?;
    output::line(&id)?;
    match (ingested, why) {
        (Ingested::Duplicate { .. }, _) => output::note("it was there already: nothing was started twice"),
        (Ingested::New { .. }, Some(why)) => output::note(&format!("kept; nothing follows: {why}")),
        (Ingested::New { .. }, None) => {}
    }
    Ok(Exit::Done)
}

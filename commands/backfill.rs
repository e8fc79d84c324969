//! `discuno backfill`: what a provider has and we were never sent.

use std::time::Duration;

use anyhow::Context;
use discuno::app::{App, Parts};
use discuno::config::Problems;
use discuno::ingress::stripe::TYPES;
use discuno::model::event::Source;
use discuno::ops::when::between;
use discuno::provider::stripe::EventQuery;

use crate::exit::Exit;
use crate::lists::words;
use crate::output::{self, Table};
use crate::runtime::Overrides;

/// Fetch a provider's events and put them through the intake
///
/// What is known already starts nothing twice. Workers do the same every hour. Example: discuno backfill stripe --since 48h
#[derive(clap::Args)]
pub(crate) struct Args {
    #[command(flatten)]
    overrides: Overrides,
    /// Whose events
    source: From,
    /// From when: 48h, 3d, yesterday, a date, an instant [default: 48h, or since when they are not all here]
    #[arg(long, value_name = "WHEN")]
    since: Option<String>,
    /// Until when
    #[arg(long, value_name = "WHEN")]
    until: Option<String>,
    /// Only these types, with commas between [default: every type with consequences]
    #[arg(long, value_name = "TYPE", value_delimiter = ',')]
    types: Vec<String>,
    /// Only look
    #[arg(long)]
    dry_run: bool,
}

/// How far back it goes where nothing says otherwise.
const USUAL: Duration = Duration::from_hours(48);

#[derive(Clone, Copy, clap::ValueEnum)]
enum From {
    Stripe,
}

pub(crate) async fn run(args: Args) -> anyhow::Result<Exit> {
    let From::Stripe = args.source;
    let config = args.overrides.config(&[])?;
    let missing = config.missing_for_worker();
    if !missing.is_empty() {
        return Err(Problems(missing).into());
    }
    let app = App::existing(config, Parts::system())?;
    let now = app.clock.now();
    words(&args.types, &TYPES)?;
    let types = if args.types.is_empty() { TYPES.map(str::to_owned).into() } else { args.types };
    let usual = now.minus(USUAL);
    let (since, until) = between(args.since.as_deref(), args.until.as_deref(), now)?;
    let since = match since {
        Some(since) => since,
        None => app.store.complete_until(Source::Stripe).await?.map_or(usual, |until| usual.min(until)),
    };
    let query = EventQuery { since, until, types };
    let means = app.means_over_http()?;
    let (mut found, mut new, mut after) = (0, 0, None);
    loop {
        let page = means.pull_stripe(&query, after.as_deref(), now, args.dry_run).await;
        let page = page.context("could not read Stripe's events; what was fetched before is kept")?;
        found += page.found;
        new += page.new;
        after = page.next;
        if after.is_none() {
            break;
        }
    }
    let complete = app.store.complete_until(Source::Stripe).await?;
    let mut table = Table::new(["source", "from", "found", "new", "complete until"]);
    table.row([
        "stripe".to_owned(),
        query.since.to_string(),
        found.to_string(),
        new.to_string(),
        complete.map_or_else(|| "-".to_owned(), |until| until.to_string()),
    ]);
    table.print()?;
    if args.dry_run {
        output::note("nothing was kept: --dry-run");
    }
    Ok(Exit::Done)
}

//! `discuno reconcile`: the books against the providers.

use std::collections::BTreeMap;

use anyhow::Context;
use discuno::app::{App, Parts};
use discuno::config::Problems;
use discuno::model::money::Money;
use discuno::ops::reconcile::{Finding, reconcile};
use discuno::ops::when::when;
use discuno::store::order::{Deed, Order};
use indicatif::ProgressBar;
use serde_json::json;

use crate::exit::Exit;
use crate::output::{self, Table};
use crate::runtime::{Overrides, actor, start_log};

/// Compare the books with Stripe and Cal.com, rule by rule
///
/// Only reads, one or two calls a payment and one for each hundred bookings. Rules: M1 what was taken has started · M2 one booking, the whole amount back,
/// or a case · M3 refunds agree · M4 no refund is unknown for a day · M5 nothing refunded still stands · M6 refunds take share and fee back · M7 nothing unpaid is
/// booked · M8 late failures are seen · M9 no share is left with the mentor of what was refunded · M10 test and live do not mix.
#[derive(clap::Args)]
#[command(
    after_help = "Examples:\n  discuno reconcile\n  discuno reconcile --since 30d --json\n  discuno reconcile --open-cases\n\n\
    Exit status: 0 everything adds up · 9 something does not"
)]
pub(crate) struct Args {
    #[command(flatten)]
    overrides: Overrides,
    /// Payments made since: 7d, yesterday, a date
    #[arg(long, value_name = "WHEN", default_value = "7d")]
    since: String,
    /// Open a case for each finding, once
    #[arg(long)]
    open_cases: bool,
    /// Print one JSON document
    #[arg(long)]
    json: bool,
}

pub(crate) async fn run(args: Args) -> anyhow::Result<Exit> {
    let config = args.overrides.config(&[])?;
    start_log(&config, false)?;
    let missing = config.missing_for_worker();
    if !missing.is_empty() {
        return Err(Problems(missing).into());
    }
    let open = if args.open_cases { App::existing } else { App::looking };
    let app = open(config, Parts::system())?;
    let (now, means) = (app.clock.now(), app.means_over_http()?);
    let since = when(&args.since, now)?;
    let spinner = ProgressBar::new_spinner();
    let mut compared = 0;
    let seen = |count: usize| {
        compared = count;
        spinner.set_message(format!("{count} payments compared"));
        spinner.tick();
    };
    let findings = reconcile(&app.store, &means.providers, since, app.is_live(), now, seen).await;
    spinner.finish_and_clear();
    let findings = findings.context(
        "the comparison did not come to its end, and nothing was changed: repeat it once `discuno check` reaches all",
    )?;
    if args.open_cases {
        open_cases(&app, &findings).await?;
    }
    if args.json {
        let at_stake: Vec<Money> = at_stake(&findings);
        let document = json!({ "since": since, "compared": compared, "findings": findings, "at_stake": at_stake });
        output::document(&document)?;
    } else {
        let mut table = Table::new(["rule", "payment", "at stake", "finding"]);
        for finding in &findings {
            let stake = finding.at_stake.to_string();
            table.row([finding.rule.to_owned(), finding.payment.to_string(), stake, finding.detail.clone()]);
        }
        table.print()?;
        let stake: Vec<String> = at_stake(&findings).iter().map(ToString::to_string).collect();
        match findings.len() {
            0 => output::note(&format!("{compared} payments since {since}: everything adds up")),
            found => output::note(&format!(
                "{compared} payments since {since}: {found} findings, {} at stake",
                stake.join(", ")
            )),
        }
    }
    Ok(if findings.is_empty() { Exit::Done } else { Exit::Findings })
}

async fn open_cases(app: &App, findings: &[Finding]) -> anyhow::Result<()> {
    let (mut opened, reason) = (0, Some("found by reconcile".to_owned()));
    for finding in findings {
        let deed = Deed::OpenCase { payment: finding.payment, case: finding.case() };
        let order = Order { actor: actor(), reason: reason.clone(), deed };
        opened += u32::from(app.store.operate(order, app.clock.now()).await?.act.is_some());
    }
    output::note(&format!("{opened} cases opened; the others were known"));
    Ok(())
}

/// The money of all findings, each payment counted once, by currency.
fn at_stake(findings: &[Finding]) -> Vec<Money> {
    let payments: BTreeMap<_, _> = findings.iter().map(|finding| (finding.payment, finding.at_stake)).collect();
    let mut sums: Vec<Money> = Vec::new();
    for money in payments.into_values() {
        match sums.iter_mut().find(|sum| sum.currency == money.currency) {
            Some(sum) => sum.minor += money.minor,
            None => sums.push(money),
        }
    }
    sums
}

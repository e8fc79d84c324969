//! Acts of operators other than refunds.

use std::io::IsTerminal;

use discuno::app::App;
use discuno::model::id::{PaymentId, RunId};
use discuno::model::pause::Pause;
use discuno::model::payment::Payment;
use discuno::model::run::Run;
use discuno::ops::batch::{self, Became, Many};
use discuno::ops::when::between;
use discuno::store::filter::Filter;
use discuno::store::order::{Deed, Order};
use discuno::store::{Story, Subject};
use discuno::workflow;
use indicatif::{ProgressBar, ProgressStyle};
use serde_json::json;

use crate::confirm::Confirm;
use crate::exit::{Exit, Usage};
use crate::lists::words;
use crate::output::{self, Table};
use crate::runtime::actor;

pub(crate) mod cancel;
pub(crate) mod pause;
pub(crate) mod resolve;
pub(crate) mod retry;

/// Which runs are meant.
#[derive(clap::Args, Debug)]
pub(crate) struct Target {
    /// Runs (run_7), or payments (any whole id): then their runs
    #[arg(required_unless_present = "all", conflicts_with = "all")]
    ids: Vec<String>,
    /// Every run that the conditions below hold for
    #[arg(long)]
    all: bool,
    /// With --all: of this workflow
    #[arg(long, value_name = "NAME", requires = "all")]
    workflow: Option<String>,
    /// With --all: with this in the failure
    #[arg(long, value_name = "TEXT", requires = "all")]
    error: Option<String>,
    /// With --all: tried last at this step
    #[arg(long, value_name = "NAME", requires = "all")]
    step: Option<String>,
    /// With --all: made since
    #[arg(long, value_name = "WHEN", requires = "all")]
    since: Option<String>,
    /// With --all: made until
    #[arg(long, value_name = "WHEN", requires = "all")]
    until: Option<String>,
    /// With --all: at most so many, the newest
    #[arg(long, value_name = "N", default_value_t = 1000, value_parser = clap::value_parser!(u32).range(1..))]
    max: u32,
    /// At most so many a second
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    rate: Option<u32>,
    /// Why, for the audit trail
    #[arg(long)]
    reason: Option<String>,
    #[command(flatten)]
    confirm: Confirm,
    /// Print one JSON document
    #[arg(long)]
    json: bool,
}

/// How many are shown before they are acted on.
const SAMPLE: usize = 5;

impl Target {
    /// The runs, in the order in which they are named; of all, the oldest first. `fits` tells which of a payment's runs
    /// are meant; with --all these states.
    async fn runs(&self, app: &App, states: &[&str], fits: fn(&Run) -> bool) -> anyhow::Result<Vec<Run>> {
        let mut runs = Vec::new();
        if self.all {
            let now = app.clock.now();
            words(self.workflow.as_slice(), &workflow::NAMES)?;
            let (since, until) = between(self.since.as_deref(), self.until.as_deref(), now)?;
            let filter = Filter {
                step: self.step.clone(),
                since,
                until,
                status: states.iter().map(|&state| state.to_owned()).collect(),
                workflow: self.workflow.clone(),
                error: self.error.clone(),
                limit: self.max,
                ..Filter::default()
            };
            runs.extend(app.store.runs(filter).await?.into_iter().rev().map(|line| line.run));
        }
        for id in &self.ids {
            if let Ok(run) = id.parse::<RunId>() {
                runs.push(app.store.run(run).await?);
                continue;
            }
            let Subject::Payment(payment) = app.store.resolve_whole(id).await? else {
                return Err(Usage(format!("{id} is neither a run nor a payment")).into());
            };
            let Story { runs: of_payment, .. } = app.store.story(Subject::Payment(payment)).await?;
            let before = runs.len();
            runs.extend(of_payment.into_iter().map(|(run, _)| run).filter(fits));
            if runs.len() == before {
                output::note(&format!("{payment} has no run that this could be done to"));
            }
        }
        Ok(runs)
    }

    /// Shows what is meant, asks, and does it to each.
    async fn act(&self, app: &App, many: Many, runs: Vec<Run>, deed: impl Fn(RunId) -> Deed) -> anyhow::Result<Exit> {
        if runs.is_empty() {
            output::note(&format!("nothing to {many}"));
            return self.report(many, &[], &[]).map(|()| Exit::Done);
        }
        // What is refused is refused before anybody is asked.
        if let [run] = &runs[..] {
            app.store.rehearse(self.order(deed(run.id)), app.clock.now()).await?;
        }
        self.show(app, many, &runs).await?;
        let held = many.held_back(&app.store, &runs).await?;
        for pause in &held {
            output::note(&format!("  {pause}"));
        }
        if self.confirm.dry_run {
            output::note("nothing was done: --dry-run");
            if self.json {
                let planned = |run: &Run| [run.id.to_string(), run.workflow.clone(), "planned".to_owned()];
                self.report(many, &runs.iter().map(planned).collect::<Vec<_>>(), &held)?;
            }
            return Ok(Exit::Done);
        }
        if let [run] = &runs[..] {
            self.confirm.agreed(&format!("{many} {}?", run.id))?;
        } else {
            let count = runs.len().to_string();
            self.confirm.typed(&format!("{many} {count} runs? Type the number"), |typed| typed == count)?;
        }
        let bar = if runs.len() > 1 { bar(runs.len()) } else { ProgressBar::hidden() };
        let order = |run| self.order(deed(run));
        let became = batch::each((&app.store, &app.clock), &runs, self.rate, order, || bar.inc(1)).await;
        bar.finish_and_clear();
        if many == Many::Retry && became.iter().any(|one| matches!(one, Became::Done)) {
            let but = if held.is_empty() { "" } else { ", but with what is paused only once it is resumed" };
            output::note(&format!("a worker goes on with what was retried{but}"));
        }
        let result = |(run, became): (&Run, &Became)| [run.id.to_string(), run.workflow.clone(), became.to_string()];
        self.report(many, &runs.iter().zip(&became).map(result).collect::<Vec<_>>(), &held)?;
        let refused = became.into_iter().find_map(|one| match one {
            Became::Refused(error) => Some(error),
            _ => None,
        });
        refused.map_or(Ok(Exit::Done), |error| Err(error.into()))
    }

    /// What became of each, and what holds those back that are to go on.
    fn report(&self, many: Many, results: &[[String; 3]], held: &[Pause]) -> anyhow::Result<()> {
        if self.json {
            let runs = results.iter();
            let runs =
                runs.map(|[run, workflow, result]| json!({ "run": run, "workflow": workflow, "result": result }));
            let mut document = json!({ "runs": runs.collect::<Vec<_>>() });
            if many == Many::Retry {
                document["paused"] = json!(held);
            }
            return output::document(&document);
        }
        let mut table = Table::new(["run", "workflow", "result"]);
        for row in results {
            table.row(row.clone());
        }
        Ok(table.print()?)
    }

    fn order(&self, deed: Deed) -> Order {
        Order { actor: actor(), reason: self.reason.clone(), deed }
    }

    async fn show(&self, app: &App, many: Many, runs: &[Run]) -> anyhow::Result<()> {
        output::note(&format!("{} to {many}:", count(runs.len())));
        for run in runs.iter().take(SAMPLE) {
            let payment = match run.payment {
                Some(payment) => money(app, payment).await?,
                None => String::new(),
            };
            output::note(&format!("  {} {} {}{payment}", run.id, run.workflow, run.state));
        }
        if runs.len() > SAMPLE {
            output::note(&format!("  and {} more", runs.len() - SAMPLE));
        }
        Ok(())
    }
}

async fn money(app: &App, payment: PaymentId) -> anyhow::Result<String> {
    let Payment { id, amount, status, livemode, .. } = app.store.payment(payment).await?;
    Ok(format!(", on {id}: {amount} {status}, {}", if livemode { "live" } else { "test" }))
}

fn count(runs: usize) -> String {
    if runs == 1 { "1 run".to_owned() } else { format!("{runs} runs") }
}

fn bar(length: usize) -> ProgressBar {
    let bar = ProgressBar::new(length as u64);
    if !std::io::stderr().is_terminal() {
        bar.set_draw_target(indicatif::ProgressDrawTarget::hidden());
    }
    match ProgressStyle::with_template("{bar:30} {pos}/{len} {eta}") {
        Ok(style) => bar.with_style(style),
        Err(_) => bar,
    }
}

//! `discuno status`: everything on one screen.

use std::fmt::Write;
use std::time::Duration;

use discuno::app::{App, Parts};
use discuno::model::pause::Pause;
use discuno::model::time::Timestamp;
use discuno::ops::disk::free_bytes;
use discuno::store::status::Status;
use serde_json::json;

use crate::exit::Exit;
use crate::output::{self, Table, watch};
use crate::runtime::Overrides;

/// Show how everything stands: what waits, what fails, who has to act
#[derive(clap::Args)]
#[command(
    after_help = "Examples:\n  discuno status\n  discuno status --watch\n  discuno status --json | jq '.at_risk'"
)]
pub(crate) struct Args {
    #[command(flatten)]
    overrides: Overrides,
    /// Draw again whenever something changes
    #[arg(long, conflicts_with = "json")]
    watch: bool,
    /// Print one JSON document
    #[arg(long)]
    json: bool,
}

pub(crate) async fn run(args: Args) -> anyhow::Result<Exit> {
    let app = App::looking(args.overrides.config(&[])?, Parts::system())?;
    if args.watch {
        return watch::watch(&app.store, async || screen(&app).await).await;
    }
    if args.json {
        let status = app.store.status(app.clock.now()).await?;
        let mut document = serde_json::to_value(&status)?;
        document["disk_free_bytes"] = json!(free_bytes(&app.config.db));
        output::document(&document)?;
    } else {
        output::line(screen(&app).await?.trim_end())?;
    }
    Ok(Exit::Done)
}

async fn screen(app: &App) -> anyhow::Result<String> {
    let now = app.clock.now();
    let status = app.store.status(now).await?;
    let mut out = String::new();
    let disk = free_bytes(&app.config.db).map(|free| format!(", {} free", bytes(free))).unwrap_or_default();
    let mode = status.mode.as_deref().unwrap_or("no");
    let db = app.config.place();
    writeln!(out, "{mode} money   {now}")?;
    writeln!(out, "database  {db} ({}{disk})\n", bytes(status.database_bytes))?;
    work(&mut out, &status, now)?;
    trouble(&mut out, &status, now)?;
    arrivals(&mut out, &status, now)?;
    Ok(out)
}

fn work(out: &mut String, status: &Status, now: Timestamp) -> std::fmt::Result {
    let backlog = &status.backlog;
    let oldest = status.oldest_due.map(|due| format!(", the oldest for {}", ago(due, now))).unwrap_or_default();
    writeln!(out, "runs      {} due{oldest} · {} at work · {} waiting", backlog.due, backlog.running, backlog.waiting)?;
    let ended: Vec<String> = status.ended.iter().map(|(state, count)| format!("{count} {state}")).collect();
    writeln!(out, "last hour {}", if ended.is_empty() { "none ended".to_owned() } else { ended.join(" · ") })?;
    // A restore pauses every workflow at once: that is one line.
    let at_once = |a: &Pause, b: &Pause| (a.since, &a.actor, &a.reason) == (b.since, &b.actor, &b.reason);
    for together in status.pauses.chunk_by(at_once) {
        let [first, rest @ ..] = together else { continue };
        let why = first.reason.as_ref().map(|reason| format!(": {}", reason.replace('\n', " "))).unwrap_or_default();
        let more = if rest.is_empty() { String::new() } else { format!(" and {} more", rest.len()) };
        writeln!(out, "paused    {}{more} by {} {} ago{why}", first.what, first.actor, ago(first.since, now))?;
    }
    writeln!(out)
}

fn trouble(out: &mut String, status: &Status, now: Timestamp) -> std::fmt::Result {
    let at_risk: Vec<String> = status.at_risk.iter().map(ToString::to_string).collect();
    for alert in &status.alerts {
        let over = alert.ended_at.map(|_| ", over").unwrap_or_default();
        let told =
            alert.failure.as_ref().map(|failure| format!(", NOBODY could be told: {failure}")).unwrap_or_default();
        let since = ago(alert.first_at, now);
        writeln!(out, "alert     {} {}: {}, since {since}{over}{told}", alert.condition, alert.subject, alert.summary)?;
    }
    for key in &status.refused_keys {
        writeln!(out, "key       {} refuses ours, for {}: `discuno check`", key.provider, ago(key.since, now))?;
    }
    match status.backlog.open_cases {
        0 => writeln!(out, "cases     none open")?,
        open => writeln!(out, "cases     {open} open, at risk: {}", at_risk.join(", "))?,
    }
    if status.untold_cases > 0 {
        writeln!(out, "  NOBODY could be told of {} of them: `discuno alerts test`", status.untold_cases)?;
    }
    for case in &status.cases {
        writeln!(out, "  {:<22} {:>4}   the oldest {} ago", case.kind, case.open, ago(case.since, now))?;
    }
    if !status.failed.is_empty() {
        writeln!(out, "failed    {} runs: `discuno runs --status failed`", status.backlog.failed)?;
    }
    for (workflow, count) in &status.failed {
        writeln!(out, "  {workflow:<32} {count:>4}")?;
    }
    if !status.failing.is_empty() {
        writeln!(out, "retrying")?;
    }
    for step in &status.failing {
        let next = step.next.map(|next| format!(", next {}", ahead(next, now))).unwrap_or_default();
        writeln!(out, "  {} {}: {} in {} runs{next}", step.workflow, step.step, step.code, step.runs)?;
    }
    writeln!(out)
}

fn arrivals(out: &mut String, status: &Status, now: Timestamp) -> std::fmt::Result {
    let mut table = Table::new(["source", "last hour", "refused", "last", "complete until", "list gone through"]);
    for source in &status.sources {
        table.row([
            source.source.to_string(),
            source.within_the_hour(),
            source.refused.to_string(),
            source.last.map_or_else(|| "never".to_owned(), |last| format!("{} ago", ago(last, now))),
            source.complete_until.map_or_else(|| "-".to_owned(), |until| format!("{} ago", ago(until, now))),
            source.checked_at.map_or_else(|| "-".to_owned(), |checked| format!("{} ago", ago(checked, now))),
        ]);
    }
    writeln!(out, "{}", table.fitted())
}

fn ago(then: Timestamp, now: Timestamp) -> String {
    span(now.since(then))
}

fn ahead(then: Timestamp, now: Timestamp) -> String {
    if then <= now { "now".to_owned() } else { format!("in {}", span(then.since(now))) }
}

/// A span in its two largest units at most.
fn span(span: Duration) -> String {
    let secs = span.as_secs();
    match secs {
        0..60 => format!("{secs} s"),
        60..3600 => format!("{} min", secs / 60),
        3600..86_400 => format!("{} h {} min", secs / 3600, secs % 3600 / 60),
        _ => format!("{} d {} h", secs / 86_400, secs % 86_400 / 3600),
    }
}

fn bytes(count: u64) -> String {
    indicatif::HumanBytes(count).to_string()
}

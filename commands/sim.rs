//! `discuno sim`: whole deployments on virtual time, from a seed, with everything going wrong that can.

use std::path::PathBuf;
use std::time::Duration;

use anyhow::Context;
use discuno::sim::script::{Scope, Script, Weather};
use discuno::sim::{Campaign, Tally, Violation, crash, excessive, missing, play, shrink};

use crate::exit::{Exit, Usage};
use crate::output;
use crate::runtime::span;

/// Go through histories in which everything goes wrong
///
/// And check that the money is where it should be. Each seed is a history of some days: purchases, refunds, disputes, operators, crashes, outages, lost and repeated webhooks, on
/// virtual time against stand-ins for the providers. The same seed is the same history. Exits 1 at the first that breaks a rule,
/// with a short version of it and the command that replays it.
#[derive(clap::Args)]
pub(crate) struct Args {
    /// The first seed
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// How many seeds
    #[arg(long, value_name = "COUNT", value_parser = clap::value_parser!(u64).range(1..))]
    seeds: Option<u64>,
    /// Go on for so long, such as 60s or 1h
    #[arg(long = "for", value_name = "TIME", value_parser = span)]
    time: Option<Duration>,
    /// How many sessions are paid for in each
    #[arg(long, value_name = "COUNT", default_value_t = 3, value_parser = clap::value_parser!(u32).range(1..))]
    payments: u32,
    /// After how many hours nothing goes wrong any more
    #[arg(long, default_value_t = 48)]
    hours: u32,
    /// How much goes wrong
    #[arg(long, value_enum, default_value_t = Faults::Heavy)]
    faults: Faults,
    /// Write what happened here, line by line: of one seed, that of --seed
    #[arg(long, value_name = "FILE", conflicts_with_all = ["seeds", "time", "crash_points"])]
    trace: Option<PathBuf>,
    /// How many threads [default: one for each core]
    #[arg(long, value_name = "COUNT", value_parser = clap::value_parser!(u16).range(1..))]
    threads: Option<u16>,
    /// Take this safeguard out
    #[cfg(feature = "mutants")]
    #[arg(long)]
    mutant: Option<discuno::mutant::Mutant>,
    /// Instead of seeds: strike every way that a purchase can go at each commit and call, and the main ways at each two
    #[arg(long, conflicts_with_all = ["seed", "seeds", "time"])]
    crash_points: bool,
    /// Print every count
    #[arg(long)]
    verbose: bool,
    /// Fail unless every fault, every place of a crash and every end was seen at least so often
    #[arg(long, value_name = "TIMES")]
    require_coverage: Option<u64>,
}

#[derive(Clone, Copy, clap::ValueEnum)]
enum Faults {
    None,
    Light,
    Heavy,
}

pub(crate) fn run(args: &Args) -> anyhow::Result<Exit> {
    if args.time.is_some_and(|time| time.is_zero()) {
        return Err(Usage("--for: no history is gone through in no time".to_owned()).into());
    }
    let weather = match args.faults {
        Faults::None => Weather::Fair,
        Faults::Light => Weather::Light,
        Faults::Heavy => Weather::Heavy,
    };
    let scope = Scope {
        payments: args.payments,
        hours: args.hours,
        weather,
        #[cfg(feature = "mutants")]
        mutant: args.mutant,
    };
    #[cfg(feature = "mutants")]
    discuno::mutant::take_out(args.mutant);
    if args.crash_points {
        return crash_points(args);
    }
    if let Some(file) = &args.trace {
        let report = play(&Script::draw(args.seed, &scope), true);
        std::fs::write(file, &report.trace).with_context(|| format!("could not write {}", file.display()))?;
        if let Some(violation) = report.violation {
            return broken(args, &scope, args.seed, &violation);
        }
        output::note(&format!("seed {}: every rule holds", args.seed));
        return Ok(Exit::Done);
    }
    let campaign = Campaign {
        first: args.seed,
        seeds: if args.time.is_some() { args.seeds } else { Some(args.seeds.unwrap_or(1)) },
        time: args.time,
        scope,
        threads: threads(args),
    };
    let tally = campaign.run();
    print(&tally, args.verbose)?;
    if let Some((seed, violation)) = &tally.failed {
        return broken(args, &scope, *seed, violation);
    }
    let missing = args.require_coverage.map(|times| missing(&tally.coverage, times)).unwrap_or_default();
    for (what, seen) in &missing {
        output::line(&format!("seen only {seen} times: {what}"))?;
    }
    let repairs = excessive(&tally.coverage, weather);
    for repair in &repairs {
        output::line(&format!("too many repairs: {repair}"))?;
    }
    Ok(if missing.is_empty() && repairs.is_empty() { Exit::Done } else { Exit::Broken })
}

fn threads(args: &Args) -> usize {
    args.threads.map_or_else(|| std::thread::available_parallelism().map_or(1, usize::from), usize::from)
}

fn crash_points(args: &Args) -> anyhow::Result<Exit> {
    let once = crash::at_every_point(threads(args), 1);
    let missed = once.missed();
    let twice = crash::at_every_two_points(threads(args));
    for (what, points) in [("crash points", once), ("pairs of crash points", twice)] {
        output::line(&format!("{} {what}", points.gone_through))?;
        if let Some((place, violation)) = points.failed {
            output::line(&format!("{place}: {violation}"))?;
            return Ok(Exit::Broken);
        }
    }
    for workflow in &missed {
        output::line(&format!("never struck: {workflow}"))?;
    }
    Ok(if missed.is_empty() { Exit::Done } else { Exit::Broken })
}

/// What is counted, by the beginning of its name, and whether it is shown without being asked for.
const SHOWN: [(&str, &str, bool); 17] = [
    ("sessions ended", "end/", true),
    ("repairs, by the settle check, late webhooks, the backfill and the reconciler", "repair/", true),
    ("deliveries that went wrong", "delivery/", true),
    ("operators", "operator/", true),
    ("clocks", "clock/", true),
    ("deployments", "deploy/", true),
    ("processes struck at", "blow/", false),
    ("commits of workflows struck at", "struck/", false),
    ("faults of providers", "fault/", false),
    ("outages", "outage/", false),
    ("calls", "calls/", false),
    ("answers replayed under a key", "replayed/", false),
    ("people", "deed/", false),
    ("runs", "run/", false),
    ("refunds", "refund/", false),
    ("cases", "case/", false),
    ("histories at rest, counted from when the last share is due", "rest/", false),
];

fn print(tally: &Tally, verbose: bool) -> anyhow::Result<()> {
    let seconds = tally.took.as_secs_f64().max(0.001);
    #[expect(clippy::cast_precision_loss, reason = "a rate for people")]
    let rate = tally.seeds as f64 / seconds;
    output::line(&format!(
        "{} seeds in {seconds:.1} s, {rate:.0} a second; {} commits and calls",
        tally.seeds,
        tally.boundaries / 2
    ))?;
    for (title, prefix, always) in SHOWN {
        let all: u64 = tally.coverage.under(prefix).map(|(_, times)| times).sum();
        output::line(&format!("{title}: {all}"))?;
        if always || verbose {
            for (what, times) in tally.coverage.under(prefix) {
                output::line(&format!("  {times:>8}  {what}"))?;
            }
        }
    }
    Ok(())
}

/// Tells of a seed that breaks a rule: shortened, with the way to see it again.
fn broken(args: &Args, scope: &Scope, seed: u64, violation: &Violation) -> anyhow::Result<Exit> {
    output::line(&format!("seed {seed} breaks {violation}"))?;
    let script = Script::draw(seed, scope);
    let (short, report) = shrink::shrink(&script, violation.rule);
    output::line(&format!("shortened from {} to {} events:", script.items.len(), short.items.len()))?;
    for item in &short.items {
        output::line(&format!("  {item:?}"))?;
    }
    output::line(&report.trace)?;
    if let Some(violation) = report.violation {
        output::line(&format!("{violation}"))?;
    }
    let faults = match args.faults {
        Faults::None => "none",
        Faults::Light => "light",
        Faults::Heavy => "heavy",
    };
    #[cfg(feature = "mutants")]
    let without = args.mutant.map(|mutant| format!(" --mutant {mutant}")).unwrap_or_default();
    #[cfg(not(feature = "mutants"))]
    let without = "";
    output::line(&format!(
        "again: discuno sim --seed {seed} --payments {} --hours {} --faults {faults}{without} --trace history.txt",
        args.payments, args.hours
    ))?;
    Ok(Exit::Broken)
}

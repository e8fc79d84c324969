//! `discuno db`: the database as a whole.

use std::path::{Path, PathBuf};

use anyhow::Context;
use discuno::app::{App, Parts};
use discuno::config::{Config, LEAST_RETENTION};
use discuno::engine::registry::Workflow;
use discuno::model::act::Verb;
use discuno::model::pause::{Pausable, PauseKind};
use discuno::model::time::Timestamp;
use discuno::ops::when::when;
use discuno::store::error::Error as StoreError;
use discuno::store::order::{Deed, Order};
use discuno::store::place::{Kept, Place};
use discuno::store::postgres;
use discuno::store::sqlite::{Sqlite, file};
use discuno::workflow;
use discuno::workflow::alert::Alert;
use discuno::workflow::tell_alerts::TellAlerts;
use serde_json::json;

use crate::confirm::Confirm;
use crate::exit::{Exit, Usage};
use crate::moving;
use crate::output;
use crate::runtime::{Overrides, actor};

/// Back up, restore, check, prune, migrate or move the database
#[derive(clap::Args)]
pub(crate) struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(clap::Subcommand)]
enum Command {
    /// Copy the database to a new file, while it is in use
    #[command(after_help = "Example:\n  discuno db backup /backups/discuno-$(date +%F).db")]
    Backup {
        #[command(flatten)]
        overrides: Overrides,
        /// Where to; nothing is overwritten
        to: PathBuf,
        /// Print one JSON document
        #[arg(long)]
        json: bool,
    },
    /// Put a backup in the place of the database; what was there is kept beside it
    #[command(
        after_help = "Every workflow that acts is held afterwards: `discuno backfill stripe` fetches what came in since the backup, `discuno reconcile` \
        tells what was done since that the backup knows nothing of, and `discuno resume --all` has the runs go on.\n\n\
        Example:\n  discuno db restore /backups/discuno-2026-11-24.db --reason \"the disk failed\""
    )]
    Restore {
        #[command(flatten)]
        overrides: Overrides,
        /// The backup
        from: PathBuf,
        /// Why, for the audit trail
        #[arg(long)]
        reason: Option<String>,
        #[command(flatten)]
        confirm: Confirm,
        /// Print one JSON document
        #[arg(long)]
        json: bool,
    },
    /// Hold every workflow that acts, where other tools than `restore` have put a backup back
    ///
    /// Nothing is booked, paid back or moved until a person has looked. Webhooks are taken, and people are told. Repeated, it holds
    /// what is not held yet.
    #[command(
        after_help = "Stop every process first, and start none with a worker before this: `discuno backfill stripe` then fetches what came in since \
        the backup, `discuno reconcile` tells what was done since that the backup knows nothing of, and `discuno resume --all` has the runs go on.\n\n\
        Example:\n  discuno db hold --reason \"recovered to 14:05, the disk failed\""
    )]
    Hold {
        #[command(flatten)]
        overrides: Overrides,
        /// Why, for the audit trail and whoever wonders
        #[arg(long)]
        reason: Option<String>,
        /// Print one JSON document
        #[arg(long)]
        json: bool,
    },
    /// Look for damage, for rows that point nowhere, for a schema that is not this program's; findings exit with 9
    Check {
        #[command(flatten)]
        overrides: Overrides,
        /// Print one JSON document
        #[arg(long)]
        json: bool,
    },
    /// Take away events' bytes and runs' tries that are no longer needed; never payments, refunds, cases or the audit trail
    #[command(after_help = "Example:\n  discuno db prune --older-than 60d --vacuum")]
    Prune {
        #[command(flatten)]
        overrides: Overrides,
        /// Over for as long: 90d, or a date
        #[arg(long, value_name = "WHEN", default_value = "90d")]
        older_than: String,
        /// Also what is younger than 31 days: for a month refunds fail and providers send again, and nobody would know what it is about
        #[arg(long)]
        even_recent: bool,
        /// Give the freed space back to the disk; writers wait meanwhile
        #[arg(long)]
        vacuum: bool,
        #[command(flatten)]
        confirm: Confirm,
        /// Print one JSON document
        #[arg(long)]
        json: bool,
    },
    /// Move everything to another database, from a file to a server or back, and prove row by row that it arrived
    ///
    /// The old database is closed first: nothing writes to it any more, and it is left as it was. Stop serve and workers before,
    /// start them on the new one afterwards; webhooks that come in between are sent again by their senders.
    #[command(
        after_help = "Example:\n  discuno db copy --from sqlite:discuno.db --to postgres://discuno@db.internal/discuno"
    )]
    Copy {
        /// What is to be moved: sqlite:<file> or postgres://…
        #[arg(long, value_name = "DATABASE")]
        from: PathBuf,
        /// Where to: it has to be empty
        #[arg(long, value_name = "DATABASE")]
        to: PathBuf,
        #[command(flatten)]
        confirm: Confirm,
    },
    /// Take a database into use again whose data was moved away
    Reopen {
        #[command(flatten)]
        overrides: Overrides,
        #[command(flatten)]
        confirm: Confirm,
    },
    /// Bring the database to this program's schema, once a copy of it is kept beside it; `serve` and `worker` do so at their start
    Migrate {
        #[command(flatten)]
        overrides: Overrides,
        /// Print one JSON document
        #[arg(long)]
        json: bool,
    },
}

/// Rows that are looked at in one transaction: webhooks wait no longer than for any other commit.
const BATCH: u32 = 500;

pub(crate) async fn run(args: Args) -> anyhow::Result<Exit> {
    match args.command {
        Command::Backup { overrides, to, json } => {
            let config = overrides.config(&[])?;
            on_file(&config, "pg_basebackup or pg_dump copies it")?;
            drop(Sqlite::looking(&config.db, Parts::system().store)?);
            file::backup(&config.db, &to)
                .with_context(|| format!("could not back up {} to {}", config.db.display(), to.display()))?;
            let bytes = std::fs::metadata(&to)?.len();
            output::outcome(
                json,
                [&to.display().to_string(), &bytes.to_string()],
                &json!({ "to": to, "bytes": bytes }),
            )?;
            Ok(Exit::Done)
        }
        Command::Restore { overrides, from, reason, confirm, json } => {
            restore(&overrides.config(&[])?, &from, reason, &confirm, json)
        }
        Command::Hold { overrides, reason, json } => hold(overrides.config(&[])?, reason, json).await,
        Command::Check { overrides, json } => check(&overrides.config(&[])?, json).await,
        Command::Prune { overrides, older_than, even_recent, vacuum, confirm, json } => {
            let dry_run = confirm.dry_run;
            let open = if dry_run { App::looking } else { App::existing };
            let app = open(overrides.config(&[])?, Parts::system())?;
            let before = when(&older_than, app.clock.now())?;
            check_age(before, app.clock.now(), even_recent || dry_run)?;
            let mut rows = app.store.prunable(before).await?;
            if !dry_run {
                output::note(&format!("{rows} rows are older than {before}"));
                if rows > 0 {
                    confirm.agreed("take them away?")?;
                }
                rows = prune(&app, before, vacuum).await?;
            }
            let said = format!("rows older than {before} {}", if dry_run { "would go" } else { "are gone" });
            let document = json!({ "rows": rows, "before": before, "dry_run": dry_run });
            output::outcome(json, [&rows.to_string(), &said], &document)?;
            Ok(Exit::Done)
        }
        Command::Copy { from, to, confirm } => moving::copy(from, to, &confirm).await,
        Command::Reopen { overrides, confirm } => moving::reopen(overrides.config(&[])?, &confirm).await,
        Command::Migrate { overrides, json } => {
            let config = overrides.config(&[])?;
            let kept = if config.server.is_some() {
                drop(Kept::existing(config.place(), Parts::system().store)?);
                None
            } else {
                file::upgrade(&config.db)
                    .with_context(|| format!("could not bring {} to this program's schema", config.place()))?
            };
            output::note(&format!("{} has this program's schema", config.place()));
            if let Some(kept) = &kept {
                output::note(&format!("what was there before is in {}", kept.display()));
            }
            if json {
                output::document(&json!({ "database": config.place().to_string(), "kept": kept }))?;
            }
            Ok(Exit::Done)
        }
    }
}

/// What is done to a file is not done to a server.
fn on_file(config: &Config, instead: &str) -> anyhow::Result<()> {
    anyhow::ensure!(config.server.is_none(), "{} is a server: {instead}", config.place());
    Ok(())
}

fn restore(
    config: &Config,
    from: &Path,
    reason: Option<String>,
    confirm: &Confirm,
    json: bool,
) -> anyhow::Result<Exit> {
    on_file(
        config,
        "stop every process, let pg_restore or its point-in-time recovery put a backup in its place, and then, before any \
         worker starts, `discuno db hold`",
    )?;
    let db = &config.db;
    if !from.is_file() {
        return Err(StoreError::NotFound(format!("such backup: {}", from.display())).into());
    }
    let found = match file::check(from) {
        Err(StoreError::Corrupt(why)) => vec![why],
        found => found.with_context(|| format!("could not read {}", from.display()))?,
    };
    if let Some(first) = found.first() {
        anyhow::bail!("{} cannot be restored: {first}; nothing was changed", from.display());
    }
    if db.exists() && std::fs::canonicalize(from)? == std::fs::canonicalize(db)? {
        return Err(
            StoreError::Illegal(format!("{} is the database itself: nothing was changed", from.display())).into()
        );
    }
    let kept = if db.exists() { ", which is kept beside it" } else { ", where nothing is yet" };
    output::note(&format!("{} takes the place of {}{kept}", from.display(), db.display()));
    if confirm.dry_run {
        output::note("nothing was done: --dry-run");
        if json {
            output::document(&json!({ "database": db, "restored": from, "kept": null, "dry_run": true }))?;
        }
        return Ok(Exit::Done);
    }
    confirm.agreed("restore it?")?;
    let now = Parts::system().clock.now();
    let kept = file::kept_as(db, &now.as_secs().to_string());
    let kept = db.exists().then_some(kept.as_path());
    let orders = held(from, kept, reason);
    file::restore(from, db, kept.unwrap_or(db), orders, now)
        .with_context(|| format!("could not restore {} to {}", from.display(), db.display()))?;
    let document = json!({ "database": db, "restored": from, "kept": kept, "dry_run": false });
    output::outcome(json, [&db.display().to_string(), "restored"], &document)?;
    if let Some(kept) = kept {
        output::note(&format!("what was there is in {}", kept.display()));
    }
    output::note(HELD);
    Ok(Exit::Done)
}

/// What is to be done once every workflow is held.
const HELD: &str = "every workflow that acts is held: `discuno backfill stripe` fetches what came in since, `discuno reconcile` compares, \
     `discuno resume --all` has the runs go on";

/// What `restore` does to a file, done to a database that is there.
async fn hold(config: Config, reason: Option<String>, json: bool) -> anyhow::Result<Exit> {
    let app = App::existing(config, Parts::system())?;
    let why = reason.unwrap_or_else(|| "restored from a backup: reconcile first".to_owned());
    let mut held = Vec::new();
    for order in pauses(&actor(), &why) {
        let Deed::Pause(what) = &order.deed else { continue };
        let name = what.to_string();
        let performed = app.store.operate(order, app.clock.now()).await?;
        let said = if performed.act.is_some() { "held" } else { "was held before" };
        if !json {
            output::cells([&name, said])?;
        }
        held.push(json!({ "name": name, "result": said, "act": performed.act }));
    }
    if json {
        output::document(&json!({ "held": held }))?;
    }
    output::note(HELD);
    Ok(Exit::Done)
}

/// What only tells people what is wrong is needed most after a restore.
const TELLING: [&str; 2] = [<Alert as Workflow>::NAME, <TellAlerts as Workflow>::NAME];

/// What is done to a backup before it is used: the trail says where it comes from, and no run goes on before a person has
/// looked at what was paid back and booked since it was made.
fn held(from: &Path, kept: Option<&Path>, reason: Option<String>) -> Vec<Order> {
    let (actor, subject) = (actor(), from.display().to_string());
    let why = format!("restored from {subject}: reconcile first");
    let note = Deed::Note { verb: Verb::Restore, subject, after: json!({ "kept": kept }) };
    let mut orders = vec![Order { actor: actor.clone(), reason, deed: note }];
    orders.extend(pauses(&actor, &why));
    orders
}

/// Every workflow that acts is held.
fn pauses(actor: &str, why: &str) -> impl Iterator<Item = Order> {
    let held = workflow::NAMES.into_iter().filter(|name| !TELLING.contains(name));
    held.map(move |name| {
        let what = Pausable { kind: PauseKind::Workflow, name: name.to_owned() };
        Order { actor: actor.to_owned(), reason: Some(why.to_owned()), deed: Deed::Pause(what) }
    })
}

async fn check(config: &Config, json: bool) -> anyhow::Result<Exit> {
    let place = config.place();
    let store =
        Kept::looking(place, Parts::system().store).with_context(|| format!("could not open the database {place}"))?;
    let mut found = match place {
        Place::File(path) => file::check(path)?,
        Place::Server(address) => postgres::check::check(address)?,
    };
    let broken = discuno::store::Operations::broken_act(&store).await?;
    found.extend(broken.map(|act| format!("the audit trail is broken at {act}")));
    if json {
        output::document(&json!({ "findings": found }))?;
        return Ok(if found.is_empty() { Exit::Done } else { Exit::Findings });
    }
    if found.is_empty() {
        output::note(&format!("{place} is whole"));
        return Ok(Exit::Done);
    }
    for line in &found {
        output::line(line)?;
    }
    Ok(Exit::Findings)
}

/// Whether what is older than `before` may go.
fn check_age(before: Timestamp, now: Timestamp, even_recent: bool) -> Result<(), Usage> {
    if before > now {
        return Err(Usage(format!("{before} is in the future")));
    }
    if now.since(before) < LEAST_RETENTION && !even_recent {
        let said = "refunds fail, and providers send again, for a month: what is younger goes with --even-recent alone";
        return Err(Usage(said.to_owned()));
    }
    Ok(())
}

/// How many rows went.
async fn prune(app: &App, before: Timestamp, vacuum: bool) -> anyhow::Result<u32> {
    let (mut gone, mut next) = (0, Some(0));
    while let Some(after) = next {
        let pruned = app.store.prune(before, after, BATCH).await?;
        gone += pruned.gone;
        next = pruned.next;
    }
    if gone > 0 {
        note(app, Verb::Prune, "database".to_owned(), json!({ "before": before, "rows": gone })).await?;
    }
    if vacuum && app.config.server.is_some() {
        output::note("the server gives freed space back by itself");
    } else if vacuum {
        file::vacuum(&app.config.db)?;
    }
    Ok(gone)
}

async fn note(app: &App, verb: Verb, subject: String, after: serde_json::Value) -> anyhow::Result<()> {
    let order = Order { actor: actor(), reason: None, deed: Deed::Note { verb, subject, after } };
    app.store.operate(order, app.clock.now()).await?;
    Ok(())
}

//! `discuno db`: the database as a file.

use std::path::PathBuf;

use anyhow::Context;
use discuno::app::{App, Parts};
use discuno::config::Config;
use discuno::model::act::Verb;
use discuno::model::time::Timestamp;
use discuno::ops::when::when;
use discuno::store::order::{Deed, Order};
use discuno::store::sqlite::{Sqlite, file};
use serde_json::json;

use crate::confirm::Confirm;
use crate::exit::Exit;
use crate::output;
use crate::runtime::{Overrides, actor};

/// Back up, restore, check, prune or migrate the database
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
    },
    /// Put a backup in the place of the database; what was there is kept beside it
    #[command(
        after_help = "Afterwards `discuno backfill stripe` fetches what came in since the backup. What was paid back or booked since is \
        found at the providers before anything is done again."
    )]
    Restore {
        #[command(flatten)]
        overrides: Overrides,
        /// The backup
        from: PathBuf,
        #[command(flatten)]
        confirm: Confirm,
    },
    /// Look for damage, for rows that point nowhere, for a schema that is not this program's; findings exit with 9
    Check {
        #[command(flatten)]
        overrides: Overrides,
    },
    /// Take away events' bytes and runs' tries that are no longer needed; never payments, refunds, cases or the audit trail
    #[command(after_help = "Example:\n  discuno db prune --older-than 30d --vacuum")]
    Prune {
        #[command(flatten)]
        overrides: Overrides,
        /// Over for as long: 90d, or a date
        #[arg(long, value_name = "WHEN", default_value = "90d")]
        older_than: String,
        /// Give the freed space back to the disk; writers wait meanwhile
        #[arg(long)]
        vacuum: bool,
        /// Only count
        #[arg(long)]
        dry_run: bool,
    },
    /// Bring the database to this program's schema, once a copy of it is kept beside it; `serve` and `worker` do so at their start
    Migrate {
        #[command(flatten)]
        overrides: Overrides,
    },
}

/// Rows taken away in one transaction: webhooks wait no longer than for any other commit.
const BATCH: u32 = 500;

pub(crate) async fn run(args: Args) -> anyhow::Result<Exit> {
    match args.command {
        Command::Backup { overrides, to } => {
            let config = overrides.config(&[])?;
            drop(Sqlite::existing(&config.db, Parts::system().store)?);
            file::backup(&config.db, &to)
                .with_context(|| format!("could not back up {} to {}", config.db.display(), to.display()))?;
            output::cells([&to.display().to_string(), &std::fs::metadata(&to)?.len().to_string()])?;
            Ok(Exit::Done)
        }
        Command::Restore { overrides, from, confirm } => restore(overrides.config(&[])?, from, &confirm).await,
        Command::Check { overrides } => check(&overrides.config(&[])?).await,
        Command::Prune { overrides, older_than, vacuum, dry_run } => {
            prune(overrides.config(&[])?, &older_than, vacuum, dry_run).await
        }
        Command::Migrate { overrides } => {
            let config = overrides.config(&[])?;
            let kept = file::upgrade(&config.db)
                .with_context(|| format!("could not bring {} to this program's schema", config.db.display()))?;
            output::note(&format!("{} has this program's schema", config.db.display()));
            if let Some(kept) = kept {
                output::note(&format!("what was there before is in {}", kept.display()));
            }
            Ok(Exit::Done)
        }
    }
}

async fn restore(config: Config, from: PathBuf, confirm: &Confirm) -> anyhow::Result<Exit> {
    let db = config.db.clone();
    let found = file::check(&from).with_context(|| format!("could not read {}", from.display()))?;
    if let Some(first) = found.first() {
        anyhow::bail!("{} cannot be restored: {first}; nothing was changed", from.display());
    }
    output::note(&format!("{} takes the place of {}, which is kept beside it", from.display(), db.display()));
    if confirm.dry_run {
        output::note("nothing was done: --dry-run");
        return Ok(Exit::Done);
    }
    confirm.agreed("restore it?")?;
    let now = Parts::system().clock.now();
    let kept = file::restore(&from, &db, &now.as_secs().to_string())
        .with_context(|| format!("could not restore {}", from.display()))?;
    let app = App::existing(config, Parts::system())?;
    note(&app, Verb::Restore, from.display().to_string(), json!({ "kept": kept })).await?;
    output::cells([&db.display().to_string(), "restored"])?;
    if let Some(kept) = kept {
        output::note(&format!("what was there is in {}", kept.display()));
    }
    output::note("`discuno backfill stripe` fetches what came in since");
    Ok(Exit::Done)
}

async fn check(config: &Config) -> anyhow::Result<Exit> {
    let store = Sqlite::existing(&config.db, Parts::system().store)
        .with_context(|| format!("could not open the database {}", config.db.display()))?;
    let mut found = file::check(&config.db)?;
    let broken = discuno::store::Operations::broken_act(&store).await?;
    found.extend(broken.map(|act| format!("the audit trail is broken at {act}")));
    if found.is_empty() {
        output::note(&format!("{} is whole", config.db.display()));
        return Ok(Exit::Done);
    }
    for line in &found {
        output::line(line)?;
    }
    Ok(Exit::Findings)
}

async fn prune(config: Config, older_than: &str, vacuum: bool, dry_run: bool) -> anyhow::Result<Exit> {
    let app = App::existing(config, Parts::system())?;
    let before: Timestamp = when(older_than, app.clock.now())?;
    let prunable = app.store.prunable(before).await?;
    if dry_run {
        output::cells([&prunable.to_string(), &format!("rows older than {before} would go")])?;
        return Ok(Exit::Done);
    }
    let mut gone = 0;
    loop {
        let batch = app.store.prune(before, BATCH).await?;
        gone += batch;
        if batch == 0 {
            break;
        }
    }
    if gone > 0 {
        note(&app, Verb::Prune, "database".to_owned(), json!({ "before": before, "rows": gone })).await?;
    }
    if vacuum {
        file::vacuum(&app.config.db)?;
    }
    output::cells([&gone.to_string(), &format!("rows older than {before} are gone")])?;
    Ok(Exit::Done)
}

async fn note(app: &App, verb: Verb, subject: String, after: serde_json::Value) -> anyhow::Result<()> {
    let order = Order { actor: actor(), reason: None, deed: Deed::Note { verb, subject, after } };
    app.store.operate(order, app.clock.now()).await?;
    Ok(())
}

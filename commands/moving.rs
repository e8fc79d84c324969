//! `discuno db copy` and `discuno db reopen`: from a file to a server and back.

use std::path::PathBuf;

use anyhow::Context;
use discuno::app::Parts;
use discuno::config::Config;
use discuno::model::act::Verb;
use discuno::observe::metrics::Metrics;
use discuno::store::order::{Deed, Order};
use discuno::store::place::Kept;
use discuno::store::sql::{copy, fence};
use discuno::store::{Operations, Views};
use serde_json::json;

use crate::confirm::Confirm;
use crate::exit::Exit;
use crate::output::{self, Table};
use crate::runtime::{Overrides, actor};

fn config(db: PathBuf) -> anyhow::Result<Config> {
    Overrides { db: Some(db) }.config(&[])
}

pub(crate) async fn copy(from: PathBuf, to: PathBuf, confirm: &Confirm) -> anyhow::Result<Exit> {
    let (from, to) = (config(from)?, config(to)?);
    let parts = Parts::system();
    let (old, new) = (from.place(), to.place());
    anyhow::ensure!(old.to_string() != new.to_string(), "{old} cannot be copied to itself");
    let source = Kept::existing(old, parts.store).with_context(|| format!("could not open the database {old}"))?;
    let mode = source.status(parts.clock.now()).await?.mode.unwrap_or_else(|| from.mode.as_str().to_owned());
    output::note(&format!(
        "everything in {old} goes to {new}; {old} is closed from then on, and processes that are at work in it stop"
    ));
    if confirm.dry_run {
        output::note("nothing was done: --dry-run");
        return Ok(Exit::Done);
    }
    confirm.agreed("copy it?")?;
    if Kept::discard_unfinished(new)? {
        output::note(&format!("what an unfinished copy had left in {new} is gone"));
    }
    let target = Kept::open(new, parts.store, &mode, Metrics::default())
        .with_context(|| format!("could not open the database {new}"))?;
    let names = (old.to_string(), new.to_string());
    let mut table = Table::new(["table", "rows", "sha-256 on both sides"]);
    let copied = copy::copy((&source, &names.0), (&target, &names.1), |of| {
        table.row([of.table.to_owned(), of.rows.to_string(), of.sha256.clone()]);
    });
    let copied = copied.await.with_context(|| format!("{old} was not copied and is in use as before"))?;
    table.print()?;
    let after = json!({ "copied_from": names.0, "tables": copied });
    let deed = Deed::Note { verb: Verb::Restore, subject: "database".to_owned(), after };
    target.operate(Order { actor: actor(), reason: None, deed }, parts.clock.now()).await?;
    output::note(&format!("{new} is ready: start with DISCUNO_DB={new}, which needs its password if it has one"));
    output::note(&format!("{old} is as it was and closed; `discuno db reopen --db {old}` opens it again"));
    Ok(Exit::Done)
}

pub(crate) async fn reopen(config: Config, confirm: &Confirm) -> anyhow::Result<Exit> {
    let place = config.place();
    let store =
        Kept::closed(place, Parts::system().store).with_context(|| format!("could not open the database {place}"))?;
    output::note(&format!("{place} is taken into use again: whatever was done where its data went is not in it"));
    if confirm.dry_run {
        output::note("nothing was done: --dry-run");
        return Ok(Exit::Done);
    }
    confirm.agreed("reopen it?")?;
    let state = if fence::reopen(&store).await? { "open again" } else { "open already" };
    output::cells([place.to_string().as_str(), state])?;
    Ok(Exit::Done)
}

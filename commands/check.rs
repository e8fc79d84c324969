//! `discuno check`: the configuration as it is understood.

use std::collections::BTreeMap;

use discuno::config::{Config, Problem};
use serde_json::json;

use crate::exit::Exit;
use crate::output::{self, Table};
use crate::runtime::Overrides;

/// Show every setting with where it comes from, and everything that is wrong
#[derive(clap::Args)]
pub(crate) struct Args {
    #[command(flatten)]
    overrides: Overrides,
    /// Print one JSON document
    #[arg(long)]
    json: bool,
}

pub(crate) fn run(args: &Args) -> anyhow::Result<Exit> {
    let mut flags = BTreeMap::new();
    if let Some(db) = &args.overrides.db {
        flags.insert("DISCUNO_DB".to_owned(), db.display().to_string());
    }
    let (settings, problems) = match Config::from_environment(&flags) {
        Ok(config) => {
            let problems: Vec<Problem> = [config.missing_for_serve(), config.missing_for_worker()].concat();
            (config.settings, problems)
        }
        Err(problems) => (Vec::new(), problems.0),
    };
    if args.json {
        let problems: Vec<_> =
            problems.iter().map(|problem| json!({ "name": problem.name, "message": problem.message })).collect();
        output::line(&serde_json::to_string_pretty(&json!({ "settings": settings, "problems": problems }))?)?;
    } else {
        let mut table = Table::new(["setting", "value", "from"]);
        for setting in settings {
            table.row([setting.name.to_owned(), setting.value, setting.origin]);
        }
        table.print()?;
        for problem in &problems {
            output::note(&format!("{}: {}", problem.name, problem.message));
        }
    }
    Ok(if problems.is_empty() { Exit::Done } else { Exit::Findings })
}

//! `discuno check`: whether everything is as it has to be before real money comes in.

use std::collections::BTreeMap;
use std::path::Path;

use discuno::app::{App, Parts};
use discuno::config::{Config, ENV_FILE, Mode, Problem};
use discuno::observe::{self, trace};
use discuno::ops::probe::{self, Probe};
use discuno::ops::readiness;
use discuno::transport::http::Http;
use futures_util::future::join_all;
use serde_json::json;

use crate::exit::Exit;
use crate::output::{self, Table};
use crate::runtime::Overrides;

/// Check the settings, the database, the clock, and what each key may do
///
/// Every setting is shown with where it comes from. The providers are asked for what does not exist: nothing is changed there.
#[derive(clap::Args)]
#[command(
    after_help = "Examples:\n  discuno check\n  discuno check --offline --json\n  discuno check --probe\n\nExit status: 0 ready · 9 something is wrong"
)]
pub(crate) struct Args {
    #[command(flatten)]
    overrides: Overrides,
    /// Ask nobody
    #[arg(long)]
    offline: bool,
    /// Only ask the server that runs here whether it is ready: 0 if it is, 1 if not
    #[arg(long, conflicts_with_all = ["offline", "json"])]
    probe: bool,
    /// Print one JSON document
    #[arg(long)]
    json: bool,
}

pub(crate) async fn run(args: Args) -> anyhow::Result<Exit> {
    let mut flags = BTreeMap::new();
    if let Some(db) = &args.overrides.db {
        flags.insert("DISCUNO_DB".to_owned(), db.display().to_string());
    }
    if args.probe {
        let listen = Config::from_environment(&flags).map_err(|problems| anyhow::anyhow!("{problems}"))?.listen;
        readiness::ready(listen).map_err(anyhow::Error::msg)?;
        return Ok(Exit::Done);
    }
    let (mut settings, mut problems, mut probes) = (Vec::new(), Vec::new(), Vec::new());
    match Config::from_environment(&flags) {
        Ok(config) => {
            settings.clone_from(&config.settings);
            problems = [config.missing_for_serve(), config.missing_for_worker()].concat();
            probes = Box::pin(probe_all(config, args.offline)).await?;
        }
        Err(found) => problems.extend(found.0),
    }
    if args.json {
        let problems: Vec<_> =
            problems.iter().map(|Problem { name, message }| json!({ "name": name, "message": message })).collect();
        output::document(&json!({ "settings": settings, "problems": problems, "checks": probes }))?;
    } else {
        let mut table = Table::new(["setting", "value", "from"]);
        for setting in settings {
            table.row([setting.name.to_owned(), setting.value, setting.origin]);
        }
        table.print()?;
        if !probes.is_empty() {
            output::line("")?;
            let mut table = Table::new(["check", "result", "detail"]);
            for probe in &probes {
                let result = if probe.ok { "ok" } else { "WRONG" };
                table.row([probe.what.clone(), result.to_owned(), probe.said.clone()]);
            }
            table.print()?;
        }
        for problem in &problems {
            output::note(&format!("{}: {}", problem.name, problem.message));
        }
    }
    let right = problems.is_empty() && probes.iter().all(|probe| probe.ok);
    Ok(if right { Exit::Done } else { Exit::Findings })
}

async fn probe_all(config: Config, offline: bool) -> anyhow::Result<Vec<Probe>> {
    let mut probes = Vec::new();
    let (database, complete) = (config.place().to_string(), config.missing_for_worker().is_empty());
    let bases = [
        ("stripe", Some(config.stripe.api_base.clone())),
        ("cal", Some(config.cal.api_url.clone())),
        ("posthog", config.posthog.key.as_ref().map(|_| config.posthog.host.clone())),
        ("resend", config.mail.resend_key.as_ref().map(|_| config.mail.resend_base.clone())),
        ("traces", config.traces.as_ref().filter(|_| trace::BUILT_IN).map(|traces| traces.endpoint.clone())),
    ];
    if config.traces.is_some() && !trace::BUILT_IN {
        let said = "not sent: this program was built without the feature otlp".to_owned();
        probes.push(Probe { what: "traces".to_owned(), ok: true, said });
    }
    if let Some(file) = &config.log_file {
        let (ok, said) = match observe::can_be_written(file) {
            Ok(()) => (true, format!("{} can be written, and put aside", file.display())),
            Err(error) => (false, format!("{} cannot be written, or not be put aside: {error}", file.display())),
        };
        probes.push(Probe { what: "log".to_owned(), ok, said });
    }
    if config.mode == Mode::Live {
        probes.extend(probe::kept_to_itself(Path::new(ENV_FILE)));
    }
    let app = if config.server.is_some() || config.db.exists() {
        match App::existing(config.clone(), Parts::system()) {
            Ok(app) => Some(app),
            Err(error) => {
                probes.push(Probe { what: "database".to_owned(), ok: false, said: format!("{error:#}") });
                None
            }
        }
    } else {
        let said = format!("{database} is not there yet: serve makes it");
        probes.push(Probe { what: "database".to_owned(), ok: true, said });
        None
    };
    if let Some(app) = &app {
        let mode = app.store.status(app.clock.now()).await?.mode;
        let fits = mode.as_deref().is_none_or(|mode| mode == app.config.mode.as_str());
        let (ok, said) = match app.store.is_writable().await {
            Err(error) => (false, error.to_string()),
            Ok(()) if !fits => {
                (false, format!("it holds {} money and the key is of the other kind", mode.unwrap_or_default()))
            }
            Ok(()) => (true, format!("{database} can be written")),
        };
        probes.push(Probe { what: "database".to_owned(), ok, said });
    }
    if offline {
        return Ok(probes);
    }
    let (http, now) = (Http::new()?, Parts::system().clock.now());
    let reached = bases.iter().filter_map(|(name, base)| Some((name, base.as_ref()?)));
    let reached = join_all(reached.map(|(name, base)| probe::reach(&http, name, base, now))).await;
    probes.extend(reached.into_iter().flatten());
    if complete {
        let providers = App::providers_over_http(&config)?;
        probes.extend(probe::keys(&providers, now).await);
    }
    Ok(probes)
}

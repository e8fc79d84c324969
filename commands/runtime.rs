//! The runtime of a command, its log, and the signals that end it.

use std::collections::BTreeMap;
use std::future::Future;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::Context;
use discuno::clock::Clock;
use discuno::config::{Config, duration};
use discuno::model::time::Timestamp;
use discuno::observe;
use tokio::net::TcpListener;
use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;

use crate::exit::Exit;

/// Secrets are in memory: no core is left of it. And a server may open as many files as the system lets it.
pub(crate) fn prepare_process() {
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
    // What is refused stays as it was.
    let _ = setrlimit(Resource::Core, Rlimit { current: Some(0), maximum: Some(0) });
    #[cfg(target_os = "linux")]
    let _ = rustix::process::set_dumpable_behavior(rustix::process::DumpableBehavior::NotDumpable);
    let maximum = getrlimit(Resource::Nofile).maximum;
    let _ = setrlimit(Resource::Nofile, Rlimit { current: maximum, maximum });
}

/// Runs a command to its end.
pub(crate) fn block_on(command: impl Future<Output = anyhow::Result<Exit>>) -> anyhow::Result<Exit> {
    // The store's writing thread is as busy as all of these together: one core is left to it.
    let threads = std::thread::available_parallelism().map_or(1, |cores| (cores.get() - 1).clamp(1, 4));
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(threads).enable_all().build();
    let runtime = runtime.context("could not start the runtime")?;
    let outcome = runtime.block_on(command);
    runtime.shutdown_background();
    outcome
}

/// Flags that stand for settings.
#[derive(clap::Args, Debug, Default)]
pub(crate) struct Overrides {
    /// The database: a file, or postgres://… [default: discuno.db, or DISCUNO_DB]
    #[arg(long, value_name = "DATABASE")]
    pub(crate) db: Option<PathBuf>,
}

impl Overrides {
    /// The configuration with these flags on top.
    pub(crate) fn config(&self, more: &[(&str, Option<String>)]) -> anyhow::Result<Config> {
        let mut flags = BTreeMap::new();
        if let Some(db) = &self.db {
            flags.insert("DISCUNO_DB".to_owned(), db.display().to_string());
        }
        for (name, value) in more {
            if let Some(value) = value {
                flags.insert((*name).to_owned(), value.clone());
            }
        }
        Ok(Config::from_environment(&flags)?)
    }
}

/// Reads how long something is to last.
pub(crate) fn span(text: &str) -> Result<Duration, String> {
    duration(text).ok_or_else(|| "a span looks like 30s, 10m or 2h".to_owned())
}

/// The time of day.
pub(crate) fn now() -> Timestamp {
    Clock::System.now()
}

/// Who acts, for the audit trail: `DISCUNO_ACTOR`, or the person's name on this machine.
pub(crate) fn actor() -> String {
    let names = ["DISCUNO_ACTOR", "SUDO_USER", "USER", "LOGNAME"];
    let known = names.into_iter().find_map(|name| std::env::var(name).ok().filter(|value| !value.trim().is_empty()));
    known.unwrap_or_else(|| "unknown".to_owned())
}

/// Starts the log on standard error, and in a file if one is configured.
pub(crate) fn start_log(config: &Config, stderr: bool) -> anyhow::Result<()> {
    let settings = observe::Settings { level: config.log_level.clone(), file: config.log_file.clone(), stderr };
    observe::init(&settings, Clock::System).context("could not start the log")
}

/// A listener.
pub(crate) async fn bind(address: SocketAddr) -> anyhow::Result<TcpListener> {
    TcpListener::bind(address).await.with_context(|| format!("could not listen on {address}"))
}

/// Cancelled by SIGTERM or SIGINT; a second one ends the process at once.
pub(crate) fn stop_signal() -> anyhow::Result<CancellationToken> {
    let stop = CancellationToken::new();
    let (mut term, mut int) = (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?);
    let token = stop.clone();
    tokio::spawn(async move {
        for first in [true, false] {
            let number = tokio::select! { _ = term.recv() => 143, _ = int.recv() => 130 };
            if !first {
                std::process::exit(number);
            }
            tracing::info!(tag = "Process", event = "stopping", message = "finishing what is in flight");
            token.cancel();
        }
    });
    Ok(stop)
}

//! The log: one JSON object a line, or one line for people on a terminal.

use std::io::{IsTerminal, Write};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use rustix::fs::Access;
use tracing::level_filters::LevelFilter;
use tracing::{Event, Subscriber};
use tracing_subscriber::layer::{Context, Layer, SubscriberExt};
use tracing_subscriber::{EnvFilter, Registry};

use crate::clock::Clock;
use crate::observe::line::Line;
use crate::observe::rotate::Rotating;
use crate::owner;

pub mod calls;
mod line;
pub mod mask;
pub mod metrics;
mod rotate;
pub mod trace;

/// Where the log goes.
#[derive(Debug, Clone)]
pub struct Settings {
    /// A level, or directives as `tracing` has them: `info`, `debug,hyper=warn`.
    pub level: String,
    /// A file that always gets JSON, rotated by size.
    pub file: Option<PathBuf>,
    /// Whether standard error gets the log too: for people on a terminal, as JSON otherwise.
    pub stderr: bool,
}

/// Why there is no log.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The level cannot be read.
    #[error("`{0}` is not a log level")]
    Level(String),
    /// A log was started before.
    #[error("a log is running already")]
    Running,
}

/// Starts the process's log.
pub fn init(settings: &Settings, clock: Clock) -> Result<(), Error> {
    let mut sinks: Vec<Sink> = Vec::new();
    if settings.stderr {
        let people = std::io::stderr().is_terminal();
        let colour = people && std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty());
        sinks.push(Sink { people, colour, out: Arc::new(Mutex::new(std::io::stderr())) });
    }
    if let Some(path) = &settings.file {
        match Rotating::open(path) {
            Ok(file) => sinks.push(Sink { people: false, colour: false, out: Arc::new(Mutex::new(file)) }),
            Err(error) => {
                say(&format!("the log {} could not be opened, and nothing is written there: {error}", path.display()));
            }
        }
    }
    let filter = filter(&settings.level).ok_or_else(|| Error::Level(settings.level.clone()))?;
    let subscriber = Registry::default().with(filter).with(Writer { clock, sinks });
    tracing::subscriber::set_global_default(subscriber).map_err(|_| Error::Running)
}

/// Whether this is a level, or directives.
pub fn is_level(text: &str) -> bool {
    filter(text).is_some()
}

fn filter(text: &str) -> Option<EnvFilter> {
    // A word alone that is no level would be the name of a part, and nothing else would be logged.
    let bare = text.split(',').map(str::trim).filter(|part| !part.contains(['=', '[']));
    if !bare.into_iter().all(|part| part.parse::<LevelFilter>().is_ok()) {
        return None;
    }
    EnvFilter::try_new(format!("warn,discuno={text}")).or_else(|_| EnvFilter::try_new(text)).ok()
}

/// Whether the log can be written to this file, and put aside beside it.
pub fn can_be_written(file: &Path) -> std::io::Result<()> {
    if file.exists() {
        rustix::fs::access(file, Access::WRITE_OK)?;
    }
    Ok(rustix::fs::access(owner::folder(file), Access::WRITE_OK | Access::EXEC_OK)?)
}

/// What is wrong with the log itself cannot be in it.
fn say(text: &str) {
    let _ = writeln!(std::io::stderr(), "discuno: {text}");
}

/// A subscriber that writes JSON lines into `buffer`, whatever their level.
pub fn subscriber_into(buffer: Arc<Mutex<Vec<u8>>>, clock: Clock) -> impl Subscriber + Send + Sync {
    Registry::default().with(Writer { clock, sinks: vec![Sink { people: false, colour: false, out: buffer }] })
}

struct Sink {
    people: bool,
    colour: bool,
    out: Arc<Mutex<dyn Write + Send>>,
}

struct Writer {
    clock: Clock,
    sinks: Vec<Sink>,
}

impl<S: Subscriber> Layer<S> for Writer {
    fn on_event(&self, event: &Event<'_>, _: Context<'_, S>) {
        let line = Line::read(event, self.clock.now());
        for sink in &self.sinks {
            let text = if sink.people { line.for_people(sink.colour) } else { line.json() };
            // A log that cannot be written is no reason to stop.
            let _ = sink.out.lock().unwrap_or_else(PoisonError::into_inner).write_all(text.as_bytes());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_word_that_is_no_level_is_refused() {
        for level in ["info", "WARN", "debug,hyper=warn", "hyper=warn,info", "off"] {
            assert!(is_level(level), "{level}");
        }
        for typo in ["warning", "verbose", "info,hyper", "info,hyper=warning", "information"] {
            assert!(!is_level(typo), "{typo}");
        }
    }
}

//! Exit statuses: the only place that knows numbers.

use std::io::Write;
use std::process::ExitCode;

use discuno::config::Problems;
use discuno::ops::when::NoTime;
use discuno::store::error::Error as StoreError;
use serde_json::json;

use crate::output::plain;

/// How a command ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Exit {
    /// Done, or already so.
    Done,
    /// It goes on, and nobody can tell yet how it ends.
    Pending,
    /// Findings were reported.
    Findings,
    /// Nothing was found, as grep says it.
    Unmatched,
    /// A rule does not hold.
    Broken,
    /// Something could not be read, as grep says it.
    Unreadable,
    /// The person who watched has seen enough.
    Interrupted,
}

/// Prints what went wrong, once, and gives the status.
pub(crate) fn report(outcome: anyhow::Result<Exit>) -> ExitCode {
    match outcome {
        Ok(Exit::Done) => ExitCode::SUCCESS,
        Ok(Exit::Unmatched | Exit::Broken) => ExitCode::from(1),
        Ok(Exit::Unreadable) => ExitCode::from(2),
        Ok(Exit::Pending) => ExitCode::from(8),
        Ok(Exit::Findings) => ExitCode::from(9),
        Ok(Exit::Interrupted) => ExitCode::from(130),
        Err(error) => {
            let status = status(&error);
            tell(status, code(&error), &format!("{error:#}"));
            ExitCode::from(status)
        }
    }
}

/// Says what went wrong: in words, or as a document.
pub(crate) fn tell(status: u8, code: &str, message: &str) {
    let text = if wants_documents() {
        json!({ "error": { "status": status, "code": code, "message": message } }).to_string()
    } else {
        format!("discuno: {}", plain(message))
    };
    let _ = writeln!(std::io::stderr(), "{text}");
}

/// What cannot be understood of the command line; or its help, which is no error.
pub(crate) fn misused(error: &clap::Error) -> ExitCode {
    if !error.use_stderr() || !wants_documents() {
        let status = u8::try_from(error.exit_code()).unwrap_or(2);
        let unread = error.print().is_err_and(|error| error.kind() != std::io::ErrorKind::BrokenPipe);
        return ExitCode::from(if status == 0 && unread { 1 } else { status });
    }
    tell(2, "usage", error.render().to_string().trim_end());
    ExitCode::from(2)
}

fn status(error: &anyhow::Error) -> u8 {
    if error.is::<Problems>() || error.is::<Usage>() || error.is::<NoTime>() {
        return 2;
    }
    if error.downcast_ref::<Unconfirmed>().is_some() {
        return 6;
    }
    match error.downcast_ref::<StoreError>() {
        Some(StoreError::NotFound(_)) => 3,
        Some(StoreError::Illegal(_)) => 5,
        _ => 1,
    }
}

/// A stable word for what went wrong.
pub(crate) fn code(error: &anyhow::Error) -> &'static str {
    match error.downcast_ref::<StoreError>() {
        Some(error) => error.code(),
        None if error.is::<Problems>() => "settings",
        None if error.is::<Usage>() || error.is::<NoTime>() => "usage",
        None if error.is::<Unconfirmed>() => "unconfirmed",
        None => "failed",
    }
}

/// Whether the caller reads documents: then an error is one too, on a line of its own.
pub(crate) fn wants_documents() -> bool {
    std::env::args_os().take_while(|word| word != "--").any(|word| word == "--json" || word == "--ndjson")
}

/// Nobody has said yes.
#[derive(Debug, thiserror::Error)]
#[error("nothing was done: {0}")]
pub(crate) struct Unconfirmed(pub(crate) &'static str);

/// The command was not used as it is meant.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub(crate) struct Usage(pub(crate) String);

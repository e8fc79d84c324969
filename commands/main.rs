//! The `discuno` command.

mod backfill;
mod check;
mod confirm;
mod demo;
mod dev;
mod exit;
mod output;
mod refund;
mod replay;
mod runtime;
mod send;
mod serve;
mod show;
mod worker;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

/// Parsing and SQL are short-lived strings for the most part: this allocator takes a tenth off a webhook.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Carries every paid session to its end: a live booking, a full refund, or an open case that a person knows of.
#[derive(Parser)]
#[command(version, max_term_width = 100, arg_required_else_help = true)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    Serve(serve::Args),
    Worker(worker::Args),
    Dev(dev::Args),
    Demo(demo::Args),
    Replay(replay::Args),
    Send(send::Args),
    Backfill(backfill::Args),
    Show(show::Args),
    Refund(refund::Args),
    Check(check::Args),
}

fn main() -> ExitCode {
    let outcome = match Cli::parse().command {
        Command::Serve(args) => runtime::block_on(serve::run(args)),
        Command::Worker(args) => runtime::block_on(worker::run(args)),
        Command::Dev(args) => runtime::block_on(dev::run(args)),
        Command::Demo(args) => runtime::block_on(demo::run(args)),
        Command::Replay(args) => runtime::block_on(replay::run(args)),
        Command::Send(args) => runtime::block_on(send::run(args)),
        Command::Backfill(args) => runtime::block_on(backfill::run(args)),
        Command::Show(args) => runtime::block_on(show::run(args)),
        Command::Refund(args) => runtime::block_on(refund::run(args)),
        Command::Check(args) => check::run(&args),
    };
    exit::report(outcome)
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    #[test]
    fn the_command_line_is_well_formed() {
        super::Cli::command().debug_assert();
    }
}

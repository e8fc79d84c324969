//! The `discuno` command.

mod acts;
mod alerts;
mod backfill;
mod check;
mod confirm;
mod db;
mod demo;
mod dev;
mod exit;
mod lists;
mod logs;
mod manual;
mod moving;
mod notify;
mod output;
mod password;
mod reconcile;
mod refund;
mod replay;
mod runtime;
mod send;
mod serve;
mod show;
mod sim;
mod status;
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
    Status(status::Args),
    Alerts(alerts::Args),
    Logs(logs::Args),
    Payments(lists::payments::Args),
    Refunds(lists::refunds::Args),
    Bookings(lists::bookings::Args),
    Runs(lists::runs::Args),
    Events(lists::events::Args),
    Cases(lists::cases::Args),
    Audit(lists::audit::Args),
    Refund(refund::Args),
    Retry(acts::retry::Args),
    Cancel(acts::cancel::Args),
    Resolve(acts::resolve::Args),
    Pause(acts::pause::PauseArgs),
    Resume(acts::pause::ResumeArgs),
    Check(check::Args),
    Reconcile(reconcile::Args),
    Sim(sim::Args),
    Db(db::Args),
    Password(password::Args),
    Completions(manual::CompletionsArgs),
    Man(manual::ManArgs),
}

fn main() -> ExitCode {
    runtime::prepare_process();
    let command = match Cli::try_parse() {
        Ok(cli) => cli.command,
        Err(error) => return exit::misused(&error),
    };
    let outcome = match command {
        Command::Serve(args) => runtime::block_on(serve::run(args)),
        Command::Worker(args) => runtime::block_on(worker::run(args)),
        Command::Dev(args) => runtime::block_on(dev::run(args)),
        Command::Demo(args) => runtime::block_on(demo::run(args)),
        Command::Replay(args) => runtime::block_on(replay::run(args)),
        Command::Send(args) => runtime::block_on(send::run(args)),
        Command::Backfill(args) => runtime::block_on(backfill::run(args)),
        Command::Show(args) => runtime::block_on(show::run(args)),
        Command::Payments(args) => runtime::block_on(lists::payments::run(args)),
        Command::Refunds(args) => runtime::block_on(lists::refunds::run(args)),
        Command::Bookings(args) => runtime::block_on(lists::bookings::run(args)),
        Command::Runs(args) => runtime::block_on(lists::runs::run(args)),
        Command::Events(args) => runtime::block_on(lists::events::run(args)),
        Command::Cases(args) => runtime::block_on(lists::cases::run(args)),
        Command::Audit(args) => runtime::block_on(lists::audit::run(args)),
        Command::Retry(args) => runtime::block_on(acts::retry::run(args)),
        Command::Cancel(args) => runtime::block_on(acts::cancel::run(args)),
        Command::Resolve(args) => runtime::block_on(acts::resolve::run(args)),
        Command::Pause(args) => runtime::block_on(acts::pause::pause(args)),
        Command::Resume(args) => runtime::block_on(acts::pause::resume(args)),
        Command::Refund(args) => runtime::block_on(refund::run(args)),
        Command::Logs(args) => logs::run(&args),
        Command::Alerts(args) => runtime::block_on(alerts::run(args)),
        Command::Status(args) => runtime::block_on(status::run(args)),
        Command::Sim(args) => sim::run(&args),
        Command::Db(args) => runtime::block_on(db::run(args)),
        Command::Password(args) => password::run(&args),
        Command::Completions(args) => manual::completions(&args),
        Command::Man(args) => manual::man(&args),
        Command::Check(args) => runtime::block_on(check::run(args)),
        Command::Reconcile(args) => runtime::block_on(reconcile::run(args)),
    };
    exit::report(outcome)
}

#[cfg(test)]
mod tests {
    use clap::{CommandFactory, Parser};
    use proptest::prelude::{any, prop_assert, proptest};
    use proptest::strategy::{Just, Strategy, Union};

    use super::Cli;

    #[test]
    fn the_command_line_is_well_formed() {
        Cli::command().debug_assert();
    }

    /// What is on the command line: a command, one of the options of any, something that a value could be, or anything.
    fn word() -> impl Strategy<Value = String> {
        let command = Cli::command();
        let commands = command.get_subcommands().map(|command| command.get_name().to_owned());
        let options = command.get_subcommands().flat_map(clap::Command::get_arguments);
        let options = options.filter_map(|option| Some(format!("--{}", option.get_long()?)));
        let values =
            ["pay_1", "run_7", "ev_3", "case_2", "12.50", "-1", "2h", "2026-11-24", "a=b", "=", "--", "", "\u{202e}"];
        let known: Vec<String> = commands.chain(options).chain(values.map(str::to_owned)).collect();
        Union::new_weighted(vec![(9, Union::new(known.into_iter().map(Just)).boxed()), (1, any::<String>().boxed())])
    }

    proptest! {
        #[test]
        fn whatever_is_on_the_command_line_is_understood_or_refused(words in proptest::collection::vec(word(), 0..8)) {
            if let Err(error) = Cli::try_parse_from(std::iter::once("discuno".to_owned()).chain(words)) {
                prop_assert!([0, 2].contains(&error.exit_code()));
                prop_assert!(!error.render().to_string().is_empty());
            }
        }
    }
}

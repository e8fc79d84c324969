//! `discuno completions` and `discuno man`: what the command line knows of itself.

use clap::CommandFactory;
use clap_complete::Shell;

use crate::Cli;
use crate::exit::Exit;
use crate::output;

/// Print the completions of a shell
#[derive(clap::Args)]
#[command(after_help = "Examples:\n  discuno completions bash > /etc/bash_completion.d/discuno\n  \
    discuno completions zsh > ~/.zfunc/_discuno\n  discuno completions fish > ~/.config/fish/completions/discuno.fish")]
pub(crate) struct CompletionsArgs {
    /// bash, zsh, fish
    shell: Shell,
}

/// Print a manual page
#[derive(clap::Args)]
#[command(after_help = "Examples:\n  discuno man | man -l -\n  discuno man db backup > discuno-db-backup.1")]
pub(crate) struct ManArgs {
    /// Of this command [default: of all]
    command: Vec<String>,
}

pub(crate) fn completions(args: &CompletionsArgs) -> anyhow::Result<Exit> {
    let mut script = Vec::new();
    clap_complete::generate(args.shell, &mut Cli::command(), "discuno", &mut script);
    output::data(&script)?;
    Ok(Exit::Done)
}

pub(crate) fn man(args: &ManArgs) -> anyhow::Result<Exit> {
    let mut command = Cli::command();
    command.build();
    let mut full = "discuno".to_owned();
    for name in &args.command {
        full = format!("{full}-{name}");
        let found = command.find_subcommand(name).cloned();
        let found =
            found.ok_or_else(|| crate::exit::Usage(format!("there is no command {}", args.command.join(" "))))?;
        command = found.display_name(full.clone()).bin_name(full.clone());
    }
    let mut page = Vec::new();
    clap_mangen::Man::new(command).render(&mut page)?;
    output::data(&page)?;
    Ok(Exit::Done)
}

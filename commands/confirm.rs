//! Asking a person before something is done. Without a terminal nothing ever waits.

use std::io::IsTerminal;

use dialoguer::Input;

use crate::exit::Unconfirmed;

/// How a command may be confirmed.
#[derive(clap::Args, Debug, Default)]
pub(crate) struct Confirm {
    /// Do it without asking
    #[arg(long, short)]
    pub(crate) yes: bool,
    /// Never ask: without --yes nothing is done
    #[arg(long)]
    pub(crate) no_input: bool,
    /// Only say what would be done
    #[arg(long)]
    pub(crate) dry_run: bool,
}

impl Confirm {
    /// Returns once the person has typed `expected`, or has said yes beforehand.
    pub(crate) fn typed(&self, prompt: &str, expected: impl Fn(&str) -> bool) -> anyhow::Result<()> {
        if self.yes {
            return Ok(());
        }
        if self.no_input || !std::io::stdin().is_terminal() || !std::io::stderr().is_terminal() {
            return Err(Unconfirmed("without a terminal it takes --yes").into());
        }
        let typed: String = Input::new().with_prompt(prompt).allow_empty(true).interact_text()?;
        if expected(typed.trim()) { Ok(()) } else { Err(Unconfirmed("what was typed does not match").into()) }
    }

    /// Returns once the person has said yes.
    pub(crate) fn agreed(&self, prompt: &str) -> anyhow::Result<()> {
        self.typed(&format!("{prompt} Type yes"), |typed| typed == "yes")
    }
}

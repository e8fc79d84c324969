//! `discuno password`: makes an entry of DISCUNO_USERS.

use std::io::{IsTerminal, Read};

use anyhow::{Context, anyhow};
use argon2::Argon2;
use argon2::password_hash::PasswordHasher;
use dialoguer::Password;
use discuno::config::access::User;
use discuno::model::role::Role;

use crate::exit::{Exit, Usage};
use crate::output;

/// Make an entry of DISCUNO_USERS: a name, a role and the hash of a password
///
/// Asks for the password on a terminal, and reads it from standard input otherwise. Nothing is stored: put what is printed into
/// the environment, within single quotes where a shell or `.env` would read the dollar signs.
#[derive(clap::Args)]
#[command(
    after_help = "Examples:\n  discuno password mia --role operator\n  pass show discuno | discuno password mia --role money"
)]
pub(crate) struct Args {
    /// As the audit trail is to know them
    name: String,
    /// What they may do: viewer looks, operator acts, money pays back too
    #[arg(long, default_value = "viewer")]
    role: Role,
}

/// Shorter ones can be guessed.
const SHORTEST: usize = 12;

pub(crate) fn run(args: &Args) -> anyhow::Result<Exit> {
    if !User::is_name(&args.name) {
        return Err(Usage("a name has letters, digits and . - _ @ only".to_owned()).into());
    }
    let password = read()?;
    if password.chars().count() < SHORTEST {
        return Err(Usage(format!("a password has {SHORTEST} characters at least")).into());
    }
    let hash = Argon2::default().hash_password(password.as_bytes());
    let hash = hash.map_err(|error| anyhow!("could not hash the password: {error}"))?;
    output::line(&format!("{}:{}:{hash}", args.name, args.role))?;
    Ok(Exit::Done)
}

fn read() -> anyhow::Result<String> {
    if std::io::stdin().is_terminal() {
        return Ok(Password::new().with_prompt("Password").with_confirmation("Again", "They differ").interact()?);
    }
    let mut text = String::new();
    std::io::stdin().read_to_string(&mut text).context("could not read the password")?;
    Ok(text.trim_end_matches(['\r', '\n']).to_owned())
}

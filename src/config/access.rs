//! Who may look in from outside, and what they may do.

use std::net::SocketAddr;

use crate::config::Secret;
use crate::config::env::Reader;
use crate::model::role::Role;

/// The dashboard, the API and the metrics.
#[derive(Debug, Clone, Default)]
pub struct AccessConfig {
    /// `DISCUNO_ADMIN_LISTEN`: a listener of their own; without it they share the webhooks'.
    pub listen: Option<SocketAddr>,
    /// `DISCUNO_ADMIN_TOKEN`: `<token>` or `<role>:<token>`, several with commas between.
    pub tokens: Vec<Token>,
    /// `DISCUNO_USERS`: `<name>:<role>:<hash>`, several with spaces between.
    pub users: Vec<User>,
}

/// A bearer token.
#[derive(Debug, Clone)]
pub struct Token {
    /// What it allows.
    pub role: Role,
    /// The token.
    pub secret: Secret,
}

/// A person with a password.
#[derive(Debug, Clone)]
pub struct User {
    /// As the audit trail knows them.
    pub name: String,
    /// What they may do.
    pub role: Role,
    /// The hash of their password, in the PHC's string format.
    pub hash: Secret,
}

impl AccessConfig {
    /// Whether anybody may come in.
    pub fn is_configured(&self) -> bool {
        !self.tokens.is_empty() || !self.users.is_empty()
    }

    pub(super) fn read(read: &mut Reader<'_>) -> Self {
        let listen = read.optional("DISCUNO_ADMIN_LISTEN", "an address such as 127.0.0.1:8482");
        let tokens = read.secrets(&["DISCUNO_ADMIN_TOKEN"]).iter().map(Token::read).collect();
        let users = read.secret_text(&["DISCUNO_USERS"]).unwrap_or_default();
        let mut access = Self { listen, tokens, users: Vec::new() };
        for entry in users.split_whitespace() {
            match User::read(entry) {
                Some(user) if access.users.iter().all(|known| known.name != user.name) => access.users.push(user),
                Some(user) => read.problem("DISCUNO_USERS", format!("names {} twice", user.name)),
                // The entry holds a hash: it is not repeated.
                None => read.problem(
                    "DISCUNO_USERS",
                    "an entry is not <name>:<viewer, operator or money>:<hash>: `discuno password` makes one",
                ),
            }
        }
        if access.tokens.iter().any(|token| token.secret.expose().len() < SHORTEST_TOKEN) {
            read.problem("DISCUNO_ADMIN_TOKEN", format!("is shorter than {SHORTEST_TOKEN} characters"));
        }
        access
    }
}

/// What cannot be guessed through the network.
const SHORTEST_TOKEN: usize = 16;

impl Token {
    fn read(secret: &Secret) -> Self {
        let of_role = secret.expose().split_once(':').and_then(|(role, token)| Some((role.parse().ok()?, token)));
        match of_role {
            Some((role, token)) => Self { role, secret: Secret::new(token) },
            None => Self { role: Role::Money, secret: secret.clone() },
        }
    }
}

impl User {
    /// Whether somebody may be called so: letters, digits and . - _ @ only.
    pub fn is_name(name: &str) -> bool {
        let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_' | '@');
        !name.is_empty() && name.chars().all(plain)
    }

    fn read(entry: &str) -> Option<Self> {
        let mut parts = entry.splitn(3, ':');
        let (name, role, hash) = (parts.next()?, parts.next()?.parse().ok()?, parts.next()?);
        let good = Self::is_name(name) && hash.starts_with("$argon2");
        good.then(|| Self { name: name.to_owned(), role, hash: Secret::new(hash) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_is_for_money_unless_it_names_its_role() {
        let role = |text: &str| Token::read(&Secret::new(text)).role;
        assert_eq!(role("0123456789abcdef"), Role::Money);
        assert_eq!(role("viewer:0123456789abcdef"), Role::Viewer);
        assert_eq!(Token::read(&Secret::new("viewer:abc")).secret.expose(), "abc");
    }

    #[test]
    fn a_user_has_a_plain_name_a_role_and_a_hash() {
        let user = User::read("mia:operator:$argon2id$v=19$m=1,t=1,p=1$c2FsdA$aGFzaA").unwrap();
        assert_eq!((user.name.as_str(), user.role), ("mia", Role::Operator));
        for entry in ["mia", "mia:boss:$argon2id$", "mia:money:plain", ":money:$argon2id$", "m<i>a:money:$argon2id$"] {
            assert!(User::read(entry).is_none(), "{entry}");
        }
    }
}

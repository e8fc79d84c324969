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
    /// `DISCUNO_ADMIN_TOKEN`: `<token>`, `<role>:<token>` or `<name>:<role>:<token>`, several with commas between.
    pub tokens: Vec<Token>,
    /// `DISCUNO_USERS`: `<name>:<role>:<hash>`, several with spaces between.
    pub users: Vec<User>,
}

/// A bearer token.
#[derive(Debug, Clone)]
pub struct Token {
    /// As the audit trail knows who brings it.
    pub name: String,
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
        let tokens = Self::read_tokens(read);
        let users = read.secret_text(&["DISCUNO_USERS"]).unwrap_or_default();
        let mut access = Self { listen, tokens, users: Vec::new() };
        for entry in users.split_whitespace() {
            match User::read(entry) {
                // Whose session it is must be plain from the name.
                Some(user) if access.tokens.iter().any(|token| token.name == user.name) => {
                    read.problem("DISCUNO_USERS", format!("names {}, which is the name of a token", user.name));
                }
                Some(user) if access.users.iter().all(|known| known.name != user.name) => access.users.push(user),
                Some(user) => read.problem("DISCUNO_USERS", format!("names {} twice", user.name)),
                // The entry holds a hash: it is not repeated.
                None => read.problem(
                    "DISCUNO_USERS",
                    "an entry is not <name>:<viewer, operator or money>:<hash>: `discuno password` makes one",
                ),
            }
        }
        access
    }

    fn read_tokens(read: &mut Reader<'_>) -> Vec<Token> {
        const NAME: &str = "DISCUNO_ADMIN_TOKEN";
        let mut tokens: Vec<Token> = Vec::new();
        for entry in read.secrets(&[NAME]) {
            // The entry holds a token: it is not repeated.
            let Some(token) = Token::read(&entry) else {
                read.problem(
                    NAME,
                    "an entry is not <token>, <role>:<token> or <name>:<role>:<token>, with a role of viewer, operator or \
                     money and a name of letters, digits and . - _ @ (a token with colons in it needs its role in front)",
                );
                continue;
            };
            if token.name != UNNAMED && tokens.iter().any(|known| known.name == token.name) {
                read.problem(NAME, format!("names {} twice", token.name));
            }
            let same = tokens.iter().find(|known| known.secret.is(token.secret.expose()));
            if let Some(known) = same.filter(|known| known.name != token.name) {
                read.problem(NAME, format!("gives {} and {} the same token", known.name, token.name));
            }
            tokens.push(token);
        }
        if tokens.iter().any(|token| token.secret.expose().len() < SHORTEST_TOKEN) {
            read.problem(NAME, format!("has a token shorter than {SHORTEST_TOKEN} characters"));
        }
        tokens
    }
}

/// Who brings a token that has no name.
pub const UNNAMED: &str = "token";

/// What cannot be guessed through the network.
const SHORTEST_TOKEN: usize = 16;

impl Token {
    fn read(entry: &Secret) -> Option<Self> {
        let token = |name: &str, role, text| Self { name: name.to_owned(), role, secret: Secret::new(text) };
        let text = entry.expose();
        let parts: Vec<&str> = text.splitn(3, ':').collect();
        if let Some((role, rest)) = text.split_once(':').and_then(|(role, rest)| Some((role.parse().ok()?, rest))) {
            return Some(token(UNNAMED, role, rest));
        }
        let [name, role, rest] = parts[..] else { return Some(token(UNNAMED, Role::Money, text)) };
        User::is_name(name).then_some(token(name, role.parse().ok()?, rest))
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
    use std::collections::BTreeMap;

    use super::*;

    fn token(text: &str) -> Option<(String, Role, String)> {
        Token::read(&Secret::new(text)).map(|token| (token.name, token.role, token.secret.expose().to_owned()))
    }

    fn read(tokens: &str, users: &str) -> (AccessConfig, Vec<String>) {
        let (none, all) = (BTreeMap::new(), [("DISCUNO_ADMIN_TOKEN", tokens), ("DISCUNO_USERS", users)]);
        let environment = |name: &str| all.iter().find(|(known, _)| *known == name).map(|(_, text)| (*text).to_owned());
        let mut reader = Reader::new(&none, &environment, &none);
        let access = AccessConfig::read(&mut reader);
        (access, reader.problems.into_iter().map(|problem| problem.message).collect())
    }

    #[test]
    fn a_token_is_for_money_and_without_a_name_unless_it_says_so() {
        let is = |name: &str, role, text: &str| Some((name.to_owned(), role, text.to_owned()));
        assert_eq!(token("0123456789abcdef"), is("token", Role::Money, "0123456789abcdef"));
        assert_eq!(token("viewer:abc"), is("token", Role::Viewer, "abc"));
        assert_eq!(token("viewer:money:a:c"), is("token", Role::Viewer, "money:a:c"));
        assert_eq!(token("night-job:operator:a:c"), is("night-job", Role::Operator, "a:c"));
        assert_eq!(token("abc:def"), is("token", Role::Money, "abc:def"));
        for entry in ["ci:boss:abc", "c<i>:viewer:abc", ":viewer:abc"] {
            assert!(token(entry).is_none(), "{entry}");
        }
    }

    #[test]
    fn each_name_is_of_one_token_or_one_user_and_nothing_that_is_said_of_it_holds_a_secret() {
        const MIA: &str = "mia:money:$argon2id$v=19$m=1,t=1,p=1$c2FsdA$aGFzaA";
        let (one, two) = ("0123456789abcdef", "fedcba9876543210");
        let (access, problems) = read(&format!("ci:viewer:{one},{two},operator:other-{two}"), MIA);
        assert!(problems.is_empty(), "{problems:?}");
        let names: Vec<&str> = access.tokens.iter().map(|token| token.name.as_str()).collect();
        assert_eq!((names, access.users.len()), (vec!["ci", "token", "token"], 1));

        let cases = [
            (format!("ci:viewer:{one},ci:money:{two}"), "", "names ci twice"),
            (format!("ci:viewer:{one},money:{one}"), "", "gives ci and token the same token"),
            (format!("mia:viewer:{one}"), MIA, "names mia, which is the name of a token"),
            (format!("ci:boss:{one}"), "", "an entry is not <token>"),
            ("ci:viewer:short".to_owned(), "", "shorter than 16 characters"),
        ];
        for (tokens, users, expected) in cases {
            let (_, problems) = read(&tokens, users);
            assert_eq!(problems.len(), 1, "{problems:?}");
            assert!(problems[0].contains(expected), "{problems:?}");
            assert!(![one, two, "short:", "argon2"].iter().any(|secret| problems[0].contains(secret)), "{problems:?}");
        }
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

//! Who is there, and whether they may: bearer tokens for programs, signed sessions for people.

use std::sync::Arc;

use argon2::Argon2;
use argon2::password_hash::PasswordVerifier;
use argon2::password_hash::phc::PasswordHash;
use axum::extract::{FromRequestParts, Request, State};
use axum::http::request::Parts;
use axum::http::{HeaderMap, StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Redirect, Response};

use crate::config::access::AccessConfig;
use crate::model::role::Role;
use crate::model::time::Timestamp;
use crate::web::admin::Admin;
use crate::web::auth::attempts::Attempts;
use crate::web::auth::session::Seal;
use crate::web::problem::{Problem, wants_page};

mod attempts;
pub(super) mod guard;
pub(super) mod login;
pub(super) mod session;

/// Somebody who came in.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Identity {
    /// As the audit trail knows them.
    pub(super) name: String,
    /// What they may do.
    pub(super) role: Role,
}

impl Identity {
    /// Refused unless the role allows it.
    pub(super) fn must(&self, needed: Role) -> Result<(), Problem> {
        if self.role.may(needed) {
            return Ok(());
        }
        let detail = format!("{} is a {}: this takes the role {needed}; nothing was done", self.name, self.role);
        Err(Problem::new(StatusCode::FORBIDDEN, "forbidden", detail))
    }
}

impl<S: Sync> FromRequestParts<S> for Identity {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Problem> {
        let unknown = || Problem::new(StatusCode::UNAUTHORIZED, "unauthorized", "nobody has logged in");
        parts.extensions.get::<Self>().cloned().ok_or_else(unknown)
    }
}

/// Who may come in.
#[derive(Clone)]
pub struct Access {
    config: Arc<AccessConfig>,
    seal: Arc<Seal>,
    attempts: Arc<Attempts>,
    /// Everybody who reaches it from this machine: `dev`, where there is nothing to protect.
    open: bool,
}

impl Access {
    /// What the configuration says. `open` lets everybody in who asks a loopback address, if nobody is configured.
    pub fn new(config: AccessConfig, open: bool) -> Self {
        let open = open && !config.is_configured();
        let seal = Arc::new(Seal::of(&config));
        Self { config: Arc::new(config), seal, attempts: Arc::default(), open }
    }

    /// Whether anybody may come in at all.
    pub fn is_possible(&self) -> bool {
        self.open || self.config.is_configured()
    }

    pub(super) const fn is_open(&self) -> bool {
        self.open
    }

    fn of(&self, headers: &HeaderMap, now: Timestamp) -> Option<Identity> {
        if self.open {
            return Some(Identity { name: "dev".to_owned(), role: Role::Money });
        }
        match bearer(headers) {
            Some(token) => self.of_token(token),
            None => session::cookie(headers).and_then(|cookie| self.of_session(cookie, now)),
        }
    }

    fn of_token(&self, text: &str) -> Option<Identity> {
        let token = self.config.tokens.iter().find(|token| token.secret.is(text))?;
        Some(Identity { name: token.name.clone(), role: token.role })
    }

    /// A session holds for as long as its user is configured, with the role that is configured now.
    fn of_session(&self, cookie: &str, now: Timestamp) -> Option<Identity> {
        let session = self.seal.open(cookie, now)?;
        let user = self.config.users.iter().find(|user| user.name == session.name);
        let of_token = || self.config.tokens.iter().any(|token| token.name == session.name).then_some(session.role);
        let role = user.map(|user| user.role).or_else(of_token)?;
        Some(Identity { name: session.name, role })
    }

    /// The person with this password; without a name, whoever brings a token. Takes some tens of milliseconds on purpose.
    fn verify(&self, name: &str, password: &str) -> Option<Identity> {
        if name.is_empty() {
            return self.of_token(password);
        }
        let user = self.config.users.iter().find(|user| user.name == name);
        // An unknown name takes as long as a known one.
        let hash = user.map_or(NOBODY, |user| user.hash.expose());
        let fits = PasswordHash::new(hash)
            .is_ok_and(|hash| Argon2::default().verify_password(password.as_bytes(), &hash).is_ok());
        user.filter(|_| fits).map(|user| Identity { name: user.name.clone(), role: user.role })
    }
}

/// The hash of a password that nobody has.
const NOBODY: &str = "$argon2id$v=19$m=19456,t=2,p=1$bm9ib2R5aGFzdGhpcw$7EwBhAjA0KQmSjZmRZcC9cUu4q6sVYI0JxQqF2YcE1k";

fn bearer(headers: &HeaderMap) -> Option<&str> {
    let (scheme, token) = headers.get(header::AUTHORIZATION)?.to_str().ok()?.split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then(|| token.trim())
}

/// Lets through who is known, with their [`Identity`]; a person is sent to the log-in, a program is told 401.
pub(super) async fn identify(State(admin): State<Admin>, mut request: Request, next: Next) -> Response {
    // Who is known already asks from within.
    if request.extensions().get::<Identity>().is_none() {
        match admin.access.of(request.headers(), admin.clock.now()) {
            Some(identity) => {
                request.extensions_mut().insert(identity);
            }
            None => return strangers(&request),
        }
    }
    next.run(request).await
}

/// The page of this site that a form was sent from.
fn came_from(headers: &HeaderMap) -> String {
    let text = |name| headers.get(name).and_then(|value| value.to_str().ok());
    let page = text(header::REFERER).and_then(|page| url::Url::parse(page).ok());
    let page = page.filter(|page| text(header::HOST) == Some(page.authority()));
    page.map_or_else(|| "/".to_owned(), |page| page[url::Position::BeforePath..url::Position::AfterQuery].to_owned())
}

fn strangers(request: &Request) -> Response {
    if wants_page(request.uri().path(), request.headers()) {
        let to = if request.method().is_safe() {
            login::address(request.uri().path_and_query().map_or("/", |path| path.as_str()))
        } else {
            // What a form sends cannot be sent again for it: whoever sent it is led back to where it was filled in.
            login::address_after(&came_from(request.headers()))
        };
        return Redirect::to(&to).into_response();
    }
    let detail = "a token is needed: `Authorization: Bearer <DISCUNO_ADMIN_TOKEN>`";
    let mut response = Problem::new(StatusCode::UNAUTHORIZED, "unauthorized", detail).into_response();
    response.headers_mut().insert(header::WWW_AUTHENTICATE, header::HeaderValue::from_static("Bearer"));
    response
}

#[cfg(test)]
mod tests {
    use argon2::password_hash::PasswordHasher;

    use super::*;
    use crate::config::Secret;
    use crate::config::access::{Token, User};
    use crate::web::auth::session::Session;

    fn access() -> Access {
        let hash = Argon2::default().hash_password(b"correct horse").unwrap().to_string();
        let users = vec![User { name: "mia".to_owned(), role: Role::Operator, hash: Secret::new(&hash) }];
        let tokens = vec![Token { name: "ci".to_owned(), role: Role::Viewer, secret: Secret::new("0123456789abcdef") }];
        Access::new(AccessConfig { listen: None, tokens, users }, true)
    }

    #[test]
    fn only_the_right_password_and_the_right_token_open() {
        let access = access();
        assert_eq!(access.verify("mia", "correct horse").unwrap().role, Role::Operator);
        let ci = Identity { name: "ci".to_owned(), role: Role::Viewer };
        assert_eq!(access.verify("", "0123456789abcdef").unwrap(), ci);
        for (name, password) in [("mia", "wrong"), ("mia", ""), ("eve", "correct horse"), ("", ""), ("", "0123")] {
            assert!(access.verify(name, password).is_none(), "{name} {password}");
        }
        assert!(PasswordHash::new(NOBODY).is_ok());
    }

    #[test]
    fn who_logged_in_with_a_named_token_is_known_by_its_name_until_it_is_gone() {
        let (access, now) = (access(), Timestamp(1_000));
        let session = |name: &str| Session { name: name.to_owned(), role: Role::Viewer };
        let of = |name: &str| access.of_session(&access.seal.close(&session(name), now), now);
        assert_eq!(of("ci").unwrap(), Identity { name: "ci".to_owned(), role: Role::Viewer });
        assert_eq!(of("mia").unwrap().role, Role::Operator);
        assert!(of("token").is_none() && of("eve").is_none());
    }

    #[test]
    fn where_somebody_is_configured_nothing_is_open() {
        assert!(access().of(&HeaderMap::new(), Timestamp(0)).is_none());
        assert!(Access::new(AccessConfig::default(), true).of(&HeaderMap::new(), Timestamp(0)).is_some());
        assert!(!Access::new(AccessConfig::default(), false).is_possible());
    }
}

//! Sessions: a name, a role and an end, sealed into a cookie. Nothing is kept; other credentials end every session.

use aws_lc_rs::hmac::{HMAC_SHA256, Key, sign, verify};
use axum::http::{HeaderMap, header};

use crate::config::access::AccessConfig;
use crate::model::role::Role;
use crate::model::time::Timestamp;

/// The cookie's name.
const NAME: &str = "discuno_session";
/// How long somebody stays logged in.
const LENGTH: std::time::Duration = std::time::Duration::from_secs(12 * 3600);

/// The cookie that stays when a session has ended.
const KNOWN: &str = "discuno_known";
/// How long a browser is known again.
const KNOWN_FOR: std::time::Duration = std::time::Duration::from_secs(90 * 86_400);

/// Who is logged in.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Session {
    pub(super) name: String,
    pub(super) role: Role,
}

/// What sessions are sealed with.
pub(super) struct Seal(Key);

impl Seal {
    /// Made of every credential, so that every process of a deployment has the same, and a changed one ends the sessions.
    pub(super) fn of(config: &AccessConfig) -> Self {
        let tokens =
            config.tokens.iter().map(|token| format!("{} {} {}", token.name, token.role, token.secret.expose()));
        let users = config.users.iter().map(|user| format!("{} {} {}", user.name, user.role, user.hash.expose()));
        let all: Vec<String> = tokens.chain(users).collect();
        let key = sign(&Key::new(HMAC_SHA256, b"discuno session v1"), all.join("\n").as_bytes());
        Self(Key::new(HMAC_SHA256, key.as_ref()))
    }

    /// The value of a cookie that holds until it ends.
    pub(super) fn close(&self, session: &Session, now: Timestamp) -> String {
        let text = format!("{}|{}|{}", now.plus(LENGTH).0, session.role, session.name);
        let mac = sign(&self.0, text.as_bytes());
        format!("{}.{}", hex::encode(&text), hex::encode(mac.as_ref()))
    }

    /// Who it is, if we sealed it and it has not ended.
    pub(super) fn open(&self, cookie: &str, now: Timestamp) -> Option<Session> {
        let (text, mac) = cookie.split_once('.')?;
        let (text, mac) = (hex::decode(text).ok()?, hex::decode(mac).ok()?);
        verify(&self.0, &text, &mac).ok()?;
        let text = String::from_utf8(text).ok()?;
        let mut parts = text.splitn(3, '|');
        let end: i64 = parts.next()?.parse().ok()?;
        let session = Session { role: parts.next()?.parse().ok()?, name: parts.next()?.to_owned() };
        (now.0 < end).then_some(session)
    }

    /// `Set-Cookie` for a session. `secure` where the browser came by https.
    pub(super) fn cookie(&self, session: &Session, secure: bool, now: Timestamp) -> String {
        format!("{NAME}={}; {}; Max-Age={}", self.close(session, now), attributes(secure), LENGTH.as_secs())
    }
}

impl Seal {
    /// What a browser is given in which somebody has logged in. It opens nothing.
    fn mark(&self, name: &str) -> String {
        hex::encode(sign(&self.0, format!("known|{name}").as_bytes()).as_ref())
    }

    /// Whether this name has logged in before in the browser that sends these cookies.
    pub(super) fn knows(&self, name: &str, headers: &HeaderMap) -> bool {
        let marks = cookies(headers).filter(|(known, _)| *known == KNOWN);
        let mut marks = marks.filter_map(|(_, mark)| hex::decode(mark).ok());
        marks.any(|mark| verify(&self.0, format!("known|{name}").as_bytes(), &mark).is_ok())
    }

    /// `Set-Cookie` by which it is known again.
    pub(super) fn known_cookie(&self, name: &str, secure: bool) -> String {
        let mark = self.mark(name);
        format!("{KNOWN}={mark}; {}; Max-Age={}", attributes(secure), KNOWN_FOR.as_secs())
    }
}

/// `Set-Cookie` that ends a session.
pub(super) fn ended(secure: bool) -> String {
    format!("{NAME}=; {}; Max-Age=0", attributes(secure))
}

fn attributes(secure: bool) -> &'static str {
    if secure { "Path=/; HttpOnly; SameSite=Strict; Secure" } else { "Path=/; HttpOnly; SameSite=Strict" }
}

/// The session's cookie among the headers.
pub(super) fn cookie(headers: &HeaderMap) -> Option<&str> {
    cookies(headers).find(|(name, _)| *name == NAME).map(|(_, value)| value)
}

fn cookies(headers: &HeaderMap) -> impl Iterator<Item = (&str, &str)> {
    let cookies = headers.get_all(header::COOKIE).iter().filter_map(|value| value.to_str().ok());
    cookies.flat_map(|value| value.split(';')).filter_map(|pair| pair.trim().split_once('='))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Secret;
    use crate::config::access::Token;

    fn seal(token: &str) -> Seal {
        let tokens = vec![Token { name: "token".to_owned(), role: Role::Money, secret: Secret::new(token) }];
        Seal::of(&AccessConfig { tokens, ..AccessConfig::default() })
    }

    #[test]
    fn a_session_opens_until_it_ends_and_only_under_its_own_seal() {
        let (now, seal, mia) = (Timestamp(1_000), seal("a"), Session { name: "mia|x".to_owned(), role: Role::Viewer });
        let cookie = seal.close(&mia, now);
        assert_eq!(seal.open(&cookie, now).unwrap(), mia);
        assert!(seal.open(&cookie, now.plus(LENGTH)).is_none());
        assert!(super::tests::seal("b").open(&cookie, now).is_none());
        let forged = format!("{}.{}", hex::encode("9999999999999|money|eve"), cookie.split_once('.').unwrap().1);
        for bad in ["", ".", "zz.zz", &forged, &cookie[..cookie.len() - 2]] {
            assert!(seal.open(bad, now).is_none(), "{bad}");
        }
    }

    #[test]
    fn a_browser_is_known_by_what_it_was_given_for_that_name_and_comes_in_nowhere_by_it() {
        let (seal, now) = (seal("a"), Timestamp(1_000));
        let given = seal.known_cookie("mia", true);
        let mark = given.split(';').next().unwrap();
        let headers = |cookie: &str| HeaderMap::from_iter([(header::COOKIE, cookie.parse().unwrap())]);
        assert!(seal.knows("mia", &headers(mark)) && !seal.knows("tom", &headers(mark)), "{given}");
        let session = seal.close(&Session { name: "mia".to_owned(), role: Role::Money }, now);
        let forged = format!("{KNOWN}={}", session.split_once('.').unwrap().1);
        assert!(!seal.knows("mia", &headers(&forged)) && !seal.knows("mia", &HeaderMap::new()));
        assert!(!super::tests::seal("b").knows("mia", &headers(mark)));
        let (_, mac) = mark.split_once('=').unwrap();
        assert!(seal.open(&format!("{}.{mac}", hex::encode("known|mia")), now).is_none());
    }
}

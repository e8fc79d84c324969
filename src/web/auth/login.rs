//! Logging in and out.

use std::time::Duration;

use askama::Template;
use axum::Form;
use axum::extract::{Query, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{AppendHeaders, IntoResponse, Redirect, Response};
use serde::Deserialize;

use crate::web::admin::Admin;
use crate::web::auth::Identity;
use crate::web::auth::attempts::Whose;
use crate::web::auth::session::{self, Session};
use crate::web::page::Page;

#[derive(Template)]
#[template(path = "login.html")]
struct LoginPage {
    to: String,
    name: String,
    wrong: Option<String>,
    people: bool,
}

/// Where somebody came from who has to log in first.
#[derive(Deserialize)]
pub(in crate::web) struct From {
    #[serde(default)]
    to: String,
    /// Whether something was sent that nobody was there for.
    #[serde(default)]
    undone: bool,
}

#[derive(Deserialize)]
pub(in crate::web) struct Attempt {
    #[serde(default)]
    name: String,
    password: String,
    #[serde(default)]
    to: String,
}

/// Where the log-in is that leads to `to`.
pub(super) fn address(to: &str) -> String {
    let to: String = url::form_urlencoded::byte_serialize(to.as_bytes()).collect();
    format!("/login?to={to}")
}

/// The same for somebody who was logged out while something was filled in.
pub(super) fn address_after(to: &str) -> String {
    format!("{}&undone=true", address(to))
}

/// A place of this site, whatever a link may say.
fn safe(to: &str) -> &str {
    let inside = to.starts_with('/') && !to.starts_with("//") && !to.contains(['\\', '\r', '\n', '\t']);
    if inside { to } else { "/" }
}

pub(in crate::web) async fn form(State(admin): State<Admin>, Query(from): Query<From>) -> Response {
    let undone = from.undone.then(|| "you were logged out meanwhile: nothing was done".to_owned());
    page(&admin, safe(&from.to), "", undone).into_response()
}

fn page(admin: &Admin, to: &str, name: &str, wrong: Option<String>) -> Page<LoginPage> {
    let people = !admin.access.config.users.is_empty();
    Page(LoginPage { to: to.to_owned(), name: name.to_owned(), wrong, people })
}

pub(in crate::web) async fn enter(
    State(admin): State<Admin>,
    headers: HeaderMap,
    Form(attempt): Form<Attempt>,
) -> Response {
    let Attempt { name, password, to } = attempt;
    let refused = |status: StatusCode, why: String| {
        tracing::warn!(tag = "Admin", event = "login_refused", code = status.as_u16());
        (status, page(&admin, safe(&to), &name, Some(why))).into_response()
    };
    let later = |wait: Duration| {
        let secs = wait.as_secs().max(1);
        let response = refused(StatusCode::TOO_MANY_REQUESTS, format!("too many attempts: again in {secs} s"));
        (AppendHeaders([(header::RETRY_AFTER, secs.to_string())]), response).into_response()
    };
    let wrong = || refused(StatusCode::UNAUTHORIZED, "this is not right".to_owned());
    let attempts = &admin.access.attempts;
    if name.is_empty() {
        // A token is long enough not to be guessed, and as a bearer's not counted either: who has the right one is let in, however
        // many wrong ones strangers bring.
        return match admin.access.verify(&name, &password) {
            Some(identity) => entered(&admin, identity, &headers, &to),
            None => attempts.begin(Whose::Token).map_or_else(later, |()| wrong()),
        };
    }
    let known = admin.access.seal.knows(&name, &headers);
    let whose = if known { Whose::Known(&name) } else { Whose::Name(&name) };
    let turn = match attempts.turn().await {
        Ok(turn) => turn,
        Err(wait) => return later(wait),
    };
    if let Err(wait) = attempts.begin(whose) {
        return later(wait);
    }
    let access = admin.access.clone();
    let given = name.clone();
    let verified = tokio::task::spawn_blocking(move || {
        // Who goes away meanwhile does not give another the turn.
        let _turn = turn;
        access.verify(&given, &password)
    });
    let Ok(Some(identity)) = verified.await else {
        return wrong();
    };
    attempts.succeeded(whose);
    entered(&admin, identity, &headers, &to)
}

/// Opens a session. The browser is known again when it has ended, so that strangers who guess do not keep its user out.
fn entered(admin: &Admin, identity: Identity, headers: &HeaderMap, to: &str) -> Response {
    tracing::info!(tag = "Admin", event = "logged_in", actor = identity.name, role = identity.role.as_str());
    let session = Session { name: identity.name, role: identity.role };
    let (seal, secure) = (&admin.access.seal, is_https(headers));
    let cookies = [seal.cookie(&session, secure, admin.clock.now()), seal.known_cookie(&session.name, secure)];
    (AppendHeaders(cookies.map(|cookie| (header::SET_COOKIE, cookie))), Redirect::to(safe(to))).into_response()
}

pub(in crate::web) async fn leave(headers: HeaderMap) -> Response {
    (AppendHeaders([(header::SET_COOKIE, session::ended(is_https(&headers)))]), Redirect::to("/login")).into_response()
}

/// Whether the browser came by https, maybe to a proxy before us: it says so itself.
fn is_https(headers: &HeaderMap) -> bool {
    headers.get(header::ORIGIN).is_some_and(|origin| origin.as_bytes().starts_with(b"https://"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_log_in_leads_nowhere_else() {
        assert_eq!(safe("/runs?status=failed"), "/runs?status=failed");
        for to in ["", "https://evil.example", "//evil.example", "/\\evil.example", "javascript:alert(1)", "/a\r\nb"] {
            assert_eq!(safe(to), "/", "{to}");
        }
        assert_eq!(address("/runs?a=b&c"), "/login?to=%2Fruns%3Fa%3Db%26c");
    }
}

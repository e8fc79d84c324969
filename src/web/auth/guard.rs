//! What keeps other sites out: where a request comes from, what a page may load, and what nobody may keep.

use axum::extract::{Request, State};
use axum::http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, Uri, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Redirect, Response};

use url::form_urlencoded;

use crate::web::admin::Admin;
use crate::web::problem::Problem;

const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; \
     form-action 'self'; base-uri 'none'; frame-ancestors 'none'";

/// Refuses what another site has a browser send, and what reaches an open dashboard under a name that is not this machine's.
pub(in crate::web) async fn same_site(State(admin): State<Admin>, request: Request, next: Next) -> Response {
    let headers = request.headers();
    if admin.access.is_open() && !host(headers).is_some_and(is_loopback) {
        let detail =
            "without a password the dashboard answers at localhost only: set DISCUNO_ADMIN_TOKEN or DISCUNO_USERS";
        return Problem::new(StatusCode::FORBIDDEN, "not_loopback", detail).into_response();
    }
    let reads = matches!(*request.method(), Method::GET | Method::HEAD | Method::OPTIONS);
    if !reads && is_foreign(headers) {
        let detail = "the request comes from another site; nothing was done";
        return Problem::new(StatusCode::FORBIDDEN, "cross_site", detail).into_response();
    }
    if reads
        && text(request.headers(), "sec-fetch-site").is_some_and(|site| site != "same-origin")
        && let Some(quiet) = without_words(request.uri())
    {
        return Redirect::to(&quiet).into_response();
    }
    next.run(request).await
}

/// The address without what an act is to have said: a link from elsewhere puts no words into our mouth.
fn without_words(address: &Uri) -> Option<String> {
    let pairs = || form_urlencoded::parse(address.query().unwrap_or_default().as_bytes());
    pairs().find(|(name, _)| name == "said")?;
    let other = form_urlencoded::Serializer::new(String::new())
        .extend_pairs(pairs().filter(|(name, _)| name != "said"))
        .finish();
    Some(if other.is_empty() { address.path().to_owned() } else { format!("{}?{other}", address.path()) })
}

fn text<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    headers.get(name).map(|value| value.to_str().unwrap_or("?"))
}

/// Browsers say where a request comes from; programs say nothing, and bring no cookies along.
fn is_foreign(headers: &HeaderMap) -> bool {
    match (text(headers, "sec-fetch-site"), text(headers, "origin")) {
        (Some(site), _) => !matches!(site, "same-origin" | "none"),
        (None, Some(origin)) => origin.split_once("://").map(|(_, host)| host) != host(headers),
        (None, None) => false,
    }
}

fn host(headers: &HeaderMap) -> Option<&str> {
    headers.get(header::HOST).and_then(|host| host.to_str().ok())
}

fn is_loopback(host: &str) -> bool {
    let name = if host.starts_with('[') { host.split_inclusive(']').next() } else { host.split(':').next() };
    matches!(name, Some("localhost" | "127.0.0.1" | "[::1]"))
}

/// Puts the rules for browsers on every answer.
pub(in crate::web) async fn rules(request: Request, next: Next) -> Response {
    with_rules(next.run(request).await)
}

/// The answer with the rules for browsers.
pub(in crate::web) fn with_rules(mut response: Response) -> Response {
    let headers = response.headers_mut();
    let mut put = |name: HeaderName, value: &'static str| {
        headers.entry(name).or_insert(HeaderValue::from_static(value));
    };
    put(header::CONTENT_SECURITY_POLICY, POLICY);
    put(header::X_CONTENT_TYPE_OPTIONS, "nosniff");
    put(header::X_FRAME_OPTIONS, "DENY");
    put(header::REFERRER_POLICY, "same-origin");
    put(HeaderName::from_static("cross-origin-opener-policy"), "same-origin");
    put(HeaderName::from_static("cross-origin-resource-policy"), "same-origin");
    put(header::CACHE_CONTROL, "no-store");
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    fn foreign(pairs: &[(&'static str, &str)]) -> bool {
        let pairs = pairs.iter().map(|(name, value)| (HeaderName::from_static(name), value.parse().unwrap()));
        is_foreign(&pairs.collect())
    }

    #[test]
    fn only_what_a_browser_sends_from_elsewhere_is_foreign() {
        assert!(!foreign(&[]));
        assert!(!foreign(&[("sec-fetch-site", "same-origin")]));
        assert!(!foreign(&[("origin", "https://a.example"), ("host", "a.example")]));
        assert!(foreign(&[("sec-fetch-site", "cross-site")]));
        assert!(foreign(&[("sec-fetch-site", "same-site"), ("origin", "https://a.example"), ("host", "a.example")]));
        assert!(foreign(&[("origin", "https://b.example"), ("host", "a.example")]));
        assert!(foreign(&[("origin", "null"), ("host", "a.example")]));
    }

    #[test]
    fn this_machine_is_known_by_its_own_names_only() {
        assert!(["localhost", "localhost:8480", "127.0.0.1:1", "[::1]:9"].into_iter().all(is_loopback));
        assert!(!["evil.example", "localhost.evil.example", "127.0.0.1.evil.example", ""].into_iter().any(is_loopback));
    }
}

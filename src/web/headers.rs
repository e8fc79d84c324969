//! Which headers of a request are kept with its event.

use axum::http::HeaderMap;

use crate::model::event::Headers;

const KEPT: [&str; 7] =
    ["content-type", "content-length", "date", "traceparent", "user-agent", "x-cal-webhook-version", "x-request-id"];
/// What proves the sender stays out: only when it was signed, and by which scheme.
const SIGNATURES: [&str; 2] = ["stripe-signature", "x-cal-signature-256"];
/// Longer values are cut.
const MOST: usize = 200;

/// Those that tell something of the sender and are no secret.
pub(super) fn kept_headers(headers: &HeaderMap) -> Option<Headers> {
    let value = |name: &str| Some(String::from_utf8_lossy(headers.get(name)?.as_bytes()).into_owned());
    let kept = KEPT.into_iter().filter_map(|name| Some((name, value(name)?)));
    let signed = SIGNATURES.into_iter().filter_map(|name| Some((name, without_proof(&value(name)?))));
    let cut = |(name, text): (&str, String)| (name.to_owned(), text.chars().take(MOST).collect());
    Some(kept.chain(signed).map(cut).collect::<Headers>()).filter(|headers| !headers.is_empty())
}

/// `t=1790812800,v1=…`
fn without_proof(signature: &str) -> String {
    let part = |part: &str| match part.split_once('=') {
        Some(("t", time)) if time.bytes().all(|byte| byte.is_ascii_digit()) => part.to_owned(),
        Some((scheme, _)) if scheme.len() <= 3 => format!("{scheme}=…"),
        _ => "…".to_owned(),
    };
    signature.split(',').map(part).collect::<Vec<_>>().join(",")
}

#[cfg(test)]
mod tests {
    use axum::http::{HeaderName, HeaderValue};

    use super::*;

    fn kept_of(pairs: &[(&'static str, &'static [u8])]) -> Option<Vec<(String, String)>> {
        let pair = |(name, value): &(&'static str, &'static [u8])| {
            (HeaderName::from_static(name), HeaderValue::from_bytes(value).unwrap())
        };
        Some(kept_headers(&pairs.iter().map(pair).collect())?.into_iter().collect())
    }

    #[test]
    fn no_secret_and_no_signature_is_kept() {
        let kept = kept_of(&[
            ("authorization", b"Bearer sk_live_1"),
            ("cookie", b"session=1"),
            ("stripe-signature", b"t=1790812800,v1=deadbeef,v0=cafe"),
            ("x-cal-signature-256", b"deadbeef"),
            ("user-agent", b"Stripe/1.0 (+https://stripe.com/docs/webhooks)"),
        ]);
        let known = |name: &str, value: &str| (name.to_owned(), value.to_owned());
        assert_eq!(
            kept,
            Some(vec![
                known("stripe-signature", "t=1790812800,v1=…,v0=…"),
                known("user-agent", "Stripe/1.0 (+https://stripe.com/docs/webhooks)"),
                known("x-cal-signature-256", "…"),
            ])
        );
        assert_eq!(kept_of(&[("x-secret", b"1")]), None);
    }

    #[test]
    fn hostile_values_are_kept_as_text_and_cut() {
        let long: &[u8] = &[b'x'; 5000];
        let kept =
            kept_of(&[("user-agent", long), ("date", b"\xff<b>"), ("stripe-signature", b"t=1,t=secret,deadbeef=1")]);
        let lengths: Vec<_> = kept.unwrap().into_iter().map(|(_, value)| value).collect();
        assert_eq!(lengths, ["\u{fffd}<b>".to_owned(), "t=1,t=…,…".to_owned(), "x".repeat(MOST)]);
    }
}

//! Signatures of webhooks: checked over the raw bytes before anything is parsed, and made for replays.

use std::time::Duration;

use aws_lc_rs::hmac::{HMAC_SHA256, Key, sign, verify};

use crate::config::Secret;
use crate::model::time::Timestamp;

/// More signatures than any sender has secrets are not looked at.
const MOST_SIGNATURES: usize = 8;

/// Why a signature does not hold.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// Nothing can be verified without a secret.
    #[error("no secret is configured for this endpoint")]
    NoSecret,
    /// The header is not there.
    #[error("the signature header is missing")]
    Missing,
    /// The header cannot be read.
    #[error("the signature header is malformed: {0}")]
    Malformed(&'static str),
    /// It was made too long ago.
    #[error("the signature is {seconds} s old")]
    Expired {
        /// How old.
        seconds: i64,
    },
    /// It was made too far in the future: a clock is wrong.
    #[error("the signature is {seconds} s ahead of this machine's clock")]
    FromTheFuture {
        /// How far.
        seconds: i64,
    },
    /// No configured secret made it for these bytes.
    #[error("the signature does not match the body under any configured secret")]
    Mismatch,
}

impl Error {
    /// A stable word for answers and logs.
    pub const fn code(&self) -> &'static str {
        match self {
            Self::NoSecret => "signature_no_secret",
            Self::Missing => "signature_missing",
            Self::Malformed(_) => "signature_malformed",
            Self::Expired { .. } => "signature_expired",
            Self::FromTheFuture { .. } => "signature_from_the_future",
            Self::Mismatch => "signature_mismatch",
        }
    }
}

/// Checks `Stripe-Signature: t=…,v1=…` over `t.body`. The key is the whole secret with its `whsec_`; several `v1` come
/// with a rotation; other schemes are ignored (docs.stripe.com/webhooks/signature).
pub fn verify_stripe(
    header: Option<&str>,
    body: &[u8],
    secrets: &[Secret],
    tolerance: Duration,
    now: Timestamp,
) -> Result<(), Error> {
    if secrets.is_empty() {
        return Err(Error::NoSecret);
    }
    let header = header.ok_or(Error::Missing)?;
    let mut time = None;
    let mut signatures = Vec::new();
    for pair in header.split(',') {
        match pair.trim().split_once('=') {
            Some(("t", value)) => time = Some(value),
            Some(("v1", value)) if signatures.len() < MOST_SIGNATURES => signatures.push(value),
            _ => {}
        }
    }
    let time = time.ok_or(Error::Malformed("no timestamp"))?;
    let seconds: i64 = time.parse().map_err(|_| Error::Malformed("the timestamp is not a number"))?;
    if signatures.is_empty() {
        return Err(Error::Malformed("no v1 signature"));
    }
    let signed = [time.as_bytes(), b".", body].concat();
    if !signatures.iter().any(|signature| matches(signature, &signed, secrets)) {
        return Err(Error::Mismatch);
    }
    let age = now.as_secs().saturating_sub(seconds);
    let most = i64::try_from(tolerance.as_secs()).unwrap_or(i64::MAX);
    if age > most {
        Err(Error::Expired { seconds: age })
    } else if age < -most {
        Err(Error::FromTheFuture { seconds: age.saturating_neg() })
    } else {
        Ok(())
    }
}

/// The header Stripe would send with `body` at a time.
pub fn sign_stripe(body: &[u8], secret: &Secret, at: Timestamp) -> String {
    let time = at.as_secs().to_string();
    let signed = [time.as_bytes(), b".", body].concat();
    format!("t={time},v1={}", mac(&signed, secret))
}

/// Checks `X-Cal-Signature-256`: the hexadecimal HMAC of the body, nothing else.
pub fn verify_cal(header: Option<&str>, body: &[u8], secrets: &[Secret]) -> Result<(), Error> {
    if secrets.is_empty() {
        return Err(Error::NoSecret);
    }
    let header = header.ok_or(Error::Missing)?.trim();
    if header.len() != 64 || !header.bytes().all(|byte| byte.is_ascii_hexdigit()) {
        return Err(Error::Malformed("not 64 hexadecimal digits"));
    }
    if matches(header, body, secrets) { Ok(()) } else { Err(Error::Mismatch) }
}

/// The header Cal.com would send with `body`.
pub fn sign_cal(body: &[u8], secret: &Secret) -> String {
    mac(body, secret)
}

fn mac(signed: &[u8], secret: &Secret) -> String {
    hex::encode(sign(&key(secret), signed))
}

fn key(secret: &Secret) -> Key {
    Key::new(HMAC_SHA256, secret.expose().as_bytes())
}

/// Compares in constant time; what is not hexadecimal matches nothing.
fn matches(signature: &str, signed: &[u8], secrets: &[Secret]) -> bool {
    hex::decode(signature).is_ok_and(|tag| secrets.iter().any(|secret| verify(&key(secret), signed, &tag).is_ok()))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::{any, prop, prop_assert, prop_assert_eq, proptest};

    use super::*;

    const BODY: &[u8] = br#"{"id":"evt_test","object":"event"}"#;
    const V1: &str = "8042376f6ca064adbe037642a718227dfd59047137eb49497a54c49eb0cfb724";
    const OTHER: &str = "a1dd24cd166a5ec1b320e88ebfc7df18408a2dc13ab12ccf1d9e392d099b1dc1";
    const TOLERANCE: Duration = Duration::from_secs(300);

    fn stripe(header: &str, now: i64) -> Result<(), Error> {
        let secrets = [Secret::new("whsec_old"), Secret::new("whsec_test_secret")];
        verify_stripe(Some(header), BODY, &secrets, TOLERANCE, Timestamp::from_secs(now))
    }

    #[test]
    fn the_published_stripe_vectors_pass() {
        let now = 1_700_000_000;
        assert_eq!(stripe(&format!("t={now},v1={V1}"), now), Ok(()));
        assert_eq!(stripe(&format!("t={now},v1={OTHER},v1={V1},v0={}", "0".repeat(64)), now), Ok(()));
        assert_eq!(stripe(&format!("v1={V1}, t={now}"), now), Ok(()), "the parts come in any order");
        assert_eq!(stripe(&format!("t={now},v0={V1}"), now), Err(Error::Malformed("no v1 signature")));
        assert_eq!(
            sign_stripe(BODY, &Secret::new("whsec_test_secret"), Timestamp::from_secs(now)),
            format!("t={now},v1={V1}")
        );
    }

    #[test]
    fn a_signature_is_refused_outside_its_tolerance_in_both_directions() {
        let header = format!("t=1700000000,v1={V1}");
        assert_eq!(stripe(&header, 1_700_000_300), Ok(()));
        assert_eq!(stripe(&header, 1_700_000_301), Err(Error::Expired { seconds: 301 }));
        assert_eq!(stripe(&header, 1_699_999_699), Err(Error::FromTheFuture { seconds: 301 }));
    }

    #[test]
    fn nothing_passes_without_header_secret_or_match() {
        let at = Timestamp::from_secs(1_700_000_000);
        let secrets = [Secret::new("whsec_test_secret")];
        assert_eq!(verify_stripe(None, BODY, &secrets, TOLERANCE, at), Err(Error::Missing));
        assert_eq!(verify_stripe(Some("t=1"), BODY, &[], TOLERANCE, at), Err(Error::NoSecret));
        assert_eq!(stripe(&format!("t=1700000000,v1={OTHER}"), 1_700_000_000), Err(Error::Mismatch));
        assert_eq!(stripe(&format!("t=x,v1={V1}"), 0), Err(Error::Malformed("the timestamp is not a number")));
    }

    #[test]
    fn the_cal_vector_passes_and_malformed_headers_are_plain_errors() {
        let body = r#"{"triggerEvent":"PING","payload":{"title":"Zoë"}}"#.as_bytes();
        let secrets = [Secret::new("cal_test_secret")];
        let header = "80b92efafac83bae85d8d5f464425ca57e1f27f8a1a13fc72670a16c5907392d";
        assert_eq!(verify_cal(Some(header), body, &secrets), Ok(()));
        assert_eq!(sign_cal(body, &secrets[0]), header);
        for bad in ["no-secret-provided", "", "zz", "é"] {
            assert!(matches!(verify_cal(Some(bad), body, &secrets), Err(Error::Malformed(_))), "{bad}");
        }
    }

    proptest! {
        #[test]
        fn no_header_text_panics_or_passes(header in ".{0,200}", body in prop::collection::vec(any::<u8>(), 0..64)) {
            let secrets = [Secret::new("whsec_unguessable")];
            prop_assert!(verify_stripe(Some(&header), &body, &secrets, TOLERANCE, Timestamp(0)).is_err());
            prop_assert!(verify_cal(Some(&header), &body, &secrets).is_err());
        }

        #[test]
        fn what_is_signed_passes_with_its_secret_and_no_other(
            body in prop::collection::vec(any::<u8>(), 0..256), secret in "[a-z]{1,20}", other in "[A-Z]{1,20}", at in 0_i64..4_000_000_000,
        ) {
            let (at, body) = (Timestamp::from_secs(at), body.as_slice());
            let header = sign_stripe(body, &Secret::new(&secret), at);
            prop_assert_eq!(verify_stripe(Some(&header), body, &[Secret::new(&secret)], TOLERANCE, at), Ok(()));
            prop_assert_eq!(verify_stripe(Some(&header), body, &[Secret::new(&other)], TOLERANCE, at), Err(Error::Mismatch));
        }
    }
}

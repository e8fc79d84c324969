//! Bytes to a plan: pure once the signature holds.

use aws_lc_rs::digest::{SHA256, digest};

pub mod stripe;

/// Why an arrival is refused. Nothing of it is kept.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Rejected {
    /// It does not prove that it comes from its sender.
    #[error("{0}")]
    Signature(#[from] crate::signature::Error),
    /// It is signed and is not an event.
    #[error("the body is not an event: {0}")]
    Malformed(String),
}

impl Rejected {
    /// A stable word for the answer and the log.
    pub fn code(&self) -> &'static str {
        match self {
            Self::Signature(error) => error.code(),
            Self::Malformed(_) => "malformed_body",
        }
    }
}

fn sha256(body: &[u8]) -> [u8; 32] {
    let mut out = [0; 32];
    out.copy_from_slice(digest(&SHA256, body).as_ref());
    out
}

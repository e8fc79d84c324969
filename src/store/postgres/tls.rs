//! Whether whoever answers is the server that is meant.

use std::error::Error as _;
use std::fmt;
use std::io;
use std::sync::Arc;

use rustls::client::WantsClientCert;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{CertificateError, ClientConfig, ConfigBuilder, RootCertStore};
use rustls_platform_verifier::BuilderVerifierExt;

use crate::store::error::Error;

/// What the client says of a server that answers a wish for TLS with no.
const NONE: &str = "server does not support TLS";

/// The files that a connection over TLS needs, as libpq calls them. Those that are not there are not needed.
#[derive(Debug, Clone, Default)]
pub(super) struct Files {
    /// `sslrootcert`: the certificates of who may vouch for the server; without it, whom the machine trusts.
    pub(super) roots: Option<String>,
    /// `sslcert`: what shows the server who we are.
    pub(super) certificate: Option<String>,
    /// `sslkey`: what proves it.
    pub(super) key: Option<String>,
}

pub(super) fn client(files: &Files) -> Result<ClientConfig, Error> {
    let wrong = |error: &dyn fmt::Display| Error::Illegal(format!("tls to the database: {error}"));
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let builder = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|error| wrong(&error))?;
    let Some(path) = &files.roots else {
        let bare = |error: rustls::Error| wrong(&format!("{error}; sslrootcert=/path names the server's CA"));
        return known(builder.with_platform_verifier().map_err(bare)?, files);
    };
    let unread = |error: &dyn fmt::Display| unusable("sslrootcert", path, error);
    let mut trusted = RootCertStore::empty();
    for certificate in CertificateDer::pem_file_iter(path).map_err(|error| unread(&error))? {
        trusted.add(certificate.map_err(|error| unread(&error))?).map_err(|error| unread(&error))?;
    }
    if trusted.is_empty() {
        return Err(unread(&"it holds no certificate"));
    }
    known(builder.with_root_certificates(trusted), files)
}

/// With what shows the server who we are, if there is any.
fn known(builder: ConfigBuilder<ClientConfig, WantsClientCert>, files: &Files) -> Result<ClientConfig, Error> {
    let (Some(certificate), Some(key)) = (&files.certificate, &files.key) else {
        return Ok(builder.with_no_client_auth());
    };
    let chain = CertificateDer::pem_file_iter(certificate).and_then(Iterator::collect);
    let chain: Vec<_> = chain.map_err(|error| unusable("sslcert", certificate, &error))?;
    let secret = PrivateKeyDer::from_pem_file(key).map_err(|error| unusable("sslkey", key, &error))?;
    builder.with_client_auth_cert(chain, secret).map_err(|error| unusable("sslcert", certificate, &error))
}

fn unusable(parameter: &str, path: &str, error: &dyn fmt::Display) -> Error {
    Error::Illegal(format!("{parameter}: {path} cannot be used: {error}"))
}

/// Why the server was not trusted, and what to do; none where it was not a matter of trust.
pub(super) fn refusal(error: &tokio_postgres::Error, roots: Option<&str>) -> Option<String> {
    let cause = error.source()?;
    if cause.to_string() == NONE {
        return Some(
            "sslmode=require asks for tls, and the server has none: set `ssl = on` there; sslmode=disable does without"
                .to_owned(),
        );
    }
    let said = cause.downcast_ref::<io::Error>()?.get_ref()?.downcast_ref::<rustls::Error>()?;
    let rustls::Error::InvalidCertificate(wrong) = said else { return Some(format!("tls with the server: {said}")) };
    let advice = match wrong {
        CertificateError::UnknownIssuer | CertificateError::BadSignature => match roots {
            Some(path) => format!("no certificate in {path} vouches for it: sslrootcert has to name the server's CA"),
            None => "this machine does not trust its issuer: sslrootcert=/path names the server's CA".to_owned(),
        },
        CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. } => {
            "connect by a name that it holds, with hostaddr=… where that name cannot be looked up".to_owned()
        }
        CertificateError::Expired | CertificateError::ExpiredContext { .. } => "renew it at the server".to_owned(),
        // What the manual's recipe for one that signs itself makes.
        CertificateError::Other(other) if other.to_string().contains("CaUsedAsEndEntity") => {
            "it is that of a CA: have that CA issue one for the server".to_owned()
        }
        _ => return Some(format!("the server's certificate was refused: {wrong}")),
    };
    Some(format!("the server's certificate was refused: {wrong}; {advice}"))
}

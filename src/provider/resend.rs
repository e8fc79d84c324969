//! Resend: e-mail over HTTP (resend.com/docs).

use std::sync::Arc;
use std::time::Duration;

use http::Method;
use secrecy::SecretString;
use serde::Deserialize;
use serde_json::json;
use url::Url;

use crate::model::mail::NewMail;
use crate::mutant::{Mutant, is_out};
use crate::observe::metrics::Metrics;
use crate::provider::ProviderName;
use crate::provider::client::{Client, parse};
use crate::provider::error::{Call, Error};
use crate::transport::Transport;

const TIMEOUT: Duration = Duration::from_secs(15);
const LONGEST_KEY: usize = 256;

/// An account at Resend.
#[derive(Clone)]
pub struct Resend {
    client: Client,
    key: SecretString,
}

#[derive(Deserialize)]
struct Taken {
    id: String,
}

impl Resend {
    /// A client for the account of `key`.
    pub fn new(transport: Arc<dyn Transport>, base: Url, key: SecretString) -> Self {
        Self { client: Client::new(transport, base, TIMEOUT), key }
    }

    /// The same, with its calls counted and timed.
    #[must_use]
    pub fn metered(mut self, metrics: Metrics) -> Self {
        self.client = self.client.metered(metrics);
        self
    }

    pub(crate) async fn send(&self, from: &str, letter: &NewMail) -> Result<Option<String>, Error> {
        let call = Call::change(ProviderName::Resend, "emails.send");
        if letter.key.len() > LONGEST_KEY {
            return Err(call.invalid("key_too_long", "the e-mail's key is longer than 256 characters"));
        }
        let body = json!({
            "from": from, "to": [letter.to], "subject": letter.subject, "html": letter.html, "text": letter.text,
            "tags": [{ "name": "kind", "value": letter.kind }],
        });
        let private = [letter.to.as_str()];
        let draft = self.client.draft(call, Method::POST, &["emails"]).bearer(&self.key).json(&body).hiding(&private);
        let draft = if is_out(Mutant::LetterKey) { draft } else { draft.header("idempotency-key", &letter.key) };
        let taken: Taken = parse(call, &self.client.send(draft).await?)?;
        Ok(Some(taken.id))
    }
}

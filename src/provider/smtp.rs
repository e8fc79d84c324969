//! SMTP, by lettre.

use std::borrow::Cow;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use lettre::message::header::{HeaderName, HeaderValue};
use lettre::message::{Mailbox, MultiPart};
use lettre::{AsyncSmtpTransport, AsyncTransport, Message, Tokio1Executor};
use secrecy::{ExposeSecret, SecretString};
use tokio::time::Instant;
use url::Url;

use crate::model::failure::{CREDENTIALS, FailureKind};
use crate::model::mail::NewMail;
use crate::model::pause::PAUSED;
use crate::observe::metrics::Metrics;
use crate::observe::trace::Span;
use crate::provider::ProviderName;
use crate::provider::client;
use crate::provider::error::{Call, Error};
use crate::provider::gate::{PAUSE_LOOK, Valve};

const TIMEOUT: Duration = Duration::from_secs(20);

/// A mail server. `smtps://` is TLS from the start; `smtp://` begins with STARTTLS, and goes on in plain text on this machine alone, or where
/// the server has no TLS and the address says `?tls=opportunistic`.
#[derive(Clone)]
pub struct Smtp {
    transport: AsyncSmtpTransport<Tokio1Executor>,
    metrics: Option<Metrics>,
    valve: Option<Arc<dyn Valve>>,
}

impl Smtp {
    /// A client for the server at `url`, for example `smtps://user:password@host:465`.
    pub fn new(url: &SecretString) -> Result<Self, lettre::transport::smtp::Error> {
        let builder = AsyncSmtpTransport::<Tokio1Executor>::from_url(&with_tls(url.expose_secret()))?;
        Ok(Self { transport: builder.timeout(Some(TIMEOUT)).build(), metrics: None, valve: None })
    }

    /// The same, with its calls counted and timed.
    #[must_use]
    pub fn metered(mut self, metrics: Metrics) -> Self {
        self.metrics = Some(metrics);
        self
    }

    /// Sends nothing while e-mail is paused: whoever pauses `resend` means the e-mails, by whichever way they go.
    #[must_use]
    pub fn with_valve(mut self, valve: Arc<dyn Valve>) -> Self {
        self.valve = Some(valve);
        self
    }

    pub(crate) async fn send(&self, from: &str, letter: &NewMail) -> Result<Option<String>, Error> {
        let (call, start) = (Call::change(ProviderName::Smtp, "emails.send"), Instant::now());
        let span = Span::call(call.provider.as_str(), call.operation, None);
        let outcome = self.hand_over(call, from, letter).await;
        span.end(outcome.as_ref().map(drop).map_err(Error::code));
        if let Some(metrics) = &self.metrics {
            client::count(metrics, call, outcome.as_ref().err(), start.elapsed());
        }
        outcome
    }

    async fn hand_over(&self, call: Call, from: &str, letter: &NewMail) -> Result<Option<String>, Error> {
        if let Some(valve) = &self.valve
            && valve.is_paused(ProviderName::Resend).await
        {
            let held = call.failed(FailureKind::Transient, PAUSED, &format!("{call} not sent: {PAUSED}"), &[]);
            return Err(held.after(Some(PAUSE_LOOK)));
        }
        let message = compose(from, letter).map_err(|why| call.invalid("unsendable_mail", &why))?;
        match self.transport.send(message).await {
            Ok(_) => Ok(None),
            Err(error) => Err(failed(call, &error, &[letter.to.as_str()])),
        }
    }

    /// Whether the server lets us in. Nothing is sent.
    pub async fn greet(&self) -> Result<(), Error> {
        let call = Call::read(ProviderName::Smtp, "noop");
        match self.transport.test_connection().await {
            Ok(true) => Ok(()),
            Ok(false) => Err(call.failed(FailureKind::Transient, "no_connection", "the server hung up", &[])),
            Err(error) => Err(failed(call, &error, &[])),
        }
    }
}

/// The address with what it leaves open: a password and people's letters do not leave this machine in plain text.
fn with_tls(address: &str) -> Cow<'_, str> {
    let Ok(mut url) = address.parse::<Url>() else { return Cow::Borrowed(address) };
    let is_here = url.host_str().is_some_and(|host| {
        host == "localhost" || host.trim_matches(['[', ']']).parse().is_ok_and(|address: IpAddr| address.is_loopback())
    });
    if url.scheme() != "smtp" || is_here || url.query_pairs().any(|(name, _)| name == "tls") {
        return Cow::Borrowed(address);
    }
    url.query_pairs_mut().append_pair("tls", "required");
    Cow::Owned(url.into())
}

/// What went wrong; `private` is not told.
fn failed(call: Call, error: &lettre::transport::smtp::Error, private: &[&str]) -> Error {
    let (kind, code) = if error.is_permanent() {
        // RFC 4954: authentication required, mechanism too weak, credentials invalid, encryption required.
        let auth = error.status().is_some_and(|status| matches!(u16::from(status), 530 | 534 | 535 | 538));
        if auth { (FailureKind::Transient, CREDENTIALS) } else { (FailureKind::Permanent, "refused") }
    } else if error.is_transient() {
        (FailureKind::Transient, "refused_for_now")
    } else if error.to_string().starts_with("Connection error") {
        // No name, no connection or no TLS: lettre has no predicate for it, and nothing was said yet.
        (FailureKind::Transient, "no_connection")
    } else if error.is_client() {
        // It has no TLS, or no way to log in that we know: nothing was handed over.
        (FailureKind::Transient, "server_unfit")
    } else {
        // Lost somewhere between the greeting and the answer to the last dot.
        (FailureKind::Unknown, "connection_lost")
    };
    call.failed(kind, code, &format!("{call}: {error}"), private)
}

fn compose(from: &str, letter: &NewMail) -> Result<Message, String> {
    if [&letter.to, &letter.subject, &letter.key].iter().any(|value| value.contains(['\r', '\n'])) {
        return Err("a header value holds a line break".to_owned());
    }
    let mailbox = |text: &str| text.parse::<Mailbox>().map_err(|_| "an address cannot be read".to_owned());
    let host = from.rsplit('@').next().unwrap_or("discuno").trim_end_matches('>');
    let mut message = Message::builder()
        .from(mailbox(from)?)
        .to(mailbox(&letter.to)?)
        .subject(&letter.subject)
        .message_id(Some(format!("<{}@{host}>", letter.key.replace('/', "."))))
        .multipart(MultiPart::alternative_plain_html(letter.text.clone(), letter.html.clone()))
        .map_err(|error| error.to_string())?;
    let name = HeaderName::new_from_ascii_str("Resend-Idempotency-Key");
    message.headers_mut().insert_raw(HeaderValue::new(name, letter.key.clone()));
    Ok(message)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_leaves_this_machine_in_plain_text_unless_the_address_says_that_it_may() {
        for (given, used) in [
            ("smtp://u:p@mail.example:587", "smtp://u:p@mail.example:587?tls=required"),
            ("smtp://mail.example", "smtp://mail.example?tls=required"),
            ("smtp://u:p@10.0.0.7:25", "smtp://u:p@10.0.0.7:25?tls=required"),
            ("smtp://mail.example?tls=opportunistic", "smtp://mail.example?tls=opportunistic"),
            ("smtps://u:p@mail.example:465", "smtps://u:p@mail.example:465"),
            ("smtp://127.0.0.1:2525", "smtp://127.0.0.1:2525"),
            ("smtp://u:p@[::1]:2525", "smtp://u:p@[::1]:2525"),
            ("smtp://localhost", "smtp://localhost"),
            ("no address", "no address"),
        ] {
            assert_eq!(with_tls(given), used);
        }
    }
}

//! Whether the providers can be reached, and what the keys may do. Nothing is changed: what is asked to change does not
//! exist, and a key that may not is refused before that is found out.

use std::collections::BTreeMap;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::time::Duration;

use http::{HeaderMap, Method};
use serde::Serialize;
use url::Url;

use crate::model::checkout::Attendee;
use crate::model::mail::NewMail;
use crate::model::money::{Currency, Money};
use crate::model::time::Timestamp;
use crate::provider::cal::NewBooking;
use crate::provider::mail::Mailer;
use crate::provider::stripe::{EventQuery, RefundRequest, TransferRequest};
use crate::provider::{self, Providers};
use crate::transport::{Request, Transport};

/// No provider has this.
const NOBODY: &str = "discuno_check";
/// Longer than any of them takes.
const PATIENCE: Duration = Duration::from_secs(10);
/// Clocks further apart than this make signatures look old.
const MOST_SKEW: Duration = Duration::from_secs(60);

/// What was found out.
#[derive(Debug, Clone, Serialize)]
pub struct Probe {
    /// What was tried: `stripe refunds.create`.
    pub what: String,
    /// Whether it is as it should be.
    pub ok: bool,
    /// In words.
    pub said: String,
}

impl Probe {
    async fn of<T>(what: &str, call: impl Future<Output = Result<T, provider::Error>>) -> Self {
        let (ok, said) = match tokio::time::timeout(PATIENCE, call).await {
            Err(_) => (false, format!("no answer within {} s", PATIENCE.as_secs())),
            Ok(Ok(_)) => (true, "allowed".to_owned()),
            Ok(Err(error)) => match error.failure.status {
                Some(401) => (false, "the key is not known there".to_owned()),
                Some(403) => (false, "the key may not do this".to_owned()),
                // Who answers for what does not exist names it.
                Some(404) if error.code() == "unrecognised_refusal" => {
                    (false, "nothing answers at this address".to_owned())
                }
                Some(429) => (false, "not known: too much is asked of it; ask again later".to_owned()),
                Some(400..500) => (true, "allowed".to_owned()),
                _ => (false, error.failure.message),
            },
        };
        Self { what: what.to_owned(), ok, said }
    }
}

/// What the keys may do: of Stripe, of Cal.com, and of Resend or a mail server, by which e-mails go. PostHog takes what it is sent and
/// tells nothing of its key.
pub async fn keys(providers: &Providers, now: Timestamp) -> Vec<Probe> {
    let (stripe, cal) = (&providers.stripe, &providers.cal);
    let (name, email, time_zone) = (NOBODY.to_owned(), String::new(), "UTC".to_owned());
    let attendee = Attendee { name, email, time_zone, phone: None };
    let booking = NewBooking { start: now, event_type_id: 0, attendee: &attendee, metadata: BTreeMap::new() };
    let key = format!("discuno-check/{}", now.0);
    let refund = RefundRequest {
        payment_intent: format!("pi_{NOBODY}"),
        amount: 100,
        reference: NOBODY.to_owned(),
        ..RefundRequest::default()
    };
    let transfer = TransferRequest {
        amount: Money::new(100, Currency::USD),
        destination: &format!("acct_{NOBODY}"),
        source_transaction: &format!("ch_{NOBODY}"),
        reference: NOBODY,
    };
    let events = EventQuery { since: now, until: None, types: Vec::new() };
    let intent = format!("pi_{NOBODY}");
    let (refund, transfer, transfer_key) = (refund.encode(), transfer.encode(), format!("{key}/t"));
    let found = tokio::join!(
        Probe::of("stripe payment_intents.get", stripe.payment_intent(&intent)),
        Probe::of("stripe refunds.list", stripe.refunds_of(&intent)),
        Probe::of("stripe refunds.create", stripe.create_refund(&refund, &key)),
        Probe::of("stripe transfers.create", stripe.create_transfer(&transfer, &transfer_key)),
        Probe::of("stripe events.list", stripe.events(&events, None)),
        Probe::of("cal bookings.list", cal.bookings_between(now, now.plus(MOST_SKEW), 0)),
        Probe::of("cal bookings.create", cal.create_booking(&booking, false)),
        Probe::of("cal bookings.cancel", cal.cancel_booking(NOBODY, "a check")),
    );
    let mut found = Vec::from(<[Probe; 8]>::from(found));
    match &providers.mail {
        None => {}
        // Without a recipient there is nothing to send.
        Some(Mailer::Resend(resend)) => {
            let nothing = NewMail {
                key,
                kind: "check".to_owned(),
                to: String::new(),
                subject: String::new(),
                html: String::new(),
                text: String::new(),
            };
            found.push(Probe::of("resend emails.send", resend.send(NOBODY, &nothing)).await);
        }
        Some(Mailer::Smtp(smtp)) => found.push(Probe::of("smtp login", smtp.greet()).await),
    }
    found
}

/// Whether a file of settings, if it is there, is kept from the other users of this machine.
pub fn kept_to_itself(file: &Path) -> Option<Probe> {
    let mode = std::fs::metadata(file).ok()?.permissions().mode();
    // None of the last three bits: others.
    let (ok, name) = (mode.trailing_zeros() >= 3, file.display());
    let said = if ok {
        format!("{name} is kept from other users")
    } else {
        format!("every user of this machine can read {name}: chmod 600 {name}")
    };
    Some(Probe { what: "secrets".to_owned(), ok, said })
}

/// Whether anything answers there, and how far its clock is from ours.
pub async fn reach(transport: &dyn Transport, what: &str, base: &Url, now: Timestamp) -> Vec<Probe> {
    let request = Request {
        method: Method::GET,
        url: base.clone(),
        headers: HeaderMap::new(),
        body: bytes::Bytes::new(),
        timeout: PATIENCE,
    };
    let answer = match transport.send(request).await {
        Ok(answer) => answer,
        Err(error) => return vec![Probe { what: format!("{what} reach"), ok: false, said: error.to_string() }],
    };
    let mut found = vec![Probe { what: format!("{what} reach"), ok: true, said: format!("{base} answers") }];
    let date = answer.headers.get(http::header::DATE).and_then(|date| date.to_str().ok());
    let date = date.and_then(|date| jiff::fmt::rfc2822::parse(date).ok());
    if let Some(date) = date {
        let theirs = Timestamp(date.timestamp().as_millisecond());
        let apart = theirs.since(now).max(now.since(theirs));
        let ok = apart <= MOST_SKEW;
        found.push(Probe { what: format!("{what} clock"), ok, said: format!("{} s apart", apart.as_secs()) });
    }
    found
}

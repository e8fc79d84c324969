//! What each stand-in holds: the providers' own books, to be compared with ours.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::model::time::Timestamp;
use crate::sandbox::fault::Effect;

/// A snapshot of all stand-ins.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Ledger {
    /// Stripe's.
    pub stripe: StripeLedger,
    /// Cal.com's.
    pub cal: CalLedger,
    /// `PostHog`'s.
    pub posthog: PosthogLedger,
    /// The mail provider's.
    pub mail: MailLedger,
    /// The alert webhook's.
    pub alerts: AlertLedger,
}

/// A request, and what the caller got.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Exchange {
    /// `GET`, `POST`, …
    pub method: String,
    /// Path below the provider's prefix, with the query as sent.
    pub path: String,
    /// The header, if sent.
    pub idempotency_key: Option<String>,
    /// The body as sent.
    pub body: String,
    /// When it was answered.
    pub at: Timestamp,
    /// The status; none if the connection was cut or left hanging.
    pub status: Option<u16>,
    /// Whether a stored answer was repeated.
    pub replayed: bool,
    /// The fault that hit it.
    pub effect: Option<Effect>,
}

/// Stripe's books.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct StripeLedger {
    /// By id.
    pub payment_intents: Vec<PaymentIntent>,
    /// In the order in which they were made.
    pub refunds: Vec<Refund>,
    /// By id.
    pub transfers: Vec<Transfer>,
    /// The platform's balance, minor units by currency.
    pub balance: BTreeMap<String, i64>,
    /// How many events can be listed.
    pub events: usize,
    /// The last requests.
    pub requests: Vec<Exchange>,
    /// All requests ever.
    pub request_count: u64,
}

impl StripeLedger {
    /// What was paid back of a payment, or is on its way.
    pub fn refunded(&self, payment_intent: &str) -> i64 {
        let live = self.refunds.iter().filter(|refund| refund.payment_intent == payment_intent && refund.counts());
        live.map(|refund| refund.amount).sum()
    }
}

/// A payment, with its charge.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct PaymentIntent {
    /// `pi_…`
    pub id: String,
    /// `processing`, `succeeded`, `requires_payment_method`.
    pub status: String,
    /// Minor units.
    pub amount: i64,
    /// In lower case.
    pub currency: String,
    /// `ch_…`, once the money is there.
    pub charge: Option<String>,
    /// The platform's fee, if one was set.
    pub application_fee_amount: Option<i64>,
    /// The mentor's share, where Stripe moves it by itself.
    pub transfer_data: Option<TransferData>,
    /// `tr_…` of that share.
    pub transfer: Option<String>,
    /// Sum of the refunds that are not failed.
    pub amount_refunded: i64,
    /// Whether the charge was ever disputed: Stripe keeps saying so.
    pub disputed: bool,
    /// Whether the dispute goes on, or is lost: there is nothing to refund then.
    pub dispute_open: bool,
    /// The customer's address.
    pub customer_email: Option<String>,
    /// `cs_…`
    pub checkout_session: Option<String>,
    /// When it was first heard of.
    pub created: Timestamp,
}

/// Where a share of a charge goes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TransferData {
    /// Minor units; the whole charge if absent.
    pub amount: Option<i64>,
    /// `acct_…`
    pub destination: String,
}

/// Money paid back.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Refund {
    /// `re_…`
    pub id: String,
    /// `pi_…`
    pub payment_intent: String,
    /// `ch_…`
    pub charge: Option<String>,
    /// Minor units.
    pub amount: i64,
    /// In lower case.
    pub currency: String,
    /// `pending`, `requires_action`, `succeeded`, `failed`, `canceled`.
    pub status: String,
    /// As asked for.
    pub reason: Option<String>,
    /// Why it is pending.
    pub pending_reason: Option<String>,
    /// Why it failed.
    pub failure_reason: Option<String>,
    /// As asked for.
    pub metadata: BTreeMap<String, String>,
    /// `trr_…`, if the transfer was reversed with it.
    pub transfer_reversal: Option<String>,
    /// What was taken back from the mentor, minor units.
    pub transfer_reversed: i64,
    /// When it was made.
    pub created: Timestamp,
    /// When it last changed.
    pub updated: Timestamp,
}

impl Refund {
    /// Whether it counts against what can still be refunded.
    pub fn counts(&self) -> bool {
        !matches!(self.status.as_str(), "failed" | "canceled")
    }
}

/// Money moved to a connected account.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Transfer {
    /// `tr_…`
    pub id: String,
    /// Minor units.
    pub amount: i64,
    /// Taken back since, minor units.
    pub amount_reversed: i64,
    /// In lower case.
    pub currency: String,
    /// `acct_…`
    pub destination: String,
    /// `ch_…` whose money it is.
    pub source_transaction: Option<String>,
    /// What it belongs to.
    pub transfer_group: Option<String>,
    /// As asked for.
    pub metadata: BTreeMap<String, String>,
    /// When it was made.
    pub created: Timestamp,
}

/// Cal.com's books.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct CalLedger {
    /// By id.
    pub bookings: Vec<Booking>,
    /// The last requests.
    pub requests: Vec<Exchange>,
    /// All requests ever.
    pub request_count: u64,
}

/// A place in a mentor's calendar.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Booking {
    /// Cal.com's number.
    pub id: u64,
    /// Cal.com's name for it.
    pub uid: String,
    /// Which kind of session, of which mentor.
    pub event_type_id: i64,
    /// When it begins.
    pub start: Timestamp,
    /// How long, in minutes.
    pub minutes: u32,
    /// Who comes.
    pub attendee_name: String,
    /// Their address; empty if only a phone was given.
    pub attendee_email: String,
    /// Their phone.
    pub attendee_phone: Option<String>,
    /// Their IANA zone.
    pub attendee_time_zone: String,
    /// As given at creation.
    pub metadata: BTreeMap<String, String>,
    /// `accepted`, `cancelled` or `rejected`.
    pub status: String,
    /// Why it was cancelled.
    pub cancellation_reason: Option<String>,
    /// Who cancelled it: an address.
    #[serde(default)]
    pub cancelled_by: Option<String>,
    /// The booking that it took the place of.
    pub rescheduled_from: Option<String>,
    /// The booking that took its place.
    pub rescheduled_to: Option<String>,
    /// Whether the host was marked absent.
    pub host_absent: bool,
    /// Whether the attendee was marked absent.
    pub attendee_absent: bool,
    /// When it was made.
    pub created_at: Timestamp,
    /// When it was cancelled.
    pub cancelled_at: Option<Timestamp>,
}

/// `PostHog`'s books.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct PosthogLedger {
    /// Without duplicates: by day, event, person and uuid.
    pub events: Vec<Capture>,
    /// All events ever received, duplicates too.
    pub received: u64,
    /// The last requests.
    pub requests: Vec<Exchange>,
    /// All requests ever.
    pub request_count: u64,
}

/// One event of a person.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Capture {
    /// As sent, or given on arrival.
    pub uuid: String,
    /// Its name.
    pub event: String,
    /// Whose it is.
    pub distinct_id: String,
    /// When it happened.
    pub timestamp: Timestamp,
    /// What else is known.
    pub properties: Value,
}

/// The mail provider's books.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct MailLedger {
    /// In the order in which they were accepted.
    pub mails: Vec<Mail>,
    /// The last requests.
    pub requests: Vec<Exchange>,
    /// All requests ever.
    pub request_count: u64,
}

/// An accepted mail.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Mail {
    /// A UUID.
    pub id: String,
    /// The sender.
    pub from: String,
    /// The recipients.
    pub to: Vec<String>,
    /// The subject.
    pub subject: String,
    /// The page.
    pub html: Option<String>,
    /// The plain text.
    pub text: Option<String>,
    /// Name and value.
    pub tags: BTreeMap<String, String>,
    /// The header, if sent.
    pub idempotency_key: Option<String>,
    /// When it was accepted.
    pub at: Timestamp,
}

/// What reached the alert webhook.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct AlertLedger {
    /// The last posts.
    pub posts: Vec<Post>,
    /// The last requests.
    pub requests: Vec<Exchange>,
    /// All requests ever.
    pub request_count: u64,
}

/// One alert.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Post {
    /// When it came.
    pub at: Timestamp,
    /// As sent.
    pub body: Value,
}

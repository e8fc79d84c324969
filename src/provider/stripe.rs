//! Stripe: payment intents, refunds and transfers (API v1, docs.stripe.com/api).

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use http::Method;
use secrecy::SecretString;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Deserializer};
use serde_json::value::RawValue;
use url::Url;

use crate::model::money::Money;
use crate::model::time::Timestamp;
use crate::observe::metrics::Metrics;
use crate::provider::ProviderName;
use crate::provider::client::{Client, Draft, parse};
use crate::provider::error::{Call, Error};
use crate::provider::retry_after::answered_at;
use crate::transport::Transport;

/// The release whose shapes are read here.
const API_VERSION: &str = "2026-07-29.dahlia";
const TIMEOUT: Duration = Duration::from_secs(20);
/// Refunds of one payment are few; a page that never ends is a fault at the other end.
const MOST_PAGES: u32 = 20;

/// The platform's own account.
#[derive(Clone)]
pub struct Stripe {
    client: Client,
    key: SecretString,
}

/// A payment intent with its charge.
#[derive(Debug, Clone, Deserialize)]
pub struct PaymentIntent {
    /// `pi_…`
    pub id: String,
    /// Minor units.
    pub amount: i64,
    /// Above zero where the platform's share is an application fee.
    #[serde(default)]
    pub application_fee_amount: Option<i64>,
    /// Present where the mentor's share moves with the charge.
    #[serde(default)]
    pub transfer_data: Option<TransferData>,
    /// The charge, if there is one.
    #[serde(default, rename = "latest_charge", deserialize_with = "expanded")]
    pub charge: Option<Charge>,
}

/// How the mentor's share moves with the charge.
#[derive(Debug, Clone, Deserialize)]
pub struct TransferData {
    /// `acct_…`
    #[serde(default)]
    pub destination: Option<String>,
    /// Minor units; absent where all but the application fee moves.
    #[serde(default)]
    pub amount: Option<i64>,
}

/// What was charged.
#[derive(Debug, Clone, Deserialize)]
pub struct Charge {
    /// `ch_…`
    pub id: String,
    /// Minor units.
    pub amount: i64,
    /// Minor units already paid back.
    #[serde(default)]
    pub amount_refunded: i64,
    /// Whether the customer's bank disputes it.
    #[serde(default)]
    pub disputed: bool,
}

/// A refund as Stripe has it.
#[derive(Debug, Clone, Deserialize)]
pub struct Refund {
    /// `re_…`
    pub id: String,
    /// Minor units.
    pub amount: i64,
    /// `pending`, `requires_action`, `succeeded`, `failed`, `canceled`, or a word not known yet.
    #[serde(default)]
    pub status: Option<String>,
    /// Why it failed.
    #[serde(default)]
    pub failure_reason: Option<String>,
    /// What it was made with.
    #[serde(default)]
    pub metadata: BTreeMap<String, String>,
}

/// A transfer as Stripe has it.
#[derive(Debug, Clone, Deserialize)]
pub struct Transfer {
    /// `tr_…`
    pub id: String,
    /// Minor units taken back since.
    #[serde(default)]
    pub amount_reversed: i64,
    /// What it was made with.
    #[serde(default)]
    pub metadata: BTreeMap<String, String>,
}

/// One page of a list.
#[derive(Debug, Deserialize)]
pub struct Page<T> {
    /// What is on it.
    pub data: Vec<T>,
    /// Whether there is another.
    #[serde(default)]
    pub has_more: bool,
    /// When it was read, by Stripe's clock.
    #[serde(skip)]
    pub at: Option<Timestamp>,
}

/// Which events are wanted.
#[derive(Debug, Clone)]
pub struct EventQuery {
    /// Made at or after.
    pub since: Timestamp,
    /// Made at or before.
    pub until: Option<Timestamp>,
    /// Of these types, at most twenty.
    pub types: Vec<String>,
}

/// What is asked of `POST /v1/refunds`.
#[derive(Debug, Clone, Default)]
pub struct RefundRequest {
    /// `pi_…`
    pub payment_intent: String,
    /// Minor units; always given, so that a repeat never means more.
    pub amount: i64,
    /// Only where the charge has an application fee: Stripe refuses it otherwise.
    pub refund_application_fee: bool,
    /// Only where the charge has a transfer.
    pub reverse_transfer: bool,
    /// The mark by which the refund is found again.
    pub reference: String,
}

/// What is asked of `POST /v1/transfers`.
#[derive(Debug, Clone)]
pub struct TransferRequest<'a> {
    /// How much.
    pub amount: Money,
    /// `acct_…`
    pub destination: &'a str,
    /// `ch_…` whose money it is: moved before the funds are available, and never more than the charge holds.
    pub source_transaction: &'a str,
    /// The mark by which the transfer is found again.
    pub reference: &'a str,
}

/// The metadata key that carries a refund's reference.
pub const REFERENCE: &str = "discunoRefund";
/// The same of a transfer.
pub const TRANSFER_REFERENCE: &str = "discunoTransfer";

impl TransferRequest<'_> {
    /// The form body: the same bytes for the same request.
    pub fn encode(&self) -> String {
        url::form_urlencoded::Serializer::new(String::new())
            .append_pair("amount", &self.amount.minor.to_string())
            .append_pair("currency", &self.amount.currency.code().to_ascii_lowercase())
            .append_pair("destination", self.destination)
            .append_pair("source_transaction", self.source_transaction)
            .append_pair(&format!("metadata[{TRANSFER_REFERENCE}]"), self.reference)
            .finish()
    }
}

impl RefundRequest {
    /// The form body: the same bytes for the same request.
    pub fn encode(&self) -> String {
        let mut form = url::form_urlencoded::Serializer::new(String::new());
        form.append_pair("payment_intent", &self.payment_intent).append_pair("amount", &self.amount.to_string());
        if self.reverse_transfer {
            form.append_pair("reverse_transfer", "true");
        }
        if self.refund_application_fee {
            form.append_pair("refund_application_fee", "true");
        }
        form.append_pair(&format!("metadata[{REFERENCE}]"), &self.reference);
        form.finish()
    }
}

impl EventQuery {
    fn encode(&self, after: Option<&str>) -> String {
        let mut form = url::form_urlencoded::Serializer::new(String::new());
        form.append_pair("limit", "100").append_pair("created[gte]", &self.since.as_secs().to_string());
        if let Some(until) = self.until {
            form.append_pair("created[lte]", &until.as_secs().to_string());
        }
        for (index, kind) in self.types.iter().enumerate() {
            form.append_pair(&format!("types[{index}]"), kind);
        }
        if let Some(after) = after {
            form.append_pair("starting_after", after);
        }
        form.finish()
    }
}

impl Stripe {
    /// A client for the account of `key`; `base` is the address before `/v1`.
    pub fn new(transport: Arc<dyn Transport>, base: Url, key: SecretString) -> Self {
        Self { client: Client::new(transport, base, TIMEOUT), key }
    }

    /// The same, with its calls counted and timed.
    #[must_use]
    pub fn metered(mut self, metrics: Metrics) -> Self {
        self.client = self.client.metered(metrics);
        self
    }

    /// Reads a payment intent with its latest charge.
    pub async fn payment_intent(&self, id: &str) -> Result<PaymentIntent, Error> {
        let call = Call::read(ProviderName::Stripe, "payment_intents.get");
        let draft = self.draft(call, Method::GET, &["v1", "payment_intents", id]).query("expand[]=latest_charge");
        parse(call, &self.client.send(draft).await?)
    }

    /// Asks for a refund. `body` is a [`RefundRequest::encode`]d form, the same on every try under one key.
    pub async fn create_refund(&self, body: &str, idempotency_key: &str) -> Result<Refund, Error> {
        let call = Call::change(ProviderName::Stripe, "refunds.create");
        let draft =
            self.draft(call, Method::POST, &["v1", "refunds"]).form(body).header("idempotency-key", idempotency_key);
        parse(call, &self.client.send(draft).await?)
    }

    /// Every refund of a payment intent, newest first.
    pub async fn refunds_of(&self, payment_intent: &str) -> Result<Vec<Refund>, Error> {
        let call = Call::read(ProviderName::Stripe, "refunds.list");
        self.list(call, "refunds", ("payment_intent", payment_intent), |refund: &Refund| &refund.id).await
    }

    /// Asks for a transfer. `body` is a [`TransferRequest::encode`]d form, the same on every try under one key.
    pub async fn create_transfer(&self, body: &str, idempotency_key: &str) -> Result<Transfer, Error> {
        let call = Call::change(ProviderName::Stripe, "transfers.create");
        let draft =
            self.draft(call, Method::POST, &["v1", "transfers"]).form(body).header("idempotency-key", idempotency_key);
        parse(call, &self.client.send(draft).await?)
    }

    /// Every transfer of a group, newest first.
    pub async fn transfers_of(&self, group: &str) -> Result<Vec<Transfer>, Error> {
        let call = Call::read(ProviderName::Stripe, "transfers.list");
        self.list(call, "transfers", ("transfer_group", group), |transfer: &Transfer| &transfer.id).await
    }

    /// A page of events as they are, newest first; of the last thirty days.
    pub async fn events(&self, query: &EventQuery, after: Option<&str>) -> Result<Page<Box<RawValue>>, Error> {
        let call = Call::read(ProviderName::Stripe, "events.list");
        let draft = self.draft(call, Method::GET, &["v1", "events"]).query(&query.encode(after));
        let answer = self.client.send(draft).await?;
        let page: Page<Box<RawValue>> = parse(call, &answer)?;
        Ok(Page { at: answered_at(&answer.headers), ..page })
    }

    async fn list<T: DeserializeOwned>(
        &self,
        call: Call,
        path: &str,
        filter: (&str, &str),
        id: impl Fn(&T) -> &str,
    ) -> Result<Vec<T>, Error> {
        let mut all: Vec<T> = Vec::new();
        for _ in 0..MOST_PAGES {
            let mut query = vec![filter, ("limit", "100")];
            query.extend(all.last().map(|last| ("starting_after", id(last))));
            let query = url::form_urlencoded::Serializer::new(String::new()).extend_pairs(query).finish();
            let draft = self.draft(call, Method::GET, &["v1", path]).query(&query);
            let page: Page<T> = parse(call, &self.client.send(draft).await?)?;
            let more = page.has_more && !page.data.is_empty();
            all.extend(page.data);
            if !more {
                return Ok(all);
            }
        }
        Err(call.unreadable("the list does not end"))
    }

    fn draft(&self, call: Call, method: Method, path: &[&str]) -> Draft<'static> {
        self.client.draft(call, method, path).bearer(&self.key).header("stripe-version", API_VERSION)
    }
}

/// An expandable field: an object where it was expanded, an id (of which nothing more is known) where it was not.
fn expanded<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Charge>, D::Error> {
    let value = Option::<serde_json::Value>::deserialize(deserializer)?;
    match value {
        Some(value @ serde_json::Value::Object(_)) => {
            serde_json::from_value(value).map(Some).map_err(serde::de::Error::custom)
        }
        _ => Ok(None),
    }
}

//! Events: what came in, kept once, with its raw bytes.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::model::id::{EventId, PaymentId};
use crate::model::time::Timestamp;
use crate::model::words;

words! {
    /// Who sent it; external ids are unique within a source.
    Source, "source" {
        /// The platform's own Stripe endpoint.
        Stripe => "stripe",
        /// The endpoint for events of connected accounts.
        StripeConnect => "stripe_connect",
        /// Cal.com.
        Cal => "cal",
        /// The application.
        App => "app",
    }
}

words! {
    /// How it came.
    Via, "way" {
        /// Its sender sent it.
        Webhook => "webhook",
        /// We fetched it, in case it was never sent or got lost.
        Backfill => "backfill",
    }
}

words! {
    /// What was made of it.
    Disposition, "disposition" {
        /// It is ours and was acted on.
        Accepted => "accepted",
        /// It is not ours, or of a type without consequences here.
        Ignored => "ignored",
        /// It is ours and cannot be acted on: a case is open.
        Attention => "attention",
        /// It belongs to the other mode (test or live) and is never acted on.
        Quarantined => "quarantined",
    }
}

/// Something that came in, as it is kept.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
pub struct Event {
    /// Our id.
    pub id: EventId,
    /// Who sent it.
    pub source: Source,
    /// The sender's id.
    pub external_id: String,
    /// The sender's type, for example `checkout.session.completed`.
    #[serde(rename = "type")]
    pub kind: String,
    /// Whether the sender calls it live.
    pub livemode: bool,
    /// When the sender made it.
    pub created_at: Timestamp,
    /// When it was first received.
    pub received_at: Timestamp,
    /// What was made of it.
    pub disposition: Disposition,
    /// Why, where that needs saying.
    pub reason: Option<String>,
    /// The payment it is about.
    pub payment: Option<PaymentId>,
    /// Headers of the request it came with, those that are no secret; none where it was fetched.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub headers: Option<Headers>,
}

/// Headers by their names in lower case.
pub type Headers = BTreeMap<String, String>;

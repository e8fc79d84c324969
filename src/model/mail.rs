//! E-mails: rendered once, kept, and sent by a run of their own.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::model::id::{MailId, PaymentId};
use crate::model::time::Timestamp;
use crate::model::words;

words! {
    /// Where an e-mail stands.
    MailStatus, "mail status" {
        /// Waits to be sent.
        Queued => "queued",
        /// A mail server has taken it.
        Sent => "sent",
        /// Given up.
        Failed => "failed",
    }
}

/// An e-mail as it is to be sent, to the byte. One for each key, for ever.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct NewMail {
    /// `<kind>/<reference>`: what keeps it from being sent twice, here and at the provider.
    pub key: String,
    /// What it is: `booking-failed`, `booking-confirmed`, …
    pub kind: String,
    /// Who gets it.
    pub to: String,
    /// The subject.
    pub subject: String,
    /// The HTML part.
    pub html: String,
    /// The plain part.
    pub text: String,
}

/// An e-mail as it is kept.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
pub struct Mail {
    /// Our id.
    pub id: MailId,
    /// What is sent.
    #[serde(flatten)]
    pub letter: NewMail,
    /// The payment it is about.
    pub payment: Option<PaymentId>,
    /// Where it stands.
    pub status: MailStatus,
    /// The provider's id.
    pub provider_id: Option<String>,
    /// When it was written.
    pub created_at: Timestamp,
    /// When a mail server took it.
    pub sent_at: Option<Timestamp>,
}

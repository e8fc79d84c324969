//! Acts: what operators did, with who, when and why.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::model::id::{ActId, PaymentId};
use crate::model::time::Timestamp;
use crate::model::words;

words! {
    /// What an operator did.
    Verb, "act" {
        /// Ordered a refund.
        Refund => "refund",
        /// Had a run go on after its end.
        Retry => "retry",
        /// Had an event understood anew.
        Replay => "replay",
        /// Ended a run.
        Cancel => "cancel",
        /// Closed a case.
        Resolve => "resolve",
        /// Opened a case.
        Open => "open",
        /// Stopped a provider or a workflow for a while.
        Pause => "pause",
        /// Let it go on.
        Resume => "resume",
        /// Had an alert not told for a while.
        Silence => "silence",
        /// Looked at people's names and addresses.
        Reveal => "reveal",
        /// Took away what was no longer needed.
        Prune => "prune",
        /// Put a backup in the place of the database.
        Restore => "restore",
    }
}

/// One act of an operator. It never changes and is never deleted.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
pub struct Act {
    /// Our id.
    pub id: ActId,
    /// When.
    pub at: Timestamp,
    /// Who, as their shell or the dashboard knows them.
    pub actor: String,
    /// What.
    pub verb: Verb,
    /// To what: `pay_1`, `run_7`, `provider/stripe`.
    pub subject: String,
    /// Why.
    pub reason: Option<String>,
    /// The payment it concerns.
    pub payment: Option<PaymentId>,
    /// What was so before.
    pub before: Value,
    /// What was so after.
    pub after: Value,
}

impl Act {
    /// Whether it is a refund that was ordered with the session called off.
    pub fn calls_off(&self) -> bool {
        self.verb == Verb::Refund && self.after["cancel_booking"] == true
    }

    /// The bytes that its place in the chain is the digest of, after those of the act before it.
    pub fn canonical(&self) -> String {
        serde_json::json!([
            self.id,
            self.at,
            self.actor,
            self.verb,
            self.subject,
            self.reason,
            self.payment,
            self.before,
            self.after
        ])
        .to_string()
    }
}

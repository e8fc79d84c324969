//! Alerts: what is wrong with the deployment itself, told once for each cause, again after a while, and once more when
//! it is over. (What is wrong with a payment is a [`Case`](crate::model::case::Case).)

use std::time::Duration;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::model::id::AlertId;
use crate::model::time::Timestamp;
use crate::model::words;

words! {
    /// What is wrong.
    Condition, "condition" {
        /// Somebody wants to know whether alerts arrive.
        Test => "test",
        /// A sender has sent nothing for long.
        SourceSilent => "source_silent",
        /// A run could have been taken long ago, and nobody has.
        BacklogOld => "backlog_old",
        /// A provider is down, and left alone.
        BreakerOpen => "breaker_open",
        /// The disk is nearly full.
        DiskLow => "disk_low",
        /// A provider refuses our key.
        KeyRefused => "key_refused",
        /// The signatures of a sender are refused: its secret is another one than ours.
        SignaturesRefused => "signatures_refused",
    }
}

/// What was found to be wrong at one look.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    /// What.
    pub condition: Condition,
    /// With whom or what: a provider, a sender. One alert for each.
    pub subject: String,
    /// One sentence with figures, no names or addresses.
    pub summary: String,
}

/// How often people are told.
#[derive(Debug, Clone, Copy)]
pub struct Pace {
    /// How long after it was told an alert that goes on is told again.
    pub repeat: Duration,
    /// How long nothing must have been found before an alert is over.
    pub rest: Duration,
}

/// Something that is or was wrong.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Alert {
    /// Our id.
    pub id: AlertId,
    /// What.
    pub condition: Condition,
    /// With whom or what.
    pub subject: String,
    /// What was found last.
    pub summary: String,
    /// At how many looks it was found.
    pub count: u32,
    /// When it was first found.
    pub first_at: Timestamp,
    /// When it was last found.
    pub last_at: Timestamp,
    /// Until when it is not told again.
    pub silenced_until: Option<Timestamp>,
    /// When a person was last told.
    pub delivered_at: Option<Timestamp>,
    /// Why the last attempt to tell came to nothing.
    pub failure: Option<String>,
    /// Since when it is over.
    pub ended_at: Option<Timestamp>,
}

impl Alert {
    /// Until when it is not told again, if it still goes on.
    pub fn silent_until(&self) -> Option<Timestamp> {
        self.silenced_until.filter(|_| self.ended_at.is_none())
    }
}

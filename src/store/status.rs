//! The state of everything, on one page.

use schemars::JsonSchema;
use serde::Serialize;

use crate::model::alert::Alert;
use crate::model::case::CaseKind;
use crate::model::event::Source;
use crate::model::money::Money;
use crate::model::pause::Pause;
use crate::model::refusal::RefusedKey;
use crate::model::time::Timestamp;
use crate::store::Backlog;

/// How things stand.
#[derive(Debug, Clone, Serialize, JsonSchema)]
pub struct Status {
    /// When it was so.
    pub at: Timestamp,
    /// `test` or `live`; none for a file that no server has opened yet.
    pub mode: Option<String>,
    /// How many runs stand where.
    pub backlog: Backlog,
    /// Since when the run that has waited longest could have been taken.
    pub oldest_due: Option<Timestamp>,
    /// What came in, by its sender.
    pub sources: Vec<SourceStatus>,
    /// Runs that ended within the last hour, by how.
    pub ended: Vec<(String, u32)>,
    /// Steps that are being retried.
    pub failing: Vec<FailingStep>,
    /// Failed runs, by workflow.
    pub failed: Vec<(String, u32)>,
    /// Open cases, by kind.
    pub cases: Vec<CaseCount>,
    /// The money of open cases, by currency. A payment counts once.
    pub at_risk: Vec<Money>,
    /// Open cases of which nobody could be told in a quarter of an hour.
    pub untold_cases: u32,
    /// Providers that refuse our key.
    pub refused_keys: Vec<RefusedKey>,
    /// What is wrong with the deployment itself, or could not be told.
    pub alerts: Vec<Alert>,
    /// What is paused.
    pub pauses: Vec<Pause>,
    /// Bytes in the database file.
    pub database_bytes: u64,
}

/// One sender.
#[derive(Debug, Clone, Serialize, JsonSchema)]
pub struct SourceStatus {
    /// Who.
    pub source: Source,
    /// How much within the last hour, of the newest four thousand arrivals of all.
    pub last_hour: u32,
    /// Whether more than those came within it.
    pub at_least: bool,
    /// The newest arrival, if it is one of them.
    pub last: Option<Timestamp>,
    /// How much was refused within the last hour for its signature or its key.
    pub refused: u32,
    /// Up to when everything is known to have come in, where the sender can be asked.
    pub complete_until: Option<Timestamp>,
    /// When its list was last gone through to the end.
    pub checked_at: Option<Timestamp>,
}

impl SourceStatus {
    /// How much came within the hour, as it is shown: `4000+` where there was more.
    pub fn within_the_hour(&self) -> String {
        format!("{}{}", self.last_hour, if self.at_least { "+" } else { "" })
    }
}

/// A step that fails for now.
#[derive(Debug, Clone, Serialize, JsonSchema)]
pub struct FailingStep {
    /// Of which workflow.
    pub workflow: String,
    /// Which.
    pub step: String,
    /// Why.
    pub code: String,
    /// In how many runs.
    pub runs: u32,
    /// The next try.
    pub next: Option<Timestamp>,
}

/// Open cases of one kind.
#[derive(Debug, Clone, Serialize, JsonSchema)]
pub struct CaseCount {
    /// Which kind.
    pub kind: CaseKind,
    /// How many.
    pub open: u32,
    /// The oldest.
    pub since: Timestamp,
}

//! What is measured rather than counted: how much there is of everything, right now.

use crate::model::alert::Condition;
use crate::model::case::CaseKind;
use crate::model::event::Source;
use crate::model::money::Money;
use crate::model::refund::RefundStatus;
use crate::model::time::Timestamp;
use crate::model::words;
use crate::store::Unsettled;

words! {
    /// Where a run stands that has not ended well.
    Standing, "standing" {
        /// Could be taken now.
        Due => "due",
        /// Asleep or backing off.
        Waiting => "waiting",
        /// Being moved.
        Running => "running",
        /// Ended by a failure.
        Failed => "failed",
    }
}

/// How much there is of everything. Counts stop at some tens of thousands of rows, so that asking costs the same for any
/// history.
#[derive(Debug, Clone, Default)]
pub struct Levels {
    /// Runs, by workflow and where they stand.
    pub runs: Vec<(String, Standing, u32)>,
    /// Since when the run that has waited longest could have been taken.
    pub oldest_due: Option<Timestamp>,
    /// Refunds, by status.
    pub refunds: Vec<(RefundStatus, u32)>,
    /// Open cases, by kind.
    pub cases: Vec<(CaseKind, u32)>,
    /// Open cases of which nobody could be told yet.
    pub untold_cases: u32,
    /// What is wrong with the deployment itself, by condition.
    pub alerts: Vec<(Condition, u32)>,
    /// Alerts of which nobody could be told yet.
    pub untold_alerts: u32,
    /// Findings of the daily comparison that are still open, by rule.
    pub unaccounted: Vec<(Unsettled, u32)>,
    /// The money of open cases, by currency.
    pub at_risk: Vec<Money>,
    /// Up to when each source is known to be complete.
    pub complete: Vec<(Source, Timestamp)>,
    /// Bytes in the database.
    pub database_bytes: u64,
    /// Bytes in its log.
    pub log_bytes: u64,
}

//! The right to write a run's results until a time, fenced by a token.

use crate::model::id::RunId;
use crate::model::time::Timestamp;

/// Held by one executor. Every later write of that executor names the token; once another has claimed the run, such a
/// write changes nothing. A lease spares work; what protects money is the record of each effect.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Lease {
    /// The run that may be moved.
    pub run: RunId,
    /// Grows with each claim of the run.
    pub token: i64,
    /// When anybody may claim the run again.
    pub until: Timestamp,
}

//! Runs: durable executions of workflows, and how they may change.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::model::failure::Failure;
use crate::model::id::{EventId, PaymentId, RunId};
use crate::model::time::Timestamp;
use crate::model::words;

words! {
    /// Where a run stands. A sleeping or backing-off run is `queued` with a later due time.
    RunState, "run state" {
        /// Waits to be claimed.
        Queued => "queued",
        /// Claimed by an executor.
        Running => "running",
        /// Ended as meant; the outcome says how.
        Succeeded => "succeeded",
        /// Ended by a failure; a case is open.
        Failed => "failed",
        /// Ended between two steps, on request.
        Cancelled => "cancelled",
    }
}

words! {
    /// What may happen to a run.
    RunChange, "run change" {
        /// An executor takes it, or takes it over from one whose lease ran out.
        Claim => "claim",
        /// Its executor gives it back until a time.
        Suspend => "suspend",
        /// Its executor ends it well.
        Succeed => "succeed",
        /// Its executor ends it badly.
        Fail => "fail",
        /// It is ended on request.
        Cancel => "cancel",
        /// An operator sets an ended run going again from its first unfinished step.
        Retry => "retry",
    }
}

/// A change that the state does not allow.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a {from} run cannot {change}")]
pub struct Illegal {
    /// The state the run is in.
    pub from: RunState,
    /// What was asked of it.
    pub change: RunChange,
}

impl RunState {
    /// The state after `change`, or why there is none.
    pub const fn next(self, change: RunChange) -> Result<Self, Illegal> {
        match (self, change) {
            (Self::Queued | Self::Running, RunChange::Claim) => Ok(Self::Running),
            (Self::Running, RunChange::Suspend) | (Self::Failed | Self::Cancelled, RunChange::Retry) => {
                Ok(Self::Queued)
            }
            (Self::Running, RunChange::Succeed) => Ok(Self::Succeeded),
            (Self::Running, RunChange::Fail) => Ok(Self::Failed),
            (Self::Queued | Self::Running, RunChange::Cancel) => Ok(Self::Cancelled),
            (from, change) => Err(Illegal { from, change }),
        }
    }

    /// Whether the run is over.
    pub const fn is_terminal(self) -> bool {
        matches!(self, Self::Succeeded | Self::Failed | Self::Cancelled)
    }
}

/// How an executor ends a run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum End {
    /// As meant. The word says how: `booked`, `compensated`, …
    Succeeded(String),
    /// By a failure. A case is opened in the same commit.
    Failed(Failure),
    /// On request, between two steps. Money taken and not accounted for opens a case in the same commit.
    Cancelled,
}

impl End {
    /// Where the run stands then.
    pub const fn state(&self) -> RunState {
        match self {
            Self::Succeeded(_) => RunState::Succeeded,
            Self::Failed(_) => RunState::Failed,
            Self::Cancelled => RunState::Cancelled,
        }
    }
}

/// One execution of a workflow.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
pub struct Run {
    /// Our id.
    pub id: RunId,
    /// The workflow's name.
    pub workflow: String,
    /// What it is about; one run for each workflow and key.
    pub key: String,
    /// Where it stands.
    pub state: RunState,
    /// Queued: when it may be claimed. Running: when its lease ends. Ended: none.
    pub due_at: Option<Timestamp>,
    /// How often it has been claimed; the fencing token.
    pub token: i64,
    /// Claims in a row that recorded nothing; past a limit the run is poison.
    pub stalls: u32,
    /// The payment it works on.
    pub payment: Option<PaymentId>,
    /// The event that started it.
    pub event: Option<EventId>,
    /// Whether it is to end at the next step boundary.
    pub cancel_requested: bool,
    /// How often an operator had it go on after its end.
    pub retries: u32,
    /// How it ended, in a word.
    pub outcome: Option<String>,
    /// Why it failed.
    pub failure: Option<Failure>,
    /// When it was started.
    pub created_at: Timestamp,
    /// When it ended.
    pub finished_at: Option<Timestamp>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_ended_run_only_goes_on_by_retry_and_a_success_never() {
        for &change in RunChange::ALL {
            assert!(RunState::Succeeded.next(change).is_err(), "{change}");
            for ended in [RunState::Failed, RunState::Cancelled] {
                assert_eq!(ended.next(change).is_ok(), change == RunChange::Retry, "{ended} {change}");
            }
        }
    }

    #[test]
    fn an_expired_lease_may_be_claimed_over() {
        assert_eq!(RunState::Running.next(RunChange::Claim), Ok(RunState::Running));
    }

    #[test]
    fn a_queued_run_cannot_end_without_being_claimed() {
        assert!(RunState::Queued.next(RunChange::Succeed).is_err());
        assert!(RunState::Queued.next(RunChange::Fail).is_err());
        assert!(RunState::Queued.next(RunChange::Suspend).is_err());
    }
}

//! Steps of a run: named, memoized units, and the tries they took.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use crate::model::failure::Failure;
use crate::model::time::Timestamp;

/// How one try of a step ended.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case", tag = "outcome")]
pub enum Ending {
    /// The step is done; this is what it returns, now and on every replay.
    Done {
        /// The step's output as JSON.
        output: Box<RawValue>,
    },
    /// The step will be tried again.
    Retry {
        /// Why.
        failure: Failure,
    },
    /// The step has failed for good; the workflow sees this failure, now and on every replay.
    Failed {
        /// Why.
        failure: Failure,
    },
}

impl Ending {
    /// The word in the table.
    pub const fn as_str(&self) -> &'static str {
        match self {
            Self::Done { .. } => "done",
            Self::Retry { .. } => "retry",
            Self::Failed { .. } => "failed",
        }
    }

    /// Whether the step is over.
    pub const fn is_final(&self) -> bool {
        !matches!(self, Self::Retry { .. })
    }
}

/// One try of a step, with its times.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
pub struct Attempt {
    /// The step's name, unique in its run.
    pub step: String,
    /// 1 for the first try.
    pub number: u32,
    /// When the work began.
    pub started_at: Timestamp,
    /// When its outcome was known.
    pub ended_at: Timestamp,
    /// Whether an operator had the step done again.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub retried: bool,
    /// What came of it.
    #[serde(flatten)]
    pub ending: Ending,
}

//! I20: what has come to its end stays there.

use std::collections::BTreeMap;

use crate::model::id::{RefundId, RunId};
use crate::model::refund::{Refund, RefundStatus};

/// What is known to have ended, or to have come so far.
#[derive(Debug, Default)]
pub(super) struct Ends {
    /// How often a run had been retried by a person when it was last claimed.
    claimed: BTreeMap<RunId, u32>,
    /// The same of those that have ended since.
    ended: BTreeMap<RunId, u32>,
    refunds: BTreeMap<RefundId, RefundStatus>,
}

impl Ends {
    /// A run is claimed that a person has retried so often: whether it had ended, and nobody has set it going again.
    pub(super) fn is_revived(&mut self, run: RunId, retries: u32) -> bool {
        self.claimed.insert(run, retries);
        self.ended.get(&run).is_some_and(|before| *before >= retries)
    }

    /// A run has ended.
    pub(super) fn end(&mut self, run: RunId) {
        if let Some(retries) = self.claimed.get(&run) {
            self.ended.insert(run, *retries);
        }
    }

    /// The first refund whose status is one that it had left behind.
    pub(super) fn moved_back(&mut self, refunds: &[Refund]) -> Option<String> {
        let mut moved = None;
        for refund in refunds {
            let before = self.refunds.insert(refund.id, refund.status).unwrap_or(RefundStatus::Intended);
            let (from, to) = (rank(before), rank(refund.status));
            if to < from {
                moved.get_or_insert_with(|| format!("{} was {before}, and is {} again", refund.id, refund.status));
            }
        }
        moved
    }
}

/// What comes later is higher: paid back may still turn out to have failed, and never the other way.
const fn rank(status: RefundStatus) -> u8 {
    match status {
        RefundStatus::Intended => 0,
        RefundStatus::Sent => 1,
        RefundStatus::Pending => 2,
        RefundStatus::Succeeded => 3,
        RefundStatus::Canceled => 4,
        RefundStatus::Failed => 5,
    }
}

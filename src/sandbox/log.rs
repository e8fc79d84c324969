//! The last requests that a stand-in was asked.

use std::collections::VecDeque;

use crate::sandbox::call::Call;
use crate::sandbox::fault::Effect;
use crate::sandbox::ledger::Exchange;

/// A benchmark must not fill the memory.
pub(super) const KEPT: usize = 10_000;

/// A ring of exchanges, and how many there were in all.
#[derive(Debug, Default)]
pub(super) struct Log {
    last: VecDeque<Exchange>,
    count: u64,
}

impl Log {
    /// Keeps one exchange; `status` is what the caller got, if it got an answer.
    pub(super) fn push(&mut self, call: &Call, status: Option<u16>, replayed: bool, effect: Option<Effect>) {
        if self.last.len() == KEPT {
            self.last.pop_front();
        }
        self.count += 1;
        self.last.push_back(Exchange {
            method: call.method.to_string(),
            path: call.target(),
            idempotency_key: call.header("idempotency-key").map(str::to_owned),
            body: String::from_utf8_lossy(&call.body).into_owned(),
            at: call.at,
            status,
            replayed,
            effect,
        });
    }

    pub(super) fn requests(&self) -> Vec<Exchange> {
        self.last.iter().cloned().collect()
    }

    pub(super) const fn count(&self) -> u64 {
        self.count
    }
}

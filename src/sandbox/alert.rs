//! Takes any alert.

use std::collections::VecDeque;

use crate::sandbox::answer::Answer;
use crate::sandbox::call::Call;
use crate::sandbox::fault::{Effect, Provider};
use crate::sandbox::ledger::{AlertLedger, Post};
use crate::sandbox::log::{KEPT, Log};
use crate::sandbox::stand_in::StandIn;

/// The alert webhook's other end.
#[derive(Debug, Default)]
pub(super) struct Alerts {
    posts: VecDeque<Post>,
    log: Log,
}

impl Alerts {
    pub(super) fn ledger(&self) -> AlertLedger {
        AlertLedger {
            posts: self.posts.iter().cloned().collect(),
            requests: self.log.requests(),
            request_count: self.log.count(),
        }
    }
}

impl StandIn for Alerts {
    const PROVIDER: Provider = Provider::Alert;

    fn operation(&self, _: &Call) -> &'static str {
        "alerts.post"
    }

    fn magic(&mut self, _: &str, _: &Call) -> Option<Effect> {
        None
    }

    fn act(&mut self, call: &Call) -> Answer {
        if call.method != http::Method::POST {
            return Self::trouble(405);
        }
        let Some(body) = call.json() else {
            return Self::refusal(400, "invalid_payload", "not JSON");
        };
        if self.posts.len() == KEPT {
            self.posts.pop_front();
        }
        self.posts.push_back(Post { at: call.at, body: body.clone() });
        Answer::text(200, "ok")
    }

    fn refusal(status: u16, code: &str, message: &str) -> Answer {
        Answer::text(status, &format!("{code}: {message}"))
    }

    fn trouble(status: u16) -> Answer {
        Answer::text(status, "no_service")
    }

    fn log(&mut self) -> &mut Log {
        &mut self.log
    }
}

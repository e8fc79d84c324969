//! The same deed on many runs, one after the other, each with its own row in the audit trail.

use std::fmt::{Display, Formatter};
use std::time::Duration;

use aws_lc_rs::digest::{SHA256, digest};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::clock::Clock;
use crate::model::id::RunId;
use crate::model::pause::Pause;
use crate::model::run::{Run, RunState};
use crate::model::words;
use crate::pauses::holding;
use crate::store::Shared;
use crate::store::error::Error;
use crate::store::filter::Filter;
use crate::store::order::{Deed, Order};

/// At most so many at once, from a page.
pub const MOST: u32 = 1000;

words! {
    /// What can be done to many runs.
    Many, "deed" {
        /// Have them go on from where they failed.
        Retry => "retry",
        /// End them at their next step.
        Cancel => "cancel",
    }
}

impl Many {
    /// The states in which it can be done.
    pub const fn states(self) -> &'static [RunState] {
        match self {
            Self::Retry => &[RunState::Failed, RunState::Cancelled],
            Self::Cancel => &[RunState::Queued, RunState::Running],
        }
    }

    /// The deed on one of them.
    pub const fn deed(self, run: RunId) -> Deed {
        match self {
            Self::Retry => Deed::Retry { run, from: None },
            Self::Cancel => Deed::Cancel(run),
        }
    }

    /// What holds these runs back where they are to go on; ending them waits for nobody.
    pub async fn held_back(self, store: &Shared, runs: &[Run]) -> Result<Vec<Pause>, Error> {
        match self {
            Self::Retry => holding(store, runs.iter().map(|run| run.workflow.as_str())).await,
            Self::Cancel => Ok(Vec::new()),
        }
    }

    /// Those that a list shows and that it can be done to; none if it shows none of these.
    pub fn among(self, mut filter: Filter) -> Option<Filter> {
        let possible = self.states().iter().map(|state| state.as_str().to_owned());
        filter.status = possible.filter(|state| filter.status.is_empty() || filter.status.contains(state)).collect();
        (!filter.status.is_empty()).then_some(filter)
    }
}

/// Which runs somebody was shown: the newest of them, and a digest of all.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(transparent)]
pub struct Seen(String);

impl Seen {
    /// Of these, the newest first; none of none.
    pub fn of(runs: &[Run]) -> Option<Self> {
        let newest = runs.first()?.id;
        let all: Vec<u8> = runs.iter().flat_map(|run| run.id.0.to_be_bytes()).collect();
        Some(Self(format!("{newest}.{}", hex::encode(&digest(&SHA256, &all).as_ref()[..8]))))
    }

    fn newest(&self) -> Option<RunId> {
        self.0.split_once('.')?.0.parse().ok()
    }
}

impl Display for Seen {
    fn fmt(&self, f: &mut Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

/// The runs that are meant by a list, the newest first, and at most one more than may be acted on. All pages of the list are
/// meant, as they were when they were seen: those that came since are not, and where any other has come or gone nothing may be done.
pub async fn meant(store: &Shared, many: Many, filter: Filter, seen: Option<&Seen>) -> Result<Vec<Run>, Error> {
    let Some(mut filter) = many.among(filter) else { return Ok(Vec::new()) };
    filter.before = seen.and_then(Seen::newest).map(|newest| newest.0.saturating_add(1));
    filter.limit = MOST + 1;
    let runs: Vec<Run> = store.runs(filter).await?.into_iter().map(|line| line.run).collect();
    if seen.is_some_and(|seen| Seen::of(&runs).as_ref() != Some(seen)) {
        return Err(Error::Illegal("others are meant by now than were seen: nothing was done; look again".to_owned()));
    }
    Ok(runs)
}

/// What became of one run.
#[derive(Debug)]
pub enum Became {
    /// It was done.
    Done,
    /// Nothing had to be done.
    AlreadySo,
    /// It was not allowed, or did not work.
    Refused(Error),
}

impl Became {
    /// Whether nobody knows if it was done.
    pub const fn is_unknown(&self) -> bool {
        matches!(self, Self::Refused(Error::CommitUnknown(_)))
    }
}

impl Display for Became {
    fn fmt(&self, f: &mut Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Done => f.write_str("done"),
            Self::AlreadySo => f.write_str("already so"),
            Self::Refused(error) => error.fmt(f),
        }
    }
}

/// Orders the same for each run, at most `rate` a second, and says after each that it has been dealt with.
pub async fn each(
    (store, clock): (&Shared, &Clock),
    runs: &[Run],
    rate: Option<u32>,
    order: impl Fn(RunId) -> Order,
    mut dealt_with: impl FnMut(),
) -> Vec<Became> {
    let mut all = Vec::with_capacity(runs.len());
    for run in runs {
        all.push(match store.operate(order(run.id), clock.now()).await {
            Ok(performed) if performed.act.is_none() => Became::AlreadySo,
            Ok(_) => Became::Done,
            Err(error) => Became::Refused(error),
        });
        dealt_with();
        if let Some(rate) = rate {
            tokio::time::sleep(Duration::from_secs(1) / rate).await;
        }
    }
    all
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_a_list_shows_and_what_it_can_be_done_to_is_meant() {
        let among = |status: &[&str], many: Many| {
            let status = status.iter().map(|&state| state.to_owned()).collect();
            many.among(Filter { status, ..Filter::newest(9) }).map(|filter| filter.status)
        };
        assert_eq!(among(&[], Many::Retry).unwrap(), ["failed", "cancelled"]);
        assert_eq!(among(&["failed", "running"], Many::Retry).unwrap(), ["failed"]);
        assert_eq!(among(&["failed", "running"], Many::Cancel).unwrap(), ["running"]);
        assert!(among(&["succeeded"], Many::Retry).is_none());
    }
}

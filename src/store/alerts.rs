//! What is wrong with the deployment, and who has been told.

use std::time::Duration;

use async_trait::async_trait;
use serde::{Deserialize, Serialize};

use crate::model::alert::{Alert, Finding, Pace};
use crate::model::event::{Source, Via};
use crate::model::id::{AlertId, CaseId, EventId, RunId};
use crate::model::refusal::{RefusedKey, RefusedSignatures};
use crate::model::time::Timestamp;
use crate::store::error::Error;

/// Who came last.
#[derive(Debug, Clone)]
pub struct Arrivals {
    /// The newest event of all.
    pub newest: EventId,
    /// The newest arrival of each sender and way.
    pub last: Vec<(Source, Via, Timestamp)>,
}

/// How a provider has last taken our key, as one process has seen it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum KeySeen {
    /// It refused it.
    Refused(RefusedKey),
    /// A call has succeeded.
    Taken {
        /// Of which provider.
        provider: String,
        /// When.
        at: Timestamp,
    },
}

/// What is refused for want of the right secret, as all processes have seen it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Refused {
    /// Our keys.
    pub keys: Vec<RefusedKey>,
    /// Signatures within the last hour, of those sources of which any were refused.
    pub signatures: Vec<(Source, RefusedSignatures)>,
}

/// Of which cases a run is to tell that was started for one of them.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum CaseGroup {
    /// Somebody was told of it with others.
    Told,
    /// Others of its kind are being told, or were a moment ago: ask again then.
    Wait(Timestamp),
    /// Of these.
    Tell(Vec<CaseId>),
}

/// Alerts.
#[async_trait]
pub trait Alerts: Send + Sync {
    /// Keeps what was found at a look: one open alert for each cause. What is new, goes on after its silence, or is over is
    /// told by a run that is started in the same commit; which, if there is something to tell. An open case that nobody was
    /// told of, and whose run ended an hour ago or longer, is told again.
    async fn report(&self, found: Vec<Finding>, pace: Pace, now: Timestamp) -> Result<Option<RunId>, Error>;

    /// An alert.
    async fn alert(&self, id: AlertId) -> Result<Alert, Error>;

    /// What is wrong or could not be told, the newest first; with `all`, what ever was.
    async fn alerts(&self, all: bool, limit: u32) -> Result<Vec<Alert>, Error>;

    /// Who came last, of what came after `after`.
    async fn arrivals(&self, after: EventId) -> Result<Arrivals, Error>;

    /// Keeps what one process has seen since it last did: keys, and signatures that were refused meanwhile.
    async fn note_refused(
        &self,
        keys: Vec<KeySeen>,
        signatures: Vec<(Source, RefusedSignatures)>,
        now: Timestamp,
    ) -> Result<(), Error>;

    /// What is refused for want of the right secret.
    async fn refused(&self, now: Timestamp) -> Result<Refused, Error>;

    /// Of which cases the run of `case` is to tell, where those within `span` are told together.
    async fn case_group(&self, case: CaseId, span: Duration, now: Timestamp) -> Result<CaseGroup, Error>;
}

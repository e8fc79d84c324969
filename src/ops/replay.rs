//! A stored event, understood anew: what it should have started and did not is started.

use std::fmt::{Display, Formatter, Result as Written};

use schemars::JsonSchema;
use serde::Serialize;

use crate::ingress::stored;
use crate::model::id::{ActId, EventId, RunId};
use crate::model::time::Timestamp;
use crate::store::error::Error;
use crate::store::order::{Deed, Order};
use crate::store::{Shared, Subject};

/// How events are understood here.
#[derive(Debug, Clone)]
pub struct Understanding {
    /// Whether this deployment is for real money.
    pub live: bool,
    /// Names of application events that are counted besides the usual ones.
    pub counted: Vec<String>,
}

/// What came of it.
#[derive(Debug, Clone, Serialize, JsonSchema)]
pub struct Replayed {
    /// The event.
    pub event: EventId,
    /// The runs that were not there.
    pub started: Vec<RunId>,
    /// Its row in the audit trail.
    pub act: Option<ActId>,
}

impl Display for Replayed {
    fn fmt(&self, f: &mut Formatter<'_>) -> Written {
        match &self.started[..] {
            [] => write!(f, "{} was replayed: what it starts was there already", self.event),
            [run] => write!(f, "{} was replayed: {run} was started", self.event),
            [first, rest @ ..] => {
                write!(f, "{} was replayed: {first} and {} more were started", self.event, rest.len())
            }
        }
    }
}

/// Plans the bytes of `event` anew and applies what follows, as if its sender had sent it again: nothing happens twice.
pub async fn replay(
    store: &Shared,
    understanding: &Understanding,
    (actor, reason): (&str, Option<String>),
    event: EventId,
    now: Timestamp,
) -> Result<Replayed, Error> {
    let story = store.story(Subject::Event(event)).await?;
    let known = story.events.first().ok_or_else(|| Error::NotFound(event.to_string()))?;
    let body = store.body(event).await?.into();
    let plan = stored::plan(known, body, &understanding.counted, understanding.live)
        .map_err(|error| Error::Illegal(format!("{event} cannot be replayed: {error}")))?;
    let deed = Deed::Replay { event, plan: Box::new(plan) };
    let performed = store.operate(Order { actor: actor.to_owned(), reason, deed }, now).await?;
    let started = performed.after.get("started").cloned().unwrap_or_default();
    let started = serde_json::from_value(started).map_err(|error| Error::Backend(error.to_string()))?;
    Ok(Replayed { event, started, act: performed.act })
}

//! Pauses: what an operator has stopped for a while.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::model::ParseError;
use crate::model::time::Timestamp;
use crate::model::words;

/// The code of a failure that says: a person has stopped this provider. It is no try.
pub const PAUSED: &str = "paused";

words! {
    /// What kind of thing is paused.
    PauseKind, "kind of pause" {
        /// A provider: no call leaves.
        Provider => "provider",
        /// A workflow: none of its runs is claimed.
        Workflow => "workflow",
    }
}

/// What may be paused, written `provider/stripe` or `workflow/send-email`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
pub struct Pausable {
    /// Which kind.
    pub kind: PauseKind,
    /// Its name.
    pub name: String,
}

impl std::fmt::Display for Pausable {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.pad(&format!("{}/{}", self.kind, self.name))
    }
}

impl std::str::FromStr for Pausable {
    type Err = ParseError;

    fn from_str(text: &str) -> Result<Self, ParseError> {
        let unknown = || ParseError { what: "provider or workflow", text: text.to_owned() };
        let (kind, name) = text.split_once('/').ok_or_else(unknown)?;
        Ok(Self { kind: kind.parse().map_err(|_| unknown())?, name: name.to_owned() })
    }
}

/// Something that is paused.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
pub struct Pause {
    /// What.
    #[serde(flatten)]
    pub what: Pausable,
    /// Since when.
    pub since: Timestamp,
    /// Who paused it.
    pub actor: String,
    /// Why.
    pub reason: Option<String>,
}

impl std::fmt::Display for Pause {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { what, since, actor, reason } = self;
        let why = reason.as_ref().map(|reason| format!(" ({reason})")).unwrap_or_default();
        write!(f, "{what} is paused since {since} by {actor}{why}: `discuno resume {}` lets it go on", what.name)
    }
}

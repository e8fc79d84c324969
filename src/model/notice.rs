//! What the people on call are told, whichever way it goes.

use serde::{Deserialize, Serialize};

/// A message of a heading and facts, one a line. No names or addresses.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Notice {
    /// By what it is known: the same for every try to send it.
    pub key: String,
    /// What it is about, in a few words.
    pub heading: String,
    /// The facts.
    pub lines: Vec<String>,
    /// The command to look further with.
    pub next: String,
}

//! What came of a script.

use crate::sim::coverage::Coverage;

/// A rule that does not hold.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Violation {
    /// Which: `M2`, `I8`, …
    pub rule: &'static str,
    /// What is wrong.
    pub why: String,
}

impl std::fmt::Display for Violation {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}: {}", self.rule, self.why)
    }
}

/// What came of a script.
#[derive(Debug, Clone, Default)]
pub struct Report {
    /// The first rule that did not hold.
    pub violation: Option<Violation>,
    /// What was seen.
    pub coverage: Coverage,
    /// What happened, line by line, if it was asked for.
    pub trace: String,
    /// How many boundaries each process has met: before and after each commit and call.
    pub boundaries: Vec<u64>,
    /// The same before the calm.
    pub working: Vec<u64>,
}

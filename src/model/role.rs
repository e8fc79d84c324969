//! Roles: what somebody who looks from outside may do.

use crate::model::words;

words! {
    /// What somebody may do, the least first: each role may do what those before it may.
    Role, "role" {
        /// Looks.
        Viewer => "viewer",
        /// Has runs go on or end, settles cases, stops and resumes.
        Operator => "operator",
        /// Pays back.
        Money => "money",
    }
}

impl Role {
    /// Whether somebody with this role may do what takes `needed`.
    pub fn may(self, needed: Self) -> bool {
        self >= needed
    }
}

//! What the owner wants done with the money of a session that does not take place.

use crate::model::words;

words! {
    /// What follows.
    Policy, "policy" {
        /// The customer gets everything back.
        Refund => "refund",
        /// A person decides.
        Case => "case",
        /// The money stays where it is.
        None => "none",
    }
}

/// What follows when a paid session does not take place.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Policies {
    /// `DISCUNO_CANCELLATION_POLICY`: the mentor, or nobody knows who, called it off.
    pub mentor_cancels: Policy,
    /// `DISCUNO_ATTENDEE_CANCELLATION_POLICY`: the customer did.
    pub attendee_cancels: Policy,
    /// `DISCUNO_NO_SHOW_POLICY`: the mentor did not come.
    pub host_no_show: Policy,
}

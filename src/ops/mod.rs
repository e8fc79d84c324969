//! What an operator can ask for, ahead of asking: the same for the command line and the dashboard.

pub mod alert;
pub mod at_stripe;
pub mod batch;
pub mod desk;
pub mod disk;
pub mod exposition;
pub mod probe;
pub mod readiness;
pub mod reconcile;
pub mod refund;
pub mod replay;
pub mod reveal;
pub mod timeline;
pub mod watch;
pub mod when;

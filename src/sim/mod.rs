//! The whole of it on virtual time, from one seed: intake, store, engine, every workflow, operators and schedules, against
//! the stateful sandbox, with everything going wrong that can.
//!
//! A [`script`] is drawn from a seed and gone through in one thread; the same script is the same history, to the byte.
//! Whatever a process commits or asks passes through [`watched`] and a wire, where it may be gone, stand still or fail.
//! What must hold is watched as it happens and compared at the end with the providers' ledgers. A script that breaks a rule is [shrunk](shrink)
//! to what it takes.

mod agreement;
mod bounds;
mod campaign;
mod coverage;
pub mod crash;
mod draw;
mod ends;
mod excuse;
mod hub;
mod invariant;
mod operator;
mod paths;
mod post;
mod process;
mod purchase;
mod repair;
mod report;
mod required;
mod rest;
mod round;
pub mod script;
pub mod shrink;
mod version;
pub mod watched;
mod world;

pub use crate::sim::campaign::{Campaign, Tally};
pub use crate::sim::coverage::Coverage;
pub use crate::sim::invariant::money_violation;
pub use crate::sim::repair::excessive;
pub use crate::sim::report::{Report, Violation};
pub use crate::sim::required::missing;
pub use crate::sim::world::{BEGINNING, play, play_on};

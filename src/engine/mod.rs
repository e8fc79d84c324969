//! Durable execution. It knows no payment and no provider.
//!
//! A workflow is a plain async function of named steps. When a run is resumed the function runs again from the top, and
//! a step that has ended returns what was recorded, never the call again. A step that is to be retried later does not
//! return at all: its run goes back to the queue and the function's future is dropped, so that a workflow sees only
//! results and final failures.
//!
//! What a step does happens at least once: an executor can end between the call and its record. The key of a step is
//! the same on every try, and [`Step::fresh`](ctx::Step::fresh) is true only where it is certain that nothing was tried before.

pub mod backoff;
pub mod ctx;
pub mod drive;
pub mod policy;
pub mod registry;
pub mod worker;

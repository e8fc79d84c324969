//! What tests stand on: events, and a whole deployment in virtual time.

mod event;
pub(crate) mod http;
pub(crate) mod money;
pub(crate) mod process;
mod world;

pub(crate) use event::Event;
pub(crate) use world::{Trip, Tripwire, World};

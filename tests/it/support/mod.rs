//! What tests stand on: events, and a whole deployment in virtual time.

mod event;
mod world;

pub(crate) use event::Event;
pub(crate) use world::{Trip, Tripwire, World};

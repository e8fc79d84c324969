//! Carries every paid session to its end: a live booking, a full refund, or an open case that a person knows of.

pub mod clock;
pub mod engine;
pub mod entropy;
pub mod model;
pub mod sandbox;
pub mod store;
pub mod transport;

//! Carries every paid session to its end: a live booking, a full refund, or an open case that a person knows of.

pub mod app;
pub mod clock;
pub mod config;
pub mod engine;
pub mod entropy;
pub mod ingress;
pub mod logs;
pub mod model;
pub mod mutant;
pub mod observe;
pub mod ops;
pub mod owner;
pub mod pauses;
pub mod provider;
pub mod sandbox;
pub mod signature;
pub mod sim;
pub mod store;
pub mod transport;
pub mod web;
pub mod workflow;

//! Black-box tests, linked once.

mod alerts;
mod api;
mod app_events;
mod bad_input;
mod calendar;
mod canaries;
mod checkout_faults;
mod conformance;
mod dashboard;
mod faults;
mod hosts;
mod life;
mod metrics;
mod operators;
mod outside;
mod process;
mod samples;
mod scenarios;
mod schedules;
mod shares;
mod soak;
mod style;
mod support;
mod upgrade;
mod webhook;
mod wire;

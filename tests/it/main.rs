//! Black-box tests, linked once.

mod checkout_faults;
mod conformance;
mod process;
mod samples;
mod scenarios;
mod style;
mod support;
mod webhook;
mod wire;

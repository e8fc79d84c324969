//! Black-box tests, linked once.

mod checkout_faults;
mod process;
mod scenarios;
mod style;
mod support;
mod webhook;

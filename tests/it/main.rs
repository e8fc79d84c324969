//! Black-box tests, linked once.

mod checkout_faults;
mod scenarios;
mod style;
mod support;
mod webhook;

//! The dashboard: who gets in, what is shown, what can be done from it.

mod access;
mod lists;
mod live;
mod payments;
mod refund;
mod runs;

//! The dashboard: who gets in, what is shown, what can be done from it.

mod access;
mod alerts;
mod lists;
mod live;
mod logs;
mod many;
mod now;
mod payments;
mod providers;
mod refund;
mod runs;
mod sandbox;

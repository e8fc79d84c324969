//! What operators do: mostly the real binary, a real file, the sandbox on loopback.

mod acts;
mod keeping;
mod lists;
mod logs;
mod moving;
mod pauses;
mod reconcile;
mod refund;
mod rules;
mod snapshots;

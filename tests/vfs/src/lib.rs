//! A disk in memory for SQLite. It keeps a record of every write and sync, from which [`Outage`] makes what a power cut
//! at any moment might have left; and its operations can be made to fail.
//!
//! This is the one package with `unsafe` code, all of it in `ffi.rs`: SQLite asks for a table of C functions.

mod disk;
mod ffi;
mod locks;
mod outage;

pub use disk::{Break, Disk, Files, Geometry, Kind};
pub use ffi::{install, mount, unmount};
pub use outage::{Loss, Outage};

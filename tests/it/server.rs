//! A server in place of the file: who may be at its other end, and what a connection that is lost leaves open.

mod histories;
mod lost;
mod standby;
mod tls;

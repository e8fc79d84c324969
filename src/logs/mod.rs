//! Searching logs: lines of JSON, in any number of files, as fast as they can be read.
//!
//! A line matches when it is one whole JSON object in UTF-8 (RFC 8259; a lone surrogate is let through) and its top-level
//! keys have the values that are asked for; of a repeated key the last one counts. Key order, white space, escapes and nested keys
//! do not fool it. Nothing here knows a provider, a payment or a database.

pub mod asked;
pub mod count;
pub mod follow;
mod frames;
pub mod index;
pub mod json;
pub mod marks;
mod needles;
pub mod newest;
pub mod query;
mod reader;
pub mod scan;
pub mod source;
pub mod time;
mod usual;

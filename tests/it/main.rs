//! Behaviour of the whole program.

#![allow(clippy::unwrap_used, reason = "a failed check is a panic")]

#[path = "../support/mod.rs"]
mod support;

mod archive;
mod bucket_run;
mod destination;
mod help;
mod fanout;
mod hostile;
mod properties;

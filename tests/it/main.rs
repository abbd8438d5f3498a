//! Behaviour of the whole program.

#![allow(clippy::unwrap_used, reason = "a failed check is a panic")]

#[path = "../support/mod.rs"]
mod support;

mod destination;
mod fetch;
mod harness;
mod kill;
mod list;
mod run;
mod torn;

//! Behaviour of the whole program.

#![allow(clippy::unwrap_used, reason = "a failed check is a panic")]

#[path = "../support/mod.rs"]
mod support;

mod destination;
mod harness;
mod kill;
mod run;

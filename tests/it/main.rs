//! Behaviour of the whole program.

#![allow(clippy::unwrap_used, reason = "a failed check is a panic")]

#[path = "../support/mod.rs"]
mod support;

mod bucket;
mod config_cli;
mod damage;
mod destination;
mod fetch;
mod harness;
mod interop;
mod kill;
mod list;
mod prune;
mod run;
mod sites;
mod torn;
mod verify;

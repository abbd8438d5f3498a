//! Behaviour of the whole program.

#[path = "../support/mod.rs"]
mod support;

mod destination;

//! Carries out what the other modules decide.

mod attempt;
mod claim;
mod contents;
pub mod context;
pub mod error;
pub mod handover;
pub mod inspect;
#[cfg(test)]
mod interleavings;
pub mod lanes;
mod naming;
pub mod outcome;
pub mod pins;
pub mod prune;
mod regression;
pub mod run;
mod sentinel;
pub mod state;

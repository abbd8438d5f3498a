//! Carries out what the other modules decide.

mod base;
mod claim;
mod commit;
mod confirm;
mod contents;
pub mod context;
pub mod error;
pub mod handover;
pub mod inspect;
#[cfg(test)]
mod interleavings;
mod job;
pub mod lanes;
pub mod outcome;
pub mod pins;
mod plan;
pub mod prune;
mod regression;
pub mod run;
mod sentinel;
pub mod state;
mod write;

//! Carries out what the other modules decide.

mod contents;
pub mod handover;
mod held;
pub mod inspect;
pub mod lanes;
pub mod outcome;
pub mod prune;
mod regression;
pub mod run;
mod sentinel;
pub mod state;

//! Carries out what the other modules decide.

mod extra;
pub mod fanout;
pub mod outcome;
pub mod prune;
pub mod run;

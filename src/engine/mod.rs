//! Carries out what the other modules decide.

mod extra;
pub mod fanout;
mod guard;
mod held;
pub mod outcome;
pub mod prune;
pub mod run;
mod worsened;

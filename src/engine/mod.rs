//! Carries out what the other modules decide.

pub mod fanout;

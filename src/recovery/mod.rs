//! From an archive to a recovered site: what recovery will do, the script for Setup, what remains to be done by hand,
//! and proof on an ordinary day that all of it would work.
//!
//! Everything that is stated here as a fact about Configuration Manager comes from Microsoft's documentation; each rule
//! names the document it is from ([`keys::Source`]). Two tables of keys are known, of 2016 and of 2022; where they
//! differ, a finding says which one it applied, and a script satisfies both.
//!
//! [`plan`], [`check`], [`script`] and [`checklist`] are functions of their arguments: they read no file and no clock.
//! Only [`drill`] reads archives and writes to a disk.

pub mod check;
pub mod checklist;
pub mod drill;
pub mod drill_report;
pub mod facts;
mod finding;
pub mod ini;
pub mod keys;
pub mod plan;
pub mod script;
pub mod values;

#[cfg(test)]
mod tests;

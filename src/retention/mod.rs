//! What may be forgotten: a pure decision with reasons.
//!
//! [`plan::plan`] decides about every archive of one destination, [`brakes::check`] says whether the decision may be
//! carried out. Nothing here reads a clock, a disk or a network, so every case that could
//! cost somebody an archive is an ordinary test.

pub mod brakes;
mod chains;
pub mod period;
pub mod plan;
pub mod policy;
mod reason;
pub mod tiers;

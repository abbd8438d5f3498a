//! What may be forgotten: a pure decision with reasons.
//!
//! [`plan::plan`] decides about every archive of one destination, [`guard::check`] says whether the decision may be
//! carried out, [`table::table`] shows it. Nothing here reads a clock, a disk or a network, so every case that could
//! cost somebody an archive is an ordinary test.

pub mod guard;
pub mod period;
pub mod plan;
pub mod policy;
pub mod table;

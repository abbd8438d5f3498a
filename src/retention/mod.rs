//! What may be forgotten: a pure decision with reasons.

pub mod policy;

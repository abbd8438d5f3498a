//! Files as the differences from those of an earlier archive: the coding.

pub mod vcdiff;

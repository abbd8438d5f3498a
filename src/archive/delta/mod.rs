//! Files as the differences from those of an earlier archive: the coding. No archive is written with it yet.

pub mod vcdiff;

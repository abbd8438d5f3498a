//! What differs between systems, behind one function each.

pub(crate) mod files;
pub mod lock;
pub(crate) mod private;
pub(crate) mod verbatim;

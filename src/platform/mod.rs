//! What differs between systems, behind one function each.

pub(crate) mod files;
pub(crate) mod installed;
pub mod lock;
pub(crate) mod open;
pub(crate) mod page_cache;
pub(crate) mod places;
pub(crate) mod positional;
pub(crate) mod private;
pub(crate) mod process;
pub(crate) mod verbatim;

/// Is this Windows? For what can be tested on every system with either answer.
pub(crate) const WINDOWS: bool = cfg!(windows);

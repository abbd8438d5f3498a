//! One file for each section: its keys, what they become, and how they are read and judged.

pub(super) mod archive;
pub(super) mod bucket;
pub(super) mod destination;
pub(super) mod differential;
pub(super) mod drill;
pub(super) mod hooks;
pub(super) mod log;
pub(super) mod preset;
pub(super) mod report;
pub(super) mod retention;
pub(super) mod share;
pub(super) mod snapshot;
pub(super) mod supplemental;
pub(super) mod watch;

//! What both kinds of contents are made of.

use std::path::Path;
use std::sync::Arc;

use jiff::Timestamp;

use crate::archive::index::{Attributes, Skipped};
use crate::archive::writer::Member;

/// Something that does not go into the archive.
pub(in crate::engine) struct Gap {
    pub(in crate::engine) skipped: Skipped,
    /// Is the archive poorer for it?
    pub(in crate::engine) loses_data: bool,
}

pub(in crate::engine) fn folder_member(root: &Path, path: String, modified: Timestamp) -> Member {
    Member { root: Arc::from(root), path, below: 0, folder: true, size: 0, modified, attributes: Attributes::default() }
}

//! What both kinds of contents are made of.

use std::path::Path;
use std::sync::Arc;

use jiff::Timestamp;

use crate::archive::index::Attributes;
use crate::archive::writer::{Member, Need};

pub(in crate::engine) fn folder_member(root: &Path, path: String, modified: Timestamp) -> Member {
    Member {
        root: Arc::from(root),
        path,
        below: 0,
        folder: true,
        size: 0,
        modified,
        attributes: Attributes::default(),
        need: Need::Optional,
        origin: None,
    }
}

//! What is to be archived: members, and what all of them together are known by.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use jiff::Timestamp;
use sha2::{Digest, Sha256};

use super::index::Attributes;
use super::manifest::Sha256Hex;

/// A file or folder that goes into the archive.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Member {
    /// The folder it was found below, or the file itself.
    pub root: Arc<Path>,
    /// Its path in the archive, with `/`.
    pub path: String,
    /// So many bytes at the end of `path` are its path below `root`: one string serves both, for 100,000 files.
    pub below: usize,
    /// Is it a folder?
    pub folder: bool,
    /// Its size when the walk saw it.
    pub size: u64,
    /// Its time when the walk saw it.
    pub modified: Timestamp,
    /// Its Windows attributes.
    pub attributes: Attributes,
    /// What happens when it cannot be read.
    pub need: Need,
    /// Where it, with all below it, came from, where the archive does not say so otherwise.
    pub origin: Option<String>,
}

/// What happens when a file cannot be read.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Need {
    /// There is no archive without it: databases and metadata.
    #[default]
    Required,
    /// It is left out, and the index says so.
    Optional,
    /// The same, also when it is not what the walk saw any more: it is not a part of the snapshot.
    Extra,
}

impl Member {
    /// Where it is.
    #[must_use]
    pub fn source(&self) -> PathBuf {
        let below =
            self.path.len().checked_sub(self.below).and_then(|start| self.path.get(start..)).unwrap_or_default();
        let mut source = self.root.to_path_buf();
        source.extend(below.split('/').filter(|name| !name.is_empty()));
        source
    }
}

/// Tells snapshots apart without reading them: by path, size and time of every file.
#[must_use]
pub fn fingerprint(members: &[Member]) -> String {
    let mut sha256 = Sha256::new();
    for member in members.iter().filter(|member| !member.folder) {
        sha256.update(fingerprint_line(&member.path, member.size, member.modified).as_bytes());
    }
    Sha256Hex(sha256.finalize().into()).to_string()
}

pub(super) fn fingerprint_line(path: &str, size: u64, modified: Timestamp) -> String {
    format!("{path}\0{size}\0{}\n", modified.as_nanosecond())
}

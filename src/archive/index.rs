//! The index: the last member of every archive, a list of all others.
//!
//! It is what makes one file out of 100 GB cheap: path, size, time, SHA-256 and place of every member, readable without
//! touching the members themselves. It comes from storage that others may have written to, so nothing in it is believed
//! before [`Index::parse`] has checked it against the archive it belongs to.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::manifest::{FORMAT, Sha256Hex};
use crate::name::ArchiveId;

/// Path of the index in the archive.
pub const INDEX_PATH: &str = ".afterbackup/index.json";

/// An index of more than this is refused: that would be millions of files.
pub(super) const MAX_INDEX_BYTES: u64 = 1 << 30;

/// A path of more levels than any system has is a forged one: whoever makes its folders would run out of stack.
const MAX_LEVELS: usize = 2048;

pub(super) fn is_too_deep(path: &str) -> bool {
    path.matches('/').count() >= MAX_LEVELS
}

/// A list of everything in an archive.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Index {
    /// Major version of the format.
    pub format: u32,
    /// The archive.
    pub id: ArchiveId,
    /// Every member of the tar but the index, in order.
    pub entries: Vec<Entry>,
    /// What the snapshot had but the archive cannot hold.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub skipped: Vec<Skipped>,
}

/// One member.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Entry {
    /// Path in the archive, with `/`.
    pub path: String,
    /// Is it a folder?
    #[serde(default, skip_serializing_if = "is_default")]
    pub folder: bool,
    /// Size in bytes.
    #[serde(default, skip_serializing_if = "is_default")]
    pub size: u64,
    /// When it was last changed.
    pub modified: Timestamp,
    /// SHA-256 of its bytes; files have one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sha256: Option<Sha256Hex>,
    /// Where its bytes begin in the tar.
    #[serde(default, skip_serializing_if = "is_default")]
    pub offset: u64,
    /// Windows attributes.
    #[serde(default, skip_serializing_if = "is_default", with = "attribute_names")]
    pub attributes: Attributes,
    /// Where it, with all below it, was on the computer that it came from; only supplemental files have one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub origin: Option<String>,
    /// What the page checks found, for database files.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub database: Option<Box<serde_json::Value>>,
}

/// What was not archived.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Skipped {
    /// Path it would have in the archive.
    pub path: String,
    /// Why.
    pub reason: String,
}

/// The Windows attributes that are kept.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash)]
pub struct Attributes {
    /// May not be written to.
    pub read_only: bool,
    /// Not shown.
    pub hidden: bool,
    /// Belongs to the system.
    pub system: bool,
}

fn is_default<T: Default + PartialEq>(value: &T) -> bool {
    *value == T::default()
}

mod attribute_names {
    use serde::{Deserialize, Deserializer, Serialize, Serializer};

    use super::Attributes;

    #[allow(clippy::trivially_copy_pass_by_ref, reason = "the signature serde asks for")]
    pub(super) fn serialize<S: Serializer>(attributes: &Attributes, serializer: S) -> Result<S::Ok, S::Error> {
        let names = [(attributes.read_only, "read-only"), (attributes.hidden, "hidden"), (attributes.system, "system")];
        let set: Vec<&str> = names.iter().filter(|(is_set, _)| *is_set).map(|&(_, name)| name).collect();
        set.serialize(serializer)
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Attributes, D::Error> {
        let names = Vec::<String>::deserialize(deserializer)?;
        let has = |wanted: &str| names.iter().any(|name| name == wanted);
        Ok(Attributes { read_only: has("read-only"), hidden: has("hidden"), system: has("system") })
    }
}

impl Index {
    /// Reads an index and checks it against its archive: same id, every file inside the tar, none overlapping another.
    ///
    /// # Errors
    /// When it is damaged, of another version, or contradicts the archive.
    pub fn parse(json: &[u8], id: &ArchiveId, tar_bytes: u64) -> Result<Self, IndexError> {
        let index: Self = serde_json::from_slice(json).map_err(IndexError::Json)?;
        if index.format != FORMAT {
            return Err(IndexError::Version(index.format));
        }
        if index.id != *id {
            return Err(IndexError::OtherArchive(index.id));
        }
        let mut end = 0;
        for entry in &index.entries {
            if is_too_deep(&entry.path) {
                return Err(IndexError::Levels);
            }
            if entry.folder {
                // Sizes are added up: a folder must not bring one that no file could have.
                if entry.size != 0 || entry.offset != 0 {
                    return Err(IndexError::Place(entry.path.clone()));
                }
                continue;
            }
            let entry_end = entry.offset.checked_add(entry.size).filter(|&end| end <= tar_bytes);
            // In order and apart: a small archive cannot claim the same bytes for a million files.
            match entry_end {
                Some(entry_end) if entry.offset >= end => end = entry_end,
                _ => return Err(IndexError::Place(entry.path.clone())),
            }
            if entry.sha256.is_none() {
                return Err(IndexError::NoSum(entry.path.clone()));
            }
        }
        Ok(index)
    }

    /// Number of files.
    #[must_use]
    pub fn files(&self) -> u64 {
        self.entries.iter().filter(|entry| !entry.folder).count() as u64
    }
}

/// Why an index cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum IndexError {
    /// Not JSON, or not the JSON of an index.
    #[error("the index is damaged")]
    Json(#[source] serde_json::Error),
    /// Another format.
    #[error("the index has format {0}, this program reads format {FORMAT}")]
    Version(u32),
    /// Another archive's.
    #[error("the index belongs to {0}")]
    OtherArchive(ArchiveId),
    /// Outside the tar, or over another file.
    #[error("the index gives '{0}' an impossible place in the archive")]
    Place(String),
    /// No system has so many.
    #[error("the index has a path of more than {MAX_LEVELS} levels")]
    Levels,
    /// Cannot be checked.
    #[error("the index has no SHA-256 for '{0}'")]
    NoSum(String),
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(path: &str, offset: u64, size: u64) -> Entry {
        Entry {
            path: path.into(),
            folder: false,
            size,
            modified: "2026-11-22T23:59:00.1234567Z".parse().unwrap(),
            sha256: Some(Sha256Hex([0xAB; 32])),
            offset,
            attributes: Attributes { read_only: true, ..Attributes::default() },
            origin: None,
            database: None,
        }
    }

    fn index(entries: Vec<Entry>) -> Index {
        Index { format: FORMAT, id: "XYZ-20261122T235900Z".parse().unwrap(), entries, skipped: vec![] }
    }

    fn parse(index: &Index, tar_bytes: u64) -> Result<Index, IndexError> {
        Index::parse(&serde_json::to_vec(index).unwrap(), &"XYZ-20261122T235900Z".parse().unwrap(), tar_bytes)
    }

    #[test]
    fn path_of_more_levels_than_any_system_has_is_refused() {
        let path = |levels: usize| vec!["a"; levels].join("/");
        let parsed = |levels| parse(&index(vec![file(&path(levels), 0, 1)]), 1);
        assert!(parsed(MAX_LEVELS).is_ok());
        assert!(matches!(parsed(40_000), Err(IndexError::Levels)));
    }

    #[test]
    fn index_reads_back_as_written() {
        let index = index(vec![file("XYZBackup/ä.txt", 512, 10), file("XYZBackup/b", 1536, 0)]);
        assert_eq!(parse(&index, 1536).unwrap(), index);
    }

    #[test]
    fn files_outside_the_tar_or_over_each_other_are_refused() {
        assert!(matches!(parse(&index(vec![file("a", 0, 11)]), 10), Err(IndexError::Place(_))));
        assert!(matches!(parse(&index(vec![file("a", u64::MAX, 11)]), 10), Err(IndexError::Place(_))));
        assert!(matches!(parse(&index(vec![file("a", 0, 5), file("b", 4, 5)]), 10), Err(IndexError::Place(_))));
        assert!(parse(&index(vec![file("a", 0, 5), file("b", 5, 5)]), 10).is_ok());
    }

    #[test]
    fn folder_with_a_size_is_refused() {
        let folder = |size, offset| Entry { folder: true, sha256: None, ..file("a", offset, size) };
        assert!(parse(&index(vec![folder(0, 0)]), 10).is_ok());
        assert!(matches!(parse(&index(vec![folder(u64::MAX, 0)]), 10), Err(IndexError::Place(_))));
        assert!(matches!(parse(&index(vec![folder(0, 1)]), 10), Err(IndexError::Place(_))));
    }

    #[test]
    fn an_index_of_another_archive_or_without_sums_is_refused() {
        let json = serde_json::to_vec(&index(vec![])).unwrap();
        assert!(Index::parse(&json, &"ABC-20261122T235900Z".parse().unwrap(), 10).is_err());
        let mut bare = file("a", 0, 5);
        bare.sha256 = None;
        assert!(matches!(parse(&index(vec![bare]), 10), Err(IndexError::NoSum(_))));
    }
}

//! The index: the last member of every archive, a list of all others.
//!
//! It is what makes one file out of 100 GB cheap: path, size, time, SHA-256 and place of every member, readable without
//! touching the members themselves. It comes from storage that others may have written to, so nothing in it is believed
//! before [`Index::parse`] has checked it against the archive it belongs to.

use std::cmp::Ordering;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use super::manifest::{Base, FORMAT, Sha256Hex};
use crate::name::ArchiveId;

/// Path of the index in the archive.
pub const INDEX_PATH: &str = ".afterbackup/index.jsonl";

/// An index of more than this is neither written nor read: that would be ten million files.
pub(super) const MAX_INDEX_BYTES: u64 = 2 << 30;

/// A longer line is neither written nor read: a path has at most 32 KiB, what is found in a database
/// [`FINDINGS_BYTES`].
pub(super) const MAX_LINE_BYTES: usize = 4 << 20;

/// What is kept of what was found in a database file, and in all of them. Readers take twice that.
pub(super) const FINDINGS_BYTES: usize = 512 << 10;
pub(super) const ALL_FINDINGS_BYTES: usize = 32 << 20;

/// A larger index with its seek table, as they are stored, is neither written nor read: the manifest says how much
/// memory they take, and may lie.
pub(super) const MAX_TAIL_BYTES: u64 = 1 << 30;

/// A path of more levels than any system has is a forged one: whoever makes its folders would run out of stack.
const MAX_LEVELS: usize = 2048;

pub(super) fn is_too_deep(path: &str) -> bool {
    path.matches('/').count() >= MAX_LEVELS
}

/// The deepest folder above a path that an index may name; all of a path that is not too deep.
pub(super) fn shallow(path: &str) -> &str {
    path.match_indices('/').nth(MAX_LEVELS - 1).map_or(path, |(slash, _)| path.get(..slash).unwrap_or(path))
}

/// A list of everything in an archive.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Index {
    /// Major version of the format.
    pub format: u32,
    /// The archive.
    pub id: ArchiveId,
    /// What it builds on, as its manifest says.
    pub base: Option<Base>,
    /// Every file and folder of the snapshot, in order. As it is stored, the index of a differential archive has only
    /// those that differ from its base.
    pub entries: Vec<Entry>,
    /// What the base has and the snapshot does not, in order.
    pub removed: Vec<String>,
    /// What the snapshot had but the archive cannot hold, in order.
    pub skipped: Vec<Skipped>,
}

/// One member.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
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
    pub database: Option<Findings>,
    /// Its bytes are those of the base; only its time or its attributes differ.
    #[serde(default, skip_serializing_if = "is_default")]
    pub same: bool,
    /// How its bytes differ from those of the same file in the base. One that has this has no `offset`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub delta: Option<Box<Delta>>,
    /// Number in the chain, from 0 for the full one, of the archive that has its bytes, or how they differ.
    #[serde(skip)]
    pub link: u8,
}

/// A file as what differs from the same file in the base: a VCDIFF, cut into pieces.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Delta {
    /// The pieces of the VCDIFF, in order.
    pub pieces: Vec<Piece>,
    /// The file in the base, where that is at hand.
    #[serde(skip)]
    pub from: Option<Box<Entry>>,
}

/// A piece of a VCDIFF, as `[at, offset, size]`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(from = "[u64; 3]", into = "[u64; 3]")]
pub struct Piece {
    /// Where its first window begins in the file.
    pub at: u64,
    /// Where its bytes begin in the tar.
    pub offset: u64,
    /// How many bytes it has.
    pub size: u64,
}

impl From<[u64; 3]> for Piece {
    fn from([at, offset, size]: [u64; 3]) -> Self {
        Self { at, offset, size }
    }
}

impl From<Piece> for [u64; 3] {
    fn from(Piece { at, offset, size }: Piece) -> Self {
        [at, offset, size]
    }
}

/// What the page checks found in a file, as JSON text: nobody who opens an archive needs it taken apart.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Findings(Box<RawValue>);

impl Findings {
    /// `None` when it is more than may be kept of one file, or than is `left` for all that follow.
    pub(super) fn within(found: &impl Serialize, left: &mut usize) -> Option<Self> {
        let json = serde_json::value::to_raw_value(found).expect("a check has only string keys");
        let bytes = json.get().len();
        *left = left.checked_sub(bytes).filter(|_| bytes <= FINDINGS_BYTES)?;
        Some(Self(json))
    }

    /// The JSON.
    #[must_use]
    pub fn json(&self) -> &str {
        self.0.get()
    }
}

impl PartialEq for Findings {
    fn eq(&self, other: &Self) -> bool {
        self.json() == other.json()
    }
}

impl Eq for Findings {}

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

pub(super) mod attribute_names {
    use serde::{Deserialize, Deserializer, Serialize, Serializer};

    use super::Attributes;

    #[allow(clippy::trivially_copy_pass_by_ref, reason = "the signature serde asks for")]
    pub(in crate::archive) fn serialize<S: Serializer>(
        attributes: &Attributes,
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        let names = [(attributes.read_only, "read-only"), (attributes.hidden, "hidden"), (attributes.system, "system")];
        let set: Vec<&str> = names.iter().filter(|(is_set, _)| *is_set).map(|&(_, name)| name).collect();
        set.serialize(serializer)
    }

    pub(in crate::archive) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Attributes, D::Error> {
        let names = Vec::<String>::deserialize(deserializer)?;
        let has = |wanted: &str| names.iter().any(|name| name == wanted);
        Ok(Attributes { read_only: has("read-only"), hidden: has("hidden"), system: has("system") })
    }
}

impl Index {
    /// One of nothing yet.
    #[must_use]
    pub fn empty(id: ArchiveId) -> Self {
        Self { format: FORMAT, id, base: None, entries: Vec::new(), removed: Vec::new(), skipped: Vec::new() }
    }

    /// The number of the archive in its chain.
    #[must_use]
    pub fn link(&self) -> u8 {
        let below = self.base.as_ref().map_or(0, |base| base.chain.len());
        // Longer chains are refused with the manifest.
        u8::try_from(below).unwrap_or(u8::MAX)
    }

    /// Number of files.
    #[must_use]
    pub fn files(&self) -> u64 {
        self.entries.iter().filter(|entry| !entry.folder).count() as u64
    }

    /// Size of all files together, in bytes.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        self.entries.iter().fold(0, |sum, entry| sum.saturating_add(entry.size))
    }
}

/// The order of an archive: folders before what they contain, siblings by the bytes of their names.
#[must_use]
pub fn archive_order(a: &str, b: &str) -> Ordering {
    let common = a.bytes().zip(b.bytes()).take_while(|(a, b)| a == b).count();
    match (a.as_bytes().get(common), b.as_bytes().get(common)) {
        (None, None) => Ordering::Equal,
        (None, Some(_)) => Ordering::Less,
        (Some(_), None) => Ordering::Greater,
        (Some(a), Some(b)) => (*a != b'/', a).cmp(&(*b != b'/', b)),
    }
}

/// Why an index cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum IndexError {
    /// Not JSON, or not the JSON of an index.
    #[error("the index is damaged")]
    Json(#[source] serde_json::Error),
    /// Without its first line, or cut.
    #[error("the index is cut")]
    Cut,
    /// A line that no index has.
    #[error("the index has a line of over {MAX_LINE_BYTES} bytes")]
    Line,
    /// Not sorted, or one path twice.
    #[error("the index has '{0}' twice or out of order")]
    Order(String),
    /// What the directory says of the chunks is not so.
    #[error("the directory of the index does not fit the index")]
    Directory,
    /// Another format.
    #[error("the index has format {0}, this program reads format {FORMAT}")]
    Version(u32),
    /// Another archive's.
    #[error("the index belongs to {0}")]
    OtherArchive(ArchiveId),
    /// Outside the tar, or over another file.
    #[error("the index gives '{0}' an impossible place in the archive")]
    Place(String),
    /// Of an archive without a base, or of a file that the base does not have.
    #[error("the index says that '{0}' differs from a file that is not there")]
    NoBase(String),
    /// Another base than the manifest's.
    #[error("index and manifest name different archives as the base")]
    OtherBase,
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
            size,
            modified: "2026-11-22T23:59:00.1234567Z".parse().unwrap(),
            sha256: Some(Sha256Hex([0xAB; 32])),
            offset,
            attributes: Attributes { read_only: true, ..Attributes::default() },
            ..Entry::default()
        }
    }

    fn index(entries: Vec<Entry>) -> Index {
        Index { entries, ..Index::empty("XYZ-20261122T235900Z".parse().unwrap()) }
    }

    fn parse(index: &Index, tar_bytes: u64) -> Result<Index, IndexError> {
        Index::parse(&index.to_lines(), &"XYZ-20261122T235900Z".parse().unwrap(), tar_bytes)
    }

    #[test]
    fn path_of_more_levels_than_any_system_has_is_refused() {
        let path = |levels: usize| vec!["a"; levels].join("/");
        let parsed = |levels| parse(&index(vec![file(&path(levels), 0, 1)]), 1);
        assert!(parsed(MAX_LEVELS).is_ok());
        assert!(matches!(parsed(40_000), Err(IndexError::Levels)));
        for levels in [1, MAX_LEVELS, MAX_LEVELS + 1, 40_000] {
            let whole = path(levels);
            let named = shallow(&whole);
            assert!(parse(&index(vec![file(named, 0, 1)]), 1).is_ok() && whole.starts_with(named), "{levels}");
            assert_eq!(named == whole, !is_too_deep(&whole), "{levels}");
        }
    }

    #[test]
    fn index_reads_back_as_written() {
        let index = index(vec![file("XYZBackup/b", 512, 10), file("XYZBackup/ä.txt", 1536, 0)]);
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
    fn findings_are_kept_as_far_as_a_reader_takes_them() {
        let mut left = FINDINGS_BYTES;
        assert!(Findings::within(&"a".repeat(FINDINGS_BYTES), &mut left).is_none(), "with its quotes it is longer");
        assert_eq!(left, FINDINGS_BYTES);
        assert!(Findings::within(&"a".repeat(FINDINGS_BYTES - 12), &mut left).is_some());
        assert_eq!(left, 10);
        assert!(Findings::within(&"a".repeat(9), &mut left).is_none());
        assert!(Findings::within(&"a".repeat(8), &mut left).is_some());
    }

    #[test]
    fn an_index_of_another_archive_or_without_sums_is_refused() {
        assert!(Index::parse(&index(vec![]).to_lines(), &"ABC-20261122T235900Z".parse().unwrap(), 10).is_err());
        let mut bare = file("a", 0, 5);
        bare.sha256 = None;
        assert!(matches!(parse(&index(vec![bare]), 10), Err(IndexError::NoSum(_))));
    }
}

//! The manifest: a small JSON file beside each archive, written last. It makes the archive exist.
//!
//! It tells what `list` and `prune` need without opening the archive, and where to find the index. It never holds what
//! encryption should hide. Reading is strict about what would lead to a wrong restore (version, base, names) and
//! lenient about everything else, so that newer programs can add fields.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

pub use super::database::Database;
use super::databases::site_databases;
use super::provenance::{EvidenceKind, PartKind};
use super::verdict::Why;
use crate::name::{ArchiveId, Form, Level, SiteCode, StoredFile};

/// The version of the stored format that this program writes and reads.
pub const FORMAT: u32 = 1;

/// A manifest is refused when larger.
pub const MAX_BYTES: u64 = 1 << 20;

/// What is known of an archive without opening it. Fields are described in FORMAT.md, section 4.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Manifest {
    /// Major version of the format.
    pub format: u32,
    /// The archive's id.
    pub id: ArchiveId,
    /// Site code.
    pub site: String,
    /// Separate series.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub series: Option<String>,
    /// When the snapshot was completed.
    pub completed: Timestamp,
    /// What `completed` was taken from.
    #[serde(default)]
    pub completion_evidence: EvidenceKind,
    /// When the archive was made.
    pub archived: Timestamp,
    /// Name and version of the writer.
    #[serde(default)]
    pub program: String,
    /// Host that wrote it.
    #[serde(default)]
    pub host: String,
    /// File name of the archive.
    pub archive: String,
    /// Size of that file in bytes.
    pub bytes: u64,
    /// SHA-256 of that file.
    pub sha256: Sha256Hex,
    /// Size before encryption.
    pub compressed_bytes: u64,
    /// Size of the tar.
    pub uncompressed_bytes: u64,
    /// Number of files of the snapshot, whichever archive has their bytes.
    pub files: u64,
    /// Size of these files together.
    pub snapshot_bytes: u64,
    /// What it builds on; only differential archives have one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub base: Option<Base>,
    /// Why it is a full one, where a differential might have been written.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub full_because: Option<String>,
    /// How it is encrypted, if it is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub encryption: Option<Encryption>,
    /// Where the index is.
    pub index: IndexLocation,
    /// The folders the snapshot was read from.
    #[serde(default)]
    pub parts: Vec<Part>,
    /// Tells snapshots apart.
    #[serde(default)]
    pub fingerprint: String,
    /// Which of the folders that the backup task makes it holds.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub folders: Vec<String>,
    /// Which of them should be in it and are not.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub missing: Vec<String>,
    /// How many files and folders are not in it though they should be; the index names them.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub skipped: u64,
    /// The name of the site's database, where setup did not give it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub site_database: Option<String>,
    /// Verdicts of the page checks.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub databases: Vec<Database>,
}

/// The archives that a differential archive builds on.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Base {
    /// All that are needed besides it: the full one first, the one that it differs from last.
    pub chain: Vec<ArchiveId>,
    /// SHA-256 of the index of the last of them: it covers that of every file, whatever the archive was stored as.
    pub index_sha256: Sha256Hex,
    /// Size of the full archive in bytes, as it is stored.
    pub full_bytes: u64,
    /// Which tier it belongs to.
    pub level: Level,
}

/// Longer chains are neither written nor read.
pub const MAX_CHAIN: usize = 31;

/// How an archive is encrypted.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Encryption {
    /// age public keys.
    pub recipients: Vec<String>,
}

/// Where the index is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct IndexLocation {
    /// Number of its first frame.
    pub frame: u64,
    /// How many frames.
    pub frames: u64,
    /// Where the first begins in the compressed archive, before encryption.
    pub frame_offset: u64,
    /// Its directory of chunks, if it has one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub directory: Option<DirectoryLocation>,
    /// Where its first line begins in the tar.
    pub offset: u64,
    /// Its size in bytes.
    pub size: u64,
    /// Its SHA-256: what an archive based on this one knows it by.
    pub sha256: Sha256Hex,
}

/// Where the directory of an index is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct DirectoryLocation {
    /// Where its frame begins in the compressed archive, before encryption.
    pub frame_offset: u64,
    /// SHA-256 of its lines: they have those of the chunks.
    pub sha256: Sha256Hex,
}

/// A folder the snapshot was read from.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Part {
    /// What it holds.
    pub kind: PartKind,
    /// Where it was.
    pub path: String,
}

#[allow(clippy::trivially_copy_pass_by_ref, reason = "the signature serde asks for")]
fn is_zero(number: &u64) -> bool {
    *number == 0
}

/// No archive is larger: an exbibyte.
const MAX_ARCHIVE_BYTES: u64 = 1 << 60;

impl Manifest {
    /// Reads a manifest that lies on a destination under `file_name`.
    ///
    /// # Errors
    /// When it is not a manifest, of another version, of a differential archive, or contradicts its name.
    pub fn parse(file_name: &str, bytes: &[u8]) -> Result<Self, ManifestError> {
        let fault = |reason: Fault| ManifestError { file_name: file_name.to_owned(), reason };
        // The version first: the rest of a newer manifest may well look different.
        let head: Head = serde_json::from_slice(bytes).map_err(|error| fault(Fault::Json(error)))?;
        if head.format != FORMAT {
            return Err(fault(Fault::Version(head.format)));
        }
        let manifest: Self = serde_json::from_slice(bytes).map_err(|error| fault(Fault::Json(error)))?;
        if manifest.id.manifest_name() != file_name {
            return Err(fault(Fault::OtherId(manifest.id.to_string())));
        }
        let names_own_archive = matches!(
            StoredFile::parse(&manifest.archive),
            Some(StoredFile::Archive { id, form }) if id == manifest.id && form == manifest.form()
        );
        if !names_own_archive {
            return Err(fault(Fault::OtherArchive(manifest.archive)));
        }
        if manifest.base.as_ref().is_some_and(|base| !base.fits(&manifest.id)) {
            return Err(fault(Fault::Chain));
        }
        let index = &manifest.index;
        // Whoever adds to such sizes, or multiplies them by the overhead of encryption, needs no thought of overflow.
        let full_bytes = manifest.base.as_ref().map_or(0, |base| base.full_bytes);
        let sizes = [manifest.bytes, manifest.uncompressed_bytes, manifest.snapshot_bytes, full_bytes];
        let sizes_exist = sizes.iter().all(|&bytes| bytes <= MAX_ARCHIVE_BYTES);
        let tail_fits = sizes_exist
            && index.frame_offset < manifest.compressed_bytes
            && index.directory.is_none_or(|directory| {
                index.frame_offset < directory.frame_offset && directory.frame_offset < manifest.compressed_bytes
            })
            && manifest.compressed_bytes <= manifest.bytes
            && index.offset.checked_add(index.size).is_some_and(|end| end <= manifest.uncompressed_bytes);
        if !tail_fits {
            return Err(fault(Fault::Numbers));
        }
        Ok(manifest)
    }

    /// The manifest as it is stored.
    #[must_use]
    pub fn to_json(&self) -> Vec<u8> {
        let mut json = serde_json::to_vec_pretty(self).expect("a manifest has only string keys");
        json.push(b'\n');
        json
    }

    /// Is it small enough to be read again?
    #[must_use]
    pub fn fits(&self) -> bool {
        self.to_json().len() as u64 <= MAX_BYTES
    }

    /// What kind of file the archive is.
    #[must_use]
    pub fn form(&self) -> Form {
        Form { encrypted: self.encryption.is_some(), differential: self.base.is_some() }
    }

    /// Which tier it belongs to.
    #[must_use]
    pub fn level(&self) -> Level {
        self.base.as_ref().map_or(Level::Full, |base| base.level)
    }

    /// The archives that it needs besides itself, the full one first.
    #[must_use]
    pub fn chain(&self) -> &[ArchiveId] {
        self.base.as_ref().map_or(&[], |base| &base.chain)
    }

    /// The base of an archive that differs from this one.
    #[must_use]
    pub fn as_base(&self, level: Level) -> Base {
        Base {
            chain: self.chain().iter().chain([&self.id]).cloned().collect(),
            index_sha256: self.index.sha256,
            full_bytes: self.base.as_ref().map_or(self.bytes, |base| base.full_bytes),
            level,
        }
    }

    /// The site.
    #[must_use]
    pub fn site(&self) -> SiteCode {
        self.id.site()
    }

    /// Is something that must be there damaged, foreign or missing?
    #[must_use]
    pub fn is_damaged(&self) -> bool {
        self.databases.iter().any(|database| database.verdict.is_damaged())
    }

    /// Does nothing speak against it? Its databases need not be proven: where nothing can be proven, they cannot be.
    #[must_use]
    pub fn is_good(&self) -> bool {
        !self.is_damaged()
            && self.missing.is_empty()
            && self.databases.iter().all(|database| database.why != Some(Why::StandIn))
    }

    /// Is everything in it that was there?
    #[must_use]
    pub fn is_complete(&self) -> bool {
        self.missing.is_empty() && self.skipped == 0
    }

    /// Is a part missing without which no site can be recovered?
    #[must_use]
    pub fn lacks_the_site(&self) -> bool {
        self.missing.iter().any(|folder| folder != "cd_latest")
    }

    /// Is the site's database proven to be sound, with its log, and is nothing damaged?
    #[must_use]
    pub fn is_proven(&self) -> bool {
        let names = site_databases(self.site(), self.site_database.as_deref());
        let mut own = self.databases.iter().filter(|one| names.iter().any(|name| name.eq_ignore_ascii_case(&one.name)));
        self.is_good() && own.clone().next().is_some() && own.all(|database| database.verdict.is_proven())
    }
}

impl Base {
    /// Is this the archive number `at` of the chain, as it was when it was built upon? By its index the last one is the
    /// right one, and by what each says of its own base, those below it are.
    #[must_use]
    pub fn is_link(&self, at: usize, there: &Manifest) -> bool {
        let is_last = at + 1 == self.chain.len();
        self.chain.get(..at) == Some(there.chain()) && (!is_last || there.index.sha256 == self.index_sha256)
    }

    /// May an archive of this id build on it? Each is newer than those it needs: there are no circles, and whoever
    /// removes the newest first never breaks a chain.
    fn fits(&self, id: &ArchiveId) -> bool {
        let related = |one: &ArchiveId| one.site() == id.site() && one.series() == id.series();
        let stamps = self.chain.iter().chain([id]).map(ArchiveId::stamp);
        (1..=MAX_CHAIN).contains(&self.chain.len())
            && self.level != Level::Full
            && self.chain.iter().all(related)
            && stamps.is_sorted_by(|older, newer| older < newer)
    }
}

#[derive(Deserialize)]
struct Head {
    format: u32,
}

/// Why a manifest cannot be used.
#[derive(Debug, thiserror::Error)]
#[error("manifest {file_name} cannot be used")]
pub struct ManifestError {
    /// Its file name.
    pub file_name: String,
    #[source]
    reason: Fault,
}

impl ManifestError {
    /// Is the archive probably fine, but from a newer version of the program?
    #[must_use]
    pub fn is_newer(&self) -> bool {
        matches!(self.reason, Fault::Version(version) if version > FORMAT)
    }
}

#[derive(Debug, thiserror::Error)]
enum Fault {
    #[error("it is truncated or no manifest: {0}")]
    Json(serde_json::Error),
    #[error("it has format {0}, this program reads format {FORMAT}: use a newer version of afterbackup")]
    Version(u32),
    #[error("the archives that it says it needs cannot be those of this one")]
    Chain,
    #[error("it says it belongs to {0}")]
    OtherId(String),
    #[error("it names '{0}' as its archive, which has not the same id")]
    OtherArchive(String),
    #[error("its sizes contradict each other")]
    Numbers,
}

/// A SHA-256, written as 64 hex digits.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Sha256Hex(pub [u8; 32]);

impl std::fmt::Display for Sha256Hex {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl std::fmt::Debug for Sha256Hex {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{self}")
    }
}

impl Serialize for Sha256Hex {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        const DIGITS: &[u8; 16] = b"0123456789abcdef";
        let mut text = [0; 64];
        for (pair, byte) in text.chunks_exact_mut(2).zip(self.0) {
            pair[0] = DIGITS[usize::from(byte >> 4)];
            pair[1] = DIGITS[usize::from(byte & 15)];
        }
        serializer.serialize_str(std::str::from_utf8(&text).expect("hex digits are ASCII"))
    }
}

impl<'de> Deserialize<'de> for Sha256Hex {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = std::borrow::Cow::<str>::deserialize(deserializer)?;
        let digits = text.as_bytes();
        let mut bytes = [0; 32];
        if digits.len() != 64 {
            return Err(serde::de::Error::custom("a SHA-256 has 64 hex digits"));
        }
        for (byte, pair) in bytes.iter_mut().zip(digits.chunks_exact(2)) {
            let digit = |d: u8| char::from(d).to_digit(16);
            let (Some(high), Some(low)) = (digit(pair[0]), digit(pair[1])) else {
                return Err(serde::de::Error::custom("a SHA-256 has hex digits only"));
            };
            *byte = u8::try_from(high << 4 | low).expect("two hex digits are one byte");
        }
        Ok(Self(bytes))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::archive::verdict::Verdict;

    fn manifest() -> Manifest {
        let id: ArchiveId = "XYZ-20261122T235900Z".parse().unwrap();
        Manifest {
            format: FORMAT,
            site: "XYZ".into(),
            series: None,
            completed: id.stamp(),
            completion_evidence: EvidenceKind::StatusMessage,
            archived: id.stamp(),
            program: "afterbackup 0.1.0".into(),
            host: "CM01".into(),
            archive: id.archive_name(Form::PLAIN),
            bytes: 1000,
            sha256: Sha256Hex([7; 32]),
            compressed_bytes: 1000,
            uncompressed_bytes: 10_240,
            files: 3,
            snapshot_bytes: 8000,
            base: None,
            full_because: None,
            encryption: None,
            index: IndexLocation {
                frame: 2,
                frames: 1,
                frame_offset: 700,
                directory: None,
                offset: 8704,
                size: 512,
                sha256: Sha256Hex([8; 32]),
            },
            parts: vec![Part { kind: PartKind::Site, path: r"E:\ConfigMgr_Backup\XYZBackup".into() }],
            fingerprint: "00".into(),
            folders: vec![],
            missing: vec![],
            skipped: 0,
            site_database: None,
            databases: vec![],
            id,
        }
    }

    fn changed(field: &str, value: serde_json::Value) -> Result<Manifest, ManifestError> {
        let mut json: serde_json::Value = serde_json::from_slice(&manifest().to_json()).unwrap();
        json[field] = value;
        Manifest::parse("XYZ-20261122T235900Z.json", json.to_string().as_bytes())
    }

    #[test]
    fn manifest_reads_back_as_written() {
        let manifest = manifest();
        assert_eq!(Manifest::parse("XYZ-20261122T235900Z.json", &manifest.to_json()).unwrap(), manifest);
    }

    #[test]
    fn archive_is_proven_by_the_database_of_its_site() {
        let one = |name: &str, verdict: Verdict| Database { name: name.into(), verdict, ..Database::default() };
        let (sound, unproven) = (Verdict::Sound, Verdict::Unproven);
        for (databases, good, proven) in [
            (vec![], true, false),
            (vec![one("CM_XYZ", sound.clone()), one("cm_xyz", Verdict::SoundWithNotes)], true, true),
            (vec![one("SMS_XYZ", sound.clone())], true, true),
            (vec![one("CM_XYZ", sound.clone()), one("SUSDB", unproven.clone())], true, true),
            (vec![one("CM_XYZ", sound.clone()), one("CM_XYZ", unproven)], true, false),
            (vec![one("CM_XYZ", Verdict::Later("splendid".into()))], true, false),
            (vec![one("SUSDB", sound.clone())], true, false),
            (vec![one("CM_ABC", sound.clone())], true, false),
            (vec![one("CM_XYZ", sound), one("SUSDB", Verdict::Damaged)], false, false),
            (vec![Database { why: Some(Why::StandIn), ..one("CM_XYZ", Verdict::Unproven) }], false, false),
        ] {
            let manifest = Manifest { databases, ..manifest() };
            assert_eq!((manifest.is_good(), manifest.is_proven()), (good, proven), "{:?}", manifest.databases);
        }
        for (name, proven) in [("ConfigMgr", true), ("configmgr", true), ("CM_XYZ", false)] {
            let databases = vec![one(name, Verdict::Sound)];
            let manifest = Manifest { databases, site_database: Some("ConfigMgr".into()), ..manifest() };
            assert_eq!(manifest.is_proven(), proven, "{name}");
        }
    }

    #[test]
    fn unknown_fields_are_ignored() {
        assert_eq!(changed("colour", "blue".into()).unwrap(), manifest());
    }

    #[test]
    fn other_versions_are_refused() {
        assert!(changed("format", 2.into()).unwrap_err().is_newer());
        assert!(!changed("format", 0.into()).unwrap_err().is_newer());
        assert!(changed("base", serde_json::Value::Null).is_ok());
    }

    #[test]
    fn differential_archive_names_older_ones_of_its_own_series() {
        let full = |id: &str| Manifest { id: id.parse().unwrap(), ..manifest() };
        let of = |base: Base| {
            let manifest = Manifest { base: Some(base), ..manifest() };
            let archive = manifest.id.archive_name(manifest.form());
            let manifest = Manifest { archive, ..manifest };
            Manifest::parse("XYZ-20261122T235900Z.json", &manifest.to_json()).map(|read| (read == manifest, read))
        };
        let base = full("XYZ-20261121T235900Z").as_base(Level::Nightly);
        let (same, read) = of(base.clone()).unwrap();
        assert!(same && read.archive == "XYZ-20261122T235900Z.diff.tar.zst", "{}", read.archive);
        assert_eq!((read.level(), read.chain()), (Level::Nightly, base.chain.as_slice()));
        assert!(of(Base { level: Level::Full, ..base.clone() }).is_err());
        let chain = |ids: &[&str]| ids.iter().map(|id| id.parse().unwrap()).collect::<Vec<ArchiveId>>();
        for wrong in [
            chain(&[]),
            chain(&["ABC-20261121T235900Z"]),
            chain(&["XYZ-20261122T235900Z"]),
            chain(&["XYZ-20261123T235900Z"]),
            chain(&["XYZ-20261121T235900Z", "XYZ-20261120T235900Z"]),
            chain(&["XYZ-20261121T235900Z"; 2]),
            (0..32).map(|minute| format!("XYZ-20261121T23{minute:02}00Z").parse().unwrap()).collect(),
        ] {
            let words = format!("{wrong:?}");
            assert!(of(Base { chain: wrong, ..base.clone() }).is_err(), "{words}");
        }
    }

    #[test]
    fn manifest_fits_as_long_as_a_reader_takes_it() {
        let database = Database { name: "CM_XYZ".into(), file: "x".repeat(200), ..Database::default() };
        let of = |files| Manifest { databases: vec![database.clone(); files], ..manifest() };
        let sizes = [1, 1000, 10_000].map(|files| (of(files).fits(), of(files).to_json().len() as u64));
        assert!(sizes.iter().all(|&(fits, bytes)| fits == (bytes <= MAX_BYTES)), "{sizes:?}");
        assert_eq!(sizes.map(|(fits, _)| fits), [true, true, false]);
    }

    #[test]
    fn contradictions_are_refused() {
        assert!(changed("id", "ABC-20261122T235900Z".into()).is_err());
        assert!(changed("archive", "../../etc/passwd".into()).is_err());
        assert!(changed("archive", "XYZ-20261122T235900Z.tar.zst.age".into()).is_err());
        assert!(changed("compressed_bytes", 1001.into()).is_err());
        assert!(changed("sha256", "abc".into()).is_err());
        assert!(changed("bytes", u64::MAX.into()).is_err());
        assert!(changed("uncompressed_bytes", u64::MAX.into()).is_err());
    }

    #[test]
    fn every_truncation_is_refused() {
        let json = manifest().to_json();
        for end in 0..json.len() - 2 {
            assert!(Manifest::parse("XYZ-20261122T235900Z.json", &json[..end]).is_err(), "{end}");
        }
    }

    proptest! {
        #[test]
        fn any_bytes_are_judged_without_panic(bytes in any::<Vec<u8>>()) {
            prop_assert!(Manifest::parse("XYZ-20261122T235900Z.json", &bytes).is_err());
        }
    }
}

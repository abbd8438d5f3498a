//! The configuration, checked: no options left to guess.
//!
//! `raw` reads the TOML as written, `validate` turns it into a [`Config`] and reports all faults at once.

use std::path::PathBuf;
use std::time::Duration;

use crate::archive::name::SiteCode;
use crate::retention::policy::Policy;

/// Everything a command needs to know.
#[derive(Debug, Clone)]
pub struct Config {
    /// Where it was read from.
    pub file: PathBuf,
    /// Where the backup task writes.
    pub snapshot: Snapshot,
    /// What else goes into the archive.
    pub supplemental: Vec<Supplemental>,
    /// How archives are written.
    pub archive: Archive,
    /// Where archives go. At least one.
    pub destinations: Vec<Destination>,
    /// The file whose OS lock keeps two runs on this host apart.
    pub lock_file: PathBuf,
}

/// Where the backup task writes.
#[derive(Debug, Clone)]
pub struct Snapshot {
    /// Holds `XYZBackup`, or the folders of several sites, or is such a folder.
    pub path: PathBuf,
    /// Where the database half lies, if elsewhere.
    pub sql_path: Option<PathBuf>,
    /// smsbkup.log. Without it, the copy in the snapshot.
    pub log: Option<PathBuf>,
    /// Only this site, where `path` holds several.
    pub site: Option<SiteCode>,
    /// How long nothing may have changed, where the log does not tell.
    pub quiet: Duration,
}

/// Files that belong to the site but are not in the snapshot.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Supplemental {
    /// Folder below `Supplemental/`. One path component.
    pub name: String,
    /// Path with `*`, `?` and `**`.
    pub path: String,
    /// Name in the archive; `{1}` is what the first `*` matched. Without it, the path's last component.
    pub rename: Option<String>,
}

/// How archives are written.
#[derive(Debug, Clone)]
pub struct Archive {
    /// zstd level, 1 to 19.
    pub level: i32,
    /// Compression threads, at least 1.
    pub threads: usize,
    /// age public keys (`age1…`). Empty: not encrypted.
    pub recipients: Vec<String>,
}

/// Where archives go.
#[derive(Debug, Clone)]
pub struct Destination {
    /// Unique name.
    pub name: String,
    /// Folder or bucket.
    pub target: Target,
    /// What to keep there.
    pub retention: Policy,
    /// How to check what was pushed.
    pub verify: Verify,
    /// Not more than this many bytes a second.
    pub bandwidth: Option<u64>,
    /// How long to try again when the destination does not answer.
    pub retry_for: Duration,
    /// How long a single block may take before the destination is given up.
    pub stall_timeout: Duration,
    /// Leftovers of uploads that never finished are removed when older than this.
    pub sweep_after: Duration,
}

/// Folder or bucket.
#[derive(Debug, Clone)]
pub enum Target {
    /// A local folder or UNC path.
    Folder(PathBuf),
    /// An object store.
    Bucket(Bucket),
}

/// An object store.
#[derive(Clone)]
pub struct Bucket {
    /// `s3://bucket/prefix`, `az://container/prefix`, `gs://bucket/prefix`.
    pub url: url::Url,
    /// Another address than the provider's own.
    pub endpoint: Option<url::Url>,
    /// Options as `object_store` names them, secrets included: never printed.
    pub options: Vec<(String, String)>,
    /// PEM file of a certificate authority to trust besides the system's.
    pub ca_file: Option<PathBuf>,
}

impl std::fmt::Debug for Bucket {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let keys: Vec<_> = self.options.iter().map(|(key, _)| key).collect();
        f.debug_struct("Bucket").field("url", &self.url.as_str()).field("options", &keys).finish_non_exhaustive()
    }
}

/// How to check what was pushed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verify {
    /// Read everything back and compare the SHA-256.
    Full,
    /// Compare the size (and let a bucket check the checksum of every part).
    Size,
    /// Do not check.
    None,
}

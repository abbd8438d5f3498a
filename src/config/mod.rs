//! The configuration, checked: no options left to guess.
//!
//! `raw` reads the TOML as written, `validate` turns it into a [`Config`] and reports all faults at once, `secrets`
//! keeps secrets out of the file and of every message, `share` tells shares from folders.
//!
//! What holds for every key:
//! * Relative paths start at the folder of the configuration file, not at the working directory: AfterBackup.bat runs
//!   with one that nobody has documented.
//! * Environment variables in values (`%ProgramData%`, `$HOME`) are not expanded: Local System, under which the backup
//!   task runs us, has other values than the administrator who wrote the file. A path that seems to hold one is warned about.
//! * Paths are compared by their text only. Asking the file system would open the snapshot's folder, and an
//!   unreachable share would hold up every command for a minute.

use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::name::SiteCode;
use crate::retention::policy::Policy;

pub use self::error::{ConfigError, Fault};
pub use self::report::{Heartbeat, Hook, Hooks, OnFailure, Report};
pub use self::share::{Credentials, Share, place_fault};

mod bucket;
mod error;
mod log;
pub(crate) mod paths;
mod raw;
mod report;
mod secrets;
mod share;
mod snapshot;
mod validate;

/// Looks up an environment variable. The real one is `|name| std::env::var(name).ok()`; tests bring their own.
pub type Env<'e> = &'e dyn Fn(&str) -> Option<String>;

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
    /// How the resident watcher looks.
    pub watch: Watch,
    /// Where archives go. At least one.
    pub destinations: Vec<Destination>,
    /// Commands before and after a run.
    pub hooks: Hooks,
    /// How others learn how runs went, and that none did.
    pub report: Report,
    /// The file whose OS lock keeps two runs on this host apart.
    ///
    /// By default `%ProgramData%\afterbackup\afterbackup.lock`, on Unix `/run/lock/afterbackup.lock` for root and
    /// `/tmp/afterbackup-<uid>.lock` for others. Not `$XDG_RUNTIME_DIR`: cron jobs have none, and a lock
    /// that depends on how a run was started keeps nothing apart.
    pub lock_file: PathBuf,
    /// The log file.
    pub log: Log,
    /// What works but should be looked at. For the log, once a run.
    pub warnings: Vec<String>,
}

/// Larger files are no configuration.
const MAX_BYTES: usize = 1 << 20;

impl Config {
    /// Reads and checks a configuration.
    ///
    /// # Errors
    /// With everything that is wrong with it.
    pub fn load(path: &Path, env: Env<'_>) -> Result<Self, ConfigError> {
        let whole =
            |message: String, hint: Option<&str>| ConfigError::whole(Some(path), message, hint.map(str::to_owned));
        let bytes = std::fs::read(path).map_err(|error| match error.kind() {
            std::io::ErrorKind::NotFound => {
                whole("there is no such file".to_owned(), Some("run 'afterbackup init' to write one"))
            }
            _ => whole(format!("cannot read: {error}"), None),
        })?;
        if bytes.len() > MAX_BYTES {
            return Err(whole("larger than 1 MiB, this is no configuration".to_owned(), None));
        }
        if bytes.starts_with(&[0xff, 0xfe]) || bytes.starts_with(&[0xfe, 0xff]) {
            return Err(whole("is UTF-16 text".to_owned(), Some("save it as UTF-8")));
        }
        let text = std::str::from_utf8(&bytes).map_err(|error| {
            let line = bytes.iter().take(error.valid_up_to()).filter(|b| **b == b'\n').count() + 1;
            whole(format!("line {line} is not UTF-8 text"), Some("save it as UTF-8"))
        })?;
        Self::from_text(text, path, env)
    }

    /// Checks a configuration that would lie at `path`.
    ///
    /// # Errors
    /// With everything that is wrong with it.
    pub fn from_text(text: &str, path: &Path, env: Env<'_>) -> Result<Self, ConfigError> {
        validate::validate(text, path, env, cfg!(windows))
    }
}

/// Finds the configuration: `--config`, then `AFTERBACKUP_CONFIG`, then `%ProgramData%\afterbackup\afterbackup.toml`,
/// then (not on Windows, where anybody may create such a folder) `/etc/afterbackup/afterbackup.toml`.
///
/// What is named by option or variable is taken even if it does not exist: falling back would run with the wrong settings.
///
/// # Errors
/// When there is none, with the places looked at.
pub fn locate(option: Option<&Path>, env: Env<'_>) -> Result<PathBuf, ConfigError> {
    // What cannot be told from missing (access denied) is for `load` to report.
    locate_with(option, env, &|path| path.try_exists().unwrap_or(true))
}

fn locate_with(option: Option<&Path>, env: Env<'_>, exists: &dyn Fn(&Path) -> bool) -> Result<PathBuf, ConfigError> {
    if let Some(path) = option {
        return Ok(path.to_owned());
    }
    if let Some(path) = env("AFTERBACKUP_CONFIG").filter(|path| !path.is_empty()) {
        return Ok(path.into());
    }
    let mut places = Vec::new();
    if let Some(data) = env("ProgramData").filter(|data| !data.is_empty()) {
        places.push(Path::new(&data).join("afterbackup").join("afterbackup.toml"));
    }
    if cfg!(not(windows)) {
        places.push(PathBuf::from("/etc/afterbackup/afterbackup.toml"));
    }
    if let Some(found) = places.iter().find(|path| exists(path)) {
        return Ok(found.clone());
    }
    let mut message =
        "no configuration found; looked at\n  --config\n  AFTERBACKUP_CONFIG in the environment".to_owned();
    for path in &places {
        message.push_str("\n  ");
        message.push_str(&path.to_string_lossy());
    }
    let hint = "run 'afterbackup init' to write one; archives can be read without, by --destination FOLDER or URL";
    Err(ConfigError::whole(None, message, Some(hint.to_owned())))
}

/// Reads a secret from a file that holds nothing else.
///
/// # Errors
/// In words, without what stands in it.
#[cfg(windows)]
pub(crate) fn read_secret(path: &Path) -> Result<String, String> {
    secrets::read_file(path, false)
}

/// Where the backup task or SQL Server writes.
#[derive(Debug, Clone)]
pub struct Snapshot {
    /// Who writes there.
    pub kind: SnapshotKind,
    /// Holds `XYZBackup`, or the folders of several sites, or is such a folder. Of SQL Server's backups, the folder of the
    /// database `CM_XYZ`, of its server, or one that holds those of servers.
    pub path: PathBuf,
    /// Where the database half lies, if elsewhere.
    pub sql_path: Option<PathBuf>,
    /// smsbkup.log. Without it, the copy in the snapshot.
    pub log: Option<PathBuf>,
    /// Only this site, where `path` holds several.
    pub site: Option<SiteCode>,
    /// How long nothing may have changed, where the log does not tell.
    pub quiet: Duration,
    /// CD.Latest, which SQL Server's backups lack.
    pub cd_latest: Option<PathBuf>,
    /// How SQL Server's log backups are taken.
    pub log_backups: LogBackups,
}

impl Snapshot {
    /// What the site's backup task writes to this folder, with the default of everything else.
    #[must_use]
    pub fn of_site(path: PathBuf) -> Self {
        Self {
            kind: SnapshotKind::Site,
            path,
            sql_path: None,
            log: None,
            site: None,
            quiet: snapshot::QUIET,
            cd_latest: None,
            log_backups: LogBackups::Include,
        }
    }
}

/// Who writes what is archived.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SnapshotKind {
    /// The site's backup task.
    Site,
    /// SQL Server: native backups as Ola Hallengren's scripts name them.
    SqlBackups,
}

/// How log backups are taken into archives.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LogBackups {
    /// Those that are there when a new full or differential backup is archived.
    Include,
    /// The same, and every new one is a reason for an archive.
    Trigger,
    /// Not at all.
    Ignore,
}

impl Snapshot {
    /// Does this path lie where the backup task deletes everything before every run? Judged by the text alone.
    #[must_use]
    pub fn holds(&self, path: &Path) -> bool {
        std::iter::once(&self.path).chain(&self.sql_path).any(|source| paths::is_inside(path, source))
    }
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
    /// Check the pages of SQL Server files while archiving.
    pub check_databases: bool,
}

/// What a record of the log looks like.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LogFormat {
    /// As Configuration Manager's logs; `CMTrace` colours warnings and errors.
    CmTrace,
    /// One JSON object a line.
    Json,
}

/// The log file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Log {
    /// Where it lies; `None`: there is none. On Windows `%ProgramData%\afterbackup\logs\afterbackup.log` by default.
    pub file: Option<PathBuf>,
    /// What matters less than this is left out.
    pub level: tracing::Level,
    /// The file goes on as `.lo_` before it gets larger than this.
    pub max_bytes: u64,
    /// What a record looks like.
    pub format: LogFormat,
}

/// How the resident watcher looks.
#[derive(Debug, Clone)]
pub struct Watch {
    /// Listen to file events besides polling.
    pub events: bool,
    /// Look at least this often.
    pub poll: Duration,
    /// How long it may take to stop.
    pub stop_timeout: Duration,
}

impl Default for Watch {
    fn default() -> Self {
        Self { events: true, poll: Duration::from_secs(30), stop_timeout: Duration::from_secs(30) }
    }
}

/// Where archives go.
#[derive(Debug, Clone)]
pub struct Destination {
    /// Unique name.
    pub name: String,
    /// Folder or bucket.
    pub target: Target,
    /// The account for the share that the folder lies on; without it, the one that the program runs as.
    pub credentials: Option<Credentials>,
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
    /// PEM file of the certificate authorities to trust instead of the system's.
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

#[cfg(test)]
mod tests;

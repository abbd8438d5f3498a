//! The configuration, checked: no options left to guess.
//!
//! `text` reads the TOML as written, takes notes of all faults at once, and keeps secrets out of the file and of every
//! message; `sections` has a file for each section; `load` puts them together into a [`Config`], `check` compares them.
//!
//! What holds for every key:
//! * Relative paths start at the folder of the configuration file, not at the working directory: AfterBackup.bat runs
//!   with one that nobody has documented.
//! * Environment variables in values (`%ProgramData%`, `$HOME`) are not expanded: Local System, under which the backup
//!   task runs us, has other values than the administrator who wrote the file. A path that seems to hold one is warned
//!   about.
//! * Paths are compared by their text only. Asking the file system would open the snapshot's folder, and an
//!   unreachable share would hold up every command for a minute.

mod check;
mod error;
mod load;
mod locate;
pub(crate) mod pattern;
mod sections;
pub(crate) mod text;

#[cfg(windows)]
use std::path::Path;

pub use self::error::ConfigError;
pub use self::load::Config;
pub use self::locate::locate;
pub use self::sections::archive::Archive;
pub use self::sections::bucket::Bucket;
pub use self::sections::destination::{Destination, Location, Verify};
pub use self::sections::drill::{Drill, TIMEOUT as DRILL_TIMEOUT};
pub use self::sections::hooks::{Hook, Hooks, OnFailure};
pub use self::sections::log::{Log, LogFormat};
pub use self::sections::preset::Preset;
pub use self::sections::report::{Heartbeat, Report};
pub use self::sections::share::{Credentials, Share};
pub use self::sections::snapshot::{LogBackups, Snapshot, SnapshotKind};
pub use self::sections::supplemental::{CommandLine, Supplemental};
pub use self::sections::watch::Watch;
pub use self::text::{Env, Fault, Secret, SecretError, place_fault};

/// Reads a secret from a file that holds nothing else.
///
/// # Errors
/// In words, without what stands in it.
#[cfg(windows)]
pub(crate) fn read_secret(path: &Path) -> Result<String, String> {
    text::read_file(path, false)
}

#[cfg(test)]
mod tests;

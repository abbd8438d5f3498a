//! SQL Server's own backups as a source: a folder that Ola Hallengren's scripts fill.
//!
//! With the database in an availability group, Microsoft says not to use the task's copy of it but native backups. They
//! have no log that tells of their end and no metadata file that is written last; and other backups appear beside them
//! every few minutes. So what is archived is fixed when it is found:
//!
//! 1. `find` looks for the database folders below the configured path and reads the names in them ([`BackupName`]),
//! 2. `unit` chooses the backups that make one archive ([`Unit`]),
//! 3. the snapshot's part names their files, and nothing else is looked at from then on: a backup that appears later
//!    is of another archive and changes nothing, while a file of the unit that changes or vanishes drops the attempt,
//! 4. [`decide`](super::complete::decide) says whether they are all there and no longer written.

mod find;
mod name;
mod unit;

pub(super) use find::discover;
pub use name::{BackupKind, BackupName, site_of_database};
pub use unit::{Backup, BackupFile, Unit};

use std::path::Path;

/// Has somebody the file open for writing? Times in listings lag behind on Windows until a file is closed, so asking
/// for it is the only sure way there. It is let go at once, and only asked of files that have not changed for a while,
/// because whoever wanted to write in that moment would be refused.
#[cfg(windows)]
pub(super) fn is_written(path: &Path) -> bool {
    use std::os::windows::fs::OpenOptionsExt;
    use windows_sys::Win32::Foundation::ERROR_SHARING_VIOLATION;
    use windows_sys::Win32::Storage::FileSystem::{FILE_SHARE_DELETE, FILE_SHARE_READ};

    // Sharing reading but not writing fails as long as somebody writes.
    let opened = std::fs::OpenOptions::new().read(true).share_mode(FILE_SHARE_READ | FILE_SHARE_DELETE).open(path);
    opened.is_err_and(|error| error.raw_os_error() == i32::try_from(ERROR_SHARING_VIOLATION).ok())
}

/// Has somebody the file open for writing? Only Windows can tell.
#[cfg(not(windows))]
pub(super) fn is_written(_: &Path) -> bool {
    false
}

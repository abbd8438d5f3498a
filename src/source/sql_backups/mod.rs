//! SQL Server's own backups as a source: a folder that Ola Hallengren's scripts fill.
//!
//! With the database in an availability group, Microsoft says not to use the task's copy of it but native backups. They
//! have no log that tells of their end and no metadata file that is written last; and other backups appear beside them
//! every few minutes. So what is archived is fixed when it is found:
//!
//! 1. `find` looks for backups below the configured path and reads their headers, or where those cannot be read, their
//!    names ([`BackupName`]),
//! 2. `unit` chooses the backups that make one archive ([`Unit`]),
//! 3. the snapshot's part names their files, and nothing else is looked at from then on: a backup that appears later
//!    is of another archive and changes nothing, while a file of the unit that changes or vanishes drops the attempt,
//! 4. [`decide`](super::complete::decide) says whether they are all there and no longer written.

mod find;
mod headers;
mod name;
mod unit;

pub(super) use find::discover;
pub use name::{BackupKind, BackupName, site_of_database};
pub use unit::{Backup, BackupFile, Unit};

pub(super) use crate::platform::open::is_written;

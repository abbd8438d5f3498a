//! Where we read: the snapshot that the backup task or SQL Server wrote, and what else belongs to the site.
//!
//! 1. [`discover()`] finds the snapshots and their parts, of the configured kind: nothing after it asks for the kind
//!    again,
//! 2. [`gather`] looks at the log, the metadata files and every file of the parts: all input and output is here,
//! 3. [`complete::decide`] says, from that evidence alone, whether the snapshot is complete,
//! 4. [`walk::compare`] says afterwards whether anything changed while it was read,
//! 5. [`supplemental::expand`] finds the files that a snapshot leaves out.
//!
//! Nothing here keeps a file, folder or working directory of the snapshot open: that would make the task's next run
//! fail when it cleans.

pub mod complete;
mod discover;
mod evidence;
mod log_evidence;
mod marks;
pub mod sql_backups;
pub mod supplemental;
pub mod task_log;
pub mod walk;

use std::io;
use std::path::{Path, PathBuf};

pub(crate) use discover::is_itself_a_snapshot;
pub use discover::{Found, Unfinished, discover, named_sites, unreachable};
pub use evidence::{BackupsEvidence, Evidence, Gathered, KnownFolder, NewestFile, PartEvidence, gather, part_evidence};
pub use log_evidence::{ConfiguredLog, LogEvidence, read_log};
pub use marks::{Marks, marks};

use crate::name::SiteCode;
use sql_backups::Unit;
use walk::WalkError;

const METADATA: &str = "BackupDocument.xml";
const SQL_METADATA: &str = "SQLBackupDocument.xml";
const DATABASE_FOLDER: &str = "SiteDBServer";

/// What the backup task or SQL Server wrote for a site.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Snapshot {
    /// The site.
    pub site: SiteCode,
    /// The site half, and the database half if it lies elsewhere; or SQL Server's backups, and CD.Latest.
    pub parts: Vec<Part>,
}

/// A folder that is read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Part {
    /// What it holds.
    pub kind: PartKind,
    /// The folder.
    pub path: PathBuf,
    /// The files of it that belong to the snapshot. Without it, all.
    pub unit: Option<Unit>,
}

impl Part {
    /// A folder that belongs to the snapshot with everything in it.
    #[must_use]
    pub fn whole(kind: PartKind, path: PathBuf) -> Self {
        Self { kind, path, unit: None }
    }
}

/// What a part holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PartKind {
    /// The site server's files, and the database unless it is a part of its own.
    Site,
    /// The database.
    Sql,
    /// SQL Server's own backups of the database.
    SqlBackups,
    /// The installation files that setup needs, where no site half has them.
    CdLatest,
}

/// Why no snapshot was found or could be looked at.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The configured path does not exist.
    #[error("{} does not exist", path.display())]
    Missing {
        /// The path.
        path: PathBuf,
    },
    /// The configured path is a file.
    #[error("{} is not a folder", path.display())]
    NotAFolder {
        /// The path.
        path: PathBuf,
    },
    /// Something could not be read.
    #[error("cannot read {}", path.display())]
    Read {
        /// The path.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// There is nothing like a snapshot.
    #[error("no snapshot in {}: expected {expected}, found {found}", path.display())]
    NoSnapshot {
        /// The configured path.
        path: PathBuf,
        /// What should be there.
        expected: String,
        /// What is there.
        found: String,
    },
    /// There is the folder of a snapshot, but not what makes one.
    #[error("no completed snapshot in {}: {found}", path.display())]
    Unfinished {
        /// The folder.
        path: PathBuf,
        /// What is there.
        found: String,
    },
    /// The files of a part could not be listed.
    #[error(transparent)]
    Walk(#[from] WalkError),
}

impl Error {
    /// Is there just no completed snapshot, rather than a fault? It is worth looking again later.
    #[must_use]
    pub fn is_no_snapshot(&self) -> bool {
        match self {
            Self::NoSnapshot { .. } | Self::Unfinished { .. } => true,
            Self::Walk(error) => error.is_not_found(),
            _ => false,
        }
    }
}

impl Error {
    /// The error, for people who know already that there is no completed snapshot.
    #[must_use]
    pub fn reason(&self) -> String {
        match self {
            Self::Unfinished { path, found } => format!("{}: {found}", path.display()),
            error => error.to_string(),
        }
    }
}

/// Where the metadata of a part may lie: what is written last, and what a new run takes away.
fn metadata_files(part: &Part) -> Vec<PathBuf> {
    match part.kind {
        PartKind::Site => vec![part.path.join(METADATA)],
        PartKind::Sql => vec![part.path.join(SQL_METADATA), part.path.join(DATABASE_FOLDER).join(SQL_METADATA)],
        PartKind::SqlBackups | PartKind::CdLatest => vec![],
    }
}

/// The site whose snapshot a folder of this name holds: `XYZBackup`, in any case.
#[must_use]
pub fn site_of_folder(name: &str) -> Option<SiteCode> {
    let (site, rest) = name.split_at_checked(3)?;
    rest.eq_ignore_ascii_case("Backup").then(|| site.parse().ok()).flatten()
}

fn is_database_file(name: &str) -> bool {
    // 2007 wrote SMSbkSQLDBsite.dat.
    has_extension(name, "mdf") || name.eq_ignore_ascii_case("SMSbkSQLDBsite.dat")
}

fn has_extension(name: &str, extension: &str) -> bool {
    Path::new(name).extension().is_some_and(|found| found.eq_ignore_ascii_case(extension))
}

/// A scratch folder with the files of a snapshot.
#[cfg(test)]
mod testing {
    use std::fs;
    use std::path::PathBuf;
    use std::time::Duration;

    use filetime::FileTime;
    use jiff::Timestamp;
    use tempfile::TempDir;

    use super::walk::{self, Kind};
    use crate::cancel::Cancel;
    use crate::config;

    pub(super) const QUIET: Duration = Duration::from_mins(2);

    /// All files below `folder` get this time, and then the folders.
    pub(super) struct Disk(TempDir);

    impl Disk {
        pub(super) fn new(files: &[&str]) -> Self {
            let disk = Self(tempfile::tempdir().unwrap());
            for file in files {
                disk.write(file, "<x/>", "01:00:00");
            }
            disk
        }

        pub(super) fn path(&self, name: &str) -> PathBuf {
            self.0.path().join(name)
        }

        pub(super) fn write(&self, name: &str, text: &str, clock: &str) {
            let path = self.path(name);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(&path, text).unwrap();
            filetime::set_file_mtime(&path, file_time(clock)).unwrap();
        }

        pub(super) fn settle(&self, clock: &str) {
            for item in walk::walk(self.0.path(), &Cancel::new()).unwrap().items {
                if item.kind == Kind::Folder {
                    filetime::set_file_mtime(item.path(self.0.path()), file_time(clock)).unwrap();
                }
            }
        }

        pub(super) fn config(&self, path: &str) -> config::Snapshot {
            config::Snapshot { quiet: QUIET, ..config::Snapshot::of_site(self.path(path)) }
        }
    }

    pub(super) fn time(clock: &str) -> Timestamp {
        format!("2026-11-22T{clock}Z").parse().unwrap()
    }

    fn file_time(clock: &str) -> FileTime {
        FileTime::from_unix_time(time(clock).as_second(), 0)
    }

    pub(super) const SNAPSHOT: [&str; 4] = [
        "P01Backup/BackupDocument.xml",
        "P01Backup/SiteDBServer/CM_P01.mdf",
        "P01Backup/SiteDBServer/CM_P01_log.ldf",
        "P01Backup/SiteServer/SMSServer/data/x",
    ];
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn folder_names_are_judged() {
        assert_eq!(site_of_folder("p01bACKUP").unwrap().as_str(), "P01");
        for name in ["", "Backup", "P1Backup", "P001Backup", "P-1Backup", "P01Backup2", "éaBackup", "P01Backu\u{301}p"]
        {
            assert_eq!(site_of_folder(name), None, "{name}");
        }
    }
}

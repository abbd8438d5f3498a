//! Everything that tells whether a snapshot is complete, gathered from logs and files.
//!
//! All input and output for the decision in [`super::complete`] is here.

use std::path::{Path, PathBuf};
use std::time::Duration;

use jiff::Timestamp;

use super::sql_backups::{self, Unit};
use super::task_log::{self, Runs};
use super::walk::{self, Item, Kind, Walk, WalkError, Why};
use super::{DATABASE_FOLDER, Error, METADATA, Part, PartKind, SQL_METADATA, Snapshot, is_database_file};
use crate::cancel::Cancel;
use crate::config;
use crate::name::SiteCode;

/// Everything the decision rests on.
#[derive(Debug, Clone)]
pub struct Evidence {
    /// The site.
    pub site: SiteCode,
    /// What smsbkup.log tells.
    pub log: LogEvidence,
    /// The parts of the snapshot.
    pub parts: Vec<PartEvidence>,
    /// How long the caller has been watching without any change, by a clock that is never set. For servers whose file
    /// times cannot be compared with the time here.
    pub unchanged_for: Option<Duration>,
}

/// What a log tells.
#[derive(Debug, Clone)]
pub enum LogEvidence {
    /// There is none, or none is configured.
    Absent,
    /// It could not be read.
    Unreadable {
        /// Which.
        path: PathBuf,
        /// Why.
        reason: String,
    },
    /// It was read.
    Read {
        /// Which.
        path: PathBuf,
        /// Is it the copy in the snapshot? Then it ends where the run stood when it was copied.
        copy: bool,
        /// Its runs.
        runs: Runs,
    },
}

impl LogEvidence {
    /// Why the snapshot of a site, or of any, is to be left alone: the log tells of a run without an end. A copy in the
    /// snapshot ends where the run stood when it was copied, and cannot tell.
    #[must_use]
    pub fn at_work(&self, site: Option<SiteCode>) -> Option<String> {
        let Self::Read { copy: false, runs, .. } = self else { return None };
        let run = match site {
            Some(site) => runs.last(site),
            None => runs.iter().next_back(),
        };
        run.filter(|run| matches!(run.outcome, task_log::Outcome::Running | task_log::Outcome::Interrupted))
            .map(at_work)
    }
}

/// A run without an end, in words.
pub(super) fn at_work(run: &task_log::Run) -> String {
    let since = run.started_at().map_or(String::new(), |at| format!(" at {at}"));
    format!("the log tells of a backup that began{since} and of no end: it is running, or died")
}

/// One part of the snapshot.
#[derive(Debug, Clone)]
pub struct PartEvidence {
    /// Site or database.
    pub kind: PartKind,
    /// Its folder.
    pub path: PathBuf,
    /// Time of `BackupDocument.xml` or `SQLBackupDocument.xml`.
    pub metadata: Option<Timestamp>,
    /// The newest file of what was backed up: neither metadata nor logs.
    pub newest_data: Option<NewestFile>,
    /// The time of the folder that was changed first, and the one below the part that was changed last. Folders that
    /// hold metadata or logs are left out: those may come after the data.
    pub folders: Option<(Timestamp, NewestFile)>,
    /// The newest time of any file or folder.
    pub newest_change: Option<Timestamp>,
    /// How many files of what was backed up there are.
    pub data_files: u64,
    /// Names and sizes of database files.
    pub databases: Vec<(String, u64)>,
    /// What smssqlbkup.log in a database half tells.
    pub log: LogEvidence,
    /// SQL Server's backups.
    pub backups: Option<BackupsEvidence>,
    /// Is there the folder of setup, as in CD.Latest?
    pub has_setup: bool,
}

/// SQL Server's backups.
#[derive(Debug, Clone)]
pub struct BackupsEvidence {
    /// Which backups they are.
    pub unit: Unit,
    /// The files of them that are there, as they are now.
    pub items: Vec<Item>,
    /// Those that somebody has open for writing.
    pub written: Vec<String>,
}

/// The newest of some files.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewestFile {
    /// Path below the part.
    pub name: String,
    /// Its time.
    pub modified: Timestamp,
}

impl Evidence {
    /// The newest time of any file or folder of any part.
    #[must_use]
    pub fn newest_change(&self) -> Option<Timestamp> {
        self.parts.iter().filter_map(|part| part.newest_change).max()
    }

    pub(super) fn part(&self, kind: PartKind) -> Option<&PartEvidence> {
        self.parts.iter().find(|part| part.kind == kind)
    }
}

impl PartEvidence {
    pub(super) fn metadata_name(&self) -> &'static str {
        match self.kind {
            PartKind::Sql => SQL_METADATA,
            PartKind::Site | PartKind::SqlBackups | PartKind::CdLatest => METADATA,
        }
    }
}

/// What [`gather`] saw.
#[derive(Debug, Clone)]
pub struct Gathered {
    /// For [`decide`](super::complete::decide).
    pub evidence: Evidence,
    /// One for each part, in the order of [`Snapshot::parts`].
    pub walks: Vec<Walk>,
}

/// Reads the configured log. Without one, [`gather`] takes the copy in the snapshot.
#[must_use]
pub fn read_log(config: &config::Snapshot) -> LogEvidence {
    config.log.as_ref().map_or(LogEvidence::Absent, |path| read_log_file(path, false))
}

fn read_log_file(path: &Path, copy: bool) -> LogEvidence {
    let mut follower = task_log::Follower::new(path);
    match follower.poll() {
        Ok(_) => LogEvidence::Read { path: path.to_path_buf(), copy, runs: follower.runs() },
        Err(error) if error.is_not_found() && copy => LogEvidence::Absent,
        Err(task_log::Error::Read { path, source }) => LogEvidence::Unreadable { path, reason: source.to_string() },
    }
}

/// Looks at everything that tells whether a snapshot is complete. `log` is what [`read_log`] or a
/// [`task_log::Follower`] of the configured log tells; where there is none, the copy in the snapshot is read.
///
/// # Errors
/// When a part cannot be listed, for instance because it is being deleted.
pub fn gather(snapshot: &Snapshot, log: LogEvidence, cancel: &Cancel) -> Result<Gathered, Error> {
    let mut walks = Vec::with_capacity(snapshot.parts.len());
    let mut parts: Vec<PartEvidence> = Vec::with_capacity(snapshot.parts.len());
    let mut site_log = log;
    let mut elsewhere = None;
    for part in &snapshot.parts {
        let walk = look(part, cancel)?;
        let mut evidence = part_evidence(part, &walk);
        match part.kind {
            PartKind::Site => {
                if !matches!(site_log, LogEvidence::Read { .. })
                    && let copy @ LogEvidence::Read { .. } = log_copy(&walk, "smsbkup.log")
                {
                    site_log = copy;
                }
                elsewhere = top_file(&walk, SQL_METADATA);
            }
            PartKind::Sql => {
                evidence.log = log_copy(&walk, "smssqlbkup.log");
                evidence.metadata = evidence.metadata.or(elsewhere);
            }
            PartKind::SqlBackups => {
                if let Some(backups) = evidence.backups.as_mut().filter(|backups| backups.unit.settled) {
                    let written = |item: &&Item| sql_backups::is_written(&item.path(&part.path));
                    backups.written = walk.items.iter().filter(written).map(|item| item.name.to_string()).collect();
                }
            }
            PartKind::CdLatest => {}
        }
        parts.push(evidence);
        walks.push(walk);
    }
    let evidence = Evidence { site: snapshot.site, log: site_log, parts, unchanged_for: None };
    Ok(Gathered { evidence, walks })
}

/// What there is of a part.
fn look(part: &Part, cancel: &Cancel) -> Result<Walk, WalkError> {
    if let Some(unit) = &part.unit {
        return walk::files(&part.path, unit.files().map(|file| file.name.as_str()), cancel);
    }
    match (walk::walk(&part.path, cancel), part.kind) {
        // A database without CD.Latest is worth more than nothing. The archive, and the run, say what is missing.
        (Err(WalkError::Read { path, source }), PartKind::CdLatest) => Ok(Walk {
            root: part.path.clone(),
            skipped: vec![walk::Skipped { path, why: Why::Unreadable(source.to_string()) }],
            ..Walk::default()
        }),
        (walk, _) => walk,
    }
}

fn log_copy(walk: &Walk, name: &str) -> LogEvidence {
    let copy = walk.items.iter().find(|item| item.kind == Kind::File && item.name.eq_ignore_ascii_case(name));
    copy.map_or(LogEvidence::Absent, |item| read_log_file(&item.path(&walk.root), true))
}

fn top_file(walk: &Walk, name: &str) -> Option<Timestamp> {
    let file = walk.items.iter().find(|item| item.kind == Kind::File && item.name.eq_ignore_ascii_case(name));
    file.map(|item| item.modified)
}

/// Sums up a walk.
#[must_use]
pub fn part_evidence(part: &Part, walk: &Walk) -> PartEvidence {
    let metadata = match part.kind {
        PartKind::Site => top_file(walk, METADATA),
        PartKind::Sql => {
            top_file(walk, SQL_METADATA).or_else(|| top_file(walk, &format!("{DATABASE_FOLDER}/{SQL_METADATA}")))
        }
        PartKind::SqlBackups | PartKind::CdLatest => None,
    };
    let backups = part.unit.as_ref().map(|unit| BackupsEvidence {
        unit: unit.clone(),
        items: walk.items.clone(),
        written: Vec::new(),
    });
    let mut evidence = PartEvidence {
        kind: part.kind,
        path: part.path.clone(),
        metadata,
        newest_data: None,
        folders: None,
        newest_change: walk.newest_change,
        data_files: 0,
        databases: Vec::new(),
        log: LogEvidence::Absent,
        backups,
        has_setup: walk.items.iter().any(|item| item.name.eq_ignore_ascii_case("SMSSETUP")),
    };
    let mut written_late = false;
    for item in walk.items.iter().filter(|item| item.kind == Kind::File) {
        let (folder, name) = item.name.rsplit_once('/').unwrap_or(("", &item.name));
        let top = folder.is_empty() || folder.eq_ignore_ascii_case(DATABASE_FOLDER);
        // Written beside the data, and perhaps after the metadata.
        let about = [METADATA, SQL_METADATA, "smsbkup.log", "smsbkup.lo_", "smssqlbkup.log", "smssqlbkup.lo_"];
        if top && about.iter().any(|about| name.eq_ignore_ascii_case(about)) {
            written_late |= !folder.is_empty();
            continue;
        }
        evidence.data_files += 1;
        if top && is_database_file(name) {
            evidence.databases.push((item.name.to_string(), item.bytes));
        }
        if evidence.newest_data.as_ref().is_none_or(|newest| item.modified > newest.modified) {
            evidence.newest_data = Some(NewestFile { name: item.name.to_string(), modified: item.modified });
        }
    }
    let folders = walk.items.iter().filter(|item| item.kind == Kind::Folder);
    let folders = folders.filter(|item| !(written_late && item.name.eq_ignore_ascii_case(DATABASE_FOLDER)));
    evidence.folders = folders.clone().map(|item| item.modified).chain(walk.root_modified).min().zip(
        folders
            .max_by_key(|item| item.modified)
            .map(|item| NewestFile { name: item.name.to_string(), modified: item.modified }),
    );
    evidence
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::super::complete::{By, State, decide};
    use super::super::discover;
    use super::super::testing::{Disk, QUIET, SNAPSHOT, time};
    use super::*;

    // Synthetic, built on the published form of status messages.
    fn status(id: u32, clock: &str) -> String {
        format!("STATMSG: ID={id} COMP=\"SMS_SITE_BACKUP\" SITE=P01 GMTDATE=Sun Nov 22 {clock}.000 2026 NUMATTRS=0\r\n")
    }

    fn decided(disk: &Disk, config: &config::Snapshot, now: &str) -> State {
        let found = discover(config, Timestamp::MIN).unwrap();
        disk.settle("01:00:00");
        let gathered = gather(&found.snapshots[0], read_log(config), &Cancel::new()).unwrap();
        decide(&gathered.evidence, QUIET, time(now)).state
    }

    #[test]
    fn configured_log_decides() {
        let disk = Disk::new(&SNAPSHOT);
        disk.write("smsbkup.log", &(status(5055, "00:30:00") + &status(5035, "01:10:00")), "01:10:00");
        let config = config::Snapshot { log: Some(disk.path("smsbkup.log")), ..disk.config("") };
        let complete = State::Complete { completed: time("01:10:00"), by: By::Log };
        assert_eq!(decided(&disk, &config, "01:10:01"), complete);
        let rolled = status(5055, "00:30:00") + &status(5035, "01:10:00");
        disk.write("smsbkup.lo_", &rolled, "01:10:00");
        disk.write("smsbkup.log", &status(5055, "02:00:00"), "02:00:00");
        assert_eq!(decided(&disk, &config, "02:00:01"), State::Running);
    }

    #[test]
    fn copy_of_the_log_is_read_where_the_configured_one_is_missing() {
        let disk = Disk::new(&SNAPSHOT);
        disk.write("P01Backup/smsbkup.log", &(status(5055, "00:30:00") + &status(5035, "01:00:30")), "01:01:00");
        let complete = State::Complete { completed: time("01:00:30"), by: By::Log };
        assert_eq!(decided(&disk, &disk.config(""), "01:01:01"), complete);
        let config = config::Snapshot { log: Some(disk.path("none.log")), ..disk.config("") };
        assert_eq!(decided(&disk, &config, "01:01:01"), complete);
    }

    #[test]
    fn metadata_decides_without_any_log() {
        let disk = Disk::new(&SNAPSHOT);
        let complete = State::Complete { completed: time("01:00:00"), by: By::Metadata };
        assert_eq!(decided(&disk, &disk.config(""), "01:02:00"), complete);
        assert_eq!(decided(&disk, &disk.config(""), "01:01:59"), State::Incomplete);
        disk.write("P01Backup/SiteServer/new", "x", "01:00:01");
        assert_eq!(decided(&disk, &disk.config(""), "09:00:00"), State::Incomplete);
    }

    #[test]
    fn database_half_on_another_server_is_a_part() {
        let site = ["site/P01Backup/BackupDocument.xml", "site/P01Backup/SiteServer/x"];
        let sql = ["sql/P01Backup/SiteDBServer/CM_P01.mdf"];
        let disk = Disk::new(&[&site[..], &sql[..]].concat());
        let alone = disk.config("site");
        assert_eq!(decided(&disk, &alone, "09:00:00"), State::Incomplete);
        for place in ["sql/P01Backup", "sql/P01Backup/SiteDBServer", "site/P01Backup"] {
            for path in ["sql", "sql/P01Backup"] {
                let config = config::Snapshot { sql_path: Some(disk.path(path)), ..alone.clone() };
                let metadata = format!("{place}/SQLBackupDocument.xml");
                assert_eq!(decided(&disk, &config, "09:00:00"), State::Incomplete);
                disk.write(&metadata, "x", "01:00:00");
                assert!(matches!(decided(&disk, &config, "09:00:00"), State::Complete { .. }), "{place} {path}");
                fs::remove_file(disk.path(&metadata)).unwrap();
            }
        }
        let config = config::Snapshot { sql_path: Some(disk.path("site")), ..alone.clone() };
        assert!(discover(&config, Timestamp::MIN).unwrap_err().is_no_snapshot());
        let config = config::Snapshot { sql_path: Some(disk.path("none")), ..alone };
        assert!(matches!(discover(&config, Timestamp::MIN), Err(Error::Missing { .. })));
    }

    #[test]
    fn layout_of_2007_is_recognised() {
        let disk = Disk::new(&[
            "P01Backup/BackupDocument.xml",
            "P01Backup/SiteDBServer/SMSbkSQLDBsite.dat",
            "P01Backup/SiteServer/x",
        ]);
        assert!(matches!(decided(&disk, &disk.config(""), "09:00:00"), State::Complete { .. }));
    }
}

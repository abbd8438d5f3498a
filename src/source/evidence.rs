//! Everything that tells whether a snapshot is complete, gathered from logs and files.
//!
//! All input and output for the decision in [`super::complete`] is here.

use std::collections::BTreeSet;
use std::io::Read as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};

use super::log_evidence::{LogEvidence, read_copy};
use super::sql_backups::{self, Unit};
use super::walk::{self, Item, Kind, Walk, WalkError, Why};
use super::{
    DATABASE_FOLDER, Error, METADATA, Part, PartKind, SQL_METADATA, Snapshot, has_extension, is_database_file,
};
use crate::cancel::Cancel;
use crate::name::SiteCode;
use crate::platform::files::unreadable;

/// A copy of the log in the snapshot may have a time of its own that is this much older than its coming.
pub(super) const COPY_SLACK: SignedDuration = SignedDuration::from_secs(60);
/// How much later than the metadata a folder may have been changed. Some file systems count in steps of two seconds.
pub(super) const FOLDER_SLACK: SignedDuration = SignedDuration::from_secs(2);

/// Everything the decision rests on.
#[derive(Debug, Clone)]
pub struct Evidence {
    /// The site.
    pub site: SiteCode,
    /// What smsbkup.log tells.
    pub log: LogEvidence,
    /// What is wrong with the configured log, if anything is.
    pub log_fault: Option<String>,
    /// The parts of the snapshot.
    pub parts: Vec<PartEvidence>,
    /// How long the caller has been watching without any change, by a clock that is never set. For servers whose file
    /// times cannot be compared with the time here.
    pub unchanged_for: Option<Duration>,
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
    /// When the metadata file came to this disk, if that is known: later than its own time where it was copied here.
    pub metadata_arrived: Option<Timestamp>,
    /// Why the metadata file is none, if it is not.
    pub metadata_fault: Option<String>,
    /// When the last file came to this disk.
    pub last_arrival: Option<Timestamp>,
    /// The newest file of what was backed up: neither metadata nor logs.
    pub newest_data: Option<NewestFile>,
    /// Files of what was backed up that are newer than the metadata, oldest first.
    pub newer_data: Vec<NewestFile>,
    /// The time of the folder that was changed first.
    pub oldest_folder: Option<Timestamp>,
    /// Folders that were changed after what is known to be written last into them, oldest first.
    pub newer_folders: Vec<NewestFile>,
    /// The newest time of any file or folder.
    pub newest_change: Option<Timestamp>,
    /// How many files of what was backed up there are.
    pub data_files: u64,
    /// Names and sizes of database files.
    pub databases: Vec<(String, u64)>,
    /// Names and sizes of transaction logs.
    pub database_logs: Vec<(String, u64)>,
    /// Which of the folders that the task makes are there, with something in them.
    pub folders: BTreeSet<KnownFolder>,
    /// Which of them are links or junctions, which are not followed.
    pub linked: BTreeSet<KnownFolder>,
    /// What smssqlbkup.log in a database half tells.
    pub log: LogEvidence,
    /// SQL Server's backups.
    pub backups: Option<BackupsEvidence>,
    /// Is there the folder of setup, as in CD.Latest?
    pub has_setup: bool,
}

/// A folder that the backup task makes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum KnownFolder {
    /// The installation files that setup needs.
    CdLatest,
    /// The database.
    SiteDbServer,
    /// The site server's files.
    SiteServer,
}

impl KnownFolder {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::CdLatest, Self::SiteDbServer, Self::SiteServer];

    /// Its name.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::CdLatest => "CD.Latest",
            Self::SiteDbServer => DATABASE_FOLDER,
            Self::SiteServer => "SiteServer",
        }
    }

    /// What it is called in manifests.
    #[must_use]
    pub fn code(self) -> &'static str {
        match self {
            Self::CdLatest => "cd_latest",
            Self::SiteDbServer => "site_db_server",
            Self::SiteServer => "site_server",
        }
    }

    /// By its code in a manifest.
    #[must_use]
    pub fn of_code(code: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|folder| folder.code() == code)
    }

    /// By its name, in any case.
    #[must_use]
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|folder| folder.name().eq_ignore_ascii_case(name))
    }
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

    pub(crate) fn part(&self, kind: PartKind) -> Option<&PartEvidence> {
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

/// Looks at everything that tells whether a snapshot is complete. `log` is what the
/// [configured log](super::ConfiguredLog) tells; where there is none, the copy in the snapshot is read.
///
/// # Errors
/// When a part cannot be listed, for instance because it is being deleted.
pub fn gather(snapshot: &Snapshot, log: LogEvidence, cancel: &Cancel) -> Result<Gathered, Error> {
    let mut walks = Vec::with_capacity(snapshot.parts.len());
    let mut parts: Vec<PartEvidence> = Vec::with_capacity(snapshot.parts.len());
    let log_fault = log.fault(&neighbours(snapshot));
    let mut site_log = log;
    let mut elsewhere = None;
    for part in &snapshot.parts {
        let walk = look(part, cancel)?;
        let mut evidence = summed_up(part, &walk, elsewhere.filter(|_| part.kind == PartKind::Sql));
        match part.kind {
            PartKind::Site => {
                if !site_log.tells_of(snapshot.site)
                    && let copy @ LogEvidence::Read { .. } = log_copy(&walk, "smsbkup.log")
                {
                    site_log = copy;
                }
                elsewhere = top_item(&walk, SQL_METADATA).map(|item| item.modified);
            }
            PartKind::Sql => {
                evidence.log = log_copy(&walk, "smssqlbkup.log");
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
    let evidence = Evidence { site: snapshot.site, log: site_log, log_fault, parts, unchanged_for: None };
    Ok(Gathered { evidence, walks })
}

/// The site of a snapshot, and those whose snapshots lie beside it: one log may tell of some of them only.
fn neighbours(snapshot: &Snapshot) -> BTreeSet<SiteCode> {
    let place = snapshot.parts.first().and_then(|part| part.path.parent());
    let beside = place.and_then(|place| std::fs::read_dir(place).ok()).into_iter().flatten().flatten();
    let mut sites: BTreeSet<SiteCode> =
        beside.filter_map(|entry| super::site_of_folder(entry.file_name().to_str()?)).collect();
    sites.insert(snapshot.site);
    sites
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
            skipped: vec![walk::Skipped { path, why: Why::Unreadable(unreadable(&source)) }],
            ..Walk::default()
        }),
        (walk, _) => walk,
    }
}

fn log_copy(walk: &Walk, name: &str) -> LogEvidence {
    let copy = walk.items.iter().find(|item| item.kind == Kind::File && item.name.eq_ignore_ascii_case(name));
    copy.map_or(LogEvidence::Absent, |item| read_copy(&item.path(&walk.root)))
}

fn top_item<'a>(walk: &'a Walk, name: &str) -> Option<&'a Item> {
    walk.items.iter().find(|item| item.kind == Kind::File && item.name.eq_ignore_ascii_case(name))
}

/// Sums up a walk.
#[must_use]
pub fn part_evidence(part: &Part, walk: &Walk) -> PartEvidence {
    summed_up(part, walk, None)
}

/// The metadata of a database half may lie beside that of the site.
fn summed_up(part: &Part, walk: &Walk, elsewhere: Option<Timestamp>) -> PartEvidence {
    let metadata = match part.kind {
        PartKind::Site => top_item(walk, METADATA),
        PartKind::Sql => {
            top_item(walk, SQL_METADATA).or_else(|| top_item(walk, &format!("{DATABASE_FOLDER}/{SQL_METADATA}")))
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
        metadata: metadata.map(|item| item.modified).or(elsewhere),
        metadata_arrived: metadata.and_then(|item| item.identity.arrived()),
        metadata_fault: metadata.and_then(|item| metadata_fault(&item.path(&walk.root))),
        last_arrival: walk.items.iter().filter_map(|item| item.identity.arrived()).max(),
        newest_data: None,
        newer_data: Vec::new(),
        oldest_folder: None,
        newer_folders: Vec::new(),
        newest_change: walk.newest_change,
        data_files: 0,
        databases: Vec::new(),
        database_logs: Vec::new(),
        folders: BTreeSet::new(),
        linked: linked(walk),
        log: LogEvidence::Absent,
        backups,
        has_setup: walk.items.iter().any(|item| item.name.eq_ignore_ascii_case("SMSSETUP")),
    };
    // What may be written into these folders after the data: until when.
    let (mut root_until, mut database_until) = (None, None);
    for item in walk.items.iter().filter(|item| item.kind == Kind::File) {
        let (folder, name) = item.name.rsplit_once('/').unwrap_or(("", &item.name));
        let top = folder.is_empty() || folder.eq_ignore_ascii_case(DATABASE_FOLDER);
        if top && is_about(name) {
            let until = if folder.is_empty() { &mut root_until } else { &mut database_until };
            *until = (*until).max(item.modified.checked_add(COPY_SLACK).ok());
            continue;
        }
        evidence.take_data(item, top, name);
    }
    evidence.newer_data.sort_by_key(|file| file.modified);
    if let Some(metadata) = evidence.metadata {
        let limit = metadata.checked_add(FOLDER_SLACK).unwrap_or(Timestamp::MAX);
        let root = walk.root_modified.map(|modified| (String::new(), modified, root_until));
        let folders = walk.items.iter().filter(|item| item.kind == Kind::Folder).map(|item| {
            let database = item.name.eq_ignore_ascii_case(DATABASE_FOLDER);
            (item.name.to_string(), item.modified, database_until.filter(|_| database))
        });
        for (name, modified, until) in root.into_iter().chain(folders) {
            evidence.oldest_folder = Some(evidence.oldest_folder.map_or(modified, |oldest| oldest.min(modified)));
            if modified > until.map_or(limit, |until| until.max(limit)) {
                evidence.newer_folders.push(NewestFile { name, modified });
            }
        }
        evidence.newer_folders.sort_by_key(|folder| folder.modified);
    }
    evidence
}

/// Why a metadata file is none: it is XML, in UTF-8 or UTF-16, which begins with `<` behind blanks and a byte order
/// mark. What cannot be opened now is reported when it is read for the archive.
fn metadata_fault(path: &Path) -> Option<String> {
    let mut head = Vec::new();
    crate::platform::open::shared(path).ok()?.take(64).read_to_end(&mut head).ok()?;
    if head.is_empty() {
        return Some("is empty".to_owned());
    }
    let marks = [0xef, 0xbb, 0xbf, 0xff, 0xfe, 0];
    let first = head.iter().find(|byte| !marks.contains(*byte) && !byte.is_ascii_whitespace());
    (first != Some(&b'<')).then(|| "is not XML".to_owned())
}

impl PartEvidence {
    /// A file of what was backed up.
    fn take_data(&mut self, item: &Item, top: bool, name: &str) {
        self.data_files += 1;
        if top && is_database_file(name) {
            self.databases.push((item.name.to_string(), item.bytes));
        }
        if top && has_extension(name, "ldf") {
            self.database_logs.push((item.name.to_string(), item.bytes));
        }
        self.folders.extend(item.name.split_once('/').and_then(|(folder, _)| KnownFolder::named(folder)));
        let file = || NewestFile { name: item.name.to_string(), modified: item.modified };
        if self.metadata.is_some_and(|metadata| item.modified > metadata) {
            self.newer_data.push(file());
        }
        if self.newest_data.as_ref().is_none_or(|newest| item.modified > newest.modified) {
            self.newest_data = Some(file());
        }
    }
}

/// Is it about the backup, rather than of it? Written beside the data, and perhaps after the metadata.
fn is_about(name: &str) -> bool {
    let about = [METADATA, SQL_METADATA, "smsbkup.log", "smsbkup.lo_", "smssqlbkup.log", "smssqlbkup.lo_"];
    about.iter().any(|about| name.eq_ignore_ascii_case(about))
}

/// Folders of the task that are links or junctions.
fn linked(walk: &Walk) -> BTreeSet<KnownFolder> {
    let links = walk.skipped.iter().filter(|skipped| skipped.why == Why::Link);
    links
        .filter(|skipped| skipped.path.parent() == Some(&walk.root))
        .filter_map(|skipped| KnownFolder::named(skipped.path.file_name()?.to_str()?))
        .collect()
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::super::complete::{By, State, decide};
    use super::super::discover;
    use super::super::testing::{Disk, QUIET, SNAPSHOT, time};
    use super::*;
    use crate::config;
    use crate::source::read_log;

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
        let sql = ["sql/P01Backup/SiteDBServer/CM_P01.mdf", "sql/P01Backup/SiteDBServer/CM_P01_log.ldf"];
        let disk = Disk::new(&[&site[..], &sql[..]].concat());
        let alone = disk.config("site");
        assert_eq!(decided(&disk, &alone, "09:00:00"), State::Incomplete);
        for place in ["sql/P01Backup", "sql/P01Backup/SiteDBServer", "site/P01Backup"] {
            for path in ["sql", "sql/P01Backup"] {
                let config = config::Snapshot { sql_path: Some(disk.path(path)), ..alone.clone() };
                let metadata = format!("{place}/SQLBackupDocument.xml");
                assert_eq!(decided(&disk, &config, "09:00:00"), State::Incomplete);
                disk.write(&metadata, "<x/>", "01:00:00");
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
    fn what_was_removed_is_missed_in_every_folder_and_whatever_the_log_says() {
        for log in ["smsbkup.log", "P01Backup/smsbkup.log", ""] {
            for removed in ["SiteServer", "SiteServer/SMSServer/data/x", "SiteDBServer/CM_P01_log.ldf", "CD.Latest"] {
                let disk = Disk::new(&SNAPSHOT);
                disk.write("P01Backup/CD.Latest/SMSSETUP/setup.exe", "x", "00:50:00");
                disk.write("P01Backup/SiteServer/SMSServer/inboxes/y", "x", "00:50:00");
                let mut config = disk.config("");
                if !log.is_empty() {
                    disk.write(log, &(status(5055, "00:30:00") + &status(5035, "01:00:30")), "01:00:30");
                    config.log = (log == "smsbkup.log").then(|| disk.path(log));
                }
                assert!(matches!(decided(&disk, &config, "09:00:00"), State::Complete { .. }), "{log}");
                let path = disk.path("P01Backup").join(removed);
                if path.is_dir() { fs::remove_dir_all(&path) } else { fs::remove_file(&path) }.unwrap();
                // The folder that lost it has a later time; others are as old as they were.
                let found = discover(&config, Timestamp::MIN).unwrap();
                let gathered = gather(&found.snapshots[0], read_log(&config), &Cancel::new()).unwrap();
                let mut evidence = gathered.evidence;
                evidence.unchanged_for = Some(QUIET);
                let now = Timestamp::MAX;
                assert_eq!(decide(&evidence, QUIET, now).state, State::Incomplete, "{removed} with {log}");
            }
        }
    }

    #[test]
    fn log_that_is_another_or_cannot_be_read_is_a_fault_and_the_copy_is_read() {
        let disk = Disk::new(&SNAPSHOT);
        let good = status(5055, "00:30:00") + &status(5035, "01:00:30");
        disk.write("P01Backup/smsbkup.log", &good, "01:00:30");
        disk.settle("01:00:00");
        disk.write("other.log", "x  $$<SMS_EXECUTIVE><11-22-2026 01:00:00.000+000><thread=1 (0x1)>\r\n", "01:00:00");
        disk.write("binary.log", "MZ\0\u{1}\0\0x\n\0\0\0", "01:00:00");
        disk.write("empty.log", "", "01:00:00");
        fs::create_dir(disk.path("folder.log")).unwrap();
        for (name, words) in [
            ("none.log", "cannot be read"),
            ("folder.log", "cannot be read"),
            ("other.log", "is not the log of the backup task"),
            ("binary.log", "is not the log of the backup task"),
            ("empty.log", "tells of no backup of site P01"),
        ] {
            let config = config::Snapshot { log: Some(disk.path(name)), ..disk.config("") };
            let found = discover(&config, Timestamp::MIN).unwrap();
            let gathered = gather(&found.snapshots[0], read_log(&config), &Cancel::new()).unwrap();
            let completion = decide(&gathered.evidence, QUIET, time("09:00:00"));
            assert_eq!(completion.state, State::Complete { completed: time("01:00:30"), by: By::Log }, "{name}");
            let [fault] = completion.faults.as_slice() else { panic!("{name}: {:?}", completion.faults) };
            assert!(fault.contains(words), "{name}: {fault}");
        }
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

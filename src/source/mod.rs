//! Where we read: the snapshot that the backup task wrote, and what else belongs to the site.
//!
//! 1. [`discover`] finds the snapshots and their parts,
//! 2. [`gather`] looks at the log, the metadata files and every file below the parts: all input and output is here,
//! 3. [`complete::decide`] says, from that evidence alone, whether the snapshot is complete,
//! 4. [`walk::compare`] says afterwards whether anything changed while it was read,
//! 5. [`supplemental::expand`] finds the files that a snapshot leaves out.
//!
//! Nothing here keeps a file, folder or working directory of the snapshot open: that would make the task's next run
//! fail when it cleans.

pub mod complete;
pub mod log;
pub mod supplemental;
pub mod walk;

use std::io;
use std::path::{Path, PathBuf};

use jiff::Timestamp;

use crate::archive::name::SiteCode;
use crate::cancel::Cancel;
use crate::config;
use complete::{Evidence, LogEvidence, NewestFile, PartEvidence};
use walk::{Kind, Walk, WalkError};

const METADATA: &str = "BackupDocument.xml";
const SQL_METADATA: &str = "SQLBackupDocument.xml";
const DATABASE_FOLDER: &str = "SiteDBServer";
/// A folder that holds two of these is a snapshot.
const MARKS: [&str; 4] = ["SiteServer", DATABASE_FOLDER, "CD.Latest", METADATA];

/// What the backup task wrote for a site.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Snapshot {
    /// The site.
    pub site: SiteCode,
    /// The site half, and the database half if it lies elsewhere.
    pub parts: Vec<Part>,
}

/// A folder named `XYZBackup`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Part {
    /// What it holds.
    pub kind: PartKind,
    /// The folder.
    pub path: PathBuf,
}

/// What a part holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PartKind {
    /// The site server's files, and the database unless it is a part of its own.
    Site,
    /// The database.
    Sql,
}

/// What [`discover`] found.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Found {
    /// Sorted by site. At least one.
    pub snapshots: Vec<Snapshot>,
    /// Folders of other sites that are named like a snapshot and are empty or only begun: the task is at work there.
    pub unfinished: Vec<PathBuf>,
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

/// The site whose snapshot a folder of this name holds: `XYZBackup`, in any case.
#[must_use]
pub fn site_of_folder(name: &str) -> Option<SiteCode> {
    let (site, rest) = name.split_at_checked(3)?;
    rest.eq_ignore_ascii_case("Backup").then(|| site.parse().ok()).flatten()
}

/// Finds the snapshots at the configured paths.
///
/// # Errors
/// When a path cannot be read, or there is no snapshot: the error says what was expected and what is there.
pub fn discover(config: &config::Snapshot) -> Result<Found, Error> {
    let mut found = Found::default();
    let mut doubtful = None;
    let names = list(&config.path)?;
    let itself = path_site(&config.path);
    if let Some(site) = itself.filter(|_| marks(&names) > 0 || !holds_snapshots(&names)) {
        judge(site, &config.path, &names, config.site, &mut found, &mut doubtful);
    } else {
        for name in &names {
            let Some(site) = site_of_folder(name) else { continue };
            let path = config.path.join(name);
            match list(&path) {
                Ok(names) => judge(site, &path, &names, config.site, &mut found, &mut doubtful),
                // A file of that name, or cleaned away meanwhile.
                Err(Error::NotAFolder { .. } | Error::Missing { .. }) => {}
                Err(error) => return Err(error),
            }
        }
    }
    if found.snapshots.is_empty() {
        return Err(doubtful.unwrap_or_else(|| no_snapshot(config, &names)));
    }
    found.snapshots.sort_by_key(|snapshot| snapshot.site);
    if let Some(sql_path) = &config.sql_path {
        let names = list(sql_path)?;
        for snapshot in &mut found.snapshots {
            match sql_part(snapshot.site, sql_path, &names) {
                Ok(path) => snapshot.parts.push(Part { kind: PartKind::Sql, path }),
                // Of several sites, some may have the database with the rest.
                Err(Error::NoSnapshot { .. }) if holds_database(&snapshot.parts[0].path)? => {}
                Err(error) => return Err(error),
            }
        }
    }
    Ok(found)
}

fn judge(
    site: SiteCode,
    path: &Path,
    names: &[String],
    wanted: Option<SiteCode>,
    found: &mut Found,
    doubtful: &mut Option<Error>,
) {
    if wanted.is_some_and(|wanted| wanted != site) {
        return;
    }
    if marks(names) >= 2 {
        let part = Part { kind: PartKind::Site, path: path.to_path_buf() };
        found.snapshots.push(Snapshot { site, parts: vec![part] });
    } else if names.is_empty() || marks(names) == 1 {
        found.unfinished.push(path.to_path_buf());
        let what = if names.is_empty() {
            "the folder is empty, as while the backup task cleans it or begins".to_owned()
        } else {
            format!("it holds {}, but a snapshot has at least two of {}", shown(names), MARKS.join(", "))
        };
        *doubtful = Some(Error::Unfinished { path: path.to_path_buf(), found: what });
    }
}

fn no_snapshot(config: &config::Snapshot, names: &[String]) -> Error {
    let folder = config.site.map_or("XYZBackup (XYZ is the site code)".to_owned(), |site| site.backup_folder());
    Error::NoSnapshot {
        path: config.path.clone(),
        expected: format!("a folder {folder} with at least two of {}", MARKS.join(", ")),
        found: shown(names),
    }
}

/// The database half of a site below the configured path, which may be that folder itself.
fn sql_part(site: SiteCode, sql_path: &Path, names: &[String]) -> Result<PathBuf, Error> {
    let is_database = |names: &[String]| {
        names.iter().any(|name| name.eq_ignore_ascii_case(DATABASE_FOLDER) || is_database_file(name))
    };
    if path_site(sql_path) == Some(site) && is_database(names) {
        return Ok(sql_path.to_path_buf());
    }
    let Some(name) = names.iter().find(|name| site_of_folder(name) == Some(site)) else {
        if path_site(sql_path) == Some(site) && names.is_empty() {
            let found = "the folder of the database half is empty, as while the backup task cleans it or begins".into();
            return Err(Error::Unfinished { path: sql_path.to_path_buf(), found });
        }
        return Err(Error::NoSnapshot {
            path: sql_path.to_path_buf(),
            expected: format!("the database half: a folder {} with {DATABASE_FOLDER}", site.backup_folder()),
            found: shown(names),
        });
    };
    let path = sql_path.join(name);
    let inside = list(&path)?;
    if is_database(&inside) {
        return Ok(path);
    }
    let found = format!("the database half holds {}, but no {DATABASE_FOLDER}", shown(&inside));
    Err(Error::Unfinished { path, found })
}

fn holds_database(folder: &Path) -> Result<bool, Error> {
    Ok(list(folder)?.iter().any(|name| name.eq_ignore_ascii_case(DATABASE_FOLDER)))
}

fn path_site(path: &Path) -> Option<SiteCode> {
    path.file_name().and_then(|name| name.to_str()).and_then(site_of_folder)
}

fn marks(names: &[String]) -> usize {
    MARKS.iter().filter(|mark| names.iter().any(|name| name.eq_ignore_ascii_case(mark))).count()
}

/// `D:\SQLBackup\P01Backup`: the outer folder only looks like one of site SQL.
fn holds_snapshots(names: &[String]) -> bool {
    names.iter().any(|name| site_of_folder(name).is_some())
}

fn is_database_file(name: &str) -> bool {
    // 2007 wrote SMSbkSQLDBsite.dat.
    has_extension(name, "mdf") || name.eq_ignore_ascii_case("SMSbkSQLDBsite.dat")
}

fn has_extension(name: &str, extension: &str) -> bool {
    Path::new(name).extension().is_some_and(|found| found.eq_ignore_ascii_case(extension))
}

fn shown(names: &[String]) -> String {
    const SHOWN: usize = 5;
    match names {
        [] => "nothing".to_owned(),
        names if names.len() <= SHOWN => names.join(", "),
        names => format!("{} and {} more", names[..SHOWN].join(", "), names.len() - SHOWN),
    }
}

/// The names in a folder, sorted.
fn list(folder: &Path) -> Result<Vec<String>, Error> {
    let error = |source: io::Error| {
        let path = folder.to_path_buf();
        match source.kind() {
            io::ErrorKind::NotFound => Error::Missing { path },
            io::ErrorKind::NotADirectory => Error::NotAFolder { path },
            _ => Error::Read { path, source },
        }
    };
    let entries = match std::fs::read_dir(folder) {
        Ok(entries) => entries,
        Err(source) => {
            // Windows has several words for it.
            let file = std::fs::metadata(folder).is_ok_and(|metadata| metadata.is_file());
            return Err(if file { Error::NotAFolder { path: folder.to_path_buf() } } else { error(source) });
        }
    };
    let mut names = Vec::new();
    for entry in entries {
        names.push(entry.map_err(error)?.file_name().to_string_lossy().into_owned());
    }
    names.sort_unstable();
    Ok(names)
}

/// What [`gather`] saw.
#[derive(Debug, Clone)]
pub struct Gathered {
    /// For [`complete::decide`].
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
    let mut follower = log::Follower::new(path);
    match follower.poll() {
        Ok(_) => LogEvidence::Read { path: path.to_path_buf(), copy, runs: follower.runs() },
        Err(error) if error.is_not_found() && copy => LogEvidence::Absent,
        Err(log::Error::Read { path, source }) => LogEvidence::Unreadable { path, reason: source.to_string() },
    }
}

/// Looks at everything that tells whether a snapshot is complete. `log` is what [`read_log`] or a
/// [`log::Follower`] of the configured log tells; where there is none, the copy in the snapshot is read.
///
/// # Errors
/// When a part cannot be listed, for instance because it is being deleted.
pub fn gather(snapshot: &Snapshot, log: LogEvidence, cancel: &Cancel) -> Result<Gathered, Error> {
    let mut walks = Vec::with_capacity(snapshot.parts.len());
    let mut parts: Vec<PartEvidence> = Vec::with_capacity(snapshot.parts.len());
    let mut site_log = log;
    let mut elsewhere = None;
    for part in &snapshot.parts {
        let walk = walk::walk(&part.path, cancel)?;
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
        }
        parts.push(evidence);
        walks.push(walk);
    }
    let evidence = Evidence { site: snapshot.site, log: site_log, parts, unchanged_for: None };
    Ok(Gathered { evidence, walks })
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
    };
    let mut evidence = PartEvidence {
        kind: part.kind,
        path: part.path.clone(),
        metadata,
        newest_data: None,
        newest_change: walk.newest_change,
        data_files: 0,
        databases: Vec::new(),
        log: LogEvidence::Absent,
    };
    for item in walk.items.iter().filter(|item| item.kind == Kind::File) {
        let (folder, name) = item.name.rsplit_once('/').unwrap_or(("", &item.name));
        let top = folder.is_empty() || folder.eq_ignore_ascii_case(DATABASE_FOLDER);
        // Written beside the data, and perhaps after the metadata.
        let about = [METADATA, SQL_METADATA, "smsbkup.log", "smsbkup.lo_", "smssqlbkup.log", "smssqlbkup.lo_"];
        if top && about.iter().any(|about| name.eq_ignore_ascii_case(about)) {
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
    evidence
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::time::Duration;

    use filetime::FileTime;
    use tempfile::TempDir;

    use super::complete::{By, State, decide};
    use super::*;

    const QUIET: Duration = Duration::from_mins(2);

    /// All files below `folder` get this time, and then the folders.
    struct Disk(TempDir);

    impl Disk {
        fn new(files: &[&str]) -> Self {
            let disk = Self(tempfile::tempdir().unwrap());
            for file in files {
                disk.write(file, "x", "01:00:00");
            }
            disk
        }

        fn path(&self, name: &str) -> PathBuf {
            self.0.path().join(name)
        }

        fn write(&self, name: &str, text: &str, clock: &str) {
            let path = self.path(name);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(&path, text).unwrap();
            filetime::set_file_mtime(&path, file_time(clock)).unwrap();
        }

        fn settle(&self, clock: &str) {
            for item in walk::walk(self.0.path(), &Cancel::new()).unwrap().items {
                if item.kind == Kind::Folder {
                    filetime::set_file_mtime(item.path(self.0.path()), file_time(clock)).unwrap();
                }
            }
        }

        fn config(&self, path: &str) -> config::Snapshot {
            config::Snapshot { path: self.path(path), sql_path: None, log: None, site: None, quiet: QUIET }
        }

        fn sites(&self, path: &str) -> Vec<String> {
            let found = discover(&self.config(path)).unwrap();
            found.snapshots.iter().map(|snapshot| snapshot.site.to_string()).collect()
        }

        fn error(&self, path: &str) -> Error {
            discover(&self.config(path)).unwrap_err()
        }
    }

    fn time(clock: &str) -> Timestamp {
        format!("2026-11-22T{clock}Z").parse().unwrap()
    }

    fn file_time(clock: &str) -> FileTime {
        FileTime::from_unix_time(time(clock).as_second(), 0)
    }

    // Synthetic, built on the published form of status messages.
    fn status(id: u32, clock: &str) -> String {
        format!("STATMSG: ID={id} COMP=\"SMS_SITE_BACKUP\" SITE=P01 GMTDATE=Sun Nov 22 {clock}.000 2026 NUMATTRS=0\r\n")
    }

    const SNAPSHOT: [&str; 4] = [
        "P01Backup/BackupDocument.xml",
        "P01Backup/SiteDBServer/CM_P01.mdf",
        "P01Backup/SiteDBServer/CM_P01_log.ldf",
        "P01Backup/SiteServer/SMSServer/data/x",
    ];

    fn decided(disk: &Disk, config: &config::Snapshot, now: &str) -> State {
        let found = discover(config).unwrap();
        disk.settle("01:00:00");
        let gathered = gather(&found.snapshots[0], read_log(config), &Cancel::new()).unwrap();
        decide(&gathered.evidence, QUIET, time(now)).state
    }

    #[test]
    fn folder_names_are_judged() {
        assert_eq!(site_of_folder("p01bACKUP").unwrap().as_str(), "P01");
        for name in ["", "Backup", "P1Backup", "P001Backup", "P-1Backup", "P01Backup2", "éaBackup", "P01Backu\u{301}p"]
        {
            assert_eq!(site_of_folder(name), None, "{name}");
        }
    }

    #[test]
    fn snapshot_is_found_in_its_folder_and_from_above() {
        let disk = Disk::new(&SNAPSHOT);
        assert_eq!(disk.sites(""), ["P01"]);
        assert_eq!(disk.sites("P01Backup"), ["P01"]);
    }

    #[test]
    fn several_sites_are_found_and_one_can_be_chosen() {
        let disk =
            Disk::new(&["p02backup/siteserver/x", "p02backup/CD.LATEST/x", "OldBackup/x", "other/y", "P04Backup"]);
        for file in SNAPSHOT {
            disk.write(file, "x", "01:00:00");
        }
        fs::create_dir(disk.path("P03Backup")).unwrap();
        assert_eq!(disk.sites(""), ["P01", "P02"]);
        let found = discover(&disk.config("")).unwrap();
        assert_eq!(found.unfinished, [disk.path("P03Backup")]);
        let config = config::Snapshot { site: Some("P02".parse().unwrap()), ..disk.config("") };
        assert_eq!(discover(&config).unwrap().snapshots[0].site.as_str(), "P02");
    }

    #[test]
    fn folder_above_that_looks_like_a_snapshot_is_looked_into() {
        let disk = Disk::new(&["SQLBackup/P01Backup/SiteServer/x", "SQLBackup/P01Backup/SiteDBServer/x"]);
        assert_eq!(disk.sites("SQLBackup"), ["P01"]);
    }

    #[test]
    fn what_is_wrong_is_said_precisely() {
        let disk = Disk::new(&["file", "some/a", "some/b", "half/P01Backup/SiteServer/x"]);
        fs::create_dir_all(disk.path("cleaned/P01Backup")).unwrap();
        fs::create_dir_all(disk.path("empty")).unwrap();
        assert!(matches!(disk.error("none"), Error::Missing { .. }));
        assert!(matches!(disk.error("file"), Error::NotAFolder { .. }));
        for (path, text) in [
            ("some", "found a, b"),
            ("empty", "found nothing"),
            ("cleaned", "no completed snapshot in "),
            ("cleaned/P01Backup", "the folder is empty"),
            ("half", "it holds SiteServer"),
        ] {
            let error = disk.error(path);
            assert!(error.is_no_snapshot());
            assert!(error.to_string().contains(text), "{error}");
        }
        assert!(!disk.error("none").is_no_snapshot());
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
        assert!(discover(&config).unwrap_err().is_no_snapshot());
        let config = config::Snapshot { sql_path: Some(disk.path("none")), ..alone };
        assert!(matches!(discover(&config), Err(Error::Missing { .. })));
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

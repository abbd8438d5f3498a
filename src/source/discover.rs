//! Finds snapshots at the configured paths, or says what is there instead.
//!
//! A snapshot of the backup task is a folder `XYZBackup` that holds at least two of the things that the task writes.
//! The path may be that folder, or hold it, or hold those of several sites. Case does not matter, as it does not on
//! Windows.

use std::collections::BTreeSet;
use std::io;
use std::path::{Path, PathBuf};

use jiff::Timestamp;

use super::{
    DATABASE_FOLDER, Error, METADATA, Part, PartKind, Snapshot, is_database_file, site_of_folder, sql_backups,
};
use crate::config;
use crate::name::SiteCode;

/// A folder that holds two of these is a snapshot.
const MARKS: [&str; 4] = ["SiteServer", DATABASE_FOLDER, "CD.Latest", METADATA];

/// What [`discover()`] found.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Found {
    /// Sorted by site. At least one.
    pub snapshots: Vec<Snapshot>,
    /// Folders of other sites that are named like a snapshot, but hold none yet.
    pub unfinished: Vec<Unfinished>,
}

/// A folder that holds no snapshot yet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unfinished {
    /// The folder.
    pub path: PathBuf,
    /// Why there is no snapshot, in words.
    pub why: String,
}

/// Finds the snapshots at the configured paths.
///
/// Of SQL Server's backups it fixes which files make the snapshot. For that `now` matters: log backups that are younger
/// than the quiet period are left for the next one.
///
/// # Errors
/// When a path cannot be read, or there is no snapshot: the error says what was expected and what is there.
pub fn discover(config: &config::Snapshot, now: Timestamp) -> Result<Found, Error> {
    match config.kind {
        config::SnapshotKind::Site => discover_site(config),
        config::SnapshotKind::SqlBackups => sql_backups::discover(config, now),
    }
}

fn discover_site(config: &config::Snapshot) -> Result<Found, Error> {
    let mut found = Found::default();
    let mut doubtful = None;
    let names = list_configured(&config.path)?;
    let itself = path_site(&config.path);
    if let Some(site) = itself.filter(|_| marks(&names) > 0 || !holds_snapshots(&names)) {
        judge(site, &config.path, &names, config.site, &mut found, &mut doubtful);
    } else {
        for name in &names {
            let Some(site) = site_of_folder(name) else { continue };
            if config.site.is_some_and(|wanted| wanted != site) {
                continue;
            }
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
        let names = list_configured(sql_path)?;
        for snapshot in &mut found.snapshots {
            match sql_part(snapshot.site, sql_path, &names) {
                Ok(path) => snapshot.parts.push(Part::whole(PartKind::Sql, path)),
                // Of several sites, some may have the database with the rest.
                Err(Error::NoSnapshot { .. }) if holds_database(&snapshot.parts[0].path)? => {}
                Err(error) => return Err(error),
            }
        }
    }
    Ok(found)
}

/// The sites that the configured path tells of. Those of the backup task by the names of folders alone, whatever they
/// hold at the moment.
#[must_use]
pub fn named_sites(config: &config::Snapshot, now: Timestamp) -> BTreeSet<SiteCode> {
    if config.kind == config::SnapshotKind::SqlBackups {
        let found = discover(config, now).unwrap_or_default();
        return found.snapshots.iter().map(|snapshot| snapshot.site).collect();
    }
    let names = list(&config.path).unwrap_or_default();
    match path_site(&config.path).filter(|_| !holds_snapshots(&names)) {
        Some(site) => BTreeSet::from([site]),
        None => names.iter().filter_map(|name| site_of_folder(name)).collect(),
    }
}

/// Why the folder that snapshots are written to is none, if it is not there. That the task has deleted the snapshot in
/// it, and writes the next, is nothing of that kind; nor is a missing right: who asks need not be who archives.
#[must_use]
pub fn unreachable(config: &config::Snapshot) -> Option<Error> {
    let folders = std::iter::once(&config.path).chain(&config.sql_path);
    let faults = folders.filter_map(|folder| list_configured(folder).err());
    faults.into_iter().find(|error| matches!(error, Error::Missing { .. } | Error::NotAFolder { .. }))
}

/// The task may delete the folder of a snapshot itself and make it again: that is no wrong configuration.
fn list_configured(path: &Path) -> Result<Vec<String>, Error> {
    list(path).map_err(|error| {
        let cleaned = matches!(error, Error::Missing { .. })
            && path_site(path).is_some()
            && path.parent().is_some_and(Path::is_dir);
        if !cleaned {
            return error;
        }
        let found = "the folder does not exist, as while the backup task cleans it or before its first run".into();
        Error::Unfinished { path: path.to_path_buf(), found }
    })
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
        found.snapshots.push(Snapshot { site, parts: vec![Part::whole(PartKind::Site, path.to_path_buf())] });
    } else if names.is_empty() || marks(names) == 1 {
        let why = "the task is at work there".to_owned();
        found.unfinished.push(Unfinished { path: path.to_path_buf(), why });
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

pub(super) fn path_site(path: &Path) -> Option<SiteCode> {
    path.file_name().and_then(|name| name.to_str()).and_then(site_of_folder)
}

fn marks(names: &[String]) -> usize {
    MARKS.iter().filter(|mark| names.iter().any(|name| name.eq_ignore_ascii_case(mark))).count()
}

/// The same without opening a folder that may be a snapshot, as long as something of one is in it.
pub(crate) fn is_itself_a_snapshot(folder: &Path) -> bool {
    path_site(folder).is_some()
        && (MARKS.iter().any(|mark| folder.join(mark).exists())
            || !list(folder).is_ok_and(|names| holds_snapshots(&names)))
}

/// `D:\SQLBackup\P01Backup`: the outer folder only looks like one of site SQL.
fn holds_snapshots(names: &[String]) -> bool {
    names.iter().any(|name| site_of_folder(name).is_some())
}

pub(super) fn shown(names: &[String]) -> String {
    const SHOWN: usize = 5;
    match names {
        [] => "nothing".to_owned(),
        names if names.len() <= SHOWN => names.join(", "),
        names => format!("{} and {} more", names[..SHOWN].join(", "), names.len() - SHOWN),
    }
}

/// The names in a folder, sorted.
pub(super) fn list(folder: &Path) -> Result<Vec<String>, Error> {
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

#[cfg(test)]
mod tests {
    use std::fs;

    use super::super::testing::{Disk, SNAPSHOT};
    use super::*;

    impl Disk {
        fn sites(&self, path: &str) -> Vec<String> {
            let found = discover(&self.config(path), Timestamp::MIN).unwrap();
            found.snapshots.iter().map(|snapshot| snapshot.site.to_string()).collect()
        }

        fn error(&self, path: &str) -> Error {
            discover(&self.config(path), Timestamp::MIN).unwrap_err()
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
        let found = discover(&disk.config(""), Timestamp::MIN).unwrap();
        assert_eq!(found.unfinished.len(), 1);
        assert_eq!(found.unfinished[0].path, disk.path("P03Backup"));
        let config = config::Snapshot { site: Some("P02".parse().unwrap()), ..disk.config("") };
        assert_eq!(discover(&config, Timestamp::MIN).unwrap().snapshots[0].site.as_str(), "P02");
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
            ("P09Backup", "the folder does not exist"),
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
}

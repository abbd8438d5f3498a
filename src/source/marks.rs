//! What a snapshot shows from outside: times and sizes of its folders and of its metadata.
//!
//! Everything that waits for the backup task looks at these and at the log, and at nothing else. They are questions
//! about single names: no folder of the snapshot is listed and nothing in it stays open, so the task can clean whenever
//! it likes. Different marks mean "look again", never "complete".

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use jiff::Timestamp;

use super::discover::{is_itself_a_snapshot, list, path_site};
use super::sql_backups::{self, Unit};
use super::{Error, Part, PartKind, Snapshot, metadata_files, site_of_folder};
use crate::config;
use crate::name::SiteCode;

/// The marks of a snapshot, comparable with those of another moment.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Marks {
    seen: Vec<(PathBuf, Mark)>,
    /// Which snapshot it is; `None` as long as it cannot be complete.
    identity: Option<Vec<(PathBuf, Mark)>>,
}

/// Time and size of a file or folder that is there.
type Mark = Option<(Option<SystemTime>, u64)>;

impl Marks {
    /// Of the parts that the backup task writes. SQL Server's backups are not cleaned by anybody who would have to
    /// wait.
    #[must_use]
    pub fn of(parts: &[Part]) -> Self {
        let mut seen = Vec::new();
        let mut identity = None;
        for part in parts.iter().filter(|part| matches!(part.kind, PartKind::Site | PartKind::Sql)) {
            // A folder's own time changes when something in it comes or goes.
            seen.push(marked(part.path.clone()));
            let metadata: Vec<_> = metadata_files(part).into_iter().map(marked).collect();
            if part.kind == PartKind::Site && metadata.iter().all(|(_, mark)| mark.is_some()) {
                identity = Some(metadata.clone());
            }
            seen.extend(metadata);
        }
        Self { seen, identity }
    }

    /// Of backups that SQL Server wrote: the files that date the archive.
    fn of_unit(part: &Part, unit: &Unit) -> Self {
        let seen: Vec<_> = unit.dating_files().map(|file| marked(part.path.join(&file.name))).collect();
        Self { identity: Some(seen.clone()), seen }
    }

    /// The first place that does not look as it did, and what happened to it.
    #[must_use]
    pub fn change(&self) -> Option<String> {
        let (path, _) = self.seen.iter().find(|(path, before)| mark(path) != *before)?;
        let what = if path.exists() { "changed" } else { "was removed" };
        Some(format!("{} {what}", path.display()))
    }

    /// Is there what is written last, the metadata of the site half?
    #[must_use]
    pub fn may_be_complete(&self) -> bool {
        self.identity.is_some()
    }

    /// Is it the same snapshot?
    #[must_use]
    pub fn same_snapshot(&self, other: &Self) -> bool {
        self.identity.is_some() && self.identity == other.identity
    }
}

fn marked(path: PathBuf) -> (PathBuf, Mark) {
    let mark = mark(&path);
    (path, mark)
}

fn mark(path: &Path) -> Mark {
    let metadata = std::fs::metadata(path).ok()?;
    // A folder's size says nothing.
    Some((metadata.modified().ok(), if metadata.is_file() { metadata.len() } else { 0 }))
}

/// The marks of every folder that is named like the snapshot of a site, whatever is in it; or of SQL Server's backups.
///
/// # Errors
/// When the configured paths cannot be listed.
pub fn marks(config: &config::Snapshot, now: Timestamp) -> Result<BTreeMap<SiteCode, Marks>, Error> {
    match config.kind {
        config::SnapshotKind::Site => marks_of_sites(config),
        config::SnapshotKind::SqlBackups => match sql_backups::discover(config, now) {
            Ok(found) => Ok(found.snapshots.iter().filter_map(marks_of_backups).collect()),
            Err(error) if error.is_no_snapshot() => Ok(BTreeMap::new()),
            Err(error) => Err(error),
        },
    }
}

fn marks_of_backups(snapshot: &Snapshot) -> Option<(SiteCode, Marks)> {
    let (part, unit) = snapshot.parts.iter().find_map(|part| Some((part, part.unit.as_ref()?)))?;
    Some((snapshot.site, Marks::of_unit(part, unit)))
}

fn marks_of_sites(config: &config::Snapshot) -> Result<BTreeMap<SiteCode, Marks>, Error> {
    let mut parts = BTreeMap::new();
    for (site, path) in candidates(&config.path)? {
        if config.site.is_none_or(|wanted| wanted == site) {
            parts.insert(site, vec![Part::whole(PartKind::Site, path)]);
        }
    }
    if let Some(sql_path) = &config.sql_path {
        for (site, path) in candidates(sql_path)? {
            if let Some(parts) = parts.get_mut(&site) {
                parts.push(Part::whole(PartKind::Sql, path));
            }
        }
    }
    Ok(parts.into_iter().map(|(site, parts)| (site, Marks::of(&parts))).collect())
}

/// The folder itself, if it is named like a snapshot, else those in it.
fn candidates(folder: &Path) -> Result<Vec<(SiteCode, PathBuf)>, Error> {
    // It may be away while the task cleans.
    if let Some(site) = path_site(folder).filter(|_| is_itself_a_snapshot(folder)) {
        return Ok(vec![(site, folder.to_owned())]);
    }
    let named = |name: String| site_of_folder(&name).map(|site| (site, folder.join(name)));
    Ok(list(folder)?.into_iter().filter_map(named).collect())
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::super::testing::{Disk, SNAPSHOT};
    use super::*;

    fn of(disk: &Disk, config: &config::Snapshot) -> Marks {
        let mut found = marks(config, Timestamp::UNIX_EPOCH).unwrap();
        assert_eq!(found.len(), 1, "{disk:?}");
        found.pop_first().unwrap().1
    }

    impl std::fmt::Debug for Disk {
        fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
            write!(f, "{}", self.path("").display())
        }
    }

    #[test]
    fn what_a_new_run_touches_first_changes_the_marks() {
        let disk = Disk::new(&SNAPSHOT);
        for path in ["", "P01Backup"] {
            let config = disk.config(path);
            let before = of(&disk, &config);
            assert!(before.may_be_complete() && before.change().is_none());
            assert_eq!(before, of(&disk, &config));
            disk.write("P01Backup/BackupDocument.xml", "<y/>", "02:00:00");
            assert!(before.change().unwrap().ends_with("changed"));
            fs::remove_file(disk.path("P01Backup/BackupDocument.xml")).unwrap();
            let cleaned = of(&disk, &config);
            assert!(!cleaned.may_be_complete() && cleaned != before);
            assert!(before.change().is_some());
            disk.write("P01Backup/BackupDocument.xml", "<x/>", "01:00:00");
        }
    }

    #[test]
    fn both_halves_count_and_other_sites_do_not() {
        let disk = Disk::new(&["site/P01Backup/x", "sql/P01Backup/SiteDBServer/CM_P01.mdf", "sql/P02Backup/x"]);
        let config = config::Snapshot { sql_path: Some(disk.path("sql")), ..disk.config("site") };
        let before = of(&disk, &config);
        disk.write("sql/P01Backup/SiteDBServer/SQLBackupDocument.xml", "<x/>", "01:00:00");
        assert_ne!(before, of(&disk, &config));
        let before = of(&disk, &config);
        disk.write("sql/P02Backup/y", "x", "01:00:00");
        assert_eq!(before, of(&disk, &config));
        let other = config::Snapshot { site: Some("P09".parse().unwrap()), ..config };
        assert!(marks(&other, Timestamp::UNIX_EPOCH).unwrap().is_empty());
    }

    #[test]
    fn folder_above_that_is_named_like_a_snapshot_is_looked_into() {
        let disk = Disk::new(&["SQLBackup/P01Backup/BackupDocument.xml", "SQLBackup/P01Backup/SiteServer/x"]);
        let found = marks(&disk.config("SQLBackup"), Timestamp::UNIX_EPOCH).unwrap();
        assert_eq!(found.keys().map(SiteCode::as_str).collect::<Vec<_>>(), ["P01"]);
        assert!(of(&disk, &disk.config("SQLBackup")).may_be_complete());
    }

    #[test]
    fn path_that_is_gone_is_an_error_unless_the_task_removes_it_itself() {
        let disk = Disk::new(&SNAPSHOT);
        assert!(matches!(marks(&disk.config("none"), Timestamp::UNIX_EPOCH), Err(Error::Missing { .. })));
        assert!(!of(&disk, &disk.config("P09Backup")).may_be_complete());
    }
}

//! `[snapshot]`: what is archived, of either kind. Keys that have no effect with the kind that is written are faults.

use std::path::{Path, PathBuf};
use std::str::FromStr as _;
use std::time::Duration;

use crate::config::text::{Key, Kind, Reader, Section, key, paths};
use crate::name::{SQL_SERIES, SiteCode};

/// The keys of this section.
pub(in crate::config) const KEYS: &[Key] = &[
    key("kind", Kind::Text, "\"site\""),
    key("path", Kind::Text, r"'E:\ConfigMgr_Backup'"),
    key("sql-path", Kind::Text, r"'\\SQL01\ConfigMgr_Backup'"),
    key("log", Kind::Text, r"'C:\Program Files\Microsoft Configuration Manager\Logs\smsbkup.log'"),
    key("site", Kind::Text, "\"XYZ\""),
    key("database", Kind::Text, "\"ConfigMgr\""),
    key("quiet", Kind::Text, "\"2min\""),
    key("cd-latest", Kind::Text, r"'\\CM01\SMS_XYZ\cd.latest'"),
    key("log-backups", Kind::Text, "\"include\""),
    key("without-cd-latest", Kind::Flag, "true"),
];

/// Where the backup task or SQL Server writes.
#[derive(Debug, Clone)]
pub struct Snapshot {
    /// Who writes there.
    pub kind: SnapshotKind,
    /// Holds `XYZBackup`, or the folders of several sites, or is such a folder. Of SQL Server's backups, the folder of
    /// the database `CM_XYZ`, of its server, or one that holds those of servers.
    pub path: PathBuf,
    /// Where the database half lies, if elsewhere.
    pub sql_path: Option<PathBuf>,
    /// smsbkup.log. Without it, the copy in the snapshot.
    pub log: Option<PathBuf>,
    /// Only this site, where `path` holds several.
    pub site: Option<SiteCode>,
    /// The site's database, where it is not named after the site.
    pub database: Option<String>,
    /// How long nothing may have changed, where the log does not tell.
    pub quiet: Duration,
    /// CD.Latest, which SQL Server's backups lack.
    pub cd_latest: Option<PathBuf>,
    /// How SQL Server's log backups are taken.
    pub log_backups: LogBackups,
    /// The site has no CD.Latest any more.
    pub without_cd_latest: bool,
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
            database: None,
            quiet: QUIET,
            cd_latest: None,
            log_backups: LogBackups::Include,
            without_cd_latest: false,
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

impl SnapshotKind {
    /// The series that the archives of this kind make; the backup task's are the site's own.
    #[must_use]
    pub fn series(self) -> Option<&'static str> {
        match self {
            Self::Site => None,
            Self::SqlBackups => Some(SQL_SERIES),
        }
    }

    /// Does a configuration of this kind look after the archives of a series? SQL Server's backups are a history of
    /// their
    /// own.
    #[must_use]
    pub fn owns(self, series: Option<&str>) -> bool {
        (series == Some(SQL_SERIES)) == (self == Self::SqlBackups)
    }
}

impl Snapshot {
    /// Does this path lie where the backup task deletes everything before every run? Judged by the text alone.
    #[must_use]
    pub fn holds(&self, path: &Path) -> bool {
        std::iter::once(&self.path).chain(&self.sql_path).any(|source| paths::is_inside(path, source))
    }
}

/// How long nothing may have changed, unless configured.
const QUIET: Duration = Duration::from_mins(2);
const KINDS: [(&str, SnapshotKind); 2] = [("site", SnapshotKind::Site), ("sql-backups", SnapshotKind::SqlBackups)];
const LOG_BACKUPS: [(&str, LogBackups); 3] =
    [("include", LogBackups::Include), ("trigger", LogBackups::Trigger), ("ignore", LogBackups::Ignore)];

/// Keys that only one kind has, and what to do.
const ONLY_SITE: [(&str, &str); 3] = [
    ("database", "remove it: SQL Server's backups are found by the name CM_XYZ"),
    ("sql-path", "remove it: path is where SQL Server's backups lie"),
    ("log", "remove it: SQL Server's backups are judged by their files"),
];
const ONLY_SQL_BACKUPS: [(&str, &str); 2] = [
    ("cd-latest", "remove it: the backup task's snapshot holds CD.Latest. Or write kind = \"sql-backups\""),
    ("log-backups", "remove it, or write kind = \"sql-backups\""),
];

impl Reader<'_, '_> {
    pub(in crate::config) fn snapshot(&mut self, root: &Section<'_>) -> Option<Snapshot> {
        const MISSING: &str = "missing: where does the backup task write?";
        const HINT: &str = "write the folder the backup task writes to: path = 'E:\\ConfigMgr_Backup'";
        const SQL_MISSING: &str = "missing: where are SQL Server's backups?";
        const SQL_HINT: &str = "write the folder that holds SERVER$INSTANCE\\CM_XYZ: path = '\\\\server\\share'";
        let Some(section) = root.section("snapshot") else {
            if !root.has("snapshot") {
                self.faults.add(None, "[snapshot] path", MISSING, HINT);
            }
            return None;
        };
        let kind = self.choice(&section, "kind", &KINDS, "is no kind of snapshot");
        // What goes with a kind that was written wrong cannot be judged.
        let foreign = match kind {
            Some(SnapshotKind::SqlBackups) => &ONLY_SITE[..],
            Some(SnapshotKind::Site) => &ONLY_SQL_BACKUPS[..],
            None => &[],
        };
        for (key, hint) in foreign.iter().filter(|(key, _)| section.has(key)) {
            let other = if kind == Some(SnapshotKind::Site) { "sql-backups" } else { "site" };
            let message = format!("is only for kind = \"{other}\"");
            self.faults.add(Some(section.at(key)), section.label(key), message, *hint);
        }
        if !section.has("path") {
            let (message, hint) =
                if kind == Some(SnapshotKind::SqlBackups) { (SQL_MISSING, SQL_HINT) } else { (MISSING, HINT) };
            self.faults.add(Some(section.at), "[snapshot] path", message, hint);
        }
        let site = section.text("site").and_then(|text| match SiteCode::from_str(&text.value) {
            Ok(site) => Some(site),
            Err(error) => {
                self.faults.add(Some(text.at), section.label("site"), error.to_string(), "write site = \"XYZ\"");
                None
            }
        });
        let database = section.text("database").map(|text| {
            let reason = if text.value.is_empty() || text.value.chars().any(char::is_control) {
                Some(("is no name of a database", "write the name that SQL Server shows: database = \"ConfigMgr\""))
            } else if site.is_none() {
                Some(("is only for one site", "write which: site = \"XYZ\""))
            } else {
                None
            };
            if let Some((message, hint)) = reason {
                self.faults.add(Some(text.at), section.label("database"), message, hint);
            }
            text.value
        });
        let quiet = self.duration(&section, "quiet", QUIET);
        let sql_path = self.optional_path(&section, "sql-path");
        let log = self.optional_path(&section, "log");
        let log_backups = self.choice(&section, "log-backups", &LOG_BACKUPS, "is no way to take log backups");
        let cd_latest = self.optional_path(&section, "cd-latest");
        if kind == Some(SnapshotKind::SqlBackups) && !section.has("cd-latest") {
            self.warnings.push(
                "[snapshot] cd-latest is missing: without CD.Latest of the site server, archives are NOT enough to \
                 recover the site"
                    .to_owned(),
            );
        }
        let path = self.optional_path(&section, "path")?;
        let (kind, log_backups) = (kind?, log_backups?);
        let without_cd_latest = section.flag("without-cd-latest").unwrap_or(false);
        Some(Snapshot { kind, path, sql_path, log, site, database, quiet, cd_latest, log_backups, without_cd_latest })
    }
}

/// The folders that are read, what they are called, and what would happen to archives in them.
pub(in crate::config) fn snapshot_places(snapshot: &Snapshot) -> Vec<(&'static str, &Path, &'static str)> {
    const TASK: &str = "the backup task DELETES its folder before every run: put archives elsewhere";
    const CLEANED: &str = "SQL Server's backup job removes old files there: put archives elsewhere";
    const NESTED: &str = "every archive would hold all those before it: put archives elsewhere";
    let danger = match snapshot.kind {
        SnapshotKind::Site => TASK,
        SnapshotKind::SqlBackups => CLEANED,
    };
    std::iter::once(("the snapshot's path", snapshot.path.as_path(), danger))
        .chain(snapshot.sql_path.as_deref().map(|path| ("the snapshot's sql-path", path, danger)))
        .chain(snapshot.cd_latest.as_deref().map(|path| ("the snapshot's cd-latest", path, NESTED)))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Config;

    const VAULT: &str = "[[destination]]\nname = 'vault'\npath = '/v'\n";

    fn read(keys: &str) -> Result<Config, String> {
        let file = Path::new("/nowhere/afterbackup.toml");
        Config::from_text(&format!("[snapshot]\n{keys}\n{VAULT}"), file, &|_| None).map_err(|error| error.to_string())
    }

    fn report(keys: &str) -> String {
        read(keys).unwrap_err().replace("/nowhere/", "")
    }

    #[test]
    fn sql_backups_have_keys_of_their_own() {
        let config =
            read("kind = 'sql-backups'\npath = '/b'\ncd-latest = '/cm/cd.latest'\nlog-backups = 'trigger'").unwrap();
        assert_eq!(
            (config.snapshot.kind, config.snapshot.log_backups),
            (SnapshotKind::SqlBackups, LogBackups::Trigger)
        );
        assert!(config.snapshot.cd_latest.is_some_and(|path| path.ends_with("cm/cd.latest")));
        assert!(config.warnings.is_empty(), "{:?}", config.warnings);
        let site = read("path = '/b'").unwrap();
        assert_eq!((site.snapshot.kind, site.snapshot.cd_latest), (SnapshotKind::Site, None));
        assert!(site.warnings.is_empty(), "the task's snapshot holds CD.Latest");
    }

    #[test]
    fn sql_backups_without_cd_latest_are_warned_about() {
        let config = read("kind = 'sql-backups'\npath = '/b'").unwrap();
        assert!(config.warnings[0].contains("NOT enough to recover the site"), "{:?}", config.warnings);
    }

    #[test]
    fn keys_of_the_other_kind_are_faults_with_a_hint() {
        insta::assert_snapshot!(report("kind = 'sql-backups'\npath = '/b'\nsql-path = '/q'\nlog = '/l'"), @r#"
        afterbackup.toml:4:12: [snapshot] sql-path: is only for kind = "site"
          hint: remove it: path is where SQL Server's backups lie
        afterbackup.toml:5:7: [snapshot] log: is only for kind = "site"
          hint: remove it: SQL Server's backups are judged by their files
        "#);
        insta::assert_snapshot!(report("path = '/b'\ncd-latest = '/c'\nlog-backups = 'ignore'"), @r#"
        afterbackup.toml:3:13: [snapshot] cd-latest: is only for kind = "sql-backups"
          hint: remove it: the backup task's snapshot holds CD.Latest. Or write kind = "sql-backups"
        afterbackup.toml:4:15: [snapshot] log-backups: is only for kind = "sql-backups"
          hint: remove it, or write kind = "sql-backups"
        "#);
    }

    #[test]
    fn words_that_are_no_choice_are_faults_with_a_hint() {
        insta::assert_snapshot!(report("kind = 'sql-backup'\nlog-backups = 'all'\npath = '/b'"), @r#"
        afterbackup.toml:2:8: [snapshot] kind: 'sql-backup' is no kind of snapshot
          hint: did you mean "sql-backups"?
        afterbackup.toml:3:15: [snapshot] log-backups: 'all' is no way to take log backups
          hint: write "include" or "trigger" or "ignore"
        "#);
        insta::assert_snapshot!(report("kind = 'sql-backups'\ncd-latest = '/c'"), @r"
        afterbackup.toml:1:1: [snapshot] path: missing: where are SQL Server's backups?
          hint: write the folder that holds SERVER$INSTANCE\CM_XYZ: path = '\\server\share'
        ");
    }

    #[test]
    fn destination_inside_what_is_read_is_a_fault_that_names_the_danger() {
        let report = report("kind = 'sql-backups'\npath = '/v/..'\ncd-latest = '/v'");
        assert!(report.contains("SQL Server's backup job removes old files there"), "{report}");
        assert!(report.contains("every archive would hold all those before it"), "{report}");
    }
}

//! What an archive holds, as far as recovery asks for it.

use jiff::Timestamp;
use serde::Serialize;

use crate::archive::index::Entry;
use crate::archive::manifest::{Database, Manifest};
use crate::name::ArchiveId;
use crate::sqlserver::{Kind, Report, Verdict};

/// An archive as recovery sees it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ArchiveFacts {
    /// Which.
    pub id: ArchiveId,
    /// When its snapshot was completed.
    pub completed: Timestamp,
    /// Size as stored.
    pub bytes: u64,
    /// Size when fetched.
    pub unpacked_bytes: u64,
    /// Must it be decrypted?
    pub encrypted: bool,
    /// The folder `XXXBackup` in it, with the site server's half.
    pub backup_folder: Option<String>,
    /// The folder `XXXBackup` with the database; another one where the backup task wrote to two servers.
    pub database_folder: Option<String>,
    /// Is the site server's half in it?
    pub has_site: bool,
    /// What it holds of the site database.
    pub database: DatabaseSource,
    /// CD.Latest in it.
    pub cd_latest: Option<CdLatest>,
    /// The files of the database.
    pub files: Vec<DatabaseFile>,
    /// What their checks say together.
    pub soundness: Soundness,
    /// Folders below `Supplemental`.
    pub supplemental: Vec<String>,
}

/// How the site database is in an archive.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum DatabaseSource {
    /// As data and log files, which Setup restores.
    Files,
    /// As backups of SQL Server, which are restored by hand.
    Backups,
    /// Not at all.
    None,
}

/// CD.Latest in an archive.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct CdLatest {
    /// Its path.
    pub folder: String,
    /// Is `SMSSETUP\BIN\X64\setup.exe` there?
    pub setup: bool,
    /// Does `redist` hold files?
    pub redist: bool,
}

/// A file of the database.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct DatabaseFile {
    /// Path in the archive.
    pub path: String,
    /// Name of the database, as the file says.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub database: Option<String>,
    /// Version of SQL Server, as the file says.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sql_server: Option<String>,
    /// Size.
    pub bytes: u64,
}

/// What the checks of the database say together.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case", tag = "verdict", content = "why")]
pub enum Soundness {
    /// Every file was proven sound, and they belong together.
    Sound,
    /// Something is damaged, or the files do not belong together.
    Damaged(String),
    /// There is no proof.
    Unproven(String),
}

impl Soundness {
    /// From the verdicts in the manifest.
    #[must_use]
    pub fn of(manifest: &Manifest) -> Self {
        let damaged = manifest.databases.iter().find(|one| one.verdict.is_damaged());
        let unproven = manifest.databases.iter().find(|one| !one.verdict.is_proven());
        let why = |one: &Database| one.why.as_ref().map_or_else(String::new, |why| format!(": {why}"));
        match (damaged, unproven) {
            (Some(one), _) if one.unpaired => Self::Damaged(format!("{}: the files do not belong together", one.name)),
            (Some(one), _) if one.damaged_pages > 0 => {
                let pages = if one.damaged_pages == 1 { "page is" } else { "pages are" };
                Self::Damaged(format!("{}: {} {pages} damaged", one.name, one.damaged_pages))
            }
            (Some(one), _) => Self::Damaged(format!("{} is damaged or missing{}", one.name, why(one))),
            (None, Some(one)) => Self::Unproven(format!("{} is not proven{}", one.name, why(one))),
            (None, None) if manifest.is_proven() => Self::Sound,
            (None, None) => Self::Unproven("no database was checked".to_owned()),
        }
    }
}

impl ArchiveFacts {
    /// From manifest and index.
    #[must_use]
    pub fn new(manifest: &Manifest, entries: &[Entry]) -> Self {
        let of_half = |half: &str, wanted: fn(&Entry) -> bool| {
            entries
                .iter()
                .filter(|entry| !entry.folder && wanted(entry))
                .find_map(|entry| above_half(&entry.path, half))
        };
        let site_folder = of_half("SiteServer", |_| true);
        let database_folder = of_half("SiteDBServer", |entry| has_extension(&entry.path, "mdf"));
        let files: Vec<DatabaseFile> = entries.iter().filter_map(database_file).collect();
        // In a two-part snapshot, this folder holds the database half instead.
        let is_backup = |entry: &Entry| {
            let below = entry.path.strip_prefix("SQL/").and_then(|path| path.split('/').next());
            !entry.folder && below.is_some_and(|below| !is_backup_folder(below))
        };
        let (has_data_file, has_backups) = (database_folder.is_some(), entries.iter().any(is_backup));
        let database = match (has_data_file, has_backups) {
            (true, _) => DatabaseSource::Files,
            (false, true) => DatabaseSource::Backups,
            (false, false) => DatabaseSource::None,
        };
        let mut supplemental: Vec<String> = entries
            .iter()
            .filter_map(|entry| entry.path.strip_prefix("Supplemental/")?.split('/').next().map(str::to_owned))
            .collect();
        supplemental.sort_unstable();
        supplemental.dedup();
        let mut soundness = Soundness::of(manifest);
        // A verdict on something else proves nothing of a database that is not there.
        if database == DatabaseSource::None && soundness == Soundness::Sound {
            soundness = Soundness::Unproven("the site database is not in the archive".to_owned());
        }
        Self {
            id: manifest.id.clone(),
            completed: manifest.completed,
            bytes: manifest.bytes,
            unpacked_bytes: entries.iter().map(|entry| entry.size).sum(),
            encrypted: manifest.encryption.is_some(),
            has_site: site_folder.is_some(),
            backup_folder: site_folder,
            database_folder,
            database,
            cd_latest: cd_latest(entries),
            files,
            soundness,
            supplemental,
        }
    }

    /// The name of the site database: what its data file says, else the name of that file.
    #[must_use]
    pub fn database_name(&self) -> Option<String> {
        let primary = self.files.iter().find(|file| has_extension(&file.path, "mdf"));
        let of_file = |file: &DatabaseFile| {
            let name = file.path.rsplit('/').next()?;
            Some(name.rsplit_once('.')?.0.to_owned())
        };
        primary.and_then(|file| file.database.clone().or_else(|| of_file(file)))
    }

    /// The version of SQL Server that wrote the database.
    #[must_use]
    pub fn sql_server(&self) -> Option<&str> {
        self.files.iter().find_map(|file| file.sql_server.as_deref())
    }
}

/// The folder `XXXBackup` above one of its halves.
fn above_half(path: &str, half: &str) -> Option<String> {
    let below_sql = path.strip_prefix("SQL/");
    let mut parts = below_sql.unwrap_or(path).split('/');
    let top = parts.next().filter(|top| is_backup_folder(top))?;
    let is_half = parts.next().is_some_and(|part| part.eq_ignore_ascii_case(half)) && parts.next().is_some();
    is_half.then(|| if below_sql.is_some() { format!("SQL/{top}") } else { top.to_owned() })
}

fn is_backup_folder(name: &str) -> bool {
    super::values::backup_folder_site(name).is_some()
}

fn has_extension(path: &str, extension: &str) -> bool {
    path.rsplit_once('.').is_some_and(|(_, found)| found.eq_ignore_ascii_case(extension))
}

fn database_file(entry: &Entry) -> Option<DatabaseFile> {
    let report: Option<Report> = entry.database.as_ref().and_then(|value| serde_json::from_str(value.json()).ok());
    let is_ours =
        report.as_ref().is_some_and(|report| report.kind != Kind::Other && report.verdict != Verdict::NotSqlServer);
    let by_name = ["mdf", "ndf", "ldf"].iter().any(|one| has_extension(&entry.path, one));
    if entry.folder || !(is_ours || by_name) || entry.path.starts_with("Supplemental/") {
        return None;
    }
    let facts = report.and_then(|report| report.facts);
    Some(DatabaseFile {
        path: entry.path.clone(),
        database: facts.as_ref().and_then(|facts| facts.database.clone()),
        sql_server: facts.and_then(|facts| facts.version),
        bytes: entry.size,
    })
}

/// The folder CD.Latest of an archive and what Setup needs in it.
fn cd_latest(entries: &[Entry]) -> Option<CdLatest> {
    let folder = entries.iter().find_map(|entry| {
        let at = entry.path.split('/').position(|part| part.eq_ignore_ascii_case("CD.Latest")).filter(|at| *at < 2)?;
        // A file of that name is none.
        let parts: Vec<&str> = entry.path.split('/').collect();
        let holds = parts.len() > at + 1 || entry.folder;
        holds.then(|| parts.iter().take(at + 1).copied().collect::<Vec<_>>().join("/"))
    })?;
    let below = |entry: &Entry| -> Option<String> {
        let rest = entry.path.strip_prefix(folder.as_str())?.strip_prefix('/')?;
        (!entry.folder).then(|| rest.to_lowercase())
    };
    let setup = entries.iter().any(|entry| entry.size > 0 && below(entry).is_some_and(|rest| rest == SETUP));
    let redist = entries.iter().any(|entry| below(entry).is_some_and(|rest| rest.starts_with("redist/")));
    Some(CdLatest { folder, setup, redist })
}

/// Setup below CD.Latest, in lower case.
const SETUP: &str = "smssetup/bin/x64/setup.exe";

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(path: &str) -> Entry {
        serde_json::from_value(serde_json::json!({
            "path": path.trim_end_matches('/'),
            "folder": path.ends_with('/'),
            "size": if path.ends_with('/') { 0 } else { 5 },
            "modified": "2026-11-22T23:59:00Z",
        }))
        .unwrap()
    }

    fn manifest() -> Manifest {
        let digits = "0".repeat(64);
        let json = format!(
            r#"{{"format":1,"id":"XYZ-20261122T235900Z","site":"XYZ","completed":"2026-11-22T23:59:00Z",
            "archived":"2026-11-22T23:59:00Z","archive":"XYZ-20261122T235900Z.tar.zst","bytes":100,"sha256":"{digits}",
            "compressed_bytes":100,"uncompressed_bytes":1536,"snapshot_bytes":0,"files":0,
            "index":{{"frame":0,"frames":1,"frame_offset":0,"offset":512,"size":9,"sha256":"{digits}"}}}}"#
        );
        Manifest::parse("XYZ-20261122T235900Z.json", json.as_bytes()).unwrap()
    }

    fn facts(paths: &[&str]) -> ArchiveFacts {
        ArchiveFacts::new(&manifest(), &paths.iter().map(|path| entry(path)).collect::<Vec<_>>())
    }

    #[test]
    fn halves_are_found_wherever_the_backup_task_wrote_them() {
        let one =
            facts(&["XYZBackup/SiteServer/a", "XYZBackup/SiteDBServer/CM_XYZ.mdf", "XYZBackup/CD.Latest/redist/x"]);
        assert_eq!(
            (one.backup_folder.as_deref(), one.database_folder.as_deref()),
            (Some("XYZBackup"), Some("XYZBackup"))
        );
        assert_eq!((one.database, one.has_site), (DatabaseSource::Files, true));
        let two = facts(&["XYZBackup/SiteServer/a", "SQL/XYZBackup/SiteDBServer/CM_XYZ.mdf"]);
        assert_eq!((two.database_folder.as_deref(), two.database), (Some("SQL/XYZBackup"), DatabaseSource::Files));
        assert_eq!(two.database_name().as_deref(), Some("CM_XYZ"));
        let sql = facts(&["SQL/CM_XYZ/FULL/a.bak", "CD.Latest/SMSSETUP/BIN/X64/setup.exe"]);
        assert_eq!((sql.database, sql.has_site), (DatabaseSource::Backups, false));
        assert!(sql.cd_latest.is_some_and(|cd| cd.setup && !cd.redist && cd.folder == "CD.Latest"));
        let none = facts(&[
            "XYZBackup/SiteServer/",
            "XYZBackup/SiteDBServer/",
            "XYZBackup/SiteDBServer/x.ldf",
            "XYZBackup/CD.Latest",
        ]);
        assert_eq!((none.database, none.has_site, none.cd_latest), (DatabaseSource::None, false, None));
    }

    #[test]
    fn supplemental_databases_are_not_the_site_database() {
        let facts = facts(&["Supplemental/WSUS/SUSDB.mdf", "Supplemental/SCUP/a/x", "XYZBackup/SiteServer/a"]);
        assert_eq!((facts.database, facts.files.len()), (DatabaseSource::None, 0));
        assert_eq!(facts.supplemental, ["SCUP", "WSUS"]);
    }

    #[test]
    fn without_a_proven_verdict_nothing_is_sound() {
        let of = |verdicts: &[&str]| {
            let database = |verdict: &&str| serde_json::json!({"name": "CM_XYZ", "verdict": verdict});
            let databases = verdicts.iter().map(database).map(|one| serde_json::from_value(one).unwrap()).collect();
            Soundness::of(&Manifest { databases, ..manifest() })
        };
        assert_eq!(of(&["sound", "sound"]), Soundness::Sound);
        for verdicts in [&["sound", "unproven"][..], &["unproven"], &["of a later version", "sound"], &[]] {
            assert!(matches!(of(verdicts), Soundness::Unproven(_)), "{verdicts:?}");
        }
        assert!(matches!(of(&["sound", "damaged", "unproven"]), Soundness::Damaged(_)));
    }
}

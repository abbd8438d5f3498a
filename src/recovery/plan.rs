//! What recovery from an archive means: what becomes of the data, which options of Setup apply, what to look out for,
//! and whether another archive would be the better choice.
//!
//! A function of what the archive holds, the kind of site, the time and the other archives. Every sentence is a
//! documented fact or follows from what is in the archive; each says where it comes from.

use jiff::Timestamp;
use serde::Serialize;

use super::facts::{ArchiveFacts, DatabaseSource, Soundness};
use super::keys::{SiteType, Source};
use crate::name::ArchiveId;

/// How long SQL Server keeps track of changes unless somebody set it otherwise.
pub const RETENTION_DAYS: u32 = 5;

/// What is asked.
#[derive(Debug, Clone, Copy)]
pub struct Question<'a> {
    /// The archive.
    pub facts: &'a ArchiveFacts,
    /// The site.
    pub site_type: SiteType,
    /// The primary site from which a central administration site takes global data.
    pub reference_site: Option<&'a str>,
    /// How long changes are tracked.
    pub retention_days: u32,
    /// Now.
    pub now: Timestamp,
    /// All archives of the same series, this one included.
    pub others: &'a [Candidate],
}

/// Another archive.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Candidate {
    /// Which.
    pub id: ArchiveId,
    /// When its snapshot was completed.
    pub completed: Timestamp,
    /// Are all its databases proven sound, and is it whole?
    pub sound: bool,
}

/// Where an archive lies in time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Window {
    /// Changes since then are still tracked.
    Inside,
    /// They are not.
    Outside,
    /// It is dated in the future, so its age is unknown.
    Future,
}

/// The answer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Plan {
    /// The archive.
    pub archive: ArchiveFacts,
    /// The site.
    pub site_type: SiteType,
    /// The reference site, if one was named.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reference_site: Option<String>,
    /// Seconds since the snapshot was completed.
    pub age_seconds: i64,
    /// How long changes are tracked.
    pub retention_days: u32,
    /// Where the archive lies in that.
    pub window: Window,
    /// What becomes of the data.
    pub data: Fate,
    /// The options of Setup.
    pub options: Vec<SetupOption>,
    /// What to look out for.
    pub warnings: Vec<Sentence>,
    /// Better choices, the best first.
    pub better: Vec<Better>,
}

/// What becomes of the data.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Fate {
    /// Of global data.
    pub global: String,
    /// Of site data.
    pub site: String,
}

/// An option of Setup.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct SetupOption {
    /// The key of the script.
    pub key: &'static str,
    /// Its value.
    pub value: &'static str,
    /// What it does.
    pub does: &'static str,
    /// Can it be chosen?
    pub applies: bool,
    /// Why, or why not.
    pub why: String,
    /// Who says so.
    pub source: Source,
}

/// Something to know.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Sentence {
    /// In words.
    pub text: String,
    /// Who says so.
    pub source: Source,
}

/// A better archive.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Better {
    /// Which.
    pub archive: ArchiveId,
    /// Why.
    pub why: String,
}

impl Plan {
    /// Is the database of the archive known to be damaged?
    #[must_use]
    pub fn is_damaged(&self) -> bool {
        matches!(self.archive.soundness, Soundness::Damaged(_))
    }
}

/// Answers.
#[must_use]
pub fn plan(question: &Question<'_>) -> Plan {
    let Question { facts, site_type, reference_site, retention_days, now, .. } = *question;
    let window = window(facts.completed, now, retention_days);
    Plan {
        archive: facts.clone(),
        site_type,
        reference_site: reference_site.map(str::to_owned),
        age_seconds: now.duration_since(facts.completed).as_secs(),
        retention_days,
        window,
        data: fate(site_type, window, reference_site),
        options: options(question),
        warnings: warnings(question, window),
        better: better(question),
    }
}

/// Where a time lies in the window of change tracking.
#[must_use]
pub fn window(completed: Timestamp, now: Timestamp, retention_days: u32) -> Window {
    let age = now.duration_since(completed).as_secs();
    match age {
        age if age < 0 => Window::Future,
        age if age <= i64::from(retention_days) * 86_400 => Window::Inside,
        _ => Window::Outside,
    }
}

/// What becomes of the data, by Microsoft's table. What is dated in the future may be of any age: the worse case.
#[must_use]
pub fn fate(site_type: SiteType, window: Window, reference_site: Option<&str>) -> Fate {
    let inside = window == Window::Inside;
    let (global, site) = match (site_type, inside) {
        (SiteType::Cas, true) => (
            "Changes to global data since the backup come from all primary sites.".to_owned(),
            "Changes to site data since the backup come from all primary sites.",
        ),
        (SiteType::Cas, false) => (
            match reference_site {
                Some(reference) => format!(
                    "Global data is reinitialised from the reference primary site {reference}; then all other primary sites \
                     reinitialise theirs from the central administration site."
                ),
                None => {
                    "No reference primary site is named: all primary sites reinitialise global data from the central \
                         administration site, that is, from the restored backup."
                        .to_owned()
                }
            },
            "Site data is reinitialised from each primary site.",
        ),
        (SiteType::ChildPrimary, true) => (
            "Changes to global data since the backup come from the central administration site.".to_owned(),
            CHILD_SITE_DATA,
        ),
        (SiteType::ChildPrimary, false) => {
            ("Global data is reinitialised from the central administration site.".to_owned(), CHILD_SITE_DATA)
        }
        (SiteType::Primary, true) => (STAND_ALONE.to_owned(), STAND_ALONE),
        (SiteType::Primary, false) => (format!("{STAND_ALONE} {OLD}"), STAND_ALONE),
    };
    Fate { global, site: site.to_owned() }
}

const CHILD_SITE_DATA: &str = "The central administration site reinitialises site data from this primary site. Changes since \
                               the backup are lost; clients regenerate most of them.";
const STAND_ALONE: &str = "Changes since the backup are lost.";
const OLD: &str = "An old backup is still worth having.";

fn options(question: &Question<'_>) -> Vec<SetupOption> {
    let Question { facts, site_type, reference_site, .. } = *question;
    let mut options = Vec::new();
    let mut add = |key, value, does, applies, why: &str, source| {
        options.push(SetupOption { key, value, does, applies, why: why.to_owned(), source });
    };
    let no_site = "the archive does not hold the site server's half";
    let server = "ServerRecoveryOptions";
    add(server, "1", "recover site server and SQL Server", true, "both are lost", Source::Keys);
    add(server, "2", "recover the site server only", true, "the database is in order", Source::Keys);
    add(server, "4", "recover SQL Server only", true, "the site server is in order", Source::Keys);
    let location = "SiteServerBackupLocation";
    if facts.has_site {
        add(
            location,
            "XXXBackup",
            "restore the site server from the backup",
            true,
            "the archive holds the site server's half",
            Source::Options,
        );
    } else {
        add(location, "XXXBackup", "restore the site server from the backup", false, no_site, Source::Options);
    }
    add(location, "(absent)", "reinstall the site server without restoring", true, "always possible", Source::Keys);
    let database = "DatabaseRecoveryOptions";
    let (applies, why) = match (facts.database, &facts.soundness) {
        (DatabaseSource::Files, Soundness::Sound) => {
            (true, "data file and log are in the archive, sound, and belong together".to_owned())
        }
        (DatabaseSource::Files, Soundness::Unproven(why)) => {
            (true, format!("data file and log are in the archive, but without proof that they are sound: {why}"))
        }
        (DatabaseSource::Files, Soundness::Damaged(why)) => {
            (false, format!("the database in the archive is damaged: {why}"))
        }
        (DatabaseSource::Backups, _) => {
            (false, "the archive holds backups of SQL Server, which Setup does not restore".to_owned())
        }
        (DatabaseSource::None, _) => (false, "the archive holds no site database".to_owned()),
    };
    add(database, "10", "restore the database from the backup set", applies, &why, Source::Options);
    let by_hand = match facts.database {
        DatabaseSource::Backups => {
            "restore the backups of SQL Server by hand first: full, differential, then the log backups"
        }
        _ => "after the database was recovered in another way",
    };
    add(database, "20", "use a database that was recovered by hand", true, by_hand, Source::Options);
    let (applies, why) = match (site_type, reference_site) {
        (SiteType::Primary, _) => (false, "not for a stand-alone primary site".to_owned()),
        (SiteType::ChildPrimary, _) => (true, "when no backup is usable: global data comes from the central administration site".to_owned()),
        (SiteType::Cas, Some(reference)) => (true, format!("with ReferenceSite={reference}; not for a central administration site without primary sites")),
        (SiteType::Cas, None) => (false, "needs ReferenceSite, a primary site (--reference-site); not for a central administration site without primary sites".to_owned()),
    };
    add(database, "40", "create a new database", applies, &why, Source::Options);
    add(
        database,
        "80",
        "skip the database",
        true,
        "only when no data is lost and the database is on another computer",
        Source::Options,
    );
    options
}

fn warnings(question: &Question<'_>, window: Window) -> Vec<Sentence> {
    let Question { facts, site_type, retention_days, .. } = *question;
    let mut warnings = Vec::new();
    let mut add = |source, text: String| warnings.push(Sentence { text, source });
    if window == Window::Future {
        add(
            Source::Experience,
            "The archive is dated in the future: a clock was wrong, and its age is not known. The worse case is shown."
                .into(),
        );
    }
    if window == Window::Outside && site_type != SiteType::Primary {
        let days = if retention_days == 1 { "day" } else { "days" };
        add(
            Source::Options,
            format!(
                "The archive is older than {retention_days} {days}, for which SQL Server tracks changes: replication data is reinitialised."
            ),
        );
    }
    match &facts.soundness {
        Soundness::Damaged(why) => add(
            Source::Options,
            format!(
                "The database is damaged ({why}). Setup does not check the database files: it would restore the damage."
            ),
        ),
        Soundness::Unproven(why) => add(
            Source::Options,
            format!("That the database is sound is not proven ({why}). Setup does not check the database files."),
        ),
        Soundness::Sound => {}
    }
    match facts.sql_server() {
        Some(version) => add(Source::Options, format!("The database was last written by SQL Server {version}. It has to be restored to the same edition and the same version; newer documentation allows a newer version. The edition is not in the file: compare it.")),
        None => add(Source::Options, "The version of SQL Server is not in the archive. The database has to be restored to the same edition and the same version; newer documentation allows a newer version.".into()),
    }
    if facts.database == DatabaseSource::Files {
        add(
            Source::Options,
            "The restore fails if the site database already exists: remove or rename it first.".into(),
        );
    }
    add(Source::Options, "SQL Server must not be in single-user mode.".into());
    match &facts.cd_latest {
        None => add(Source::Options, "The archive holds no CD.Latest, from which Setup has to run: get the folder of the very same version from another archive or another site of the hierarchy.".into()),
        Some(cd) if !cd.setup => add(Source::Options, r"CD.Latest in the archive has no SMSSETUP\BIN\X64\setup.exe: Setup cannot be started from it.".into()),
        Some(cd) => {
            if !cd.redist {
                add(Source::Options, r"CD.Latest in the archive has no redist folder: the prerequisites have to come from elsewhere.".into());
            }
        }
    }
    add(Source::Options, "Run Setup from a copy of CD.Latest outside the installation folder, with the full path of the script. From a share, map a drive first.".into());
    add(Source::Keys, "SQLSSBPort must be the port that the site had, usually 4022.".into());
    if facts.encrypted {
        add(Source::Experience, "The archive is encrypted: the secret key (--identity) is needed to fetch it.".into());
    }
    add(
        Source::Options,
        "A secondary site is recovered from the console (Recover Secondary Site), not from a backup.".into(),
    );
    warnings
}

fn better(question: &Question<'_>) -> Vec<Better> {
    let Question { facts, site_type, retention_days, now, others, .. } = *question;
    let mut sound: Vec<&Candidate> = others.iter().filter(|one| one.sound && one.completed <= now).collect();
    sound.sort_by_key(|one| one.completed);
    let is_inside = |one: &Candidate| window(one.completed, now, retention_days) == Window::Inside;
    let mut better: Vec<Better> = Vec::new();
    let mut add = |one: &Candidate, why: String| {
        if one.id != facts.id && better.iter().all(|known| known.archive != one.id) {
            better.push(Better { archive: one.id.clone(), why });
        }
    };
    let is_sound = facts.soundness == Soundness::Sound && facts.database != DatabaseSource::None;
    if let Some(&newest) = sound.last() {
        let is_newer = newest.completed > facts.completed;
        let window = match (is_inside(newest), site_type) {
            (_, SiteType::Primary) => "",
            (true, _) => ", and changes since it are still tracked",
            (false, _) => ", although changes since it are not tracked any more",
        };
        match (is_sound, is_newer) {
            (true, true) => add(newest, format!("it is sound and newer: less is lost{window}")),
            (false, true) => add(newest, format!("it is newer, and its database is proven sound{window}")),
            (false, false) => add(newest, format!("it is the newest whose database is proven sound{window}")),
            (true, false) => {}
        }
    }
    if matches!(facts.soundness, Soundness::Damaged(_))
        && let Some(before) = sound.iter().rev().find(|one| one.completed < facts.completed)
    {
        add(before, "it is the newest sound one from before the damage".to_owned());
    }
    better
}

#[cfg(test)]
mod tests {
    use super::super::facts::{CdLatest, DatabaseFile};
    use super::*;

    fn at(time: &str) -> Timestamp {
        time.parse().unwrap()
    }

    fn facts(id: &str) -> ArchiveFacts {
        let id: ArchiveId = id.parse().unwrap();
        ArchiveFacts {
            completed: id.stamp(),
            id,
            bytes: 1,
            unpacked_bytes: 2,
            encrypted: false,
            backup_folder: Some("XYZBackup".into()),
            database_folder: Some("XYZBackup".into()),
            has_site: true,
            database: DatabaseSource::Files,
            cd_latest: Some(CdLatest { folder: "XYZBackup/CD.Latest".into(), setup: true, redist: true }),
            files: vec![DatabaseFile {
                path: "XYZBackup/SiteDBServer/CM_XYZ.mdf".into(),
                database: Some("CM_XYZ".into()),
                sql_server: Some("2019".into()),
                bytes: 8192,
            }],
            soundness: Soundness::Sound,
            supplemental: vec![],
        }
    }

    fn candidate(id: &str, sound: bool) -> Candidate {
        let id: ArchiveId = id.parse().unwrap();
        Candidate { completed: id.stamp(), id, sound }
    }

    fn ask(facts: &ArchiveFacts, site_type: SiteType, reference: Option<&str>, others: &[Candidate]) -> Plan {
        let now = at("2026-11-25T00:00:00Z");
        plan(&Question { facts, site_type, reference_site: reference, retention_days: 5, now, others })
    }

    /// Microsoft's table of what happens to the data, row by row: site, inside the window, reference site; what the
    /// sentences about global and about site data have to say, and what not.
    #[test]
    fn the_fate_of_the_data_is_the_one_of_the_published_table() {
        use SiteType::{Cas, ChildPrimary, Primary};
        use Window::{Future, Inside, Outside};
        let all = "come from all primary sites";
        let regenerated = "the backup are lost; clients regenerate most";
        for (site, window, reference, global, local) in [
            (Cas, Inside, None, all, all),
            (Cas, Inside, Some("p01.contoso.com"), all, all),
            (
                Cas,
                Outside,
                Some("p01.contoso.com"),
                "reinitialised from the reference primary site p01.contoso.com; then all other primary sites",
                "reinitialised from each primary site",
            ),
            (
                Cas,
                Outside,
                None,
                "all primary sites reinitialise global data from the central administration site, that is, from the restored backup",
                "reinitialised from each primary site",
            ),
            (ChildPrimary, Inside, None, "since the backup come from the central administration site", regenerated),
            (ChildPrimary, Outside, None, "reinitialised from the central administration site", regenerated),
            (ChildPrimary, Future, None, "reinitialised from the central administration site", regenerated),
            (Primary, Inside, None, "since the backup are lost", "since the backup are lost"),
            (Primary, Outside, None, "An old backup is still worth having", "since the backup are lost"),
        ] {
            let fate = fate(site, window, reference);
            assert!(fate.global.contains(global), "{site} {window:?}: {}", fate.global);
            assert!(fate.site.contains(local), "{site} {window:?}: {}", fate.site);
            if window == Inside {
                assert!(!fate.global.contains("reinitialise"), "{}", fate.global);
            }
        }
    }

    #[test]
    fn the_window_ends_with_the_last_second_of_the_last_day() {
        let now = at("2026-11-25T00:00:00Z");
        for (completed, days, expected) in [
            ("2026-11-20T00:00:00Z", 5, Window::Inside),
            ("2026-11-19T23:59:59Z", 5, Window::Outside),
            ("2026-11-19T23:59:59Z", 7, Window::Inside),
            ("2026-11-25T00:00:00Z", 0, Window::Inside),
            ("2026-11-25T00:00:01Z", 5, Window::Future),
        ] {
            assert_eq!(window(at(completed), now, days), expected, "{completed} {days}");
        }
    }

    /// Which values of `DatabaseRecoveryOptions` apply.
    fn database_options(facts: &ArchiveFacts, site: SiteType, reference: Option<&str>) -> Vec<&'static str> {
        let options = ask(facts, site, reference, &[]).options;
        options.iter().filter(|one| one.key == "DatabaseRecoveryOptions" && one.applies).map(|one| one.value).collect()
    }

    #[test]
    fn options_follow_from_archive_and_site() {
        let sound = facts("XYZ-20261124T000000Z");
        let damaged = ArchiveFacts { soundness: Soundness::Damaged("x".into()), ..sound.clone() };
        let sql = ArchiveFacts { database: DatabaseSource::Backups, has_site: false, ..sound.clone() };
        let without = ArchiveFacts { database: DatabaseSource::None, ..sound.clone() };
        let reference = Some("p01.contoso.com");
        for (facts, site, reference, expected) in [
            (&sound, SiteType::Primary, None, &["10", "20", "80"][..]),
            (&sound, SiteType::ChildPrimary, None, &["10", "20", "40", "80"]),
            (&sound, SiteType::Cas, None, &["10", "20", "80"]),
            (&sound, SiteType::Cas, reference, &["10", "20", "40", "80"]),
            (&damaged, SiteType::Primary, None, &["20", "80"]),
            (&sql, SiteType::Primary, None, &["20", "80"]),
            (&without, SiteType::ChildPrimary, None, &["20", "40", "80"]),
        ] {
            assert_eq!(database_options(facts, site, reference), expected, "{site} {:?}", facts.database);
        }
        let restores = |facts: &ArchiveFacts| {
            let options = ask(facts, SiteType::Primary, None, &[]).options;
            options.iter().any(|one| one.key == "SiteServerBackupLocation" && one.value == "XXXBackup" && one.applies)
        };
        assert!(restores(&sound) && !restores(&sql));
    }

    #[test]
    fn the_better_archive_is_named_with_its_reason() {
        let others = [
            candidate("XYZ-20261110T000000Z", true),
            candidate("XYZ-20261118T000000Z", true),
            candidate("XYZ-20261122T000000Z", false),
            candidate("XYZ-20261123T000000Z", true),
            candidate("XYZ-20261124T000000Z", false),
            candidate("XYZ-20301124T000000Z", true),
        ];
        let better = |id: &str, damaged: bool, others: &[Candidate]| -> Vec<String> {
            let soundness = if damaged { Soundness::Damaged("x".into()) } else { Soundness::Sound };
            let plan = ask(&ArchiveFacts { soundness, ..facts(id) }, SiteType::ChildPrimary, None, others);
            plan.better.iter().map(|one| format!("{}: {}", one.archive, one.why)).collect()
        };
        assert_eq!(better("XYZ-20261123T000000Z", false, &others), [""; 0]);
        let newer = "XYZ-20261123T000000Z: it is sound and newer: less is lost, and changes since it are still tracked";
        assert_eq!(better("XYZ-20261110T000000Z", false, &others), [newer]);
        let newest = "XYZ-20261123T000000Z: it is the newest whose database is proven sound, and changes since it are still tracked";
        assert_eq!(better("XYZ-20261124T000000Z", true, &others), [newest]);
        assert_eq!(
            better("XYZ-20261122T000000Z", true, &others),
            [
                "XYZ-20261123T000000Z: it is newer, and its database is proven sound, and changes since it are still tracked",
                "XYZ-20261118T000000Z: it is the newest sound one from before the damage"
            ]
        );
        let old = [
            "XYZ-20261110T000000Z: it is the newest whose database is proven sound, although changes since it are not tracked any more",
        ];
        assert_eq!(better("XYZ-20261124T000000Z", true, &others[..1]), old);
        assert_eq!(better("XYZ-20261124T000000Z", true, &[]), [""; 0]);
    }

    #[test]
    fn warnings_are_those_of_the_archive() {
        let told = |facts: &ArchiveFacts, words: &str| {
            ask(facts, SiteType::Cas, None, &[]).warnings.iter().any(|one| one.text.contains(words))
        };
        let sound = facts("XYZ-20261124T000000Z");
        for words in [
            "SQL Server 2019",
            "same edition",
            "single-user",
            "already exists",
            "copy of CD.Latest",
            "map a drive",
            "4022",
        ] {
            assert!(told(&sound, words), "{words}");
        }
        for words in ["damaged", "not proven", "no CD.Latest", "encrypted", "future", "older than"] {
            assert!(!told(&sound, words), "{words}");
        }
        assert!(told(&ArchiveFacts { cd_latest: None, ..sound.clone() }, "no CD.Latest"));
        assert!(told(
            &ArchiveFacts { soundness: Soundness::Damaged("p".into()), ..sound.clone() },
            "restore the damage"
        ));
        assert!(told(&ArchiveFacts { soundness: Soundness::Unproven("p".into()), ..sound.clone() }, "not proven (p)"));
        assert!(told(&facts("XYZ-20261101T000000Z"), "older than 5 days"));
        assert!(told(&facts("XYZ-20401101T000000Z"), "dated in the future"));
    }
}

//! Database files of a snapshot: checked while they stream past, judged together at the end.
//!
//! A database is more than its files: each may be sound, and still the log may belong to another day. So every file has
//! a verdict of its own, and when all have been read they are compared with each other and with what must be there.
//! What must be there is known before contents are looked at: a file named like a data file, log or backup in the
//! folder of the databases is one, and the site's own database with its log is there.

use std::collections::BTreeMap;
use std::path::Path;

use serde::Serialize;

use super::database::Database;
use super::verdict::{Verdict, Why};
use crate::name::SiteCode;
use crate::sqlserver::{self, Filling, Kind, PairFinding, Present, Report, Severity};

/// Bytes of a page.
const PAGE: u64 = 8192;
/// No database has fewer pages: the boot page is the tenth.
const FEWEST_PAGES: u64 = 10;
/// So many notes of a file are in the manifest; the index has more.
const NOTES: usize = 5;

/// What a file is by its name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Role {
    /// `.mdf`, `.ndf`
    Data,
    /// `.ldf`
    Log,
    /// `.bak`, `.trn`, `.dif`
    Backup,
}

impl Role {
    /// By the extension, in any case.
    #[must_use]
    pub fn of_name(path: &str) -> Option<Self> {
        let (_, extension) = path.rsplit_once('.')?;
        match extension.to_ascii_lowercase().as_str() {
            "mdf" | "ndf" => Some(Self::Data),
            "ldf" => Some(Self::Log),
            "bak" | "trn" | "dif" => Some(Self::Backup),
            _ => None,
        }
    }

    /// Of a file that lies where an archive has its databases.
    #[must_use]
    pub fn of_member(path: &str) -> Option<Self> {
        let mut folders = path.split('/');
        let is_below = folders.next().is_some_and(|top| top == "SQL")
            || folders.next().is_some_and(|folder| folder.eq_ignore_ascii_case("SiteDBServer"));
        Self::of_name(path).filter(|_| is_below)
    }

    fn fits(self, kind: Kind) -> bool {
        match self {
            Self::Data => kind == Kind::Data,
            Self::Log => kind == Kind::Log,
            Self::Backup => matches!(kind, Kind::Backup | Kind::CompressedBackup),
        }
    }

    fn noun(self) -> &'static str {
        match self {
            Self::Data => "data file of SQL Server",
            Self::Log => "log file of SQL Server",
            Self::Backup => "backup of SQL Server",
        }
    }
}

fn noun(kind: Kind) -> &'static str {
    match kind {
        Kind::Data => "a data file",
        Kind::Log => "a log file",
        Kind::Backup | Kind::CompressedBackup => "a backup",
        _ => "another file",
    }
}

/// What was found in one database file.
#[derive(Debug, Clone, Serialize)]
pub struct DatabaseCheck {
    /// Its path.
    #[serde(skip)]
    pub path: String,
    /// What it must be, by its name and place.
    #[serde(skip)]
    pub role: Option<Role>,
    /// What its own pages, blocks or streams say.
    #[serde(flatten)]
    pub report: Report,
    /// What the comparison with the other files of the database says.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub pairing: Vec<PairFinding>,
    /// It is not what its name says, and what it is instead.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub fault: Option<String>,
}

impl DatabaseCheck {
    /// Without its lists, which can be long: the numbers stay.
    pub(super) fn shortened(&self) -> Self {
        let mut short = self.clone();
        let report = &mut short.report;
        report.findings.clear();
        report.warnings.clear();
        if let Some(backup) = &mut report.backup {
            backup.sets.clear();
        }
        short.pairing.clear();
        short
    }

    /// The check of a file, if it is one of SQL Server, or must be one.
    #[must_use]
    pub fn new(path: &str, report: Report, role: Option<Role>) -> Option<Self> {
        let concerns = role.is_some() || report.kind != Kind::Other;
        concerns.then(|| Self::of(path, report, role))
    }

    /// The check of any file.
    #[must_use]
    pub fn of(path: &str, report: Report, role: Option<Role>) -> Self {
        let fault = role.filter(|role| !role.fits(report.kind)).map(|role| match report.kind {
            Kind::Other => format!("it is not a {}: {}", role.noun(), report.filling),
            kind => format!("it is not a {}: by its content it is {}", role.noun(), noun(kind)),
        });
        Self { path: path.to_owned(), role, report, pairing: vec![], fault }
    }

    /// Is it not what SQL Server wrote, not what its name says, or does it not belong to its database?
    #[must_use]
    pub fn is_damaged(&self) -> bool {
        self.report.is_damaged() || self.is_unpaired() || self.fault.is_some()
    }

    /// Does it not belong to the other files of its database?
    #[must_use]
    pub fn is_unpaired(&self) -> bool {
        self.pairing.iter().any(|finding| finding.severity == Severity::Damage)
    }

    /// The verdict on the file, and why it is not proven.
    #[must_use]
    pub fn verdict(&self) -> (Verdict, Option<Why>) {
        match self.report.verdict {
            _ if self.fault.is_some() => (Verdict::Damaged, Some(Why::NotWhatItsNameSays)),
            _ if self.is_damaged() => (Verdict::Damaged, None),
            sqlserver::Verdict::Sound if self.report.notes().next().is_some() => (Verdict::SoundWithNotes, None),
            sqlserver::Verdict::Sound => (Verdict::Sound, None),
            sqlserver::Verdict::NotVerifiable { why } => (Verdict::Unproven, Some(Why::Obstacle(why))),
            sqlserver::Verdict::Damaged | sqlserver::Verdict::NotSqlServer => (Verdict::Unproven, None),
        }
    }

    /// Everything that is wrong, in words, the first hundred of each kind.
    #[must_use]
    pub fn damage(&self) -> Vec<String> {
        let own = self.report.findings.iter().map(|finding| finding.text.clone());
        let pairing = self.pairing.iter().filter(|finding| finding.severity == Severity::Damage);
        self.fault.iter().cloned().chain(own).chain(pairing.map(|finding| finding.text.clone())).collect()
    }

    fn file(&self) -> &str {
        self.path.rsplit('/').next().unwrap_or(&self.path)
    }

    /// A first data file, with the name of its database.
    fn primary(&self) -> Option<&str> {
        let facts = self.report.facts.as_ref().filter(|facts| facts.file_id == Some(1))?;
        facts.database.as_deref().filter(|_| self.report.kind == Kind::Data)
    }

    /// Where no header says it, the name of the file does: `CM_XYZ.mdf`, `CM_XYZ_log.ldf`.
    fn database_by_name(&self) -> &str {
        let stem = self.file().rsplit_once('.').map_or(self.file(), |(stem, _)| stem);
        let log = stem.len().checked_sub(4).and_then(|at| stem.split_at_checked(at));
        log.filter(|(_, end)| end.eq_ignore_ascii_case("_log")).map_or(stem, |(name, _)| name)
    }

    /// How the manifest lists the file.
    fn summary(&self, database: &str) -> Database {
        let (verdict, why) = self.verdict();
        let (pages, blocks) = (&self.report.pages, &self.report.blocks);
        Database {
            name: database.to_owned(),
            file: self.file().to_owned(),
            verdict,
            why,
            pages: pages.total + blocks.log_blocks + blocks.chunks,
            damaged_pages: self.report.damaged_count(),
            unpaired: self.is_unpaired(),
            notes: self.report.notes().take(NOTES).map(|note| note.text.clone()).collect(),
        }
    }

    /// Is it small and of one printable character? No fault leaves that, and no database was ever that small.
    fn is_stand_in(&self) -> bool {
        let small = self.report.kind == Kind::Other && self.report.bytes < FEWEST_PAGES * PAGE;
        match self.role {
            Some(Role::Data) => small && matches!(self.report.filling, Filling::One(byte) if byte.is_ascii_graphic()),
            Some(Role::Log) => small && self.report.bytes > 0 && self.report.bytes < PAGE,
            _ => false,
        }
    }
}

/// Compares the files of a snapshot with each other: where its databases are, every file of a database must be there.
pub fn pair_all(checks: &mut [DatabaseCheck]) {
    pair(checks, |check| check.role.is_some(), Present::All);
    pair(checks, |check| check.role.is_none(), Present::Some);
}

/// Compares those files of `checks` that `concerns` names.
pub fn pair(checks: &mut [DatabaseCheck], concerns: impl Fn(&DatabaseCheck) -> bool, present: Present) {
    let chosen = checks.iter().filter(|check| concerns(check));
    for finding in sqlserver::pair(chosen.map(|check| (Path::new(&check.path), &check.report)), present) {
        if let Some(check) = checks.iter_mut().find(|check| Path::new(&check.path) == finding.path) {
            check.pairing.push(finding);
        }
    }
}

/// What is known of the databases of an archive, taken together.
#[derive(Debug, Clone, Default)]
pub struct Judged {
    /// For the manifest.
    pub databases: Vec<Database>,
    /// What is wrong, in words.
    pub damage: Vec<String>,
    /// What is worth a warning, in words.
    pub warnings: Vec<String>,
}

/// The names that the database of a site may have: one of its own, else those that setup gives it.
#[must_use]
pub fn site_databases(site: SiteCode, own: Option<&str>) -> Vec<String> {
    own.map_or_else(|| vec![format!("CM_{site}"), format!("SMS_{site}")], |own| vec![own.to_owned()])
}

/// Is this the name that setup gives the database of another site?
fn is_of_another_site(name: &str, site: SiteCode) -> bool {
    let code = name.split_once('_').filter(|(prefix, _)| ["CM", "SMS"].iter().any(|p| p.eq_ignore_ascii_case(prefix)));
    code.is_some_and(|(_, code)| code.parse::<SiteCode>().is_ok_and(|code| code != site))
}

/// Judges the paired files of a site's archive: with the site's database (`named`, where it has a name of its own), and
/// those that were sound in the archive before.
#[must_use]
pub fn judge(checks: &[DatabaseCheck], site: SiteCode, named: Option<&str>, before: Option<&[Database]>) -> Judged {
    let mut judged = Judged::default();
    let own = site_databases(site, named);
    let is_own = |name: &str| own.iter().any(|own| own.eq_ignore_ascii_case(name));
    let placed: Vec<&DatabaseCheck> = checks.iter().filter(|check| check.role.is_some()).collect();
    let stand_ins = !placed.is_empty() && placed.iter().all(|check| check.is_stand_in());
    for check in checks {
        let name = database_of(check, checks);
        let mut entry = check.summary(&name);
        if stand_ins && check.role.is_some() {
            (entry.verdict, entry.why) = (Verdict::Unproven, Some(Why::StandIn));
        } else if check.role.is_some() && is_of_another_site(&name, site) && !is_own(&name) {
            judged.damage.push(format!("{}: {name} is the database of another site than {site}", check.path));
            (entry.verdict, entry.why) = (Verdict::Damaged, Some(Why::Foreign));
        } else if check.is_damaged() {
            judged.damage.push(format!("{}: {}", check.path, words(check)));
        }
        judged.databases.push(entry);
    }
    missing_stripes(checks, &mut judged);
    if stand_ins {
        judged.warnings.push(format!(
            "the database files of site {site} are stand-ins and not databases: this archive cannot recover a site"
        ));
    }
    if !judged.databases.iter().any(|entry| is_own(&entry.name)) {
        let name = own.first().cloned().unwrap_or_default();
        judged.damage.push(format!("the database {name} of the site is not there"));
        judged.databases.push(Database::absent(&name, Why::Missing));
    }
    for (name, why) in unprovable(before.unwrap_or_default(), &judged.databases) {
        judged.warnings.push(format!("{name} cannot be proven to be sound: {why}. This is not repeated every time"));
    }
    for name in gone(before.unwrap_or_default(), &judged.databases) {
        judged.damage.push(format!("the database {name} was sound in the archive before and is not there any more"));
        judged.databases.push(Database::absent(&name, Why::Gone));
    }
    judged
}

/// The databases that cannot be proven to be sound, and why, where the archive before did not have it so.
fn unprovable<'a>(before: &[Database], now: &'a [Database]) -> BTreeMap<&'a str, &'a Why> {
    let is_known = |one: &Database| before.iter().any(|old| old.name == one.name && old.why == one.why);
    let unproven = now.iter().filter(|one| one.verdict == Verdict::Unproven && !is_known(one));
    let reasons = unproven.filter_map(|one| Some((one.name.as_str(), one.why.as_ref()?)));
    reasons.filter(|(_, why)| matches!(why, Why::Obstacle(_))).collect()
}

/// Of a backup in several files, all must be there.
fn missing_stripes(checks: &[DatabaseCheck], judged: &mut Judged) {
    let backups = || checks.iter().filter_map(|check| Some((check, check.report.backup.as_ref()?)));
    for (check, backup) in backups().filter(|(_, backup)| backup.families > 1) {
        let has = |number| backups().any(|(_, other)| other.media_set == backup.media_set && other.family == number);
        let missing = (1..=backup.families).find(|number| !has(*number));
        let entry = judged.databases.iter_mut().find(|entry| entry.file == check.file());
        if let (Some(missing), Some(entry)) = (missing, entry) {
            let all = backup.families;
            judged.damage.push(format!("{}: stripe {missing} of {all} of this backup is not there", check.path));
            (entry.verdict, entry.why) = (Verdict::Damaged, Some(Why::Missing));
        }
    }
}

/// The databases that were proven before and of which there is nothing now.
fn gone(before: &[Database], now: &[Database]) -> Vec<String> {
    let mut names: Vec<String> = Vec::new();
    for old in before.iter().filter(|old| old.verdict.is_proven()) {
        let same = |name: &str| name.eq_ignore_ascii_case(&old.name);
        let sound = before.iter().filter(|other| same(&other.name)).all(|other| other.verdict.is_proven());
        if sound && !now.iter().any(|one| same(&one.name)) && !names.iter().any(|name| same(name)) {
            names.push(old.name.clone());
        }
    }
    names
}

/// The database that a file belongs to.
fn database_of(check: &DatabaseCheck, checks: &[DatabaseCheck]) -> String {
    let facts = check.report.facts.as_ref();
    if let Some(name) = facts.and_then(|facts| facts.database.clone()).filter(|name| !name.is_empty()) {
        return name;
    }
    let binding = facts.and_then(|facts| facts.binding_id);
    let same = |other: &&DatabaseCheck| other.report.facts.as_ref().and_then(|facts| facts.binding_id) == binding;
    let primary = binding.and_then(|_| checks.iter().filter(same).find_map(DatabaseCheck::primary));
    primary.unwrap_or(check.database_by_name()).to_owned()
}

/// What is wrong with a file, in words.
#[must_use]
pub fn words(check: &DatabaseCheck) -> String {
    let own = if check.report.is_damaged() { check.report.to_string() } else { String::new() };
    let damage = check.damage();
    // The summary names the pages; what is not about pages needs its own words.
    let more = damage.iter().map(String::as_str).filter(|text| !own.contains(text)).take(3);
    let parts = Some(own.as_str()).filter(|own| !own.is_empty()).into_iter().chain(more);
    parts.collect::<Vec<_>>().join("; ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_places_say_what_a_file_must_be() {
        for (path, role) in [
            ("XYZBackup/SiteDBServer/CM_XYZ.mdf", Some(Role::Data)),
            ("XYZBackup/sitedbserver/deep/CM_XYZ_2.NDF", Some(Role::Data)),
            ("SQL/XYZBackup/SiteDBServer/CM_XYZ_log.Ldf", Some(Role::Log)),
            ("SQL/CM_XYZ/FULL/x.bak", Some(Role::Backup)),
            ("SQL/CM_XYZ/LOG/x.TRN", Some(Role::Backup)),
            ("SQL/CM_XYZ/DIFF/x.dif", Some(Role::Backup)),
            ("XYZBackup/SiteServer/SMSServer/CM_XYZ.mdf", None),
            ("XYZBackup/SiteDBServer/SQLBackupDocument.xml", None),
            ("Supplemental/x/CM_XYZ.mdf", None),
        ] {
            assert_eq!(Role::of_member(path), role, "{path}");
        }
    }

    #[test]
    fn backup_with_thousands_of_sets_is_kept_short_enough_to_be_read() {
        use crate::archive::index::{ALL_FINDINGS_BYTES, Findings};
        use crate::sqlserver::{BackupFacts, BackupSet};

        let set = BackupSet { database: "CM_XYZ".into(), server: "SQL01".into(), ..BackupSet::default() };
        let backup = BackupFacts { families: 1, family: 1, sets: vec![set; 20_000], ..BackupFacts::default() };
        let mut report = Report::default();
        (report.kind, report.findings_total, report.backup) = (Kind::Backup, 7, Some(backup));
        let check = DatabaseCheck::new("SQL/CM_XYZ/LOG/x.trn", report, None).unwrap();
        let mut left = ALL_FINDINGS_BYTES;
        assert!(Findings::within(&check, &mut left).is_none());
        let short = Findings::within(&check.shortened(), &mut left).unwrap();
        let read: Report = serde_json::from_str(short.json()).unwrap();
        assert_eq!((read.kind, read.findings_total, read.backup.unwrap().families), (Kind::Backup, 7, 1));
    }

    fn proven(name: &str) -> Database {
        Database { name: name.into(), verdict: Verdict::Sound, ..Database::default() }
    }

    #[test]
    fn site_without_its_database_is_damaged() {
        let judged = judge(&[], "XYZ".parse().unwrap(), None, None);
        assert_eq!(judged.databases, [Database::absent("CM_XYZ", Why::Missing)]);
        assert_eq!(judged.damage.len(), 1);
    }

    #[test]
    fn database_of_another_name_is_the_one_that_must_be_there() {
        let judged = judge(&[], "XYZ".parse().unwrap(), Some("ConfigMgr"), None);
        assert_eq!(judged.databases, [Database::absent("ConfigMgr", Why::Missing)]);
    }

    #[test]
    fn database_that_was_sound_and_is_gone_is_damage_once() {
        let before = [proven("SUSDB"), proven("SUSDB"), proven("CM_XYZ")];
        let judged = judge(&[], "XYZ".parse().unwrap(), None, Some(&before));
        let why: Vec<_> = judged.databases.iter().map(|one| (one.name.as_str(), one.why.clone())).collect();
        assert_eq!(why, [("CM_XYZ", Some(Why::Missing)), ("SUSDB", Some(Why::Gone))]);
    }
}

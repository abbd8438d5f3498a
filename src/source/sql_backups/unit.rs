//! Which backups belong into one archive: a pure choice among the files of a database.
//!
//! **The unit** is the newest backup of the database, what it needs, and the log backups since: the newest `FULL` with
//! the newest `DIFF` based on it, or the newest `FULL_COPY_ONLY` where that is newer than both, and every `LOG` after
//! that full.
//!
//! - *`FULL_COPY_ONLY`* can be restored like any full, and log backups go on across it; secondaries of an availability
//!   group can make no other full. But a `DIFF` is never based on one. So it makes a unit of its own, without `DIFF`,
//!   until a newer `FULL` or `DIFF` comes. Ignoring it would leave those who back up a secondary without any archive.
//! - *Older `DIFF`s* are not needed: each holds everything since its `FULL`. They are in the archives of their day.
//! - *`LOG`s between the last `DIFF` and the next `FULL`* are in no archive unless log backups trigger one.
//! - *A `LOG` that is still young* may still be written, and one comes every few minutes: it is left for the next
//!   archive instead of keeping this one waiting. One that is empty or lacks stripes is left out too, and mentioned:
//!   full and `DIFF` can be restored without it.
//!
//! Names carry the local time of the server, which is set back once a year. Whatever is named up to an hour too early
//! but was finished after the full belongs to it, too; a log backup too many does no harm, one too few breaks the
//! chain.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use jiff::civil::DateTime;
use jiff::{SignedDuration, Timestamp, ToSpan};

use super::name::BackupKind;
use crate::config::LogBackups;
use crate::sqlserver::{BackupFacts, BackupSet, Lsn};

/// A file of a backup.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BackupFile {
    /// Path below the folder of the database, with `/`.
    pub name: String,
    /// Which of several files of one backup.
    pub stripe: Option<u32>,
    /// Its size.
    pub bytes: u64,
    /// When it was last written.
    pub modified: Timestamp,
    /// What its headers say, where they could be read.
    pub header: Option<Arc<BackupFacts>>,
}

impl BackupFile {
    /// The backup in it.
    fn set(&self) -> Option<&BackupSet> {
        self.header.as_ref()?.sets.first()
    }
}

/// A backup: one file, or several stripes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Backup {
    /// What was backed up.
    pub kind: BackupKind,
    /// When it was started, by the local time of the server.
    pub started: DateTime,
    /// Its files, in the order of their numbers.
    pub files: Vec<BackupFile>,
}

impl Backup {
    /// Why it cannot be restored, as far as its headers tell; where they cannot be read, its names and sizes. That the
    /// *last* stripe is missing names do not tell.
    #[must_use]
    pub fn fault(&self) -> Option<String> {
        if let Some(file) = self.files.iter().find(|file| file.bytes == 0) {
            return Some(format!("{} is empty", file.name));
        }
        let headers: Option<Vec<_>> = self.files.iter().map(|file| Some((file, file.header.as_deref()?))).collect();
        if let Some(headers) = headers.filter(|headers| headers.iter().all(|(_, header)| header.families > 0)) {
            return self.fault_by_headers(&headers);
        }
        let numbers: Vec<u32> = self.files.iter().filter_map(|file| file.stripe).collect();
        match (numbers.len(), self.files.len()) {
            (0, 1) => return None,
            (0, _) => {
                return Some(format!("the {self} is there twice: {} and {}", self.files[0].name, self.files[1].name));
            }
            (some, all) if some < all => return Some(format!("the {self} has files with and without a number")),
            _ => {}
        }
        if let Some((number, _)) = numbers.iter().zip(numbers.iter().skip(1)).find(|(number, next)| number == next) {
            return Some(format!("the {self} has stripe {number} twice"));
        }
        let missing = (1..).zip(&numbers).find(|(expected, number)| expected != *number);
        missing.map(|(expected, _)| {
            let last = numbers.last().copied().unwrap_or_default();
            format!("stripe {expected} of {last} of the {self} is missing")
        })
    }

    fn fault_by_headers(&self, files: &[(&BackupFile, &BackupFacts)]) -> Option<String> {
        let (first, header) = files.first()?;
        if let Some((other, _)) = files.iter().find(|(_, other)| other.media_set != header.media_set) {
            return Some(format!("{} and {} are files of different backups", first.name, other.name));
        }
        let all = header.families;
        let missing = |number: &u16| files.iter().all(|(_, file)| file.family != *number);
        let missing: Vec<String> = (1..=all).filter(missing).map(|number| number.to_string()).collect();
        (!missing.is_empty()).then(|| {
            let have: Vec<&str> = files.iter().map(|(file, _)| file.name.as_str()).collect();
            let numbers = missing.join(", ");
            format!("stripe {numbers} of {all} of the {self} is missing: there is only {}", have.join(", "))
        })
    }

    /// What the headers of its first file say of it.
    fn set(&self) -> Option<&BackupSet> {
        self.files.iter().find_map(BackupFile::set)
    }

    /// Is a differential backup based on this full? `None` where headers do not tell.
    fn is_base_of(&self, diff: &Self) -> Option<bool> {
        let (full, diff) = (self.set()?, diff.set()?);
        let by_id = full.id == Some(diff.base_set?);
        Some(by_id && diff.base_lsn.zip(full.checkpoint_lsn).is_none_or(|(base, checkpoint)| base == checkpoint))
    }

    /// When its last file was written.
    #[must_use]
    pub fn finished(&self) -> Timestamp {
        self.files.iter().map(|file| file.modified).max().unwrap_or(Timestamp::MIN)
    }

    fn first_name(&self) -> &str {
        self.files.first().map_or("", |file| &file.name)
    }

    fn first_lsn(&self) -> Option<Lsn> {
        self.set()?.first_lsn
    }

    fn last_lsn(&self) -> Option<Lsn> {
        self.set()?.last_lsn
    }

    /// Is it of the same database on the same server? Yes where headers do not tell.
    fn is_of_same_database(&self, other: &Self) -> bool {
        let guid = |backup: &Self| backup.set().and_then(|set| set.database_guid);
        guid(self).zip(guid(other)).is_none_or(|(one, other)| one == other)
    }

    /// Does it belong to what came after `other`?
    fn is_after(&self, other: &Self) -> bool {
        let set_back = other.started.checked_sub(1.hour()).is_ok_and(|earliest| self.started > earliest);
        self.started > other.started || (set_back && self.finished() > other.finished())
    }
}

/// `FULL of 2026-11-22 22:00:00`.
impl fmt::Display for Backup {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} of {}", self.kind.name(), self.started.strftime("%Y-%m-%d %H:%M:%S"))
    }
}

/// The backups that belong into one archive.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unit {
    /// What is restored first.
    pub full: Backup,
    /// What is restored then.
    pub diff: Option<Backup>,
    /// What is restored after that: every log backup since the full, oldest first.
    pub logs: Vec<Backup>,
    /// Does a new log backup alone make a new archive?
    pub logs_trigger: bool,
    /// Had it not changed for the quiet period when it was found? Only then may its files be asked whether somebody
    /// writes: SQL Server might open a younger one in that very moment, and must not find it in use.
    pub settled: bool,
    /// What was left alone for a good reason, in words.
    pub notes: Vec<String>,
    /// What somebody should look at, in words.
    pub warnings: Vec<String>,
    /// What cannot be restored, or was not understood, although it is newer: the newest state of the database is not in
    /// the archive.
    pub faults: Vec<String>,
}

impl Unit {
    /// The newest backup of the database itself.
    #[must_use]
    pub fn newest(&self) -> &Backup {
        self.diff.as_ref().unwrap_or(&self.full)
    }

    /// All files, in the order in which they are restored.
    pub fn files(&self) -> impl Iterator<Item = &BackupFile> {
        self.backups().flat_map(|backup| &backup.files)
    }

    /// The files whose time tells the archive's name.
    pub fn dating_files(&self) -> impl Iterator<Item = &BackupFile> {
        self.backups().filter(|backup| self.logs_trigger || !backup.kind.is_log()).flat_map(|backup| &backup.files)
    }

    /// Names the files from this folder on.
    pub(super) fn place_below(&mut self, folder: &str) {
        let backups = std::iter::once(&mut self.full).chain(&mut self.diff).chain(&mut self.logs);
        for file in backups.flat_map(|backup| &mut backup.files) {
            if let Some(rest) = file.name.strip_prefix(folder) {
                file.name = rest.trim_start_matches('/').to_owned();
            }
        }
    }

    fn backups(&self) -> impl Iterator<Item = &Backup> {
        std::iter::once(&self.full).chain(&self.diff).chain(&self.logs)
    }
}

/// How log backups are to be taken.
#[derive(Debug, Clone, Copy)]
pub(super) struct Rule {
    pub(super) logs: LogBackups,
    pub(super) quiet: Duration,
    pub(super) now: Timestamp,
}

/// A file and what its name says.
#[derive(Debug, Clone)]
pub(super) struct Listed {
    pub(super) file: BackupFile,
    pub(super) kind: BackupKind,
    /// When the backup was started, as its name or else the time of the file tells.
    pub(super) started: DateTime,
    /// Tells backups apart that were started at the same time.
    pub(super) group: String,
}

/// Chooses the unit, or says why there is none.
pub(super) fn choose(files: Vec<Listed>, rule: Rule) -> Result<Unit, String> {
    let (mut notes, mut warnings, mut faults) = (Vec::new(), Vec::new(), Vec::new());
    let backups = group(files, &mut notes);
    let newest =
        |kind: BackupKind| backups.iter().filter(move |backup| backup.kind == kind).max_by_key(|backup| backup.started);
    let (mut full, mut diff) = (newest(BackupKind::Full), None);
    let diffs = backups.iter().filter(|backup| backup.kind == BackupKind::Diff);
    let newest_diff = diffs.filter(|diff| full.is_some_and(|full| diff.is_after(full))).max_by_key(|diff| diff.started);
    if let (Some(newest_full), Some(candidate)) = (full, newest_diff) {
        // Somebody may have made a full in between without COPY_ONLY in its name: what headers say counts.
        let named = backups.iter().filter(|one| one.kind == BackupKind::Full && one.fault().is_none());
        match newest_full.is_base_of(candidate) {
            None | Some(true) => diff = Some(candidate),
            Some(false) => match named.clone().find(|one| one.is_base_of(candidate) == Some(true)) {
                Some(base) => (full, diff) = (Some(base), Some(candidate)),
                None => faults.push(format!(
                    "the {candidate} ({}) is left out: it is based on another full backup than the {newest_full}, which is not here",
                    candidate.first_name()
                )),
            },
        }
    }
    let copy = newest(BackupKind::FullCopyOnly);
    let (full, diff) = match (full, copy) {
        (full, Some(copy)) if diff.or(full).is_none_or(|newest| copy.started > newest.started) => (copy, None),
        (Some(full), _) => (full, diff),
        (None, _) => return Err(no_full(&backups)),
    };
    if let Some(orphan) = newest(BackupKind::Diff)
        .filter(|newest| diff.is_none() && newest.is_after(full) && full.kind == BackupKind::FullCopyOnly)
    {
        warnings.push(format!("the {orphan} is left out: there is no FULL that it could be based on"));
    }
    let base = diff.unwrap_or(full);
    let mut logs = Vec::new();
    if rule.logs != LogBackups::Ignore {
        for log in backups.iter().filter(|backup| backup.kind.is_log() && follows(backup, full)) {
            if rule.now.duration_since(log.finished()) < signed(rule.quiet) {
                notes.push(format!("the {log} is left for the next archive: it may still be written"));
            } else if let Some(fault) = log.fault() {
                let text = format!("the {log} is left out, and those after it may not follow on: {fault}");
                let needed = follows(log, base) && log.started > base.started;
                if needed { faults.push(text) } else { warnings.push(text) }
            } else {
                logs.push(log.clone());
            }
        }
        chain(full, base, &mut logs, &mut notes, &mut faults);
    }
    let logs_trigger = rule.logs == LogBackups::Trigger;
    let finished = full.finished().max(diff.map_or(Timestamp::MIN, Backup::finished));
    let settled = rule.now.duration_since(finished) >= signed(rule.quiet);
    Ok(Unit { full: full.clone(), diff: diff.cloned(), logs, logs_trigger, settled, notes, warnings, faults })
}

/// Does a log backup hold anything that came after `base`? By its headers, and where they cannot be read, by its time.
fn follows(log: &Backup, base: &Backup) -> bool {
    match log.last_lsn().zip(base.last_lsn()) {
        // Of another database, or from before it was made again: positions say nothing.
        Some((last, base_last)) if log.is_of_same_database(base) => last > base_last || log.is_after(base),
        _ => log.is_after(base),
    }
}

/// Leaves out log backups that cannot be restored, because one before them is missing: as a chain, each begins where
/// the
/// one before ended. Where positions are not known, nothing is left out.
fn chain(full: &Backup, base: &Backup, logs: &mut Vec<Backup>, notes: &mut Vec<String>, faults: &mut Vec<String>) {
    let Some(mut reached) = base.last_lsn().max(full.last_lsn()) else { return };
    if logs.iter().any(|log| log.first_lsn().is_none() || log.last_lsn().is_none()) {
        return;
    }
    logs.sort_by_key(|log| (log.first_lsn(), log.last_lsn()));
    let (mut kept, mut broken) = (Vec::new(), None);
    for log in logs.drain(..) {
        let (first, last) = (log.first_lsn().unwrap_or_default(), log.last_lsn().unwrap_or_default());
        if first <= reached {
            reached = reached.max(last);
            kept.push(log);
        } else if log.is_of_same_database(base) {
            broken.get_or_insert((log, reached, 0)).2 += 1;
        } else {
            notes.push(format!("the {log} ({}) is left alone: it does not follow on this full", log.first_name()));
        }
    }
    if let Some((log, reached, count)) = broken {
        let more = if count > 1 { format!(" and {} after it", count - 1) } else { String::new() };
        let begins = log.first_lsn().unwrap_or_default();
        faults.push(format!(
            "the {log} ({}){more} cannot be restored and is left out: it begins at {begins}, and the backups before it end \
             at {reached}: a log backup is missing",
            log.first_name()
        ));
    }
    // In the order in which they are restored.
    kept.sort_by_key(|log| (log.started, log.last_lsn()));
    *logs = kept;
}

fn no_full(backups: &[Backup]) -> String {
    let count = |log: bool| backups.iter().filter(|backup| backup.kind.is_log() == log).count();
    match (count(false), count(true)) {
        (0, 0) => "there is no backup yet".to_owned(),
        (diffs, logs) => format!("there is no full backup, only {diffs} DIFF and {logs} LOG"),
    }
}

/// Puts stripes together. Oldest first.
fn group(files: Vec<Listed>, notes: &mut Vec<String>) -> Vec<Backup> {
    let mut groups: BTreeMap<(DateTime, &'static str, String), Backup> = BTreeMap::new();
    for Listed { file, kind, started, group } in files {
        let key = (started, kind.name(), group);
        groups.entry(key).or_insert_with(|| Backup { kind, started, files: Vec::new() }).files.push(file);
    }
    let mut backups: Vec<Backup> = groups.into_values().collect();
    gather_families(&mut backups);
    for backup in &mut backups {
        backup.files.sort_by(|a, b| (a.stripe, &a.name).cmp(&(b.stripe, &b.name)));
        // Copies, as on a mirror: one is enough.
        let mut seen = BTreeSet::new();
        backup.files.retain(|file| {
            let family = file.header.as_ref().and_then(|header| Some((header.media_set?, header.family)));
            let is_new = family.is_none_or(|family| seen.insert(family));
            if !is_new {
                notes.push(format!("{} is left alone: it is a copy of another file of the same backup", file.name));
            }
            is_new
        });
    }
    backups
}

/// Files of one backup under names of different backups, by the media set that only they share.
fn gather_families(backups: &mut Vec<Backup>) {
    let set_of = |backup: &Backup| {
        let header = backup.files.first()?.header.as_deref()?;
        (header.families > 1).then_some(header.media_set?)
    };
    for at in 0..backups.len() {
        let Some(set) = backups.get(at).filter(|backup| backup.fault().is_some()).and_then(&set_of) else { continue };
        for other in at + 1..backups.len() {
            let same = backups[other].kind == backups[at].kind && set_of(&backups[other]) == Some(set);
            if same && backups[other].fault().is_some() {
                let files = std::mem::take(&mut backups[other].files);
                backups[at].files.extend(files);
            }
        }
    }
    backups.retain(|backup| !backup.files.is_empty());
}

fn signed(duration: Duration) -> SignedDuration {
    SignedDuration::try_from(duration).unwrap_or(SignedDuration::MAX)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::name::BackupName;
    use super::*;

    const QUIET: Duration = Duration::from_mins(2);

    /// The clock of the server is an hour ahead of UTC, and every backup takes a minute.
    fn unit_of(names: &[&str], logs: LogBackups, now: &str) -> Result<Unit, String> {
        let files = names.iter().map(|text| {
            // `name[=bytes][@time]`
            let (text, modified) = text.split_once('@').map_or((*text, None), |(text, time)| (text, Some(time)));
            let (text, bytes) =
                text.split_once('=').map_or((text, 8192), |(text, bytes)| (text, bytes.parse().unwrap()));
            let (kind, rest) = text.split_once(' ').unwrap();
            let extension = if kind.starts_with("LOG") { "trn" } else { "bak" };
            let full_name: &'static str = Box::leak(format!("S_CM_P01_{kind}_{rest}.{extension}").into_boxed_str());
            let name = BackupName::parse(full_name).unwrap();
            let modified = modified.map_or_else(
                || jiff::tz::Offset::constant(1).to_timestamp(name.started).unwrap() + SignedDuration::from_mins(1),
                |time| time.parse().unwrap(),
            );
            let file =
                BackupFile { name: format!("{kind}/{full_name}"), stripe: name.stripe, bytes, modified, header: None };
            Listed { file, kind: name.kind, started: name.started, group: name.server.to_lowercase() }
        });
        choose(files.collect(), Rule { logs, quiet: QUIET, now: now.parse().unwrap() })
    }

    const LATER: &str = "2027-01-01T00:00:00Z";

    fn told(names: &[&str]) -> String {
        match unit_of(names, LogBackups::Include, LATER) {
            Ok(unit) => {
                let backups: Vec<String> = unit
                    .backups()
                    .map(|backup| format!("{} {}", backup.kind.name(), backup.started.strftime("%d-%H")))
                    .collect();
                backups.join(", ")
            }
            Err(why) => why,
        }
    }

    #[test]
    fn newest_full_and_what_came_after_it_make_the_unit() {
        let all = [
            "FULL 20261115_220000",
            "DIFF 20261116_220000",
            "LOG 20261122_210000",
            "FULL 20261122_220000",
            "LOG 20261122_230000",
            "DIFF 20261123_220000",
            "LOG 20261123_230000",
            "DIFF 20261124_220000",
            "LOG 20261124_230000",
        ];
        assert_eq!(told(&all), "FULL 22-22, DIFF 24-22, LOG 22-23, LOG 23-23, LOG 24-23");
        assert_eq!(told(&all[..5]), "FULL 22-22, LOG 22-23");
        assert_eq!(told(&all[..3]), "FULL 15-22, DIFF 16-22, LOG 22-21");
    }

    #[test]
    fn copy_only_full_is_a_unit_without_diff_until_something_newer_comes() {
        let all = [
            "FULL 20261122_220000",
            "DIFF 20261123_220000",
            "FULL_COPY_ONLY 20261124_120000",
            "LOG 20261124_130000",
            "DIFF 20261124_220000",
        ];
        assert_eq!(told(&all[..4]), "FULL_COPY_ONLY 24-12, LOG 24-13");
        assert_eq!(told(&all), "FULL 22-22, DIFF 24-22, LOG 24-13");
        assert_eq!(told(&all[2..4]), "FULL_COPY_ONLY 24-12, LOG 24-13", "a secondary has no other");
        let unit = unit_of(&all[2..], LogBackups::Include, LATER).unwrap();
        assert!(
            unit.diff.is_none() && unit.warnings[0].contains("DIFF of 2026-11-24 22:00:00 is left out"),
            "{unit:?}"
        );
    }

    #[test]
    fn without_a_full_there_is_no_unit() {
        assert_eq!(told(&[]), "there is no backup yet");
        assert_eq!(
            told(&["DIFF 20261123_220000", "LOG 20261123_230000", "LOG 20261123_231500"]),
            "there is no full backup, only 1 DIFF and 2 LOG"
        );
    }

    #[test]
    fn log_backups_can_be_left_out_or_trigger() {
        let all = ["FULL 20261122_220000", "LOG 20261122_230000", "LOG 20261122_234500"];
        assert_eq!(unit_of(&all, LogBackups::Ignore, LATER).unwrap().logs, []);
        let dating = |logs| {
            let unit = unit_of(&all, logs, LATER).unwrap();
            unit.dating_files().map(|file| file.modified).max().unwrap().to_string()
        };
        assert_eq!(dating(LogBackups::Include), "2026-11-22T21:01:00Z");
        assert_eq!(dating(LogBackups::Trigger), "2026-11-22T22:46:00Z");
    }

    #[test]
    fn young_and_broken_logs_are_left_out_and_mentioned() {
        let all = [
            "FULL 20261122_220000",
            "LOG 20261122_223000=0",
            "LOG 20261122_224500_1",
            "LOG 20261122_224500_3",
            "LOG 20261122_230000",
        ];
        let unit = unit_of(&all, LogBackups::Include, "2026-11-22T22:02:59Z").unwrap();
        assert!(unit.logs.is_empty());
        let told: Vec<&String> = unit.faults.iter().chain(&unit.notes).collect();
        assert_eq!(told.len(), 3, "{told:?}");
        for (told, words) in told.iter().zip(["is empty", "stripe 2 of 3", "next archive"]) {
            assert!(told.contains(words), "{told}");
        }
        assert_eq!(unit_of(&all, LogBackups::Include, "2026-11-22T22:03:00Z").unwrap().logs.len(), 1);
    }

    #[test]
    fn clock_that_is_set_back_breaks_no_chain() {
        // 25 October 2026 in Europe: 03:00 summer time is 02:00. The full begins at 02:50 (00:50 UTC).
        let all = [
            "FULL 20261025_025000@2026-10-25T00:55:00Z",
            "LOG 20261025_023000@2026-10-25T00:30:10Z",
            "LOG 20261025_021500@2026-10-25T01:15:10Z",
            "LOG 20261025_030000@2026-10-25T02:00:10Z",
            "DIFF 20261025_024000@2026-10-25T01:41:00Z",
        ];
        let unit = unit_of(&all, LogBackups::Include, LATER).unwrap();
        let logs: Vec<String> = unit.logs.iter().map(|log| log.started.strftime("%H:%M").to_string()).collect();
        assert_eq!(logs, ["02:15", "03:00"]);
        assert!(unit.diff.is_some());
    }

    #[test]
    fn set_of_stripes_is_whole_only_with_every_number_from_one() {
        for (numbers, fault) in [
            (&["_1", "_2", "_3"][..], None),
            (&["_01", "_02"], None),
            (&["_2", "_3"], Some("stripe 1 of 3 of the FULL of 2026-11-22 22:00:00 is missing")),
            (&["_1", "_2", "_4"], Some("stripe 3 of 4 of the FULL of 2026-11-22 22:00:00 is missing")),
            (&["_1", "_01"], Some("the FULL of 2026-11-22 22:00:00 has stripe 1 twice")),
            (&["", "_1"], Some("the FULL of 2026-11-22 22:00:00 has files with and without a number")),
        ] {
            let names: Vec<String> = numbers.iter().map(|number| format!("FULL 20261122_220000{number}")).collect();
            let names: Vec<&str> = names.iter().map(String::as_str).collect();
            let unit = unit_of(&names, LogBackups::Include, LATER).unwrap();
            assert_eq!(unit.full.fault().as_deref(), fault, "{numbers:?}");
        }
    }

    proptest! {
        /// Whatever lies there: what is chosen is the newest backup of the database, with a full that it can be based
        /// on, and nothing that is older than that full.
        #[test]
        fn newest_backup_is_always_chosen_with_what_it_needs(
            days in prop::collection::vec((1_u8..29, 0_u8..24, 0_usize..5), 1..40),
            mode in 0_u8..3,
        ) {
            let names: Vec<String> = days
                .iter()
                .map(|(day, hour, kind)| format!("{} 202611{day:02}_{hour:02}0000", BackupKind::ALL[*kind].name()))
                .collect();
            let mut names: Vec<&str> = names.iter().map(String::as_str).collect();
            names.sort_unstable();
            names.dedup();
            let logs = [LogBackups::Include, LogBackups::Trigger, LogBackups::Ignore][usize::from(mode)];
            let Ok(unit) = unit_of(&names, logs, LATER) else {
                prop_assert!(!names.iter().any(|name| name.starts_with("FULL")));
                return Ok(());
            };
            prop_assert!(matches!(unit.full.kind, BackupKind::Full | BackupKind::FullCopyOnly));
            let based = |name: &&&str| name.starts_with("FULL ");
            let time = |name: &&str| name.split_once(' ').unwrap().1.to_owned();
            let oldest_full = names.iter().filter(based).map(time).max();
            let newest = names
                .iter()
                .filter(|name| name.starts_with("FULL") || (name.starts_with("DIFF") && oldest_full.as_ref().is_some_and(|full| time(name) > *full)))
                .map(time)
                .max()
                .unwrap();
            prop_assert_eq!(unit.newest().started.strftime("%Y%m%d_%H%M%S").to_string(), newest);
            prop_assert!(unit.diff.as_ref().is_none_or(|diff| unit.full.kind == BackupKind::Full && diff.started > unit.full.started));
            prop_assert!(unit.logs.iter().all(|log| log.kind.is_log() && log.started > unit.full.started));
            let times: Vec<_> = unit.logs.iter().map(|log| log.started).collect();
            prop_assert!(times.is_sorted());
        }
    }
}

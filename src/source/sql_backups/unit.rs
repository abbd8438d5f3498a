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

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use jiff::civil::DateTime;
use jiff::{SignedDuration, Timestamp, ToSpan};

use super::name::{BackupKind, BackupName};
use crate::config::LogBackups;

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
    /// Why it cannot be restored, as far as names and sizes tell. That the *last* stripe is missing they do not.
    #[must_use]
    pub fn fault(&self) -> Option<String> {
        if let Some(file) = self.files.iter().find(|file| file.bytes == 0) {
            return Some(format!("{} is empty", file.name));
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

    /// When its last file was written.
    #[must_use]
    pub fn finished(&self) -> Timestamp {
        self.files.iter().map(|file| file.modified).max().unwrap_or(Timestamp::MIN)
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
#[derive(Debug)]
pub(super) struct Listed<'a> {
    pub(super) file: BackupFile,
    pub(super) name: BackupName<'a>,
}

/// Chooses the unit, or says why there is none.
pub(super) fn choose(files: Vec<Listed<'_>>, rule: Rule) -> Result<Unit, String> {
    let backups = group(files);
    let newest =
        |kind: BackupKind| backups.iter().filter(move |backup| backup.kind == kind).max_by_key(|backup| backup.started);
    let full = newest(BackupKind::Full);
    let diffs = backups.iter().filter(|backup| backup.kind == BackupKind::Diff);
    let diff = full.and_then(|full| diffs.filter(|diff| diff.is_after(full)).max_by_key(|diff| diff.started));
    let copy = newest(BackupKind::FullCopyOnly);
    let (full, diff) = match (full, copy) {
        (full, Some(copy)) if diff.or(full).is_none_or(|newest| copy.started > newest.started) => (copy, None),
        (Some(full), _) => (full, diff),
        (None, _) => return Err(no_full(&backups)),
    };
    let (mut notes, mut warnings) = (Vec::new(), Vec::new());
    if let Some(orphan) = newest(BackupKind::Diff).filter(|newest| diff.is_none() && newest.is_after(full)) {
        warnings.push(format!("the {orphan} is left out: there is no FULL that it could be based on"));
    }
    let mut logs = Vec::new();
    if rule.logs != LogBackups::Ignore {
        let after = backups.iter().filter(|backup| backup.kind.is_log() && backup.is_after(full));
        for log in after {
            if rule.now.duration_since(log.finished()) < signed(rule.quiet) {
                notes.push(format!("the {log} is left for the next archive: it may still be written"));
            } else if let Some(fault) = log.fault() {
                warnings.push(format!("the {log} is left out, and those after it may not follow on: {fault}"));
            } else {
                logs.push(log.clone());
            }
        }
    }
    let logs_trigger = rule.logs == LogBackups::Trigger;
    let finished = full.finished().max(diff.map_or(Timestamp::MIN, Backup::finished));
    let settled = rule.now.duration_since(finished) >= signed(rule.quiet);
    Ok(Unit { full: full.clone(), diff: diff.cloned(), logs, logs_trigger, settled, notes, warnings })
}

fn no_full(backups: &[Backup]) -> String {
    let count = |log: bool| backups.iter().filter(|backup| backup.kind.is_log() == log).count();
    match (count(false), count(true)) {
        (0, 0) => "there is no backup yet".to_owned(),
        (diffs, logs) => format!("there is no full backup, only {diffs} DIFF and {logs} LOG"),
    }
}

/// Puts stripes together. Oldest first.
fn group(files: Vec<Listed<'_>>) -> Vec<Backup> {
    let mut groups: BTreeMap<(DateTime, &'static str, String), Backup> = BTreeMap::new();
    for Listed { file, name } in files {
        let BackupName { kind, started, server, .. } = name;
        let key = (started, kind.name(), server.to_lowercase());
        groups.entry(key).or_insert_with(|| Backup { kind, started, files: Vec::new() }).files.push(file);
    }
    let mut backups: Vec<Backup> = groups.into_values().collect();
    for backup in &mut backups {
        backup.files.sort_by(|a, b| (a.stripe, &a.name).cmp(&(b.stripe, &b.name)));
    }
    backups
}

fn signed(duration: Duration) -> SignedDuration {
    SignedDuration::try_from(duration).unwrap_or(SignedDuration::MAX)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

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
            let stripe = name.stripe;
            Listed { file: BackupFile { name: format!("{kind}/{full_name}"), stripe, bytes, modified }, name }
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
        let told: Vec<&String> = unit.warnings.iter().chain(&unit.notes).collect();
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

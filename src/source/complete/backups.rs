//! SQL Server's own backups: complete when every file of the unit is there, has bytes, is not being written, and
//! nothing has changed for the quiet period.
//!
//! The archive is named after the newest file of the full and the `DIFF` (of the log backups too, where they trigger):
//! the same unit always gets the same name, and log backups, one every few minutes, do not make an archive each.

use jiff::Timestamp;

use super::super::PartKind;
use super::super::evidence::PartEvidence;
use super::super::sql_backups::{Backup, Unit};
use super::super::walk::Item;
use super::{By, Completion, Look, State};
use crate::units;

pub(super) fn decide(look: Look<'_>, part: &PartEvidence) -> Completion {
    let (mut reasons, mut warnings) = (Vec::new(), Vec::new());
    let run = part.backups.as_ref().map(|backups| format!("{} {}", look.evidence.site, named(&backups.unit)));
    let state = judge(look, part, &mut reasons).unwrap_or_else(|(state, reason)| {
        reasons.push(reason);
        state
    });
    if let (State::Complete { .. }, Some(backups)) = (state, &part.backups) {
        reasons.extend(backups.unit.notes.iter().cloned());
        warnings.extend(backups.unit.warnings.iter().cloned());
        warnings.extend(cd_latest(look));
    }
    Completion { state, reasons, warnings, faults: Vec::new(), run }
}

/// `Err` is a decision as well, with what led to it.
fn judge(look: Look<'_>, part: &PartEvidence, reasons: &mut Vec<String>) -> Result<State, (State, String)> {
    let incomplete = |reason: String| (State::Incomplete, reason);
    let Some(backups) = &part.backups else {
        return Err(incomplete(format!("{} was not looked at", part.path.display())));
    };
    let unit = &backups.unit;
    for backup in std::iter::once(&unit.full).chain(&unit.diff) {
        if let Some(fault) = backup.fault() {
            return Err(incomplete(fault));
        }
    }
    let item = |name: &str| backups.items.iter().find(|item| &*item.name == name);
    for file in unit.files() {
        match item(&file.name) {
            None => return Err(incomplete(format!("{} has vanished", file.name))),
            Some(item) if item.bytes == 0 => return Err(incomplete(format!("{} is empty", file.name))),
            Some(_) => {}
        }
    }
    if let Some(name) = backups.written.first() {
        return Err(incomplete(format!("{name} is still open for writing")));
    }
    let quiet = look.quiet()?;
    let times = unit.dating_files().filter_map(|file| item(&file.name)).map(|item: &Item| item.modified);
    let Some(completed) = times.max() else { return Err(incomplete("there is no backup".to_owned())) };
    reasons.push(told(unit, completed));
    reasons.push(quiet);
    reasons.extend(look.in_the_future(completed));
    Ok(State::Complete { completed, by: By::BackupFiles })
}

/// `FULL of 2026-11-22 22:00:00, DIFF of 2026-11-23 22:00:00`: what tells one unit from another.
fn named(unit: &Unit) -> String {
    unit.diff.as_ref().map_or_else(|| unit.full.to_string(), |diff| format!("{}, {diff}", unit.full))
}

fn told(unit: &Unit, completed: Timestamp) -> String {
    let stripes = |backup: &Backup| match backup.files.len() {
        1 => backup.to_string(),
        files => format!("{backup} in {files} files"),
    };
    let diff = unit.diff.as_ref().map(|diff| format!(", {}", stripes(diff))).unwrap_or_default();
    let logs = match unit.logs.len() {
        0 => String::new(),
        logs => format!(", and {} since", units::count(logs, "log backup")),
    };
    format!("{}{diff}{logs} (by the server's clock) are all there, written until {completed}", stripes(&unit.full))
}

/// A word on what the recovery needs besides.
fn cd_latest(look: Look<'_>) -> Option<String> {
    let part = look.evidence.part(PartKind::CdLatest)?;
    let setup = part.data_files > 0 && part.has_setup;
    (!setup).then(|| format!("{} does not look like CD.Latest: there is no SMSSETUP in it", part.path.display()))
}

#[cfg(test)]
mod tests {
    use super::super::super::testing::{Disk, QUIET, time};
    use super::super::super::{Evidence, LogEvidence, discover, gather};
    use super::super::{Completion, decide};
    use super::*;
    use crate::cancel::Cancel;
    use crate::config;

    const FULL: &str = "S/CM_P01/FULL/S_CM_P01_FULL_20261122_020000.bak";

    /// A full of 01:00 UTC and its log backups, and CD.Latest.
    fn gathered(files: &[&str], now: &str) -> (Disk, Evidence) {
        let disk = Disk::new(&[files, &["cd.latest/SMSSETUP/x"]].concat());
        disk.settle("01:00:00");
        let evidence = gathered_on(&disk, now);
        (disk, evidence)
    }

    fn gathered_on(disk: &Disk, now: &str) -> Evidence {
        let kind = config::SnapshotKind::SqlBackups;
        let config = config::Snapshot { kind, cd_latest: Some(disk.path("cd.latest")), ..disk.config("") };
        let found = discover(&config, time(now)).unwrap();
        gather(&found.snapshots[0], LogEvidence::Absent, &Cancel::new()).unwrap().evidence
    }

    fn judged(evidence: &Evidence, now: &str) -> (State, String) {
        let Completion { state, reasons, .. } = decide(evidence, QUIET, time(now));
        (state, reasons.join("; "))
    }

    const COMPLETE: fn(&str) -> State = |clock| State::Complete { completed: time(clock), by: By::BackupFiles };

    #[test]
    fn backup_is_complete_when_it_was_left_alone_for_the_quiet_period() {
        let (_disk, mut evidence) = gathered(&[FULL], "01:01:59");
        assert_eq!(judged(&evidence, "01:01:59").0, State::Incomplete);
        assert_eq!(judged(&evidence, "01:02:00").0, COMPLETE("01:00:00"));
        evidence.unchanged_for = Some(QUIET);
        assert_eq!(judged(&evidence, "01:00:00").0, COMPLETE("01:00:00"), "watched long enough");
        let keys = ["01:02:00", "09:00:00"].map(|now| decide(&evidence, QUIET, time(now)).run);
        assert_eq!(keys[0], keys[1]);
    }

    #[test]
    fn change_in_cd_latest_must_settle_too_and_does_not_name_the_archive() {
        let (disk, _) = gathered(&[FULL], "03:00:00");
        disk.write("cd.latest/SMSSETUP/x", "updated", "02:59:00");
        let evidence = gathered_on(&disk, "03:00:00");
        assert_eq!(judged(&evidence, "03:00:00").0, State::Incomplete);
        assert_eq!(judged(&evidence, "03:01:00").0, COMPLETE("01:00:00"));
    }

    #[test]
    fn what_was_found_and_is_gone_or_written_again_is_incomplete() {
        let log = "S/CM_P01/LOG/S_CM_P01_LOG_20261122_021500.trn";
        let (_disk, evidence) = gathered(&[FULL, log], "03:00:00");
        assert_eq!(judged(&evidence, "03:00:00").0, COMPLETE("01:00:00"));
        let change = |change: fn(&mut super::super::super::BackupsEvidence)| {
            let mut evidence = evidence.clone();
            change(evidence.parts[0].backups.as_mut().unwrap());
            judged(&evidence, "03:00:00")
        };
        for (judged, words) in [
            (change(|backups| drop(backups.items.pop())), "021500.trn has vanished"),
            (change(|backups| backups.items[0].bytes = 0), "020000.bak is empty"),
            (change(|backups| backups.written.push("FULL/x".into())), "FULL/x is still open for writing"),
        ] {
            assert_eq!(judged.0, State::Incomplete);
            assert!(judged.1.contains(words), "{}", judged.1);
        }
    }

    #[test]
    fn folder_that_is_no_cd_latest_is_mentioned() {
        let (_disk, mut evidence) = gathered(&[FULL], "03:00:00");
        let warnings = |evidence: &Evidence| decide(evidence, QUIET, time("03:00:00")).warnings.join("; ");
        assert!(!warnings(&evidence).contains("SMSSETUP"));
        // What is a backup by its name alone is said to be one by its name alone.
        assert!(warnings(&evidence).contains("their names have to do"));
        evidence.parts[1].has_setup = false;
        assert!(warnings(&evidence).contains("there is no SMSSETUP in it"));
    }
}

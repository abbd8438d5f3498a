//! SQL Server's own backups: complete when every file of the unit is there, has bytes, is not being written, and nothing
//! has changed for the quiet period.
//!
//! The archive is named after the newest file of the full and the `DIFF` (of the log backups too, where they trigger): the
//! same unit always gets the same name, and log backups, one every few minutes, do not make an archive each.

use jiff::Timestamp;

use super::super::PartKind;
use super::super::evidence::PartEvidence;
use super::super::sql_backups::{Backup, Unit};
use super::super::walk::Item;
use super::{By, Completion, Look, State};

pub(super) fn decide(look: Look<'_>, part: &PartEvidence) -> Completion {
    let mut reasons = Vec::new();
    let run = part.backups.as_ref().map(|backups| format!("{} {}", look.evidence.site, named(&backups.unit)));
    let state = judge(look, part, &mut reasons).unwrap_or_else(|(state, reason)| {
        reasons.push(reason);
        state
    });
    Completion { state, reasons, run }
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
    reasons.extend(unit.notes.iter().cloned());
    reasons.extend(cd_latest(look));
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
        logs => format!(", and {logs} log backup(s) since"),
    };
    format!("{}{diff}{logs} (by the server's clock) are all there, written until {completed}", stripes(&unit.full))
}

/// A word on what the recovery needs besides.
fn cd_latest(look: Look<'_>) -> Option<String> {
    let part = look.evidence.part(PartKind::CdLatest)?;
    let setup = part.data_files > 0 && part.has_setup;
    (!setup).then(|| format!("{} does not look like CD.Latest: there is no SMSSETUP in it", part.path.display()))
}

//! The snapshot of the backup task: its log, its metadata files, and quiet.
//!
//! The evidence, strongest first:
//! - **(a)** the last 5055 of the site in the task's log is followed by its 5035 and by no failure,
//! - **(b)** `BackupDocument.xml` (`SQLBackupDocument.xml` for a database half of its own) is not older than any data
//!   file,
//! - **(c)** nothing changed for the quiet period.
//!
//! (a) is enough where it can be had, else (b) and (c) are needed. What follows are the combinations that could make a
//! torn or a wrongly named archive, and what is done about each:
//!
//! - *The log is the copy in the snapshot.* It ends when it was copied: "running" in it says nothing, and a later start
//!   is not in it. "Completed" in it needs that nothing changed since then, or (b) and (c).
//! - *The metadata is newer than the log's last completion.* The log is not the one of this snapshot, or too old: it
//!   does not tell, (b) and (c) are needed.
//! - *The metadata is older than the log's last run.* The task writes elsewhere now, and this is an old folder. Its
//!   archive would carry today's date: unknown.
//! - *Data changed after the completion.* Somebody is in there: (c) is needed too.
//! - *The metadata is missing.* It is written after everything was copied, and the cleaning may take it first:
//!   incomplete, whatever the log says.
//! - *Two halves.* Each needs its own (b), and both must be of one run: between its start and its completion where the
//!   log tells, else close together.
//!
//! The archive is named after 5035's time where (a) or the copy of the log has one, else after `BackupDocument.xml`.
//! The newest file, the last resort in the design, would only be needed without metadata, and then nothing is complete.

use jiff::{SignedDuration, Timestamp};

use super::super::PartKind;
use super::super::evidence::{Evidence, LogEvidence, PartEvidence, at_work};
use super::super::task_log::{Outcome, Run};
use super::{By, Completion, Look, SKEW, State};

/// A copied log that says "completed" may itself have been written this much later. A run that starts sooner after
/// another is not noticed by this; reading then notices that files vanish.
pub(super) const COPY_SLACK: SignedDuration = SignedDuration::from_secs(60);
/// How much later than the metadata a folder may have been changed. Some file systems count in steps of two seconds.
const FOLDER_SLACK: SignedDuration = SignedDuration::from_secs(2);
/// How long a run may take whose start the log no longer tells.
const LONGEST_RUN: SignedDuration = SignedDuration::from_hours(12);
/// How far the metadata of two halves may lie apart where no log tells.
const HALVES_APART: SignedDuration = SignedDuration::from_hours(3);

pub(super) fn decide(look: Look<'_>) -> Completion {
    let mut decision = Decision { look, evidence: look.evidence, reasons: Vec::new(), run: None };
    let state = decision.state().unwrap_or_else(|state| state);
    Completion { state, reasons: decision.reasons, warnings: Vec::new(), run: decision.run }
}

struct Decision<'a> {
    look: Look<'a>,
    evidence: &'a Evidence,
    reasons: Vec<String>,
    run: Option<String>,
}

/// What the log says about this snapshot, and what is needed besides.
enum Told {
    /// Nothing about this snapshot: (b) and (c) are needed.
    Nothing,
    /// Completed, and that is enough.
    Enough(Timestamp),
    /// Completed, but something changed since: (c) is needed.
    Quiet(Timestamp),
    /// Completed, perhaps without a time, and not to be trusted alone: (b) and (c) are needed.
    Completed(Option<Timestamp>),
}

impl Told {
    fn completed(&self) -> Option<Timestamp> {
        match self {
            Self::Nothing => None,
            Self::Enough(completed) | Self::Quiet(completed) => Some(*completed),
            Self::Completed(completed) => *completed,
        }
    }
}

/// `Err` is a decision as well: one that was reached before all evidence was looked at.
impl<'a> Decision<'a> {
    fn state(&mut self) -> Result<State, State> {
        let evidence = self.evidence;
        let site =
            evidence.part(PartKind::Site).ok_or_else(|| self.no(State::Incomplete, "the site half is missing"))?;
        let run = self.last_run();
        self.run = run.and_then(Run::started_at).map(|at| format!("{} started {at}", evidence.site));
        if let Some((run, copy)) = self.logged() {
            self.ended(run, copy)?;
        }
        self.databases()?;
        let metadata = self.metadata_time(site)?;
        let told = self.told(site, metadata)?;
        if let Some(sql) = evidence.part(PartKind::Sql) {
            self.same_run(sql, metadata, &told)?;
        }
        let (completed, by) = match told {
            Told::Enough(completed) => (completed, By::Log),
            Told::Quiet(completed) => {
                self.quiet()?;
                (completed, By::Log)
            }
            Told::Completed(_) | Told::Nothing => {
                self.newer_than_data()?;
                self.quiet()?;
                (told.completed().unwrap_or(metadata), By::Metadata)
            }
        };
        if let Some(reason) = self.look.in_the_future(completed) {
            self.say(reason);
        }
        self.run = Some(format!("{} completed {completed}", evidence.site));
        Ok(State::Complete { completed, by })
    }

    fn say(&mut self, reason: impl Into<String>) {
        self.reasons.push(reason.into());
    }

    fn no(&mut self, state: State, reason: impl Into<String>) -> State {
        self.say(reason);
        state
    }

    /// The last run of the site, and whether the log is only the copy.
    fn logged(&self) -> Option<(&'a Run, bool)> {
        match &self.evidence.log {
            LogEvidence::Read { copy, runs, .. } => runs.last(self.evidence.site).map(|run| (run, *copy)),
            LogEvidence::Absent | LogEvidence::Unreadable { .. } => None,
        }
    }

    fn last_run(&self) -> Option<&'a Run> {
        self.logged().map(|(run, _)| run)
    }

    /// A run that did not end well ends the decision, except that a copy may just have been made before its end.
    fn ended(&mut self, run: &Run, copy: bool) -> Result<(), State> {
        match run.outcome {
            Outcome::Completed { .. } => Ok(()),
            Outcome::Running | Outcome::Interrupted if copy => Ok(()),
            Outcome::Running | Outcome::Interrupted => Err(self.no(State::Running, at_work(run))),
            Outcome::Failed { id, at } => {
                let at = at.map_or(String::new(), |at| format!(" at {at}"));
                let id_text = id.map_or(String::new(), |id| format!(" with status message {id}"));
                Err(self.no(State::Failed { id }, format!("the log says that the backup failed{at}{id_text}")))
            }
        }
    }

    fn databases(&mut self) -> Result<(), State> {
        let Some(part) = self.evidence.part(PartKind::Sql).or_else(|| self.evidence.part(PartKind::Site)) else {
            return Ok(());
        };
        if part.databases.is_empty() {
            let hint = match part.kind {
                PartKind::Site => ": if the task writes it on the database server, set snapshot.sql-path",
                _ => "",
            };
            let reason = format!("no database file (.mdf) in SiteDBServer in {}{hint}", part.path.display());
            return Err(self.no(State::Incomplete, reason));
        }
        if let Some((name, _)) = part.databases.iter().find(|(_, bytes)| *bytes == 0) {
            return Err(self.no(State::Incomplete, format!("{name} in {} is empty", part.path.display())));
        }
        Ok(())
    }

    fn metadata_time(&mut self, part: &PartEvidence) -> Result<Timestamp, State> {
        part.metadata.ok_or_else(|| {
            let completed = self.last_run().is_some_and(|run| matches!(run.outcome, Outcome::Completed { .. }));
            let although = if completed { ", although the log says that the backup was completed" } else { "" };
            let reason = format!(
                "{} is not in {}: it is written when everything has been copied{although}",
                part.metadata_name(),
                part.path.display()
            );
            self.no(State::Incomplete, reason)
        })
    }

    /// What the log says about this very snapshot.
    fn told(&mut self, site: &PartEvidence, metadata: Timestamp) -> Result<Told, State> {
        let Some((run, copy)) = self.logged() else {
            let reason = match &self.evidence.log {
                LogEvidence::Absent => "there is no log to tell of the backup".to_owned(),
                LogEvidence::Unreadable { path, reason } => {
                    format!("the log {} cannot be read: {reason}", path.display())
                }
                LogEvidence::Read { path, .. } => {
                    format!("the log {} tells of no run of site {}", path.display(), self.evidence.site)
                }
            };
            self.say(reason);
            return Ok(Told::Nothing);
        };
        let which = if copy { "the log in the snapshot" } else { "the log" };
        let Outcome::Completed { at } = run.outcome else {
            self.say(format!("{which} was copied before the backup ended"));
            return Ok(Told::Nothing);
        };
        let Some(completed) = at else {
            self.say(format!("{which} says that the backup was completed, but not when"));
            return Ok(Told::Completed(None));
        };
        if metadata.duration_since(completed) > SKEW {
            self.say(format!(
                "{which} ends with a backup completed at {completed}, but BackupDocument.xml is of {metadata}: \
                 it does not tell of this snapshot"
            ));
            return Ok(Told::Nothing);
        }
        // A run that ended before it began had its clock set back: its beginning cannot be compared with anything.
        let old = match run.started_at().filter(|started| *started <= completed) {
            Some(started) => started.duration_since(metadata) > SKEW,
            None => completed.duration_since(metadata) > LONGEST_RUN,
        };
        if old {
            let reason = format!(
                "{which} tells of a backup completed at {completed}, but BackupDocument.xml in {} is of {metadata}, \
                 before that backup: does the task write to another folder now?",
                site.path.display()
            );
            return Err(self.no(State::Unknown, reason));
        }
        self.say(format!("{which} says that the backup was completed at {completed} (status message 5035)"));
        let since = |time: Timestamp| time.duration_since(completed);
        if copy {
            let untouched = self.evidence.newest_change().is_none_or(|change| since(change) <= COPY_SLACK);
            if untouched {
                return Ok(Told::Enough(completed));
            }
            self.say("that log does not go on after it, and something changed since");
            return Ok(Told::Completed(at));
        }
        let parts = self.evidence.parts.iter();
        let late = parts.filter_map(|part| part.newest_data.as_ref()).find(|newest| since(newest.modified) > SKEW);
        if let Some(late) = late {
            self.say(format!("{} was changed after that, at {}", late.name, late.modified));
            return Ok(Told::Quiet(completed));
        }
        Ok(Told::Enough(completed))
    }

    /// Is the database half complete and of the same run as the site half?
    fn same_run(&mut self, sql: &PartEvidence, site_metadata: Timestamp, told: &Told) -> Result<(), State> {
        let metadata = self.metadata_time(sql)?;
        let completed = told.completed();
        // A log that does not tell of this snapshot gives no bounds; one copied during the run knows its start.
        let usable = completed.is_some() || self.last_run().is_some_and(|run| run.outcome == Outcome::Running);
        let started = self.last_run().filter(|_| usable).and_then(Run::started_at);
        let started = started.filter(|started| started.duration_since(site_metadata) <= SKEW);
        let apart = metadata.duration_since(site_metadata).abs();
        let fault = match (started, completed) {
            (Some(started), _) if started.duration_since(metadata) > SKEW => {
                Some(format!("the database half is of {metadata}, before the backup began at {started}"))
            }
            (_, Some(completed)) if metadata.duration_since(completed) > SKEW => {
                Some(format!("the database half is of {metadata}, after the backup was completed at {completed}"))
            }
            (Some(_), _) if apart <= LONGEST_RUN => None,
            _ if apart <= HALVES_APART => None,
            _ => Some(format!(
                "the site half is of {site_metadata} and the database half of {metadata}: nothing says that they are of \
                 the same backup"
            )),
        };
        if let Some(fault) = fault {
            return Err(self.no(State::Incomplete, fault));
        }
        if let LogEvidence::Read { runs, path, .. } = &sql.log
            && let Some(run) = runs.last(self.evidence.site)
            && let Outcome::Failed { id, at } = run.outcome
            && at.is_none_or(|at| site_metadata.duration_since(at) < LONGEST_RUN)
        {
            return Err(
                self.no(State::Failed { id }, format!("{} says that the database backup failed", path.display()))
            );
        }
        self.say(format!("the database half of {metadata} belongs to the same backup"));
        Ok(())
    }

    /// (b)
    fn newer_than_data(&mut self) -> Result<(), State> {
        for part in &self.evidence.parts {
            self.part_newer_than_data(part)?;
            self.nothing_removed(part)?;
        }
        self.say("the metadata is newer than every file of the backup");
        Ok(())
    }

    fn part_newer_than_data(&mut self, part: &PartEvidence) -> Result<(), State> {
        let metadata = self.metadata_time(part)?;
        let Some(newest) = &part.newest_data else {
            return Err(self.no(State::Incomplete, format!("{} holds no files of a backup", part.path.display())));
        };
        if newest.modified > metadata {
            let reason = format!(
                "{} of {} is newer than {} of {metadata}, which is written last",
                newest.name,
                newest.modified,
                part.metadata_name()
            );
            return Err(self.no(State::Incomplete, reason));
        }
        Ok(())
    }

    /// A run that died while it cleaned leaves files that are all old, but not the folders they were taken from. Where
    /// every folder is newer, the snapshot was copied here, and that tells nothing.
    fn nothing_removed(&mut self, part: &PartEvidence) -> Result<(), State> {
        let limit = self.metadata_time(part)?.checked_add(FOLDER_SLACK).unwrap_or(Timestamp::MAX);
        match &part.folders {
            Some((oldest, newest)) if newest.modified > limit && *oldest <= limit => {
                let reason = format!(
                    "files came or went in {} at {}, after {} was written: did the backup task die while it cleaned?",
                    newest.name,
                    newest.modified,
                    part.metadata_name()
                );
                Err(self.no(State::Incomplete, reason))
            }
            _ => Ok(()),
        }
    }

    /// (c)
    fn quiet(&mut self) -> Result<(), State> {
        match self.look.quiet() {
            Ok(reason) => {
                self.say(reason);
                Ok(())
            }
            Err((state, reason)) => Err(self.no(state, reason)),
        }
    }
}

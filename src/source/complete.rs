//! Is a snapshot complete? A pure decision over evidence, with its reasons in words.
//!
//! The evidence, strongest first:
//! - **(a)** the last 5055 of the site in the task's log is followed by its 5035 and by no failure,
//! - **(b)** `BackupDocument.xml` (`SQLBackupDocument.xml` for a database half of its own) is not older than any data file,
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
//! The archive is named after 5035's time where (a) or the copy of the log has one, else after `BackupDocument.xml`. The
//! newest file, the last resort in the design, would only be needed without metadata, and then nothing is complete.

use std::time::Duration;

use jiff::{SignedDuration, Timestamp};

use super::PartKind;
use super::evidence::{Evidence, LogEvidence, PartEvidence};
use super::log::{Outcome, Run};

/// By how much the clocks of two servers may differ: file times come from the one with the disk, log times from the site.
const SKEW: SignedDuration = SignedDuration::from_mins(5);
/// A copied log that says "completed" may itself have been written this much later. A run that starts sooner after
/// another is not noticed by this; reading then notices that files vanish.
const COPY_SLACK: SignedDuration = SignedDuration::from_secs(60);
/// How long a run may take whose start the log no longer tells.
const LONGEST_RUN: SignedDuration = SignedDuration::from_hours(12);
/// How far the metadata of two halves may lie apart where no log tells.
const HALVES_APART: SignedDuration = SignedDuration::from_hours(3);

/// The decision.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Completion {
    /// What the snapshot is.
    pub state: State,
    /// Why, in words.
    pub reasons: Vec<String>,
    /// Tells one run of the task from another. Two looks at the same completed snapshot give the same key.
    pub run: Option<String>,
}

impl Completion {
    /// When the snapshot was completed, if it is: the stamp of its archive.
    #[must_use]
    pub fn completed(&self) -> Option<Timestamp> {
        match self.state {
            State::Complete { completed, .. } => Some(completed),
            _ => None,
        }
    }
}

/// What a snapshot is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum State {
    /// Complete: it may be archived.
    Complete {
        /// When.
        completed: Timestamp,
        /// What says so.
        by: By,
    },
    /// The task is at work, or died.
    Running,
    /// The task failed.
    Failed {
        /// With this status message, where one tells.
        id: Option<u32>,
    },
    /// Something is missing or still changing.
    Incomplete,
    /// The evidence contradicts itself.
    Unknown,
}

/// What says that a snapshot is complete.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum By {
    /// The log of the task.
    Log,
    /// The metadata files and the quiet period.
    Metadata,
}

/// Decides whether a snapshot is complete.
#[must_use]
pub fn decide(evidence: &Evidence, quiet: Duration, now: Timestamp) -> Completion {
    let mut decision = Decision { evidence, quiet, now, reasons: Vec::new(), run: None };
    let state = decision.state().unwrap_or_else(|state| state);
    Completion { state, reasons: decision.reasons, run: decision.run }
}

struct Decision<'a> {
    evidence: &'a Evidence,
    quiet: Duration,
    now: Timestamp,
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
        if self.now.checked_add(SKEW).is_ok_and(|limit| completed > limit) {
            self.say(format!("its completion time {completed} is in the future: a clock is wrong"));
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
            Outcome::Running | Outcome::Interrupted => {
                let since = run.started_at().map_or(String::new(), |at| format!(" at {at}"));
                Err(self.no(
                    State::Running,
                    format!("the log tells of a backup that began{since} and of no end: it is running, or died"),
                ))
            }
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
                PartKind::Sql => "",
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
        let old = match run.started_at() {
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
        self.part_newer_than_data(sql)?;
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

    /// (c)
    fn quiet(&mut self) -> Result<(), State> {
        let quiet = SignedDuration::try_from(self.quiet).unwrap_or(SignedDuration::MAX);
        let shown = humantime::format_duration(self.quiet);
        if self.evidence.unchanged_for.is_some_and(|unchanged| unchanged >= self.quiet) {
            self.say(format!("nothing has changed while it was watched for {shown}"));
            return Ok(());
        }
        let Some(change) = self.evidence.newest_change() else {
            return Err(self.no(State::Unknown, "when it was last changed is not known"));
        };
        let ago = self.now.duration_since(change);
        if ago >= quiet {
            self.say(format!("nothing has changed for {shown}"));
            return Ok(());
        }
        if -ago > SKEW {
            let reason = format!("it was last changed at {change}, which is in the future: a clock is wrong");
            return Err(self.no(State::Unknown, reason));
        }
        Err(self.no(State::Incomplete, format!("it was last changed at {change}, and must be left alone for {shown}")))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::evidence::NewestFile;
    use super::super::log::Runs;
    use super::*;

    // Times of one night, 22 November 2026. The logs are synthetic, built on the published form of status messages.

    const QUIET: Duration = Duration::from_mins(2);

    fn time(clock: &str) -> Timestamp {
        format!("2026-11-22T{clock}Z").parse().unwrap()
    }

    fn log(copy: bool, messages: &[(u32, &str)]) -> LogEvidence {
        let mut runs = Runs::new();
        for (id, clock) in messages {
            let date = if clock.is_empty() { String::new() } else { format!("GMTDATE=Sun Nov 22 {clock}.000 2026 ") };
            runs.line(&format!("STATMSG: ID={id} COMP=\"SMS_SITE_BACKUP\" SITE=P01 {date}NUMATTRS=0"));
        }
        LogEvidence::Read { path: "smsbkup.log".into(), copy, runs }
    }

    const GOOD: &[(u32, &str)] = &[(5055, "01:00:00"), (5056, "01:05:00"), (5035, "02:00:00")];

    fn part(kind: PartKind, data: &str, metadata: &str) -> PartEvidence {
        PartEvidence {
            kind,
            path: "P01Backup".into(),
            metadata: (!metadata.is_empty()).then(|| time(metadata)),
            newest_data: Some(NewestFile { name: "SiteServer/x".into(), modified: time(data) }),
            newest_change: Some(time(data).max(if metadata.is_empty() { Timestamp::MIN } else { time(metadata) })),
            data_files: 3,
            databases: vec![("SiteDBServer/CM_P01.mdf".into(), 8192)],
            log: LogEvidence::Absent,
        }
    }

    fn evidence(log: LogEvidence) -> Evidence {
        let parts = vec![part(PartKind::Site, "01:50:00", "01:59:00")];
        Evidence { site: "P01".parse().unwrap(), log, parts, unchanged_for: None }
    }

    fn two_parts(log: LogEvidence, sql_metadata: &str) -> Evidence {
        let mut evidence = evidence(log);
        evidence.parts[0].databases.clear();
        evidence.parts.push(part(PartKind::Sql, "00:00:00", sql_metadata));
        evidence
    }

    fn check(evidence: &Evidence, now: &str) -> (State, String) {
        let completion = decide(evidence, QUIET, time(now));
        assert!(!completion.reasons.is_empty());
        (completion.state, completion.reasons.join("; "))
    }

    fn state(evidence: &Evidence, now: &str) -> State {
        check(evidence, now).0
    }

    fn by_log(clock: &str) -> State {
        State::Complete { completed: time(clock), by: By::Log }
    }

    fn by_metadata(clock: &str) -> State {
        State::Complete { completed: time(clock), by: By::Metadata }
    }

    #[test]
    fn log_alone_completes_without_quiet_period() {
        let evidence = evidence(log(false, GOOD));
        assert_eq!(state(&evidence, "02:00:01"), by_log("02:00:00"));
        let completion = decide(&evidence, QUIET, time("02:00:01"));
        assert_eq!(completion.run.as_deref(), Some("P01 completed 2026-11-22T02:00:00Z"));
        assert_eq!(completion.run, decide(&evidence, QUIET, time("12:00:00")).run);
    }

    #[test]
    fn newer_start_or_failure_is_told() {
        let lines = [GOOD, &[(5055, "03:00:00")]].concat();
        assert_eq!(state(&evidence(log(false, &lines)), "12:00:00"), State::Running);
        let lines = [GOOD, &[(5055, "03:00:00"), (5049, "03:01:00")]].concat();
        assert_eq!(state(&evidence(log(false, &lines)), "12:00:00"), State::Failed { id: Some(5049) });
    }

    #[test]
    fn completed_log_without_metadata_is_incomplete() {
        let mut evidence = evidence(log(false, GOOD));
        evidence.parts[0].metadata = None;
        let (state, reasons) = check(&evidence, "12:00:00");
        assert_eq!(state, State::Incomplete);
        assert!(reasons.contains("although the log says"), "{reasons}");
    }

    #[test]
    fn without_log_metadata_and_quiet_are_needed() {
        for log in [
            LogEvidence::Absent,
            LogEvidence::Unreadable { path: "smsbkup.log".into(), reason: "access denied".into() },
            log(false, &[]),
            log(true, &[(5055, "01:00:00")]),
        ] {
            let mut evidence = evidence(log);
            assert_eq!(state(&evidence, "02:00:00"), State::Incomplete, "not quiet yet");
            assert_eq!(state(&evidence, "02:01:00"), by_metadata("01:59:00"));
            evidence.unchanged_for = Some(QUIET);
            assert_eq!(state(&evidence, "02:00:00"), by_metadata("01:59:00"), "watched long enough");
            evidence.unchanged_for = None;
            evidence.parts[0].newest_data.as_mut().unwrap().modified = time("01:59:01");
            let (state, reasons) = check(&evidence, "12:00:00");
            assert_eq!(state, State::Incomplete);
            assert!(reasons.contains("SiteServer/x"), "{reasons}");
        }
    }

    #[test]
    fn metadata_as_old_as_the_newest_file_is_enough() {
        let mut evidence = evidence(LogEvidence::Absent);
        evidence.parts[0].newest_data.as_mut().unwrap().modified = time("01:59:00");
        assert_eq!(state(&evidence, "12:00:00"), by_metadata("01:59:00"));
    }

    #[test]
    fn log_that_ends_before_the_snapshot_does_not_tell_of_it() {
        let mut evidence = evidence(log(false, &[(5055, "00:10:00"), (5035, "00:20:00")]));
        assert_eq!(state(&evidence, "02:00:00"), State::Incomplete, "not quiet yet");
        let (state, reasons) = check(&evidence, "12:00:00");
        assert_eq!(state, by_metadata("01:59:00"));
        assert!(reasons.contains("does not tell of this snapshot"), "{reasons}");
        evidence.parts[0].newest_data.as_mut().unwrap().modified = time("02:30:00");
        assert_eq!(super::decide(&evidence, QUIET, time("12:00:00")).state, State::Incomplete);
    }

    #[test]
    fn old_folder_does_not_get_the_date_of_a_new_backup() {
        let (state, reasons) = check(&evidence(log(false, &[(5055, "03:00:00"), (5035, "04:00:00")])), "12:00:00");
        assert_eq!(state, State::Unknown);
        assert!(reasons.contains("another folder"), "{reasons}");
        assert_eq!(
            super::decide(&evidence(log(false, &[(5035, "20:00:00")])), QUIET, time("21:00:00")).state,
            State::Unknown
        );
    }

    #[test]
    fn completion_whose_start_rolled_away_counts() {
        assert_eq!(state(&evidence(log(false, &[(5035, "02:00:00")])), "02:00:01"), by_log("02:00:00"));
    }

    #[test]
    fn change_after_the_completion_needs_quiet() {
        let mut evidence = evidence(log(false, GOOD));
        evidence.parts[0].newest_data.as_mut().unwrap().modified = time("02:30:00");
        evidence.parts[0].newest_change = Some(time("02:30:00"));
        assert_eq!(state(&evidence, "02:30:10"), State::Incomplete);
        assert_eq!(state(&evidence, "02:32:00"), by_log("02:00:00"));
    }

    #[test]
    fn copied_log_is_enough_only_while_nothing_changed_since() {
        let mut evidence = evidence(log(true, GOOD));
        assert_eq!(state(&evidence, "02:00:10"), by_log("02:00:00"));
        // The next run begins to clean: only folders change.
        evidence.parts[0].newest_change = Some(time("23:00:00"));
        assert_eq!(state(&evidence, "23:00:10"), State::Incomplete);
        assert_eq!(state(&evidence, "23:10:00"), by_metadata("02:00:00"));
    }

    #[test]
    fn completion_without_time_takes_the_stamp_of_the_metadata() {
        let evidence = evidence(log(false, &[(5055, "01:00:00"), (5035, "")]));
        assert_eq!(state(&evidence, "12:00:00"), by_metadata("01:59:00"));
    }

    #[test]
    fn database_must_be_there() {
        let mut evidence = evidence(log(false, GOOD));
        evidence.parts[0].databases[0].1 = 0;
        assert_eq!(state(&evidence, "12:00:00"), State::Incomplete);
        evidence.parts[0].databases.clear();
        let (state, reasons) = check(&evidence, "12:00:00");
        assert_eq!(state, State::Incomplete);
        assert!(reasons.contains("sql-path"), "{reasons}");
    }

    #[test]
    fn halves_of_one_run_are_complete() {
        assert_eq!(state(&two_parts(log(false, GOOD), "01:30:00"), "02:00:10"), by_log("02:00:00"));
        assert_eq!(state(&two_parts(LogEvidence::Absent, "01:30:00"), "12:00:00"), by_metadata("01:59:00"));
        // The copy of the log knows when the run began.
        assert_eq!(state(&two_parts(log(true, &GOOD[..1]), "05:30:00"), "12:00:00"), by_metadata("01:59:00"));
    }

    #[test]
    fn halves_of_different_runs_are_not() {
        for (log, metadata) in [
            (log(false, GOOD), "00:54:00"),
            (log(false, GOOD), "02:10:00"),
            (log(true, GOOD), "00:54:00"),
            (log(true, &GOOD[..1]), "00:54:00"),
            (log(true, &GOOD[..1]), "15:00:00"),
            (LogEvidence::Absent, "05:30:00"),
            (LogEvidence::Absent, ""),
            (log(false, GOOD), ""),
        ] {
            assert_eq!(state(&two_parts(log, metadata), "23:00:00"), State::Incomplete, "{metadata}");
        }
    }

    #[test]
    fn database_half_needs_its_own_metadata_newer_than_its_data() {
        let mut evidence = two_parts(log(false, GOOD), "01:30:00");
        evidence.parts[1].newest_data.as_mut().unwrap().modified = time("01:31:00");
        assert_eq!(state(&evidence, "12:00:00"), State::Incomplete);
    }

    #[test]
    fn failed_database_half_fails() {
        let mut evidence = two_parts(log(false, GOOD), "01:30:00");
        evidence.parts[1].log = log(true, &[(5055, "01:00:00"), (5049, "01:20:00")]);
        assert_eq!(state(&evidence, "12:00:00"), State::Failed { id: Some(5049) });
    }

    #[test]
    fn clock_that_is_wrong_is_told() {
        let past: Timestamp = "1990-01-01T00:00:00Z".parse().unwrap();
        let by_log = decide(&evidence(log(false, GOOD)), QUIET, past);
        assert_eq!(by_log.completed(), Some(time("02:00:00")));
        assert!(by_log.reasons.join(";").contains("future"));
        let mut evidence = evidence(LogEvidence::Absent);
        assert_eq!(decide(&evidence, QUIET, past).state, State::Unknown);
        evidence.unchanged_for = Some(QUIET);
        assert_eq!(decide(&evidence, QUIET, past).completed(), Some(time("01:59:00")));
        let future: Timestamp = "2090-01-01T00:00:00Z".parse().unwrap();
        assert_eq!(decide(&evidence, QUIET, future).completed(), Some(time("01:59:00")));
    }

    /// A run of the task over a folder that holds a completed snapshot, in steps of less than the quiet period.
    struct Task {
        second: i64,
        runs: Runs,
        copy: Option<Runs>,
        files: Vec<i64>,
        metadata: Option<i64>,
        change: i64,
        whole: bool,
    }

    impl Task {
        fn report(&mut self, id: u32) {
            let at = Timestamp::from_second(self.second).unwrap().strftime("%a %b %d %H:%M:%S.000 %Y");
            self.runs.line(&format!("STATMSG: ID={id} COMP=\"SMS_SITE_BACKUP\" SITE=P01 GMTDATE={at} NUMATTRS=0"));
        }

        fn evidence(&self, mode: u8) -> Evidence {
            let time = |second| Timestamp::from_second(second).unwrap();
            let read = |copy, runs| LogEvidence::Read { path: "smsbkup.log".into(), copy, runs };
            let log = match mode {
                0 => read(false, self.runs.clone()),
                1 => self.copy.clone().map_or(LogEvidence::Absent, |runs| read(true, runs)),
                _ => LogEvidence::Absent,
            };
            let newest = self.files.iter().max().map(|second| NewestFile { name: "x".into(), modified: time(*second) });
            let mut site = part(PartKind::Site, "01:00:00", "");
            site.data_files = self.files.len() as u64;
            site.newest_data = newest;
            site.metadata = self.metadata.map(time);
            site.newest_change = Some(time(self.change));
            if self.files.is_empty() {
                site.databases.clear();
            }
            Evidence { site: "P01".parse().unwrap(), log, parts: vec![site], unchanged_for: None }
        }
    }

    proptest! {
        /// Looked at after every step of several runs, with the log, its copy or neither: never complete unless whole,
        /// and complete in the end.
        #[test]
        fn snapshot_at_work_is_never_complete(
            steps in prop::collection::vec((1_i64..110, any::<prop::sample::Index>(), 0_u8..20), 5..120),
            mode in 0_u8..3,
            late_copy: bool,
        ) {
            let mut task = Task { second: 1_800_000_000, runs: Runs::new(), copy: None, files: vec![], metadata: None, change: 1_800_000_000, whole: false };
            let mut phase = 0;
            let mut copied = 0;
            for (gap, index, dice) in steps {
                task.second += gap;
                let mut changed = true;
                match phase {
                    // Nothing is done; then the next run starts.
                    0 => {
                        changed = false;
                        if dice < 10 {
                            task.second += COPY_SLACK.as_secs();
                            task.report(5055);
                            phase = 1;
                        }
                    }
                    // Cleaning takes files in any order.
                    1 => {
                        task.whole = false;
                        let rest = task.files.len() + usize::from(task.metadata.is_some()) + usize::from(task.copy.is_some());
                        if rest == 0 {
                            task.report(5056);
                            copied = 0;
                            phase = 2;
                        } else {
                            let at = index.index(rest);
                            if at < task.files.len() {
                                task.files.swap_remove(at);
                            } else if task.metadata.is_some() && (at == task.files.len() || task.copy.is_none()) {
                                task.metadata = None;
                            } else {
                                task.copy = None;
                            }
                        }
                    }
                    // Copies keep the times of their originals. Some runs fail.
                    2 if dice == 0 => {
                        task.report(5049);
                        phase = 0;
                    }
                    2 => {
                        task.files.push(task.second - i64::from(dice) * 1000);
                        copied += 1;
                        if copied == 4 {
                            if !late_copy {
                                task.copy = Some(task.runs.clone());
                            }
                            phase = 3;
                        }
                    }
                    3 => {
                        task.metadata = Some(task.second);
                        task.whole = true;
                        phase = 4;
                    }
                    _ => {
                        task.report(5035);
                        if late_copy {
                            task.copy = Some(task.runs.clone());
                        }
                        phase = 0;
                    }
                }
                if changed {
                    task.change = task.second;
                }
                let now = Timestamp::from_second(task.second).unwrap();
                let completion = decide(&task.evidence(mode), QUIET, now);
                prop_assert!(task.whole || completion.completed().is_none(), "{:?}", completion);
                if mode == 0 {
                    prop_assert_eq!(completion.completed().is_some(), task.whole && phase == 0, "{:?}", completion);
                }
                if phase == 0 && task.whole {
                    let later = now.checked_add(SignedDuration::from_mins(3)).unwrap();
                    prop_assert!(decide(&task.evidence(mode), QUIET, later).completed().is_some());
                }
            }
        }
    }
}

//! The snapshot of the backup task: its log, its metadata files, and quiet.
//!
//! The evidence, strongest first:
//! - **(a)** the last 5055 of the site in the task's log is followed by its 5035 and by no failure,
//! - **(b)** `BackupDocument.xml` (`SQLBackupDocument.xml` for a database half of its own) is not older than any data
//!   file,
//! - **(c)** nothing changed for the quiet period.
//!
//! (a) is enough where it can be had, else (b) and (c) are needed. Whatever says "completed" speaks of that moment.
//! What came, went or changed since is evidence against it, and is looked at in every case: the parts that a site
//! backup has, the times of all folders, and the files that are newer than the metadata. What follows are the
//! combinations that could make a torn or a wrongly named archive, and what is done about each:
//!
//! - *The log is the copy in the snapshot.* It ends when it was copied: "running" in it says nothing, and a later start
//!   is not in it. "Completed" in it needs that nothing changed since then, or (b) and (c).
//! - *The log is damaged behind its last completion.* The next start may have been there: (b) is needed, and that
//!   nothing changes while it is watched for the quiet period.
//! - *The metadata is newer than the log's last completion.* The log is not the one of this snapshot, or too old: it
//!   does not tell, (b) and (c) are needed.
//! - *The metadata is older than the log's last run.* The task writes elsewhere now, and this is an old folder. Its
//!   archive would carry today's date: unknown.
//! - *Data changed after the completion.* Somebody is in there: incomplete. A file server's clock may be slow by a few
//!   minutes, and that of the site may be set during the run: then nothing may change while it is watched.
//! - *Files came or went after the metadata.* The task died while it cleaned, or somebody took something: incomplete.
//!   Where all folders are newer and the metadata came to this disk later than its own time says, the snapshot was
//!   copied here, and folders that are older than the last file that came tell nothing.
//! - *A file is dated in the future.* A clock was wrong when it was written. That is a warning, and no change:
//!   whether it changes is seen by looking twice.
//! - *The metadata is missing.* It is written after everything was copied, and the cleaning may take it first:
//!   incomplete, whatever the log says. Where it is there and empty or no XML, it may be about to be written:
//!   incomplete, unless the log says completed; then it is a fault of the archive, which is made.
//! - *Two halves.* Each needs its own (b), and both must be of one run: between its start and its completion where the
//!   log tells, else close together.
//!
//! The archive is named after 5035's time where (a) or the copy of the log has one, else after `BackupDocument.xml`.
//! The newest file, the last resort in the design, would only be needed without metadata, and then nothing is complete.

use jiff::{SignedDuration, Timestamp};

use super::super::PartKind;
use super::super::evidence::{COPY_SLACK, Evidence, FOLDER_SLACK, KnownFolder, NewestFile, PartEvidence};
use super::super::log_evidence::{LogEvidence, at_work};
use super::super::task_log::{Damage, Outcome, Run};
use super::{By, Completion, Look, SKEW, State};

/// How long a run may take whose start the log no longer tells.
const LONGEST_RUN: SignedDuration = SignedDuration::from_hours(12);
/// How far the metadata of two halves may lie apart where no log tells.
const HALVES_APART: SignedDuration = SignedDuration::from_hours(3);

pub(super) fn decide(look: Look<'_>) -> Completion {
    let mut decision = Decision {
        look,
        evidence: look.evidence,
        reasons: Vec::new(),
        odd: Vec::new(),
        doubts: Vec::new(),
        faults: look.evidence.log_fault.iter().cloned().collect(),
        watch: None,
        run: None,
    };
    let state = decision.state().unwrap_or_else(|state| state);
    let warnings = decision.dated_in_the_future();
    let warnings = decision.doubts.into_iter().chain(warnings).collect();
    Completion { state, reasons: decision.reasons, warnings, faults: decision.faults, run: decision.run }
}

struct Decision<'a> {
    look: Look<'a>,
    evidence: &'a Evidence,
    reasons: Vec<String>,
    /// Files and folders that are dated in the future.
    odd: Vec<NewestFile>,
    /// What somebody should know although the snapshot is complete.
    doubts: Vec<String>,
    /// What is not as it must be, and costs the exit code.
    faults: Vec<String>,
    /// Why times alone are not enough: nothing may change while it is watched.
    watch: Option<String>,
    run: Option<String>,
}

/// What the log says about this snapshot, and what is needed besides.
enum Told {
    /// Nothing about this snapshot: (b) and (c) are needed.
    Nothing,
    /// Completed, and that is enough.
    Enough(Timestamp),
    /// Completed, but the log is damaged behind it: (b) is needed, and to be watched.
    Doubtful(Timestamp),
    /// Completed, perhaps without a time, and not to be trusted alone: (b) and (c) are needed.
    Completed(Option<Timestamp>),
}

impl Told {
    fn completed(&self) -> Option<Timestamp> {
        match self {
            Self::Nothing => None,
            Self::Enough(completed) | Self::Doubtful(completed) => Some(*completed),
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
        self.parts()?;
        let metadata = self.metadata_time(site)?;
        let told = self.told(site, metadata)?;
        self.metadata_is_whole(&told)?;
        if let Some(sql) = evidence.part(PartKind::Sql) {
            self.same_run(sql, metadata, &told)?;
        }
        self.untouched(&told)?;
        let (completed, by) = match told {
            Told::Enough(completed) => {
                self.watched()?;
                (completed, By::Log)
            }
            Told::Doubtful(_) | Told::Completed(_) | Told::Nothing => {
                self.say("the metadata is newer than every file of the backup");
                self.watched()?;
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

    /// Damage in the log behind the last message of the site.
    fn damage(&self) -> Option<Damage> {
        match &self.evidence.log {
            LogEvidence::Read { runs, .. } => runs.damage(self.evidence.site),
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

    /// Is everything there that a backup of a site has? What is a link is missing from the archive, and reported there.
    fn parts(&mut self) -> Result<(), State> {
        let Some(site) = self.evidence.part(PartKind::Site) else { return Ok(()) };
        let there = |part: &PartEvidence, folder| part.folders.contains(&folder) || part.linked.contains(&folder);
        if !there(site, KnownFolder::SiteServer) {
            let reason = format!("the files of the site server (SiteServer) are not in {}", site.path.display());
            return Err(self.no(State::Incomplete, reason));
        }
        let part = self.evidence.part(PartKind::Sql).unwrap_or(site);
        if part.linked.contains(&KnownFolder::SiteDbServer) {
            return Ok(());
        }
        if part.databases.is_empty() {
            let hint = match part.kind {
                PartKind::Site => ": if the task writes it on the database server, set snapshot.sql-path",
                _ => "",
            };
            let reason = format!("no database file (.mdf) in SiteDBServer in {}{hint}", part.path.display());
            return Err(self.no(State::Incomplete, reason));
        }
        // What 2007 wrote is a dump.
        let needs_log = part.databases.iter().any(|(name, _)| !super::super::has_extension(name, "dat"));
        if needs_log && part.database_logs.is_empty() {
            let reason = format!("no transaction log (.ldf) in SiteDBServer in {}", part.path.display());
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

    /// An empty file may be one that is about to be written. Where the log says that the backup was completed, it is
    /// worth archiving all the same.
    fn metadata_is_whole(&mut self, told: &Told) -> Result<(), State> {
        for part in &self.evidence.parts {
            let Some(fault) = &part.metadata_fault else { continue };
            let reason = format!("{} in {} {fault}", part.metadata_name(), part.path.display());
            match told {
                Told::Enough(_) | Told::Doubtful(_) => self.faults.push(reason),
                Told::Completed(_) | Told::Nothing => return Err(self.no(State::Incomplete, reason)),
            }
        }
        Ok(())
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
            if let LogEvidence::Read { runs, path, .. } = &self.evidence.log
                && let Some(damage) = runs.damage(self.evidence.site)
            {
                let reason = format!("the log {} is damaged ({damage}): a backup may have begun", path.display());
                self.watch.get_or_insert(reason);
            }
            return Ok(Told::Nothing);
        };
        let which = if copy { "the log in the snapshot" } else { "the log" };
        let damage = self.damage().map(|damage| {
            format!("{which} is damaged behind its last message ({damage}): another backup may have begun")
        });
        self.watch = self.watch.take().or_else(|| damage.clone());
        let Outcome::Completed { at } = run.outcome else {
            self.say(format!("{which} was copied before the backup ended"));
            return Ok(Told::Nothing);
        };
        let Some(completed) = at else {
            self.say(format!("{which} says that the backup was completed, but not when"));
            return Ok(Told::Completed(None));
        };
        if metadata.duration_since(completed) > SKEW {
            let reason = format!(
                "{which} ends with a backup completed at {completed}, but BackupDocument.xml is of {metadata}: \
                 it does not tell of this snapshot"
            );
            if !copy {
                self.faults.push(reason.clone());
            }
            self.say(reason);
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
        if let Some(reason) = damage {
            self.doubts.push(reason.clone());
            self.say(reason);
            return Ok(Told::Doubtful(completed));
        }
        let since = |time: Timestamp| time.duration_since(completed);
        if copy {
            let untouched = self.evidence.newest_change().is_none_or(|change| since(change) <= COPY_SLACK);
            if untouched {
                return Ok(Told::Enough(completed));
            }
            self.say("that log does not go on after it, and something changed since");
            return Ok(Told::Completed(at));
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

    /// (b), and what came, went or changed since.
    fn untouched(&mut self, told: &Told) -> Result<(), State> {
        let evidence = self.evidence;
        for part in &evidence.parts {
            self.data_untouched(part, told)?;
            self.nothing_removed(part)?;
        }
        Ok(())
    }

    fn data_untouched(&mut self, part: &PartEvidence, told: &Told) -> Result<(), State> {
        let metadata = self.metadata_time(part)?;
        if part.newest_data.is_none() {
            return Err(self.no(State::Incomplete, format!("{} holds no files of a backup", part.path.display())));
        }
        // The files keep the times of the site's clock, the metadata has that of the disk's server.
        let slow = match told {
            Told::Enough(completed) => completed.max(&metadata).checked_add(SKEW).ok(),
            _ => None,
        };
        for file in &part.newer_data {
            let NewestFile { name, modified } = file;
            if self.look.is_future(*modified) {
                self.odd(file, "is dated");
            } else if slow.is_some_and(|slow| *modified <= slow || self.clock_was_set()) {
                let reason = format!("{name} of {modified} is newer than {} of {metadata}", part.metadata_name());
                self.watch.get_or_insert(reason);
            } else {
                let reason = format!(
                    "{name} of {modified} is newer than {} of {metadata}, which is written last",
                    part.metadata_name()
                );
                return Err(self.no(State::Incomplete, reason));
            }
        }
        Ok(())
    }

    /// Was the clock of the site set during the run? Then its times say little.
    fn clock_was_set(&self) -> bool {
        let Some(run) = self.last_run() else { return false };
        let Outcome::Completed { at: Some(completed) } = run.outcome else { return false };
        let before = [run.started_at(), run.snapshot_done.and_then(|seen| seen.at)];
        before.into_iter().flatten().any(|at| at > completed)
    }

    /// A run that died while it cleaned leaves files that are all old, but not the folders they were taken from. Where
    /// every folder is newer, the snapshot was copied here, and only what happened after the last file came tells.
    fn nothing_removed(&mut self, part: &PartEvidence) -> Result<(), State> {
        let metadata = self.metadata_time(part)?;
        let after = |time: Timestamp, of: Timestamp| time.duration_since(of) > COPY_SLACK;
        let arrived_later = part.metadata_arrived.is_none_or(|arrived| after(arrived, metadata));
        let all_newer = part.oldest_folder.is_some_and(|oldest| oldest.duration_since(metadata) > FOLDER_SLACK);
        let limit = (all_newer && arrived_later).then_some(part.last_arrival);
        for folder in &part.newer_folders {
            let tells = match limit {
                Some(last_arrival) => last_arrival.is_some_and(|last| after(folder.modified, last)),
                None => true,
            };
            let NewestFile { name, modified } = folder;
            if self.look.is_future(*modified) {
                self.odd(folder, "is dated");
            } else if tells && self.clock_was_set() {
                self.watch.get_or_insert(format!("files came or went in {name} at {modified}"));
            } else if tells {
                let name = if name.is_empty() { part.path.display().to_string() } else { name.clone() };
                let reason = format!(
                    "files came or went in {name} at {modified}, after {} was written: did the backup task die while \
                     it cleaned?",
                    part.metadata_name()
                );
                return Err(self.no(State::Incomplete, reason));
            }
        }
        Ok(())
    }

    fn odd(&mut self, file: &NewestFile, what: &str) {
        let NewestFile { name, modified } = file;
        self.watch.get_or_insert_with(|| format!("{name} {what} {modified}, which is in the future"));
        self.odd.push(file.clone());
    }

    /// What is dated in the future, in words: by name, as far as there are few.
    fn dated_in_the_future(&self) -> Vec<String> {
        const NAMED: usize = 5;
        let named = self.odd.iter().take(NAMED).map(|NewestFile { name, modified }| {
            format!("{name} is dated {modified}, in the future: a clock was wrong when it was written")
        });
        let more = self.odd.len().saturating_sub(NAMED);
        named.chain((more > 0).then(|| format!("{more} more are dated in the future"))).collect()
    }

    /// Where times are not enough: nothing may change while it is watched.
    fn watched(&mut self) -> Result<(), State> {
        let Some(why) = self.watch.take() else { return Ok(()) };
        match self.look.watched() {
            Ok(reason) => {
                self.say(reason);
                Ok(())
            }
            Err(reason) => Err(self.no(State::Incomplete, format!("{why}; {reason}"))),
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

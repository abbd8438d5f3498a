//! The first step: what a snapshot is at the moment, for a run and, as gently, for people who ask.
//!
//! No look may be what makes the backup task fail. While the log says that the task is at work, its folder is left
//! alone; otherwise every look is under guard, and ends when the task begins.

use std::collections::BTreeSet;

use jiff::Timestamp;

use super::context::Context;
use super::error::RunError;
use super::job::{Halt, Job};
use super::outcome::SiteResult;
use super::sentinel::{Guard, guarded};
use crate::monitor::{Event, EventKind};
use crate::name::{ArchiveId, SiteCode};
use crate::source::complete::{self, By, Completion, State};
use crate::source::walk::compare;
use crate::source::{self, ConfiguredLog, Gathered, KnownFolder, PartEvidence, PartKind};
use crate::units;

/// A completed snapshot.
pub(super) struct Inspected {
    /// What was seen of it.
    pub(super) gathered: Gathered,
    /// Why it is complete.
    pub(super) completion: Completion,
    /// When it was completed.
    pub(super) completed: Timestamp,
    /// By which evidence.
    pub(super) by: By,
}

impl Inspected {
    /// The folders of the backup task that the archive will have.
    pub(super) fn folders(&self) -> BTreeSet<KnownFolder> {
        self.gathered.evidence.parts.iter().flat_map(|part| part.folders.iter().copied()).collect()
    }

    /// Those that it should have, and are links.
    pub(super) fn linked(&self) -> BTreeSet<KnownFolder> {
        let linked = self.gathered.evidence.parts.iter().flat_map(|part| part.linked.iter().copied());
        linked.filter(|folder| !self.folders().contains(folder)).collect()
    }

    /// Those that it should have and does not: a configured CD.Latest may be empty or not be there, too.
    pub(super) fn missing(&self) -> BTreeSet<KnownFolder> {
        let empty = |part: &PartEvidence| part.kind == PartKind::CdLatest && part.data_files == 0;
        let setup = self.gathered.evidence.parts.iter().any(empty).then_some(KnownFolder::CdLatest);
        self.linked().into_iter().chain(setup).collect()
    }
}

/// Looks at a snapshot until it is complete or known not to be.
pub(super) fn inspect(job: Job<'_>, log: &mut ConfiguredLog) -> Result<Inspected, Halt> {
    // Before a single folder is opened: while the task is at work its snapshot is left alone.
    if let Some(reason) = log.read().at_work(Some(job.snapshot.site)) {
        return Err(Halt::As(SiteResult::NotComplete { reasons: vec![reason] }));
    }
    let (gathered, completion) = settle(job, log)?;
    // Whoever is asked to stop while waiting has not learned that the snapshot is incomplete.
    if job.context.cancel.is_cancelled() {
        return Err(RunError::Cancelled.into());
    }
    match completion.state {
        State::Complete { completed, by } => Ok(Inspected { gathered, completion, completed, by }),
        _ => Err(Halt::As(SiteResult::NotComplete { reasons: completion.reasons })),
    }
}

/// Waits for the quiet period where only that can tell.
fn settle(job: Job<'_>, log: &mut ConfiguredLog) -> Result<(Gathered, Completion), source::Error> {
    let context = job.context;
    let quiet = context.config.snapshot.quiet;
    let mut look = || source::gather(job.snapshot, log.read(), context.cancel);
    let mut gathered = look()?;
    let mut completion = complete::decide(&gathered.evidence, quiet, context.clock.now());
    if completion.state == State::Incomplete && !quiet.is_zero() {
        // Only time can tell: complete if nothing changes for as long as configured.
        gathered.evidence.unchanged_for = Some(quiet);
        let after_quiet = complete::decide(&gathered.evidence, quiet, context.clock.now());
        if after_quiet.completed().is_some() {
            let shown = units::format_duration(quiet);
            let why = completion.reasons.join("; ");
            let message = format!("Checking for {shown} that nothing changes: {why}");
            context.tell(&Event::new(EventKind::Waiting, message));
            if !context.clock.wait(quiet, context.cancel) {
                let mut again = look()?;
                let same = gathered.walks.iter().zip(&again.walks).all(|(old, new)| compare(old, new).is_empty());
                again.evidence.unchanged_for = same.then_some(quiet);
                completion = complete::decide(&again.evidence, quiet, context.clock.now());
                gathered = again;
            }
        }
    }
    Ok((gathered, completion))
}

/// What was seen of a snapshot by somebody who only asks.
#[derive(Debug)]
pub enum Look {
    /// It was looked at.
    Decided {
        /// The site.
        site: SiteCode,
        /// The decision.
        completion: Completion,
    },
    /// There is none, or it was left alone, or could not be read.
    Nothing {
        /// Why.
        reason: String,
    },
}

/// Looks at all snapshots that the configuration names.
#[must_use]
pub fn look(context: &Context<'_>) -> Vec<Look> {
    let config = &context.config.snapshot;
    let nothing = |reason: String| Look::Nothing { reason };
    let mut configured = ConfiguredLog::new(config);
    let log = configured.read();
    if let Some(reason) = log.at_work(None) {
        return vec![nothing(format!("not read: {reason}"))];
    }
    let found = match source::discover(config, context.clock.now()) {
        Ok(found) => found,
        Err(error) => return vec![nothing(crate::error::chain(&error))],
    };
    let unfinished = found.unfinished.iter().map(|one| nothing(format!("{}: {}", one.path.display(), one.why)));
    let decided = found.snapshots.iter().map(|snapshot| {
        let site = snapshot.site;
        let look = |guard: &Guard| match source::gather(snapshot, log.clone(), guard.let_go()) {
            Ok(gathered) => {
                let completion = complete::decide(&gathered.evidence, config.quiet, context.clock.now());
                Look::Decided { site, completion }
            }
            Err(error) => nothing(guard.reason().unwrap_or_else(|| crate::error::chain(&error))),
        };
        guarded(context, snapshot, configured.clone(), look)
    });
    unfinished.chain(decided).collect()
}

/// The archives that the completed snapshots of the configuration have or will get, as far as one look can tell.
///
/// # Errors
/// When they cannot be looked at.
pub fn completed(context: &Context<'_>) -> Result<Vec<ArchiveId>, source::Error> {
    let config = &context.config.snapshot;
    let mut ids = Vec::new();
    let mut configured = ConfiguredLog::new(config);
    let log = configured.read();
    if log.at_work(None).is_some() {
        return Ok(ids);
    }
    for snapshot in source::discover(config, context.clock.now())?.snapshots {
        let look = |guard: &Guard| source::gather(&snapshot, log.clone(), guard.let_go());
        let gathered = guarded(context, &snapshot, configured.clone(), look)?;
        let completion = complete::decide(&gathered.evidence, config.quiet, context.clock.now());
        ids.extend(
            completion
                .completed()
                .map(|completed| ArchiveId::of_series(snapshot.site, config.kind.series(), completed)),
        );
    }
    Ok(ids)
}

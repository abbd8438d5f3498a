//! One run: find the snapshot, archive it to every destination, prune.
//!
//! What must happen in which order is in FORMAT.md, section 2. Nothing becomes visible before the snapshot was looked
//! at a second time and found unchanged; no failure of one destination keeps the archive from the others. From the
//! first look to the second a `guard` makes us let go when the backup task begins again.

use super::attempt::Attempt;
use super::context::Context;
use super::error::RunError;
use super::naming::{known_as, newest_holding};
use super::outcome::{Outcome, SiteOutcome, SiteResult};
use super::sentinel::{Guard, guarded};
use super::{prune, regression as worsened};
use crate::catalog;
use crate::error::chain;
use crate::monitor::{Event, EventKind};
use crate::name::ArchiveId;
use crate::source::complete::{self, Completion, State};
use crate::source::walk::compare;
use crate::source::{self, Gathered, KnownFolder, PartKind, Snapshot, Unfinished};
use crate::units;

/// Archives every completed snapshot that the configuration names, and prunes.
///
/// # Errors
/// When no snapshot can be looked for at all. What happens to each site is an outcome.
pub fn run(context: &Context<'_>) -> Result<Outcome, RunError> {
    let found = match source::discover(&context.config.snapshot, context.clock.now()) {
        Ok(found) => found,
        Err(error) if error.is_no_snapshot() => {
            let nothing = SiteOutcome::new(None, SiteResult::NotComplete { reasons: vec![error.reason()] });
            nothing.tell(context.monitor);
            return Ok(Outcome { sites: vec![nothing] });
        }
        Err(error) => return Err(error.into()),
    };
    let mut outcome = Outcome::default();
    for Unfinished { path, why } in &found.unfinished {
        let reasons = vec![format!("{}: {why}", path.display())];
        let unfinished = SiteOutcome::new(None, SiteResult::NotComplete { reasons });
        unfinished.tell(context.monitor);
        outcome.sites.push(unfinished);
    }
    for snapshot in &found.snapshots {
        if context.cancel.is_cancelled() {
            return Err(RunError::Cancelled);
        }
        let attempt = || guarded(context, snapshot, |guard| site_under_guard(context, snapshot, guard));
        let site = match attempt() {
            // Room for a new archive is what retention is for, also where it is found only now that there is none.
            Ok(first) if prune::make_room(context, &first) => first.then(attempt()),
            site => site,
        };
        let site = match site {
            Ok(site) => site,
            // These concern all sites alike.
            Err(error @ (RunError::Cancelled | RunError::Recipient(_))) => return Err(error),
            // What is wrong with one snapshot must not cost the others their archive.
            Err(error) => {
                let failed = SiteResult::Failed { reason: chain(&error) };
                let hint = error.is_denied().then(RunError::denied_hint);
                SiteOutcome { hint, ..SiteOutcome::new(Some(snapshot.site), failed) }
            }
        };
        // What came to an archive has been told before it was pruned.
        if site.archive.is_none() {
            site.tell(context.monitor);
        }
        outcome.sites.push(site);
    }
    Ok(outcome)
}

/// The archives that the completed snapshots of the configuration have or will get, as far as one look can tell.
///
/// # Errors
/// When they cannot be looked at.
pub fn completed(context: &Context<'_>) -> Result<Vec<ArchiveId>, source::Error> {
    let config = &context.config.snapshot;
    let mut ids = Vec::new();
    let log = source::read_log(config);
    if log.at_work(None).is_some() {
        return Ok(ids);
    }
    for snapshot in source::discover(config, context.clock.now())?.snapshots {
        let gathered = guarded(context, &snapshot, |guard| source::gather(&snapshot, log.clone(), guard.let_go()))?;
        let completion = complete::decide(&gathered.evidence, config.quiet, context.clock.now());
        ids.extend(
            completion
                .completed()
                .map(|completed| ArchiveId::of_series(snapshot.site, config.kind.series(), completed)),
        );
    }
    Ok(ids)
}

/// Ends early, and without a trace, when the backup task begins again.
fn site_under_guard(context: &Context<'_>, snapshot: &Snapshot, guard: &Guard) -> Result<SiteOutcome, RunError> {
    let outcome = site(&Context { cancel: guard.let_go(), ..*context }, snapshot, guard);
    match (outcome, guard.reason()) {
        (Err(RunError::Cancelled), Some(reason)) if !context.cancel.is_cancelled() => {
            Ok(SiteOutcome::new(Some(snapshot.site), SiteResult::NotComplete { reasons: vec![reason] }))
        }
        (outcome, _) => outcome,
    }
}

fn site(context: &Context<'_>, snapshot: &Snapshot, guard: &Guard) -> Result<SiteOutcome, RunError> {
    let site = Some(snapshot.site);
    // Before a single folder is opened: while the task is at work its snapshot is left alone.
    if let Some(reason) = source::read_log(&context.config.snapshot).at_work(site) {
        return Ok(SiteOutcome::new(site, SiteResult::NotComplete { reasons: vec![reason] }));
    }
    let (gathered, completion) = match settle(context, snapshot) {
        Ok(settled) => settled,
        Err(source::Error::Walk(error)) if error.is_cancelled() => return Err(RunError::Cancelled),
        Err(error) if error.is_no_snapshot() => {
            return Ok(SiteOutcome::new(site, SiteResult::NotComplete { reasons: vec![error.reason()] }));
        }
        Err(error) => return Err(error.into()),
    };
    // Whoever is asked to stop while waiting has not learned that the snapshot is incomplete.
    if context.cancel.is_cancelled() {
        return Err(RunError::Cancelled);
    }
    let State::Complete { completed, by } = completion.state else {
        return Ok(SiteOutcome::new(site, SiteResult::NotComplete { reasons: completion.reasons }));
    };
    let id = ArchiveId::of_series(snapshot.site, context.config.snapshot.kind.series(), completed);
    if let Some(reason) = lost_setup(context, &gathered, &id) {
        return Ok(SiteOutcome::new(site, SiteResult::NotComplete { reasons: vec![reason] }));
    }
    let id = known_as(context, snapshot, &gathered, &id).unwrap_or(id);
    let attempt = Attempt { context, snapshot, completion: &completion, id: &id, by, guard };
    let mut outcome = attempt.archive(&gathered)?;
    let held = catalog::read_all(context.targets, Some(snapshot.site));
    worsened::tell(context, &held, &mut outcome);
    prune::after_run(context, &held, &mut outcome);
    Ok(outcome)
}

/// Older versions of the site had no CD.Latest. One whose newest archive has it has lost it: no site is recovered
/// without.
fn lost_setup(context: &Context<'_>, gathered: &Gathered, id: &ArchiveId) -> Option<String> {
    let site = gathered.evidence.part(PartKind::Site)?;
    let setup = KnownFolder::CdLatest;
    if site.folders.contains(&setup) || site.linked.contains(&setup) || context.config.snapshot.without_cd_latest {
        return None;
    }
    let holder = newest_holding(context, id, setup)?;
    Some(format!(
        "CD.Latest is missing in {}, and {holder} has it: did the backup task die while it cleaned? (If the site has none \
         any more, write without-cd-latest = true into [snapshot])",
        site.path.display()
    ))
}

/// Looks at a snapshot until it is complete or known not to be. Waits for the quiet period where only that can tell.
fn settle(context: &Context<'_>, snapshot: &Snapshot) -> Result<(Gathered, Completion), source::Error> {
    let quiet = context.config.snapshot.quiet;
    let look = || source::gather(snapshot, source::read_log(&context.config.snapshot), context.cancel);
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

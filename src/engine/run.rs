//! One run: find the snapshot, archive it to every destination, prune.
//!
//! What must happen in which order is in FORMAT.md, section 2. Nothing becomes visible before the snapshot was looked
//! at a second time and found unchanged; no failure of one destination keeps the archive from the others. From the
//! first look to the second a `guard` makes us let go when the backup task begins again.

use super::commit::{commit, nothing_to_write};
use super::confirm::confirm;
use super::contents::commands;
use super::context::Context;
use super::error::RunError;
use super::inspect::inspect;
use super::job::{Dropped, Halt, Job};
use super::outcome::{Outcome, SiteOutcome, SiteResult};
use super::plan::{Plan, plan};
use super::sentinel::guarded;
use super::write::{LeftOut, write};
use super::{prune, regression};
use crate::catalog::{self, Inventory};
use crate::error::chain;
use crate::source::{self, ConfiguredLog, Snapshot, Unfinished};

/// Archives every completed snapshot that the configuration names, and prunes.
///
/// # Errors
/// When no snapshot can be looked for at all. What happens to each site is an outcome.
pub fn run(context: &Context<'_>) -> Result<Outcome, RunError> {
    let mut log = ConfiguredLog::new(&context.config.snapshot);
    log.poll();
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
        let mut attempt = || site(context, snapshot, &mut log);
        let result = match attempt() {
            // Room for a new archive is what retention is for, also where it is found only now that there is none.
            Ok(first) if prune::make_room(context, &first) => first.then(attempt()),
            result => result,
        };
        let of_site = match result {
            Ok(of_site) => of_site,
            // These concern all sites alike.
            Err(error @ (RunError::Cancelled | RunError::Recipient(_))) => return Err(error),
            // What is wrong with one snapshot must not cost the others their archive.
            Err(error) => {
                let failed = SiteResult::Failed { reason: chain(&error) };
                let hint = error.is_denied().then(RunError::denied_hint);
                let failed = SiteOutcome { hint, ..SiteOutcome::new(Some(snapshot.site), failed) };
                failed.tell(context.monitor);
                failed
            }
        };
        outcome.sites.push(of_site);
    }
    Ok(outcome)
}

/// What becomes of a snapshot. Ends early, and without a trace, when the backup task begins again.
fn site(context: &Context<'_>, snapshot: &Snapshot, log: &mut ConfiguredLog) -> Result<SiteOutcome, RunError> {
    guarded(context, snapshot, log.clone(), |guard| {
        let under_guard = Context { cancel: guard.let_go(), ..*context };
        let job = Job { context: &under_guard, snapshot, guard };
        let mut outcome = SiteOutcome::new(Some(snapshot.site), SiteResult::AlreadyArchived);
        let mut held = Vec::new();
        let written = archive(job, log, &mut held, &mut outcome);
        let stale = !matches!(written, Ok(false));
        match (written, guard.reason()) {
            (Ok(_), _) => {}
            (Err(Halt::As(result)), _) => outcome.end(result),
            (Err(Halt::Error(RunError::Cancelled)), Some(reason)) if !context.cancel.is_cancelled() => {
                outcome.end(match outcome.archive {
                    Some(_) => SiteResult::Changed { changes: vec![reason] },
                    None => SiteResult::NotComplete { reasons: vec![reason] },
                });
            }
            (Err(Halt::Error(error)), _) => return Err(error),
        }
        outcome.tell(context.monitor);
        if stale && outcome.is_safe() {
            // Hours may have passed since the destinations were listed.
            held = catalog::read_again(&held, snapshot.site);
        }
        regression::tell(&under_guard, &held, &mut outcome);
        prune::after_run(&under_guard, &held, &mut outcome);
        Ok(outcome)
    })
}

/// The way of one snapshot, as in FORMAT.md, section 2: each step takes what those before it gave. `held` is what the
/// destinations held before. Was anything written since?
fn archive<'a>(
    job: Job<'a>,
    log: &mut ConfiguredLog,
    held: &mut Vec<Inventory<'a>>,
    outcome: &mut SiteOutcome,
) -> Result<bool, Halt> {
    let inspected = inspect(job, log)?;
    *held = catalog::read_all(job.context.targets, Some(job.snapshot.site));
    let mut plan = plan(job, &inspected, held, outcome)?;
    if plan.lanes.is_empty() {
        // Nothing is read, so nobody is in the way.
        job.guard.release();
        return nothing_to_write(plan, outcome).map(|()| false);
    }
    let mut left_out = LeftOut::default();
    let confirmed = commands::before(job.context).map_err(Halt::from).and_then(|faults| {
        plan.faults = faults;
        loop {
            let written = write(job, &inspected, &plan, &left_out, outcome);
            match written.and_then(|uploaded| confirm(job, &inspected, uploaded, log)) {
                Ok(confirmed) => return Ok(confirmed),
                Err(Dropped::Without(files)) => left_out.add(files)?,
                Err(Dropped::Full(because)) => full_after_all(&mut plan, because),
                Err(Dropped::Halt(halt)) => return Err(halt),
            }
        }
    });
    let ended = confirmed.and_then(|confirmed| commit(job, &inspected, &plan, held, confirmed, outcome));
    // Whatever came of it; and the archive is visible before anything that may take long.
    outcome.shortcomings.extend(commands::after(job.context));
    ended.map(|()| true)
}

/// A night without an archive is worse than a large one. That an older one cannot be read is told at the end, too.
fn full_after_all(plan: &mut Plan, because: String) {
    plan.faults.push(format!(
        "{} is made a full archive: {because} (hint: 'afterbackup verify' says what is damaged)",
        plan.id
    ));
    plan.build_on_nothing(because);
}

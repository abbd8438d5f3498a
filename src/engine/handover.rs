//! Whose turn it is: one-shots and the resident watcher share a snapshot, and one run at a time.
//!
//! AfterBackup.bat starts a one-shot at the moment at which the watcher notices the completion, too. Whoever takes the
//! lock first archives. A one-shot that finds the watcher at work waits, and reports what came of it as if it had done
//! it itself. One that meets another command, such as a prune, waits and then runs. One that may not wait leaves a
//! request that the watcher finds, and ends.
//!
//! While the lock is held, a file beside it says by whom, and afterwards, the [state file](crate::engine::state) says
//! how it ended.

use std::fs;
use std::io;
use std::time::Duration;

use super::context::Context;
use super::error::RunError;
use super::outcome::{Outcome, SiteResult};
use super::{inspect, run};
use crate::engine::state::{By, Ended, LastRun, State, StateFile};
use crate::monitor::{Event, EventKind};
use crate::platform::lock::{Holder, LockError, RunLock, wake_file, watcher_lock};
use crate::platform::private;

/// Between two tries to get the lock.
const LOOK: Duration = Duration::from_millis(250);

/// What a one-shot has to do.
#[derive(Debug)]
pub enum Turn {
    /// Archive: the lock is its own.
    Ours(RunLock),
    /// Report: the watcher has just archived this very snapshot.
    Told(Vec<LastRun>),
}

/// Takes the lock. Waits for the watcher if that has it, however long it takes, and for any other command for as long
/// as configured: a night without an archive is worse than a late one.
///
/// # Errors
/// When another command still has the lock, it cannot be taken, or when cancelled.
pub fn take(context: &Context<'_>) -> Result<Turn, TurnError> {
    wait_for_turn(context, context.config.wait)
}

/// The same, without waiting for others than the watcher.
///
/// # Errors
/// As for [`take`].
pub fn take_now(context: &Context<'_>) -> Result<Turn, TurnError> {
    wait_for_turn(context, Duration::ZERO)
}

fn wait_for_turn(context: &Context<'_>, patience: Duration) -> Result<Turn, TurnError> {
    let path = &context.config.lock_file;
    let try_once = || RunLock::take_as(path, &Holder::this_process("run", context.clock.now()));
    let is_watcher = |holder: &Option<Box<Holder>>| holder.as_ref().is_some_and(|holder| holder.command == "watch");
    let mut waited = Duration::ZERO;
    let mut told = None;
    let mut work = None;
    let lock = loop {
        let holder = match try_once() {
            Ok(lock) => break lock,
            Err(LockError::Busy { holder, .. }) if is_watcher(&holder) || waited < patience => holder,
            Err(error) => return Err(error.into()),
        };
        // Others may come in between.
        if told.as_ref() != Some(&holder) {
            let message = match &holder {
                Some(holder) if holder.command == "watch" => {
                    format!("The watcher is at work (PID {}): waiting for its result", holder.pid)
                }
                Some(holder) => format!("{holder} holds the lock: waiting until it ends"),
                None => format!("Another command holds the lock {}: waiting until it ends", path.display()),
            };
            context.tell(&Event::new(EventKind::Waiting, message));
            told = Some(holder.clone());
        }
        work = holder.filter(|holder| holder.command == "watch").or(work);
        if context.clock.wait(LOOK, context.cancel) {
            return Err(TurnError::Cancelled);
        }
        waited = waited.saturating_add(LOOK);
    };
    let Some(work) = work else { return Ok(Turn::Ours(lock)) };
    // What is not known is no result: then the run is ours.
    let done: Vec<LastRun> =
        StateFile::of(context.config).read().map(|state| state.sites.into_values().collect()).unwrap_or_default();
    let done = done.into_iter().filter(|last| last.by == By::Watch && last.finished >= work.since);
    let done: Vec<LastRun> = done.collect();
    // What cannot be looked at is for the run to report.
    let ids = inspect::completed(context).unwrap_or_default();
    // Without any, the task has begun again since: what the watcher did is all there is to tell.
    let told = ids.iter().all(|id| done.iter().any(|last| last.archive.as_ref() == Some(id)));
    Ok(if told && !done.is_empty() { Turn::Told(done) } else { Turn::Ours(lock) })
}

/// Asks the resident watcher to look now. `false` if there is none.
///
/// # Errors
/// When it cannot be told whether there is one, or it cannot be asked.
pub fn hand_over(context: &Context<'_>) -> Result<bool, TurnError> {
    let lock_file = &context.config.lock_file;
    match RunLock::take(&watcher_lock(lock_file)) {
        Ok(_) => Ok(false),
        Err(LockError::Busy { .. }) => match private::create_new(&wake_file(lock_file)) {
            Ok(_) => Ok(true),
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(true),
            Err(error) => Err(TurnError::HandOver(error)),
        },
        Err(error) => Err(error.into()),
    }
}

/// Forgets a request that was made of a watcher that is no more.
pub fn forget_request(context: &Context<'_>) {
    // What cannot be removed only causes a look.
    fs::remove_file(wake_file(&context.config.lock_file)).ok();
}

/// Notes what runs do, for those who ask later.
#[derive(Debug, Clone)]
pub struct Working {
    file: StateFile,
    by: By,
}

impl Working {
    /// For whoever has just taken the lock.
    #[must_use]
    pub fn begin(context: &Context<'_>, by: By, _lock: &RunLock) -> Self {
        Self { file: StateFile::of(context.config), by }
    }

    fn note(&self, change: impl FnOnce(&mut State)) {
        note(&self.file, change);
    }
}

fn note(file: &StateFile, change: impl FnOnce(&mut State)) {
    if let Err(error) = file.update(change) {
        // Archives do not depend on it.
        tracing::warn!(path = %file.path().display(), %error, "Could not note what the run did");
    }
}

/// Notes how a run ended, whatever it came to, also where it did not begin.
pub fn note_end(context: &Context<'_>, by: By, exit_code: u8, problems: Vec<String>) {
    let ended = Ended { by, finished: context.clock.now(), exit_code, problems };
    note(&StateFile::of(context.config), |state| state.last_run = Some(ended));
}

/// A [run](run::run) that is remembered.
///
/// # Errors
/// Those of the run.
pub fn run_noted(context: &Context<'_>, working: &Working) -> Result<Outcome, RunError> {
    let result = run::run(context);
    let finished = context.clock.now();
    working.note(|state| {
        for outcome in result.iter().flat_map(|outcome| &outcome.sites) {
            // Nothing came of the others: what came of the run before is still the last that did.
            let ended = !matches!(outcome.result, SiteResult::NotComplete { .. } | SiteResult::Changed { .. });
            if let Some(site) = outcome.site.filter(|_| ended) {
                state.sites.insert(site, LastRun::new(outcome, working.by, finished, outcome.severity().exit_code()));
            }
        }
    });
    result
}

/// Why it is nobody's turn.
#[derive(Debug, thiserror::Error)]
pub enum TurnError {
    /// The lock.
    #[error(transparent)]
    Lock(#[from] LockError),
    /// The watcher cannot be asked.
    #[error("cannot hand over to the watcher")]
    HandOver(#[source] io::Error),
    /// Asked to stop while waiting.
    #[error("cancelled")]
    Cancelled,
}

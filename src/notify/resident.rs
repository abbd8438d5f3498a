//! What the resident watcher tells of: its attempts, and every hour how backups stand.

use std::time::Duration;

use super::hooks::Moment;
use super::{CANCELLED, FAILED, Reporter, news};
use crate::engine::error::RunError;
use crate::engine::outcome::Outcome;
use crate::health::Reminder;
use crate::platform::lock;
use crate::severity::Severity;

/// After the start. The first step may be about to make the archive that is missing.
const AT_START: Duration = Duration::from_secs(30);
/// While a run is at work: so may that be.
const SOON: Duration = Duration::from_mins(5);
/// Between two looks how backups stand.
const EVERY: Duration = Duration::from_hours(1);
/// A run that takes longer than this is nothing to wait for.
const LONGEST_RUN: Duration = Duration::from_hours(12);

impl Reporter<'_> {
    /// An attempt ended. That there was no completed snapshot, or that it changed, is no failed run here: another
    /// attempt follows, and if nothing ever comes of them, backups are overdue.
    pub fn attempted(&self, result: Result<&Outcome, &RunError>) {
        let exit_code = match result {
            Ok(outcome) if outcome.severity() == Severity::NoSnapshot => {
                let exit_code = Severity::NoSnapshot.exit_code();
                return self.tell(&self.hooks(Moment::Finally, &news(result, exit_code)));
            }
            Ok(outcome) => outcome.severity().exit_code(),
            Err(RunError::Cancelled) => CANCELLED,
            Err(_) => FAILED,
        };
        // It has been told.
        self.ended(result, exit_code).ok();
    }

    /// Checks every hour until somebody asks to stop.
    pub fn keep_checking(&self) {
        let context = &self.context;
        let mut reminder = Reminder::default();
        let (mut wait, mut postponed) = (AT_START, Duration::ZERO);
        while !context.clock.wait(wait, context.cancel) {
            if postponed < LONGEST_RUN && lock::is_held(&context.config.lock_file) {
                postponed += SOON;
                wait = SOON;
                continue;
            }
            (wait, postponed) = (EVERY, Duration::ZERO);
            self.check(&mut reminder);
        }
    }
}

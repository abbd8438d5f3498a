//! Is a snapshot complete? A pure decision over evidence, with its reasons in words.
//!
//! What may be archived depends on what wrote it: the site's backup task leaves a log and metadata files (`site`),
//! SQL Server's own backups only their files (`backups`). Both decisions end in the same [`State`], so that whoever
//! runs or watches need not know which kind it is.

mod backups;
mod site;
#[cfg(test)]
mod tests;

use std::time::Duration;

use jiff::{SignedDuration, Timestamp};

use super::PartKind;
use super::evidence::Evidence;
use crate::units;

/// By how much the clocks of two servers may differ: file times come from the one with the disk, log times from the
/// site.
const SKEW: SignedDuration = SignedDuration::from_mins(5);

/// The decision.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Completion {
    /// What the snapshot is.
    pub state: State,
    /// Why, in words.
    pub reasons: Vec<String>,
    /// What is odd about a completed snapshot and somebody should look at, in words.
    pub warnings: Vec<String>,
    /// What should be there and is not, though an archive can be made without it, in words.
    pub faults: Vec<String>,
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
    /// SQL Server's backup files are all there, and the quiet period.
    BackupFiles,
}

/// Decides whether a snapshot is complete.
#[must_use]
pub fn decide(evidence: &Evidence, quiet: Duration, now: Timestamp) -> Completion {
    let look = Look { evidence, quiet, now };
    match evidence.part(PartKind::SqlBackups) {
        Some(part) => backups::decide(look, part),
        None => site::decide(look),
    }
}

/// What is decided on.
#[derive(Clone, Copy)]
struct Look<'a> {
    evidence: &'a Evidence,
    quiet: Duration,
    now: Timestamp,
}

impl Look<'_> {
    /// Has nothing changed for the quiet period? In words, either way.
    fn quiet(self) -> Result<String, (State, String)> {
        let quiet = SignedDuration::try_from(self.quiet).unwrap_or(SignedDuration::MAX);
        let shown = units::format_duration(self.quiet);
        let watched = self.watched();
        if watched.is_ok() {
            return watched.map_err(|reason| (State::Incomplete, reason));
        }
        let Some(change) = self.evidence.newest_change() else {
            return Err((State::Unknown, "when it was last changed is not known".to_owned()));
        };
        let ago = self.now.duration_since(change);
        if ago >= quiet {
            return Ok(format!("nothing has changed for {shown}"));
        }
        if self.is_future(change) {
            let reason = format!(
                "it was last changed at {change}, which is in the future: a clock was wrong, and it must be watched for {shown}"
            );
            return Err((State::Incomplete, reason));
        }
        Err((State::Incomplete, format!("it was last changed at {change}, and must be left alone for {shown}")))
    }

    /// Was it seen twice, with the quiet period between, and had not changed? In words, either way.
    fn watched(self) -> Result<String, String> {
        let shown = units::format_duration(self.quiet);
        if self.quiet.is_zero() || self.evidence.unchanged_for.is_some_and(|unchanged| unchanged >= self.quiet) {
            return Ok(format!("nothing has changed while it was watched for {shown}"));
        }
        Err(format!("it must be watched for {shown}"))
    }

    /// Later than any clock may be wrong.
    fn is_future(self, time: Timestamp) -> bool {
        self.now.checked_add(SKEW).is_ok_and(|limit| time > limit)
    }

    /// A completion that lies in the future, in words.
    fn in_the_future(self, completed: Timestamp) -> Option<String> {
        self.is_future(completed).then(|| format!("its completion time {completed} is in the future: a clock is wrong"))
    }
}

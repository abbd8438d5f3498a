//! What the watcher knows of one site, and what follows from what it sees. Time and sights come from outside.
//!
//! An attempt is made when the task's log says that a run was completed. Where no log can be read, it is made when the
//! marks of the snapshot have not changed for the quiet period; looking earlier would mean to walk through a folder
//! that the task may be cleaning. What was dealt with is left alone until something changes, except that an attempt
//! that did not get the archive everywhere is repeated at growing distances.

use std::time::Duration;

use jiff::Timestamp;

use crate::name::ArchiveId;
use crate::source::Marks;
use crate::source::task_log::{Outcome, Run};

/// Before the second attempt; then twice as long each time.
const FIRST_RETRY: Duration = Duration::from_mins(1);
/// The same after a change while it was read: the task may just have put the copy of its log there.
const FIRST_RETRY_DROPPED: Duration = Duration::from_secs(10);
/// Never longer than this.
const LAST_RETRY: Duration = Duration::from_hours(1);
/// While another run holds the lock.
const BUSY: Duration = Duration::from_secs(5);

/// What is to be seen of a site.
#[derive(Debug, Clone)]
pub(super) struct Sight {
    /// The last run that the task's log tells of; `None` where no log tells.
    pub(super) run: Option<Run>,
    /// The snapshot from outside.
    pub(super) marks: Marks,
}

/// What is compared between two sights. A run that is told more of stays the same run.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Key {
    run: Option<(Option<Timestamp>, Outcome)>,
    marks: Marks,
}

/// What to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Next {
    /// Nothing before something changes.
    Wait,
    /// Nothing before this much time has passed.
    WaitFor(Duration),
    /// Look at the snapshot, and archive it if it is complete.
    Attempt,
}

/// What came of an attempt.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Attempted {
    /// Every destination has the archive.
    Done,
    /// Not every destination has it, or none.
    Unfinished,
    /// Another run is at work.
    Busy,
    /// It changed while it was read; this would have been its archive.
    Dropped(ArchiveId),
}

/// What is known of a site.
#[derive(Debug, Default)]
pub(super) struct Memory {
    key: Option<Key>,
    unchanged_for: Duration,
    failures: u32,
    /// Time until the next attempt at what has not changed; `None` for never.
    retry_in: Option<Duration>,
    /// A snapshot known to be complete and on no destination yet.
    dropped: Option<(ArchiveId, Marks)>,
}

impl Memory {
    /// Takes notice of what is seen `elapsed` after the sight before.
    pub(super) fn see(&mut self, sight: &Sight, elapsed: Duration, quiet: Duration) -> Next {
        let run = sight.run.as_ref().map(|run| (run.started_at(), run.outcome));
        let key = Key { run, marks: sight.marks.clone() };
        if self.key.as_ref() == Some(&key) {
            self.unchanged_for = self.unchanged_for.saturating_add(elapsed);
            self.retry_in = self.retry_in.map(|left| left.saturating_sub(elapsed));
        } else {
            *self = Self {
                key: Some(key),
                retry_in: Some(Duration::ZERO),
                dropped: self.dropped.take(),
                ..Self::default()
            };
        }
        let Some(retry_in) = self.retry_in.filter(|_| sight.marks.may_be_complete()) else { return Next::Wait };
        let settled = match run.map(|(_, outcome)| outcome) {
            Some(Outcome::Completed { .. }) => Duration::ZERO,
            Some(_) => return Next::Wait,
            None => quiet.saturating_sub(self.unchanged_for),
        };
        match retry_in.max(settled) {
            Duration::ZERO => Next::Attempt,
            time => Next::WaitFor(time),
        }
    }

    /// Takes notice of what came of an attempt.
    pub(super) fn attempted(&mut self, attempted: Attempted) {
        self.retry_in = match attempted {
            Attempted::Done => None,
            Attempted::Busy => Some(BUSY),
            Attempted::Unfinished => Some(self.next_retry(FIRST_RETRY)),
            Attempted::Dropped(_) => Some(self.next_retry(FIRST_RETRY_DROPPED)),
        };
        match attempted {
            Attempted::Done => self.dropped = None,
            Attempted::Dropped(id) => self.dropped = self.key.as_ref().map(|key| (id, key.marks.clone())),
            Attempted::Busy | Attempted::Unfinished => {}
        }
    }

    fn next_retry(&mut self, first: Duration) -> Duration {
        let doublings = self.failures.min(10);
        self.failures = self.failures.saturating_add(1);
        first.saturating_mul(1 << doublings).min(LAST_RETRY)
    }

    /// The archive that will never be, if the snapshot that was read for it is there no more.
    pub(super) fn lost(&mut self, marks: &Marks) -> Option<ArchiveId> {
        let (id, _) = self.dropped.take_if(|(_, of)| !of.same_snapshot(marks))?;
        Some(id)
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;
    use crate::source::{Part, PartKind};

    const QUIET: Duration = Duration::from_mins(2);
    const SECOND: Duration = Duration::from_secs(1);

    /// Marks of a folder with metadata of this time.
    fn marks(metadata: Option<i64>) -> Marks {
        let folder = tempfile::tempdir().unwrap();
        if let Some(second) = metadata {
            let file = folder.path().join("BackupDocument.xml");
            fs::write(&file, "").unwrap();
            filetime::set_file_mtime(&file, filetime::FileTime::from_unix_time(second, 0)).unwrap();
        }
        Marks::of(&[Part::whole(PartKind::Site, folder.path().to_owned())])
    }

    fn run(outcome: Outcome) -> Run {
        let mut runs = crate::source::task_log::Runs::new();
        runs.line("STATMSG: ID=5055 SITE=P01 GMTDATE=Sun Nov 22 01:00:00.000 2026 NUMATTRS=0");
        Run { outcome, ..runs.iter().next().unwrap().clone() }
    }

    fn sight(outcome: Option<Outcome>, marks: &Marks) -> Sight {
        Sight { run: outcome.map(run), marks: marks.clone() }
    }

    fn id() -> ArchiveId {
        "P01-20261122T010000Z".parse().unwrap()
    }

    #[test]
    fn completed_run_is_attempted_at_once_and_only_once() {
        let (mut memory, marks) = (Memory::default(), marks(Some(1)));
        let sight = sight(Some(Outcome::Completed { at: None }), &marks);
        assert_eq!(memory.see(&sight, SECOND, QUIET), Next::Attempt);
        memory.attempted(Attempted::Done);
        assert_eq!(memory.see(&sight, Duration::from_hours(1000), QUIET), Next::Wait);
        let later = Sight {
            run: Some(Run { after_backup: sight.run.as_ref().unwrap().started, ..sight.run.clone().unwrap() }),
            ..sight
        };
        assert_eq!(memory.see(&later, SECOND, QUIET), Next::Wait);
    }

    #[test]
    fn nothing_is_attempted_while_the_task_runs_has_failed_or_has_cleaned() {
        let mut memory = Memory::default();
        let (whole, cleaned) = (marks(Some(1)), marks(None));
        for outcome in [Outcome::Running, Outcome::Interrupted, Outcome::Failed { id: None, at: None }] {
            for _ in 0..3 {
                assert_eq!(memory.see(&sight(Some(outcome), &whole), Duration::from_hours(9), QUIET), Next::Wait);
            }
        }
        for outcome in [None, Some(Outcome::Completed { at: None })] {
            for _ in 0..3 {
                assert_eq!(memory.see(&sight(outcome, &cleaned), Duration::from_hours(9), QUIET), Next::Wait);
            }
        }
    }

    #[test]
    fn without_log_the_marks_must_rest_for_the_quiet_period() {
        let mut memory = Memory::default();
        let (old, new) = (marks(Some(1)), marks(Some(2)));
        assert_eq!(memory.see(&sight(None, &old), SECOND, QUIET), Next::WaitFor(QUIET));
        assert_eq!(memory.see(&sight(None, &old), 30 * SECOND, QUIET), Next::WaitFor(90 * SECOND));
        assert_eq!(memory.see(&sight(None, &new), 500 * SECOND, QUIET), Next::WaitFor(QUIET));
        assert_eq!(memory.see(&sight(None, &new), 120 * SECOND, QUIET), Next::Attempt);
    }

    #[test]
    fn what_a_destination_lacks_is_tried_again_at_growing_distances() {
        let (mut memory, marks) = (Memory::default(), marks(Some(1)));
        let sight = sight(Some(Outcome::Completed { at: None }), &marks);
        assert_eq!(memory.see(&sight, SECOND, QUIET), Next::Attempt);
        for minutes in [1, 2, 4, 8, 16, 32, 60, 60] {
            memory.attempted(Attempted::Unfinished);
            let wait = Duration::from_mins(minutes);
            assert_eq!(memory.see(&sight, Duration::ZERO, QUIET), Next::WaitFor(wait));
            assert_eq!(memory.see(&sight, wait, QUIET), Next::Attempt);
        }
        memory.attempted(Attempted::Busy);
        assert_eq!(memory.see(&sight, SECOND, QUIET), Next::WaitFor(4 * SECOND));
        memory.attempted(Attempted::Done);
        assert_eq!(memory.see(&sight, Duration::from_hours(9), QUIET), Next::Wait);
    }

    #[test]
    fn dropped_snapshot_is_lost_when_the_next_run_has_destroyed_it() {
        let (mut memory, first) = (Memory::default(), marks(Some(1)));
        memory.see(&sight(None, &first), QUIET, QUIET);
        memory.attempted(Attempted::Dropped(id()));
        memory.see(&sight(Some(Outcome::Running), &first), SECOND, QUIET);
        assert_eq!(memory.lost(&first), None);
        assert_eq!(memory.lost(&marks(None)), Some(id()));
        assert_eq!(memory.lost(&marks(None)), None);
        memory.see(&sight(None, &first), QUIET, QUIET);
        memory.attempted(Attempted::Dropped(id()));
        memory.attempted(Attempted::Done);
        assert_eq!(memory.lost(&marks(None)), None);
    }
}

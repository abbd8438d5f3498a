//! Are backups overdue? A pure decision over evidence, with its reasons in words.
//!
//! Nobody is told by a backup that does not happen, so this looks for signs of life and takes their absence for bad
//! news. Three things are bad news, each for itself: no archive is young enough; the backup task's last run failed; the
//! task's log has told of no run for too long. Clocks are not trusted: what lies in the future proves nothing, neither
//! an archive nor a line of the log. What could not be read is no evidence either way: that is a failure of its own.

use std::fmt;
use std::time::Duration;

use jiff::Timestamp;
use serde::{Serialize, Serializer};

use crate::name::SiteCode;
use crate::retention::plan::is_future;
use crate::source::LogEvidence;
use crate::source::task_log::Outcome;
use crate::units;

/// What the decision rests on.
#[derive(Debug, Clone)]
pub struct Evidence<'a> {
    /// The site; `None` when no site is known at all.
    pub site: Option<SiteCode>,
    /// When the snapshots of its whole archives were completed, wherever they lie.
    pub archives: &'a [Timestamp],
    /// Could at least one destination be read?
    pub known: bool,
    /// The log of the backup task.
    pub log: &'a LogEvidence,
}

/// The decision about a site.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Verdict {
    /// The site; `None` when no site is known at all.
    pub site: Option<SiteCode>,
    /// Why backups are overdue; empty when they are not.
    pub reasons: Vec<Reason>,
    /// The newest archive that does not lie in the future.
    pub newest: Option<Timestamp>,
    /// Until when there must be a newer one.
    pub due: Option<Timestamp>,
    /// How many archives lie in the future.
    pub future: usize,
}

impl Verdict {
    /// Should somebody act?
    #[must_use]
    pub fn is_bad(&self) -> bool {
        !self.reasons.is_empty()
    }

    /// Is an archive or a run of the task missing?
    #[must_use]
    pub fn is_overdue(&self) -> bool {
        self.reasons.iter().any(|reason| !reason.is_failure())
    }

    /// Did the last run of the task fail?
    #[must_use]
    pub fn has_failed(&self) -> bool {
        self.reasons.iter().any(Reason::is_failure)
    }

    /// All reasons in a sentence, without names of hosts and files: it may be told to others.
    #[must_use]
    pub fn words(&self) -> String {
        self.words_of(|_| true)
    }

    /// Some of the reasons in a sentence.
    pub(super) fn words_of(&self, which: impl Fn(&Reason) -> bool) -> String {
        let reasons: Vec<String> =
            self.reasons.iter().filter(|reason| which(reason)).map(ToString::to_string).collect();
        let site = self.site.map_or_else(String::new, |site| format!("site {site}: "));
        format!("{site}{}", reasons.join("; "))
    }

    /// All of it in a sentence that needs no context.
    #[must_use]
    pub fn headline(&self) -> String {
        let what = if self.is_overdue() { "backups are overdue" } else { "the backup task failed" };
        format!("{what}: {}", self.words())
    }
}

/// Why backups are overdue.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Reason {
    /// There is no archive.
    NoArchive,
    /// There are only archives of the future.
    OnlyFuture {
        /// The nearest.
        nearest: Timestamp,
    },
    /// The newest archive is too old.
    Old {
        /// When its snapshot was completed.
        newest: Timestamp,
        /// How old it is.
        age: Duration,
        /// How old it may be.
        limit: Duration,
    },
    /// The last run of the backup task failed.
    TaskFailed {
        /// With this status message, where one tells.
        id: Option<u32>,
        /// When.
        at: Option<Timestamp>,
    },
    /// The log has told of no run for too long.
    LogSilent {
        /// The last it told.
        last: Timestamp,
        /// How long ago.
        age: Duration,
    },
}

impl Reason {
    pub(super) fn is_failure(&self) -> bool {
        matches!(self, Self::TaskFailed { .. })
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoArchive => f.write_str("there is no archive"),
            Self::OnlyFuture { nearest } => {
                let nearest = units::format_time(*nearest);
                write!(f, "every archive is dated in the future ({nearest} and later): a clock is or was wrong")
            }
            Self::Old { newest, age, limit } => write!(
                f,
                "the newest archive is of {}, {} old; the limit is {}",
                units::format_time(*newest),
                units::format_duration(*age),
                units::format_duration(*limit)
            ),
            Self::TaskFailed { id, at } => {
                f.write_str("the last backup failed")?;
                if let Some(at) = at {
                    write!(f, " at {}", units::format_time(*at))?;
                }
                match id {
                    Some(id) => write!(f, " with status message {id}"),
                    None => Ok(()),
                }
            }
            Self::LogSilent { last, age } => {
                let (last, age) = (units::format_time(*last), units::format_duration(*age));
                write!(f, "the backup task's log has had no entry since {last}, {age} ago")
            }
        }
    }
}

/// In words: programs have the facts beside them.
impl Serialize for Reason {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

/// Decides whether the backups of a site are overdue.
#[must_use]
pub fn overdue(evidence: &Evidence<'_>, limit: Duration, now: Timestamp) -> Verdict {
    let (future, past): (Vec<Timestamp>, Vec<Timestamp>) =
        evidence.archives.iter().copied().partition(|stamp| is_future(*stamp, now));
    let newest = past.into_iter().max();
    let age = |time: Timestamp| now.duration_since(time).try_into().unwrap_or(Duration::ZERO);
    let mut reasons = Vec::new();
    match newest {
        Some(newest) if age(newest) > limit => reasons.push(Reason::Old { newest, age: age(newest), limit }),
        Some(_) => {}
        None if !evidence.known => {}
        None => reasons.push(match future.iter().min() {
            Some(&nearest) => Reason::OnlyFuture { nearest },
            None => Reason::NoArchive,
        }),
    }
    reasons.extend(task(evidence, newest, limit, now));
    let due = newest.and_then(|newest| newest.checked_add(limit).ok());
    Verdict { site: evidence.site, reasons, newest, due, future: future.len() }
}

/// What the log has against it.
fn task(evidence: &Evidence<'_>, newest: Option<Timestamp>, limit: Duration, now: Timestamp) -> Option<Reason> {
    let LogEvidence::Read { runs, copy: false, .. } = evidence.log else { return None };
    let run = runs.last(evidence.site?)?;
    if let Outcome::Failed { id, at } = run.outcome {
        // An archive of a later snapshot contradicts a log that stands still, perhaps that of a former installation.
        let refuted = at.zip(newest).is_some_and(|(at, newest)| newest > at);
        if !refuted {
            return Some(Reason::TaskFailed { id, at });
        }
    }
    let last = run.latest()?;
    let age = Duration::try_from(now.duration_since(last)).ok()?;
    // Whoever archives what the log does not tell of reads another log than the task writes: that is told, too.
    (age > limit).then_some(Reason::LogSilent { last, age })
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use jiff::SignedDuration;
    use proptest::prelude::*;

    use super::*;
    use crate::retention::plan::FUTURE_TOLERANCE;
    use crate::source::task_log::Runs;

    const LIMIT: Duration = Duration::from_hours(5 * 24);

    fn site() -> Option<SiteCode> {
        "XYZ".parse().ok()
    }

    fn day(number: i64) -> Timestamp {
        let first: Timestamp = "2026-11-01T01:00:00Z".parse().unwrap();
        first + SignedDuration::from_hours(24 * number)
    }

    /// Synthetic: status messages as published, and whose they are.
    fn log(messages: &[(u32, Timestamp)]) -> LogEvidence {
        let mut runs = Runs::new();
        for (id, at) in messages {
            let gmt = at.strftime("%a %b %d %H:%M:%S.000 %Y");
            runs.line(&format!("STATMSG: ID={id} COMP=\"SMS_SITE_BACKUP\" SITE=XYZ GMTDATE={gmt} NUMATTRS=0"));
        }
        LogEvidence::Read { path: PathBuf::new(), copy: false, runs }
    }

    fn decide(archives: &[Timestamp], log: &LogEvidence, now: Timestamp) -> Verdict {
        overdue(&Evidence { site: site(), archives, known: true, log }, LIMIT, now)
    }

    fn words(archives: &[Timestamp], log: &LogEvidence, now: Timestamp) -> String {
        decide(archives, log, now).words()
    }

    #[test]
    fn archive_is_young_enough_up_to_the_limit() {
        let at_limit = decide(&[day(0), day(1)], &LogEvidence::Absent, day(6));
        assert!(!at_limit.is_bad());
        assert_eq!((at_limit.newest, at_limit.due), (Some(day(1)), Some(day(6))));
        let late = day(6) + SignedDuration::from_secs(1);
        assert_eq!(
            words(&[day(1), day(0)], &LogEvidence::Absent, late),
            format!(
                "site XYZ: the newest archive is of {}, 5 days old; the limit is 5 days",
                units::format_time(day(1))
            )
        );
    }

    #[test]
    fn no_archive_is_overdue_unless_nobody_could_look() {
        assert_eq!(decide(&[], &LogEvidence::Absent, day(0)).reasons, [Reason::NoArchive]);
        let evidence = Evidence { site: site(), archives: &[], known: false, log: &LogEvidence::Absent };
        assert!(!overdue(&evidence, LIMIT, day(0)).is_bad());
    }

    #[test]
    fn archives_of_the_future_are_not_fresh() {
        let verdict = decide(&[day(9), day(8)], &LogEvidence::Absent, day(0));
        assert_eq!(verdict.reasons, [Reason::OnlyFuture { nearest: day(8) }]);
        assert_eq!((verdict.newest, verdict.future), (None, 2));
        let verdict = decide(&[day(0), day(99)], &LogEvidence::Absent, day(6));
        assert!(matches!(verdict.reasons.as_slice(), [Reason::Old { newest, .. }] if *newest == day(0)));
        // Clocks of two servers differ by a little.
        assert!(!decide(&[day(0) + FUTURE_TOLERANCE], &LogEvidence::Absent, day(0)).is_bad());
    }

    #[test]
    fn task_that_fails_is_told_with_its_status_message() {
        let log = log(&[(5055, day(0)), (5035, day(0)), (5055, day(1)), (5043, day(1))]);
        assert_eq!(
            words(&[day(0)], &log, day(2)),
            "site XYZ: the last backup failed at 2026-11-02 01:00:00+00:00 with status message 5043"
        );
        // A log that ends before the newest archive is not that of its backup.
        assert!(!decide(&[day(2)], &log, day(2)).is_bad());
    }

    #[test]
    fn failure_is_over_with_the_next_start() {
        let log = log(&[(5055, day(0)), (5043, day(0)), (5055, day(1))]);
        assert!(!decide(&[day(-1)], &log, day(1)).is_bad());
    }

    #[test]
    fn log_that_is_silent_is_told() {
        let log = log(&[(5055, day(0)), (5035, day(0))]);
        let verdict = decide(&[day(5)], &log, day(6));
        assert!(matches!(verdict.reasons.as_slice(), [Reason::LogSilent { last, .. }] if *last == day(0)));
        assert!(!decide(&[day(5)], &log, day(5)).is_bad());
    }

    #[test]
    fn log_of_the_future_and_the_copy_in_the_snapshot_prove_nothing() {
        let future = log(&[(5055, day(20)), (5035, day(20))]);
        assert!(!decide(&[day(0)], &future, day(1)).is_bad());
        let LogEvidence::Read { path, runs, .. } = log(&[(5055, day(0)), (5043, day(0))]) else { unreachable!() };
        let copy = LogEvidence::Read { path, copy: true, runs };
        assert!(!decide(&[day(0)], &copy, day(1)).is_bad());
    }

    proptest! {
        #[test]
        fn an_archive_more_never_makes_it_worse_and_time_never_better(
            days in prop::collection::vec(-40_i64..40, 0..6), more in -40_i64..40, now in -10_i64..10, later in 0_i64..10
        ) {
            let mut archives: Vec<Timestamp> = days.into_iter().map(day).collect();
            let before = decide(&archives, &LogEvidence::Absent, day(now));
            let future = archives.iter().any(|stamp| *stamp > day(now));
            if !future {
                let then = decide(&archives, &LogEvidence::Absent, day(now + later));
                prop_assert!(then.is_bad() || !before.is_bad());
            }
            archives.push(day(more));
            let after = decide(&archives, &LogEvidence::Absent, day(now));
            prop_assert!(before.is_bad() || !after.is_bad());
        }
    }
}

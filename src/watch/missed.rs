//! Completed snapshots that were destroyed before anybody could archive them.
//!
//! The task deletes its snapshot before it writes the next. Whatever completed run the log tells of, and whose archive
//! was never made, is gone for good once another run follows it: that is told once, as an error, and again by a watcher
//! that is started before there is a newer archive. What the log tells of the time before the first archive is not
//! told: nobody was there to archive it.

use std::collections::BTreeSet;

use jiff::SignedDuration;

use crate::name::{ArchiveId, SiteCode};
use crate::source::task_log::{Outcome, Run, Runs};

/// Which completed runs are archived or have been told.
#[derive(Debug)]
pub(super) struct Missed {
    site: SiteCode,
    known: BTreeSet<ArchiveId>,
}

impl Missed {
    /// Begins to watch a site that has these archives.
    pub(super) fn new(site: SiteCode, runs: &Runs, archives: BTreeSet<ArchiveId>) -> Self {
        let mut missed = Self { site, known: archives };
        // By the order of the log, as a server's clock may have been set back. Where no archive is named after a run of
        // the log, only time can tell which are older.
        let told: Vec<ArchiveId> = missed.superseded(runs).collect();
        let newest = missed.known.last();
        let last = told.iter().rposition(|id| missed.known.contains(id));
        let behind = last.or_else(|| told.iter().rposition(|id| newest.is_none_or(|newest| id <= newest)));
        missed.known.extend(told.into_iter().take(behind.map_or(0, |at| at + 1)));
        missed
    }

    /// This one is archived, or its loss was told in another way. `false` if that was known.
    pub(super) fn settle(&mut self, id: &ArchiveId) -> bool {
        self.known.insert(id.clone())
    }

    /// What is missing now; each is told once.
    pub(super) fn find(&mut self, runs: &Runs) -> Vec<ArchiveId> {
        let missed: Vec<ArchiveId> = self.superseded(runs).filter(|id| !self.known.contains(id)).collect();
        self.known.extend(missed.iter().cloned());
        missed
    }

    /// Completed runs that another run followed, in the order of the log.
    fn superseded(&self, runs: &Runs) -> impl Iterator<Item = ArchiveId> {
        let of_site = |run: &&Run| run.site.is_none_or(|site| site == self.site);
        let mut runs: Vec<&Run> = runs.iter().filter(of_site).collect();
        runs.pop();
        let site = self.site;
        let ids = runs.into_iter().filter_map(move |run| match run.outcome {
            Outcome::Completed { at: Some(at) } => Some(ArchiveId::new(site, at)),
            _ => None,
        });
        ids.collect::<Vec<_>>().into_iter()
    }
}

/// How long a run can go on whose clock was set back, so that its end tells nothing of that.
const LONGEST_RUN: SignedDuration = SignedDuration::from_hours(12);

/// Does the archive of this run bear the time of the metadata? It does where the log could not be trusted: a clock that
/// was set during the run makes the two contradict each other. Such an archive lies within the run, and no run of the
/// log was completed at its time.
pub(super) fn has_other_name(id: &ArchiveId, runs: &Runs, archives: &BTreeSet<ArchiveId>) -> bool {
    let ended = |run: &Run| match run.outcome {
        Outcome::Completed { at } => at,
        _ => None,
    };
    let is_named_after_it = |run: &Run, at| ArchiveId::new(id.site(), at) == *id && run.started.is_some();
    let Some((run, at)) = runs.iter().find_map(|run| Some((run, ended(run).filter(|&at| is_named_after_it(run, at))?)))
    else {
        return false;
    };
    let Some(began) = run.started.and_then(|seen| seen.at) else { return false };
    let end = if at >= began { at } else { began + LONGEST_RUN };
    let of_a_run =
        |archive: &ArchiveId| runs.iter().filter_map(ended).any(|other| ArchiveId::new(id.site(), other) == *archive);
    archives.iter().any(|archive| (began..=end).contains(&archive.stamp()) && !of_a_run(archive))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Hours of 22 November 2026 at which runs were completed; 0 for one that is still running.
    fn runs(completed: &[u32]) -> Runs {
        let mut runs = Runs::new();
        let mut message = |id: u32, hour: u32, minute: u32| {
            runs.line(&format!(
                "STATMSG: ID={id} COMP=\"SMS_SITE_BACKUP\" SITE=P01 GMTDATE=Sun Nov 22 {hour:02}:{minute:02}:00.000 2026 NUMATTRS=0"
            ));
        };
        for hour in completed {
            message(5055, hour.saturating_sub(1), 30);
            if *hour > 0 {
                message(5035, *hour, 0);
            }
        }
        runs
    }

    fn id(hour: u32) -> ArchiveId {
        format!("P01-20261122T{hour:02}0000Z").parse().unwrap()
    }

    fn new(runs: &Runs, archives: &[u32]) -> Missed {
        Missed::new("P01".parse().unwrap(), runs, archives.iter().map(|hour| id(*hour)).collect())
    }

    #[test]
    fn completed_run_is_missed_when_the_next_one_begins_before_it_was_archived() {
        let mut missed = new(&runs(&[1]), &[1]);
        assert_eq!(missed.find(&runs(&[1, 2])), []);
        assert_eq!(missed.find(&runs(&[1, 2, 0])), [id(2)]);
        assert_eq!(missed.find(&runs(&[1, 2, 3])), []);
        assert!(missed.settle(&id(3)));
        assert_eq!(missed.find(&runs(&[1, 2, 3, 4, 5, 0])), [id(4), id(5)]);
        assert!(!missed.settle(&id(4)));
    }

    #[test]
    fn what_completed_while_nobody_watched_is_told_and_what_is_older_than_the_first_archive_is_not() {
        let all = runs(&[1, 2, 3, 4, 5]);
        assert_eq!(new(&all, &[]).find(&all), []);
        assert_eq!(new(&all, &[2]).find(&all), [id(3), id(4)]);
        assert_eq!(new(&all, &[1, 4]).find(&all), []);
        assert_eq!(new(&all, &[5]).find(&all), []);
    }

    #[test]
    fn archive_that_is_named_after_the_metadata_is_no_miss() {
        let archive = |minute: u32| format!("P01-20261122T08{minute:02}30Z").parse().unwrap();
        let all = runs(&[5, 9, 10, 0]);
        // The run of 9 o'clock began at 8:30.
        for (archives, is_there) in [(vec![archive(45)], true), (vec![archive(29)], false), (vec![id(10)], false)] {
            assert_eq!(has_other_name(&id(9), &all, &archives.into_iter().collect()), is_there);
        }
        // Its clock was set back: it began at 8:30 and ended at 3:00.
        let mut set_back = runs(&[5]);
        for (id, time) in [(5055, "08:30"), (5035, "03:00"), (5055, "04:30")] {
            set_back.line(&format!(
                "STATMSG: ID={id} COMP=\"SMS_SITE_BACKUP\" SITE=P01 GMTDATE=Sun Nov 22 {time}:00.000 2026 NUMATTRS=0"
            ));
        }
        assert!(has_other_name(&id(3), &set_back, &[archive(45)].into()));
        assert!(!has_other_name(&id(3), &set_back, &[archive(15)].into()));
        assert!(!has_other_name(&id(3), &set_back, &[id(5)].into()));
    }

    #[test]
    fn clock_that_was_set_back_makes_nothing_missed_that_is_archived() {
        let mut missed = new(&runs(&[9]), &[9]);
        assert_eq!(missed.find(&runs(&[9, 3])), []);
        missed.settle(&id(3));
        assert_eq!(missed.find(&runs(&[9, 3, 4, 0])), [id(4)]);
        // The one of 22 o'clock was missed before the clock was set back.
        let all = runs(&[9, 22, 3, 4]);
        assert_eq!(new(&all, &[9]).find(&all), [id(22), id(3)]);
    }
}

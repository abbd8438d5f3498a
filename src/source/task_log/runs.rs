//! Status messages in the order of the log, put into runs of the backup task.
//!
//! The order is that of the lines, never that of their times: a server's clock may be set back. Where the log leaves
//! a doubt, it is decided against "completed": a failure is not undone by a completion without a new start, a message
//! without site starts or fails the run of any site but completes none, and cleaning without a start is a run.

use std::collections::VecDeque;

use jiff::Timestamp;

use super::line::{Line, Status};
use crate::name::SiteCode;

/// How many runs are kept: the last ones.
pub const MAX_RUNS: usize = 100;

const STARTED: u32 = 5055;
const SNAPSHOT_DONE: u32 = 5056;
const COMPLETED: u32 = 5035;
const AFTER_BACKUP: u32 = 5040;

fn is_failure(id: u32) -> bool {
    const FAILURES: [u32; 15] =
        [5000, 5002, 5004, 5006, 5008, 5017, 5018, 5019, 5022, 5024, 5025, 5026, 5027, 5032, 5033];
    FAILURES.contains(&id) || (5043..=5053).contains(&id)
}

/// Something the log reports.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Seen {
    /// When, if the log says so in a form that has one meaning.
    pub at: Option<Timestamp>,
}

/// How a run ended, or not.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// No end was reported: the run is active, or died.
    Running,
    /// Completed without errors (5035).
    Completed {
        /// When.
        at: Option<Timestamp>,
    },
    /// Failed.
    Failed {
        /// The id of the failure, or `None` where only the text tells.
        id: Option<u32>,
        /// When.
        at: Option<Timestamp>,
    },
    /// No end was reported before the next run started.
    Interrupted,
}

/// One run of the backup task.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Run {
    /// The site, if any message of the run names it.
    pub site: Option<SiteCode>,
    /// 5055. `None` when the log no longer reaches back to it.
    pub started: Option<Seen>,
    /// The task began to clean the folder of the snapshot.
    pub cleaning: Option<Seen>,
    /// 5056: copying begins.
    pub snapshot_done: Option<Seen>,
    /// 5040: AfterBackup.bat was started.
    pub after_backup: Option<Seen>,
    /// How it ended.
    pub outcome: Outcome,
}

impl Run {
    fn new(site: Option<SiteCode>) -> Self {
        let outcome = Outcome::Running;
        Self { site, started: None, cleaning: None, snapshot_done: None, after_backup: None, outcome }
    }

    /// When the run began, as far as the log tells.
    #[must_use]
    pub fn started_at(&self) -> Option<Timestamp> {
        self.started.or(self.cleaning).and_then(|seen| seen.at)
    }

    /// The latest time any message of the run has.
    #[must_use]
    pub fn latest(&self) -> Option<Timestamp> {
        let seen = [self.started, self.cleaning, self.snapshot_done, self.after_backup];
        let end = match self.outcome {
            Outcome::Completed { at } | Outcome::Failed { at, .. } => at,
            Outcome::Running | Outcome::Interrupted => None,
        };
        seen.into_iter().flatten().filter_map(|seen| seen.at).chain(end).max()
    }

    fn concerns(&self, site: Option<SiteCode>) -> bool {
        self.site.is_none() || site.is_none() || self.site == site
    }

    fn fail(&mut self, id: Option<u32>, at: Option<Timestamp>) {
        match &mut self.outcome {
            Outcome::Failed { id: known, .. } => *known = known.or(id),
            outcome => *outcome = Outcome::Failed { id, at },
        }
    }
}

/// The runs a log tells of, oldest first.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Runs {
    runs: VecDeque<Run>,
}

impl Runs {
    /// No runs yet.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Oldest first.
    #[must_use]
    pub fn iter(&self) -> impl DoubleEndedIterator<Item = &Run> {
        self.runs.iter()
    }

    /// The last run of a site. A run whose site the log does not tell may be of any site, and counts.
    #[must_use]
    pub fn last(&self, site: SiteCode) -> Option<&Run> {
        self.runs.iter().rev().find(|run| run.concerns(Some(site)))
    }

    /// Takes the next whole line of the log.
    pub fn line(&mut self, line: &str) {
        self.take(line, true);
    }

    /// Takes a line that may still be in the middle of being written: a start or a failure counts at once, good news
    /// only when its message is whole.
    pub fn unfinished_line(&mut self, line: &str) {
        self.take(line, false);
    }

    fn take(&mut self, line: &str, ended: bool) {
        let line = Line::parse(line);
        let stamp = line.stamp.as_ref().and_then(super::Stamp::utc);
        let Some(status) = Status::parse(line.text) else { return self.text(line.text, stamp) };
        let foreign = status.component.is_some_and(|component| !component.to_ascii_uppercase().contains("BACKUP"));
        if foreign {
            return;
        }
        let at = status.time.or(stamp);
        let whole = ended || status.whole || line.stamp.is_some();
        match status.id {
            STARTED => self.start(status.site, at),
            id if is_failure(id) => self.current(status.site).fail(Some(id), at),
            SNAPSHOT_DONE if whole => self.current(status.site).snapshot_done = Some(Seen { at }),
            AFTER_BACKUP if whole => {
                if let Some(run) = self.existing(status.site) {
                    run.after_backup = Some(Seen { at });
                }
            }
            COMPLETED if whole => self.complete(status.site, at),
            _ => {}
        }
    }

    /// What only free text tells. It can start and fail a run, never complete one.
    fn text(&mut self, text: &str, at: Option<Timestamp>) {
        if let Some(path) = text.strip_prefix("Starting to clean the backup location ") {
            let folder = path.trim_end_matches('.').rsplit(['\\', '/']).find(|name| !name.is_empty());
            let site = folder.and_then(super::super::site_of_folder);
            let active = self.existing(site).is_some_and(|run| run.outcome == Outcome::Running);
            if !active {
                self.push(Run::new(site));
            }
            self.current(site).cleaning = Some(Seen { at });
        } else if text.starts_with("SMS site backup failed") {
            self.current(None).fail(None, at);
        }
    }

    fn start(&mut self, site: Option<SiteCode>, at: Option<Timestamp>) {
        if let Some(run) = self.existing(site)
            && run.outcome == Outcome::Running
        {
            // Cleaning was logged before the start: the same run.
            if run.started.is_none() && run.snapshot_done.is_none() {
                run.started = Some(Seen { at });
                run.site = run.site.or(site);
                return;
            }
            run.outcome = Outcome::Interrupted;
        }
        self.push(Run { started: Some(Seen { at }), ..Run::new(site) });
    }

    fn complete(&mut self, site: Option<SiteCode>, at: Option<Timestamp>) {
        if site.is_none() {
            return;
        }
        let completed = Outcome::Completed { at };
        match self.existing(site) {
            Some(run) if run.outcome == Outcome::Running => {
                run.outcome = completed;
                run.site = site;
            }
            Some(run) if matches!(run.outcome, Outcome::Failed { .. }) || run.outcome == completed => {}
            // The log does not reach back to the start, or lost it.
            _ => self.push(Run { outcome: completed, ..Run::new(site) }),
        }
    }

    fn existing(&mut self, site: Option<SiteCode>) -> Option<&mut Run> {
        self.runs.iter_mut().rev().find(|run| run.concerns(site))
    }

    /// The last run of the site, or a new one if the log does not reach back to any.
    fn current(&mut self, site: Option<SiteCode>) -> &mut Run {
        let at = self.runs.iter().rposition(|run| run.concerns(site)).unwrap_or_else(|| {
            self.push(Run::new(site));
            self.runs.len() - 1
        });
        &mut self.runs[at]
    }

    fn push(&mut self, run: Run) {
        if self.runs.len() == MAX_RUNS {
            self.runs.pop_front();
        }
        self.runs.push_back(run);
    }

    /// Takes over the last runs of what was known before the log was read anew, where the log no longer tells of them.
    pub(super) fn keep_newer_of(&mut self, known: &Self) {
        let mut sites: Vec<Option<SiteCode>> = Vec::new();
        let mut kept = Vec::new();
        for run in known.runs.iter().rev() {
            if sites.contains(&run.site) {
                continue;
            }
            sites.push(run.site);
            let told = self.runs.iter().any(|other| other.concerns(run.site) && other.latest() >= run.latest());
            if !told {
                kept.push(run.clone());
            }
        }
        for run in kept.into_iter().rev() {
            self.push(run);
        }
    }
}

#[cfg(test)]
pub(super) mod tests {
    use proptest::prelude::*;

    use super::*;

    // All logs here are synthetic, built on the published formats.

    pub(in crate::source::task_log) fn status(id: u32, site: &str, clock: &str) -> String {
        format!(
            "STATMSG: ID={id} SEV=I LEV=M SOURCE=\"SMS Server\" COMP=\"SMS_SITE_BACKUP\" SYS=cm01.example.net SITE={site} PID=4804 TID=5172 GMTDATE=Sun Nov 22 {clock}.000 2026 ISTR0=\"\" ISTR1=\"\" NUMATTRS=0  $$<SMS_SITE_BACKUP><11-22-2026 {clock}.000+000><thread=5172 (0x1434)>"
        )
    }

    fn runs(lines: &[String]) -> Runs {
        let mut runs = Runs::new();
        for line in lines {
            runs.line(line);
        }
        runs
    }

    fn time(clock: &str) -> Option<Timestamp> {
        format!("2026-11-22T{clock}Z").parse().ok()
    }

    fn p01() -> SiteCode {
        "P01".parse().unwrap()
    }

    fn outcome(lines: &[String]) -> Option<Outcome> {
        runs(lines).last(p01()).map(|run| run.outcome)
    }

    #[test]
    fn good_run_is_told_with_all_its_steps() {
        let runs = runs(&[
            status(5055, "P01", "01:00:00"),
            r"Starting to clean the backup location \\srv\share\P01Backup.  $$<SMS_SITE_BACKUP><11-22-2026 01:00:01.000+000><thread=1 (0x1)>".into(),
            status(5056, "P01", "01:05:00"),
            "STATMSG of no interest".into(),
            status(5035, "P01", "02:00:00"),
            status(5040, "P01", "02:00:01"),
        ]);
        assert_eq!(runs.iter().count(), 1);
        let run = runs.last(p01()).unwrap();
        assert_eq!(run.started_at(), time("01:00:00"));
        assert_eq!(run.cleaning.unwrap().at, time("01:00:01"));
        assert_eq!(run.snapshot_done.unwrap().at, time("01:05:00"));
        assert_eq!(run.after_backup.unwrap().at, time("02:00:01"));
        assert_eq!(run.outcome, Outcome::Completed { at: time("02:00:00") });
        assert_eq!(run.latest(), time("02:00:01"));
    }

    #[test]
    fn newer_start_means_running() {
        let lines = [status(5055, "P01", "01:00:00"), status(5035, "P01", "02:00:00"), status(5055, "P01", "03:00:00")];
        assert_eq!(outcome(&lines), Some(Outcome::Running));
    }

    #[test]
    fn run_without_end_is_interrupted_by_the_next() {
        let runs = runs(&[status(5055, "P01", "01:00:00"), status(5055, "P01", "03:00:00")]);
        let outcomes: Vec<_> = runs.iter().map(|run| run.outcome).collect();
        assert_eq!(outcomes, [Outcome::Interrupted, Outcome::Running]);
    }

    #[test]
    fn failure_anywhere_in_the_run_counts() {
        let (start, good) = (status(5055, "P01", "01:00:00"), status(5035, "P01", "02:00:00"));
        let bad = status(5049, "P01", "01:30:00");
        let failed = Some(Outcome::Failed { id: Some(5049), at: time("01:30:00") });
        assert_eq!(outcome(&[start.clone(), bad.clone(), good.clone()]), failed);
        assert_eq!(outcome(&[start.clone(), good, bad]), failed);
        let text = "SMS site backup failed. Please see previous errors.".to_owned();
        assert_eq!(outcome(&[start, text]), Some(Outcome::Failed { id: None, at: None }));
    }

    #[test]
    fn every_failure_id_fails() {
        let ids = [5000, 5002, 5004, 5006, 5008, 5017, 5018, 5019, 5022, 5024, 5025, 5026, 5027, 5032, 5033];
        for id in ids.into_iter().chain(5043..=5053) {
            let outcome = outcome(&[status(5055, "P01", "01:00:00"), status(id, "P01", "01:30:00")]);
            assert!(matches!(outcome, Some(Outcome::Failed { id: Some(failed), .. }) if failed == id));
        }
        let lines = [status(5055, "P01", "01:00:00"), status(5034, "P01", "01:30:00")];
        assert_eq!(outcome(&lines), Some(Outcome::Running));
    }

    #[test]
    fn other_site_does_not_complete_ours() {
        let lines = [status(5055, "P01", "01:00:00"), status(5035, "P02", "02:00:00")];
        assert_eq!(outcome(&lines), Some(Outcome::Running));
        let lines = [status(5055, "P01", "01:00:00"), status(5035, "", "02:00:00")];
        assert_eq!(outcome(&lines), Some(Outcome::Running));
    }

    #[test]
    fn other_component_says_nothing() {
        let other = status(5035, "P01", "02:00:00").replace("SMS_SITE_BACKUP", "SMS_EXECUTIVE");
        assert_eq!(outcome(&[status(5055, "P01", "01:00:00"), other]), Some(Outcome::Running));
    }

    #[test]
    fn texts_that_claim_success_complete_nothing() {
        let texts = [
            "Backup completed",
            "Backup task completed successfully with zero errors",
            "SQL Backup task completed successfully",
            "found STATMSG: ID=5035 SITE=P01",
        ];
        for text in texts {
            assert_eq!(outcome(&[status(5055, "P01", "01:00:00"), text.into()]), Some(Outcome::Running), "{text}");
        }
    }

    #[test]
    fn completion_whose_start_rolled_away_counts() {
        assert_eq!(outcome(&[status(5035, "P01", "02:00:00")]), Some(Outcome::Completed { at: time("02:00:00") }));
    }

    #[test]
    fn cleaning_without_start_is_a_run() {
        let clean = r"Starting to clean the backup location D:\Backup\P01Backup.".to_owned();
        let lines = [status(5035, "P01", "02:00:00"), clean.clone()];
        assert_eq!(outcome(&lines), Some(Outcome::Running));
        let one = runs(&[clean, status(5055, "P01", "03:00:00"), status(5035, "P01", "04:00:00")]);
        assert_eq!(one.iter().count(), 1);
        assert_eq!(one.last(p01()).unwrap().outcome, Outcome::Completed { at: time("04:00:00") });
    }

    #[test]
    fn start_inside_an_unfinished_record_counts() {
        let open = "<![LOG[a text that was never finished".to_owned();
        let lines = [status(5035, "P01", "02:00:00"), open, status(5055, "P01", "03:00:00")];
        assert_eq!(outcome(&lines), Some(Outcome::Running));
        let cmtrace = r#"<![LOG[STATMSG: ID=5055 SITE=P01]LOG]!><time="03:00:00.000+000" date="11-22-2026" component="SMS_SITE_BACKUP" context="" type="1" thread="1" file="">"#;
        let runs = runs(&[status(5035, "P01", "02:00:00"), cmtrace.into()]);
        assert_eq!(runs.last(p01()).unwrap().started_at(), time("03:00:00"));
    }

    #[test]
    fn unfinished_line_brings_bad_news_only() {
        let (good, bad) = (status(5035, "P01", "02:00:00"), status(5055, "P01", "03:00:00"));
        for end in 0..good.len() {
            let mut runs = runs(&[status(5055, "P01", "01:00:00")]);
            runs.unfinished_line(good.get(..end).unwrap());
            let outcome = runs.last(p01()).unwrap().outcome;
            assert!([Outcome::Running, Outcome::Completed { at: time("02:00:00") }].contains(&outcome), "{outcome:?}");
        }
        let mut runs = runs(&[good]);
        runs.unfinished_line(bad.get(..30).unwrap());
        assert_eq!(runs.last(p01()).unwrap().outcome, Outcome::Running);
    }

    #[test]
    fn only_the_last_runs_are_kept() {
        let lines: Vec<_> =
            (0..250).flat_map(|_| [status(5055, "P01", "01:00:00"), status(5035, "P01", "02:00:00")]).collect();
        assert_eq!(runs(&lines).iter().count(), MAX_RUNS);
    }

    proptest! {
        /// A damaged line can lose news, but a run never ends well unless a whole good message was there.
        #[test]
        fn damage_never_completes_a_run(at in 0_usize..400, with in "[ -~\\n]{0,5}", cut in 0_usize..60) {
            let damaged = [status(5055, "P01", "01:00:00"), status(5049, "P01", "02:00:00")].join("\n");
            let at = at.min(damaged.len());
            let end = (at + cut).min(damaged.len());
            let text = format!("{}{with}{}", damaged.get(..at).unwrap(), damaged.get(end..).unwrap());
            let mut runs = Runs::new();
            text.split('\n').for_each(|line| runs.line(line));
            for run in runs.iter() {
                let completed = matches!(run.outcome, Outcome::Completed { .. });
                prop_assert!(!completed || text.contains("ID=5035"));
            }
        }

        /// Bytes changed, lost or doubled anywhere in a log of both formats and encodings: read without panic, and a
        /// completion is always one that stands in the log.
        #[test]
        fn damaged_logs_are_read(
            changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>(), 0_u8..3), 0..20),
            utf16: bool,
        ) {
            let cmtrace = "<![LOG[two\nlines]LOG]!><time=\"01:30:00.000-60\" date=\"11-22-2026\" component=\"C\" context=\"\" type=\"1\" thread=\"1\" file=\"f:1\">".to_owned();
            let text = [status(5055, "P01", "01:00:00"), cmtrace, status(5035, "P01", "02:00:00"), status(5055, "P01", "03:00:00")].join("\r\n");
            let mut bytes = text.clone().into_bytes();
            if utf16 {
                bytes = "\u{feff}".encode_utf16().chain(text.encode_utf16()).flat_map(u16::to_le_bytes).collect();
            }
            for (at, byte, how) in changes {
                let at = at.index(bytes.len());
                match how {
                    0 => bytes[at] = byte,
                    1 => drop(bytes.remove(at)),
                    _ => bytes.insert(at, byte),
                }
            }
            let mut runs = Runs::new();
            let mut lines = super::super::Lines::new();
            let mut completions = 0;
            lines.push(&bytes, |line| {
                completions += usize::from(line.contains("5035"));
                runs.line(line);
            });
            if let Some(line) = lines.unfinished() {
                runs.unfinished_line(&line);
            }
            let completed = runs.iter().filter(|run| matches!(run.outcome, Outcome::Completed { .. })).count();
            prop_assert!(completed <= completions + 1 && runs.iter().count() <= 6);
        }

        #[test]
        fn any_order_of_messages_is_taken(ids in prop::collection::vec(prop::sample::select(vec![5055_u32, 5056, 5035, 5040, 5049, 1]), 0..40)) {
            let lines: Vec<_> = ids.iter().map(|id| status(*id, "P01", "01:00:00")).collect();
            let last_start = ids.iter().rposition(|id| *id == 5055);
            let since = &ids[last_start.map_or(0, |at| at + 1)..];
            let completed = since.contains(&5035) && !since.contains(&5049);
            let told = matches!(outcome(&lines), Some(Outcome::Completed { .. }));
            // Without any start a completion counts unless a failure is known.
            prop_assert_eq!(told, completed);
        }
    }
}

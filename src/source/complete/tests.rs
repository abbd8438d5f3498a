//! Decisions about site snapshots: single ones, and every step of a task at work.

use proptest::prelude::*;

use super::super::evidence::{COPY_SLACK, KnownFolder, NewestFile, PartEvidence};
use super::super::log_evidence::LogEvidence;
use super::super::task_log::Runs;
use super::*;

// Times of one night, 22 November 2026. The logs are synthetic, built on the published form of status messages.

const QUIET: Duration = Duration::from_mins(2);

fn time(clock: &str) -> Timestamp {
    format!("2026-11-22T{clock}Z").parse().unwrap()
}

fn log(copy: bool, messages: &[(u32, &str)]) -> LogEvidence {
    let mut runs = Runs::new();
    for (id, clock) in messages {
        let date = if clock.is_empty() { String::new() } else { format!("GMTDATE=Sun Nov 22 {clock}.000 2026 ") };
        runs.line(&format!("STATMSG: ID={id} COMP=\"SMS_SITE_BACKUP\" SITE=P01 {date}NUMATTRS=0"));
    }
    LogEvidence::Read { path: "smsbkup.log".into(), copy, runs }
}

const GOOD: &[(u32, &str)] = &[(5055, "01:00:00"), (5056, "01:05:00"), (5035, "02:00:00")];

fn part(kind: PartKind, data: &str, metadata: &str) -> PartEvidence {
    PartEvidence {
        kind,
        path: "P01Backup".into(),
        metadata: (!metadata.is_empty()).then(|| time(metadata)),
        metadata_arrived: None,
        metadata_fault: None,
        last_arrival: None,
        newest_data: Some(named("SiteServer/x", data)),
        newer_data: vec![],
        oldest_folder: None,
        newer_folders: vec![],
        newest_change: Some(time(data).max(if metadata.is_empty() { Timestamp::MIN } else { time(metadata) })),
        data_files: 3,
        databases: vec![("SiteDBServer/CM_P01.mdf".into(), 8192)],
        database_logs: vec![("SiteDBServer/CM_P01_log.ldf".into(), 8192)],
        folders: KnownFolder::ALL.into(),
        linked: [].into(),
        log: LogEvidence::Absent,
        backups: None,
        has_setup: false,
    }
}

fn named(name: &str, clock: &str) -> NewestFile {
    NewestFile { name: name.into(), modified: time(clock) }
}

/// A file that is newer than the metadata.
fn newer(evidence: &mut Evidence, part: usize, clock: &str) {
    let part = &mut evidence.parts[part];
    part.newest_data = Some(named("SiteServer/x", clock));
    part.newer_data = vec![named("SiteServer/x", clock)];
    part.newest_change = part.newest_change.max(Some(time(clock)));
}

fn evidence(log: LogEvidence) -> Evidence {
    let parts = vec![part(PartKind::Site, "01:50:00", "01:59:00")];
    Evidence { site: "P01".parse().unwrap(), log, log_fault: None, parts, unchanged_for: None }
}

fn two_parts(log: LogEvidence, sql_metadata: &str) -> Evidence {
    let mut evidence = evidence(log);
    evidence.parts[0].databases.clear();
    evidence.parts.push(part(PartKind::Sql, "00:00:00", sql_metadata));
    evidence
}

fn check(evidence: &Evidence, now: &str) -> (State, String) {
    let completion = decide(evidence, QUIET, time(now));
    assert!(!completion.reasons.is_empty());
    (completion.state, completion.reasons.join("; "))
}

fn state(evidence: &Evidence, now: &str) -> State {
    check(evidence, now).0
}

fn by_log(clock: &str) -> State {
    State::Complete { completed: time(clock), by: By::Log }
}

fn by_metadata(clock: &str) -> State {
    State::Complete { completed: time(clock), by: By::Metadata }
}

#[test]
fn log_alone_completes_without_quiet_period() {
    let evidence = evidence(log(false, GOOD));
    assert_eq!(state(&evidence, "02:00:01"), by_log("02:00:00"));
    let completion = decide(&evidence, QUIET, time("02:00:01"));
    assert_eq!(completion.run.as_deref(), Some("P01 completed 2026-11-22T02:00:00Z"));
    assert_eq!(completion.run, decide(&evidence, QUIET, time("12:00:00")).run);
}

#[test]
fn folder_that_lost_files_after_the_metadata_was_written_makes_the_snapshot_incomplete() {
    for log in [LogEvidence::Absent, log(false, GOOD), log(true, GOOD)] {
        let mut evidence = evidence(log);
        let mut state_when = |oldest: &str, arrived: Option<&str>, last: Option<&str>| {
            let part = &mut evidence.parts[0];
            part.newer_folders = vec![named("SiteServer/inboxes", "04:00:00")];
            part.oldest_folder = Some(time(oldest));
            part.metadata_arrived = arrived.map(time);
            part.last_arrival = last.map(time);
            decide(&evidence, QUIET, time("12:00:00")).completed().is_some()
        };
        assert!(!state_when("01:50:00", None, None));
        assert!(!state_when("01:59:00", None, None));
        // All of them: it was copied here,
        assert!(state_when("03:59:00", None, None));
        assert!(state_when("03:59:00", Some("03:58:00"), Some("03:59:30")));
        // unless the metadata came when it was written,
        assert!(!state_when("03:59:00", Some("01:59:00"), Some("01:59:00")));
        // and what was taken after the last file had come was not copied.
        assert!(!state_when("03:59:00", Some("02:58:00"), Some("02:58:59")));
    }
}

#[test]
fn part_that_is_gone_makes_the_snapshot_incomplete() {
    for log in [LogEvidence::Absent, log(false, GOOD), log(true, GOOD)] {
        let with = |change: fn(&mut PartEvidence)| {
            let mut evidence = evidence(log.clone());
            change(&mut evidence.parts[0]);
            let Completion { state, reasons, .. } = decide(&evidence, QUIET, time("12:00:00"));
            (matches!(state, State::Complete { .. }), reasons.join("; "))
        };
        for (change, words) in [
            (
                (|part| {
                    part.folders.remove(&KnownFolder::SiteServer);
                }) as fn(&mut PartEvidence),
                "SiteServer",
            ),
            (|part| part.databases.clear(), "no database file"),
            (|part| part.database_logs.clear(), "no transaction log"),
        ] {
            let (complete, reasons) = with(change);
            assert!(!complete && reasons.contains(words), "{reasons}");
        }
        // What is a link is there, and missing from the archive.
        assert!(with(|part| std::mem::swap(&mut part.folders, &mut part.linked)).0);
        let without_setup = with(|part| {
            part.folders.remove(&KnownFolder::CdLatest);
        });
        assert!(without_setup.0, "2012 had none");
    }
}

#[test]
fn log_that_is_damaged_behind_the_completion_needs_the_folder_and_a_watch() {
    let mut runs = Runs::new();
    for id in [5055, 5035] {
        let clock = if id == 5055 { "01:00:00" } else { "02:00:00" };
        runs.line(&format!(
            "STATMSG: ID={id} COMP=\"SMS_SITE_BACKUP\" SITE=P01 GMTDATE=Sun Nov 22 {clock}.000 2026 NUMATTRS=0"
        ));
    }
    runs.line("\0\0\0");
    for copy in [false, true] {
        let mut evidence = evidence(LogEvidence::Read { path: "smsbkup.log".into(), copy, runs: runs.clone() });
        let (first, reasons) = check(&evidence, "12:00:00");
        assert_eq!(first, State::Incomplete);
        assert!(
            reasons.contains("is damaged behind its last message") && reasons.contains("must be watched"),
            "{reasons}"
        );
        evidence.unchanged_for = Some(QUIET);
        assert_eq!(state(&evidence, "12:00:00"), by_metadata("02:00:00"));
        newer(&mut evidence, 0, "01:59:01");
        assert_eq!(state(&evidence, "12:00:00"), State::Incomplete);
    }
}

#[test]
fn file_of_the_future_is_a_warning_and_has_to_be_watched_once() {
    for log in [LogEvidence::Absent, log(false, GOOD), log(true, GOOD)] {
        let mut evidence = evidence(log);
        evidence.parts[0].newer_folders = vec![named("SiteServer/y", "23:30:00")];
        evidence.parts[0].oldest_folder = Some(time("01:00:00"));
        newer(&mut evidence, 0, "23:00:00");
        assert_eq!(state(&evidence, "12:00:00"), State::Incomplete, "not watched yet");
        evidence.unchanged_for = Some(QUIET);
        let completion = decide(&evidence, QUIET, time("12:00:00"));
        assert!(completion.completed().is_some(), "{completion:?}");
        assert_eq!(completion.warnings.len(), 2);
        assert!(completion.warnings[0].contains("SiteServer/x is dated"), "{:?}", completion.warnings);
        // One among the files that is not of the future is a change.
        evidence.parts[0].newer_data.insert(0, named("SiteServer/z", "11:00:00"));
        assert_eq!(state(&evidence, "12:00:00"), State::Incomplete);
    }
}

#[test]
fn wrong_log_is_a_fault_of_a_complete_snapshot() {
    let mut evidence = evidence(LogEvidence::Absent);
    evidence.log_fault = Some("x.log is not the log".into());
    assert_eq!(decide(&evidence, QUIET, time("12:00:00")).faults, ["x.log is not the log"]);
}

#[test]
fn clock_that_is_set_back_during_the_run_does_not_make_the_snapshot_an_old_one() {
    let mut evidence = evidence(log(false, &[(5055, "02:30:00"), (5056, "02:35:00"), (5035, "02:00:00")]));
    assert_eq!(state(&evidence, "02:00:01"), by_log("02:00:00"));
    evidence.log = log(false, &[(5055, "16:00:00"), (5056, "16:05:00"), (5035, "16:30:00")]);
    assert_eq!(state(&evidence, "16:30:01"), State::Unknown);
}

#[test]
fn newer_start_or_failure_is_told() {
    let lines = [GOOD, &[(5055, "03:00:00")]].concat();
    assert_eq!(state(&evidence(log(false, &lines)), "12:00:00"), State::Running);
    let lines = [GOOD, &[(5055, "03:00:00"), (5049, "03:01:00")]].concat();
    assert_eq!(state(&evidence(log(false, &lines)), "12:00:00"), State::Failed { id: Some(5049) });
}

#[test]
fn completed_log_without_metadata_is_incomplete() {
    let mut evidence = evidence(log(false, GOOD));
    evidence.parts[0].metadata = None;
    let (state, reasons) = check(&evidence, "12:00:00");
    assert_eq!(state, State::Incomplete);
    assert!(reasons.contains("although the log says"), "{reasons}");
}

#[test]
fn without_log_metadata_and_quiet_are_needed() {
    for log in [
        LogEvidence::Absent,
        LogEvidence::Unreadable { path: "smsbkup.log".into(), reason: "access denied".into() },
        log(false, &[]),
        log(true, &[(5055, "01:00:00")]),
    ] {
        let mut evidence = evidence(log);
        assert_eq!(state(&evidence, "02:00:00"), State::Incomplete, "not quiet yet");
        assert_eq!(state(&evidence, "02:01:00"), by_metadata("01:59:00"));
        evidence.unchanged_for = Some(QUIET);
        assert_eq!(state(&evidence, "02:00:00"), by_metadata("01:59:00"), "watched long enough");
        evidence.unchanged_for = None;
        newer(&mut evidence, 0, "01:59:01");
        let (state, reasons) = check(&evidence, "12:00:00");
        assert_eq!(state, State::Incomplete);
        assert!(reasons.contains("SiteServer/x"), "{reasons}");
    }
}

#[test]
fn metadata_as_old_as_the_newest_file_is_enough() {
    let mut evidence = evidence(LogEvidence::Absent);
    evidence.parts[0].newest_data.as_mut().unwrap().modified = time("01:59:00");
    assert_eq!(state(&evidence, "12:00:00"), by_metadata("01:59:00"));
}

#[test]
fn log_that_ends_before_the_snapshot_does_not_tell_of_it() {
    let mut evidence = evidence(log(false, &[(5055, "00:10:00"), (5035, "00:20:00")]));
    assert_eq!(state(&evidence, "02:00:00"), State::Incomplete, "not quiet yet");
    let (state, reasons) = check(&evidence, "12:00:00");
    assert_eq!(state, by_metadata("01:59:00"));
    assert!(reasons.contains("does not tell of this snapshot"), "{reasons}");
    newer(&mut evidence, 0, "02:30:00");
    assert_eq!(super::decide(&evidence, QUIET, time("12:00:00")).state, State::Incomplete);
}

#[test]
fn old_folder_does_not_get_the_date_of_a_new_backup() {
    let (state, reasons) = check(&evidence(log(false, &[(5055, "03:00:00"), (5035, "04:00:00")])), "12:00:00");
    assert_eq!(state, State::Unknown);
    assert!(reasons.contains("another folder"), "{reasons}");
    assert_eq!(
        super::decide(&evidence(log(false, &[(5035, "20:00:00")])), QUIET, time("21:00:00")).state,
        State::Unknown
    );
}

#[test]
fn completion_whose_start_rolled_away_counts() {
    assert_eq!(state(&evidence(log(false, &[(5035, "02:00:00")])), "02:00:01"), by_log("02:00:00"));
}

#[test]
fn change_after_the_completion_makes_the_snapshot_incomplete() {
    let mut evidence = evidence(log(false, GOOD));
    newer(&mut evidence, 0, "02:30:00");
    evidence.unchanged_for = Some(QUIET);
    assert_eq!(state(&evidence, "12:00:00"), State::Incomplete);
    // Within what the clocks of two servers may differ, it is watched.
    newer(&mut evidence, 0, "02:04:00");
    assert_eq!(state(&evidence, "12:00:00"), by_log("02:00:00"));
    evidence.unchanged_for = None;
    assert_eq!(state(&evidence, "12:00:00"), State::Incomplete);
}

#[test]
fn copied_log_is_enough_only_while_nothing_changed_since() {
    let mut evidence = evidence(log(true, GOOD));
    assert_eq!(state(&evidence, "02:00:10"), by_log("02:00:00"));
    // The next run begins to clean: only folders change.
    evidence.parts[0].newest_change = Some(time("23:00:00"));
    assert_eq!(state(&evidence, "23:00:10"), State::Incomplete);
    assert_eq!(state(&evidence, "23:10:00"), by_metadata("02:00:00"));
}

#[test]
fn completion_without_time_takes_the_stamp_of_the_metadata() {
    let evidence = evidence(log(false, &[(5055, "01:00:00"), (5035, "")]));
    assert_eq!(state(&evidence, "12:00:00"), by_metadata("01:59:00"));
}

#[test]
fn database_must_be_there() {
    let mut evidence = evidence(log(false, GOOD));
    evidence.parts[0].databases[0].1 = 0;
    assert_eq!(state(&evidence, "12:00:00"), State::Incomplete);
    evidence.parts[0].databases.clear();
    let (state, reasons) = check(&evidence, "12:00:00");
    assert_eq!(state, State::Incomplete);
    assert!(reasons.contains("sql-path"), "{reasons}");
}

#[test]
fn halves_of_one_run_are_complete() {
    assert_eq!(state(&two_parts(log(false, GOOD), "01:30:00"), "02:00:10"), by_log("02:00:00"));
    assert_eq!(state(&two_parts(LogEvidence::Absent, "01:30:00"), "12:00:00"), by_metadata("01:59:00"));
    // The copy of the log knows when the run began.
    assert_eq!(state(&two_parts(log(true, &GOOD[..1]), "05:30:00"), "12:00:00"), by_metadata("01:59:00"));
}

#[test]
fn halves_of_different_runs_are_not() {
    for (log, metadata) in [
        (log(false, GOOD), "00:54:00"),
        (log(false, GOOD), "02:10:00"),
        (log(true, GOOD), "00:54:00"),
        (log(true, &GOOD[..1]), "00:54:00"),
        (log(true, &GOOD[..1]), "15:00:00"),
        (LogEvidence::Absent, "05:30:00"),
        (LogEvidence::Absent, ""),
        (log(false, GOOD), ""),
    ] {
        assert_eq!(state(&two_parts(log, metadata), "23:00:00"), State::Incomplete, "{metadata}");
    }
}

#[test]
fn database_half_needs_its_own_metadata_newer_than_its_data_where_the_log_does_not_tell() {
    let mut evidence = two_parts(LogEvidence::Absent, "01:30:00");
    newer(&mut evidence, 1, "01:31:00");
    assert_eq!(state(&evidence, "12:00:00"), State::Incomplete);
    evidence.log = log(false, GOOD);
    evidence.unchanged_for = Some(QUIET);
    assert_eq!(state(&evidence, "12:00:00"), by_log("02:00:00"));
}

#[test]
fn failed_database_half_fails() {
    let mut evidence = two_parts(log(false, GOOD), "01:30:00");
    evidence.parts[1].log = log(true, &[(5055, "01:00:00"), (5049, "01:20:00")]);
    assert_eq!(state(&evidence, "12:00:00"), State::Failed { id: Some(5049) });
}

#[test]
fn clock_that_is_wrong_is_told() {
    let past: Timestamp = "1990-01-01T00:00:00Z".parse().unwrap();
    let by_log = decide(&evidence(log(false, GOOD)), QUIET, past);
    assert_eq!(by_log.completed(), Some(time("02:00:00")));
    assert!(by_log.reasons.join(";").contains("future"));
    let mut evidence = evidence(LogEvidence::Absent);
    assert_eq!(decide(&evidence, QUIET, past).state, State::Incomplete);
    evidence.unchanged_for = Some(QUIET);
    assert_eq!(decide(&evidence, QUIET, past).completed(), Some(time("01:59:00")));
    let future: Timestamp = "2090-01-01T00:00:00Z".parse().unwrap();
    assert_eq!(decide(&evidence, QUIET, future).completed(), Some(time("01:59:00")));
}

/// A run of the task over a folder that holds a completed snapshot, in steps of less than the quiet period.
struct Task {
    second: i64,
    runs: Runs,
    copy: Option<Runs>,
    files: Vec<i64>,
    metadata: Option<i64>,
    change: i64,
    whole: bool,
}

impl Task {
    fn report(&mut self, id: u32) {
        let at = Timestamp::from_second(self.second).unwrap().strftime("%a %b %d %H:%M:%S.000 %Y");
        self.runs.line(&format!("STATMSG: ID={id} COMP=\"SMS_SITE_BACKUP\" SITE=P01 GMTDATE={at} NUMATTRS=0"));
    }

    fn evidence(&self, mode: u8) -> Evidence {
        let time = |second| Timestamp::from_second(second).unwrap();
        let read = |copy, runs| LogEvidence::Read { path: "smsbkup.log".into(), copy, runs };
        let log = match mode {
            0 => read(false, self.runs.clone()),
            1 => self.copy.clone().map_or(LogEvidence::Absent, |runs| read(true, runs)),
            _ => LogEvidence::Absent,
        };
        let newest = self.files.iter().max().map(|second| NewestFile { name: "x".into(), modified: time(*second) });
        let mut site = part(PartKind::Site, "01:00:00", "");
        site.data_files = self.files.len() as u64;
        site.newest_data = newest;
        site.metadata = self.metadata.map(time);
        let newer = self.files.iter().filter(|file| self.metadata.is_some_and(|metadata| **file > metadata));
        site.newer_data = newer.map(|file| NewestFile { name: "x".into(), modified: time(*file) }).collect();
        site.newest_change = Some(time(self.change));
        if self.files.is_empty() {
            site.databases.clear();
        }
        Evidence { site: "P01".parse().unwrap(), log, log_fault: None, parts: vec![site], unchanged_for: None }
    }
}

proptest! {
    /// Looked at after every step of several runs, with the log, its copy or neither: never complete unless whole,
    /// and complete in the end.
    #[test]
    fn snapshot_at_work_is_never_complete(
        steps in prop::collection::vec((1_i64..110, any::<prop::sample::Index>(), 0_u8..20), 5..120),
        mode in 0_u8..3,
        late_copy: bool,
    ) {
        let mut task = Task { second: 1_800_000_000, runs: Runs::new(), copy: None, files: vec![], metadata: None, change: 1_800_000_000, whole: false };
        let mut phase = 0;
        let mut copied = 0;
        for (gap, index, dice) in steps {
            task.second += gap;
            let mut changed = true;
            match phase {
                // Nothing is done; then the next run starts.
                0 => {
                    changed = false;
                    if dice < 10 {
                        task.second += COPY_SLACK.as_secs();
                        task.report(5055);
                        phase = 1;
                    }
                }
                // Cleaning takes files in any order.
                1 => {
                    task.whole = false;
                    let rest = task.files.len() + usize::from(task.metadata.is_some()) + usize::from(task.copy.is_some());
                    if rest == 0 {
                        task.report(5056);
                        copied = 0;
                        phase = 2;
                    } else {
                        let at = index.index(rest);
                        if at < task.files.len() {
                            task.files.swap_remove(at);
                        } else if task.metadata.is_some() && (at == task.files.len() || task.copy.is_none()) {
                            task.metadata = None;
                        } else {
                            task.copy = None;
                        }
                    }
                }
                // Copies keep the times of their originals. Some runs fail.
                2 if dice == 0 => {
                    task.report(5049);
                    phase = 0;
                }
                2 => {
                    task.files.push(task.second - i64::from(dice) * 1000);
                    copied += 1;
                    if copied == 4 {
                        if !late_copy {
                            task.copy = Some(task.runs.clone());
                        }
                        phase = 3;
                    }
                }
                3 => {
                    task.metadata = Some(task.second);
                    task.whole = true;
                    phase = 4;
                }
                _ => {
                    task.report(5035);
                    if late_copy {
                        task.copy = Some(task.runs.clone());
                    }
                    phase = 0;
                }
            }
            if changed {
                task.change = task.second;
            }
            let now = Timestamp::from_second(task.second).unwrap();
            let completion = decide(&task.evidence(mode), QUIET, now);
            prop_assert!(task.whole || completion.completed().is_none(), "{:?}", completion);
            if mode == 0 {
                prop_assert_eq!(completion.completed().is_some(), task.whole && phase == 0, "{:?}", completion);
            }
            if phase == 0 && task.whole {
                let later = now.checked_add(SignedDuration::from_mins(3)).unwrap();
                prop_assert!(decide(&task.evidence(mode), QUIET, later).completed().is_some());
            }
        }
    }
}

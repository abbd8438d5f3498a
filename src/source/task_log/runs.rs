//! Status messages in the order of the log, put into runs of the backup task.
//!
//! The order is that of the lines, never that of their times: a server's clock may be set back. Where the log leaves
//! a doubt, it is decided against "completed": a failure is not undone by a completion without a new start, a message
//! without site starts or fails the run of any site but completes none, and cleaning without a start is a run.
//!
//! Logs are read after crashes and full disks. A message counts wherever it is on its line, whatever is in front of
//! it: a start and a failure as soon as they can be read, a completion only when it is whole. What no writer of logs
//! writes, or a record that is cut, is a [`Damage`]: something was written there, and may have been the next start.

use std::borrow::Cow;
use std::collections::VecDeque;
use std::sync::LazyLock;

use jiff::Timestamp;
use memchr::memmem::Finder;

use super::line::{CMTRACE_CLOSE, CMTRACE_OPEN, Line, STATUS_MARK, Status};
use super::text::RawLine;
use crate::name::SiteCode;

/// How many runs are kept: the last ones.
pub const MAX_RUNS: usize = 100;

const STARTED: u32 = 5055;
const SNAPSHOT_DONE: u32 = 5056;
const COMPLETED: u32 = 5035;
const AFTER_BACKUP: u32 = 5040;

const CLEANING: &str = "Starting to clean the backup location ";
const FAILED: &str = "SMS site backup failed";

/// The field that a start has.
const START_ID: &str = "ID=5055";
/// Fields that only status messages have.
const LOST_MARK: [&str; 4] = ["GMTDATE=", "NUMATTRS=", "COMP=\"SMS_", START_ID];

/// What is in front of the first status message of a line, and every message up to the next one.
fn divided(line: &str) -> (&str, Vec<&str>) {
    let marks = |line: &str| line.match_indices(STATUS_MARK).map(|(at, _)| at).collect::<Vec<_>>();
    let begins = marks(line);
    let Some(&first) = begins.first() else { return (line, vec![]) };
    let ends = begins.iter().skip(1).copied().chain([line.len()]);
    let messages = begins.iter().zip(ends).filter_map(|(begin, end)| line.get(*begin..end)).collect();
    (line.get(..first).unwrap_or_default(), messages)
}

fn without_garbage(text: &str) -> Cow<'_, str> {
    if text.contains(is_garbage) {
        text.chars().filter(|c| !is_garbage(*c)).collect::<String>().into()
    } else {
        text.into()
    }
}

/// May there be something that counts in these bytes?
fn mentions(bytes: &[u8]) -> bool {
    static WORDS: LazyLock<[Finder<'_>; 9]> = LazyLock::new(|| {
        ["STATMSG", "GMTDATE", "NUMATTRS", "COMP=", "5055", "ackup ", "LOG[", "LOG]", "$$<"].map(Finder::new)
    });
    WORDS.iter().any(|word| word.find(bytes).is_some())
}

/// Bytes that no writer of logs writes.
fn is_control(byte: u8) -> bool {
    (byte < b' ' && byte != b'\t') || byte == 0x7F
}

/// Characters that no writer of logs writes. Undefined bytes of Windows-1252 become control characters, too.
fn is_garbage(c: char) -> bool {
    (c.is_control() && c != '\t') || matches!(c, '\u{feff}' | '\u{fffd}')
}

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
    /// The number of its last start or end, counted through the log.
    pub(crate) event: u64,
}

/// Something in a log that is no record of one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Damage {
    /// NULs, other control characters or a byte order mark inside.
    Garbage,
    /// A line far longer than any that is written.
    LongLine,
    /// A status message or the end of a record was cut or overwritten.
    Cut,
    /// The last record is not finished.
    Unfinished,
}

impl std::fmt::Display for Damage {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Garbage => "bytes that are not text",
            Self::LongLine => "a line of over 64 KiB",
            Self::Cut => "a record that was cut or overwritten",
            Self::Unfinished => "a record that is not finished",
        })
    }
}

impl Run {
    fn new(site: Option<SiteCode>) -> Self {
        let outcome = Outcome::Running;
        Self { site, started: None, cleaning: None, snapshot_done: None, after_backup: None, outcome, event: 0 }
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
#[allow(clippy::struct_excessive_bools, reason = "four things that were seen or not")]
pub struct Runs {
    list: VecDeque<Run>,
    /// Starts and ends so far.
    events: u64,
    /// The last damage, and how many starts and ends are in front of it.
    damage: Option<(u64, Damage)>,
    /// The last line has no stamp, and may be continued by the next,
    continued: bool,
    /// which the records of this log all have.
    stamped: bool,
    /// Did any line come from the backup task?
    of_task: bool,
    /// Was there any line?
    lines: bool,
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
        self.list.iter()
    }

    /// The last run of a site. A run whose site the log does not tell may be of any site, and counts.
    #[must_use]
    pub fn last(&self, site: SiteCode) -> Option<&Run> {
        self.list.iter().rev().find(|run| run.concerns(Some(site)))
    }

    /// What is damaged behind the last start or end of a run of the site: it may have been the next start.
    #[must_use]
    pub fn damage(&self, site: SiteCode) -> Option<Damage> {
        let last = self.last(site).map_or(0, |run| run.event);
        let damage = self.damage.filter(|(events, _)| *events >= last).map(|(_, damage)| damage);
        damage.or((self.continued && self.stamped).then_some(Damage::Unfinished))
    }

    /// Is there anything in it, and nothing of the backup task? Then it is another program's log, or no log.
    #[must_use]
    pub fn is_foreign(&self) -> bool {
        self.lines && !self.of_task && self.list.is_empty()
    }

    /// Takes the next whole line of the log.
    pub fn line(&mut self, line: &str) {
        self.take(line, false);
    }

    /// Takes a line that may still be in the middle of being written: a start or a failure counts at once, good news
    /// only when its message is whole.
    pub fn unfinished_line(&mut self, line: &str) {
        self.take(line, false);
        // A record that is whole lacks nothing but its line end.
        let message = divided(line).1.last().and_then(|message| Status::parse(message));
        let whole = Line::parse(line).stamp.is_some() || message.is_some_and(|status| status.whole);
        if !whole && !line.trim().is_empty() {
            self.harm(Damage::Unfinished);
        }
    }

    /// The same as [`Self::line`], without decoding what says nothing: most of a log, and of the gigabytes that a
    /// damaged one may have.
    pub(super) fn raw_line(&mut self, line: RawLine<'_>) {
        let known = line.ascii().is_some_and(|bytes| self.says_nothing(bytes, line.long));
        if !known {
            self.take(&line.text(), line.long);
        }
    }

    /// Takes a line that is neither a record nor a message, if that can be told from its bytes alone.
    fn says_nothing(&mut self, bytes: &[u8], long: bool) -> bool {
        let control = bytes.iter().fold(false, |found, byte| found | is_control(*byte));
        let ascii = bytes.is_ascii();
        let says = match (control, ascii) {
            // Garbage in any case, but a message may be in it.
            (true, _) => mentions(&bytes.iter().copied().filter(|byte| !is_control(*byte)).collect::<Vec<_>>()),
            (false, true) => mentions(bytes),
            (false, false) => true,
        };
        if says {
            return false;
        }
        if !bytes.iter().all(|byte| byte.is_ascii_whitespace() || *byte == 0x0B) {
            self.lines = true;
            self.continued = true;
            if long {
                self.harm(Damage::LongLine);
            }
            if control {
                self.harm(Damage::Garbage);
            }
        }
        true
    }

    fn harm(&mut self, damage: Damage) {
        self.damage = Some((self.events, damage));
    }

    fn take(&mut self, raw: &str, long: bool) {
        if raw.trim().is_empty() {
            return;
        }
        self.lines = true;
        if long {
            self.harm(Damage::LongLine);
        }
        // In the order in which they were written: damage in front of a message is older than it.
        let (before, messages) = divided(raw);
        let last = messages.last().copied().unwrap_or(before);
        let cleaned = without_garbage(last);
        let line = Line::parse(&cleaned);
        let stamp = line.stamp.as_ref().and_then(super::Stamp::utc);
        self.text(before, stamp.filter(|_| messages.is_empty()));
        for message in &messages {
            self.message(message);
        }
        if line.damaged {
            self.harm(Damage::Cut);
        }
        let of_task = |stamp: &super::Stamp<'_>| stamp.component.to_ascii_uppercase().contains("BACKUP");
        self.of_task |= line.stamp.as_ref().is_some_and(of_task);
        let open = raw.trim_start().starts_with(CMTRACE_OPEN) && !raw.contains(CMTRACE_CLOSE);
        self.stamped |= line.stamp.is_some() || open;
        self.continued = line.stamp.is_none() && messages.is_empty();
    }

    /// Text from the mark of a status message to the next one, or to the end of the line.
    fn message(&mut self, raw: &str) {
        let clean = raw.split(is_garbage).next().unwrap_or_default();
        let cleaned = without_garbage(raw);
        let whole = Status::parse(clean).filter(|status| status.whole);
        let is_whole = whole.is_some();
        match whole.or_else(|| Status::parse(&cleaned)) {
            Some(status) => {
                let stamp = Line::parse(&cleaned).stamp.and_then(|stamp| stamp.utc());
                self.status(&status, stamp, is_whole);
            }
            // Its id is damaged, and may come later.
            None if cleaned.contains(START_ID) => self.start(None, None),
            None => {}
        }
        if !is_whole {
            self.harm(Damage::Cut);
        } else if clean.len() < raw.len() {
            self.harm(Damage::Garbage);
        }
    }

    fn status(&mut self, status: &Status<'_>, stamp: Option<Timestamp>, whole: bool) {
        let at = status.time.or(stamp);
        let foreign = status.component.is_some_and(|component| !component.to_ascii_uppercase().contains("BACKUP"));
        if foreign {
            // The name of the component may be damaged: then bad news is news all the same.
            match status.id {
                STARTED => self.start(status.site, at),
                id if is_failure(id) => self.harm(Damage::Cut),
                _ => {}
            }
            return;
        }
        self.of_task = true;
        match status.id {
            STARTED => self.start(status.site, at),
            // A warning is none: what counts is how the run ends.
            id if is_failure(id) && status.severity != Some("W") => {
                self.events += 1;
                let event = self.events;
                let run = self.current(status.site);
                run.fail(Some(id), at);
                run.event = event;
            }
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
    fn text(&mut self, raw: &str, at: Option<Timestamp>) {
        let text = without_garbage(raw);
        if text.len() < raw.len() {
            self.harm(Damage::Garbage);
        }
        let messages = divided(&text).1;
        for status in messages.iter().filter_map(|message| Status::parse(message)) {
            self.status(&status, at, false);
            self.harm(Damage::Cut);
        }
        if messages.is_empty() && LOST_MARK.iter().any(|part| text.contains(part)) {
            // A status message without its beginning.
            if text.contains(START_ID) {
                self.start(None, at);
            }
            self.harm(Damage::Cut);
        }
        if let Some((_, path)) = text.split_once(CLEANING) {
            let path = Line::parse(path).text;
            let folder = path.trim_end_matches('.').rsplit(['\\', '/']).find(|name| !name.is_empty());
            let site = folder.and_then(super::super::site_of_folder);
            let active = self.existing(site).is_some_and(|run| run.outcome == Outcome::Running);
            if !active {
                self.push(Run::new(site));
            }
            self.current(site).cleaning = Some(Seen { at });
        } else if text.contains(FAILED) {
            self.current(None).fail(None, at);
        }
    }

    fn start(&mut self, site: Option<SiteCode>, at: Option<Timestamp>) {
        self.events += 1;
        let event = self.events;
        if let Some(run) = self.existing(site)
            && run.outcome == Outcome::Running
        {
            // Cleaning was logged before the start: the same run.
            if run.started.is_none() && run.snapshot_done.is_none() {
                run.started = Some(Seen { at });
                run.site = run.site.or(site);
                run.event = event;
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
        self.events += 1;
        let event = self.events;
        match self.existing(site) {
            Some(run) if run.outcome == Outcome::Running => {
                run.outcome = completed;
                run.site = site;
                run.event = event;
            }
            Some(run) if run.outcome == completed => run.event = event,
            Some(run) if matches!(run.outcome, Outcome::Failed { .. }) => {}
            // The log does not reach back to the start, or lost it.
            _ => self.push(Run { outcome: completed, ..Run::new(site) }),
        }
    }

    fn existing(&mut self, site: Option<SiteCode>) -> Option<&mut Run> {
        self.list.iter_mut().rev().find(|run| run.concerns(site))
    }

    /// The last run of the site, or a new one if the log does not reach back to any.
    fn current(&mut self, site: Option<SiteCode>) -> &mut Run {
        let at = self.list.iter().rposition(|run| run.concerns(site)).unwrap_or_else(|| {
            self.push(Run::new(site));
            self.list.len() - 1
        });
        &mut self.list[at]
    }

    fn push(&mut self, mut run: Run) {
        self.events += 1;
        run.event = self.events;
        if self.list.len() == MAX_RUNS {
            self.list.pop_front();
        }
        self.list.push_back(run);
    }

    /// Takes over the last runs of what was known before the log was read anew, where the log no longer tells of them.
    pub(super) fn keep_newer_of(&mut self, known: &Self) {
        let mut sites: Vec<Option<SiteCode>> = Vec::new();
        let mut kept = Vec::new();
        for run in known.list.iter().rev() {
            if sites.contains(&run.site) {
                continue;
            }
            sites.push(run.site);
            let told = self.list.iter().any(|other| other.concerns(run.site) && other.latest() >= run.latest());
            if !told {
                kept.push(run.clone());
            }
        }
        for run in kept.into_iter().rev() {
            let doubtful = run.site.and_then(|site| known.damage(site));
            self.push(run);
            if let Some(damage) = doubtful {
                self.harm(damage);
            }
        }
    }
}

#[cfg(test)]
pub(super) mod tests {
    use proptest::prelude::*;

    use super::*;

    // All logs here are synthetic, built on the published formats.

    pub(in crate::source::task_log) fn status(id: u32, site: &str, clock: &str) -> String {
        let severity = if is_failure(id) { 'E' } else { 'I' };
        format!(
            "STATMSG: ID={id} SEV={severity} LEV=M SOURCE=\"SMS Server\" COMP=\"SMS_SITE_BACKUP\" SYS=cm01.example.net SITE={site} PID=4804 TID=5172 GMTDATE=Sun Nov 22 {clock}.000 2026 ISTR0=\"\" ISTR1=\"\" NUMATTRS=0  $$<SMS_SITE_BACKUP><11-22-2026 {clock}.000+000><thread=5172 (0x1434)>"
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

    fn damage(text: &str) -> Option<Damage> {
        let (mut runs, mut lines) = (Runs::new(), super::super::Lines::new());
        lines.push_raw(text.as_bytes(), |line| runs.raw_line(line));
        if let Some(line) = lines.unfinished() {
            runs.unfinished_line(&line);
        }
        runs.damage(p01())
    }

    #[test]
    fn start_and_failure_count_wherever_they_are_on_their_line() {
        let good = status(5035, "P01", "02:00:00");
        let nuls = "\0".repeat(3000);
        for (id, wanted) in [(5055, Outcome::Running), (5049, Outcome::Failed { id: Some(5049), at: time("03:00:00") })]
        {
            let message = status(id, "P01", "03:00:00");
            let spread: String = message.chars().flat_map(|c| [c, '\0']).collect();
            for line in [
                format!("{nuls}{message}"),
                format!("\u{feff}{message}"),
                format!("a record without its end{message}"),
                format!("{}{message}", status(5040, "P01", "02:00:01")),
                format!("{nuls}{spread}"),
                format!("{}{message}", "x".repeat(70_000)),
            ] {
                let mut runs = runs(&[status(5055, "P01", "01:00:00"), good.clone()]);
                let mut lines = super::super::Lines::new();
                lines.push_raw((line.clone() + "\n").as_bytes(), |line| runs.raw_line(line));
                assert_eq!(runs.last(p01()).unwrap().outcome, wanted, "{}", line.replace('\0', "."));
            }
        }
    }

    #[test]
    fn damaged_name_of_the_component_hides_no_bad_news() {
        let good = status(5035, "P01", "02:00:00");
        for id in [5055, 5049] {
            let message = status(id, "P01", "03:00:00");
            for component in ["\"SMS_SITE_BACKUP", "SMS_SITE_BAxCKUP", ""] {
                let message = message.replace("COMP=\"SMS_SITE_BACKUP\"", &format!("COMP=\"{component}\""));
                let runs = runs(&[status(5055, "P01", "01:00:00"), good.clone(), message]);
                let running = runs.last(p01()).unwrap().outcome == Outcome::Running;
                assert!(running || runs.damage(p01()).is_some(), "{id} {component}");
            }
        }
    }

    #[test]
    fn completion_counts_behind_garbage_when_it_is_whole_and_only_then() {
        let (start, good) = (status(5055, "P01", "01:00:00"), status(5035, "P01", "02:00:00"));
        let completed = Some(Outcome::Completed { at: time("02:00:00") });
        assert_eq!(outcome(&[start.clone(), format!("\0\0\0{good}")]), completed);
        assert_eq!(outcome(&[format!("{start}{good}")]), completed);
        let inside = good.replace("SYS=", "SYS=\0\0");
        assert_eq!(outcome(&[start.clone(), inside]), Some(Outcome::Running));
        let (cut, _) = good.split_once("NUMATTRS").unwrap();
        assert_eq!(outcome(&[start, cut.to_owned()]), Some(Outcome::Running));
    }

    #[test]
    fn damage_behind_the_last_message_is_known_and_damage_before_it_is_none() {
        let (start, good) = (status(5055, "P01", "01:00:00") + "\r\n", status(5035, "P01", "02:00:00") + "\r\n");
        let text = "Backup is being cleaned up.  $$<SMS_SITE_BACKUP><11-22-2026 02:00:01.000+000><thread=1 (0x1)>\r\n";
        let sound = format!("{start}{good}{text}");
        assert_eq!(damage(&sound), None);
        for before in ["\0\0\0", "\0\0\0\r\n", "STATMSG: ID=50\r\n", "\u{feff}"] {
            assert_eq!(damage(&format!("{start}{before}{good}{text}")), None, "{before:?}");
        }
        for (behind, kind) in [
            ("\0\0\0", Damage::Unfinished),
            ("\0\0\0\r\n", Damage::Garbage),
            ("STATMSG: ID=50\r\n", Damage::Cut),
            ("G: ID=50 COMP=\"SMS_SITE_BACKUP\" SITE=P01 GMTDATE=x\r\n", Damage::Cut),
            ("some text  $$<SMS_SITE_BA\r\n", Damage::Cut),
            ("some text", Damage::Unfinished),
            ("<![LOG[some text\r\n", Damage::Unfinished),
            (&("x".repeat(70_000) + "\r\n"), Damage::LongLine),
        ] {
            assert_eq!(damage(&format!("{start}{good}{behind}")), Some(kind), "{behind:.40}");
            assert_eq!(damage(&format!("{start}{behind}\r\n{start}{good}{text}")), None, "{behind:.40}");
        }
    }

    #[test]
    fn warning_with_the_id_of_a_failure_fails_nothing() {
        let (start, good) = (status(5055, "P01", "01:00:00"), status(5035, "P01", "02:00:00"));
        let message = status(5048, "P01", "01:30:00");
        for (severity, failed) in [("W", false), ("I", true), ("E", true), ("X", true)] {
            let message = message.replace("SEV=E", &format!("SEV={severity}"));
            for lines in [[start.clone(), message.clone(), good.clone()], [start.clone(), good.clone(), message]] {
                let outcome = outcome(&lines);
                assert_eq!(matches!(outcome, Some(Outcome::Failed { .. })), failed, "{severity} {outcome:?}");
            }
        }
    }

    #[test]
    fn log_of_another_program_is_told_from_that_of_the_task() {
        let line = |component: &str| format!("text  $$<{component}><11-22-2026 01:00:00.000+000><thread=1 (0x1)>");
        assert!(runs(&[line("SMS_EXECUTIVE")]).is_foreign());
        assert!(runs(&["\0\0".to_owned(), "MZ\u{1}".to_owned()]).is_foreign());
        assert!(!runs(&[line("SMS_EXECUTIVE"), line("SMS_SITE_BACKUP")]).is_foreign());
        assert!(!runs(&[status(5040, "P01", "01:00:00")]).is_foreign());
        assert!(!Runs::new().is_foreign());
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

        /// Whatever is put anywhere into a log whose last run has begun, or takes the place of some bytes there: the
        /// run before is never complete without a doubt, as long as anything of the start is left.
        #[test]
        fn no_damage_hides_a_start(
            place in any::<prop::sample::Index>(),
            garbage in prop_oneof![
                prop::collection::vec(any::<u8>(), 1..40),
                (1_usize..70_000).prop_map(|count| vec![0; count]),
                "[ -~]{1,20}".prop_map(String::into_bytes),
                Just(b"\r\n".to_vec()),
                Just("\u{feff}".as_bytes().to_vec()),
            ],
            lost in 0_usize..120,
        ) {
            let text = [5055, 5035, 5055].map(|id| status(id, "P01", "01:00:00") + "\r\n").concat();
            let start = text.len() - status(5055, "P01", "01:00:00").len() - 2;
            let mut bytes = text.into_bytes();
            let at = place.index(bytes.len());
            // A whole line, or what is left of it looks like another text, cannot be missed.
            let lost = if at < start { lost.min(start - at) } else { lost.min(bytes.len() - at) };
            let mut runs = Runs::new();
            let mut lines = super::super::Lines::new();
            bytes.splice(at..at + lost, garbage);
            lines.push_raw(&bytes, |line| runs.raw_line(line));
            if let Some(line) = lines.unfinished() {
                runs.unfinished_line(&line);
            }
            let last = runs.last(p01()).unwrap().outcome;
            let sure = matches!(last, Outcome::Completed { .. }) && runs.damage(p01()).is_none();
            prop_assert!(!sure, "{last:?} of {}", String::from_utf8_lossy(&bytes));
        }

        /// What is told from the bytes alone is what reading the text would tell.
        #[test]
        fn bytes_tell_what_the_text_tells(
            lines in prop::collection::vec(
                prop_oneof![
                    "[ -~]{0,30}",
                    "[\\x00-\\x1F]{0,4}[a-z $<>\\[\\]]{0,9}[\\x00-\\x1F]{0,4}",
                    Just("STA\0TMSG: ID=5055 SITE=P01".to_owned()),
                    Just("text  $$<SMS_X><11-22-2026 01:00:00.000+000><thread=1 (0x1)>".to_owned()),
                    Just(status(5035, "P01", "01:00:00")),
                    Just("Starting to clean the backup location E:\\P01Backup.".to_owned()),
                ],
                0..8,
            ),
        ) {
            let text = lines.join("\n") + "\n";
            let (mut by_bytes, mut by_text) = (Runs::new(), Runs::new());
            super::super::Lines::new().push_raw(text.as_bytes(), |line| by_bytes.raw_line(line));
            super::super::Lines::new().push(text.as_bytes(), |line| by_text.line(line));
            prop_assert_eq!(by_bytes, by_text);
        }

        /// A log cut anywhere behind a completion tells of the next start, or of a doubt, once a byte of it is there.
        #[test]
        fn no_cut_hides_a_start(cut in any::<prop::sample::Index>()) {
            let good = [5055, 5035].map(|id| status(id, "P01", "01:00:00") + "\r\n").concat();
            let start = status(5055, "P01", "03:00:00") + "\r\n";
            let cut = 1 + cut.index(start.len() - 1);
            let text = good + start.get(..cut).unwrap();
            let mut runs = Runs::new();
            let mut lines = super::super::Lines::new();
            lines.push_raw(text.as_bytes(), |line| runs.raw_line(line));
            if let Some(line) = lines.unfinished() {
                runs.unfinished_line(&line);
            }
            let last = runs.last(p01()).unwrap().outcome;
            prop_assert!(last == Outcome::Running || runs.damage(p01()).is_some(), "{last:?}");
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

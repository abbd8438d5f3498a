//! The backup task of a site, simulated: it drives a real folder and a real log through its runs, in virtual time.
//!
//! A run is the order of things in the product's documentation: 5055, cleaning, 5056, copying, metadata, 5035,
//! AfterBackup.bat (5040). How long each takes, in which order files go and come, where a run fails or dies, and when
//! the log rolls over, is drawn from a seed. All log lines are synthetic, built on the published formats.
//!
//! Every file says of which run it is: an archive with files of two runs, or without some, is torn.

#![allow(unreachable_pub, reason = "as in the harness")]

use std::collections::{BTreeMap, VecDeque};
use std::fs::{self, File};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use afterbackup::cancel::Cancel;
use afterbackup::clock::Clock;
use jiff::{SignedDuration, Timestamp};

use crate::harness::{log_line, status_message, touch};

/// Numbers from a seed.
#[derive(Debug, Clone)]
pub struct Random(u64);

impl Random {
    pub fn new(seed: u64) -> Self {
        Self(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) ^ 0x2545_f491_4f6c_dd1d)
    }

    /// Below `end`.
    pub fn below(&mut self, end: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 >> 11) % end
    }

    pub fn one_in(&mut self, chances: u64) -> bool {
        self.below(chances) == 0
    }

    fn shuffle<T>(&mut self, list: &mut [T]) {
        for at in (1..list.len()).rev() {
            list.swap(at, usize::try_from(self.below(at as u64 + 1)).unwrap());
        }
    }
}

/// What the task does at a moment.
#[derive(Debug, Clone)]
enum Step {
    Start,
    Clean,
    Delete(PathBuf),
    SnapshotDone,
    Copy(PathBuf),
    CopyLog,
    Complete,
    AfterBackup,
    Fail(u32),
    RollOver,
    Garbage,
    SetClock(SignedDuration),
}

/// A run that was completed.
#[derive(Debug, Clone, Copy)]
pub struct Completed {
    pub run: u32,
    /// What the log says.
    pub at: Timestamp,
    /// How long the whole snapshot lay there untouched; `None` as long as it does.
    pub lasted: Option<Duration>,
    /// Was the clock set while it was made? Then its times contradict each other.
    pub clock_set: bool,
    /// Since the beginning of all.
    began: Duration,
}

impl Completed {
    /// When it was completed, since the beginning of all.
    pub fn began(&self) -> Duration {
        self.began
    }
}

/// Which of the layouts, and what there is to tell of it.
#[derive(Debug, Clone, Copy)]
pub struct Layout {
    /// The database half lies elsewhere.
    pub two_parts: bool,
    /// The configuration names the log.
    pub log: bool,
    /// The log is damaged now and then, and some files are dated in the future.
    pub trouble: bool,
}

/// The task, its folder and its log.
#[derive(Debug)]
#[allow(clippy::struct_excessive_bools, reason = "four things that have happened or not")]
struct Task {
    root: PathBuf,
    layout: Layout,
    random: Random,
    /// For trouble alone: without it, schedules stay what they are.
    troubles: Random,
    now: Timestamp,
    /// Since the beginning, whatever is done to the clock.
    elapsed: Duration,
    due: VecDeque<(Duration, Step)>,
    run: u32,
    completed: Vec<Completed>,
    /// Something that file events would tell of.
    rang: bool,
    after_backup: bool,
    clock_set: bool,
    rolled: bool,
}

const FILES: [&str; 7] = [
    "CD.Latest/SMSSETUP/BIN/X64/setup.exe",
    "SiteServer/SMSServer/inboxes/a.box",
    "SiteServer/SMSServer/data/hman.ini",
    "SiteServer/SMSServer/Logs/deep/er/x.log",
    "SiteServer/SMSServer/srvacct/x",
    "SiteDBServer/CM_XYZ.mdf",
    "SiteDBServer/CM_XYZ_log.ldf",
];
const METADATA: &str = "BackupDocument.xml";
const SQL_METADATA: &str = "SQLBackupDocument.xml";

/// Paths in the archive that a whole snapshot has, the log's copy aside.
pub fn whole(layout: Layout) -> Vec<String> {
    let place = |file: &str| {
        let sql = layout.two_parts && (file.starts_with("SiteDBServer") || file == SQL_METADATA);
        if sql { format!("SQL/XYZBackup/{file}") } else { format!("XYZBackup/{file}") }
    };
    let mut files: Vec<String> = FILES.iter().map(|file| place(file)).collect();
    files.push(place(METADATA));
    if layout.two_parts {
        files.push(place(SQL_METADATA));
    }
    files.sort_unstable();
    files
}

/// The task as everybody sees it; also the clock.
#[derive(Debug, Clone)]
pub struct Simulator(Arc<Mutex<Task>>);

impl Simulator {
    pub fn new(root: &Path, layout: Layout, seed: u64, start: Timestamp) -> Self {
        fs::create_dir_all(root.join("E")).unwrap();
        fs::create_dir_all(root.join("sql")).unwrap();
        fs::create_dir_all(root.join("Logs")).unwrap();
        Self(Arc::new(Mutex::new(Task {
            root: root.to_owned(),
            layout,
            random: Random::new(seed),
            troubles: Random::new(seed + 7),
            now: start,
            elapsed: Duration::ZERO,
            due: VecDeque::new(),
            run: 0,
            completed: vec![],
            rang: false,
            after_backup: false,
            clock_set: false,
            rolled: false,
        })))
    }

    fn task(&self) -> MutexGuard<'_, Task> {
        self.0.lock().unwrap()
    }

    /// Plans a run that begins so much after everything planned before.
    pub fn plan(&self, pause: Duration) {
        self.task().plan(pause);
    }

    /// Lets time pass; the task does what is due meanwhile.
    pub fn pass(&self, time: Duration) {
        self.task().pass(time);
    }

    /// Lets time pass until the task does something that rings, but not more than this. How much it was.
    pub fn pass_until_rung(&self, at_most: Duration) -> Duration {
        let mut task = self.task();
        task.rang = false;
        let begun = task.elapsed;
        while let Some((at, _)) = task.due.front().cloned()
            && at <= begun + at_most
            && !task.rang
        {
            let left = at.saturating_sub(task.elapsed);
            task.pass(left);
        }
        if !task.rang {
            let left = (begun + at_most).saturating_sub(task.elapsed);
            task.pass(left);
        }
        task.elapsed.saturating_sub(begun)
    }

    pub fn is_idle(&self) -> bool {
        self.task().due.is_empty()
    }

    pub fn elapsed(&self) -> Duration {
        self.task().elapsed
    }

    pub fn completed(&self) -> Vec<Completed> {
        self.task().completed.clone()
    }

    /// Has AfterBackup.bat been started since this was last asked?
    pub fn after_backup(&self) -> bool {
        std::mem::take(&mut self.task().after_backup)
    }
}

impl Clock for Simulator {
    fn now(&self) -> Timestamp {
        self.task().now
    }

    fn wait(&self, time: Duration, cancel: &Cancel) -> bool {
        // In pieces, as others may want to know what happens meanwhile.
        let pieces = 20;
        for _ in 0..pieces {
            if cancel.is_cancelled() {
                return true;
            }
            self.pass(time / pieces);
        }
        cancel.is_cancelled()
    }
}

impl Task {
    fn site(&self) -> PathBuf {
        self.root.join("E/XYZBackup")
    }

    fn sql(&self) -> PathBuf {
        if self.layout.two_parts { self.root.join("sql/XYZBackup") } else { self.site() }
    }

    fn log(&self) -> PathBuf {
        self.root.join("Logs/smsbkup.log")
    }

    fn plan(&mut self, pause: Duration) {
        let mut at = self.due.back().map_or(self.elapsed, |(at, _)| *at) + pause;
        let mut steps = vec![Step::Start, Step::Clean];
        let mut files: Vec<PathBuf> = FILES
            .iter()
            .map(|file| if file.starts_with("SiteDBServer") { self.sql().join(file) } else { self.site().join(file) })
            .collect();
        let mut old = files.clone();
        old.extend([self.site().join(METADATA), self.site().join("smsbkup.log"), self.sql().join(SQL_METADATA)]);
        self.random.shuffle(&mut old);
        steps.extend(old.into_iter().map(Step::Delete));
        steps.push(Step::Delete(self.site()));
        steps.push(Step::SnapshotDone);
        self.random.shuffle(&mut files);
        steps.extend(files.into_iter().map(Step::Copy));
        if self.layout.two_parts {
            steps.push(Step::Copy(self.sql().join(SQL_METADATA)));
        }
        steps.push(Step::Copy(self.site().join(METADATA)));
        let copied_before = self.random.one_in(2);
        let end = if copied_before { [Step::CopyLog, Step::Complete] } else { [Step::Complete, Step::CopyLog] };
        steps.extend(end);
        steps.push(Step::AfterBackup);
        match self.random.below(8) {
            // It fails somewhere, and says so.
            0 => {
                let at = usize::try_from(self.random.below(steps.len() as u64 - 3)).unwrap() + 1;
                steps.truncate(at);
                steps.push(Step::Fail([5000, 5022, 5049, 5053][usize::try_from(self.random.below(4)).unwrap()]));
            }
            // It dies.
            1 => {
                let at = usize::try_from(self.random.below(steps.len() as u64 - 3)).unwrap() + 1;
                steps.truncate(at);
            }
            _ => {}
        }
        // Once: what has been rolled over twice is in no file any more.
        if !self.rolled && self.random.one_in(3) {
            let at = usize::try_from(self.random.below(steps.len() as u64 + 1)).unwrap();
            steps.insert(at, Step::RollOver);
            self.rolled = true;
        }
        // Without the log only times tell, and nobody can judge by those of a clock that was set.
        if self.layout.log && self.random.one_in(10) {
            let minutes = i64::try_from(self.random.below(180)).unwrap() - 60;
            let at = usize::try_from(self.random.below(steps.len() as u64 + 1)).unwrap();
            steps.insert(at, Step::SetClock(SignedDuration::from_mins(minutes)));
        }
        if self.layout.trouble {
            for _ in 0..self.troubles.below(3) {
                let at = usize::try_from(self.troubles.below(steps.len() as u64 + 1)).unwrap();
                steps.insert(at, Step::Garbage);
            }
        }
        for step in steps {
            let after_end = matches!(step, Step::AfterBackup | Step::CopyLog);
            let most = if after_end { 2_000 } else { 20_000 };
            at += Duration::from_millis(self.random.below(most));
            self.due.push_back((at, step));
        }
    }

    fn pass(&mut self, time: Duration) {
        let end = self.elapsed + time;
        while let Some((at, _)) = self.due.front()
            && *at <= end
        {
            let (at, step) = self.due.pop_front().unwrap();
            self.move_to(at);
            self.act(&step);
        }
        self.move_to(end);
    }

    fn move_to(&mut self, elapsed: Duration) {
        let time = elapsed.saturating_sub(self.elapsed);
        self.now += SignedDuration::try_from(time).unwrap();
        self.elapsed = self.elapsed.max(elapsed);
    }

    fn act(&mut self, step: &Step) {
        match step {
            Step::Start => {
                self.run += 1;
                self.clock_set = false;
                self.end_of_snapshot();
                self.say(&status_message(5055, self.now));
            }
            Step::Clean => {
                let line = format!("Starting to clean the backup location {}.", self.site().display());
                self.say(&log_line(&line, self.now));
            }
            Step::Delete(path) if *path == self.site() => {
                for folder in [self.site(), self.sql()] {
                    fs::remove_dir_all(&folder).ok();
                    fs::create_dir_all(&folder).unwrap();
                    touch(&folder, self.now);
                }
                self.rang = true;
            }
            Step::Delete(path) => {
                if fs::remove_file(path).is_ok() {
                    touch(path.parent().unwrap(), self.now);
                }
            }
            Step::SnapshotDone => self.say(&status_message(5056, self.now)),
            Step::Copy(path) => {
                fs::create_dir_all(path.parent().unwrap()).unwrap();
                let filler = usize::try_from(self.random.below(3000)).unwrap();
                // What is written down of a backup is XML.
                let mark = if path.extension().is_some_and(|extension| extension == "xml") { "<!-- -->" } else { "" };
                fs::write(path, format!("{mark}run {}\n{}", self.run, "x".repeat(filler))).unwrap();
                let data = path.components().any(|part| part.as_os_str() == "SiteServer");
                let future = self.layout.trouble && data && self.troubles.one_in(8);
                touch(path, if future { self.now + SignedDuration::from_hours(24 * 3000) } else { self.now });
                self.touch_above(path);
            }
            Step::CopyLog => {
                let copy = self.site().join("smsbkup.log");
                fs::copy(self.log(), &copy).unwrap();
                touch(&copy, self.now);
                self.touch_above(&copy);
            }
            Step::Complete => {
                self.say(&log_line("Backup task completed successfully with zero errors", self.now));
                self.say(&status_message(5035, self.now));
                let (run, at, began) = (self.run, self.now, self.elapsed);
                self.completed.push(Completed { run, at, lasted: None, clock_set: self.clock_set, began });
            }
            Step::AfterBackup => {
                self.say(&status_message(5040, self.now));
                self.after_backup = true;
            }
            Step::Fail(id) => self.say(&status_message(*id, self.now)),
            Step::RollOver => {
                if self.log().exists() {
                    fs::copy(self.log(), self.log().with_extension("lo_")).unwrap();
                    File::create(self.log()).unwrap();
                }
            }
            Step::Garbage => {
                let bytes = usize::try_from(1 + self.troubles.below(3000)).unwrap();
                let mut log = File::options().create(true).append(true).open(self.log()).unwrap();
                // Sometimes a line of its own, sometimes what is in front of the next message.
                log.write_all(&vec![0; bytes]).unwrap();
                if self.troubles.one_in(2) {
                    log.write_all(b"\r\n").unwrap();
                }
            }
            Step::SetClock(by) => {
                self.now += *by;
                self.clock_set = true;
            }
        }
    }

    fn end_of_snapshot(&mut self) {
        let elapsed = self.elapsed;
        if let Some(last) = self.completed.last_mut().filter(|last| last.lasted.is_none()) {
            last.lasted = Some(elapsed.saturating_sub(last.began));
        }
    }

    fn say(&mut self, line: &str) {
        let mut log = File::options().create(true).append(true).open(self.log()).unwrap();
        log.write_all(line.as_bytes()).unwrap();
        self.rang = true;
    }

    /// The folders' times are of the task's clock, too.
    fn touch_above(&self, path: &Path) {
        for folder in path.ancestors().skip(1) {
            if folder.exists() {
                touch(folder, self.now);
            }
            if folder.ends_with("XYZBackup") {
                break;
            }
        }
    }
}

/// Of which run the files of an archive are, by path.
pub fn runs_in(tar: &[u8]) -> BTreeMap<String, u32> {
    let mut archive = tar::Archive::new(tar);
    let mut found = BTreeMap::new();
    for entry in archive.entries().unwrap() {
        let mut entry = entry.unwrap();
        let path = entry.path().unwrap().to_string_lossy().into_owned();
        let mut text = String::new();
        std::io::Read::read_to_string(&mut entry, &mut text).unwrap();
        let run =
            text.trim_start_matches("<!-- -->").strip_prefix("run ").and_then(|text| text.lines().next()?.parse().ok());
        if let Some(run) = run {
            found.insert(path, run);
        }
    }
    found
}

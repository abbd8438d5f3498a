//! A growing log, read once.
//!
//! The task's log is rolled over by copying it to `.lo_` and truncating it, perhaps while it is being read. The
//! follower therefore remembers where it stopped *and the last bytes before that place*: if the file is shorter, or
//! other bytes stand there, it was rolled over or replaced. If `.lo_` has our bytes at our place, reading goes on there
//! and then at the beginning of `.log`; else both are read anew. A log may be renamed instead, to `.lo_` or to another
//! name that begins alike, and the next one be made later: until then reading goes on under the new name. What is
//! then no longer told stays known, so that a start we have seen is never forgotten. No file is open between two
//! polls, and [`File::open`] shares for reading, writing and deleting on Windows.

use std::fs::File;
use std::io::{self, ErrorKind, Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use super::runs::Runs;
use super::text::Lines;

const TAIL_BYTES: usize = 256;
/// Fewer bytes than this, such as a byte order mark alone, are no proof that a file is the same.
const PROOF_BYTES: usize = 16;
const BLOCK_BYTES: usize = 64 * 1024;
const ATTEMPTS: usize = 3;

/// Why a log could not be read.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Missing or unreadable.
    #[error("cannot read the log {}", path.display())]
    Read {
        /// Which file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
}

impl Error {
    /// Is there no log? It is absent until the task's first run.
    #[must_use]
    pub fn is_not_found(&self) -> bool {
        let Self::Read { source, .. } = self;
        source.kind() == ErrorKind::NotFound
    }
}

/// Reads a log and then what is new in it.
///
/// ```
/// # let folder = tempfile::tempdir()?;
/// # let path = folder.path().join("smsbkup.log");
/// # std::fs::write(&path, "STATMSG: ID=5055 SITE=P01 GMTDATE=Sun Nov 22 23:00:00.000 2026 NUMATTRS=0\n")?;
/// use afterbackup::source::task_log::{Follower, Outcome};
///
/// let mut follower = Follower::new(&path);
/// assert!(follower.poll()?, "there was something to read");
/// assert!(!follower.poll()?, "nothing is new");
/// assert_eq!(follower.runs().last("P01".parse()?).unwrap().outcome, Outcome::Running);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone)]
pub struct Follower {
    path: PathBuf,
    runs: Runs,
    lines: Lines,
    place: Option<Place>,
    /// The `.lo_` when it was last looked at.
    rolled: Mark,
}

/// Where reading stopped.
#[derive(Debug, Clone, Default)]
struct Place {
    offset: u64,
    /// The bytes before `offset`, at most [`TAIL_BYTES`].
    tail: Vec<u8>,
    modified: Option<SystemTime>,
}

/// Size and time of a file; `None` if it is not there.
type Mark = Option<(u64, Option<SystemTime>)>;

impl Follower {
    /// Will read this log and the `.lo_` beside it.
    #[must_use]
    pub fn new(path: impl Into<PathBuf>) -> Self {
        Self { path: path.into(), runs: Runs::new(), lines: Lines::new(), place: None, rolled: None }
    }

    /// The log.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The runs read so far; the last line counts also before its line end has come.
    #[must_use]
    pub fn runs(&self) -> Runs {
        let mut runs = self.runs.clone();
        if let Some(line) = self.lines.unfinished() {
            runs.unfinished_line(&line);
        }
        runs
    }

    /// Reads what is new and tells whether there was anything.
    ///
    /// # Errors
    /// When the log is missing or cannot be read. What was known stays known, and the next call tries again.
    pub fn poll(&mut self) -> Result<bool, Error> {
        self.try_poll().map_err(|source| Error::Read { path: self.path.clone(), source })
    }

    fn try_poll(&mut self) -> io::Result<bool> {
        let Some(place) = &self.place else { return self.read_anew().map(|()| true) };
        let rolled = self.rolled_path();
        let mark = mark(&rolled)?;
        let same = mark == self.rolled;
        let metadata = match std::fs::metadata(&self.path) {
            Err(error) if error.kind() == ErrorKind::NotFound => return self.read_renamed(error),
            metadata => metadata?,
        };
        if same && metadata.len() == place.offset && metadata.modified().ok() == place.modified {
            return Ok(false);
        }
        let mut file = File::open(&self.path)?;
        if place.fits(&mut file)? && (same || place.tail.len() >= PROOF_BYTES) {
            let before = place.offset;
            self.rolled = mark;
            self.read_on(&mut file)?;
            return Ok(self.place.as_ref().is_none_or(|place| place.offset != before));
        }
        drop(file);
        let mut old = open_existing(&rolled)?;
        if let Some(file) = &mut old
            && !place.fits(file)?
        {
            old = None;
        }
        if let Some(mut file) = old.or_else(|| self.renamed()) {
            self.read_on(&mut file)?;
            self.end_of_file();
            self.read_on(&mut File::open(&self.path)?)?;
            self.rolled = self::mark(&rolled)?;
            if mark == self.rolled {
                return Ok(true);
            }
        }
        self.read_anew()?;
        Ok(true)
    }

    /// There is no log, as it was renamed and no new one was made yet. What was written meanwhile is under its new
    /// name.
    fn read_renamed(&mut self, absent: io::Error) -> io::Result<bool> {
        let Some(mut file) = self.renamed() else { return Err(absent) };
        let before = self.place.as_ref().map(|place| place.offset);
        self.read_on(&mut file)?;
        self.rolled = mark(&self.rolled_path())?;
        Ok(self.place.as_ref().map(|place| place.offset) != before)
    }

    /// The file beside the log that has our last bytes at our place.
    fn renamed(&self) -> Option<File> {
        let place = self.place.as_ref().filter(|place| place.tail.len() >= PROOF_BYTES)?;
        let stem = self.path.file_stem()?.to_string_lossy().to_lowercase();
        let folder = self.path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
        let entries = std::fs::read_dir(folder).ok()?.flatten().filter(|entry| {
            let alike = entry.file_name().to_string_lossy().to_lowercase().starts_with(&stem);
            alike && entry.path() != self.path && entry.file_type().is_ok_and(|file_type| file_type.is_file())
        });
        entries.filter_map(|entry| File::open(entry.path()).ok()).find_map(|mut file| {
            let fits = place.fits(&mut file).unwrap_or(false);
            fits.then_some(file)
        })
    }

    /// `.lo_`, then `.log`. If a rollover comes in between, the middle would be missing: once more.
    fn read_anew(&mut self) -> io::Result<()> {
        let known = self.runs();
        let rolled = self.rolled_path();
        for attempt in 1.. {
            let mut fresh = Self::new(&self.path);
            let mark = mark(&rolled)?;
            let mut older = open_existing(&rolled)?;
            if let Some(file) = &mut older {
                fresh.read_on(file)?;
            }
            match File::open(&self.path) {
                Ok(mut file) => {
                    if older.is_some() {
                        fresh.end_of_file();
                    }
                    fresh.read_on(&mut file)?;
                }
                // Renamed, and there is no new one yet.
                Err(error) if error.kind() == ErrorKind::NotFound && older.is_some() => {}
                Err(error) => return Err(error),
            }
            fresh.rolled = self::mark(&rolled)?;
            if attempt == ATTEMPTS || mark == fresh.rolled {
                fresh.runs.keep_newer_of(&known);
                *self = fresh;
                break;
            }
        }
        Ok(())
    }

    /// Reads from our place to where the file ended when it was opened: a writer cannot keep us busy for ever.
    fn read_on(&mut self, file: &mut File) -> io::Result<()> {
        let mut place = self.place.take().unwrap_or_default();
        let result = self.read_from(&mut place, file);
        self.place = Some(place);
        result
    }

    fn read_from(&mut self, place: &mut Place, file: &mut File) -> io::Result<()> {
        let metadata = file.metadata()?;
        file.seek(SeekFrom::Start(place.offset))?;
        let mut rest = metadata.len().saturating_sub(place.offset);
        let mut block = vec![0; BLOCK_BYTES];
        while rest > 0 {
            let room = usize::try_from(rest).unwrap_or(BLOCK_BYTES).min(BLOCK_BYTES);
            let count = match file.read(&mut block[..room]) {
                // Truncated meanwhile: the next poll finds out.
                Ok(0) => break,
                Ok(count) => count,
                Err(error) if error.kind() == ErrorKind::Interrupted => continue,
                Err(error) => return Err(error),
            };
            let bytes = &block[..count];
            let runs = &mut self.runs;
            self.lines.push_raw(bytes, |line| runs.raw_line(line));
            place.advance(bytes);
            rest -= count as u64;
        }
        place.modified = metadata.modified().ok();
        Ok(())
    }

    /// What follows comes from another file.
    fn end_of_file(&mut self) {
        if let Some(line) = self.lines.unfinished() {
            self.runs.unfinished_line(&line);
        }
        self.lines = Lines::new();
        self.place = None;
    }

    fn rolled_path(&self) -> PathBuf {
        self.path.with_extension("lo_")
    }
}

impl Place {
    fn advance(&mut self, bytes: &[u8]) {
        self.offset += bytes.len() as u64;
        self.tail.extend_from_slice(bytes.get(bytes.len().saturating_sub(TAIL_BYTES)..).unwrap_or_default());
        let surplus = self.tail.len().saturating_sub(TAIL_BYTES);
        self.tail.drain(..surplus);
    }

    /// Do our last bytes stand before our place in this file?
    fn fits(&self, file: &mut File) -> io::Result<bool> {
        if file.metadata()?.len() < self.offset {
            return Ok(false);
        }
        file.seek(SeekFrom::Start(self.offset - self.tail.len() as u64))?;
        let mut there = vec![0; self.tail.len()];
        match file.read_exact(&mut there) {
            Ok(()) => Ok(there == self.tail),
            Err(error) if error.kind() == ErrorKind::UnexpectedEof => Ok(false),
            Err(error) => Err(error),
        }
    }
}

fn mark(path: &Path) -> io::Result<Mark> {
    match std::fs::metadata(path) {
        Ok(metadata) => Ok(Some((metadata.len(), metadata.modified().ok()))),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

fn open_existing(path: &Path) -> io::Result<Option<File>> {
    match File::open(path) {
        Ok(file) => Ok(Some(file)),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::io::Write;

    use proptest::prelude::*;
    use tempfile::TempDir;

    use super::super::runs::tests::status;
    use super::super::{Outcome, Run};
    use super::*;

    // All logs here are synthetic, built on the published formats.

    struct Log {
        folder: TempDir,
        follower: Follower,
    }

    impl Log {
        fn new() -> Self {
            let folder = tempfile::tempdir().unwrap();
            let follower = Follower::new(folder.path().join("smsbkup.log"));
            Self { folder, follower }
        }

        fn rolled(&self) -> PathBuf {
            self.folder.path().join("smsbkup.lo_")
        }

        fn append(&self, text: impl AsRef<[u8]>) {
            let mut file = File::options().create(true).append(true).open(self.follower.path()).unwrap();
            file.write_all(text.as_ref()).unwrap();
        }

        fn status(&self, id: u32, clock: &str) {
            self.append(status(id, "P01", clock) + "\r\n");
        }

        fn roll(&self) {
            fs::copy(self.follower.path(), self.rolled()).unwrap();
            File::create(self.follower.path()).unwrap();
        }

        fn last(&mut self) -> Option<Run> {
            self.follower.poll().unwrap();
            self.follower.runs().last("P01".parse().unwrap()).cloned()
        }

        fn outcome(&mut self) -> Option<Outcome> {
            self.last().map(|run| run.outcome)
        }

        fn completed(&mut self) -> bool {
            matches!(self.outcome(), Some(Outcome::Completed { .. }))
        }
    }

    #[test]
    fn missing_log_is_told_and_read_later() {
        let mut log = Log::new();
        assert!(log.follower.poll().unwrap_err().is_not_found());
        log.status(5055, "01:00:00");
        assert_eq!(log.outcome(), Some(Outcome::Running));
    }

    #[test]
    fn only_what_is_new_is_read() {
        let mut log = Log::new();
        log.status(5055, "01:00:00");
        assert!(log.follower.poll().unwrap());
        assert!(!log.follower.poll().unwrap());
        log.status(5035, "02:00:00");
        assert!(log.completed());
        assert_eq!(log.follower.runs().iter().count(), 1);
    }

    #[test]
    fn line_in_the_middle_of_being_written_counts_once() {
        let mut log = Log::new();
        log.status(5035, "01:00:00");
        let line = status(5055, "P01", "02:00:00");
        let (begin, end) = line.split_at(line.len() - 40);
        log.append(begin);
        assert_eq!(log.outcome(), Some(Outcome::Running));
        log.append(end);
        log.append("\n");
        assert_eq!(log.outcome(), Some(Outcome::Running));
        assert_eq!(log.follower.runs().iter().count(), 2);
    }

    #[test]
    fn older_log_is_read_first() {
        let mut log = Log::new();
        log.status(5055, "01:00:00");
        log.roll();
        log.status(5035, "02:00:00");
        assert!(log.completed());
        assert!(log.last().unwrap().started.is_some());
    }

    #[test]
    fn rollover_between_polls_loses_nothing() {
        let mut log = Log::new();
        log.status(5035, "01:00:00");
        log.follower.poll().unwrap();
        // Both are written and rolled away before we look again.
        log.status(5055, "02:00:00");
        log.roll();
        assert_eq!(log.outcome(), Some(Outcome::Running));
        log.status(5035, "03:00:00");
        assert!(log.completed());
        assert_eq!(log.follower.runs().iter().count(), 2);
    }

    #[test]
    fn rollover_is_seen_when_the_new_log_is_already_longer() {
        let mut log = Log::new();
        log.status(5055, "01:00:00");
        log.follower.poll().unwrap();
        log.roll();
        log.append("x\n".repeat(1000));
        log.status(5035, "02:00:00");
        assert!(log.completed());
    }

    #[test]
    fn two_rollovers_between_polls_are_read_anew() {
        let mut log = Log::new();
        log.status(5055, "01:00:00");
        log.follower.poll().unwrap();
        log.roll();
        log.status(5035, "02:00:00");
        log.roll();
        log.status(5055, "03:00:00");
        assert_eq!(log.outcome(), Some(Outcome::Running));
        assert_eq!(log.last().unwrap().started_at(), Some("2026-11-22T03:00:00Z".parse().unwrap()));
    }

    #[test]
    fn truncation_does_not_make_us_forget_a_start() {
        let mut log = Log::new();
        log.status(5055, "01:00:00");
        log.status(5035, "02:00:00");
        log.roll();
        log.status(5055, "03:00:00");
        assert_eq!(log.outcome(), Some(Outcome::Running));
        // The start is in no file any more; the older completion still is.
        File::create(log.follower.path()).unwrap();
        assert_eq!(log.outcome(), Some(Outcome::Running));
        log.status(5035, "04:00:00");
        assert!(log.completed());
    }

    #[test]
    fn log_that_is_renamed_is_followed_until_there_is_a_new_one() {
        for name in ["smsbkup.lo_", "smsbkup-20261122.log", "SMSBKUP.old"] {
            let mut log = Log::new();
            log.status(5055, "01:00:00");
            assert_eq!(log.outcome(), Some(Outcome::Running));
            let (path, renamed) = (log.follower.path().to_owned(), log.folder.path().join(name));
            fs::rename(&path, &renamed).unwrap();
            assert!(!log.follower.poll().unwrap());
            let mut file = File::options().append(true).open(&renamed).unwrap();
            writeln!(file, "{}", status(5035, "P01", "02:00:00")).unwrap();
            assert!(log.completed(), "{name}");
            writeln!(file, "{}", status(5040, "P01", "02:00:01")).unwrap();
            log.status(5055, "03:00:00");
            assert_eq!(log.outcome(), Some(Outcome::Running), "{name}");
            assert_eq!(log.follower.runs().iter().count(), 2);
            log.status(5035, "04:00:00");
            assert!(log.completed(), "{name}");
        }
        // Also by a reader that comes later.
        let log = Log::new();
        log.status(5055, "01:00:00");
        fs::rename(log.follower.path(), log.rolled()).unwrap();
        let mut fresh = Follower::new(log.follower.path());
        fresh.poll().unwrap();
        assert_eq!(fresh.runs().iter().count(), 1);
    }

    #[test]
    #[ignore = "writes and reads 300 MB"]
    fn large_garbage_is_read_in_seconds() {
        let mut log = Log::new();
        log.status(5055, "01:00:00");
        log.status(5035, "02:00:00");
        let mut seed = 1_u64;
        let mut block = Vec::with_capacity(1 << 20);
        while block.len() < 1 << 20 {
            seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            block.extend_from_slice(&seed.to_be_bytes());
        }
        for _ in 0..300 {
            log.append(&block);
        }
        let begun = std::time::Instant::now();
        assert!(log.completed());
        assert!(log.follower.runs().damage("P01".parse().unwrap()).is_some());
        assert!(begun.elapsed().as_secs() < 60, "{:?}", begun.elapsed());
    }

    #[test]
    fn utf16_log_is_followed() {
        let mut log = Log::new();
        let utf16 = |text: String| text.encode_utf16().flat_map(u16::to_le_bytes).collect::<Vec<_>>();
        log.append(b"\xFF\xFE");
        log.append(utf16(status(5055, "P01", "01:00:00") + "\r\n"));
        assert_eq!(log.outcome(), Some(Outcome::Running));
        log.append(utf16(status(5035, "P01", "02:00:00") + "\r\n"));
        assert!(log.completed());
    }

    #[test]
    #[ignore = "reads 100 MB"]
    fn large_log_is_read_in_linear_time() {
        let mut log = Log::new();
        let line = "x".repeat(98) + "\r\n";
        log.append(line.repeat(1_000_000));
        log.status(5055, "01:00:00");
        assert_eq!(log.outcome(), Some(Outcome::Running));
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]

        #[test]
        fn any_bytes_are_followed(pieces in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..200), 0..6)) {
            let mut log = Log::new();
            for piece in pieces {
                log.append(piece);
                log.follower.poll().unwrap();
                prop_assert!(!log.completed());
            }
        }

        /// Whenever we look, and however the log is rolled over, we know what one look at the end would tell.
        #[test]
        fn polls_in_between_change_nothing(steps in prop::collection::vec(0_u8..6, 1..30)) {
            let mut log = Log::new();
            log.append("begin\n");
            for (minute, step) in steps.iter().enumerate() {
                let clock = format!("01:{minute:02}:00");
                match step {
                    0 => log.status(5055, &clock),
                    1 => log.status(5035, &clock),
                    2 => log.status(5056, &clock),
                    3 => log.append(format!("line {minute}\n")),
                    4 => log.roll(),
                    _ => { log.follower.poll().unwrap(); }
                }
            }
            let watched = log.last();
            let mut fresh = Follower::new(log.follower.path());
            fresh.poll().unwrap();
            // A fresh reader may know less (failures may have rolled away: none here), never otherwise.
            if let Some(run) = fresh.runs().last("P01".parse().unwrap()) {
                let watched = watched.unwrap();
                prop_assert_eq!(watched.latest(), run.latest());
            }
        }
    }
}

//! Appends records to one file from several processes, and moves it to `.lo_` when it is full.
//!
//! Every record takes the lock of a file beside the log (`afterbackup.log.lock`), opens the log, appends with one
//! write, and lets go of both. So no process can still hold a log that another one has moved away, a rollover is done
//! by exactly one of them, and nobody's record lands between the look at the size and the move. Opening costs some
//! microseconds a record, of which a run writes some dozens; and the log can be moved or deleted by hand at any time.
//!
//! The lock is not on the log itself: on Windows a locked file cannot be read, and somebody may be looking at it.
//!
//! A process that was stopped while it holds the lock must not stop the others: after a while they append without it,
//! which the operating system keeps whole too, and leave the rollover to whoever gets the lock.

use std::fs::{self, File, TryLockError};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::thread;
use std::time::{Duration, Instant};

use parking_lot::Mutex;

use crate::platform::files::create_folders;

/// How long to wait for another process's record.
const PATIENCE: Duration = Duration::from_secs(1);
/// How often to look whether it is written.
const LOOK: Duration = Duration::from_millis(2);

/// A file that records are appended to.
#[derive(Debug)]
pub(super) struct LogFile {
    path: PathBuf,
    lock: PathBuf,
    max_bytes: u64,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    /// The lock was not to be had last time: not waited for again.
    impatient: bool,
    /// The file could not be moved: not tried again before it has grown to this size.
    stuck_until: u64,
}

impl LogFile {
    pub(super) fn new(path: &Path, max_bytes: u64) -> Self {
        let mut lock = path.as_os_str().to_owned();
        lock.push(".lock");
        Self { path: path.to_owned(), lock: lock.into(), max_bytes, state: Mutex::default() }
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// Appends one record. `head` begins a file that is new.
    pub(super) fn append(&self, record: &str, head: &str) -> io::Result<()> {
        let mut state = self.state.lock();
        if let Some(folder) = self.path.parent() {
            create_folders(folder)?;
        }
        let lock = self.lock(&mut state)?;
        let mut file = self.open()?;
        let mut bytes = file.metadata()?.len();
        let full = bytes > head.len() as u64 && bytes + record.len() as u64 > self.max_bytes;
        if lock.is_some() && full && bytes >= state.stuck_until {
            drop(file);
            state.stuck_until = match self.roll() {
                Ok(()) => 0,
                // Somebody has it open and does not share it. Better too large than lost.
                Err(_) => bytes + self.max_bytes / 8,
            };
            file = self.open()?;
            bytes = file.metadata()?.len();
        }
        let mut text = String::with_capacity(head.len() + 1 + record.len());
        if bytes == 0 {
            text.push_str(head);
        } else if last_byte(&mut file)? != b'\n' {
            // A full disk has cut the record before: it must not spoil this one.
            text.push('\n');
        }
        text.push_str(record);
        file.write_all(text.as_bytes())
        // The lock goes with its file, after the log has been closed.
    }

    fn open(&self) -> io::Result<File> {
        File::options().read(true).append(true).create(true).open(&self.path)
    }

    /// The lock, unless somebody holds it for too long.
    fn lock(&self, state: &mut State) -> io::Result<Option<File>> {
        let file = File::options().write(true).create(true).truncate(false).open(&self.lock)?;
        let patience = if state.impatient { Duration::ZERO } else { PATIENCE };
        let end = Instant::now() + patience;
        loop {
            match file.try_lock() {
                Ok(()) => {
                    state.impatient = false;
                    return Ok(Some(file));
                }
                Err(TryLockError::WouldBlock) if Instant::now() < end => thread::sleep(LOOK),
                Err(TryLockError::WouldBlock) => {
                    state.impatient = true;
                    return Ok(None);
                }
                // File systems without locks: appending is whole all the same.
                Err(TryLockError::Error(_)) => return Ok(None),
            }
        }
    }

    /// Moves the file to `.lo_`. Where a reader keeps it from being moved it is copied and emptied, as the server does.
    fn roll(&self) -> io::Result<()> {
        let old = self.path.with_extension("lo_");
        #[allow(clippy::disallowed_methods, reason = "it replaces the log before, as the server does")]
        if fs::rename(&self.path, &old).is_ok() {
            return Ok(());
        }
        let copied = fs::copy(&self.path, &old)?;
        let file = File::options().write(true).open(&self.path)?;
        // Somebody who did not get the lock in time has added a record: it must not be lost, so the file grows instead.
        if file.metadata()?.len() != copied {
            return Err(io::ErrorKind::ResourceBusy.into());
        }
        file.set_len(0)
    }
}

fn last_byte(file: &mut File) -> io::Result<u8> {
    let mut byte = [0];
    file.seek(SeekFrom::End(-1))?;
    file.read_exact(&mut byte)?;
    Ok(byte[0])
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(path: &Path) -> String {
        fs::read_to_string(path).unwrap_or_default()
    }

    #[test]
    fn full_file_goes_on_as_lo_and_nothing_is_lost() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("made/on/demand.log");
        let log = LogFile::new(&path, 100);
        for number in 0..15 {
            log.append(&format!("record {number:02}\n"), "head\n").unwrap();
        }
        // 9 records of 10 bytes and the head fit into 100.
        assert_eq!(read(&path.with_extension("lo_")).lines().count(), 10);
        assert_eq!(
            read(&path).lines().collect::<Vec<_>>(),
            ["head", "record 09", "record 10", "record 11", "record 12", "record 13", "record 14"]
        );
    }

    #[test]
    fn record_larger_than_the_limit_is_written_whole() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.log");
        let log = LogFile::new(&path, 10);
        let text = format!("{}\n", "x".repeat(1000));
        log.append(&text, "").unwrap();
        log.append(&text, "").unwrap();
        assert_eq!((read(&path), read(&path.with_extension("lo_"))), (text.clone(), text));
    }

    #[test]
    fn record_that_was_cut_does_not_spoil_the_next() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.log");
        fs::write(&path, "a record that the full dis").unwrap();
        LogFile::new(&path, 1000).append("whole\n", "head").unwrap();
        assert_eq!(read(&path), "a record that the full dis\nwhole\n");
    }

    #[test]
    fn lock_that_is_never_given_back_does_not_stop_anybody() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.log");
        let log = LogFile::new(&path, 20);
        log.append("0123456789\n", "").unwrap();
        let held = File::options().write(true).open(folder.path().join("a.log.lock")).unwrap();
        held.lock().unwrap();
        log.append("0123456789\n", "").unwrap();
        let begin = Instant::now();
        for _ in 1..10 {
            log.append("0123456789\n", "").unwrap();
        }
        assert!(begin.elapsed() < PATIENCE * 9, "waited once, not for each record");
        assert_eq!(read(&path).lines().count(), 11);
        assert!(!path.with_extension("lo_").exists(), "nobody rolls without the lock");
        drop(held);
        log.append("next\n", "").unwrap();
        assert_eq!(read(&path), "next\n");
        assert_eq!(read(&path.with_extension("lo_")).lines().count(), 11);
    }

    #[test]
    fn file_that_cannot_be_moved_grows() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.log");
        fs::create_dir_all(path.with_extension("lo_").join("in the way")).unwrap();
        let log = LogFile::new(&path, 20);
        for _ in 0..10 {
            log.append("0123456789\n", "").unwrap();
        }
        assert_eq!(read(&path).lines().count(), 10);
    }

    #[test]
    fn writers_at_the_same_time_lose_and_tear_nothing() {
        const WRITERS: usize = 8;
        const RECORDS: usize = 200;
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.log");
        // Each has its own view of the file, as processes have. The limit is such that it is moved once.
        let max_bytes = (WRITERS * RECORDS * 20) as u64 * 2 / 3;
        thread::scope(|scope| {
            for writer in 0..WRITERS {
                let path = &path;
                scope.spawn(move || {
                    let log = LogFile::new(path, max_bytes);
                    for record in 0..RECORDS {
                        log.append(&format!("writer {writer} record {record:03}\n"), "").unwrap();
                    }
                });
            }
        });
        assert!(path.with_extension("lo_").exists());
        let all = read(&path.with_extension("lo_")) + &read(&path);
        let mut lines: Vec<&str> = all.lines().collect();
        for writer in 0..WRITERS {
            let own = lines.iter().filter(|line| line.starts_with(&format!("writer {writer} ")));
            let expected = (0..RECORDS).map(|record| format!("writer {writer} record {record:03}"));
            assert!(own.eq(expected.collect::<Vec<_>>().iter()), "writer {writer}");
        }
        lines.retain(|line| !line.starts_with("writer "));
        assert!(lines.is_empty(), "{lines:?}");
    }
}

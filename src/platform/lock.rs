//! One run at a time for a configuration on this host, by a lock of the operating system.
//!
//! The kernel releases it when the process ends, however it ends, so there is never a stale lock to remove by hand.
//! Nothing is locked on destinations. The file stays; only its lock counts. Beside it stands who took the lock last,
//! which is true only while it is held.

use std::fs::{File, TryLockError};
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};
use std::time::Duration;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::private;
use crate::units;

/// Larger files are none of ours.
const MAX_BYTES: u64 = 1 << 16;

/// Held until dropped.
#[derive(Debug)]
pub struct RunLock {
    _file: File,
}

/// Who holds a lock.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Holder {
    /// The command: `run`, `watch`, `prune`.
    pub command: String,
    /// Its process.
    pub pid: u32,
    /// Since when.
    pub since: Timestamp,
}

impl Holder {
    /// This process, from now on.
    #[must_use]
    pub fn this_process(command: &str, now: Timestamp) -> Self {
        Self { command: command.to_owned(), pid: std::process::id(), since: now }
    }
}

impl std::fmt::Display for Holder {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { command, pid, since } = self;
        write!(f, "afterbackup {command} (PID {pid}, since {})", units::format_time(*since))
    }
}

impl RunLock {
    /// Takes the lock.
    ///
    /// # Errors
    /// [`LockError::Busy`] when another run holds it.
    pub fn take(path: &Path) -> Result<Self, LockError> {
        let file = private::open_or_create(path).map_err(|source| LockError::Open { path: path.to_owned(), source })?;
        let mut taken = file.try_lock();
        // Somebody may just be asking whether it is held.
        for _ in 0..5 {
            if matches!(taken, Err(TryLockError::WouldBlock)) {
                std::thread::sleep(Duration::from_millis(10));
                taken = file.try_lock();
            }
        }
        match taken {
            Ok(()) => Ok(Self { _file: file }),
            Err(TryLockError::WouldBlock) => {
                Err(LockError::Busy { path: path.to_owned(), holder: read_holder(path).map(Box::new) })
            }
            Err(TryLockError::Error(source)) => Err(LockError::Open { path: path.to_owned(), source }),
        }
    }

    /// Takes the lock, and tells others who has it.
    ///
    /// # Errors
    /// [`LockError::Busy`] when another run holds it.
    pub fn take_as(path: &Path, holder: &Holder) -> Result<Self, LockError> {
        let lock = Self::take(path)?;
        let json = serde_json::to_vec(holder).expect("a holder has only string keys");
        if let Err(error) = private::replace(&holder_file(path), &json) {
            // The lock counts; what is missing is a name in a message.
            tracing::debug!(%error, "Could not note who holds the lock");
        }
        Ok(lock)
    }
}

/// Who holds a lock at this moment, if it is held and that is known.
#[must_use]
pub fn holder(path: &Path) -> Option<Holder> {
    is_held(path).then(|| read_holder(path)).flatten()
}

fn read_holder(path: &Path) -> Option<Holder> {
    let mut bytes = Vec::new();
    private::open(&holder_file(path)).ok()?.take(MAX_BYTES).read_to_end(&mut bytes).ok()?;
    serde_json::from_slice(&bytes).ok()
}

fn holder_file(lock_file: &Path) -> PathBuf {
    beside(lock_file, ".holder")
}

/// The lock that a resident watcher holds for as long as it lives: one a configuration, and one-shots see that it is
/// there.
#[must_use]
pub fn watcher_lock(lock_file: &Path) -> PathBuf {
    beside(lock_file, ".watch")
}

/// The file by which a one-shot asks the watcher to look at once; the watcher removes it.
#[must_use]
pub fn wake_file(lock_file: &Path) -> PathBuf {
    beside(lock_file, ".wake")
}

/// A file that belongs to a lock file.
pub(crate) fn beside(lock_file: &Path, extension: &str) -> PathBuf {
    let mut name = lock_file.as_os_str().to_owned();
    name.push(extension);
    name.into()
}

/// Does another process hold a lock at this moment? Asks without making the file; who wants to take the lock in that
/// very instant tries again.
#[must_use]
pub fn is_held(path: &Path) -> bool {
    private::open(path).is_ok_and(|file| matches!(file.try_lock_shared(), Err(TryLockError::WouldBlock)))
}

/// Is there something in its place that can be no lock file, a folder or a link? Asks without opening it: who looks how
/// things stand need not have the right to begin runs.
#[must_use]
pub fn is_impossible(path: &Path) -> bool {
    path.symlink_metadata().is_ok_and(|metadata| !metadata.is_file())
}

/// Why the lock was not taken.
#[derive(Debug, thiserror::Error)]
pub enum LockError {
    /// Another run holds it.
    #[error("{who} holds the lock {path}", who = words(holder.as_deref()), path = path.display())]
    Busy {
        /// The lock file.
        path: PathBuf,
        /// Who holds it, if that is known.
        holder: Option<Box<Holder>>,
    },
    /// The file cannot be opened or locked.
    #[error("cannot lock {path}", path = path.display())]
    Open {
        /// The lock file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
}

fn words(holder: Option<&Holder>) -> String {
    holder.map_or_else(|| "another run".to_owned(), |holder| format!("another run is at work: {holder}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_second_is_told_who_is_at_work() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("made/on/demand.lock");
        let holder = Holder::this_process("prune", "2026-11-22T22:46:10Z".parse().unwrap());
        let first = RunLock::take_as(&path, &holder).unwrap();
        let Err(error) = RunLock::take(&path) else { panic!("taken twice") };
        assert!(matches!(&error, LockError::Busy { holder: Some(by), .. } if **by == holder), "{error:?}");
        let words = format!("another run is at work: afterbackup prune (PID {}, since 2026-11-2", std::process::id());
        assert!(error.to_string().starts_with(&words), "{error}");
        assert_eq!(super::holder(&path), Some(holder));
        drop(first);
        assert!(!is_held(&path) && !is_held(&folder.path().join("none")));
        assert_eq!(super::holder(&path), None, "who held it once does not hold it now");
        RunLock::take(&path).unwrap();
    }
}

//! One run at a time on this host, by a lock of the operating system.
//!
//! The kernel releases it when the process ends, however it ends, so there is never a stale lock to remove by hand.
//! Nothing is locked on destinations. The file stays; only its lock counts.

use std::fs::{File, TryLockError};
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// Held until dropped.
#[derive(Debug)]
pub struct RunLock {
    _file: File,
}

impl RunLock {
    /// Takes the lock.
    ///
    /// # Errors
    /// [`LockError::Busy`] when another run holds it.
    pub fn take(path: &Path) -> Result<Self, LockError> {
        let open = || {
            if let Some(folder) = path.parent() {
                crate::platform::files::create_folders(folder)?;
            }
            File::options().create(true).write(true).truncate(false).open(path)
        };
        let file = open().map_err(|source| LockError::Open { path: path.to_owned(), source })?;
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
            Err(TryLockError::WouldBlock) => Err(LockError::Busy(path.to_owned())),
            Err(TryLockError::Error(source)) => Err(LockError::Open { path: path.to_owned(), source }),
        }
    }
}

/// The lock that a resident watcher holds for as long as it lives: one a configuration, and one-shots see that it is there.
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

/// Does another process hold a lock at this moment? Asks without making the file; who wants to take the lock in that very
/// instant tries again.
#[must_use]
pub fn is_held(path: &Path) -> bool {
    File::open(path).is_ok_and(|file| matches!(file.try_lock_shared(), Err(TryLockError::WouldBlock)))
}

/// Why the lock was not taken.
#[derive(Debug, thiserror::Error)]
pub enum LockError {
    /// Another run holds it.
    #[error("another run is at work (it holds the lock {path})", path = .0.display())]
    Busy(PathBuf),
    /// The file cannot be opened or locked.
    #[error("cannot lock {path}", path = path.display())]
    Open {
        /// The lock file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_second_is_told_that_the_first_is_at_work() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("made/on/demand.lock");
        let first = RunLock::take(&path).unwrap();
        assert!(matches!(RunLock::take(&path), Err(LockError::Busy(_))));
        assert!(is_held(&path));
        drop(first);
        assert!(!is_held(&path) && !is_held(&folder.path().join("none")));
        RunLock::take(&path).unwrap();
    }
}

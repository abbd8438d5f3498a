//! What the standard library leaves open about files: names that are never taken twice.

#[cfg(not(windows))]
use std::fs;
use std::io;
#[cfg(not(windows))]
use std::io::ErrorKind;
#[cfg(not(windows))]
use std::path::Path;
use std::time::Duration;

/// Windows lets virus scanners and indexers hold a new file open for a moment.
pub(crate) fn persistently<T>(mut step: impl FnMut() -> io::Result<T>) -> io::Result<T> {
    for _ in 0..20 {
        match step() {
            Err(error) if cfg!(windows) && matches!(error.raw_os_error(), Some(5 | 32 | 33)) => {
                std::thread::sleep(Duration::from_millis(100));
            }
            other => return other,
        }
    }
    step()
}

#[cfg(windows)]
pub(crate) use crate::windows::files::rename_new;

/// Renames a file, but never over another one.
///
/// # Errors
/// [`ErrorKind::AlreadyExists`] when there is a file of that name, else what the system says.
#[cfg(not(windows))]
pub(crate) fn rename_new(from: &Path, to: &Path) -> io::Result<()> {
    #[cfg(target_os = "linux")]
    {
        use rustix::fs::{CWD, RenameFlags, renameat_with};
        use rustix::io::Errno;
        match renameat_with(CWD, from, CWD, to, RenameFlags::NOREPLACE) {
            Ok(()) => return Ok(()),
            // The file system does not know how.
            Err(Errno::INVAL | Errno::NOSYS | Errno::OPNOTSUPP) => {}
            Err(error) => return Err(error.into()),
        }
    }
    link_new(from, to)
}

#[cfg(not(windows))]
fn link_new(from: &Path, to: &Path) -> io::Result<()> {
    match fs::hard_link(from, to) {
        Ok(()) => {
            // Best effort: the file has its final name now, and the partial one is found as a leftover.
            if let Err(error) = persistently(|| fs::remove_file(from)) {
                tracing::warn!(path = %from.display(), %error, "Could not remove a partial name");
            }
            Ok(())
        }
        Err(error) if matches!(error.kind(), ErrorKind::AlreadyExists | ErrorKind::NotFound) => Err(error),
        // No hard links here.
        Err(_) => check_and_rename(from, to),
    }
}

#[cfg(not(windows))]
fn check_and_rename(from: &Path, to: &Path) -> io::Result<()> {
    match fs::symlink_metadata(to) {
        Ok(_) => Err(ErrorKind::AlreadyExists.into()),
        Err(error) if error.kind() == ErrorKind::NotFound => fs::rename(from, to),
        Err(error) => Err(error),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_way_to_rename_refuses_to_replace() {
        #[cfg(not(windows))]
        let ways = [rename_new, link_new, check_and_rename];
        #[cfg(windows)]
        let ways = [rename_new];
        for way in ways {
            let scratch = tempfile::tempdir().unwrap();
            let (from, to) = (scratch.path().join("from"), scratch.path().join("to"));
            fs::write(&from, "new").unwrap();
            fs::write(&to, "old").unwrap();
            assert_eq!(way(&from, &to).unwrap_err().kind(), ErrorKind::AlreadyExists);
            assert_eq!((fs::read(&from).unwrap(), fs::read(&to).unwrap()), (b"new".to_vec(), b"old".to_vec()));
            fs::remove_file(&to).unwrap();
            way(&from, &to).unwrap();
            assert!(to.exists() && !from.exists());
            assert_eq!(way(&from, &scratch.path().join("other")).unwrap_err().kind(), ErrorKind::NotFound);
        }
    }
}

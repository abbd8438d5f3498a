//! What the standard library leaves open about files: names that are never taken twice, folders that are not for all,
//! and files that somebody else has for himself.

use std::fs;
use std::io;
#[cfg(not(windows))]
use std::io::ErrorKind;
use std::path::Path;
use std::time::Duration;

#[cfg(windows)]
pub(crate) use crate::windows::files::rename_new;

/// Has another program the file, or a part of it, for itself alone? Only Windows has such a thing.
pub(crate) fn is_in_use(error: &io::Error) -> bool {
    // ERROR_SHARING_VIOLATION, ERROR_LOCK_VIOLATION
    cfg!(windows) && matches!(error.raw_os_error(), Some(32 | 33))
}

/// Windows lets virus scanners and indexers hold a new file open for a moment; then access is denied, too.
pub(crate) fn persistently<T>(mut step: impl FnMut() -> io::Result<T>) -> io::Result<T> {
    for _ in 0..20 {
        match step() {
            Err(error) if is_in_use(&error) || cfg!(windows) && error.raw_os_error() == Some(5) => {
                std::thread::sleep(Duration::from_millis(100));
            }
            other => return other,
        }
    }
    step()
}

/// Creates a folder of the program, and those above it that are missing.
///
/// On Windows everybody may create folders in `%ProgramData%` and put files into those of others. A configuration names
/// commands that run as SYSTEM, so what we create there is for SYSTEM and administrators alone.
pub(crate) fn create_folders(path: &Path) -> io::Result<()> {
    #[cfg(windows)]
    if let Some(data) = std::env::var_os("ProgramData").filter(|data| !data.is_empty()) {
        let ours = path.ancestors().find(|folder| folder.parent() == Some(Path::new(&data)));
        if let Some(ours) = ours.filter(|ours| !ours.exists()) {
            fs::create_dir_all(&data)?;
            match crate::windows::security::create_private_folder(ours) {
                // Another process was faster.
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
                other => other?,
            }
        }
    }
    fs::create_dir_all(path)
}

/// Removes a file of our own that has its attributes already. Before Windows Server 2019 read-only files stay.
pub(crate) fn remove_dressed(path: &Path) -> io::Result<()> {
    match fs::remove_file(path) {
        #[cfg(windows)]
        Err(error) if error.kind() == io::ErrorKind::PermissionDenied => {
            set_writable(path)?;
            fs::remove_file(path)
        }
        other => other,
    }
}

/// Clears the read-only attribute.
#[cfg(windows)]
#[allow(clippy::permissions_set_readonly_false, reason = "on Windows this clears the attribute, nothing else")]
pub(crate) fn set_writable(path: &Path) -> io::Result<()> {
    let mut permissions = fs::metadata(path)?.permissions();
    permissions.set_readonly(false);
    fs::set_permissions(path, permissions)
}

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
#[allow(clippy::disallowed_methods, reason = "there is no other way, and the name was looked for")]
fn check_and_rename(from: &Path, to: &Path) -> io::Result<()> {
    match fs::symlink_metadata(to) {
        Ok(_) => Err(ErrorKind::AlreadyExists.into()),
        Err(error) if error.kind() == ErrorKind::NotFound => fs::rename(from, to),
        Err(error) => Err(error),
    }
}

#[cfg(test)]
mod tests {
    use std::io::ErrorKind;

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

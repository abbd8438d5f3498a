//! What the standard library leaves open about files: names that are never taken twice, folders that are not for all,
//! and files that somebody else has for himself.

use std::fs;
use std::io;
#[cfg(not(windows))]
use std::io::ErrorKind;
use std::path::Path;
use std::time::{Duration, SystemTime};

#[cfg(windows)]
pub(crate) use crate::windows::files::rename_new;

/// Has another program the file, or a part of it, for itself alone? Only Windows has such a thing.
pub(crate) fn is_in_use(error: &io::Error) -> bool {
    // ERROR_SHARING_VIOLATION, ERROR_LOCK_VIOLATION
    cfg!(windows) && matches!(error.raw_os_error(), Some(32 | 33))
}

/// Does the error concern this one file or folder: a right that is missing, a path that is too long, a bad sector?
/// Otherwise the disk or share is away.
pub(crate) fn concerns_one_file(error: &io::Error) -> bool {
    use io::ErrorKind::{InvalidData, InvalidFilename, InvalidInput, PermissionDenied};
    // ERROR_CRC, ERROR_FILENAME_EXCED_RANGE and ERROR_FILE_CORRUPT; EIO.
    let codes: &[i32] = if cfg!(windows) { &[23, 206, 1392] } else { &[5] };
    matches!(error.kind(), PermissionDenied | InvalidFilename | InvalidInput | InvalidData)
        || is_in_use(error)
        || error.raw_os_error().is_some_and(|code| codes.contains(&code))
}

/// What tells a file from another one of the same name, without opening it: its number, where the system says so, and
/// when it came to this disk or was last touched there in any way.
pub(crate) fn identity(metadata: &fs::Metadata) -> (u64, Option<SystemTime>) {
    #[cfg(unix)]
    {
        use std::os::unix::fs::MetadataExt;
        let nanoseconds = u32::try_from(metadata.ctime_nsec()).unwrap_or_default();
        let since = u64::try_from(metadata.ctime()).ok().map(|seconds| Duration::new(seconds, nanoseconds));
        (metadata.ino(), since.and_then(|since| SystemTime::UNIX_EPOCH.checked_add(since)))
    }
    #[cfg(not(unix))]
    (0, metadata.created().ok())
}

/// Was a link found where a file is opened that must not be one?
pub(crate) fn is_link(error: &io::Error) -> bool {
    // ELOOP; Windows has no such thing.
    #[cfg(unix)]
    let code = Some(rustix::io::Errno::LOOP.raw_os_error());
    #[cfg(not(unix))]
    let code = None;
    code.is_some() && error.raw_os_error() == code
}

/// Why something cannot be read, in words; where a right is missing, with the account that has not got it.
pub(crate) fn unreadable(error: &io::Error) -> String {
    if error.kind() == io::ErrorKind::PermissionDenied {
        return format!("cannot be read: {error} (running as {})", account());
    }
    format!("cannot be read: {error}")
}

/// The account that this process runs as.
#[cfg(windows)]
pub(crate) fn account() -> String {
    match (variable("USERDOMAIN"), variable("USERNAME")) {
        // A service that runs as Local System has the name of its computer.
        (Some(_), Some(name)) if name.ends_with('$') => format!(r"NT AUTHORITY\SYSTEM, seen by servers as {name}"),
        (Some(domain), Some(name)) => format!(r"{domain}\{name}"),
        (_, name) => name.unwrap_or_else(|| "an unknown account".to_owned()),
    }
}

/// The account that this process runs as.
#[cfg(not(windows))]
pub(crate) fn account() -> String {
    let user = rustix::process::geteuid().as_raw();
    let accounts = fs::read_to_string("/etc/passwd").unwrap_or_default();
    let name = accounts.lines().find_map(|line| {
        let mut fields = line.split(':');
        let name = fields.next()?;
        (fields.nth(1)?.parse() == Ok(user)).then(|| name.to_owned())
    });
    name.or_else(|| variable("USER")).unwrap_or_else(|| format!("user {user}"))
}

fn variable(name: &str) -> Option<String> {
    std::env::var(name).ok().filter(|value| !value.is_empty())
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

/// Removes a folder of our own with everything in it; that it is gone already is no error.
pub(crate) fn remove_tree(folder: &Path) -> io::Result<()> {
    let removed = || match fs::remove_dir_all(folder) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        other => other,
    };
    #[cfg(windows)]
    if removed().is_err() {
        // Before Windows Server 2019 read-only files stay.
        set_all_writable(folder);
    }
    persistently(removed)
}

/// Clears the read-only attribute of everything below a folder, as far as that is possible.
#[cfg(windows)]
fn set_all_writable(folder: &Path) {
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        match entry.file_type() {
            Ok(kind) if kind.is_dir() => set_all_writable(&entry.path()),
            _ => drop(set_writable(&entry.path())),
        }
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

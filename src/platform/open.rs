//! Opening files so that nobody is disturbed, and making names durable.

use std::fs::{self, File};
use std::io;
use std::path::Path;

#[cfg(windows)]
use super::files::persistently;
use super::verbatim::verbatim;

/// Opens for reading and nothing else. Windows: Rust's default shares for reading, writing and deleting, so we never
/// stand in the way of the backup task.
pub(crate) fn shared(path: &Path) -> io::Result<File> {
    let mut options = File::options();
    options.read(true);
    #[cfg(unix)]
    {
        // What became a link or a pipe since the walk must neither be followed nor waited for.
        use rustix::fs::OFlags;
        use std::os::unix::fs::OpenOptionsExt;
        let flags = OFlags::NOFOLLOW | OFlags::NONBLOCK;
        options.custom_flags(i32::try_from(flags.bits()).expect("open flags fit in an int"));
    }
    #[cfg(windows)]
    {
        // Read ahead, and do not keep. (A link that has taken a file's place is followed, as not following would show
        // deduplicated files empty; the walk afterwards sees it, and the attempt is dropped.)
        use std::os::windows::fs::OpenOptionsExt;
        options.custom_flags(windows_sys::Win32::Storage::FileSystem::FILE_FLAG_SEQUENTIAL_SCAN);
    }
    options.open(verbatim(path))
}

/// Opens a stored file for reading.
#[cfg(windows)]
pub(crate) fn to_read(path: &Path) -> io::Result<File> {
    use std::os::windows::fs::OpenOptionsExt;
    use windows_sys::Win32::Storage::FileSystem::FILE_FLAG_SEQUENTIAL_SCAN;
    // Read ahead, and do not keep.
    persistently(|| File::options().read(true).custom_flags(FILE_FLAG_SEQUENTIAL_SCAN).open(path))
}

#[cfg(not(windows))]
pub(crate) fn to_read(path: &Path) -> io::Result<File> {
    let file = File::open(path)?;
    // Opening a folder succeeds here, but there is no such *file*.
    if file.metadata()?.is_dir() { Err(io::ErrorKind::NotFound.into()) } else { Ok(file) }
}

/// Makes names durable. Windows has no such call, and there the file system's journal does it.
#[cfg(unix)]
pub(crate) fn sync_folder(path: &Path) -> io::Result<()> {
    match File::open(path).and_then(|folder| folder.sync_all()) {
        // Some network file systems cannot sync a folder.
        Err(error) if matches!(error.raw_os_error(), Some(22 | 95)) => Ok(()),
        other => other,
    }
}

#[cfg(not(unix))]
#[allow(clippy::unnecessary_wraps, reason = "it fails on other systems")]
pub(crate) fn sync_folder(_path: &Path) -> io::Result<()> {
    Ok(())
}

/// Creates a file that Windows hides, or takes for one of its own.
pub(crate) fn create_with_attributes(path: &Path, hidden: bool, system: bool) -> io::Result<File> {
    let mut options = File::options();
    options.write(true).create_new(true);
    #[cfg(windows)]
    {
        use std::os::windows::fs::OpenOptionsExt;
        use windows_sys::Win32::Storage::FileSystem::{FILE_ATTRIBUTE_HIDDEN, FILE_ATTRIBUTE_SYSTEM};
        let hidden = if hidden { FILE_ATTRIBUTE_HIDDEN } else { 0 };
        let system = if system { FILE_ATTRIBUTE_SYSTEM } else { 0 };
        options.attributes(hidden | system);
    }
    #[cfg(not(windows))]
    let (_, _) = (hidden, system);
    options.open(path)
}

/// Gives a file its final name, in place of what has it.
#[allow(clippy::disallowed_methods, reason = "--force replaces")]
pub(crate) fn replace(staged: &Path, place: &Path) -> io::Result<()> {
    // Windows does not replace read-only files.
    #[cfg(windows)]
    if place.exists() {
        super::files::set_writable(place)?;
    }
    fs::rename(staged, place)
}

/// Has somebody the file open for writing? Times in listings lag behind on Windows until a file is closed, so asking
/// for it is the only sure way there. It is let go at once, and only asked of files that have not changed for a while,
/// because whoever wanted to write in that moment would be refused.
#[cfg(windows)]
pub(crate) fn is_written(path: &Path) -> bool {
    use std::os::windows::fs::OpenOptionsExt;
    use windows_sys::Win32::Foundation::ERROR_SHARING_VIOLATION;
    use windows_sys::Win32::Storage::FileSystem::{FILE_SHARE_DELETE, FILE_SHARE_READ};

    // Sharing reading but not writing fails as long as somebody writes.
    let opened = std::fs::OpenOptions::new().read(true).share_mode(FILE_SHARE_READ | FILE_SHARE_DELETE).open(path);
    opened.is_err_and(|error| error.raw_os_error() == i32::try_from(ERROR_SHARING_VIOLATION).ok())
}

/// Has somebody the file open for writing? Only Windows can tell.
#[cfg(not(windows))]
pub(crate) fn is_written(_: &Path) -> bool {
    false
}

//! What the standard library leaves open about files.

use std::io;
use std::path::Path;

/// Renames a file, but never over another one.
///
/// # Errors
/// [`io::ErrorKind::AlreadyExists`] when there is a file of that name, else what the system says.
pub fn rename_new(from: &Path, to: &Path) -> io::Result<()> {
    #[cfg(target_os = "linux")]
    {
        use rustix::fs::{CWD, RenameFlags, renameat_with};
        use rustix::io::Errno;
        match renameat_with(CWD, from, CWD, to, RenameFlags::NOREPLACE) {
            // File systems that do not know the flag: some FUSE and network file systems.
            Err(Errno::INVAL | Errno::NOSYS | Errno::OPNOTSUPP) => {}
            result => return result.map_err(io::Error::from),
        }
    }
    // The name is free or it is not; between this look and the rename only another afterbackup could take it, and our
    // names carry the archive's id or lie in a folder of our own.
    match std::fs::symlink_metadata(to) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => std::fs::rename(from, to),
        Err(error) => Err(error),
        Ok(_) => Err(io::ErrorKind::AlreadyExists.into()),
    }
}

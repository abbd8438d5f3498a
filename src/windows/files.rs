//! Files: a rename that never replaces.

use std::io;
use std::path::Path;

use windows_sys::Win32::Storage::FileSystem::{MOVEFILE_WRITE_THROUGH, MoveFileExW};

use super::wide;

/// Renames a file within its volume, in one step that fails when the name is taken.
///
/// `std::fs::rename` replaces. A hard link would not, but some file servers have none.
pub(crate) fn rename_new(from: &Path, to: &Path) -> io::Result<()> {
    let (from, to) = (wide(from), wide(to));
    // SAFETY: both point to UTF-16 text with a zero at its end, which lives until the call returns.
    let done = unsafe { MoveFileExW(from.as_ptr(), to.as_ptr(), MOVEFILE_WRITE_THROUGH) };
    if done == 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
}

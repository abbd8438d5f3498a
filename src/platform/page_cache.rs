//! The page cache: backups are read and written once, and what the server needs must not be pushed out by them.

use std::fs::File;
use std::io;
#[cfg(target_os = "linux")]
use std::ops::Range;

#[cfg(target_os = "linux")]
fn advise(file: &File, range: Range<u64>, advice: rustix::fs::Advice) {
    // An empty length means "to the end".
    let length = std::num::NonZeroU64::new(range.end.saturating_sub(range.start));
    if let Err(error) = rustix::fs::fadvise(file, range.start, length, advice) {
        tracing::trace!(%error, "The page cache takes no advice");
    }
}

#[cfg(target_os = "linux")]
pub(crate) fn forget(file: &File, from: u64, to: u64) {
    if to > from {
        advise(file, from..to, rustix::fs::Advice::DontNeed);
    }
}

#[cfg(not(target_os = "linux"))]
pub(crate) fn forget(_file: &File, _from: u64, _to: u64) {}

#[cfg(target_os = "linux")]
pub(crate) fn advise_reading(file: &File) {
    advise(file, 0..0, rustix::fs::Advice::DontNeed);
    advise(file, 0..0, rustix::fs::Advice::Sequential);
}

#[cfg(not(target_os = "linux"))]
pub(crate) fn advise_reading(_file: &File) {}

#[cfg(target_os = "linux")]
pub(crate) fn write_out(file: &File, from: u64, to: u64) -> io::Result<()> {
    file.sync_data()?;
    forget(file, from, to);
    Ok(())
}

/// Windows writes through its cache at its own pace and throttles the writer itself.
#[cfg(not(target_os = "linux"))]
#[allow(clippy::unnecessary_wraps, reason = "it fails on Linux")]
pub(crate) fn write_out(_file: &File, _from: u64, _to: u64) -> io::Result<()> {
    Ok(())
}

/// Tells the system that data of large files is read once.
pub(crate) struct ReadHints {
    #[cfg(target_os = "linux")]
    large: bool,
}

impl ReadHints {
    #[cfg(target_os = "linux")]
    pub(crate) fn new(file: &File, size: u64) -> Self {
        use rustix::fs::{Advice, fadvise};
        let large = size > 64 << 20;
        if large {
            // A hint: a file system that does not know it loses nothing.
            fadvise(file, 0, None, Advice::Sequential).ok();
        }
        Self { large }
    }

    #[cfg(target_os = "linux")]
    pub(crate) fn done(&self, file: &File, read: u64) {
        use rustix::fs::{Advice, fadvise};
        const STEP: u64 = 32 << 20;
        if self.large && read.is_multiple_of(STEP) {
            fadvise(file, read - STEP, std::num::NonZeroU64::new(STEP), Advice::DontNeed).ok();
        }
    }

    #[cfg(not(target_os = "linux"))]
    pub(crate) fn new(_file: &File, _size: u64) -> Self {
        Self {}
    }

    #[cfg(not(target_os = "linux"))]
    #[allow(clippy::unused_self, reason = "the same shape as on Linux")]
    pub(crate) fn done(&self, _file: &File, _read: u64) {}
}

//! Where the bytes of files go, as they come out of archives.

use super::reader::ReadError;

/// What becomes of the files.
pub(super) trait Sink: Sync {
    /// A small file, checked: all its bytes, or none when they are damaged. Called on any thread.
    fn whole(&self, file: usize, bytes: Option<&[u8]>) -> Result<(), ReadError>;
    /// Some bytes of a large file that are not checked yet. Called on any thread, in any order.
    fn piece(&self, file: usize, offset: u64, bytes: &[u8]) -> Result<(), ReadError>;
    /// All pieces of a large file have come, and its SHA-256 is right or not.
    fn finished(&self, file: usize, sound: bool) -> Result<(), ReadError>;
}

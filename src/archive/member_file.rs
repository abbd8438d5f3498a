//! Files of the snapshot, opened one at a time, with full sharing, and only if they are still what the walk saw.

use std::fs::File;
use std::io::{self, Read};
use std::path::Path;
use std::time::Duration;

use jiff::Timestamp;
use sha2::{Digest, Sha256};

use super::manifest::Sha256Hex;
use super::write_error::WriteError;
use crate::cancel::Cancel;
use crate::platform::files::{is_in_use, is_link};
use crate::platform::open;
use crate::platform::page_cache::ReadHints;

/// Read at once. Between two reads we can let go of the file, also where a share gives some MB a second.
pub(super) const READ_BYTES: usize = 1 << 20;

fn read_full(file: &mut dyn Read, mut room: &mut [u8]) -> io::Result<usize> {
    let wanted = room.len();
    while !room.is_empty() {
        match file.read(room) {
            Ok(0) => break,
            Ok(read) => room = &mut room[read..],
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(wanted - room.len())
}

/// Fills `part` with the next bytes of a file that has them.
pub(super) fn read_part(file: &mut dyn Read, part: &mut [u8], path: &Path) -> Result<(), WriteError> {
    match read_full(file, part) {
        Ok(read) if read == part.len() => Ok(()),
        Ok(_) => Err(WriteError::changed(path, "it became shorter while it was read")),
        Err(error) => Err(WriteError::read(path, error)),
    }
}

/// A small file in one go, so that it is known to be readable.
pub(super) fn read_small(mut file: File, path: &Path, size: u64) -> Result<Vec<u8>, WriteError> {
    let mut bytes = vec![0; usize::try_from(size).unwrap_or_default()];
    read_part(&mut file, &mut bytes, path).map(|()| bytes)
}

/// A file that is read once, from its beginning to its end.
pub(super) struct Streamed {
    file: File,
    hints: ReadHints,
    read: u64,
}

impl Streamed {
    pub(super) fn new(file: File, size: u64) -> Self {
        let hints = ReadHints::new(&file, size);
        Self { file, hints, read: 0 }
    }
}

impl Read for Streamed {
    fn read(&mut self, room: &mut [u8]) -> io::Result<usize> {
        let read = self.file.read(room)?;
        self.read += read as u64;
        self.hints.done(&self.file, self.read);
        Ok(read)
    }
}

/// The SHA-256 of a file as it is now; `None` when it cannot be read, or when cancelled.
#[must_use]
pub fn hash_now(path: &Path, cancel: &Cancel) -> Option<Sha256Hex> {
    let mut file = open_patiently(path, cancel).ok()?;
    let mut sha256 = Sha256::new();
    let mut block = vec![0; READ_BYTES];
    loop {
        let read = read_full(&mut file, &mut block).ok().filter(|_| !cancel.is_cancelled())?;
        sha256.update(&block[..read]);
        if read < block.len() {
            return Some(Sha256Hex(sha256.finalize().into()));
        }
    }
}

/// Opens a file if it is still what the walk saw.
pub(super) fn open_unchanged(path: &Path, size: u64, modified: Timestamp, cancel: &Cancel) -> Result<File, WriteError> {
    let file = open_patiently(path, cancel)?;
    let metadata = file.metadata().map_err(|error| WriteError::read(path, error))?;
    if !metadata.is_file() {
        return Err(WriteError::changed(path, "it is no file any more"));
    }
    if metadata.len() != size {
        return Err(WriteError::changed(path, "its size changed"));
    }
    let now = metadata.modified().ok().and_then(|time| Timestamp::try_from(time).ok());
    if now.is_some_and(|now| now != modified) {
        return Err(WriteError::changed(path, "its time changed"));
    }
    Ok(file)
}

/// How often, and at what distance, a file that another program has for itself is tried.
const TRIES: u32 = 20;
const TRY_AGAIN_AFTER: Duration = Duration::from_millis(100);

/// Virus scanners and indexers have a file for themselves for a moment; longer waiting would hold up the whole archive.
fn open_patiently(path: &Path, cancel: &Cancel) -> Result<File, WriteError> {
    for _ in 1..TRIES {
        match open::shared(path) {
            Err(error) if is_in_use(&error) => {
                if cancel.wait(TRY_AGAIN_AFTER) {
                    return Err(WriteError::Cancelled);
                }
            }
            other => return other.map_err(|error| open_error(path, error)),
        }
    }
    open::shared(path).map_err(|error| open_error(path, error))
}

fn open_error(path: &Path, error: io::Error) -> WriteError {
    match error.kind() {
        io::ErrorKind::NotFound => WriteError::changed(path, "it vanished"),
        _ if is_link(&error) => WriteError::changed(path, "it became a link"),
        _ if is_in_use(&error) => WriteError::InUse { path: path.to_owned(), source: error },
        _ => WriteError::read(path, error),
    }
}

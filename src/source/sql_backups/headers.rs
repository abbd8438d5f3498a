//! Reads the headers of backups, and remembers them: a watcher looks every few seconds, and there may be thousands of
//! log backups.
//!
//! Only files that have not changed for a while are opened: SQL Server must not find one in use that it wants to write.

use std::collections::HashMap;
use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};

use jiff::Timestamp;
use parking_lot::Mutex;

use crate::sqlserver::{BackupFacts, HEAD, HeaderError, backup_header};

/// What is known of the headers of a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Headers {
    /// They say this.
    Known(Arc<BackupFacts>),
    /// It is no backup, or its headers are damaged, or it cannot be read: why, in words.
    Unknown(Arc<str>),
    /// The file is too young to be opened.
    Young,
}

/// The headers of an uncompressed backup lie within these.
const FIRST_BYTES: usize = 16 << 10;
/// So many files are remembered; then all are forgotten.
const REMEMBERED: usize = 50_000;

type Known = HashMap<PathBuf, (u64, Timestamp, Headers)>;

/// Reads the headers of a file of this size and time.
pub(super) fn of(path: &Path, bytes: u64, modified: Timestamp) -> Headers {
    static KNOWN: OnceLock<Mutex<Known>> = OnceLock::new();
    let known = || KNOWN.get_or_init(Mutex::default).lock();
    if let Some((size, time, headers)) = known().get(path)
        && (*size, *time) == (bytes, modified)
    {
        return headers.clone();
    }
    let headers = match read(path) {
        Ok(Ok(facts)) => Headers::Known(Arc::new(facts)),
        Ok(Err(error)) => Headers::Unknown(error.to_string().into()),
        // It may be readable next time.
        Err(error) => return Headers::Unknown(error.to_string().into()),
    };
    let mut known = known();
    if known.len() >= REMEMBERED {
        known.clear();
    }
    known.insert(path.to_owned(), (bytes, modified, headers.clone()));
    headers
}

fn read(path: &Path) -> io::Result<Result<BackupFacts, HeaderError>> {
    let mut file = File::open(path)?;
    let mut head = Vec::new();
    io::copy(&mut (&mut file).take(FIRST_BYTES as u64), &mut head)?;
    let first = backup_header(&head);
    if first != Err(HeaderError::Unreadable) || head.len() < FIRST_BYTES {
        return Ok(first);
    }
    io::copy(&mut file.take((HEAD - FIRST_BYTES) as u64), &mut head)?;
    Ok(backup_header(&head))
}

//! Writes an archive: one pass over the files, whatever the number of destinations.
//!
//! `read → {file SHA-256} → tar → cut into frames → compress on N threads → in order → {encrypt} → archive SHA-256 →
//! output`. Files are opened one at a time, with full sharing, and closed at once, so that a backup task that begins
//! again is never held up. Every file must be exactly what the walk before has seen; whoever calls the writer walks
//! again afterwards, before the archive becomes visible.

use std::io;

use bytes::Bytes;

use super::databases::DatabaseCheck;
use super::frames::{CompressError, compress};
use super::index::{Index, MAX_TAIL_BYTES, Skipped};
use super::manifest::{DirectoryLocation, IndexLocation, Sha256Hex};
pub use super::member::{Member, Need, fingerprint};
pub use super::member_file::hash_now;
use super::outlet::{Outlet, Output, OutputClosed};
use super::reader::Reader;
use super::seek_table::SeekTable;
use super::tarring::Tarring;
pub use super::write_error::WriteError;
use crate::cancel::Cancel;
use crate::monitor::Task;
use crate::name::{ArchiveId, Level};

/// How to write.
#[derive(Debug, Clone, Default)]
pub struct Options {
    /// zstd level.
    pub level: i32,
    /// Compressing threads, at least 1.
    pub threads: usize,
    /// Encrypt to these, if any.
    pub recipients: Vec<age::x25519::Recipient>,
    /// Check the pages of SQL Server files as they stream past.
    pub check_databases: bool,
}

/// What to write.
#[derive(Debug, Default)]
pub struct Contents<'r, 'a> {
    /// Files and folders, in any order.
    pub members: Vec<Member>,
    /// What could not be among them.
    pub skipped: Vec<Skipped>,
    /// The archive to build on, and as what; without one, the archive is a full one.
    pub base: Option<(&'r Reader<'a>, Level)>,
}

/// What was written.
#[derive(Debug, Clone)]
pub struct Written {
    /// Size of the archive as it left.
    pub bytes: u64,
    /// Its SHA-256.
    pub sha256: Sha256Hex,
    /// Size before encryption.
    pub compressed_bytes: u64,
    /// Size of the tar.
    pub uncompressed_bytes: u64,
    /// Where the index is.
    pub location: IndexLocation,
    /// The index, with everything that the snapshot has.
    pub index: Index,
    /// Tells snapshots apart.
    pub fingerprint: String,
    /// What was found in database files.
    pub databases: Vec<DatabaseCheck>,
    /// What could not be read and was left out; the index has it, too.
    pub unread: Vec<Skipped>,
}

/// Writes the archive `id` of these contents to `output`.
///
/// # Errors
/// When a file cannot be read or is not what the walk saw, when the base cannot be read, when nobody takes the archive,
/// or when cancelled. What `output` got until then is to be thrown away.
pub fn write(
    id: &ArchiveId,
    contents: Contents<'_, '_>,
    options: &Options,
    output: &mut Output<'_>,
    task: &dyn Task,
    cancel: &Cancel,
) -> Result<Written, WriteError> {
    let mut outlet = Outlet::new(&options.recipients, output).map_err(out_error)?;
    let mut table = SeekTable::default();
    let (produced, emitted) = compress(
        options.level,
        options.threads.max(1),
        cancel,
        |cutter| {
            let Contents { members, skipped, base } = contents;
            Tarring::new(cutter, options.check_databases, task, cancel).run(id, members, skipped, base)
        },
        |frame, plain| {
            let compressed = u32::try_from(frame.len()).expect("a frame of 4 MiB stays far below 4 GiB");
            table.push(compressed, plain);
            outlet.send(frame)
        },
    );
    // The reading side stops because of the other side, or knows a reason of its own; that one counts.
    let tarred = match (produced, emitted) {
        (Ok(tarred), Ok(())) => tarred,
        (Err(WriteError::Stopped) | Ok(_), Err(CompressError::Compress(error))) => {
            return Err(WriteError::Compress(error));
        }
        (Err(WriteError::Stopped) | Ok(_), Err(CompressError::Emit(error))) => return Err(out_error(error)),
        (Err(WriteError::Stopped), Ok(())) if cancel.is_cancelled() => return Err(WriteError::Cancelled),
        (Err(error), _) => return Err(error),
    };
    let (compressed_frames, uncompressed_bytes) = table.total();
    let compressed_bytes = compressed_frames + table.stored_bytes();
    let place = tarred.place;
    let location = IndexLocation {
        frame: place.frame as u64,
        frames: (table.len() - place.frame) as u64,
        frame_offset: table.compressed(place.frame).start,
        directory: place
            .directory
            .map(|(frame, sha256)| DirectoryLocation { frame_offset: table.compressed(frame).start, sha256 }),
        offset: place.offset,
        size: place.size,
        sha256: place.sha256,
    };
    if compressed_bytes - location.frame_offset > MAX_TAIL_BYTES {
        return Err(WriteError::TooMany(tarred.index.entries.len()));
    }
    outlet.send(Bytes::from(table.to_bytes())).map_err(out_error)?;
    let out = outlet.finish().map_err(out_error)?;
    Ok(Written {
        bytes: out.bytes,
        sha256: out.sha256,
        compressed_bytes,
        uncompressed_bytes,
        location,
        index: tarred.index,
        fingerprint: tarred.fingerprint,
        databases: tarred.databases,
        unread: tarred.unread,
    })
}

fn out_error(error: io::Error) -> WriteError {
    if error.get_ref().is_some_and(<dyn std::error::Error + Send + Sync>::is::<OutputClosed>) {
        WriteError::Output(OutputClosed)
    } else {
        WriteError::Encrypt(error)
    }
}

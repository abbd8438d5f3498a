//! Writes an archive: one pass over the files, whatever the number of destinations.
//!
//! `read → {file SHA-256} → tar → cut into frames → compress on N threads → in order → {encrypt} → archive SHA-256 →
//! output`. Files are opened one at a time, with full sharing, and closed at once, so that a backup task that begins
//! again is never held up. Every file must be exactly what the walk before has seen; whoever calls the writer walks
//! again afterwards, before the archive becomes visible.

use std::fs::File;
use std::io::{self, Read};
use std::path::Path;
use std::time::Duration;

use bytes::Bytes;
use jiff::Timestamp;
use sha2::{Digest, Sha256};

use super::databases::{DatabaseCheck, Role, pair_all};
use super::frames::{CompressError, Cutter, SMALL_FRAME, compress};
use super::index::{
    ALL_FINDINGS_BYTES, Attributes, Entry, Findings, INDEX_PATH, Index, MAX_INDEX_BYTES, MAX_LINE_BYTES,
    MAX_TAIL_BYTES, Skipped, archive_order, is_too_deep, shallow,
};
use super::index_lines::{Chunks, directory, each};
use super::manifest::{DirectoryLocation, IndexLocation, Sha256Hex};
use super::member::fingerprint_line;
pub use super::member::{Member, Need, fingerprint};
use super::outlet::{Outlet, Output, OutputClosed};
use super::seek_table::SeekTable;
use super::tar_header::{self, header, padding};
pub use super::write_error::WriteError;
use crate::cancel::Cancel;
use crate::monitor::Task;
use crate::name::ArchiveId;
use crate::platform::files::{is_in_use, is_link};
use crate::platform::open;
use crate::platform::page_cache::ReadHints;
use crate::sqlserver::{Checker, Report};

/// Read at once. Between two reads we can let go of the file, also where a share gives some MB a second.
const READ_BYTES: usize = 1 << 20;

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
    /// The index itself.
    pub index: Index,
    /// Tells snapshots apart.
    pub fingerprint: String,
    /// What was found in database files.
    pub databases: Vec<DatabaseCheck>,
    /// What could not be read and was left out; the index has it, too.
    pub unread: Vec<Skipped>,
}

/// Writes the archive `id` of these members to `output`.
///
/// # Errors
/// When a file cannot be read or is not what the walk saw, when nobody takes the archive, or when cancelled. What
/// `output` got until then is to be thrown away.
pub fn write(
    id: &ArchiveId,
    members: Vec<Member>,
    skipped: Vec<Skipped>,
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
            let check_databases = options.check_databases;
            let fingerprint = Sha256::new();
            Tarring { cutter, task, cancel, check_databases, databases: vec![], unread: vec![], fingerprint }
                .run(id, members, skipped)
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

/// What the reading thread made.
struct Tarred {
    index: Index,
    place: IndexPlace,
    fingerprint: String,
    databases: Vec<DatabaseCheck>,
    unread: Vec<Skipped>,
}

/// Where the index came to lie.
struct IndexPlace {
    frame: usize,
    /// Frame and SHA-256 of its directory.
    directory: Option<(usize, Sha256Hex)>,
    offset: u64,
    size: u64,
    sha256: Sha256Hex,
}

/// The reading thread: files to tar.
struct Tarring<'a> {
    cutter: Cutter,
    task: &'a dyn Task,
    cancel: &'a Cancel,
    fingerprint: Sha256,
    check_databases: bool,
    databases: Vec<DatabaseCheck>,
    unread: Vec<Skipped>,
}

impl Tarring<'_> {
    fn run(
        mut self,
        id: &ArchiveId,
        mut members: Vec<Member>,
        mut skipped: Vec<Skipped>,
    ) -> Result<Tarred, WriteError> {
        members.sort_by(|a, b| archive_order(&a.path, &b.path));
        // Parts of a snapshot may lie in one folder of the archive.
        members.dedup_by(|later, first| later.path == first.path && later.folder && first.folder);
        if let Some(pair) = members.windows(2).find(|pair| pair[0].path == pair[1].path) {
            return Err(WriteError::Twice(pair[0].path.clone()));
        }
        let mut entries = Vec::with_capacity(members.len());
        for member in members {
            if self.cancel.is_cancelled() {
                return Err(WriteError::Cancelled);
            }
            entries.extend(self.member(member)?);
        }
        self.judge(&mut entries);
        skipped.extend(self.unread.iter().cloned());
        for one in skipped.iter_mut().filter(|one| is_too_deep(&one.path)) {
            one.path.truncate(shallow(&one.path).len());
        }
        skipped.sort_by(|a, b| archive_order(&a.path, &b.path));
        // Of all that is too deep, its folder is named once.
        skipped.dedup();
        let index = Index { entries, skipped, ..Index::empty(id.clone()) };
        self.index(index)
    }

    /// `None` when it was left out.
    fn member(&mut self, member: Member) -> Result<Option<Entry>, WriteError> {
        let need = member.need;
        if is_too_deep(&member.path) {
            let folder = shallow(&member.path).to_owned();
            if need == Need::Required && !member.folder {
                return Err(WriteError::Index(folder));
            }
            let reason = "folders in it are nested deeper than an archive can hold".to_owned();
            self.unread.push(Skipped { path: folder, reason });
            self.unread.dedup();
            return Ok(None);
        }
        let head = header(&member.path, member.folder, member.size, member.modified, member.attributes);
        let source = member.source();
        let mut entry = Entry {
            path: member.path,
            folder: member.folder,
            size: member.size,
            modified: member.modified,
            attributes: member.attributes,
            origin: member.origin,
            ..Entry::default()
        };
        if member.folder {
            self.cutter.reserve(head.len())?;
            self.cutter.append(&head)?;
            return Ok(Some(entry));
        }
        let padding = padding(member.size);
        let whole = usize::try_from(member.size).ok().and_then(|size| size.checked_add(head.len() + padding));
        let large = whole.is_none_or(|whole| whole > SMALL_FRAME);
        // What can be left out is opened, and if it is small also read, before the archive says that it is there.
        let opened = open_unchanged(&source, member.size, member.modified, self.cancel);
        let opened = match (opened, need) {
            (Ok(file), Need::Optional | Need::Extra) if !large => {
                read_small(file, &source, member.size).map(|bytes| Box::new(io::Cursor::new(bytes)) as Box<dyn Read>)
            }
            (Ok(file), _) => Ok(Box::new(Streamed::new(file, member.size)) as Box<dyn Read>),
            (Err(error), _) => Err(error),
        };
        let mut data = match opened {
            Ok(data) => data,
            Err(error) if error.leaves_out(need) => {
                self.unread.push(Skipped { path: entry.path, reason: error.reason() });
                return Ok(None);
            }
            Err(error) => return Err(error),
        };
        self.fingerprint.update(fingerprint_line(&entry.path, entry.size, entry.modified).as_bytes());
        // A large file begins a frame with its data, and its end ends one.
        self.cutter.reserve(if large { head.len() } else { whole.unwrap_or(0) })?;
        self.cutter.append(&head)?;
        if large {
            self.cutter.cut()?;
        }
        entry.offset = self.cutter.position();
        let (sha256, report) = self.data(&mut data, &source, member.size).map_err(|error| {
            // Its beginning is in the archive: the next attempt is without it.
            if error.leaves_out(need) { error.leave_out(&entry.path) } else { error }
        })?;
        entry.sha256 = Some(sha256);
        self.databases
            .extend(report.and_then(|report| DatabaseCheck::new(&entry.path, report, Role::of_member(&entry.path))));
        self.cutter.append(&[0; tar_header::BLOCK][..padding])?;
        if large {
            self.cutter.cut()?;
        }
        Ok(Some(entry))
    }

    /// Compares the databases with each other and puts everything found into the index.
    fn judge(&mut self, entries: &mut [Entry]) {
        pair_all(&mut self.databases);
        let mut left = ALL_FINDINGS_BYTES;
        for check in &self.databases {
            if let Some(entry) = entries.iter_mut().find(|entry| entry.path == check.path) {
                let found = Findings::within(check, &mut left);
                entry.database = found.or_else(|| Findings::within(&check.shortened(), &mut left));
            }
        }
    }

    fn data(&mut self, file: &mut dyn Read, path: &Path, size: u64) -> Result<(Sha256Hex, Option<Report>), WriteError> {
        let mut sha256 = Sha256::new();
        let mut checker = self.check_databases.then(Checker::new);
        let mut left = size;
        while left > 0 {
            if self.cancel.is_cancelled() {
                return Err(WriteError::Cancelled);
            }
            let most = usize::try_from(left).unwrap_or(usize::MAX).min(READ_BYTES);
            let mut outcome = Ok(());
            let read = self.cutter.with_room(most, |room| match read_full(file, room) {
                Ok(read) => {
                    sha256.update(&room[..read]);
                    if let Some(checker) = &mut checker {
                        checker.update(&room[..read]);
                    }
                    outcome = if read == room.len() { Ok(()) } else { Err(None) };
                    read
                }
                Err(error) => {
                    outcome = Err(Some(error));
                    0
                }
            })?;
            outcome.map_err(|error| match error {
                None => WriteError::changed(path, "it became shorter while it was read"),
                Some(error) => WriteError::read(path, error),
            })?;
            left -= read as u64;
            self.task.advance(read as u64);
        }
        Ok((Sha256Hex(sha256.finalize().into()), checker.map(Checker::finish)))
    }

    fn index(mut self, index: Index) -> Result<Tarred, WriteError> {
        let mut chunks = Chunks::default();
        each(&index, |path, line| {
            chunks.add(path, line);
            // What no reader takes must not be there.
            if line.len() > MAX_LINE_BYTES { Err(WriteError::Index(path.to_owned())) } else { Ok(()) }
        })?;
        let chunks_bytes = chunks.bytes();
        let chunks = chunks.finish();
        let directory = directory(&chunks);
        let size = chunks_bytes + directory.len() as u64;
        // No time of its own: the same snapshot gives the same bytes.
        let head = header(INDEX_PATH, false, size, index.id.stamp(), Attributes::default());
        if size + head.len() as u64 > MAX_INDEX_BYTES {
            return Err(WriteError::TooMany(index.entries.len()));
        }
        self.cutter.cut()?;
        let frame = self.cutter.frame();
        self.cutter.append(&head)?;
        let offset = self.cutter.position();
        // The first begins with the header.
        let mut begins = chunks.iter().map(|chunk| chunk.offset).skip(1).peekable();
        let (mut at, mut sha256) = (0, Sha256::new());
        each(&index, |_, line| {
            if begins.next_if_eq(&at).is_some() {
                self.cutter.cut()?;
            }
            at += line.len() as u64;
            sha256.update(line);
            self.cutter.append(line)
        })?;
        let mut directory_place = None;
        if !directory.is_empty() {
            self.cutter.cut()?;
            directory_place = Some((self.cutter.frame(), Sha256Hex(Sha256::digest(&directory).into())));
            sha256.update(&directory);
            self.cutter.append(&directory)?;
        }
        self.cutter.append(&[0; tar_header::BLOCK][..padding(size)])?;
        self.cutter.append(&tar_header::END)?;
        self.cutter.cut()?;
        let digest: [u8; 32] = self.fingerprint.finalize().into();
        let fingerprint = Sha256Hex(digest).to_string();
        let sha256 = Sha256Hex(sha256.finalize().into());
        let place = IndexPlace { frame, directory: directory_place, offset, size, sha256 };
        Ok(Tarred { index, place, fingerprint, databases: self.databases, unread: self.unread })
    }
}

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

/// A small file in one go, so that it is known to be readable.
fn read_small(mut file: File, path: &Path, size: u64) -> Result<Vec<u8>, WriteError> {
    let mut bytes = vec![0; usize::try_from(size).unwrap_or_default()];
    match read_full(&mut file, &mut bytes) {
        Ok(read) if read == bytes.len() => Ok(bytes),
        Ok(_) => Err(WriteError::changed(path, "it became shorter while it was read")),
        Err(error) => Err(WriteError::read(path, error)),
    }
}

/// A file that is read once, from its beginning to its end.
struct Streamed {
    file: File,
    hints: ReadHints,
    read: u64,
}

impl Streamed {
    fn new(file: File, size: u64) -> Self {
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
fn open_unchanged(path: &Path, size: u64, modified: Timestamp, cancel: &Cancel) -> Result<File, WriteError> {
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

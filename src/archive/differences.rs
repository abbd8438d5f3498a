//! What differs from the base: which of its paths are gone, and changed files as VCDIFF.
//!
//! A window is encoded from the bytes that the base gives, decoded again and compared before it is stored: a fault in
//! the encoder costs a run, not a night that is missed only when it is needed.

use std::path::Path;

use crossbeam_channel::{Receiver, RecvTimeoutError, Sender, bounded};
use sha2::{Digest, Sha256};

use super::delta::vcdiff::{Encoder, HEADER, WINDOW, Window};
use super::frames::{Cutter, LARGE_FRAME, LOOK};
use super::index::{Attributes, Entry, Piece, archive_order};
use super::manifest::Sha256Hex;
use super::member_file::{Streamed, read_part};
use super::reader::Reader;
use super::tar_header::{BLOCK, header, padding};
use super::view::{Lost, View};
use super::write_error::WriteError;
use crate::cancel::Cancel;
use crate::monitor::Task;
use crate::sqlserver::{Checker, Report};

/// Smaller files are stored whole.
pub(super) const LEAST_DELTA: u64 = 64 << 10;

/// Where the pieces of deltas are in the tar.
const FOLDER: &str = ".afterbackup/delta";

/// So many windows of the base are read ahead.
const AHEAD: usize = 2;

/// The base, as it is gone through beside the snapshot.
pub(super) struct Differences<'r, 'a> {
    reader: &'r Reader<'a>,
    next: usize,
    encoder: Encoder,
}

/// A file that the base has, too.
pub(super) struct New<'e> {
    pub(super) entry: &'e Entry,
    pub(super) source: &'e Path,
    pub(super) data: Streamed,
    pub(super) checker: Option<Checker>,
}

/// What became of it.
pub(super) struct Encoded {
    pub(super) sha256: Sha256Hex,
    pub(super) report: Option<Report>,
    /// None when it has the very bytes that it has in the base.
    pub(super) pieces: Vec<Piece>,
}

impl<'r, 'a> Differences<'r, 'a> {
    pub(super) fn new(reader: &'r Reader<'a>) -> Self {
        Self { reader, next: 0, encoder: Encoder::new() }
    }

    /// The number in the chain of the archive that is being written.
    pub(super) fn link(&self) -> u8 {
        self.reader.index().link().saturating_add(1)
    }

    /// Goes on to `path`, and gives what the base has there. What lies before it is gone.
    pub(super) fn meet(&mut self, path: &str, gone: &mut Vec<String>) -> Option<&'r Entry> {
        let reader = self.reader;
        while let Some(entry) = reader.index().entries.get(self.next) {
            match archive_order(&entry.path, path) {
                std::cmp::Ordering::Greater => return None,
                _ => self.next += 1,
            }
            if entry.path == path {
                return Some(entry);
            }
            gone.push(entry.path.clone());
        }
        None
    }

    /// What the base has behind everything that was met.
    pub(super) fn rest(self) -> impl Iterator<Item = String> + use<'r> {
        self.reader.index().entries.get(self.next..).unwrap_or_default().iter().map(|entry| entry.path.clone())
    }

    /// Stores a file as what differs from `before`.
    pub(super) fn encode(
        &mut self,
        new: New<'_>,
        before: &Entry,
        cutter: &mut Cutter,
        task: &dyn Task,
        cancel: &Cancel,
    ) -> Result<Encoded, WriteError> {
        let (windows, received) = bounded(AHEAD);
        let (free, pool) = bounded(AHEAD + 2);
        let (reader, encoder, size) = (self.reader, &mut self.encoder, new.entry.size.min(before.size));
        std::thread::scope(|scope| {
            scope.spawn(move || read_base(reader, before, size, &windows, &pool));
            let result = Encoding::new(new, cutter, encoder).run(before, &received, &free, task, cancel);
            // The file of the snapshot is closed by now. The other side ends, before anybody waits for it.
            drop((received, free));
            result
        })
    }
}

/// Reads the base window by window, until it ends or nobody takes more.
fn read_base(
    reader: &Reader<'_>,
    before: &Entry,
    size: u64,
    windows: &Sender<Result<Vec<u8>, String>>,
    pool: &Receiver<Vec<u8>>,
) {
    let mut view = View::new(reader);
    let mut start = 0;
    while start < size {
        let end = size.min(start + WINDOW as u64);
        let mut window = pool.try_recv().unwrap_or_default();
        window.clear();
        let read = view.read(before, start..end, &mut window).map(|()| window);
        let read = read.map_err(|error| match error {
            Lost::Damaged(what) => what,
            Lost::Read(error) => crate::error::chain(&error),
        });
        let failed = read.is_err();
        if windows.send(read).is_err() || failed {
            return;
        }
        start = end;
    }
}

/// A file on its way.
struct Encoding<'e> {
    new: New<'e>,
    cutter: &'e mut Cutter,
    encoder: &'e mut Encoder,
    /// The piece that is being made, and where it begins in the file.
    piece: Vec<u8>,
    begins: u64,
    /// No piece may become longer.
    most: usize,
    pieces: Vec<Piece>,
}

impl<'e> Encoding<'e> {
    fn new(new: New<'e>, cutter: &'e mut Cutter, encoder: &'e mut Encoder) -> Self {
        let mut encoding =
            Self { new, cutter, encoder, piece: HEADER.to_vec(), begins: 0, most: 0, pieces: Vec::new() };
        encoding.most = LARGE_FRAME - encoding.header(LARGE_FRAME as u64).len() - BLOCK;
        encoding
    }

    fn header(&self, bytes: u64) -> Vec<u8> {
        let Entry { path, modified, .. } = self.new.entry;
        let path = format!("{FOLDER}/{path}/{:06}", self.pieces.len());
        header(&path, false, bytes, *modified, Attributes::default())
    }

    fn run(
        mut self,
        before: &Entry,
        base: &Receiver<Result<Vec<u8>, String>>,
        free: &Sender<Vec<u8>>,
        task: &dyn Task,
        cancel: &Cancel,
    ) -> Result<Encoded, WriteError> {
        let (mut sha256, mut window, mut again) = (Sha256::new(), Vec::new(), Vec::new());
        let mut target = vec![0; WINDOW];
        let mut at = 0;
        while at < self.new.entry.size {
            let bytes = usize::try_from(self.new.entry.size - at).unwrap_or(WINDOW).min(WINDOW);
            let target = &mut target[..bytes];
            read_part(&mut self.new.data, target, self.new.source)?;
            sha256.update(&*target);
            if let Some(checker) = &mut self.new.checker {
                checker.update(target);
            }
            let old = if at < before.size { next(base, cancel)? } else { Vec::new() };
            window.clear();
            self.encoder.window(target, &old, at, &mut window);
            again.clear();
            // What no reader would make of it must not be stored.
            let made = Window::parse(&window).ok().flatten().is_some_and(|(parsed, bytes)| {
                let source = parsed.source().map_or(0, |range| range.end - range.start);
                let source = usize::try_from(source).ok().and_then(|source| old.get(..source));
                bytes == window.len() && source.is_some_and(|source| parsed.decode(source, &mut again).is_ok())
            });
            if !made || again != *target {
                return Err(WriteError::Base(format!("{} cannot be encoded", self.new.entry.path)));
            }
            if self.piece.len() + window.len() > self.most {
                self.store()?;
                self.begins = at;
            }
            self.piece.extend_from_slice(&window);
            // Nobody takes it any more once the other side has ended.
            drop(free.try_send(old));
            at += bytes as u64;
            task.advance(bytes as u64);
            if cancel.is_cancelled() {
                return Err(WriteError::Cancelled);
            }
        }
        let sha256 = Sha256Hex(sha256.finalize().into());
        let equal = Some(sha256) == before.sha256 && self.new.entry.size == before.size;
        if !(equal && self.pieces.is_empty()) {
            self.store()?;
        }
        Ok(Encoded { sha256, report: self.new.checker.take().map(Checker::finish), pieces: self.pieces })
    }

    /// Makes the piece a member of the tar, in a frame of its own.
    fn store(&mut self) -> Result<(), WriteError> {
        let size = self.piece.len() as u64;
        let header = self.header(size);
        self.cutter.cut()?;
        self.cutter.append(&header)?;
        let offset = self.cutter.position();
        self.cutter.append(&self.piece)?;
        self.cutter.append(&[0; BLOCK][..padding(size)])?;
        self.cutter.cut()?;
        self.pieces.push(Piece { at: self.begins, offset, size });
        self.piece.clear();
        Ok(())
    }
}

/// The next window of the base. Whoever waits for it holds a file of the snapshot open, and looks up often.
fn next(base: &Receiver<Result<Vec<u8>, String>>, cancel: &Cancel) -> Result<Vec<u8>, WriteError> {
    loop {
        match base.recv_timeout(LOOK) {
            Ok(window) => return window.map_err(WriteError::Base),
            Err(RecvTimeoutError::Timeout) if !cancel.is_cancelled() => {}
            Err(RecvTimeoutError::Timeout) => return Err(WriteError::Cancelled),
            Err(RecvTimeoutError::Disconnected) => return Err(WriteError::Base("it ended early".to_owned())),
        }
    }
}

//! Ranges of files out of a chain of archives, whichever of them has the bytes.
//!
//! A file that is stored as a delta is put together window by window: each needs the same range of the file in the
//! base, which may be a delta again. Whoever reads from front to back reads every frame once.

use std::collections::VecDeque;
use std::ops::Range;

use bytes::Bytes;
use zstd::bulk::Decompressor;

use super::access::AccessError;
use super::decode::unpack;
use super::delta::vcdiff::{Window, check_header};
use super::index::{Delta, Entry, Piece};
use super::layer::{Layer, REQUEST_BYTES};
use super::read_error::ReadError;
use super::reader::Reader;

/// Why some bytes of a file cannot be had.
#[derive(Debug, thiserror::Error)]
pub(super) enum Lost {
    /// They are damaged, or what they are made from is; in words, where.
    #[error("{0}")]
    Damaged(String),
    /// The destination failed.
    #[error(transparent)]
    Read(#[from] ReadError),
}

/// Reads ranges of files.
pub(super) struct View<'r, 'a> {
    reader: &'r Reader<'a>,
    /// The archive, then what it differs from, and so on.
    layers: &'r [Layer<'a>],
    frames: Vec<Frames>,
    deltas: Vec<Cursor>,
}

/// The frames of a layer that were read last.
#[derive(Default)]
struct Frames {
    /// Number and bytes of the one that is unpacked.
    current: Option<usize>,
    plain: Vec<u8>,
    /// Those that came with it.
    ahead: VecDeque<(usize, Bytes)>,
}

/// Where the reading of a delta of a layer stands.
#[derive(Default)]
struct Cursor {
    /// The piece that is held; pieces of a layer never overlap, so its place tells which file it belongs to.
    piece: Option<Piece>,
    bytes: Vec<u8>,
    /// The next window begins here in `bytes`.
    next: usize,
    /// And here in the file.
    at: u64,
}

impl<'r, 'a> View<'r, 'a> {
    pub(super) fn new(reader: &'r Reader<'a>) -> Self {
        let layers = reader.layers();
        let frames = layers.iter().map(|_| Frames::default()).collect();
        Self { reader, layers, frames, deltas: layers.iter().map(|_| Cursor::default()).collect() }
    }

    /// Appends these bytes of a file of the index.
    pub(super) fn read(&mut self, file: &Entry, range: Range<u64>, out: &mut Vec<u8>) -> Result<(), Lost> {
        let Some(back) = self.back(file).filter(|_| range.start <= range.end && range.end <= file.size) else {
            return Err(self.damaged(0, "what it builds on is not there"));
        };
        if let Some(delta) = &file.delta {
            return self.rebuild(file, delta, range, out);
        }
        let tar = |at: u64| file.offset.saturating_add(at);
        self.copy(back, tar(range.start)..tar(range.end), tar(file.size), out)
    }

    /// So many links up the chain lies the archive that has the bytes of a file.
    fn back(&self, file: &Entry) -> Option<usize> {
        let layer = self.reader.layer_of(file)?;
        self.layers.iter().position(|other| std::ptr::eq(layer, other))
    }

    fn damaged(&self, back: usize, what: &str) -> Lost {
        let id = self.layers.get(back).or(self.layers.first()).map(|layer| layer.manifest.id.to_string());
        Lost::Damaged(format!("{}: {what}", id.unwrap_or_default()))
    }

    /// Appends a range of a tar. Nothing behind `end` will be asked for next.
    fn copy(&mut self, back: usize, tar: Range<u64>, end: u64, out: &mut Vec<u8>) -> Result<(), Lost> {
        let table = &self.layers[back].table;
        let numbers = table.overlapping(tar.clone());
        let covered = |number: Option<usize>| number.is_some_and(|number| table.plain(number).end >= tar.end);
        if !tar.is_empty() && !covered(numbers.clone().last()) {
            return Err(self.damaged(back, "its index leads nowhere"));
        }
        for number in numbers {
            let place = self.layers[back].table.plain(number);
            self.unpack(back, number, end)?;
            let within =
                |at: u64| usize::try_from(at.clamp(place.start, place.end) - place.start).unwrap_or(usize::MAX);
            let part = self.frames[back].plain.get(within(tar.start)..within(tar.end));
            let Some(part) = part else { return Err(self.damaged(back, "a frame is too short")) };
            out.extend_from_slice(part);
        }
        Ok(())
    }

    /// Makes a frame the current one of its layer.
    fn unpack(&mut self, back: usize, number: usize, end: u64) -> Result<(), Lost> {
        if self.frames[back].current == Some(number) {
            return Ok(());
        }
        let in_order = self.frames[back].current.is_some_and(|current| current + 1 == number);
        let compressed = self.compressed(back, number, if in_order { end } else { 0 })?;
        let frames = &mut self.frames[back];
        frames.current = None;
        let plain = self.layers[back].table.plain(number);
        let bytes = usize::try_from(plain.end - plain.start).unwrap_or(usize::MAX);
        // Its state is small beside a frame.
        let whole = Decompressor::new().is_ok_and(|mut d| unpack(&mut d, &compressed, bytes, &mut frames.plain));
        if !whole {
            return Err(self.damaged(back, &format!("frame {number} is damaged")));
        }
        frames.current = Some(number);
        Ok(())
    }

    /// A frame as it is stored, out of what was read ahead or with more of those before `end` of the tar.
    fn compressed(&mut self, back: usize, number: usize, end: u64) -> Result<Bytes, Lost> {
        let Frames { ahead, .. } = &mut self.frames[back];
        while let Some((held, bytes)) = ahead.pop_front() {
            if held == number {
                return Ok(bytes);
            }
        }
        let Layer { table, access, .. } = &self.layers[back];
        let start = table.compressed(number).start;
        let wanted =
            |&next: &usize| table.plain(next).start < end && table.compressed(next).end - start <= REQUEST_BYTES;
        let last = (number + 1..table.len()).take_while(wanted).last().unwrap_or(number);
        let stored = match access.range(start..table.compressed(last).end) {
            Ok(stored) => stored,
            Err(AccessError::Damaged(what)) => return Err(self.damaged(back, &what)),
            Err(error) => {
                let error = ReadError::from(error);
                return Err(if error.is_damage() { self.damaged(back, "it is cut") } else { error.into() });
            }
        };
        let slice = |number: usize| {
            let place = table.compressed(number);
            let within = |at: u64| usize::try_from(at - start).unwrap_or(usize::MAX);
            stored.slice(within(place.start)..within(place.end))
        };
        ahead.extend((number + 1..=last).map(|number| (number, slice(number))));
        Ok(slice(number))
    }

    /// Appends a range of a file that is stored as a delta.
    fn rebuild(&mut self, file: &Entry, delta: &Delta, range: Range<u64>, out: &mut Vec<u8>) -> Result<(), Lost> {
        let back = self.back(file).unwrap_or_default();
        let Some(from) = delta.from.as_deref().filter(|from| from.link < file.link) else {
            return Err(self.damaged(back, "what it differs from is not there"));
        };
        // It comes back also when it fails, with nothing in it that would be used again.
        let mut cursor = std::mem::take(&mut self.deltas[back]);
        let result = self.windows(&mut cursor, file, delta, from, range, out);
        if result.is_ok() {
            self.deltas[back] = cursor;
        }
        result
    }

    fn windows(
        &mut self,
        cursor: &mut Cursor,
        file: &Entry,
        delta: &Delta,
        from: &Entry,
        range: Range<u64>,
        out: &mut Vec<u8>,
    ) -> Result<(), Lost> {
        let back = self.back(file).unwrap_or_default();
        let (mut source, mut made) = (Vec::new(), Vec::new());
        let mut at = range.start;
        while at < range.end {
            self.seek(cursor, file, delta, at)?;
            let fault = |fault: super::delta::vcdiff::Fault| self.damaged(back, &fault.to_string());
            let rest = cursor.bytes.get(cursor.next..).unwrap_or_default();
            let Some((window, bytes)) = Window::parse(rest).map_err(fault)? else {
                return Err(self.damaged(back, "a delta is cut"));
            };
            let end = cursor.at.saturating_add(window.target_len());
            let needed = window.source().unwrap_or_default();
            if end > file.size || window.target_len() == 0 || needed.end > from.size {
                return Err(self.damaged(back, "a delta does not fit its file"));
            }
            source.clear();
            made.clear();
            self.read(from, needed, &mut source)?;
            window.decode(&source, &mut made).map_err(|fault| self.damaged(back, &fault.to_string()))?;
            let within = |place: u64| usize::try_from(place - cursor.at).unwrap_or(usize::MAX);
            let until = end.min(range.end);
            out.extend_from_slice(made.get(within(at)..within(until)).unwrap_or_default());
            at = until;
            if until == end {
                cursor.next += bytes;
                cursor.at = end;
            }
        }
        Ok(())
    }

    /// Leads the cursor to the window that has this byte of the file.
    fn seek(&mut self, cursor: &mut Cursor, file: &Entry, delta: &Delta, at: u64) -> Result<(), Lost> {
        let back = self.back(file).unwrap_or_default();
        let number = delta.pieces.partition_point(|piece| piece.at <= at).saturating_sub(1);
        let Some(&piece) = delta.pieces.get(number) else { return Err(self.damaged(back, "a delta is cut")) };
        if cursor.piece != Some(piece) || cursor.at > at {
            cursor.piece = None;
            cursor.bytes.clear();
            let last = delta.pieces.last().map_or(0, |last| last.offset.saturating_add(last.size));
            let tar = piece.offset..piece.offset.saturating_add(piece.size);
            self.copy(back, tar, last, &mut cursor.bytes)?;
            let fault = |fault: super::delta::vcdiff::Fault| self.damaged(back, &fault.to_string());
            cursor.next = if number == 0 { check_header(&cursor.bytes).map_err(fault)? } else { 0 };
            cursor.at = piece.at;
            cursor.piece = Some(piece);
        }
        loop {
            let fault = |fault: super::delta::vcdiff::Fault| self.damaged(back, &fault.to_string());
            let rest = cursor.bytes.get(cursor.next..).unwrap_or_default();
            let Some(skim) = Window::skim(rest).map_err(fault)? else {
                return Err(self.damaged(back, "a delta is cut"));
            };
            let end = cursor.at.saturating_add(skim.target_len);
            if end > at {
                return Ok(());
            }
            let bytes = usize::try_from(skim.window_len).ok().filter(|&bytes| bytes <= rest.len());
            let Some(bytes) = bytes.filter(|_| skim.target_len > 0) else {
                return Err(self.damaged(back, "a delta is cut"));
            };
            cursor.next += bytes;
            cursor.at = end;
        }
    }
}

//! One stored archive: its frames, and what lies in them.
//!
//! Opened with two requests besides the manifest, one of them for index and seek table together.

use std::ops::Range;

use sha2::{Digest, Sha256};
use zstd::bulk::Decompressor;

use super::access::{Access, AccessError, Identities};
use super::decode::{Frame, decode, unpack};
use super::index::{Entry, Index, IndexError, MAX_INDEX_BYTES, MAX_TAIL_BYTES};
use super::index_lines::Parser;
use super::manifest::{IndexLocation, Manifest, Sha256Hex};
use super::read_error::ReadError;
use super::seek_table::SeekTable;
use crate::cancel::Cancel;
use crate::destination::Destination;

/// Frames that lie together are read together, up to this size.
pub(super) const REQUEST_BYTES: u64 = 8 << 20;
/// Two ranges with less than this between them are one request.
const GAP_BYTES: u64 = 32 << 10;

/// An archive of a chain, or the only one.
pub(super) struct Layer<'a> {
    pub(super) access: Access<'a>,
    pub(super) manifest: Manifest,
    pub(super) table: SeekTable,
}

impl<'a> Layer<'a> {
    /// Opens the archive of a manifest, and gives its index as it is stored.
    pub(super) fn open(
        destination: &'a dyn Destination,
        manifest: Manifest,
        identities: &'a Identities,
    ) -> Result<(Self, Index), ReadError> {
        let access = Access::new(destination, &manifest, identities);
        let location = manifest.index;
        if manifest.compressed_bytes.saturating_sub(location.frame_offset) > MAX_TAIL_BYTES {
            return Err(ReadError::Contradiction("the size of the index"));
        }
        let tail = access.range(location.frame_offset..manifest.compressed_bytes)?;
        let table = SeekTable::parse(&tail, manifest.compressed_bytes)?;
        let first = usize::try_from(location.frame).ok().filter(|&frame| frame < table.len());
        let Some(first) = first.filter(|&frame| table.compressed(frame).start == location.frame_offset) else {
            return Err(ReadError::Contradiction("the place of the index"));
        };
        if table.total().1 != manifest.uncompressed_bytes {
            return Err(ReadError::Contradiction("the size of the tar"));
        }
        let index = read_index(&tail, &table, first, &manifest)?;
        Ok((Self { access, manifest, table }, index))
    }

    /// The number of the archive in its chain.
    pub(super) fn link(&self) -> u8 {
        u8::try_from(self.manifest.chain().len()).unwrap_or(u8::MAX)
    }

    /// The frames that hold these entries, in order.
    pub(super) fn frames_of<'e>(&self, entries: impl IntoIterator<Item = &'e Entry>) -> Vec<usize> {
        let mut frames: Vec<usize> = entries
            .into_iter()
            .flat_map(|entry| self.table.overlapping(entry.offset..entry.offset + entry.size))
            .collect();
        frames.sort_unstable();
        frames.dedup();
        frames
    }

    /// Where a frame lies in the tar.
    pub(super) fn plain_range(&self, frame: usize) -> Range<u64> {
        self.table.plain(frame)
    }

    /// Number of frames.
    pub(super) fn frame_count(&self) -> usize {
        self.table.len()
    }

    /// Sizes of some frames: (compressed, decompressed).
    pub(super) fn bytes_of(&self, frames: &[usize]) -> (u64, u64) {
        frames.iter().fold((0, 0), |(compressed, plain), &frame| {
            let (c, p) = (self.table.compressed(frame), self.table.plain(frame));
            (compressed + c.end - c.start, plain + p.end - p.start)
        })
    }

    /// Reads and decompresses some frames; see [`decode`] for the two stages. The first error of the destination ends
    /// it.
    pub(super) fn decode_frames<E: Send + From<ReadError>>(
        &self,
        frames: &[usize],
        threads: usize,
        cancel: &Cancel,
        inspect: impl Fn(usize, Option<&[u8]>) + Sync,
        in_order: impl FnMut(usize, Option<&[u8]>) -> Result<(), E>,
    ) -> Result<(), E> {
        let requests = group(frames, &self.table);
        let (read, passed) = decode(
            threads,
            |send| {
                for request in requests {
                    if cancel.is_cancelled() {
                        return Err(ReadError::Cancelled);
                    }
                    if !self.send_request(&request, send)? {
                        break;
                    }
                }
                Ok(())
            },
            inspect,
            in_order,
        );
        passed?;
        read.map_err(E::from)
    }

    fn send_request(&self, request: &[usize], send: &mut dyn FnMut(Frame) -> bool) -> Result<bool, ReadError> {
        let (Some(&first), Some(&last)) = (request.first(), request.last()) else { return Ok(true) };
        let start = self.table.compressed(first).start;
        let bytes = match self.access.range(start..self.table.compressed(last).end) {
            Ok(bytes) => Some(bytes),
            // Only these frames are lost.
            Err(AccessError::Damaged(_)) => None,
            Err(error) => return Err(error.into()),
        };
        for &number in request {
            let place = self.table.compressed(number);
            let within = |at: u64| usize::try_from(at - start).expect("a request fits in memory");
            let compressed = bytes.as_ref().map(|bytes| bytes.slice(within(place.start)..within(place.end)));
            if !send(Frame { number, plain_bytes: self.plain_bytes(number), compressed }) {
                return Ok(false);
            }
        }
        Ok(true)
    }

    fn plain_bytes(&self, frame: usize) -> usize {
        let plain = self.table.plain(frame);
        usize::try_from(plain.end - plain.start).expect("frames were checked to be small")
    }

    /// Reads the whole archive from its first stored byte on, through both stages, and gives the SHA-256 of the stored
    /// file and its size.
    pub(super) fn decode_all<E: Send + From<ReadError>>(
        &self,
        threads: usize,
        cancel: &Cancel,
        inspect: impl Fn(usize, Option<&[u8]>) + Sync,
        in_order: impl FnMut(usize, Option<&[u8]>) -> Result<(), E>,
    ) -> Result<(Sha256Hex, u64), E> {
        let (read, passed) = decode(threads, |send| self.stream_frames(cancel, send), inspect, in_order);
        passed?;
        read.map_err(E::from)
    }

    fn stream_frames(
        &self,
        cancel: &Cancel,
        send: &mut dyn FnMut(Frame) -> bool,
    ) -> Result<(Sha256Hex, u64), ReadError> {
        let mut stream = self.access.stream()?;
        let mut damaged = false;
        for number in 0..self.table.len() {
            if cancel.is_cancelled() {
                return Err(ReadError::Cancelled);
            }
            let place = self.table.compressed(number);
            let size = usize::try_from(place.end - place.start).expect("frames were checked to be small");
            let mut compressed = vec![0; size];
            // Behind the first gap nothing is in its place any more.
            damaged = damaged || !read_whole(&mut stream.reader, &mut compressed)?;
            let compressed = (!damaged).then(|| compressed.into());
            if !send(Frame { number, plain_bytes: self.plain_bytes(number), compressed }) {
                break;
            }
        }
        // The seek table, and whatever should not be behind it.
        let mut rest = vec![0; 64 << 10];
        while !damaged {
            match stream.reader.read(&mut rest) {
                Ok(0) => break,
                Ok(_) => {}
                Err(error) => damaged = is_damage(error)?,
            }
        }
        Ok(stream.seen())
    }
}

fn is_damage(error: std::io::Error) -> Result<bool, ReadError> {
    match AccessError::from_io(error) {
        AccessError::Damaged(_) => Ok(true),
        error => Err(error.into()),
    }
}

/// Fills the buffer; false when the stored bytes end or are damaged before that.
fn read_whole(stream: &mut dyn std::io::Read, buffer: &mut [u8]) -> Result<bool, ReadError> {
    match stream.read_exact(buffer) {
        Ok(()) => Ok(true),
        Err(error) => is_damage(error).map(|_| false),
    }
}

/// The index of an archive out of its tail, frame by frame.
fn read_index(tail: &[u8], table: &SeekTable, first: usize, manifest: &Manifest) -> Result<Index, ReadError> {
    let IndexLocation { offset, size, .. } = manifest.index;
    let start = table.plain(first).start;
    let damaged = || ReadError::Contradiction("the place of the index");
    let end = offset.checked_add(size).ok_or_else(damaged)?;
    if offset < start || end > table.total().1 || end - start > MAX_INDEX_BYTES {
        return Err(damaged());
    }
    let mut parser = Parser::new(manifest.id.clone(), manifest.uncompressed_bytes);
    let mut sha256 = Sha256::new();
    unpack_range(tail, table, first..table.len(), &(offset..end), |lines| {
        sha256.update(lines);
        Ok(parser.frame(lines)?)
    })?;
    let index = parser.finish()?;
    if index.base != manifest.base {
        return Err(IndexError::OtherBase.into());
    }
    if Sha256Hex(sha256.finalize().into()) != manifest.index.sha256 {
        return Err(ReadError::Contradiction("the SHA-256 of the index"));
    }
    Ok(index)
}

/// Gives what some frames of an index hold of a range of the tar, frame by frame. `stored` begins with the first of
/// them.
pub(super) fn unpack_range(
    stored: &[u8],
    table: &SeekTable,
    frames: Range<usize>,
    wanted: &Range<u64>,
    mut take: impl FnMut(&[u8]) -> Result<(), ReadError>,
) -> Result<(), ReadError> {
    let damaged = || ReadError::Contradiction("the place of the index");
    let mut decompressor = Decompressor::new().map_err(|_| damaged())?;
    let mut buffer = Vec::new();
    let mut rest = stored;
    for frame in frames {
        let (place, plain) = (table.compressed(frame), table.plain(frame));
        let bytes = usize::try_from(place.end - place.start).map_err(|_| damaged())?;
        let (compressed, behind) = rest.split_at_checked(bytes).ok_or_else(damaged)?;
        rest = behind;
        let within = |at: u64| usize::try_from(at.clamp(plain.start, plain.end) - plain.start).map_err(|_| damaged());
        if !unpack(&mut decompressor, compressed, within(plain.end)?, &mut buffer) {
            return Err(ReadError::FrameOfIndex(frame));
        }
        take(buffer.get(within(wanted.start)?..within(wanted.end)?).unwrap_or_default())?;
    }
    Ok(())
}

/// Groups frames into requests.
fn group(frames: &[usize], table: &SeekTable) -> Vec<Vec<usize>> {
    let mut requests: Vec<Vec<usize>> = Vec::new();
    for &frame in frames {
        let place = table.compressed(frame);
        if let Some(request) = requests.last_mut()
            && let (Some(&first), Some(&last)) = (request.first(), request.last())
            && place.start - table.compressed(last).end <= GAP_BYTES
            && place.end - table.compressed(first).start <= REQUEST_BYTES
        {
            request.push(frame);
        } else {
            requests.push(vec![frame]);
        }
    }
    requests
}

/// The index, where the frames lead to it.
pub(super) fn index_of(access: &Access<'_>, manifest: &Manifest, table: &SeekTable) -> Result<Index, ReadError> {
    let location = manifest.index;
    let wrong = || ReadError::Contradiction("the place of the index");
    let first = usize::try_from(location.frame).ok().filter(|&frame| frame < table.len()).ok_or_else(wrong)?;
    let (start, end) = (table.compressed(first).start, table.total().0);
    if end - start > MAX_TAIL_BYTES || table.total().1 != manifest.uncompressed_bytes {
        return Err(wrong());
    }
    read_index(&access.range(start..end)?, table, first, manifest)
}

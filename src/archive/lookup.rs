//! Opens an archive for some paths alone: of a large index, only the chunks that have them are read.
//!
//! What comes of it is never less than the whole index gives: where a path is not found as it is spelled, the whole
//! index has to be asked, which may have it in another spelling.

use std::ops::Range;

use zstd::bulk::Decompressor;

use super::access::{Access, Identities};
use super::decode::unpack;
use super::index::archive_order;
use super::index_lines::{Chunk, Parser, directory};
use super::manifest::Manifest;
use super::reader::{ReadError, Reader};
use super::seek_table::SeekTable;
use crate::destination::Destination;

/// An index that takes no more than this is read as a whole, in the same request as the seek table.
const WHOLE_BYTES: u64 = 256 << 10;
/// More chunks than this are not read one by one.
const MOST_CHUNKS: usize = 16;

impl<'a> Reader<'a> {
    /// Opens the archive of a manifest for these paths and what is below them. `None` where the whole index is needed:
    /// it is small, a path is not in it, or what is below them is a large part of it.
    ///
    /// # Errors
    /// As [`Reader::open`].
    pub fn open_for(
        destination: &'a dyn Destination,
        manifest: &Manifest,
        identities: &'a Identities,
        paths: &[String],
    ) -> Result<Option<Self>, ReadError> {
        let location = manifest.index;
        let Some(directory_offset) = location.directory_offset else { return Ok(None) };
        if paths.is_empty() || manifest.compressed_bytes - location.frame_offset <= WHOLE_BYTES {
            return Ok(None);
        }
        let access = Access::new(destination, manifest, identities);
        let tail = access.range(directory_offset..manifest.compressed_bytes)?;
        let table = SeekTable::parse(&tail, manifest.compressed_bytes)?;
        let last = (0..table.len()).next_back().filter(|&frame| table.compressed(frame).start == directory_offset);
        let wrong = || ReadError::Contradiction("the place of the directory of the index");
        let last = last.ok_or_else(wrong)?;
        let end = location.offset + location.size;
        let within = table.plain(last).start..end;
        let place = table.compressed(last);
        let stored = usize::try_from(place.end - place.start).ok().and_then(|bytes| tail.get(..bytes));
        let lines = cut_out(stored.ok_or_else(wrong)?, table.plain(last), &within).ok_or_else(wrong)?;
        let chunks = directory(&lines)?;
        let Some(wanted) = wanted(&chunks, paths) else { return Ok(None) };
        let mut parser = Parser::within(manifest.id.clone(), manifest.uncompressed_bytes);
        for chunk in wanted {
            let start = location.offset.saturating_add(chunk.offset);
            let range = start..start.saturating_add(chunk.size);
            if range.end > within.start {
                return Err(wrong());
            }
            for frame in table.overlapping(range.clone()) {
                let stored = access.range(table.compressed(frame))?;
                parser.feed(&cut_out(&stored, table.plain(frame), &range).ok_or(ReadError::FrameOfIndex(frame))?)?;
            }
        }
        let index = parser.finish()?;
        let has = |path: &String| index.entries.iter().any(|entry| entry.path == *path);
        Ok(paths.iter().all(has).then(|| Self::new(access, manifest.clone(), table, index)))
    }
}

/// What a frame holds of a range of the tar.
fn cut_out(stored: &[u8], plain: Range<u64>, range: &Range<u64>) -> Option<Vec<u8>> {
    let mut bytes = Vec::new();
    let size = usize::try_from(plain.end - plain.start).ok()?;
    if !unpack(&mut Decompressor::new().ok()?, stored, size, &mut bytes) {
        return None;
    }
    let within = |at: u64| usize::try_from(at.clamp(plain.start, plain.end) - plain.start).ok();
    bytes.get(within(range.start)?..within(range.end)?).map(<[u8]>::to_vec)
}

/// The chunks that have these paths and what is below them, in order; none when they are too many.
fn wanted<'c>(chunks: &'c [Chunk], paths: &[String]) -> Option<Vec<&'c Chunk>> {
    let mut numbers: Vec<usize> = Vec::new();
    for path in paths {
        let first = chunks.partition_point(|chunk| archive_order(&chunk.first, path).is_le()).checked_sub(1)?;
        let below = |chunk: &Chunk| chunk.first.strip_prefix(path.as_str()).is_some_and(|rest| rest.starts_with('/'));
        let more = chunks.iter().skip(first + 1).take_while(|chunk| below(chunk)).count();
        if more >= MOST_CHUNKS {
            return None;
        }
        numbers.extend(first..=first + more);
    }
    numbers.sort_unstable();
    numbers.dedup();
    (numbers.len() <= MOST_CHUNKS).then(|| numbers.iter().filter_map(|&number| chunks.get(number)).collect())
}

//! Opens an archive for some paths alone: of a large index, only the chunks that have them are read.
//!
//! What comes of it is never less than the whole index gives: where a path is not found as it is spelled, the whole
//! index has to be asked, which may have it in another spelling. The manifest knows the directory by its SHA-256, and
//! the directory each chunk: a part is as good as the whole.

use sha2::{Digest, Sha256};

use super::access::{Access, Identities};
use super::index::{MAX_LINE_BYTES, MAX_TAIL_BYTES, archive_order};
use super::index_lines::{Chunk, Parser, parse_directory};
use super::layer::{Layer, unpack_range};
use super::manifest::{Manifest, Sha256Hex};
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
        let Some(of_directory) = location.directory else { return Ok(None) };
        // What a differential archive leaves out, its index does not tell.
        if paths.is_empty()
            || manifest.base.is_some()
            || manifest.compressed_bytes - location.frame_offset <= WHOLE_BYTES
        {
            return Ok(None);
        }
        let wrong = || ReadError::Contradiction("the directory of the index");
        if manifest.compressed_bytes - of_directory.frame_offset > MAX_TAIL_BYTES {
            return Err(wrong());
        }
        let access = Access::new(destination, manifest, identities);
        let tail = access.range(of_directory.frame_offset..manifest.compressed_bytes)?;
        let table = SeekTable::parse(&tail, manifest.compressed_bytes)?;
        let first = table.frame_at(of_directory.frame_offset).ok_or_else(wrong)?;
        if table.total().1 != manifest.uncompressed_bytes {
            return Err(ReadError::Contradiction("the size of the tar"));
        }
        let range = table.plain(first).start..location.offset.saturating_add(location.size);
        let mut lines = Vec::new();
        unpack_range(&tail, &table, first..table.len(), &range, |part| {
            lines.extend_from_slice(part);
            Ok(())
        })?;
        if Sha256Hex(Sha256::digest(&lines).into()) != of_directory.sha256 {
            return Err(wrong());
        }
        let chunks = parse_directory(&lines)?;
        let Some(wanted) = wanted(&chunks, paths) else { return Ok(None) };
        let mut parser = Parser::within(manifest.id.clone(), manifest.uncompressed_bytes);
        for chunk in wanted {
            let start = location.offset.saturating_add(chunk.offset);
            let lines = start..start.saturating_add(chunk.size);
            let frames = table.overlapping(lines.clone());
            if chunk.size > MAX_LINE_BYTES as u64 || lines.end > range.start || frames.is_empty() {
                return Err(wrong());
            }
            let stored = access.range(table.compressed(frames.start).start..table.compressed(frames.end - 1).end)?;
            let mut sha256 = Sha256::new();
            unpack_range(&stored, &table, frames, &lines, |part| {
                sha256.update(part);
                Ok(parser.feed(part)?)
            })?;
            if Sha256Hex(sha256.finalize().into()) != chunk.sha256 {
                return Err(wrong());
            }
        }
        let index = parser.finish()?;
        let has = |path: &String| index.entries.iter().any(|entry| entry.path == *path);
        Ok(paths.iter().all(has).then(|| Self::of_one(Layer { access, manifest: manifest.clone(), table }, index)))
    }
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

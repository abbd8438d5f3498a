//! Reads an archive in order whose seek table or index is damaged, as `zstd` and `tar` do.
//!
//! Each frame says by itself where it ends and how large its contents are, and has a checksum of its own; each member
//! of the tar says by itself what it is. So the frames can be found again without the seek table, and the members
//! without the index. What is lost with the index are the SHA-256 of the files and the proof that none is missing.

use std::io::{self, Read};

use jiff::Timestamp;
use serde::Serialize;
use sha2::{Digest, Sha256};
use zstd::bulk::Decompressor;
use zstd::zstd_safe;

use super::access::{Access, AccessError};
use super::decode::unpack;
use super::index::{Attributes, Entry, INDEX_PATH, Index, IndexError, MAX_INDEX_BYTES, is_too_deep};
use super::manifest::{Manifest, Sha256Hex};
use super::read_error::ReadError;
use super::seek_table::{MAX_FRAME_BYTES, SeekTable};
use crate::cancel::Cancel;

const FRAME_MAGIC: [u8; 4] = 0xFD2F_B528_u32.to_le_bytes();
/// A frame that does not end within this many bytes is none of ours.
const MAX_STORED_FRAME: usize = 2 * MAX_FRAME_BYTES as usize;
const BLOCK_BYTES: usize = 1 << 20;

/// What the files of an archive that was [read in order](super::reader::Reader::open_in_order) are compared with.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Proof {
    /// With the SHA-256 in its index.
    Index,
    /// With the SHA-256 in its index, but an archive that it builds on is lost: only what it holds itself can be read.
    Part,
    /// With the checksums of its frames alone: the index is lost, and whether files are missing is not known.
    Frames,
}

/// Finds the frames of an archive, from its first byte on. Ends at whatever is no frame: the seek table, or damage.
pub(super) fn find_frames(stream: &mut dyn Read, cancel: &Cancel) -> Result<SeekTable, ReadError> {
    let mut table = SeekTable::default();
    let mut held: Vec<u8> = Vec::new();
    let mut start = 0;
    let mut block = vec![0; BLOCK_BYTES];
    loop {
        if cancel.is_cancelled() {
            return Err(ReadError::Cancelled);
        }
        let rest = held.get(start..).unwrap_or_default();
        if let Some((stored, plain)) = frame(rest) {
            table.push(stored, plain);
            start += stored as usize;
            continue;
        }
        let ours = rest.get(..4).is_none_or(|magic| magic == FRAME_MAGIC);
        if !ours || rest.len() > MAX_STORED_FRAME {
            return Ok(table);
        }
        held.drain(..start);
        start = 0;
        match stream.read(&mut block) {
            Ok(0) => return Ok(table),
            Ok(read) => held.extend_from_slice(block.get(..read).unwrap_or_default()),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            // What cannot be decrypted ends the archive here. A destination that fails says nothing about it.
            Err(error) => match AccessError::from_io(error) {
                AccessError::Damaged(_) if !table.is_empty() => return Ok(table),
                error => return Err(error.into()),
            },
        }
    }
}

/// Sizes of the frame that begins here, stored and unpacked, if all of it is here.
fn frame(bytes: &[u8]) -> Option<(u32, u32)> {
    if bytes.get(..4)? != FRAME_MAGIC {
        return None;
    }
    let stored = zstd_safe::find_frame_compressed_size(bytes).ok().filter(|&stored| stored <= bytes.len())?;
    let plain = zstd_safe::get_frame_content_size(bytes).ok().flatten()?;
    let plain = u32::try_from(plain).ok().filter(|&plain| plain <= MAX_FRAME_BYTES)?;
    Some((u32::try_from(stored).ok()?, plain))
}

/// Makes an index anew from the members of the tar. The SHA-256 are those of what was found, not of what was archived.
pub(super) fn index_of_tar(
    access: &Access<'_>,
    table: &SeekTable,
    manifest: &Manifest,
    cancel: &Cancel,
) -> Result<(Index, Proof), ReadError> {
    let tar = Tar { access, table, next: 0, held: Vec::new(), at: 0, failure: None };
    let mut archive = tar::Archive::new(tar);
    // A frame that is lost reads as zeros, and is not the end of the tar.
    archive.set_ignore_zeros(true);
    let mut index = Index::empty(manifest.id.clone());
    let mut index_bytes = 0;
    let mut block = vec![0; BLOCK_BYTES];
    for member in archive.entries().into_iter().flatten() {
        if cancel.is_cancelled() {
            return Err(ReadError::Cancelled);
        }
        // Behind a header that is damaged nothing can be told apart.
        let Ok(mut member) = member else { break };
        let Some(mut entry) = entry(&mut member).filter(|entry| !is_too_deep(&entry.path)) else { continue };
        // As much as an index may have.
        index_bytes += (entry.path.len() + size_of::<Entry>()) as u64;
        if index_bytes > MAX_INDEX_BYTES {
            return Err(ReadError::Contradiction("how many members there are"));
        }
        if entry.path == INDEX_PATH {
            match own_index(&mut member, manifest, table.total().1) {
                Ok(Some(index)) => return Ok((index, Proof::Index)),
                Ok(None) => continue,
                Err(error) => return Err(error),
            }
        }
        if !entry.folder {
            let mut sha256 = Sha256::new();
            let mut size = 0;
            while let Ok(read) = member.read(&mut block) {
                if cancel.is_cancelled() {
                    return Err(ReadError::Cancelled);
                }
                if read == 0 {
                    break;
                }
                size += read as u64;
                sha256.update(block.get(..read).unwrap_or_default());
            }
            if size != entry.size {
                break;
            }
            entry.sha256 = Some(Sha256Hex(sha256.finalize().into()));
        }
        index.entries.push(entry);
    }
    match archive.into_inner().failure {
        Some(failure) => Err(failure),
        None => Ok((index, Proof::Frames)),
    }
}

/// The index, where the members lead to it: the manifest may say a wrong place. One of another archive says that
/// nothing here is what was asked for; one that the manifest does not know proves nothing.
fn own_index(member: &mut impl Read, manifest: &Manifest, tar_bytes: u64) -> Result<Option<Index>, ReadError> {
    let mut json = Vec::new();
    if member.take(MAX_INDEX_BYTES).read_to_end(&mut json).is_err() {
        return Ok(None);
    }
    let is_known = Sha256Hex(Sha256::digest(&json).into()) == manifest.index.sha256;
    match Index::parse(&json, &manifest.id, tar_bytes) {
        Ok(_) if tar_bytes != manifest.uncompressed_bytes => Err(ReadError::Contradiction("the size of the tar")),
        Ok(index) => Ok(is_known.then_some(index)),
        Err(error @ IndexError::OtherArchive(_)) => Err(error.into()),
        Err(_) => Ok(None),
    }
}

/// A member, without the SHA-256 of its bytes; none for what is neither file nor folder.
fn entry<R: Read>(member: &mut tar::Entry<'_, R>) -> Option<Entry> {
    let kind = member.header().entry_type();
    let folder = kind.is_dir();
    if !folder && !kind.is_file() {
        return None;
    }
    let path = String::from_utf8(member.path_bytes().into_owned()).ok()?;
    let mut modified = Timestamp::from_second(i64::try_from(member.header().mtime().ok()?).ok()?).ok()?;
    let mut attributes = Attributes::default();
    for record in member.pax_extensions().ok().flatten().into_iter().flatten().flatten() {
        match (record.key(), record.value()) {
            (Ok("mtime"), Ok(value)) => modified = seconds(value).unwrap_or(modified),
            (Ok("SCHILY.fflags"), Ok(value)) => {
                let has = |wanted: &str| value.split(',').any(|flag| flag == wanted);
                attributes = Attributes { read_only: has("rdonly"), hidden: has("hidden"), system: has("system") };
            }
            _ => {}
        }
    }
    Some(Entry {
        path: path.trim_end_matches('/').to_owned(),
        folder,
        size: if folder { 0 } else { member.size() },
        modified,
        offset: if folder { 0 } else { member.raw_file_position() },
        attributes,
        ..Entry::default()
    })
}

/// A time of a pax record: seconds, with a fraction.
fn seconds(text: &str) -> Option<Timestamp> {
    let (whole, fraction) = text.split_once('.').unwrap_or((text, ""));
    let digits: String = fraction.chars().chain(std::iter::repeat('0')).take(9).collect();
    let nanoseconds: i32 = digits.parse().ok()?;
    let nanoseconds = if whole.starts_with('-') { -nanoseconds } else { nanoseconds };
    Timestamp::new(whole.parse().ok()?, nanoseconds).ok()
}

/// The tar, frame by frame.
struct Tar<'t, 'a> {
    access: &'t Access<'a>,
    table: &'t SeekTable,
    next: usize,
    held: Vec<u8>,
    at: usize,
    /// Why the destination could not be read, which is no damage.
    failure: Option<ReadError>,
}

impl Read for Tar<'_, '_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        while self.at == self.held.len() {
            if self.next == self.table.len() {
                return Ok(0);
            }
            self.fill()?;
        }
        let held = self.held.get(self.at..).unwrap_or_default();
        let read = held.len().min(buffer.len());
        buffer[..read].copy_from_slice(&held[..read]);
        self.at += read;
        Ok(read)
    }
}

impl Tar<'_, '_> {
    fn fill(&mut self) -> io::Result<()> {
        let plain = self.table.plain(self.next);
        let plain = usize::try_from(plain.end - plain.start).map_err(io::Error::other)?;
        let stored = match self.access.range(self.table.compressed(self.next)).map_err(ReadError::from) {
            Ok(stored) => Some(stored),
            Err(error) if error.is_damage() => None,
            Err(error) => {
                self.failure = Some(error);
                return Err(io::Error::other("the archive cannot be read"));
            }
        };
        let mut decompressor = Decompressor::new()?;
        let whole = stored.is_some_and(|stored| unpack(&mut decompressor, &stored, plain, &mut self.held));
        if !whole {
            self.held.clear();
            self.held.resize(plain, 0);
        }
        self.at = 0;
        self.next += 1;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_of_pax_records_are_read() {
        for (text, expected) in [
            ("1637625540", "2021-11-22T23:59:00Z"),
            ("1637625540.25", "2021-11-22T23:59:00.25Z"),
            ("-1.5", "1969-12-31T23:59:58.5Z"),
        ] {
            assert_eq!(seconds(text), Some(expected.parse().unwrap()), "{text}");
        }
        for text in ["", "x", "1.x", "99999999999999999999"] {
            assert_eq!(seconds(text), None, "{text}");
        }
    }

    #[test]
    fn what_is_no_frame_ends_the_search() {
        let one = zstd::bulk::compress(&[7; 5000], 3).unwrap();
        let two = zstd::bulk::compress(b"second", 3).unwrap();
        let sizes = |bytes: &[u8]| {
            let table = find_frames(&mut &*bytes, &Cancel::new()).unwrap();
            (table.len(), table.total())
        };
        let both = [&one[..], &two].concat();
        assert_eq!(sizes(&both), (2, (both.len() as u64, 5006)));
        assert_eq!(sizes(&[&both[..], b"\x5e\x2a\x4d\x18rest"].concat()), (2, (both.len() as u64, 5006)));
        assert_eq!(sizes(&both[..both.len() - 1]), (1, (one.len() as u64, 5000)), "the second is cut");
        assert_eq!(sizes(&crate::archive::salvage::FRAME_MAGIC), (0, (0, 0)));
        assert_eq!(sizes(b""), (0, (0, 0)));
    }
}

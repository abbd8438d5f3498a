//! What the headers of a backup say: which files make one backup, of which database, and where in its log it lies.
//!
//! The places of the fields were read off backups of SQL Server 2008 R2 to 2022. Names of files are given by people;
//! these are given by the server, so they decide where they can be read. They lie within the first few kilobytes, also
//! of a compressed backup, whose first chunks are unpacked for them.

pub use super::backup_facts::{BackupFacts, BackupSet, BackupType};
use super::bytes::{array_at, u16_at, u32_at, u64_at, utf16};
use super::checksum::{chunk_checksum, header_sum};
use super::chunks;
use super::descriptor::{descriptor_fits, is_descriptor};
use super::report::Filling;
use super::unpack::unpack;
use super::value::{Guid, Lsn};

/// Why the headers of a file do not say what backup it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum HeaderError {
    /// It is no backup of SQL Server.
    #[error("it is not a backup of SQL Server: {0}")]
    NotABackup(Filling),
    /// It is one, and its headers are damaged or of a kind not known here.
    #[error("its headers cannot be read")]
    Unreadable,
}

/// Bytes at the beginning of a file that hold its headers.
pub const HEAD: usize = 160 << 10;

/// Reads the headers in the first [`HEAD`] bytes of a file, or in all of it where it is shorter.
///
/// # Errors
/// When it is no backup, or its headers cannot be read.
pub fn backup_header(head: &[u8]) -> Result<BackupFacts, HeaderError> {
    let mut collector = Collector::default();
    if head.starts_with(chunks::MAGIC) {
        let mut offset = chunks::FIRST_RUN;
        // The run with the tape's own block, and the one with the blocks of the backup set.
        for _ in 0..2 {
            offset = unpack_run(head, offset, &mut collector).ok_or(HeaderError::Unreadable)?;
            if collector.is_enough() {
                break;
            }
        }
    } else if head.starts_with(b"TAPE") {
        collector.blocks(head);
    } else {
        return Err(HeaderError::NotABackup(Filling::default().with(head)));
    }
    collector.finish().filter(|facts| !facts.sets.is_empty()).ok_or(HeaderError::Unreadable)
}

/// Reads the blocks in the first chunks of a run; gives the offset of the next run.
fn unpack_run(head: &[u8], mut offset: usize, collector: &mut Collector) -> Option<usize> {
    loop {
        match *head.get(offset)? {
            chunks::CHUNK_MARK => {
                let length = usize::from(u16_at(head, offset + 2));
                let chunk = head.get(offset..offset + chunks::CHUNK + length)?;
                collector.chunk(chunk);
                offset += chunk.len();
                if collector.is_enough() {
                    return Some(offset);
                }
            }
            mark if chunks::RUN_ENDS.contains(&mark) => break,
            _ => return None,
        }
    }
    let mut sector = (offset / 512 + 1) * 512;
    while !head.get(sector..)?.starts_with(b"SFMB") {
        sector += 512;
    }
    Some(sector + usize::from(u16_at(head, sector + 8)).max(512))
}

/// Puts together what the blocks say, in the order in which they come.
#[derive(Debug, Default)]
pub(super) struct Collector {
    facts: BackupFacts,
    current: Option<BackupSet>,
    differential: bool,
}

impl Collector {
    /// A descriptor block. For `SSET`, `bytes` are all of it, or its first [`SET_BYTES`].
    pub(super) fn block(&mut self, id: [u8; 4], bytes: &[u8]) {
        match &id {
            b"SSET" => {
                self.end_set();
                self.differential = u32_at(bytes, 52) & 8 != 0;
                self.current = Some(BackupSet { id: Guid::read(bytes, 100), ..BackupSet::default() });
            }
            b"MSDA" if self.differential => self.set_kind(BackupType::Differential),
            b"MSDA" => self.set_kind(BackupType::Full),
            // Only backups of the log hold no data.
            b"MSTL" => self.set_kind(BackupType::Log),
            b"ESET" => self.end_set(),
            _ => {}
        }
    }

    fn set_kind(&mut self, kind: BackupType) {
        // The log follows the data in a full; what came first counts.
        if let Some(set) = &mut self.current {
            set.kind.get_or_insert(kind);
        }
    }

    /// The content of a `RAID` or `MQCI` stream.
    pub(super) fn stream(&mut self, id: [u8; 4], content: &[u8]) {
        if &id == b"RAID" && content.len() >= 26 && self.facts.families == 0 {
            self.facts.media_set = Guid::read(content, 0);
            self.facts.families = u16_at(content, 20);
            self.facts.family = u16_at(content, 24);
        }
        let Some(set) = self.current.as_mut().filter(|set| set.database.is_empty()) else { return };
        if &id == b"MQCI" && content.starts_with(b"SCIN") {
            let text = |at: usize| {
                let (length, offset) = (usize::from(u16_at(content, at)), usize::from(u16_at(content, at + 2)));
                content.get(offset..offset + length).map(utf16).unwrap_or_default()
            };
            set.database = text(104);
            set.server = text(108);
            set.database_guid = Guid::read(content, 124);
            set.first_lsn = Lsn::read(content, 32).set();
            set.last_lsn = Lsn::read(content, 42).set();
            set.checkpoint_lsn = Lsn::read(content, 52).set();
            set.base_lsn = Lsn::read(content, 260).set().filter(|_| self.differential);
            set.base_set = Guid::read(content, 272).filter(|_| self.differential);
        }
    }

    fn end_set(&mut self) {
        self.facts.sets.extend(self.current.take().filter(|set| !set.database.is_empty()));
        self.differential = false;
    }

    /// Is everything known about the first set?
    pub(super) fn is_enough(&self) -> bool {
        let whole = |set: &BackupSet| set.kind.is_some() && !set.database.is_empty();
        self.current.as_ref().is_some_and(whole) || !self.facts.sets.is_empty()
    }

    /// Everything that was found, if there was anything.
    pub(super) fn finish(mut self) -> Option<BackupFacts> {
        self.end_set();
        (self.facts != BackupFacts::default()).then_some(self.facts)
    }

    /// A chunk of a compressed backup, with its header.
    pub(super) fn chunk(&mut self, chunk: &[u8]) {
        let packed = chunk.get(chunks::CHUNK..).unwrap_or_default();
        let plain = usize::from(chunk.get(1).copied().unwrap_or(0)) * 512;
        if u32_at(chunk, 24) == chunk_checksum(packed)
            && let Some(bytes) = unpack(packed, plain)
        {
            self.blocks(&bytes);
        }
    }

    /// Blocks and their streams, as many as there are one behind the other.
    fn blocks(&mut self, bytes: &[u8]) {
        let mut at = 0;
        while let Some(header) = bytes.get(at..at + 52).filter(|header| descriptor_fits(header)) {
            let length = usize::from(u16_at(header, 8));
            let Some(&id) = header.first_chunk() else { return };
            let block = bytes.get(at..at + length).or(bytes.get(at..)).unwrap_or_default();
            self.block(id, block);
            if length < 52 || self.is_enough() {
                return;
            }
            at += length;
            if &id == b"SFMB" {
                continue;
            }
            while let Some(header) = bytes.get(at..at + 22) {
                if bytes.get(at..at + 52).is_some_and(descriptor_fits) && is_descriptor(header) {
                    break;
                }
                let (Some(id), size) = (array_at(header, 0), u64_at(header, 8)) else { return };
                if header_sum(&header[..20]) != u16_at(header, 20) {
                    return;
                }
                let Some(end) = usize::try_from(size).ok().and_then(|size| (at + 22).checked_add(size)) else { return };
                let Some(content) = bytes.get(at + 22..end) else { return };
                self.stream(id, content);
                at = end.next_multiple_of(4);
                if &id == b"SPAD" {
                    break;
                }
            }
        }
    }
}

/// Bytes of an `SSET` block that are used.
pub(super) const SET_BYTES: usize = 116;

/// The largest stream that is looked into for headers.
pub(super) const STREAM_BYTES: u64 = 16 << 10;

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::synthetic::{Backup, Data, Headers, compressed_backup};
    use super::*;

    #[test]
    fn headers_say_what_backup_it_is() {
        let data = Data::default().build();
        let headers = Headers { families: 2, family: 2, first: (26, 40), last: (26, 72), ..Headers::default() };
        for (bytes, kind) in [
            (Backup::with(&data, true, headers).bytes, BackupType::Full),
            (Backup::with(&data, false, Headers { base: Some((26, 30)), ..headers }).bytes, BackupType::Differential),
            (Backup::log(headers).bytes, BackupType::Log),
            (compressed_backup(headers), BackupType::Full),
        ] {
            let facts = backup_header(&bytes[..bytes.len().min(HEAD)]).unwrap();
            assert_eq!((facts.families, facts.family), (2, 2));
            assert!(facts.media_set.is_some());
            let [set] = facts.sets.as_slice() else { panic!("{facts:?}") };
            assert_eq!((set.kind, set.database.as_str(), set.server.as_str()), (Some(kind), "CM_XYZ", "SQL01"));
            assert_eq!(set.last_lsn, Some(Lsn { sequence: 26, block: 72, slot: 1 }));
            assert_eq!(set.base_set.is_some(), kind == BackupType::Differential);
            // What streams past says the same.
            let report = super::super::check_in_pieces(&bytes, &[5, 1000, 70_000]);
            assert_eq!(report.backup, Some(facts), "{report:?}");
        }
    }

    #[test]
    fn what_is_no_backup_is_said() {
        for (bytes, why) in [(&b""[..], Filling::Empty), (&[0; 600], Filling::One(0)), (b"text", Filling::Mixed)] {
            assert_eq!(backup_header(bytes), Err(HeaderError::NotABackup(why)));
        }
        let whole = Backup::of(&Data::default().build(), true).bytes;
        assert_eq!(backup_header(&whole[..1500]), Err(HeaderError::Unreadable));
        let mut damaged = whole;
        damaged[10] ^= 1;
        assert_eq!(backup_header(&damaged), Err(HeaderError::Unreadable));
    }

    proptest! {
        #[test]
        fn any_bytes_are_read_without_panic(
            bytes in prop::collection::vec(any::<u8>(), 0..600), at in 0_usize..8000, compressed in any::<bool>()
        ) {
            let mut backup =
                if compressed { compressed_backup(Headers::default()) } else { Backup::of(&Data::default().build(), true).bytes };
            let end = (at + bytes.len()).min(backup.len());
            if at < end {
                backup[at..end].copy_from_slice(&bytes[..end - at]);
            }
            drop(backup_header(&backup));
            drop(backup_header(&bytes));
        }
    }
}

//! The seek table at the end of an archive: where each frame begins, in the zstd seekable format.
//!
//! Layout and numbers: facebook/zstd, `contrib/seekable_format/zstd_seekable_compression_format.md`. A table is
//! trusted only after it fits the archive it came from to the byte.

use std::ops::Range;

const SKIPPABLE_MAGIC: u32 = 0x184D_2A5E;
const SEEKABLE_MAGIC: u32 = 0x8F92_EAB1;
const HEADER_BYTES: u64 = 8;
const ENTRY_BYTES: u64 = 8;
/// Number of frames, descriptor, magic number.
pub const FOOTER_BYTES: u64 = 9;
/// Readers refuse frames that unpack to more.
pub const MAX_FRAME_BYTES: u32 = 16 << 20;

/// Where the frames of an archive are, in the compressed archive and in the tar.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct SeekTable {
    /// Frame *n* ends here: (in the compressed archive, in the tar).
    ends: Vec<(u64, u64)>,
}

impl SeekTable {
    /// Adds the next frame.
    pub fn push(&mut self, compressed: u32, plain: u32) {
        let (compressed_end, plain_end) = self.total();
        self.ends.push((compressed_end + u64::from(compressed), plain_end + u64::from(plain)));
    }

    /// Number of frames.
    #[must_use]
    pub fn len(&self) -> usize {
        self.ends.len()
    }

    /// Has it no frame?
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.ends.is_empty()
    }

    /// Size of all frames: (compressed, decompressed).
    #[must_use]
    pub fn total(&self) -> (u64, u64) {
        self.ends.last().copied().unwrap_or_default()
    }

    /// Size of the table itself, as stored.
    #[must_use]
    pub fn stored_bytes(&self) -> u64 {
        HEADER_BYTES + ENTRY_BYTES * self.ends.len() as u64 + FOOTER_BYTES
    }

    /// Where frame `n` lies in the compressed archive.
    #[must_use]
    pub fn compressed(&self, n: usize) -> Range<u64> {
        self.start(n).0..self.ends[n].0
    }

    /// Where frame `n` lies in the tar.
    #[must_use]
    pub fn plain(&self, n: usize) -> Range<u64> {
        self.start(n).1..self.ends[n].1
    }

    /// The frame that begins at this place in the compressed archive.
    #[must_use]
    pub fn frame_at(&self, start: u64) -> Option<usize> {
        let frame = self.ends.partition_point(|&(end, _)| end <= start);
        (frame < self.len() && self.compressed(frame).start == start).then_some(frame)
    }

    /// The frames that overlap a range of the tar. None for an empty range.
    #[must_use]
    pub fn overlapping(&self, plain: Range<u64>) -> Range<usize> {
        if plain.is_empty() {
            return 0..0;
        }
        let first = self.ends.partition_point(|&(_, end)| end <= plain.start);
        let last = self.ends.partition_point(|&(_, end)| end < plain.end);
        first..(last + 1).min(self.ends.len())
    }

    fn start(&self, n: usize) -> (u64, u64) {
        n.checked_sub(1).map_or((0, 0), |before| self.ends[before])
    }

    /// The table as stored.
    #[must_use]
    pub fn to_bytes(&self) -> Vec<u8> {
        let frames = u32::try_from(self.ends.len()).expect("an archive has fewer than 2^32 frames");
        let rest = self.stored_bytes() - HEADER_BYTES;
        let mut bytes = Vec::with_capacity(usize::try_from(self.stored_bytes()).expect("a table fits in memory"));
        bytes.extend(SKIPPABLE_MAGIC.to_le_bytes());
        bytes.extend(u32::try_from(rest).expect("a table has less than 4 GiB").to_le_bytes());
        let mut before = (0, 0);
        for &(compressed, plain) in &self.ends {
            for size in [compressed - before.0, plain - before.1] {
                bytes.extend(u32::try_from(size).expect("frame sizes were given as u32").to_le_bytes());
            }
            before = (compressed, plain);
        }
        bytes.extend(frames.to_le_bytes());
        bytes.push(0);
        bytes.extend(SEEKABLE_MAGIC.to_le_bytes());
        bytes
    }

    /// Size in bytes of the table that ends with this footer.
    ///
    /// # Errors
    /// When it is no footer.
    pub fn size_from_footer(footer: &[u8]) -> Result<u64, SeekTableError> {
        let footer = footer.last_chunk::<9>().ok_or(SeekTableError::Truncated)?;
        let [f0, f1, f2, f3, descriptor, magic @ ..] = *footer;
        if u32::from_le_bytes(magic) != SEEKABLE_MAGIC {
            return Err(SeekTableError::Magic);
        }
        if descriptor != 0 {
            return Err(SeekTableError::Descriptor(descriptor));
        }
        Ok(HEADER_BYTES + FOOTER_BYTES + ENTRY_BYTES * u64::from(u32::from_le_bytes([f0, f1, f2, f3])))
    }

    /// Reads the table at the end of `tail`, the last bytes of an archive of `archive_bytes`.
    ///
    /// # Errors
    /// When there is none, when it does not fit the archive exactly, or when a frame is larger than frames may be.
    pub fn parse(tail: &[u8], archive_bytes: u64) -> Result<Self, SeekTableError> {
        let size = Self::size_from_footer(tail)?;
        let start = usize::try_from(size)
            .ok()
            .and_then(|size| tail.len().checked_sub(size))
            .ok_or(SeekTableError::Truncated)?;
        let stored = &tail[start..];
        let word = |at: usize| u32::from_le_bytes([stored[at], stored[at + 1], stored[at + 2], stored[at + 3]]);
        if word(0) != SKIPPABLE_MAGIC || u64::from(word(4)) != size - HEADER_BYTES {
            return Err(SeekTableError::Header);
        }
        let entries = &stored[8..stored.len() - 9];
        let mut table = Self { ends: Vec::with_capacity(entries.len() / 8) };
        for at in (8..8 + entries.len()).step_by(8) {
            let (compressed, plain) = (word(at), word(at + 4));
            if plain > MAX_FRAME_BYTES || u64::from(compressed) > 2 * u64::from(MAX_FRAME_BYTES) {
                return Err(SeekTableError::FrameTooLarge { frame: table.len(), bytes: compressed.max(plain) });
            }
            table.push(compressed, plain);
        }
        if table.total().0 + size != archive_bytes {
            return Err(SeekTableError::Sum {
                frames: table.total().0,
                archive: archive_bytes - size.min(archive_bytes),
            });
        }
        Ok(table)
    }
}

/// Why a seek table cannot be used.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum SeekTableError {
    /// The file ends before it.
    #[error("the archive is too short to hold its seek table")]
    Truncated,
    /// The last bytes are something else.
    #[error("the archive does not end with a seek table: it is truncated or damaged at its end")]
    Magic,
    /// Other flags than ours.
    #[error("the seek table has unknown flags {0:#04x}")]
    Descriptor(u8),
    /// The frame around it is damaged.
    #[error("the head of the seek table is damaged")]
    Header,
    /// A frame is larger than frames may be.
    #[error("the seek table gives frame {frame} {bytes} bytes, more than frames may have")]
    FrameTooLarge {
        /// Number of the frame.
        frame: usize,
        /// Its size.
        bytes: u32,
    },
    /// The frames do not add up to the archive.
    #[error("the frames of the seek table add up to {frames} bytes, the archive has {archive}")]
    Sum {
        /// Sum of the table.
        frames: u64,
        /// Size of the archive without the table.
        archive: u64,
    },
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn table(sizes: &[(u32, u32)]) -> SeekTable {
        let mut table = SeekTable::default();
        for &(compressed, plain) in sizes {
            table.push(compressed, plain);
        }
        table
    }

    #[test]
    fn ranges_find_their_frames() {
        let table = table(&[(10, 100), (20, 50), (5, 1)]);
        assert_eq!(table.overlapping(0..1), 0..1);
        assert_eq!(table.overlapping(99..101), 0..2);
        assert_eq!(table.overlapping(100..150), 1..2);
        assert_eq!(table.overlapping(150..151), 2..3);
        assert_eq!(table.overlapping(0..151), 0..3);
        assert_eq!(table.overlapping(120..120), 0..0);
        assert_eq!((table.compressed(1), table.plain(1)), (10..30, 100..150));
    }

    proptest! {
        #[test]
        fn tables_read_back(sizes in prop::collection::vec((0_u32..1 << 20, 0_u32..MAX_FRAME_BYTES), 0..50), before in 0_usize..100) {
            let table = table(&sizes);
            let mut tail = vec![0xAA; before];
            tail.extend(table.to_bytes());
            let archive = table.total().0 + table.stored_bytes();
            prop_assert_eq!(SeekTable::parse(&tail, archive).unwrap(), table);
            prop_assert!(SeekTable::parse(&tail, archive + 1).is_err());
        }

        #[test]
        fn any_bytes_are_judged_without_panic(bytes in any::<Vec<u8>>(), archive in any::<u64>()) {
            prop_assert!(SeekTable::parse(&bytes, archive).is_err());
        }

        #[test]
        fn a_flip_never_passes_for_the_same_table(sizes in prop::collection::vec((1_u32..1000, 1_u32..1000), 1..20), bit in any::<prop::sample::Index>()) {
            let table = table(&sizes);
            let mut stored = table.to_bytes();
            let archive = table.total().0 + table.stored_bytes();
            let bit = bit.index(stored.len() * 8);
            stored[bit / 8] ^= 1 << (bit % 8);
            prop_assert_ne!(SeekTable::parse(&stored, archive).ok(), Some(table));
        }
    }
}

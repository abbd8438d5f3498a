//! Log blocks, as they lie in log files and in backups of the log.

use super::bytes::{u16_at, u32_at};
use super::checksum::{SECTOR, block_checksum};

/// Largest block.
const LARGEST: usize = 61_440;
/// Bits of a stamp that change each time a virtual log is used again.
pub(super) const PARITY: u8 = 0xc0;
/// Bit of the stamp of a block's first sector.
const FIRST: u8 = 0x10;
/// Bit of the stamp of a block's last sector.
const LAST: u8 = 0x08;

/// The header in the first sector of a block.
#[derive(Debug, Clone, Copy)]
pub(super) struct BlockHeader {
    stamp: u8,
    used: usize,
    /// Bytes it takes on disk.
    pub(super) size: usize,
    flags: u16,
    /// Size of the block before it.
    pub(super) previous: usize,
    /// Virtual log it belongs to.
    pub(super) sequence: u32,
    /// Its offset there, in sectors.
    pub(super) number: u32,
    checksum: u32,
}

/// The state of a block.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum BlockState {
    /// Right stamps and checksum.
    Checksummed,
    /// Right stamps; it has no checksum.
    Stamped,
    /// Wrong checksum.
    Mismatched { stored: u32, computed: u32 },
    /// This sector was written at another time.
    Torn { sector: usize },
}

impl BlockHeader {
    pub(super) fn parse(sector: &[u8]) -> Self {
        Self {
            stamp: sector.first().copied().unwrap_or(0),
            used: usize::from(u16_at(sector, 4)),
            size: usize::from(u16_at(sector, 6)),
            flags: u16_at(sector, 8),
            previous: usize::from(u16_at(sector, 10)),
            sequence: u32_at(sector, 12),
            number: u32_at(sector, 16),
            checksum: u32_at(sector, 24),
        }
    }

    /// The bits that tell one use of a virtual log from the next.
    pub(super) fn parity(&self) -> u8 {
        self.stamp & PARITY
    }

    /// Whether the sector claims to be the first of block `number` of virtual log `sequence`.
    pub(super) fn claims(&self, parity: u8, sequence: u32, number: u64) -> bool {
        self.stamp & !LAST == parity | FIRST && self.sequence == sequence && u64::from(self.number) == number
    }

    /// Whether its sizes are possible with `left` bytes to the end.
    pub(super) fn is_possible(&self, left: u64) -> bool {
        self.size > 0
            && self.size.is_multiple_of(SECTOR)
            && self.size <= LARGEST
            && self.used <= self.size
            && self.size as u64 <= left
    }

    /// Checks the whole block.
    pub(super) fn check(&self, block: &[u8]) -> BlockState {
        let sectors = block.len() / SECTOR;
        for (sector, bytes) in block.chunks_exact(SECTOR).enumerate() {
            let first = if sector == 0 { FIRST } else { 0 };
            let last = if sector + 1 == sectors { LAST } else { 0 };
            if bytes.first() != Some(&(self.parity() | first | last)) {
                return BlockState::Torn { sector };
            }
        }
        if self.flags & 2 == 0 {
            return BlockState::Stamped;
        }
        let computed = block_checksum(block, self.checksum);
        if computed == self.checksum {
            BlockState::Checksummed
        } else {
            BlockState::Mismatched { stored: self.checksum, computed }
        }
    }
}

impl BlockState {
    /// What is wrong, for people.
    pub(super) fn complaint(self) -> Option<String> {
        match self {
            Self::Checksummed | Self::Stamped => None,
            Self::Mismatched { stored, computed } => {
                Some(format!("differs from its checksum: {stored:#010x} stored, {computed:#010x} computed"))
            }
            Self::Torn { sector } => Some(format!("was written only in part: sector {sector} is of another time")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::synthetic;
    use super::*;

    #[test]
    fn every_flipped_bit_of_a_block_is_noticed() {
        let mut block = synthetic::log_block(0x40, 26, 400, 3, 512, 11);
        for bit in 0..block.len() * 8 {
            block[bit / 8] ^= 1 << (bit % 8);
            let header = BlockHeader::parse(&block);
            let noticed = !header.claims(0x40, 26, 400)
                || !header.is_possible(1536)
                || header.size != block.len()
                || header.check(&block) != BlockState::Checksummed;
            // Without the bit that announces a checksum only stamps are left; the block counts as unprotected then.
            assert!(noticed, "bit {bit}");
            block[bit / 8] ^= 1 << (bit % 8);
        }
        assert_eq!(BlockHeader::parse(&block).check(&block), BlockState::Checksummed);
    }
}

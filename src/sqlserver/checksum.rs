//! The one function behind the four checksums of SQL Server, shaped so that compilers turn it into vector code.
//!
//! ```text
//! fold(words):             c = 0; for each word: c = rotl32(c, 1) xor word
//! sector_xor(512 bytes):   xor of its 128 words
//! page, block, stream:     fold of the sector_xor of each sector
//! compressed chunk:        fold of the words themselves
//! ```
//!
//! Rotating and xor-ing work on each bit position of a lane alone, so the fold can be carried out on [`LANES`] columns
//! side by side and the columns be xor-ed once at the end. A field that counts as zero is taken out of the result
//! afterwards in the same way: its contribution is its own value, rotated once for every sector that follows.

/// Bytes of a sector.
pub(super) const SECTOR: usize = 512;

/// Columns folded side by side: four vectors of 128 bits, half of the registers of any x86-64.
const LANES: usize = 16;

/// Continues the fold `state` over whole sectors; a last piece shorter than a sector counts as padded with zeros.
pub(super) fn fold_sectors(state: u32, bytes: &[u8]) -> u32 {
    let mut lanes = [0_u32; LANES];
    lanes[0] = state;
    for sector in bytes.chunks(SECTOR) {
        let mut column = [0_u32; LANES];
        let rows = sector.chunks_exact(4 * LANES);
        for (lane, word) in column.iter_mut().zip(words(rows.remainder())) {
            *lane = word;
        }
        for row in rows {
            for (lane, word) in column.iter_mut().zip(row.chunks_exact(4)) {
                *lane ^= u32::from_le_bytes([word[0], word[1], word[2], word[3]]);
            }
        }
        for (lane, sum) in lanes.iter_mut().zip(column) {
            *lane = lane.rotate_left(1) ^ sum;
        }
    }
    lanes.into_iter().fold(0, |sum, lane| sum ^ lane)
}

/// Checksum of a page or log block of whole sectors whose own checksum field, in its first sector, counts as zero.
pub(super) fn block_checksum(bytes: &[u8], field: u32) -> u32 {
    let following = (bytes.len() / SECTOR).saturating_sub(1) % 32;
    #[expect(clippy::cast_possible_truncation, reason = "less than 32")]
    let own = field.rotate_left(following as u32);
    fold_sectors(0, bytes) ^ own
}

/// Checksum of a chunk of a compressed backup.
pub(super) fn chunk_checksum(bytes: &[u8]) -> u32 {
    words(bytes).fold(0, |sum, word| sum.rotate_left(1) ^ word)
}

/// The 16-bit sum in headers of tape descriptors and streams: all words xor-ed.
pub(super) fn header_sum(bytes: &[u8]) -> u16 {
    bytes.chunks_exact(2).fold(0, |sum, pair| sum ^ u16::from_le_bytes([pair[0], pair[1]]))
}

/// Little-endian words, the last one padded with zeros.
fn words(bytes: &[u8]) -> impl Iterator<Item = u32> {
    bytes.chunks(4).map(|chunk| {
        let mut word = [0; 4];
        for (to, from) in word.iter_mut().zip(chunk) {
            *to = *from;
        }
        u32::from_le_bytes(word)
    })
}

/// For benchmarks outside the crate: the checksum of one page.
#[doc(hidden)]
#[must_use]
pub fn page_checksum(page: &[u8]) -> u32 {
    block_checksum(page, super::bytes::u32_at(page, 60))
}

#[cfg(test)]
mod tests {
    use super::super::synthetic::lcg;
    use super::*;

    fn page_with(bytes: &[(usize, u8)]) -> Vec<u8> {
        let mut page = vec![0; 8192];
        for &(at, byte) in bytes {
            page[at] = byte;
        }
        page
    }

    #[test]
    fn pages_have_the_known_checksums() {
        assert_eq!(page_checksum(&page_with(&[(0, 1), (1, 1), (5, 2), (32, 77), (36, 1)])), 0x01a6_8000, "A");
        let b: Vec<u8> = (0..8192_u32).map(|i| ((7 * i + 3) & 255) as u8).collect();
        assert_eq!(page_checksum(&b), 0xd753_de5a, "B");
        let c: Vec<u8> = (0..8192_u32).map(|i| ((31 * i * i + 17 * (i >> 5) + 5) & 255) as u8).collect();
        assert_eq!(page_checksum(&c), 0x5683_5ac9, "C");
        for (at, sum) in [(0, 0x8000), (511, 0x80), (512, 0x4000), (4096, 0x80), (8191, 0x0100_0000)] {
            assert_eq!(page_checksum(&page_with(&[(at, 1)])), sum, "D {at}");
        }
        assert_eq!(page_checksum(&lcg(8192)), 0x82ee_fef6, "J");
    }

    #[test]
    fn streams_chunks_and_headers_have_the_known_checksums() {
        assert_eq!(lcg(8), [0xc6, 0x7e, 0x81, 0x6b, 0x4b, 0xfb, 0xe2, 0xfb]);
        assert_eq!(fold_sectors(0, &lcg(1536)), 0xd22f_4f3e, "E");
        assert_eq!(chunk_checksum(&lcg(1001)), 0x5359_4b7f, "F");
        let mut g = [0; 50];
        g[..12].copy_from_slice(&[0x54, 0x41, 0x50, 0x45, 0, 0, 3, 0, 0x8c, 0, 0x0e, 1]);
        g[48] = 2;
        assert_eq!(header_sum(&g), 0x0587, "G");
        let h = [0x53, 0x50, 0x41, 0x44, 0, 0, 0, 0, 0x26, 3, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];
        assert_eq!(header_sum(&h), 0x1734, "H");
        let i = [0x4d, 0x51, 0x44, 0x41, 0, 0, 2, 1, 2, 0, 0x15, 0, 0, 0, 0, 0, 0, 0, 0, 0];
        assert_eq!(header_sum(&i), 0x111c, "I");
    }

    #[test]
    fn the_fold_can_be_continued_at_every_sector() {
        let bytes = lcg(5 * SECTOR);
        let whole = fold_sectors(0, &bytes);
        for cut in 0..=5 {
            let (head, tail) = bytes.split_at(cut * SECTOR);
            assert_eq!(fold_sectors(fold_sectors(0, head), tail), whole);
        }
    }

    #[test]
    fn every_single_flipped_bit_changes_the_checksum() {
        let mut page = lcg(8192);
        let sum = page_checksum(&page);
        for bit in 0..8192 * 8 {
            page[bit / 8] ^= 1 << (bit % 8);
            let stored_field = (60..64).contains(&(bit / 8));
            assert_eq!(page_checksum(&page) == sum, stored_field, "bit {bit}");
            page[bit / 8] ^= 1 << (bit % 8);
        }
    }
}

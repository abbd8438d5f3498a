//! One page of 8 KiB: its header, and whether it is as it was written.

use std::borrow::Cow;

use super::bytes::{u16_at, u32_at};
use super::checksum::{SECTOR, page_checksum};
use super::value::Lsn;

/// Bytes of a page.
pub(super) const PAGE: usize = 8192;
/// Flag of a page with a checksum.
const HAS_CHECKSUM: u16 = 0x200;
/// Flag of a page with torn-page bits.
const HAS_TORN_BITS: u16 = 0x100;
/// Where checksum or torn-page bits lie.
const PROTECTION: usize = 60;

/// The fields of a page header that matter here.
#[derive(Debug, Clone, Copy)]
pub(super) struct PageHeader {
    version: u8,
    pub(super) kind: u8,
    flags: u16,
    slots: u16,
    pub(super) object: u32,
    free_count: u16,
    free_data: u16,
    pub(super) page: u32,
    pub(super) file: u16,
    pub(super) lsn: Lsn,
    protection: u32,
}

/// Types of pages with a fixed place.
pub(super) mod kind {
    pub(in super::super) const GAM: u8 = 8;
    pub(in super::super) const PFS: u8 = 11;
    pub(in super::super) const BOOT: u8 = 13;
    pub(in super::super) const FILE_HEADER: u8 = 15;
}

impl PageHeader {
    pub(super) fn parse(page: &[u8]) -> Self {
        Self {
            version: page.first().copied().unwrap_or(0),
            kind: page.get(1).copied().unwrap_or(0),
            flags: u16_at(page, 4),
            slots: u16_at(page, 22),
            object: u32_at(page, 24),
            free_count: u16_at(page, 28),
            free_data: u16_at(page, 30),
            page: u32_at(page, 32),
            file: u16_at(page, 36),
            lsn: Lsn::read(page, 40),
            protection: u32_at(page, PROTECTION),
        }
    }

    /// Whether this can be a page at all. Unknown types are accepted: later versions may add some.
    pub(super) fn is_plausible(&self) -> bool {
        self.version == 1 && (1..64).contains(&self.kind)
    }

    /// Whether this is page `page` of file `file`. Space that was never formatted holds what the disk held, so no
    /// page is tested before this holds.
    pub(super) fn fits(&self, page: u64, file: u16) -> bool {
        self.is_plausible() && u64::from(self.page) == page && self.file == file
    }

    /// Rows and text of users, which is what encryption covers.
    pub(super) fn is_user_data(&self) -> bool {
        matches!(self.kind, 1..=4)
    }

    /// Name of the page's type.
    pub(super) fn name(&self) -> &'static str {
        match self.kind {
            1 => "data page",
            2 => "index page",
            3 | 4 => "text page",
            8 | 9 => "allocation map",
            10 => "index allocation map",
            kind::PFS => "free space map",
            kind::BOOT => "boot page",
            kind::FILE_HEADER => "file header",
            16 | 17 => "change map",
            _ => "page",
        }
    }

    /// Checks slots of an unprotected page; true when they are possible.
    fn is_consistent(&self) -> bool {
        if !matches!(self.kind, 1..=4 | 10 | 13 | 15) {
            return true;
        }
        let used = u32::from(self.free_data) + 2 * u32::from(self.slots);
        self.free_data >= 96 && used <= 8192 && self.free_count <= 8096
    }
}

/// The state of a page.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum PageState {
    /// Right checksum.
    Checksummed,
    /// Torn-page bits that agree.
    TornBits,
    /// Neither, and nothing speaks against it.
    Unprotected,
    /// Wrong checksum.
    Mismatched { stored: u32, computed: u32 },
    /// This sector was written at another time.
    Torn { sector: usize },
    /// Right checksum, but the flag that announces it is gone.
    LostFlag,
    /// The header contradicts itself.
    Inconsistent,
}

impl PageState {
    pub(super) fn is_intact(self) -> bool {
        matches!(self, Self::Checksummed | Self::TornBits | Self::Unprotected)
    }
}

/// Checks a page whose header fits.
pub(super) fn check(page: &[u8], header: &PageHeader) -> PageState {
    let stored = header.protection;
    if header.flags & HAS_CHECKSUM != 0 {
        let computed = page_checksum(page);
        return if computed == stored { PageState::Checksummed } else { PageState::Mismatched { stored, computed } };
    }
    if header.flags & HAS_TORN_BITS != 0 {
        return torn_sector(page, stored).map_or(PageState::TornBits, |sector| PageState::Torn { sector });
    }
    // The flag is bit 9 of a word that is rotated 15 times, so without it the sum differs in bit 24 alone.
    if stored != 0 && page_checksum(page) ^ 0x0100_0000 == stored {
        return PageState::LostFlag;
    }
    if header.is_consistent() { PageState::Unprotected } else { PageState::Inconsistent }
}

/// The first sector whose stamp is not the page's pattern.
fn torn_sector(page: &[u8], torn_bits: u32) -> Option<usize> {
    let pattern = torn_bits & 3;
    if !matches!(pattern, 1 | 2) {
        return Some(0);
    }
    (1..PAGE / SECTOR).find(|sector| page.get(sector * SECTOR + 511).is_none_or(|byte| u32::from(byte & 3) != pattern))
}

/// The page as it was before torn-page bits were put in, for reading records.
pub(super) fn restored<'a>(page: &'a [u8], header: &PageHeader) -> Cow<'a, [u8]> {
    if header.flags & (HAS_CHECKSUM | HAS_TORN_BITS) != HAS_TORN_BITS {
        return Cow::Borrowed(page);
    }
    let mut page = page.to_vec();
    for sector in 1..PAGE / SECTOR {
        if let Some(byte) = page.get_mut(sector * SECTOR + 511) {
            *byte = *byte & !3 | (header.protection >> (2 * sector) & 3) as u8;
        }
    }
    Cow::Owned(page)
}

/// Where the first record begins.
pub(super) fn first_record(page: &[u8]) -> &[u8] {
    page.get(usize::from(u16_at(page, PAGE - 2))..).unwrap_or_default()
}

/// Whether a page's body is as even as encrypted data: the chi-squared of its byte values, which for random bytes is
/// 255 give or take 23. Records, text and zeros are thousands above.
pub(super) fn looks_random(page: &[u8]) -> bool {
    let body = page.get(96..).unwrap_or_default();
    let mut counts = [0_u64; 256];
    for &byte in body {
        counts[usize::from(byte)] += 1;
    }
    let squares: u64 = counts.iter().map(|count| count * count).sum();
    let length = body.len() as u64;
    length > 0 && squares * 256 / length < length + 400
}

#[cfg(test)]
mod tests {
    use super::super::synthetic::{self, lcg};
    use super::*;

    #[test]
    fn a_checksum_without_its_flag_is_noticed() {
        let mut page = synthetic::data_page(77, 1);
        assert_eq!(check(&page, &PageHeader::parse(&page)), PageState::Checksummed);
        page[5] &= !2;
        assert_eq!(check(&page, &PageHeader::parse(&page)), PageState::LostFlag);
    }

    #[test]
    fn torn_bits_show_a_sector_of_another_time_and_can_be_undone() {
        let mut original = synthetic::data_page(77, 1);
        original[4..6].copy_from_slice(&0x100_u16.to_le_bytes());
        let mut page = original.clone();
        synthetic::stamp_torn_bits(&mut page, 2);
        let header = PageHeader::parse(&page);
        assert_eq!(check(&page, &header), PageState::TornBits);
        assert_eq!(restored(&page, &header)[64..], original[64..]);
        page[5 * 512 + 511] ^= 3;
        assert_eq!(check(&page, &header), PageState::Torn { sector: 5 });
        page[60] = 3;
        assert_eq!(check(&page, &PageHeader::parse(&page)), PageState::Torn { sector: 0 });
    }

    #[test]
    fn impossible_slots_of_an_unprotected_page_are_noticed() {
        let mut page = synthetic::data_page(77, 1);
        page[4..6].fill(0);
        page[60..64].fill(0);
        assert_eq!(check(&page, &PageHeader::parse(&page)), PageState::Unprotected);
        page[31] = 0x20;
        assert_eq!(check(&page, &PageHeader::parse(&page)), PageState::Inconsistent);
    }

    #[test]
    fn every_flipped_bit_of_a_checksummed_page_is_noticed() {
        let mut page = synthetic::data_page(77, 1);
        for bit in 0..PAGE * 8 {
            page[bit / 8] ^= 1 << (bit % 8);
            let header = PageHeader::parse(&page);
            let noticed = !header.fits(77, 1) || !check(&page, &header).is_intact();
            assert!(noticed, "bit {bit}");
            page[bit / 8] ^= 1 << (bit % 8);
        }
    }

    #[test]
    fn only_random_pages_look_random() {
        assert!(looks_random(&lcg(PAGE)));
        assert!(!looks_random(&synthetic::data_page(77, 1)));
        assert!(!looks_random(&[0; PAGE]));
        assert!(!looks_random(&[]));
    }
}

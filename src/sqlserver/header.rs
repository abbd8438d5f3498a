//! The record of the file header page, the first page of every data and log file.
//!
//! It is found through the slot array and nowhere else: older copies of the record stay behind in the page.

use super::bytes::{u16_at, u32_at, utf16};
use super::page::first_record;
use super::report::Facts;
use super::value::Guid;

/// What the file header says.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct FileHeader {
    pub(super) binding_id: Option<Guid>,
    pub(super) file_guid: Option<Guid>,
    pub(super) file_id: Option<u16>,
    pub(super) filegroup: Option<u16>,
    pub(super) size_pages: Option<u64>,
    pub(super) logical_name: Option<String>,
}

impl FileHeader {
    /// Reads the record of `page`, torn-page bits already undone. `None` when it is no such record.
    pub(super) fn parse(page: &[u8]) -> Option<Self> {
        let record = first_record(page);
        if record.first()? & 0x30 != 0x30 {
            return None;
        }
        let columns = usize::from(u16_at(record, 2));
        let count = usize::from(u16_at(record, columns));
        let variable = columns + 2 + count.div_ceil(8);
        let ends = usize::from(u16_at(record, variable));
        if ends == 0 || ends > 64 {
            return None;
        }
        let end = |column: usize| usize::from(u16_at(record, variable + 2 + 2 * column) & 0x7fff);
        let column = |number: usize| -> &[u8] {
            if number >= ends {
                return &[];
            }
            let start = if number == 0 { variable + 2 + 2 * ends } else { end(number - 1) };
            record.get(start..end(number)).unwrap_or_default()
        };
        let short = |number: usize| (column(number).len() == 2).then(|| u16_at(column(number), 0));
        let name = column(27);
        Some(Self {
            binding_id: Guid::read(column(0), 0),
            file_guid: Guid::read(column(23), 0),
            file_id: short(2),
            filegroup: short(3),
            size_pages: (column(4).len() == 4).then(|| u64::from(u32_at(column(4), 0))),
            logical_name: (!name.is_empty() && name.len() <= 256).then(|| utf16(name)),
        })
    }

    /// Adds what it says to the facts.
    pub(super) fn add_to(&self, facts: &mut Facts) {
        facts.binding_id = self.binding_id;
        facts.file_guid = self.file_guid;
        facts.file_id = self.file_id;
        facts.size_pages = self.size_pages;
        facts.logical_name.clone_from(&self.logical_name);
    }
}

#[cfg(test)]
mod tests {
    use super::super::synthetic;
    use super::*;

    #[test]
    fn the_record_is_read_through_the_slot_array() {
        let mut page = synthetic::file_header_page(1, 24, "CM_P01");
        let header = FileHeader::parse(&page).expect("a file header");
        assert_eq!(header.size_pages, Some(24));
        assert_eq!(header.file_id, Some(1));
        assert_eq!(header.filegroup, Some(1));
        assert_eq!(header.logical_name.as_deref(), Some("CM_P01"));
        assert!(header.binding_id.is_some() && header.file_guid.is_some());
        let record = page[96..2000].to_vec();
        page[96..98].fill(0);
        page[3000..3000 + record.len()].copy_from_slice(&record);
        page[8190..].copy_from_slice(&3000_u16.to_le_bytes());
        assert_eq!(FileHeader::parse(&page), Some(header));
        page[8190..].fill(0xff);
        assert_eq!(FileHeader::parse(&page), None);
    }
}

//! The boot page, page 9 of a database's first file: name, version, options, checkpoint.

use super::bytes::{u16_at, u32_at, utf16};
use super::page::first_record;
use super::report::{Facts, PageVerify};
use super::value::{Guid, Lsn};

/// What the boot page says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Boot {
    pub(super) version: u16,
    created_version: u16,
    pub(super) page_verify: PageVerify,
    pub(super) clean: bool,
    name: String,
    compatibility_level: u8,
    checkpoint: Lsn,
    family: Option<Guid>,
}

impl Boot {
    /// Reads the record of `page`, torn-page bits already undone.
    pub(super) fn parse(page: &[u8]) -> Self {
        let record = first_record(page);
        let status = u32_at(record, 0x24);
        let length = usize::from(u16_at(record, 0x134)).min(256);
        Self {
            version: u16_at(record, 4),
            created_version: u16_at(record, 6),
            page_verify: match status {
                status if status & 0x1_0000 != 0 => PageVerify::Checksum,
                status if status & 0x10 != 0 => PageVerify::Torn,
                _ => PageVerify::None,
            },
            clean: status & 0x4000_0000 != 0,
            name: utf16(record.get(0x34..0x34 + length).unwrap_or_default()),
            compatibility_level: record.get(0x13a).copied().unwrap_or(0),
            checkpoint: Lsn::read(record, 0x15c),
            family: Guid::read(record, 0x198),
        }
    }

    /// Adds what it says to the facts.
    pub(super) fn add_to(&self, facts: &mut Facts) {
        facts.database = Some(self.name.clone());
        facts.version = version_name(self.version).map(str::to_owned);
        facts.internal_version = Some(self.version);
        facts.created_version = Some(self.created_version);
        facts.compatibility_level = Some(self.compatibility_level);
        facts.page_verify = Some(self.page_verify);
        facts.clean_shutdown = Some(self.clean);
        facts.checkpoint_lsn = self.checkpoint.set();
        facts.family_guid = self.family;
    }
}

/// What people call a version; `None` for one that is not known here.
pub(super) fn version_name(internal: u16) -> Option<&'static str> {
    Some(match internal {
        515 => "7.0",
        539 => "2000",
        611 | 612 => "2005",
        655 => "2008",
        660 | 661 => "2008 R2",
        706 => "2012",
        782 => "2014",
        852 => "2016",
        868 | 869 => "2017",
        904 => "2019",
        957 => "2022",
        859 => "2017 preview",
        895..=902 => "2019 preview",
        950 => "2022 preview",
        _ => return None,
    })
}

//! Identifiers and log positions, written the way SQL Server writes them.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use super::bytes::{array_at, u16_at, u32_at};

/// A GUID in the byte order in which it is stored.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(into = "String", try_from = "String")]
pub struct Guid(pub [u8; 16]);

impl Guid {
    /// The GUID at `at`, unless it is missing or all zero.
    pub(super) fn read(bytes: &[u8], at: usize) -> Option<Self> {
        array_at(bytes, at).filter(|guid| *guid != [0; 16]).map(Self)
    }
}

/// The first three groups are stored with their lowest byte first; this says where each written byte lies.
const WRITTEN_ORDER: [usize; 16] = [3, 2, 1, 0, 5, 4, 7, 6, 8, 9, 10, 11, 12, 13, 14, 15];

impl fmt::Display for Guid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (i, at) in WRITTEN_ORDER.into_iter().enumerate() {
            if matches!(i, 4 | 6 | 8 | 10) {
                f.write_str("-")?;
            }
            write!(f, "{:02x}", self.0[at])?;
        }
        Ok(())
    }
}

impl fmt::Debug for Guid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl FromStr for Guid {
    type Err = ValueError;

    fn from_str(text: &str) -> Result<Self, ValueError> {
        let wrong = || ValueError { text: text.to_owned(), what: "a GUID" };
        let digits: Vec<u8> = text
            .chars()
            .filter(|c| *c != '-')
            .map(|c| c.to_digit(16).and_then(|digit| u8::try_from(digit).ok()).ok_or_else(wrong))
            .collect::<Result<_, _>>()?;
        if digits.len() != 32 {
            return Err(wrong());
        }
        let mut guid = [0; 16];
        for (pair, at) in digits.chunks_exact(2).zip(WRITTEN_ORDER) {
            guid[at] = pair[0] << 4 | pair[1];
        }
        Ok(Self(guid))
    }
}

impl From<Guid> for String {
    fn from(guid: Guid) -> Self {
        guid.to_string()
    }
}

impl TryFrom<String> for Guid {
    type Error = ValueError;

    fn try_from(text: String) -> Result<Self, ValueError> {
        text.parse()
    }
}

/// A position in the log. Positions sort by age.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize)]
#[serde(into = "String", try_from = "String")]
pub struct Lsn {
    /// Sequence number of the virtual log file.
    pub sequence: u32,
    /// Number of the block in it: its offset in sectors of 512 bytes.
    pub block: u32,
    /// Record in the block.
    pub slot: u16,
}

impl Lsn {
    /// The position stored at `at`.
    pub(super) fn read(bytes: &[u8], at: usize) -> Self {
        Self { sequence: u32_at(bytes, at), block: u32_at(bytes, at + 4), slot: u16_at(bytes, at + 8) }
    }

    /// `None` for the position that means "never".
    pub(super) fn set(self) -> Option<Self> {
        (self.sequence != 0).then_some(self)
    }
}

impl fmt::Display for Lsn {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:08x}:{:08x}:{:04x}", self.sequence, self.block, self.slot)
    }
}

impl fmt::Debug for Lsn {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl FromStr for Lsn {
    type Err = ValueError;

    fn from_str(text: &str) -> Result<Self, ValueError> {
        let mut parts = text.split(':').map(|part| u32::from_str_radix(part, 16).ok());
        match (parts.next(), parts.next(), parts.next(), parts.next()) {
            (Some(Some(sequence)), Some(Some(block)), Some(Some(slot)), None) => {
                u16::try_from(slot).ok().map(|slot| Self { sequence, block, slot })
            }
            _ => None,
        }
        .ok_or_else(|| ValueError { text: text.to_owned(), what: "a log sequence number" })
    }
}

impl From<Lsn> for String {
    fn from(lsn: Lsn) -> Self {
        lsn.to_string()
    }
}

impl TryFrom<String> for Lsn {
    type Error = ValueError;

    fn try_from(text: String) -> Result<Self, ValueError> {
        text.parse()
    }
}

/// A stored report holds a text that is no such value.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{text}` is not {what}")]
pub struct ValueError {
    text: String,
    what: &'static str,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_read_back_as_written() {
        let guid = Guid([0x33, 0x22, 0x11, 0x00, 0x55, 0x44, 0x77, 0x66, 0x88, 0x99, 1, 2, 3, 4, 5, 6]);
        assert_eq!(guid.to_string(), "00112233-4455-6677-8899-010203040506");
        assert_eq!(guid.to_string().parse(), Ok(guid));
        assert!("0011".parse::<Guid>().is_err());
        let lsn = Lsn { sequence: 26, block: 400, slot: 1 };
        assert_eq!(lsn.to_string(), "0000001a:00000190:0001");
        assert_eq!(lsn.to_string().parse(), Ok(lsn));
        assert!("1:2".parse::<Lsn>().is_err());
        assert!("1:2:10000".parse::<Lsn>().is_err());
    }
}

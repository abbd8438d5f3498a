//! The rows that name the files of a database (`sysprufiles`), as far as they are needed to know which must be there.
//!
//! The places of the fields were read off databases of SQL Server 2008 to 2019; older ones have others and are left
//! out. A row that does not look like one of these says nothing.

use super::bytes::{u16_at, u32_at, utf16};

/// A file of the database.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct ListedFile {
    /// Its number in the database.
    pub(super) id: u16,
    /// Its logical name.
    pub(super) name: String,
}

/// Bytes that a row has before its variable part, at least.
const FIXED: usize = 30;
/// The value of the column `filetype` for data.
const ROWS: u8 = 0;
/// The value of the column `filestate` for a file that is in use.
const ONLINE: u8 = 0;

/// The data files besides the first that a page of rows names, those that were taken offline left out.
pub(super) fn further_data_files(page: &[u8]) -> Vec<ListedFile> {
    let slots = usize::from(u16_at(page, 22)).min(1024);
    let rows = (0..slots).filter_map(|slot| {
        let at = usize::from(u16_at(page, page.len().checked_sub(2 + 2 * slot)?));
        page.get(at..).filter(|_| at >= 96)
    });
    rows.filter_map(further_data_file).collect()
}

fn further_data_file(row: &[u8]) -> Option<ListedFile> {
    let fixed = usize::from(u16_at(row, 2));
    // A row in use, and none that was deleted and is still there.
    if row.first()? & 0x0e != 0 || !(FIXED..=1024).contains(&fixed) || row.get(20) != Some(&ROWS) {
        return None;
    }
    let id = u16::try_from(u32_at(row, 8)).ok().filter(|id| *id >= 3)?;
    (row.get(21) == Some(&ONLINE)).then(|| ListedFile { id, name: first_text(row, fixed) })
}

/// The first column of variable length.
fn first_text(row: &[u8], fixed: usize) -> String {
    let count = usize::from(u16_at(row, fixed));
    let variable = fixed + 2 + count.div_ceil(8);
    let columns = usize::from(u16_at(row, variable));
    let start = variable + 2 + 2 * columns;
    let end = usize::from(u16_at(row, variable + 2) & 0x7fff);
    row.get(start..end.min(start + 256)).map(utf16).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::super::synthetic::file_list_page;
    use super::*;

    #[test]
    fn data_files_in_use_are_named() {
        let page = file_list_page(0, &[(1, 0, 0), (2, 1, 0), (3, 0, 0), (4, 0, 6), (5, 2, 0)]);
        assert_eq!(further_data_files(&page), [ListedFile { id: 3, name: "CM_XYZ_3".to_owned() }]);
    }

    #[test]
    fn no_bytes_are_too_odd() {
        for fill in [0_u8, 0x30, 0xff] {
            assert_eq!(further_data_files(&vec![fill; 8192]), []);
        }
        assert_eq!(further_data_files(&[]), []);
    }
}

//! Tar headers: what stands before the data of each member.
//!
//! The `tar` crate fills in the fields; which pax records a member needs is decided here, as FORMAT.md section 3.1
//! says.

use jiff::Timestamp;
use tar::{EntryType, Header};

use super::index::Attributes;

/// Tar pads everything to blocks of this size.
pub(super) const BLOCK: usize = 512;
/// Two zero blocks end a tar.
pub(super) const END: [u8; 2 * BLOCK] = [0; 2 * BLOCK];

const MAX_OCTAL_11: u64 = 0o777_7777_7777;
const NAME_BYTES: usize = 100;

/// How many zero bytes follow a member of this size.
#[must_use]
pub(super) fn padding(size: u64) -> usize {
    let rest = usize::try_from(size % BLOCK as u64).expect("less than a block");
    (BLOCK - rest) % BLOCK
}

/// The header blocks of a member: a pax header if it needs one, then its own.
#[must_use]
pub(super) fn header(path: &str, folder: bool, size: u64, modified: Timestamp, attributes: Attributes) -> Vec<u8> {
    let path = if folder { format!("{path}/") } else { path.to_owned() };
    let mut blocks = Vec::with_capacity(3 * BLOCK);
    let records = pax_records(&path, size, modified, attributes);
    if !records.is_empty() {
        let mut pax = plain_header(&format!("PaxHeaders/{}", short_name(&path)), EntryType::XHeader);
        pax.set_size(records.len() as u64);
        pax.set_mode(0o644);
        pax.set_cksum();
        blocks.extend_from_slice(pax.as_bytes());
        blocks.extend_from_slice(&records);
        blocks.resize(blocks.len() + padding(records.len() as u64), 0);
    }
    let name = if path.len() <= NAME_BYTES && path.is_ascii() { path } else { short_name(&path) };
    let mut own = plain_header(&name, if folder { EntryType::Directory } else { EntryType::Regular });
    own.set_size(if size <= MAX_OCTAL_11 { size } else { 0 });
    own.set_mtime(u64::try_from(modified.as_second()).ok().filter(|&s| s <= MAX_OCTAL_11).unwrap_or(0));
    own.set_mode(match (folder, attributes.read_only) {
        (true, _) => 0o755,
        (false, false) => 0o644,
        (false, true) => 0o444,
    });
    own.set_cksum();
    blocks.extend_from_slice(own.as_bytes());
    blocks
}

fn plain_header(name: &str, kind: EntryType) -> Header {
    let mut header = Header::new_ustar();
    let field = &mut header.as_old_mut().name;
    let bytes = name.as_bytes();
    field[..bytes.len()].copy_from_slice(bytes);
    header.set_entry_type(kind);
    header.set_uid(0);
    header.set_gid(0);
    header.set_mtime(0);
    header
}

/// The end of a path in the ASCII that a header of old tars can hold. Only readers without pax see it.
fn short_name(path: &str) -> String {
    let ascii: String = path.chars().map(|c| if c.is_ascii() { c } else { '_' }).collect();
    let start = ascii.len().saturating_sub(NAME_BYTES - "PaxHeaders/".len());
    ascii.get(start..).unwrap_or_default().to_owned()
}

fn pax_records(path: &str, size: u64, modified: Timestamp, attributes: Attributes) -> Vec<u8> {
    let mut records = Vec::new();
    if path.len() > NAME_BYTES || !path.is_ascii() {
        push_record(&mut records, "path", path);
    }
    if size > MAX_OCTAL_11 {
        push_record(&mut records, "size", &size.to_string());
    }
    let fits = u64::try_from(modified.as_second()).is_ok_and(|second| second <= MAX_OCTAL_11);
    if modified.subsec_nanosecond() != 0 || !fits {
        push_record(&mut records, "mtime", &decimal_seconds(modified));
    }
    let flags: Vec<&str> =
        [(attributes.read_only, "rdonly"), (attributes.hidden, "hidden"), (attributes.system, "system")]
            .iter()
            .filter(|(is_set, _)| *is_set)
            .map(|&(_, name)| name)
            .collect();
    if !flags.is_empty() {
        push_record(&mut records, "SCHILY.fflags", &flags.join(","));
    }
    records
}

fn decimal_seconds(time: Timestamp) -> String {
    let nanoseconds = time.as_nanosecond();
    let sign = if nanoseconds < 0 { "-" } else { "" };
    let (seconds, fraction) = (nanoseconds.abs() / 1_000_000_000, nanoseconds.abs() % 1_000_000_000);
    let text = format!("{sign}{seconds}.{fraction:09}");
    text.trim_end_matches('0').trim_end_matches('.').to_owned()
}

/// A pax record begins with its own length, which counts its own digits.
fn push_record(records: &mut Vec<u8>, key: &str, value: &str) {
    let rest = key.len() + value.len() + " =\n".len();
    let mut length = rest + 1;
    while length != rest + length.to_string().len() {
        length = rest + length.to_string().len();
    }
    records.extend_from_slice(format!("{length} {key}={value}\n").as_bytes());
}

#[cfg(test)]
mod tests {
    use std::io::{Cursor, Read};

    use proptest::prelude::*;

    use super::*;

    fn read_back(blocks: &[u8]) -> (String, u64, Vec<(String, String)>) {
        let mut archive = tar::Archive::new(Cursor::new(blocks.to_vec()).chain(std::io::repeat(0)));
        let mut entries = archive.entries().unwrap();
        let mut entry = entries.next().unwrap().unwrap();
        let path = String::from_utf8(entry.path_bytes().into_owned()).unwrap();
        let size = entry.size();
        let records = entry
            .pax_extensions()
            .unwrap()
            .into_iter()
            .flatten()
            .map(|record| record.unwrap())
            .map(|record| (record.key().unwrap().to_owned(), record.value().unwrap().to_owned()))
            .collect();
        (path, size, records)
    }

    #[test]
    fn plain_members_need_no_pax_header() {
        let header = header("XYZBackup/a", false, 5, Timestamp::from_second(1).unwrap(), Attributes::default());
        assert_eq!(header.len(), BLOCK);
    }

    #[test]
    fn attributes_and_old_times_are_pax_records() {
        let attributes = Attributes { read_only: true, hidden: true, system: false };
        let time = "1969-12-31T23:59:58.5Z".parse().unwrap();
        let (_, _, records) = read_back(&header("a", false, 0, time, attributes));
        assert_eq!(records, [("mtime".into(), "-1.5".into()), ("SCHILY.fflags".into(), "rdonly,hidden".into())]);
    }

    proptest! {
        #[test]
        fn headers_read_back(path in "[a-zé]{1,40}(/[a-zé ]{1,40}){0,8}[a-z]", size in any::<u64>().prop_map(|n| n >> 8), second in -1_000_000_000_i64..20_000_000_000, nanosecond in 0_i32..1_000_000_000) {
            let time = Timestamp::new(second.max(1), nanosecond).unwrap();
            let (read_path, read_size, records) = read_back(&header(&path, false, size, time, Attributes::default()));
            prop_assert_eq!(read_path, path);
            prop_assert_eq!(read_size, size);
            if let Some((_, mtime)) = records.iter().find(|(key, _)| key == "mtime") {
                let (whole, fraction) = mtime.split_once('.').unwrap_or((mtime, ""));
                prop_assert_eq!(whole.parse::<i64>().unwrap(), time.as_second());
                prop_assert_eq!(format!("{fraction:0<9}").parse::<i32>().unwrap(), time.subsec_nanosecond());
            }
        }

        #[test]
        fn every_record_states_its_own_length(value in "[a-z]{0,2000}") {
            let mut records = Vec::new();
            push_record(&mut records, "path", &value);
            let text = String::from_utf8(records.clone()).unwrap();
            prop_assert_eq!(text.split(' ').next().unwrap().parse::<usize>().unwrap(), records.len());
        }
    }
}

//! Whether files of SQL Server are what SQL Server wrote, found out while they stream past.
//!
//! Recovering a site checks nothing: a damaged database in a backup shows when the site is gone. SQL Server puts
//! checksums into pages, log blocks and backups, and all of them can be checked without seeking, in the pass that
//! compresses. This module needs nothing else of the crate and can be used alone:
//!
//! ```
//! use afterbackup::sqlserver::{Checker, Verdict};
//!
//! let mut checker = Checker::new();
//! checker.update(b"chunks of any size");
//! assert_eq!(checker.finish().verdict, Verdict::NotSqlServer);
//! ```
//!
//! What a file is follows from its content, never from its name. Memory is bounded whatever a file holds: one page,
//! block or extent is carried between chunks, the first findings are kept, and for comparing a data file with its log
//! ([`pair()`]) two bounded extracts.
//!
//! A false alarm is as bad as a miss. Hence: space that was never formatted is no damage whatever it holds; unknown
//! versions and page types are no damage; pages missing after an unclean shutdown are no damage, because recovery makes
//! them; databases without checksums are not called sound. The checksums prove that the bytes are those that were
//! written, not that the database is logically consistent.

mod backup;
mod backup_facts;
mod blocks;
mod boot;
mod bytes;
mod checksum;
mod chunks;
mod compressed;
mod data;
mod descriptor;
mod file_list;
mod header;
mod log;
mod mtf;
mod page;
mod pair;
mod report;
mod trail;
mod unpack;
mod value;
mod wholesale;

#[cfg(test)]
#[path = "../../tests/support/sqlserver.rs"]
#[allow(clippy::cast_possible_truncation, reason = "built files are small")]
mod synthetic;
#[cfg(test)]
#[allow(clippy::cast_possible_truncation, clippy::large_stack_arrays, reason = "built files are small")]
mod tests;

pub use backup::{BackupFacts, BackupSet, BackupType, HEAD, HeaderError, backup_header};
#[doc(hidden)]
pub use checksum::page_checksum;
pub use pair::{PairFinding, Present, Rule, Severity, pair};
pub use report::{
    BlockCounts, Facts, Filling, Finding, Kind, LISTED, Obstacle, PageCounts, PageVerify, Problem, Report, Verdict,
};
pub use value::{Guid, Lsn, ValueError};

use bytes::{Window, u16_at, u64_at};
use compressed::CompressedChecker;
use data::DataChecker;
use header::FileHeader;
use log::LogChecker;
use mtf::BackupChecker;
use page::{PAGE, PageHeader, kind};

/// Bytes after which the kind of a file is decided: the first page and the header of the second.
const DECISION: usize = PAGE + 96;

/// Checks one file.
#[derive(Debug, Default)]
pub struct Checker {
    window: Window,
    bytes: u64,
    state: State,
}

#[derive(Debug, Default)]
enum State {
    #[default]
    Undecided,
    Data(Box<DataChecker>),
    Log(Box<LogChecker>),
    Backup(Box<BackupChecker>),
    Compressed(Box<CompressedChecker>),
    Other(Filling),
}

impl Checker {
    /// For the beginning of a file.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// The next bytes of the file, as many as there happen to be. For files of other kinds this costs nothing.
    pub fn update(&mut self, bytes: &[u8]) {
        self.bytes += bytes.len() as u64;
        if !matches!(self.state, State::Undecided) {
            return self.state.update(bytes);
        }
        let mut input = bytes;
        if let Some(head) = self.window.fill(&mut input, DECISION) {
            self.state = decide(head);
            // What was carried over goes first; when nothing was, the caller's bytes are used where they are.
            let carried = std::mem::take(&mut self.window);
            self.state.update(carried.rest());
            self.state.update(input);
        }
    }

    /// The end of the file.
    #[must_use]
    pub fn finish(mut self) -> Report {
        if matches!(self.state, State::Undecided) {
            self.state = decide(self.window.rest());
            self.state.update(self.window.rest());
        }
        match self.state {
            State::Data(checker) => checker.finish(self.bytes),
            State::Log(checker) => checker.finish(self.bytes),
            State::Backup(checker) => checker.finish(self.bytes),
            State::Compressed(checker) => checker.finish(self.bytes),
            State::Other(filling) => Report { bytes: self.bytes, filling, ..Report::default() },
            State::Undecided => Report { bytes: self.bytes, ..Report::default() },
        }
    }
}

impl State {
    fn update(&mut self, bytes: &[u8]) {
        match self {
            Self::Data(checker) => checker.update(bytes),
            Self::Log(checker) => checker.update(bytes),
            Self::Backup(checker) => checker.update(bytes),
            Self::Compressed(checker) => checker.update(bytes),
            Self::Other(filling) => *filling = filling.with(bytes),
            Self::Undecided => {}
        }
    }
}

/// What a file is, by its first bytes: all of [`DECISION`], or the whole file if it is shorter.
///
/// A damaged first page must not make a database something else, so what follows it counts too.
fn decide(head: &[u8]) -> State {
    if head.starts_with(chunks::MAGIC) {
        return State::Compressed(Box::default());
    }
    if head.starts_with(b"TAPE") && is_sql_server_backup(head) {
        return State::Backup(Box::default());
    }
    let first = PageHeader::parse(head);
    let begins = head.len() >= 38 && first.is_plausible() && first.kind == kind::FILE_HEADER && first.page == 0;
    let second = head.get(PAGE..).unwrap_or_default();
    let map = PageHeader::parse(second);
    let map_fits = map.kind == kind::PFS && map.fits(1, map.file) && map.file != 0;
    let virtual_log = second.first() == Some(&0xab);
    let certain_log =
        virtual_log && u64_at(second, 24) == PAGE as u64 && u64_at(second, 16).is_multiple_of(PAGE as u64);
    let log_header = || FileHeader::parse(head).is_some_and(|header| header.filegroup == Some(0)) && !map_fits;
    match begins {
        true if virtual_log || log_header() => State::Log(Box::default()),
        false if certain_log => State::Log(Box::default()),
        // The number of the file is repeated in every page; a damaged first page must not put all others in the wrong.
        true if map_fits && !page::check(head.get(..PAGE).unwrap_or_default(), &first).is_intact() => data(map.file),
        true => data(first.file),
        false if map_fits => data(map.file),
        false => State::Other(Filling::default()),
    }
}

fn data(file: u16) -> State {
    State::Data(Box::new(DataChecker::new(file)))
}

/// Whether a tape was written by SQL Server: other programs use the format too.
fn is_sql_server_backup(head: &[u8]) -> bool {
    const WRITER: &str = "Microsoft SQL Server";
    let writer: Vec<u8> = WRITER.encode_utf16().flat_map(u16::to_le_bytes).collect();
    let block = head.get(..1024).unwrap_or(head);
    // A cut file may lack the name; 14 is the operating system in the tapes of SQL Server.
    block.windows(writer.len()).any(|bytes| bytes == writer)
        || (head.len() < 512 && head.get(10) == Some(&14) && u16_at(head, 8) >= 52)
}

/// For fuzzing: checks `bytes` in pieces whose sizes come from `cuts`. Must not panic whatever they are.
#[doc(hidden)]
#[must_use]
pub fn check_in_pieces(bytes: &[u8], cuts: &[usize]) -> Report {
    let mut checker = Checker::new();
    let mut rest = bytes;
    for &cut in cuts {
        let (piece, after) = rest.split_at(cut.min(rest.len()));
        checker.update(piece);
        rest = after;
    }
    checker.update(rest);
    checker.finish()
}

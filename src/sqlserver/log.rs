//! Log files: a file header page, then virtual logs back to back, each a chain of blocks.
//!
//! A log is written round and round. Where the chain of the newest virtual log breaks is the end of the log, and what
//! follows is what an earlier round left; only a block of this very round beyond the break shows a hole.

use super::blocks::{BlockHeader, BlockState, PARITY};
use super::bytes::{Window, u16_at, u32_at, u64_at};
use super::checksum::SECTOR;
use super::header::FileHeader;
use super::page::{self, PAGE, PageHeader, PageState, kind, restored};
use super::report::{BlockCounts, Facts, Findings, Kind, PageCounts, Problem, Report, Verdict};
use super::trail::Trails;
use super::value::Lsn;

/// Checks a log file while it streams past.
#[derive(Debug, Default)]
pub(super) struct LogChecker {
    window: Window,
    blocks: Log,
}

#[derive(Debug, Default)]
struct Log {
    offset: u64,
    phase: Phase,
    current: VirtualLog,
    newest: Option<VirtualLog>,
    pages: PageCounts,
    counts: BlockCounts,
    errors: Findings,
    warnings: Findings,
    header: Option<FileHeader>,
    trails: Trails,
}

/// What comes next in the stream.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
enum Phase {
    #[default]
    FileHeader,
    VirtualLog,
    Blocks,
    /// Beyond the end of a chain.
    Beyond,
    /// A virtual log that was never used.
    Unused,
    /// A virtual log's header is unreadable, and with it the way to the next.
    Lost,
}

#[derive(Debug, Default, Clone, Copy)]
struct VirtualLog {
    start: u64,
    size: u64,
    parity: u8,
    sequence: u32,
    /// Size of the last block, 0 before the first.
    previous: usize,
    /// Where its chain ended.
    chain_end: u64,
    has_hole: bool,
}

impl VirtualLog {
    fn end(&self) -> u64 {
        self.start.saturating_add(self.size)
    }
}

impl LogChecker {
    pub(super) fn update(&mut self, mut input: &[u8]) {
        loop {
            let left = self.blocks.current.end().saturating_sub(self.blocks.offset);
            let taken = match self.blocks.phase {
                Phase::FileHeader | Phase::VirtualLog => {
                    let Some(bytes) = self.window.fill(&mut input, PAGE) else { return };
                    if self.blocks.phase == Phase::FileHeader {
                        self.blocks.file_header(bytes);
                    } else {
                        self.blocks.begin(bytes);
                    }
                    self.window.consume(&mut input, PAGE);
                    PAGE as u64
                }
                Phase::Lost => self.window.skip(&mut input, u64::MAX),
                Phase::Blocks | Phase::Beyond | Phase::Unused if left == 0 => {
                    self.blocks.end();
                    continue;
                }
                Phase::Unused => self.window.skip(&mut input, left),
                Phase::Beyond => {
                    let Some(sector) = self.window.fill(&mut input, SECTOR) else { return };
                    self.blocks.beyond(sector);
                    self.window.consume(&mut input, SECTOR);
                    SECTOR as u64
                }
                Phase::Blocks => {
                    let Some(sector) = self.window.fill(&mut input, SECTOR) else { return };
                    let header = BlockHeader::parse(sector);
                    if self.blocks.continues(&header, left) {
                        let Some(block) = self.window.fill(&mut input, header.size) else { return };
                        self.blocks.block(&header, block);
                        self.window.consume(&mut input, header.size);
                        header.size as u64
                    } else {
                        // The sector that breaks the chain is looked at again: it may claim to belong here.
                        self.blocks.current.chain_end = self.blocks.offset;
                        self.blocks.phase = Phase::Beyond;
                        continue;
                    }
                }
            };
            self.blocks.offset += taken;
            if taken == 0 {
                return;
            }
        }
    }

    pub(super) fn finish(self, bytes: u64) -> Report {
        self.blocks.finish(bytes)
    }
}

impl Log {
    fn file_header(&mut self, page: &[u8]) {
        self.phase = Phase::VirtualLog;
        self.pages.total = 1;
        let header = PageHeader::parse(page);
        if !header.is_plausible() || header.page != 0 || header.kind != kind::FILE_HEADER {
            self.pages.lost = 1;
            self.errors.page(Problem::SystemPage, 0, || "page 0 should be the file header and is not".to_owned());
            return;
        }
        let state = page::check(page, &header);
        match state {
            PageState::Checksummed => self.pages.checksummed = 1,
            PageState::TornBits => self.pages.torn_bits = 1,
            PageState::Unprotected => self.pages.unprotected = 1,
            PageState::Torn { .. } => self.pages.torn = 1,
            PageState::Inconsistent => self.pages.inconsistent = 1,
            PageState::Mismatched { .. } | PageState::LostFlag => self.pages.mismatched = 1,
        }
        if state.is_intact() {
            self.header = FileHeader::parse(&restored(page, &header));
        } else {
            self.errors.page(Problem::Checksum, 0, || "the file header (page 0) differs from its checksum".to_owned());
        }
    }

    /// The header of a virtual log.
    fn begin(&mut self, area: &[u8]) {
        let parity = area.get(1).copied().unwrap_or(0);
        let found = VirtualLog {
            start: self.offset,
            size: u64_at(area, 16),
            parity,
            sequence: u32_at(area, 4),
            previous: 0,
            chain_end: self.offset + PAGE as u64,
            has_hole: false,
        };
        let possible = area.first() == Some(&0xab)
            && matches!(parity, 0 | 0x40 | 0x80)
            && found.size >= PAGE as u64
            && found.size.is_multiple_of(PAGE as u64)
            && u64_at(area, 24) == self.offset
            && found.start.checked_add(found.size).is_some();
        if !possible {
            let offset = self.offset;
            self.errors.at(Problem::Chain, offset, || {
                format!(
                    "at byte {offset} a virtual log should begin and does not; the rest of the log could not be checked"
                )
            });
            self.phase = Phase::Lost;
            return;
        }
        self.counts.virtual_logs += 1;
        self.current = found;
        let format = u16_at(area, 2);
        if !matches!(format, 2 | 4 | 5) {
            let offset = self.offset;
            self.warnings.at(Problem::UnknownVersion, offset, || format!("log format {format} is not known here"));
        }
        self.phase = Phase::Unused;
        if (parity == 0) != (found.sequence == 0) {
            let offset = self.offset;
            self.warnings.at(Problem::Inconsistent, offset, || {
                format!(
                    "the header of the virtual log at byte {offset} contradicts itself; its blocks were not checked"
                )
            });
        }
        if parity & PARITY != 0 && found.sequence != 0 {
            self.counts.virtual_logs_used += 1;
            self.trails.begin(found.sequence);
            self.phase = Phase::Blocks;
        }
    }

    /// The number a block has at the present place.
    fn number(&self) -> u64 {
        (self.offset - self.current.start) / SECTOR as u64
    }

    fn continues(&self, header: &BlockHeader, left: u64) -> bool {
        let VirtualLog { parity, sequence, .. } = self.current;
        header.claims(parity, sequence, self.number()) && header.is_possible(left)
    }

    fn block(&mut self, header: &BlockHeader, block: &[u8]) {
        let offset = self.offset;
        let state = header.check(block);
        self.counts.log_blocks += 1;
        self.counts.log_blocks_checksummed += u64::from(state == BlockState::Checksummed);
        let previous = self.current.previous;
        let complaint = state.complaint().or_else(|| {
            (previous != 0 && previous != header.previous)
                .then(|| format!("follows a block of {previous} bytes and says {}", header.previous))
        });
        if let Some(complaint) = complaint {
            self.counts.log_blocks_damaged += 1;
            let problem = if matches!(state, BlockState::Torn { .. }) { Problem::TornWrite } else { Problem::Checksum };
            self.errors.at(problem, offset, || format!("the log block at byte {offset} {complaint}"));
        }
        self.current.previous = header.size;
        self.current.chain_end = offset + header.size as u64;
        self.trails.block(header.sequence, u8::try_from(header.size / SECTOR).unwrap_or(u8::MAX));
    }

    fn beyond(&mut self, sector: &[u8]) {
        let VirtualLog { parity, sequence, chain_end, has_hole, .. } = self.current;
        if !has_hole && BlockHeader::parse(sector).claims(parity, sequence, self.number()) {
            self.current.has_hole = true;
            let offset = self.offset;
            self.errors.at(Problem::Hole, chain_end, || {
                format!("the log has a hole: its chain breaks at byte {chain_end} and goes on at byte {offset}")
            });
        }
    }

    /// A virtual log ends, or the file ends in it.
    fn end(&mut self) {
        let ended = self.current;
        if matches!(self.phase, Phase::Blocks | Phase::Beyond) {
            let older = match self.newest {
                Some(newest) if newest.sequence >= ended.sequence => Some(ended),
                newest => {
                    self.newest = Some(ended);
                    newest
                }
            };
            // Only the newest may end early, and which one that is shows at the end.
            if let Some(older) = older.filter(|older| older.chain_end < older.end() && !older.has_hole) {
                self.warnings.at(Problem::NotFull, older.chain_end, || {
                    format!("virtual log {} at byte {} is not filled to its end", older.sequence, older.start)
                });
            }
        }
        self.phase = Phase::VirtualLog;
    }

    fn finish(mut self, bytes: u64) -> Report {
        if self.current.end() == self.offset && matches!(self.phase, Phase::Blocks | Phase::Beyond | Phase::Unused) {
            self.end();
        }
        self.check_length(bytes);
        if matches!(self.phase, Phase::Blocks | Phase::Beyond) {
            self.end();
        }
        if self.counts.log_blocks > 0 && self.counts.log_blocks_checksummed == 0 {
            self.warnings.file(Problem::Unprotected, || {
                "the log carries no checksums: only interrupted writes and gaps would show".to_owned()
            });
        }
        let mut facts = Facts::default();
        if let Some(header) = &self.header {
            header.add_to(&mut facts);
        }
        facts.end_of_log = self.newest.map(|newest| Lsn {
            sequence: newest.sequence,
            block: u32::try_from((newest.chain_end - newest.start) / SECTOR as u64).unwrap_or(u32::MAX),
            slot: 0,
        });
        let mut report = Report {
            kind: Kind::Log,
            bytes,
            facts: Some(facts),
            pages: self.pages,
            blocks: self.counts,
            ..Report::default()
        };
        report.evidence.trails = Some(self.trails);
        let mut errors = Findings::default();
        errors.merge(self.errors);
        let mut warnings = Findings::default();
        warnings.merge(self.warnings);
        report.conclude(errors, warnings, Verdict::Sound)
    }

    fn check_length(&mut self, bytes: u64) {
        let end = self.current.end();
        let between = self.phase == Phase::VirtualLog && self.offset == bytes && self.counts.virtual_logs > 0;
        if !between && self.phase != Phase::Lost {
            self.errors.file(Problem::Truncated, || {
                if end > bytes {
                    format!("the log is cut off: it has {bytes} bytes and a virtual log reaches to byte {end}")
                } else {
                    format!("the log is cut off: it ends at byte {bytes}, where no virtual log ends")
                }
            });
        }
        let pages = bytes / PAGE as u64;
        match self.header.as_ref().and_then(|header| header.size_pages) {
            Some(size) if size > pages => self.errors.file(Problem::Truncated, || {
                format!("the log is cut off: it has {pages} pages of 8 KiB and its header says {size}")
            }),
            Some(size) if size < pages => self
                .warnings
                .file(Problem::Longer, || format!("the log has {pages} pages of 8 KiB and its header says {size}")),
            _ => {}
        }
    }
}

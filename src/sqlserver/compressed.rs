//! Compressed backups (`MSSQLBAK`): runs of chunks between plain blocks. The chunks' checksums are of their compressed
//! bytes, so nothing is unpacked.

use super::backup::Collector;
use super::bytes::{Window, u16_at, u32_at};
use super::checksum::{SECTOR, chunk_checksum};
use super::chunks::{CHUNK, CHUNK_MARK, FIRST_RUN, RUN_ENDS};
use super::descriptor::descriptor_fits;
use super::report::{BlockCounts, Facts, Findings, Kind, Obstacle, Problem, Report, Verdict};

/// Plain blocks of a complete backup.
const PLAIN_BLOCKS: u64 = 3;
/// A plain block begins at most so many bytes after a run.
const GAP: u64 = 64 * 1024;

/// Checks a compressed backup while it streams past.
#[derive(Debug, Default)]
pub(super) struct CompressedChecker {
    window: Window,
    offset: u64,
    phase: Phase,
    plain_blocks: u64,
    counts: BlockCounts,
    errors: Findings,
    warnings: Findings,
    headers: Collector,
    /// Chunks of the present run that were looked into for headers.
    looked_into: u8,
}

/// So many chunks at the beginning of a run are looked into for headers.
const HEADER_CHUNKS: u8 = 3;

/// What comes next.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
enum Phase {
    #[default]
    Head,
    Run,
    /// The rest of the sector in which a run ended, and sectors until a plain block; the run ended there.
    Gap {
        since: u64,
    },
    /// So many bytes of a plain block.
    Plain {
        left: u64,
    },
    Lost,
    /// A record of a kind not known here.
    Unknown,
}

impl CompressedChecker {
    pub(super) fn update(&mut self, mut input: &[u8]) {
        while !input.is_empty() {
            let taken = match self.phase {
                Phase::Head => {
                    let taken = self.window.skip(&mut input, FIRST_RUN as u64 - self.offset);
                    if self.offset + taken == FIRST_RUN as u64 {
                        self.phase = Phase::Run;
                    }
                    taken
                }
                Phase::Run => {
                    let Some(taken) = self.chunk(&mut input) else { return };
                    taken
                }
                Phase::Gap { since } => {
                    let Some(taken) = self.gap(&mut input, since) else { return };
                    taken
                }
                Phase::Plain { left } => {
                    let taken = self.window.skip(&mut input, left);
                    self.phase = if left == taken { Phase::Run } else { Phase::Plain { left: left - taken } };
                    taken
                }
                Phase::Lost | Phase::Unknown => self.window.skip(&mut input, u64::MAX),
            };
            self.offset += taken;
        }
    }

    /// The next chunk, or the end of the run; `None` when more input is needed.
    fn chunk(&mut self, input: &mut &[u8]) -> Option<u64> {
        let mark = *self.window.fill(input, 1)?.first()?;
        if RUN_ENDS.contains(&mark) {
            let rest = SECTOR as u64 - self.offset % SECTOR as u64;
            let taken = self.window.skip(input, rest);
            self.phase = Phase::Gap { since: self.offset };
            return Some(taken);
        }
        if mark != CHUNK_MARK {
            let offset = self.offset;
            self.warnings.at(Problem::UnknownLayout, offset, || {
                format!("at byte {offset} of the backup something unknown follows; the rest could not be checked")
            });
            self.phase = Phase::Unknown;
            return Some(0);
        }
        let length = usize::from(u16_at(self.window.fill(input, CHUNK)?, 2));
        let chunk = self.window.fill(input, CHUNK + length)?;
        let (stored, computed) = (u32_at(chunk, 24), chunk_checksum(chunk.get(CHUNK..).unwrap_or_default()));
        if self.plain_blocks < 2 && self.looked_into < HEADER_CHUNKS && !self.headers.is_enough() {
            self.looked_into += 1;
            self.headers.chunk(chunk);
        }
        self.window.consume(input, CHUNK + length);
        self.counts.chunks += 1;
        if stored != computed {
            self.counts.chunks_damaged += 1;
            let offset = self.offset;
            self.errors.at(Problem::Checksum, offset, || {
                format!("the chunk at byte {offset} differs from its checksum: {stored:#010x} stored, {computed:#010x} computed")
            });
        }
        Some((CHUNK + length) as u64)
    }

    /// Looks for the plain block after a run.
    fn gap(&mut self, input: &mut &[u8], since: u64) -> Option<u64> {
        let rest = self.offset.wrapping_neg() % SECTOR as u64;
        if rest > 0 {
            return Some(self.window.skip(input, rest));
        }
        let sector = self.window.fill(input, SECTOR)?;
        if sector.starts_with(b"SFMB") {
            let size = u64::from(u16_at(sector, 8));
            if !descriptor_fits(sector) || size < SECTOR as u64 {
                return Some(self.lose());
            }
            self.counts.headers += 1;
            self.plain_blocks += 1;
            self.looked_into = 0;
            let left = size - SECTOR as u64;
            self.phase = if left == 0 { Phase::Run } else { Phase::Plain { left } };
            self.window.consume(input, SECTOR);
            return Some(SECTOR as u64);
        }
        if self.offset - since > GAP {
            return Some(self.lose());
        }
        self.window.consume(input, SECTOR);
        Some(SECTOR as u64)
    }

    fn lose(&mut self) -> u64 {
        let offset = self.offset;
        self.errors.at(Problem::Chain, offset, || {
            format!("the block header at byte {offset} is damaged; the rest of the backup could not be checked")
        });
        self.phase = Phase::Lost;
        0
    }

    pub(super) fn finish(mut self, bytes: u64) -> Report {
        let complete = self.phase == Phase::Run && self.window.rest().is_empty() && self.plain_blocks >= PLAIN_BLOCKS;
        if !complete && !matches!(self.phase, Phase::Lost | Phase::Unknown) {
            self.errors.at(Problem::Truncated, bytes, || {
                format!("the backup is cut off: it ends at byte {bytes} before its end mark")
            });
        }
        let otherwise = match self.phase {
            Phase::Unknown => Verdict::NotVerifiable { why: Obstacle::UnknownLayout },
            _ => Verdict::Sound,
        };
        let headers = self.headers.finish();
        let database = headers.as_ref().and_then(|headers| Some(headers.sets.first()?.database.clone()));
        let report = Report {
            kind: Kind::CompressedBackup,
            bytes,
            facts: Some(Facts { database, ..Facts::default() }),
            blocks: self.counts,
            backup: headers,
            ..Report::default()
        };
        report.conclude(self.errors, self.warnings, otherwise)
    }
}

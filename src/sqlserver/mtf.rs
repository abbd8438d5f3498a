//! Backups in tape format (MTF): a chain of descriptors, each with streams, to exactly the end of the file.
//!
//! The headers carry their own sums, so the chain itself is checked; pages and log blocks in the streams carry theirs;
//! and with `BACKUP … WITH CHECKSUM` a `CSUM` stream follows each stream of data.

use super::backup::{Collector, SET_BYTES, STREAM_BYTES};
use super::blocks::{BlockHeader, BlockState};
use super::boot::{Boot, version_name};
use super::bytes::{Window, u16_at, u32_at, u64_at};
use super::checksum::{SECTOR, fold_sectors, header_sum};
use super::descriptor::{DESCRIPTORS, descriptor_fits};
use super::header::FileHeader;
use super::page::{self, PAGE, PageHeader, PageState, kind, restored};
use super::report::{BlockCounts, Facts, Findings, Kind, Obstacle, PageCounts, Problem, Report, Verdict};
use super::wholesale::UserPages;

/// Bytes of a descriptor's common header.
const DESCRIPTOR: usize = 52;
/// Bytes of a stream header.
const STREAM: usize = 22;
/// Bytes of an extent: eight pages that follow each other in the data file too.
const EXTENT: usize = 8 * PAGE;
/// Attribute of a stream that a checksum follows.
const CHECKSUM_FOLLOWS: u16 = 0x100;

/// Checks a backup while it streams past.
#[derive(Debug, Default)]
pub(super) struct BackupChecker {
    window: Window,
    backup: Backup,
}

#[derive(Debug, Default)]
struct Backup {
    offset: u64,
    phase: Phase,
    stream: Stream,
    /// Sum of the last stream that announced a checksum.
    pending: Option<u32>,
    last_descriptor: [u8; 4],
    /// A backup set began and did not end yet.
    open_set: bool,
    sets: u64,
    boot: Option<Boot>,
    header: Option<FileHeader>,
    headers: Collector,
    pages: PageCounts,
    user_pages: UserPages,
    counts: BlockCounts,
    errors: Findings,
    warnings: Findings,
}

/// What comes next.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
enum Phase {
    #[default]
    Descriptor,
    /// So many bytes of a descriptor, then this.
    Skip {
        left: u64,
        streams: bool,
    },
    Streams,
    /// The bytes of a stream.
    Content,
    /// So many bytes of padding after a stream.
    Padding {
        left: u64,
    },
    Lost,
}

#[derive(Debug, Default, Clone, Copy)]
struct Stream {
    id: [u8; 4],
    left: u64,
    /// The two bytes before the data are still to come.
    at_start: bool,
    summed: bool,
    sum: u32,
    /// Where the chain of log blocks broke, and what should have followed.
    broken: Option<Broken>,
    expected: Option<(u8, u32, u64)>,
}

#[derive(Debug, Clone, Copy)]
struct Broken {
    offset: u64,
    reported: bool,
    nonzero: bool,
}

impl BackupChecker {
    pub(super) fn update(&mut self, mut input: &[u8]) {
        while !input.is_empty() || self.backup.moves_without_input() {
            let backup = &mut self.backup;
            let taken = match backup.phase {
                Phase::Descriptor => {
                    let Some(header) = self.window.fill(&mut input, DESCRIPTOR) else { return };
                    let length = usize::from(u16_at(header, 8));
                    let need =
                        if header.starts_with(b"SSET") { length.clamp(DESCRIPTOR, SET_BYTES) } else { DESCRIPTOR };
                    let Some(header) = self.window.fill(&mut input, need) else { return };
                    backup.descriptor(header);
                    0
                }
                Phase::Skip { left, streams } => {
                    let taken = self.window.skip(&mut input, left);
                    backup.phase = match left - taken {
                        0 if streams => Phase::Streams,
                        0 => Phase::Descriptor,
                        left => Phase::Skip { left, streams },
                    };
                    taken
                }
                Phase::Streams => {
                    let Some(id) = self.window.fill(&mut input, 4) else { return };
                    if DESCRIPTORS.iter().any(|known| *known == id) {
                        backup.phase = Phase::Descriptor;
                        continue;
                    }
                    let Some(header) = self.window.fill(&mut input, STREAM) else { return };
                    backup.stream(header);
                    if backup.phase == Phase::Lost {
                        continue;
                    }
                    self.window.consume(&mut input, STREAM);
                    STREAM as u64
                }
                Phase::Content => {
                    let Some(need) = backup.piece(&mut self.window, &mut input) else { return };
                    self.window.consume(&mut input, need);
                    need as u64
                }
                Phase::Padding { left } => {
                    let taken = self.window.skip(&mut input, left);
                    backup.phase = match left - taken {
                        0 if &backup.stream.id == b"SPAD" => Phase::Descriptor,
                        0 => Phase::Streams,
                        left => Phase::Padding { left },
                    };
                    taken
                }
                Phase::Lost => {
                    self.window.skip(&mut input, u64::MAX);
                    return;
                }
            };
            backup.advance(taken);
        }
    }

    pub(super) fn finish(self, bytes: u64) -> Report {
        let unread = self.window.rest().len();
        self.backup.finish(bytes, unread)
    }
}

impl Backup {
    /// Whether the next step needs no further bytes.
    fn moves_without_input(&self) -> bool {
        match self.phase {
            Phase::Skip { left, .. } | Phase::Padding { left } => left == 0,
            Phase::Content => self.stream.left == 0,
            _ => false,
        }
    }

    fn advance(&mut self, taken: u64) {
        self.offset += taken;
        if self.phase == Phase::Content && self.stream.left == 0 {
            self.end_stream();
            self.phase = Phase::Padding { left: self.offset.wrapping_neg() & 3 };
        }
    }

    fn lose(&mut self, what: &str) {
        let offset = self.offset;
        self.errors.at(Problem::Chain, offset, || {
            format!("{what} at byte {offset} is damaged; the rest of the backup could not be checked")
        });
        self.phase = Phase::Lost;
    }

    fn descriptor(&mut self, header: &[u8]) {
        let skip = u64::from(u16_at(header, 8));
        let known = DESCRIPTORS.iter().find(|known| header.starts_with(known.as_slice()));
        let Some(id) = known.filter(|_| descriptor_fits(header) && skip >= DESCRIPTOR as u64) else {
            return self.lose("the block header");
        };
        self.counts.headers += 1;
        self.last_descriptor = **id;
        self.headers.block(**id, header);
        match *id {
            b"SSET" => self.open_set = true,
            b"ESET" => {
                self.sets += u64::from(self.open_set);
                self.open_set = false;
            }
            _ => {}
        }
        self.phase = Phase::Skip { left: skip, streams: *id != b"SFMB" };
    }

    fn stream(&mut self, header: &[u8]) {
        if header.get(..20).is_none_or(|summed| header_sum(summed) != u16_at(header, 20)) {
            return self.lose("the stream header");
        }
        self.counts.headers += 1;
        let id = [header[0], header[1], header[2], header[3]];
        if self.pending.is_some() && &id != b"CSUM" {
            self.pending = None;
            let offset = self.offset;
            self.warnings
                .at(Problem::Other, offset, || format!("the checksum of the stream before byte {offset} is missing"));
        }
        self.stream = Stream {
            id,
            left: u64_at(header, 8),
            at_start: true,
            summed: u16_at(header, 6) & CHECKSUM_FOLLOWS != 0,
            ..Stream::default()
        };
        self.phase = Phase::Content;
        if self.offset.checked_add(self.stream.left).is_none_or(|end| end > u64::MAX / 2) {
            self.lose("the length of the stream");
        }
    }

    /// Checks the next piece of the stream; says how long it is, or `None` when more input is needed.
    fn piece(&mut self, window: &mut Window, input: &mut &[u8]) -> Option<usize> {
        let stream = self.stream;
        let left = usize::try_from(stream.left).unwrap_or(usize::MAX);
        let data = matches!(&stream.id, b"MQDA" | b"MQTL");
        let need = match &stream.id {
            b"CSUM" => left.min(4),
            b"RAID" | b"MQCI" if !stream.summed && stream.at_start && stream.left <= STREAM_BYTES => {
                let content = window.fill(input, left)?;
                self.headers.stream(stream.id, content);
                self.stream.at_start = false;
                self.stream.left = 0;
                return Some(left);
            }
            _ if !data && !stream.summed => {
                let taken = usize::try_from(window.skip(input, stream.left)).unwrap_or(0);
                self.stream.left -= taken as u64;
                self.offset += taken as u64;
                return (self.stream.left == 0).then_some(0);
            }
            _ if stream.at_start => left.min(2),
            b"MQDA" => left.min(EXTENT),
            b"MQTL" => {
                let sector = window.fill(input, left.min(SECTOR))?;
                self.log_piece(sector)
            }
            _ => left.min(SECTOR),
        };
        let bytes = window.fill(input, need)?;
        match &stream.id {
            b"CSUM" => self.compare(u32_at(bytes, 0), need),
            _ if stream.at_start => {}
            b"MQDA" => self.extent(bytes),
            b"MQTL" => self.log_block(bytes),
            _ => {}
        }
        if stream.summed && !stream.at_start {
            self.stream.sum = fold_sectors(self.stream.sum, bytes);
        }
        self.stream.at_start = false;
        self.stream.left -= need as u64;
        Some(need)
    }

    fn end_stream(&mut self) {
        if self.stream.summed {
            self.pending = Some(self.stream.sum);
        }
        if let Some(broken) = self.stream.broken.filter(|broken| broken.nonzero && !broken.reported) {
            self.warnings.at(Problem::Other, broken.offset, || {
                format!("after the last log block at byte {} other data follows", broken.offset)
            });
        }
    }

    fn compare(&mut self, stored: u32, length: usize) {
        let offset = self.offset;
        match self.pending.take() {
            Some(computed) if computed != stored || length != 4 => self.errors.at(Problem::Checksum, offset, || {
                format!("the stream before byte {offset} differs from its checksum: {stored:#010x} stored, {computed:#010x} computed")
            }),
            Some(_) => self.counts.streams_checksummed += 1,
            None => {}
        }
    }

    /// Checks the pages of an extent. Half-used extents hold garbage, so only pages that agree with the others of the
    /// extent about where they belong are tested.
    fn extent(&mut self, extent: &[u8]) {
        let place = |at: usize, page: &[u8]| {
            let header = PageHeader::parse(page);
            let fits = page.len() == PAGE && header.is_plausible() && header.page as usize % 8 == at;
            fits.then_some((header.page / 8, header.file))
        };
        let places: Vec<_> = extent.chunks(PAGE).enumerate().map(|(at, page)| place(at, page)).collect();
        let votes = |wanted| places.iter().filter(|place| **place == Some(wanted)).count();
        // Of places with the same number of votes the first one counts.
        let agreed = places.iter().flatten().rev().copied().max_by_key(|place| votes(*place));
        for (at, page) in extent.chunks(PAGE).enumerate() {
            self.pages.total += u64::from(page.len() == PAGE);
            if places.get(at).copied().flatten().is_some_and(|place| Some(place) == agreed) {
                self.page(page, self.offset + (at * PAGE) as u64);
            } else if page.len() == PAGE {
                let zero = page.iter().all(|&byte| byte == 0);
                *(if zero { &mut self.pages.zero } else { &mut self.pages.garbage }) += 1;
            }
        }
    }

    fn page(&mut self, page: &[u8], offset: u64) {
        let header = PageHeader::parse(page);
        let (id, name) = (header.page, header.name());
        let state = page::check(page, &header);
        self.user_pages.count(page, &header, state);
        let (count, complaint) = match state {
            PageState::Checksummed => (&mut self.pages.checksummed, None),
            PageState::TornBits => (&mut self.pages.torn_bits, None),
            PageState::Unprotected => (&mut self.pages.unprotected, None),
            PageState::Torn { .. } => (&mut self.pages.torn, Some((Problem::TornWrite, "was written only in part"))),
            PageState::Inconsistent => {
                (&mut self.pages.inconsistent, Some((Problem::Inconsistent, "has a header that contradicts itself")))
            }
            PageState::Mismatched { .. } | PageState::LostFlag => {
                (&mut self.pages.mismatched, Some((Problem::Checksum, "differs from its checksum")))
            }
        };
        *count += 1;
        if let Some((problem, words)) = complaint {
            let apart = header.is_user_data() && matches!(state, PageState::Mismatched { .. });
            let findings = if apart { &mut self.user_pages.mismatches } else { &mut self.errors };
            findings.at(problem, offset, || format!("page {id} ({name}) at byte {offset} of the backup {words}"));
        } else if header.kind == kind::BOOT && id == 9 {
            self.boot = Some(Boot::parse(&restored(page, &header)));
        } else if header.kind == kind::FILE_HEADER && id == 0 && self.header.is_none() {
            self.header = FileHeader::parse(&restored(page, &header));
        }
    }

    /// How much of the log stream belongs together.
    fn log_piece(&self, sector: &[u8]) -> usize {
        let header = BlockHeader::parse(sector);
        if self.stream.broken.is_none() && self.is_block(&header, sector) { header.size } else { sector.len() }
    }

    fn is_block(&self, header: &BlockHeader, sector: &[u8]) -> bool {
        let parity = header.parity();
        sector.len() == SECTOR
            && matches!(parity, 0x40 | 0x80)
            && header.sequence != 0
            && header.claims(parity, header.sequence, u64::from(header.number))
            && header.is_possible(self.stream.left)
    }

    fn log_block(&mut self, block: &[u8]) {
        let header = BlockHeader::parse(block);
        let offset = self.offset;
        if self.stream.broken.is_none() && self.is_block(&header, block.get(..SECTOR).unwrap_or_default()) {
            let state = header.check(block);
            self.counts.log_blocks += 1;
            self.counts.log_blocks_checksummed += u64::from(state == BlockState::Checksummed);
            if let Some(complaint) = state.complaint() {
                self.counts.log_blocks_damaged += 1;
                self.errors.at(Problem::Checksum, offset, || {
                    format!("the log block at byte {offset} of the backup {complaint}")
                });
            }
            let next = u64::from(header.number) + (header.size / SECTOR) as u64;
            self.stream.expected = Some((header.parity(), header.sequence, next));
            return;
        }
        let mut broken = self.stream.broken.unwrap_or(Broken { offset, reported: false, nonzero: false });
        broken.nonzero |= block.iter().any(|&byte| byte != 0);
        if let Some((parity, sequence, number)) = self.stream.expected {
            if !broken.reported && header.claims(parity, sequence, number) {
                broken.reported = true;
                self.errors.at(Problem::Hole, broken.offset, || {
                    format!("the log in the backup breaks at byte {} and goes on at byte {offset}", broken.offset)
                });
            }
            self.stream.expected = Some((parity, sequence, number + 1));
        }
        self.stream.broken = Some(broken);
    }

    fn finish(mut self, bytes: u64, unread: usize) -> Report {
        let complete = self.phase == Phase::Descriptor
            && unread == 0
            && &self.last_descriptor == b"SFMB"
            && self.sets > 0
            && !self.open_set;
        if !complete && self.phase != Phase::Lost {
            self.errors.at(Problem::Truncated, bytes, || {
                format!("the backup is cut off: it ends at byte {bytes} before its end mark")
            });
        }
        let mut facts = Facts::default();
        if let Some(header) = &self.header {
            header.add_to(&mut facts);
        }
        let headers = std::mem::take(&mut self.headers).finish();
        facts.database = headers.as_ref().and_then(|headers| Some(headers.sets.first()?.database.clone()));
        if let Some(boot) = &self.boot {
            boot.add_to(&mut facts);
            if version_name(boot.version).is_none() {
                let version = boot.version;
                self.warnings.file(Problem::UnknownVersion, || {
                    format!("internal version {version} of SQL Server is not known here")
                });
            }
        }
        let verified = self.pages.checksummed + self.counts.streams_checksummed + self.counts.log_blocks_checksummed;
        let bare = self.pages.unprotected + self.pages.torn_bits;
        let weak = self.counts.streams_checksummed == 0 && bare > self.pages.checksummed;
        let encrypted = std::mem::take(&mut self.user_pages).judge(&mut self.errors, &mut self.warnings);
        // A checksum of the whole stream says more than those of its pages.
        let otherwise = match self.counts.streams_checksummed {
            0 if encrypted => Verdict::NotVerifiable { why: Obstacle::EncryptedOrWholesaleDamage },
            _ if verified == 0 || weak => Verdict::NotVerifiable { why: Obstacle::NoChecksums },
            _ => Verdict::Sound,
        };
        let report = Report {
            kind: Kind::Backup,
            bytes,
            facts: Some(facts),
            pages: self.pages,
            blocks: self.counts,
            backup: headers,
            ..Report::default()
        };
        report.conclude(self.errors, self.warnings, otherwise)
    }
}

//! Data files, page by page.
//!
//! Nothing is ever sought: the map that says which pages are in use (PFS) precedes the pages it is about. What counts
//! as damage follows from files of real servers: freed pages keep a valid checksum, so a wrong one is damage wherever
//! it is; a page that is not there is damage only if it is in use and the database was shut down cleanly, for the map
//! of a running database may reach the disk before the page, and recovery makes the page.

use super::boot::{Boot, version_name};
use super::bytes::Window;
use super::file_list::further_data_files;
use super::header::FileHeader;
use super::page::{self, PAGE, PageHeader, PageState, kind, restored};
use super::report::{
    Evidence, Facts, Findings, Kind, LISTED, Obstacle, PageCounts, PageVerify, Problem, Report, Verdict,
};
use super::value::Lsn;
use super::wholesale::UserPages;

/// Pages described by one PFS page.
const PFS_INTERVAL: u64 = 8088;
/// Pages described by one GAM page.
const GAM_INTERVAL: u64 = 511_232;
/// Bytes of a GAM bitmap.
const GAM_BYTES: usize = 7988;
/// Object whose rows name the files of the database.
const FILE_LIST_OBJECT: u32 = 24;
/// The same before SQL Server 2008.
const FILE_LIST_OBJECT_2005: u32 = 76;
/// Internal version of SQL Server 2008.
const VERSION_2008: u16 = 655;
/// Pages of it that are kept.
const FILE_LIST_PAGES: usize = 4;

/// Further data files of a database that are remembered; a server allows 32,767 in all.
const FURTHER_FILES: usize = 1024;

/// How many pages in use may be missing in a database that was not shut down cleanly before that counts as damage: one
/// in a hundred, but 16 always, and never more than 16,384 (128 MiB).
///
/// Recovery makes pages that were new at the last moment and whose map was written before them. A checkpoint writes
/// both about once a minute, so these are what the database grew by in about a minute: a small part of it. What a fault
/// of the storage or a hole in a copy takes away is more, in one piece, and old.
fn most_recoverable(in_use: u64) -> u64 {
    (in_use / 100).clamp(16, 16_384)
}

/// Pages in use that are not there, put together to ranges.
#[derive(Debug, Default)]
struct Lost {
    pages: u64,
    ranges: Vec<(u64, u64, Instead)>,
    total: u64,
    last: Option<(u64, Instead)>,
}

/// What is in the place of a page.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Instead {
    Zeros,
    /// Another page, by file and number.
    Page(u16, u32),
    NoPage,
}

impl Lost {
    fn page(&mut self, id: u64, instead: Instead) {
        self.pages += 1;
        let goes_on = self.last == Some((id.wrapping_sub(1), instead)) && !matches!(instead, Instead::Page(..));
        self.last = Some((id, instead));
        if !goes_on {
            self.total += 1;
            if self.ranges.len() < LISTED {
                self.ranges.push((id, id, instead));
            }
        } else if let Some((_, end, _)) = self.ranges.last_mut().filter(|(_, end, _)| *end + 1 == id) {
            *end = id;
        }
    }

    fn findings(self) -> Findings {
        let mut findings = Findings::default();
        for &(first, last, instead) in &self.ranges {
            findings.page(Problem::LostPage, first, || {
                let (pages, are, hold) = match last - first {
                    0 => (format!("page {first}"), "is", "holds"),
                    _ => (format!("pages {first}-{last}"), "are", "hold"),
                };
                match instead {
                    Instead::Zeros => format!("{pages} {are} in use but {hold} only zeros"),
                    Instead::Page(file, page) => format!("{pages} {are} in use but {hold} page {file}:{page}"),
                    Instead::NoPage => format!("{pages} {are} in use but {hold} no page"),
                }
            });
        }
        findings.total = self.total;
        findings
    }
}

/// Checks a data file while it streams past.
#[derive(Debug)]
pub(super) struct DataChecker {
    window: Window,
    pages: Pages,
}

#[derive(Debug)]
struct Pages {
    file: u16,
    next: u64,
    counts: PageCounts,
    errors: Findings,
    warnings: Findings,
    user_data: UserPages,
    /// Pages in use that are not there; apart, because the boot page decides what that means.
    lost: Lost,
    /// Pages in use.
    in_use: u64,
    /// One byte for each page of the current interval, if its map could be read.
    pfs: Option<Box<[u8]>>,
    header: Option<FileHeader>,
    boot: Option<Boot>,
    max_lsn: Lsn,
    /// Last extent in use by the maps of the first interval, and of those after it.
    last_extent: u64,
    last_extent_later: u64,
    evidence: Evidence,
}

impl DataChecker {
    /// For file number `file` of a database.
    pub(super) fn new(file: u16) -> Self {
        Self {
            window: Window::default(),
            pages: Pages {
                file,
                next: 0,
                counts: PageCounts::default(),
                errors: Findings::default(),
                warnings: Findings::default(),
                user_data: UserPages::default(),
                lost: Lost::default(),
                in_use: 0,
                pfs: None,
                header: None,
                boot: None,
                max_lsn: Lsn::default(),
                last_extent: 0,
                last_extent_later: 0,
                evidence: Evidence::default(),
            },
        }
    }

    pub(super) fn update(&mut self, mut input: &[u8]) {
        while let Some(page) = self.window.fill(&mut input, PAGE) {
            self.pages.page(page);
            self.window.consume(&mut input, PAGE);
        }
    }

    pub(super) fn finish(self, bytes: u64) -> Report {
        self.pages.finish(bytes)
    }
}

impl Pages {
    fn page(&mut self, page: &[u8]) {
        let id = self.next;
        self.next += 1;
        self.counts.total += 1;
        let header = PageHeader::parse(page);
        let fits = header.fits(id, self.file);
        self.in_use += u64::from(self.is_allocated(id) == Some(true));
        let fixed = self.check_place(id, fits, &header);
        if id == 1 || id.is_multiple_of(PFS_INTERVAL) {
            self.pfs = None;
        }
        if !fits {
            self.stranger(id, page, fixed);
            return;
        }
        let state = page::check(page, &header);
        self.count(id, page, &header, state);
        if state.is_intact() {
            self.read(id, page, &header);
        }
    }

    /// Pages with a fixed place: the first ones must be there, of those far into the file only a warning is given,
    /// because their places past 4 GiB are known from documents alone. True when a finding was made.
    fn check_place(&mut self, id: u64, fits: bool, header: &PageHeader) -> bool {
        let (wanted, name, certain) = match id {
            0 => (kind::FILE_HEADER, "file header", true),
            1 => (kind::PFS, "free space map", true),
            2 => (kind::GAM, "allocation map", true),
            9 if self.file == 1 => (kind::BOOT, "boot page", true),
            _ if id.is_multiple_of(PFS_INTERVAL) => (kind::PFS, "free space map", false),
            _ if id.is_multiple_of(GAM_INTERVAL) => (kind::GAM, "allocation map", false),
            _ => return false,
        };
        if fits && header.kind == wanted {
            return false;
        }
        let findings = if certain { &mut self.errors } else { &mut self.warnings };
        findings.page(Problem::SystemPage, id, || format!("page {id} should be the {name} and is not"));
        true
    }

    /// Whether `id` is in use; `None` when the map could not be read.
    fn is_allocated(&self, id: u64) -> Option<bool> {
        let index = usize::try_from(id % PFS_INTERVAL).ok()?;
        self.pfs.as_ref()?.get(index).map(|byte| byte & 0x40 != 0)
    }

    /// What is there is not page `id`.
    fn stranger(&mut self, id: u64, page: &[u8], reported: bool) {
        let zero = page.iter().all(|&byte| byte == 0);
        if reported || self.is_allocated(id) == Some(true) {
            self.counts.lost += 1;
            if !reported {
                let found = PageHeader::parse(page);
                self.lost.page(
                    id,
                    match (zero, found.is_plausible()) {
                        (true, _) => Instead::Zeros,
                        (_, true) => Instead::Page(found.file, found.page),
                        _ => Instead::NoPage,
                    },
                );
            }
        } else if zero {
            self.counts.zero += 1;
        } else {
            self.counts.garbage += 1;
        }
    }

    fn count(&mut self, id: u64, page: &[u8], header: &PageHeader, state: PageState) {
        let name = header.name();
        self.user_data.count(page, header, state);
        match state {
            PageState::Checksummed => self.counts.checksummed += 1,
            PageState::TornBits => self.counts.torn_bits += 1,
            PageState::Unprotected => self.counts.unprotected += 1,
            PageState::Mismatched { stored, computed } => {
                self.counts.mismatched += 1;
                let findings = if header.is_user_data() { &mut self.user_data.mismatches } else { &mut self.errors };
                findings.page(Problem::Checksum, id, || {
                    format!(
                        "page {id} ({name}) differs from its checksum: {stored:#010x} stored, {computed:#010x} computed"
                    )
                });
            }
            PageState::Torn { sector } => {
                self.counts.torn += 1;
                self.errors.page(Problem::TornWrite, id, || {
                    format!("page {id} ({name}) was written only in part: sector {sector} is of another time")
                });
            }
            PageState::LostFlag => {
                self.counts.mismatched += 1;
                self.errors.page(Problem::Checksum, id, || {
                    format!("page {id} ({name}) has lost the flag that announces its checksum")
                });
            }
            PageState::Inconsistent => {
                self.counts.inconsistent += 1;
                self.errors.page(Problem::Inconsistent, id, || {
                    format!("page {id} ({name}) has a header that contradicts itself")
                });
            }
        }
    }

    /// Takes what later pages, the end and other files need from an intact page.
    fn read(&mut self, id: u64, page: &[u8], header: &PageHeader) {
        match header.kind {
            kind::FILE_HEADER if id == 0 => self.header = FileHeader::parse(&restored(page, header)),
            kind::PFS if id == 1 || id.is_multiple_of(PFS_INTERVAL) => {
                self.pfs = restored(page, header).get(100..100 + 8088).map(Into::into);
            }
            kind::GAM if id == 2 || id.is_multiple_of(GAM_INTERVAL) => self.read_gam(id, &restored(page, header)),
            kind::BOOT if id == 9 => self.boot = Some(Boot::parse(&restored(page, header))),
            1 if self.is_file_list(header.object) => {
                if header.object == FILE_LIST_OBJECT {
                    self.evidence.further_files.extend(further_data_files(&restored(page, header)));
                    self.evidence.further_files.truncate(FURTHER_FILES);
                }
                if self.evidence.file_list.len() < FILE_LIST_PAGES {
                    self.evidence.file_list.push(restored(page, header).into_owned());
                } else {
                    self.evidence.file_list_cut = true;
                }
            }
            _ => {}
        }
        if self.is_allocated(id) == Some(true) {
            self.max_lsn = self.max_lsn.max(header.lsn);
        }
    }

    fn is_file_list(&self, object: u32) -> bool {
        let is_old = self.boot.as_ref().is_some_and(|boot| boot.version < VERSION_2008);
        object == FILE_LIST_OBJECT || (is_old && object == FILE_LIST_OBJECT_2005)
    }

    fn read_gam(&mut self, id: u64, page: &[u8]) {
        let first = id / GAM_INTERVAL * (GAM_INTERVAL / 8);
        let bitmap = page.get(194..194 + GAM_BYTES).unwrap_or_default();
        // A cleared bit is an extent in use.
        if let Some((at, byte)) = bitmap.iter().enumerate().rev().find(|(_, byte)| **byte != 0xff) {
            let last = first + 8 * at as u64 + u64::from(7 - byte.leading_ones());
            if first == 0 {
                self.last_extent = last;
            } else {
                self.last_extent_later = last;
            }
        }
    }

    fn finish(mut self, bytes: u64) -> Report {
        self.check_length(bytes);
        let clean = self.boot.as_ref().map(|boot| boot.clean);
        let lost = std::mem::take(&mut self.lost);
        // A further data file has no boot page: the comparison with the first file decides there.
        let recoverable = clean == Some(false) || self.file != 1;
        if recoverable && lost.pages <= most_recoverable(self.in_use) {
            self.warnings.merge(lost.findings());
        } else {
            self.errors.merge(lost.findings());
        }
        if clean == Some(false) {
            self.warnings.file(Problem::LogNeeded, || {
                "the database was not shut down cleanly: its log file is needed to open it".to_owned()
            });
        }
        let encrypted = std::mem::take(&mut self.user_data).judge(&mut self.errors, &mut self.warnings);
        let otherwise = self.judge_protection(encrypted);
        let mut facts = Facts { max_page_lsn: self.max_lsn.set(), ..Facts::default() };
        if let Some(header) = &self.header {
            header.add_to(&mut facts);
        }
        if let Some(boot) = &self.boot {
            boot.add_to(&mut facts);
        }
        facts.file_id = Some(self.file);
        let report = Report {
            kind: Kind::Data,
            bytes,
            facts: Some(facts),
            pages: self.counts,
            evidence: self.evidence,
            ..Report::default()
        };
        report.conclude(self.errors, self.warnings, otherwise)
    }

    fn check_length(&mut self, bytes: u64) {
        let pages = self.next;
        if !bytes.is_multiple_of(PAGE as u64) {
            self.errors
                .at(Problem::Truncated, pages * PAGE as u64, || format!("the file ends in the middle of page {pages}"));
        }
        match self.header.as_ref().and_then(|header| header.size_pages) {
            Some(size) if size > pages => {
                self.errors.file(Problem::Truncated, || {
                    format!("the file is cut off: it has {pages} pages and its header says {size}")
                });
            }
            Some(size) if size < pages => {
                self.warnings
                    .file(Problem::Longer, || format!("the file has {pages} pages and its header says {size}"));
            }
            _ => {}
        }
        let message =
            |extent: u64| format!("the file is cut off: it has {pages} pages and page {} is in use", extent * 8);
        if self.last_extent * 8 >= pages && pages > 2 {
            self.errors.file(Problem::Truncated, || message(self.last_extent));
        }
        if self.last_extent_later * 8 >= pages {
            self.warnings.file(Problem::Truncated, || message(self.last_extent_later));
        }
        if pages < 3 || (self.file == 1 && pages < 10) {
            self.errors.file(Problem::Truncated, || {
                format!("the file is cut off: it has {pages} pages, less than any database")
            });
        }
    }

    /// The verdict if nothing is damaged.
    fn judge_protection(&mut self, encrypted: bool) -> Verdict {
        let counts = self.counts;
        let unknown_version = self.boot.as_ref().filter(|boot| version_name(boot.version).is_none());
        if let Some(boot) = unknown_version {
            let version = boot.version;
            self.warnings.page(Problem::UnknownVersion, 9, || {
                format!("internal version {version} of SQL Server is not known here")
            });
        }
        let page_verify = match &self.boot {
            Some(boot) => boot.page_verify,
            None if counts.checksummed > 0 => PageVerify::Checksum,
            None if counts.torn_bits > 0 => PageVerify::Torn,
            None => PageVerify::None,
        };
        let why = match page_verify {
            _ if encrypted => Obstacle::EncryptedOrWholesaleDamage,
            PageVerify::Checksum => {
                let bare = counts.unprotected + counts.torn_bits;
                if bare > 16 && bare > counts.checksummed / 10 {
                    self.warnings.file(Problem::Unprotected, || {
                        format!("{bare} pages carry no checksum; damage to them may not show until they are rewritten")
                    });
                }
                return Verdict::Sound;
            }
            _ if unknown_version.is_some() => Obstacle::UnknownVersion,
            PageVerify::Torn => Obstacle::PageVerifyTorn,
            PageVerify::None => Obstacle::PageVerifyNone,
        };
        if matches!(why, Obstacle::PageVerifyTorn | Obstacle::PageVerifyNone) {
            self.warnings.file(Problem::Unprotected, || {
                format!("integrity cannot be verified ({why}): set PAGE_VERIFY CHECKSUM and rebuild the indexes")
            });
        }
        Verdict::NotVerifiable { why }
    }
}

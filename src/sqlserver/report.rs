//! What a check found, as plain values for manifests, programs and people.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::backup_facts::BackupFacts;
use super::value::{Guid, Lsn};

/// Findings and warnings are listed up to this many; beyond it they are only counted.
pub const LISTED: usize = 100;

/// The result of checking one file.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Report {
    /// What the content is.
    pub kind: Kind,
    /// Whether it is what SQL Server wrote.
    pub verdict: Verdict,
    /// Length of the file.
    pub bytes: u64,
    /// What the file says about its database.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub facts: Option<Facts>,
    /// Its pages by kind.
    pub pages: PageCounts,
    /// Its log blocks and, in backups, headers and streams.
    pub blocks: BlockCounts,
    /// The first [`LISTED`] pieces of damage, in the order of the file.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub findings: Vec<Finding>,
    /// How many there are.
    pub findings_total: u64,
    /// The first [`LISTED`] things worth knowing that are no damage.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub warnings: Vec<Finding>,
    /// How many there are.
    pub warnings_total: u64,
    /// What the headers of a backup say.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub backup: Option<BackupFacts>,
    /// For files of no kind of SQL Server: what they are filled with.
    #[serde(skip)]
    pub filling: Filling,
    /// What only the comparison with the other files of the database needs; not stored.
    #[serde(skip)]
    pub(super) evidence: Evidence,
}

/// What a file of no kind of SQL Server is filled with.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Filling {
    /// It has no bytes.
    #[default]
    Empty,
    /// All its bytes are this one.
    One(u8),
    /// Anything else.
    Mixed,
}

impl Filling {
    /// With these bytes behind it. Costs nothing once two bytes differed.
    pub(super) fn with(self, bytes: &[u8]) -> Self {
        let Some(&first) = bytes.first() else { return self };
        let all = |byte: u8| bytes.iter().all(|other| *other == byte);
        match self {
            Self::Empty if all(first) => Self::One(first),
            Self::One(byte) if all(byte) => self,
            _ => Self::Mixed,
        }
    }
}

impl fmt::Display for Filling {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Empty => f.write_str("it is empty"),
            Self::One(0) => f.write_str("it holds only zeros"),
            Self::One(byte) => write!(f, "it holds only bytes of the value {byte:#04x}"),
            Self::Mixed => f.write_str("it begins like no file of SQL Server"),
        }
    }
}

/// What a file is, by its content.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum Kind {
    /// Data file: .mdf or .ndf.
    Data,
    /// Transaction log: .ldf.
    Log,
    /// Backup in tape format: .bak or .trn.
    Backup,
    /// Compressed backup.
    CompressedBackup,
    /// Anything else.
    #[default]
    #[serde(other)]
    Other,
}

/// Whether a file is what SQL Server wrote.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "result", rename_all = "kebab-case")]
pub enum Verdict {
    /// Every check passed.
    Sound,
    /// It is not.
    Damaged,
    /// Nothing wrong was seen, but damage need not show.
    NotVerifiable {
        /// What keeps it from showing.
        why: Obstacle,
    },
    /// There is nothing to check.
    #[default]
    NotSqlServer,
}

/// Why a file cannot be verified.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum Obstacle {
    /// The database writes no checksums.
    PageVerifyNone,
    /// The database writes torn-page bits only, which show few kinds of damage.
    PageVerifyTorn,
    /// Most user pages differ from their checksums and look random: transparent encryption, or wholesale damage.
    EncryptedOrWholesaleDamage,
    /// A version of SQL Server whose options are not known here.
    UnknownVersion,
    /// A backup without checksums of a database without checksums.
    NoChecksums,
    /// A backup laid out in a way not known here.
    #[serde(other)]
    UnknownLayout,
}

impl fmt::Display for Obstacle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::PageVerifyNone => "PAGE_VERIFY NONE",
            Self::PageVerifyTorn => "PAGE_VERIFY TORN_PAGE_DETECTION",
            Self::EncryptedOrWholesaleDamage => "encrypted (TDE) or wholesale damage",
            Self::UnknownVersion => "unknown version of SQL Server",
            Self::NoChecksums => "no checksums",
            Self::UnknownLayout => "unknown layout",
        })
    }
}

/// What a file says about its database. Values that could not be read or cannot be trusted are absent.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Facts {
    /// Name of the database.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub database: Option<String>,
    /// Version of SQL Server as people call it, such as `2019`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub version: Option<String>,
    /// Internal version of the database.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub internal_version: Option<u16>,
    /// Internal version with which it was created.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub created_version: Option<u16>,
    /// Compatibility level.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub compatibility_level: Option<u8>,
    /// Protection of pages.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub page_verify: Option<PageVerify>,
    /// Whether the database was shut down cleanly; if not, its log file is needed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub clean_shutdown: Option<bool>,
    /// The same in all files of a database.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub binding_id: Option<Guid>,
    /// Of this file; absent in databases born before 2005.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub file_guid: Option<Guid>,
    /// Of the database and its restored copies.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub family_guid: Option<Guid>,
    /// Logical name of the file.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub logical_name: Option<String>,
    /// Number of the file in the database.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub file_id: Option<u16>,
    /// Size that the file header states, in pages of 8 KiB.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub size_pages: Option<u64>,
    /// Last checkpoint.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub checkpoint_lsn: Option<Lsn>,
    /// Newest change in an allocated page.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_page_lsn: Option<Lsn>,
    /// End of the log.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub end_of_log: Option<Lsn>,
}

/// Protection of pages, a database option.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum PageVerify {
    /// Checksums.
    Checksum,
    /// Torn-page bits.
    Torn,
    /// Nothing.
    None,
}

/// Pages by kind; every page is counted once.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct PageCounts {
    /// All pages.
    pub total: u64,
    /// With the right checksum.
    pub checksummed: u64,
    /// With the right torn-page bits.
    pub torn_bits: u64,
    /// With neither.
    pub unprotected: u64,
    /// Never used and all zero.
    pub zero: u64,
    /// Never formatted; they hold what the disk held.
    pub garbage: u64,
    /// With the wrong checksum.
    pub mismatched: u64,
    /// With torn-page bits that disagree.
    pub torn: u64,
    /// Unprotected, and their content contradicts itself.
    pub inconsistent: u64,
    /// In use, but what is there is not that page.
    pub lost: u64,
}

/// Log blocks and, in backups, headers and streams.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct BlockCounts {
    /// Log blocks.
    pub log_blocks: u64,
    /// Of them with a checksum.
    pub log_blocks_checksummed: u64,
    /// Of them damaged.
    pub log_blocks_damaged: u64,
    /// Virtual log files.
    pub virtual_logs: u64,
    /// Of them used.
    pub virtual_logs_used: u64,
    /// Descriptor and stream headers.
    pub headers: u64,
    /// Streams with a checksum.
    pub streams_checksummed: u64,
    /// Compressed chunks.
    pub chunks: u64,
    /// Of them damaged.
    pub chunks_damaged: u64,
}

/// One thing found.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Finding {
    /// What it is, for programs.
    pub problem: Problem,
    /// Page in the file, if it concerns one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub page: Option<u64>,
    /// Place in the file.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub offset: Option<u64>,
    /// The same for people.
    pub text: String,
}

/// Kinds of findings.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum Problem {
    /// Bytes differ from their checksum.
    Checksum,
    /// A write was done only in part.
    TornWrite,
    /// A page's content contradicts itself.
    Inconsistent,
    /// A page in use is not where it belongs.
    LostPage,
    /// A page that every database has is missing.
    SystemPage,
    /// The file ends too early.
    Truncated,
    /// The file is longer than it says.
    Longer,
    /// Most pages differ from their checksums.
    Wholesale,
    /// Blocks are missing in the middle of the log.
    Hole,
    /// A virtual log file is not full.
    NotFull,
    /// The headers do not lead on.
    Chain,
    /// A version not known here.
    UnknownVersion,
    /// A layout not known here.
    UnknownLayout,
    /// The log file is needed to open the database.
    LogNeeded,
    /// Damage may not show.
    Unprotected,
    /// Anything a later version of this program reports.
    #[serde(other)]
    Other,
}

/// What only the comparison of files needs.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Evidence {
    /// Pages of the data file that list the database's files.
    pub(super) file_list: Vec<Vec<u8>>,
    /// More of them were seen than kept.
    pub(super) file_list_cut: bool,
    /// Data files besides the first that it names.
    pub(super) further_files: Vec<super::file_list::ListedFile>,
    /// Where blocks of the log begin.
    pub(super) trails: Option<super::trail::Trails>,
}

/// Collects findings: all are counted, the first are kept, and words are made for those alone.
#[derive(Debug, Default)]
pub(super) struct Findings {
    pub(super) list: Vec<Finding>,
    pub(super) total: u64,
}

impl Findings {
    /// Adds what concerns a page.
    pub(super) fn page(&mut self, problem: Problem, page: u64, text: impl FnOnce() -> String) {
        self.add(problem, Some(page), Some(page.saturating_mul(super::page::PAGE as u64)), text);
    }

    /// Adds what concerns a place.
    pub(super) fn at(&mut self, problem: Problem, offset: u64, text: impl FnOnce() -> String) {
        self.add(problem, None, Some(offset), text);
    }

    /// Adds what concerns the whole file.
    pub(super) fn file(&mut self, problem: Problem, text: impl FnOnce() -> String) {
        self.add(problem, None, None, text);
    }

    fn add(&mut self, problem: Problem, page: Option<u64>, offset: Option<u64>, text: impl FnOnce() -> String) {
        self.total += 1;
        if self.list.len() < LISTED {
            self.list.push(Finding { problem, page, offset, text: text() });
        }
    }

    /// Takes over what another collected, in the order of the file; what concerns the whole file comes last.
    pub(super) fn merge(&mut self, other: Self) {
        self.total += other.total;
        self.list.extend(other.list);
        self.list.sort_by_key(|finding| finding.offset.unwrap_or(u64::MAX));
        self.list.truncate(LISTED);
    }
}

impl Report {
    /// Puts the collected findings in; damage decides over `otherwise`.
    pub(super) fn conclude(mut self, errors: Findings, warnings: Findings, otherwise: Verdict) -> Self {
        self.verdict = if errors.total > 0 { Verdict::Damaged } else { otherwise };
        self.findings = errors.list;
        self.findings_total = errors.total;
        self.warnings = warnings.list;
        self.warnings_total = warnings.total;
        self
    }

    /// Whether damage was found.
    #[must_use]
    pub fn is_damaged(&self) -> bool {
        self.verdict == Verdict::Damaged
    }

    /// How many pages and blocks are damaged; 0 where the file is not.
    #[must_use]
    pub fn damaged_count(&self) -> u64 {
        let (pages, blocks) = (&self.pages, &self.blocks);
        let lost = self.findings.iter().any(|finding| finding.problem == Problem::LostPage);
        // Most pages of an encrypted database differ from their checksums, too: that is no damage.
        match self.verdict {
            Verdict::Damaged => {
                let lost = if lost { pages.lost } else { 0 };
                let pages = pages.mismatched + pages.torn + pages.inconsistent + lost;
                pages + blocks.log_blocks_damaged + blocks.chunks_damaged
            }
            _ => 0,
        }
    }

    /// What is worth a note wherever the file is listed, though it is no damage.
    pub fn notes(&self) -> impl Iterator<Item = &Finding> {
        use Problem::{Longer, LostPage, SystemPage, Truncated};
        self.warnings.iter().filter(|one| matches!(one.problem, LostPage | Longer | SystemPage | Truncated))
    }

    /// Pages with damage, the first [`LISTED`].
    pub fn damaged_pages(&self) -> impl Iterator<Item = u64> {
        self.findings.iter().filter_map(|finding| finding.page)
    }

    fn size(&self) -> String {
        match self.kind {
            Kind::Data => format!("{} pages", self.pages.total),
            Kind::Log => format!("{} log blocks", self.blocks.log_blocks),
            Kind::Backup => format!("{} pages, {} log blocks", self.pages.total, self.blocks.log_blocks),
            Kind::CompressedBackup => format!("{} chunks", self.blocks.chunks),
            Kind::Other => format!("{} bytes", self.bytes),
        }
    }
}

/// One line, such as `ok 131072 pages` or `DAMAGED 3 of 131072 pages (first: 77, 78, 1200)`.
impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.verdict {
            Verdict::Sound => write!(f, "ok {}", self.size()),
            Verdict::NotSqlServer => f.write_str("not a SQL Server file"),
            Verdict::NotVerifiable { why } => write!(f, "not verifiable: {why}"),
            Verdict::Damaged => {
                let damaged = self.damaged_count();
                let lost = self.findings.iter().find(|finding| finding.problem == Problem::LostPage);
                let mut pages: Vec<u64> = self.damaged_pages().collect();
                pages.dedup();
                match (pages.is_empty(), self.findings.first()) {
                    (true, Some(finding)) => {
                        write!(f, "DAMAGED: {}", finding.text)?;
                        match self.findings_total {
                            0 | 1 => Ok(()),
                            total => write!(f, " (and {} more)", total - 1),
                        }
                    }
                    (false, _) if lost.is_some() => {
                        let text = lost.map_or("", |lost| lost.text.as_str());
                        write!(f, "DAMAGED {damaged} of {} ({text})", self.size())
                    }
                    (false, _) => {
                        let listed = pages.len() as u64;
                        let damaged = if self.findings_total > LISTED as u64 { damaged.max(listed) } else { listed };
                        let first: Vec<String> = pages.iter().take(3).map(u64::to_string).collect();
                        write!(f, "DAMAGED {damaged} of {} (first: {})", self.size(), first.join(", "))
                    }
                    (true, None) => f.write_str("DAMAGED"),
                }
            }
        }
    }
}

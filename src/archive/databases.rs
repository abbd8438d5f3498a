//! Database files of a snapshot: checked while they stream past, judged together at the end.
//!
//! A database is more than its files: each may be sound, and still the log may belong to another day. So every file has
//! a verdict of its own, and when all have been read they are compared with each other.

use std::path::Path;

use serde::Serialize;

use super::manifest::Database;
use crate::sqlserver::{self, Kind, PairFinding, Report, Severity, Verdict};

/// What was found in one database file.
#[derive(Debug, Clone, Serialize)]
pub struct DatabaseCheck {
    /// Its path.
    #[serde(skip)]
    pub path: String,
    /// What its own pages, blocks or streams say.
    #[serde(flatten)]
    pub report: Report,
    /// What the comparison with the other files of the database says.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub pairing: Vec<PairFinding>,
}

impl DatabaseCheck {
    /// The check of a file, if it is one of SQL Server.
    #[must_use]
    pub fn new(path: &str, report: Report) -> Option<Self> {
        (report.kind != Kind::Other).then(|| Self { path: path.to_owned(), report, pairing: vec![] })
    }

    /// Is it not what SQL Server wrote, or does it not belong to its database?
    #[must_use]
    pub fn is_damaged(&self) -> bool {
        self.report.is_damaged() || self.is_unpaired()
    }

    /// Does it not belong to the other files of its database?
    #[must_use]
    pub fn is_unpaired(&self) -> bool {
        self.pairing.iter().any(|finding| finding.severity == Severity::Damage)
    }

    /// The verdict in one word, as manifests have it.
    #[must_use]
    pub fn verdict(&self) -> &'static str {
        match self.report.verdict {
            _ if self.is_damaged() => "damaged",
            Verdict::Sound => "sound",
            Verdict::NotVerifiable { .. } => "not-verifiable",
            Verdict::Damaged | Verdict::NotSqlServer => "not-checked",
        }
    }

    /// Everything that is wrong, in words, the first hundred of each kind.
    #[must_use]
    pub fn damage(&self) -> Vec<String> {
        let own = self.report.findings.iter().map(|finding| finding.text.clone());
        let pairing = self.pairing.iter().filter(|finding| finding.severity == Severity::Damage);
        own.chain(pairing.map(|finding| finding.text.clone())).collect()
    }

    /// How the manifest tells of it.
    #[must_use]
    pub fn summary(&self) -> Database {
        let file = self.path.rsplit('/').next().unwrap_or(&self.path);
        let facts = self.report.facts.as_ref();
        // A log has no database name of its own; its file name says more than nothing.
        let name = facts.and_then(|facts| facts.database.clone()).filter(|_| self.report.kind == Kind::Data);
        let (pages, blocks) = (&self.report.pages, &self.report.blocks);
        let damaged =
            pages.mismatched + pages.torn + pages.inconsistent + blocks.log_blocks_damaged + blocks.chunks_damaged;
        Database {
            name: name.unwrap_or_else(|| file.to_owned()),
            verdict: self.verdict().to_owned(),
            pages: pages.total + blocks.log_blocks + blocks.chunks,
            // Most pages of an encrypted database differ, too: that is no damage.
            damaged_pages: if self.is_damaged() { damaged } else { 0 },
            unpaired: self.is_unpaired(),
        }
    }
}

/// Compares the files of a snapshot with each other.
pub fn pair_all(checks: &mut [DatabaseCheck]) {
    let findings = sqlserver::pair(checks.iter().map(|check| (Path::new(&check.path), &check.report)));
    for finding in findings {
        if let Some(check) = checks.iter_mut().find(|check| Path::new(&check.path) == finding.path) {
            check.pairing.push(finding);
        }
    }
}

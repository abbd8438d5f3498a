//! Where the content of an archive came from, and what said that it was complete.

use std::fmt;

use super::word::as_word;

/// What the time of completion was taken from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum EvidenceKind {
    /// Status message 5035 of the backup task.
    StatusMessage,
    /// The document that the task writes last.
    Metadata,
    /// SQL Server's backup files.
    BackupFiles,
    /// Of a later version of this program; empty where none is stored.
    Later(String),
}

/// What a folder of a snapshot holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PartKind {
    /// The site server's files, and the database unless it is a part of its own.
    Site,
    /// The database half, where it lies elsewhere.
    Sql,
    /// SQL Server's own backups.
    SqlBackups,
    /// The installation files that setup needs.
    CdLatest,
    /// Of a later version of this program.
    Later(String),
}

impl EvidenceKind {
    fn word(&self) -> &str {
        match self {
            Self::StatusMessage => "status-message",
            Self::Metadata => "metadata",
            Self::BackupFiles => "backup-files",
            Self::Later(word) => word,
        }
    }
}

impl PartKind {
    fn word(&self) -> &str {
        match self {
            Self::Site => "site",
            Self::Sql => "sql",
            Self::SqlBackups => "sql-backups",
            Self::CdLatest => "cd-latest",
            Self::Later(word) => word,
        }
    }
}

impl Default for EvidenceKind {
    fn default() -> Self {
        Self::Later(String::new())
    }
}

impl From<&str> for EvidenceKind {
    fn from(word: &str) -> Self {
        let known = [Self::StatusMessage, Self::Metadata, Self::BackupFiles];
        known.into_iter().find(|kind| kind.word() == word).unwrap_or_else(|| Self::Later(word.to_owned()))
    }
}

impl From<&str> for PartKind {
    fn from(word: &str) -> Self {
        let known = [Self::Site, Self::Sql, Self::SqlBackups, Self::CdLatest];
        known.into_iter().find(|kind| kind.word() == word).unwrap_or_else(|| Self::Later(word.to_owned()))
    }
}

/// In words for people.
impl fmt::Display for EvidenceKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::StatusMessage => "by status message 5035 in smsbkup.log",
            Self::Metadata => "by BackupDocument.xml",
            Self::BackupFiles => "by SQL Server's backup files",
            Self::Later(word) => word,
        })
    }
}

impl fmt::Display for PartKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.word())
    }
}

as_word!(EvidenceKind);
as_word!(PartKind);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_value_reads_back_and_later_ones_survive() {
        for word in ["status-message", "metadata", "backup-files", "of-a-later-version"] {
            let kind: EvidenceKind = serde_json::from_str(&format!("\"{word}\"")).unwrap();
            assert_eq!(matches!(kind, EvidenceKind::Later(_)), word.contains("later"), "{word}");
            assert_eq!(serde_json::to_string(&kind).unwrap(), format!("\"{word}\""));
        }
        for word in ["site", "sql", "sql-backups", "cd-latest", "of-a-later-version"] {
            let kind: PartKind = serde_json::from_str(&format!("\"{word}\"")).unwrap();
            assert_eq!(matches!(kind, PartKind::Later(_)), word.contains("later"), "{word}");
            assert_eq!(serde_json::to_string(&kind).unwrap(), format!("\"{word}\""));
        }
    }
}

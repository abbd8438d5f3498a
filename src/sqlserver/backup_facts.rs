//! What the headers of a backup can say.

use serde::{Deserialize, Serialize};

use super::value::{Guid, Lsn};

/// What the headers of a backup file say.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct BackupFacts {
    /// The same in all files of one backup, and in no other.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub media_set: Option<Guid>,
    /// How many files make the backup; 0 where that could not be read.
    pub families: u16,
    /// Which of them this is, from 1.
    pub family: u16,
    /// The backups in the file: one, unless the server was told to append.
    pub sets: Vec<BackupSet>,
}

/// One backup.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct BackupSet {
    /// Its own id.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub id: Option<Guid>,
    /// What was backed up, where that could be read.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub kind: Option<BackupType>,
    /// The database.
    pub database: String,
    /// Server and instance that made it.
    pub server: String,
    /// The same in all backups of a database on its server.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub database_guid: Option<Guid>,
    /// Where its stretch of the log begins.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub first_lsn: Option<Lsn>,
    /// Where it ends.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub last_lsn: Option<Lsn>,
    /// The checkpoint.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub checkpoint_lsn: Option<Lsn>,
    /// For a differential backup: the checkpoint of the full that it is based on.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub base_lsn: Option<Lsn>,
    /// For a differential backup: the id of the full that it is based on.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub base_set: Option<Guid>,
}

/// What was backed up.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum BackupType {
    /// The whole database.
    Full,
    /// What changed since a full.
    Differential,
    /// The log.
    Log,
}

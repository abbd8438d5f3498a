//! Why an archive could not be written.

use std::io;
use std::path::{Path, PathBuf};

use super::frames::Stopped;
use super::member::Need;
use super::outlet::OutputClosed;
use crate::platform::files::{concerns_one_file, unreadable};

/// Why no archive was written.
#[derive(Debug, thiserror::Error)]
pub enum WriteError {
    /// The snapshot is not what it was: the attempt is to be dropped.
    #[error("{path} changed while it was archived: {what}", path = path.display())]
    Changed {
        /// Which file.
        path: PathBuf,
        /// What happened to it.
        what: &'static str,
    },
    /// A file cannot be read.
    #[error("cannot read {path}", path = path.display())]
    Read {
        /// Which file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// Another program has a file open without sharing it.
    #[error("cannot read {path}: another program has it open for itself alone", path = path.display())]
    InUse {
        /// Which file.
        path: PathBuf,
        /// What the system says.
        source: io::Error,
    },
    /// A file that can be done without could not be read to its end, when a part of it was already written.
    #[error("cannot read {archived}: {reason}")]
    LeaveOut {
        /// Its path in the archive.
        archived: String,
        /// Why.
        reason: String,
    },
    /// The archive to build on cannot be read: without it, a full one can be written.
    #[error("the archive to build on cannot be read: {0}")]
    Base(String),
    /// Two things with one path.
    #[error("two files or folders would be '{0}' in the archive: give the supplemental entries other names")]
    Twice(String),
    /// A path that no index can hold.
    #[error("the path of '{path}…' is too long for an archive", path = .0.chars().take(200).collect::<String>())]
    Index(String),
    /// More files than an index can hold.
    #[error("{0} files and folders are more than an archive can hold")]
    TooMany(usize),
    /// Nobody takes it.
    #[error(transparent)]
    Output(OutputClosed),
    /// zstd failed.
    #[error("cannot compress")]
    Compress(#[source] io::Error),
    /// age failed.
    #[error("cannot encrypt")]
    Encrypt(#[source] io::Error),
    /// Asked to stop.
    #[error("cancelled")]
    Cancelled,
    /// The other side of the pipeline stopped; replaced by its reason.
    #[error("the pipeline stopped")]
    Stopped,
}

impl From<Stopped> for WriteError {
    fn from(Stopped: Stopped) -> Self {
        Self::Stopped
    }
}

impl WriteError {
    pub(super) fn changed(path: &Path, what: &'static str) -> Self {
        Self::Changed { path: path.to_owned(), what }
    }

    pub(super) fn read(path: &Path, source: io::Error) -> Self {
        Self::Read { path: path.to_owned(), source }
    }

    /// Is it a fault of this one file, which can be done without?
    pub(super) fn leaves_out(&self, need: Need) -> bool {
        match (self, need) {
            (_, Need::Required) => false,
            (Self::Changed { .. }, need) => need == Need::Extra,
            (Self::InUse { .. }, _) => true,
            (Self::Read { source, .. }, _) => concerns_one_file(source),
            _ => false,
        }
    }

    /// Why a file cannot be read, without its name.
    pub(super) fn reason(&self) -> String {
        match self {
            Self::Changed { what, .. } => (*what).to_owned(),
            Self::Read { source, .. } => unreadable(source),
            Self::InUse { .. } => "cannot be read: another program has it open for itself alone".to_owned(),
            error => error.to_string(),
        }
    }

    pub(super) fn leave_out(&self, archived: &str) -> Self {
        Self::LeaveOut { archived: archived.to_owned(), reason: self.reason() }
    }
}

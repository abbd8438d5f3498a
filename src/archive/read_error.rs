//! Why an archive cannot be read.

use super::access::AccessError;
use super::index::IndexError;
use super::manifest::ManifestError;
use super::seek_table::SeekTableError;
use crate::destination;
use crate::name::ArchiveId;

/// Why an archive cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    /// Not reachable, or not to be decrypted.
    #[error(transparent)]
    Access(#[from] AccessError),
    /// No seek table, or a damaged one.
    #[error("the archive is damaged")]
    SeekTable(#[from] SeekTableError),
    /// A frame of the index.
    #[error("the archive is damaged: frame {0}, which holds its index, cannot be decompressed")]
    FrameOfIndex(usize),
    /// A damaged index.
    #[error("the archive is damaged")]
    Index(#[from] IndexError),
    /// Manifest and archive disagree.
    #[error("the archive is damaged or not the one of its manifest: they disagree about {0}")]
    Contradiction(&'static str),
    /// A manifest of its chain.
    #[error(transparent)]
    Manifest(#[from] ManifestError),
    /// Another archive has the name of its base.
    #[error("it is not the archive that was built upon: its index is another")]
    OtherBase,
    /// An archive that it builds on.
    #[error("it needs {id}, which cannot be used")]
    Base {
        /// Which.
        id: ArchiveId,
        /// Why.
        source: Box<Self>,
    },
    /// The disk that is unpacked to failed.
    #[error("cannot write {path}", path = path.display())]
    Write {
        /// Which file.
        path: std::path::PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// Asked to stop.
    #[error("cancelled")]
    Cancelled,
}

impl ReadError {
    /// An error of an archive that is built upon. What the key or the user has to do with says the same of all.
    pub(super) fn of_base(id: &ArchiveId, error: Self) -> Self {
        match error {
            Self::Access(AccessError::NoIdentity | AccessError::WrongIdentity) | Self::Cancelled => error,
            error => Self::Base { id: id.clone(), source: Box::new(error) },
        }
    }

    /// Is the archive at fault, and not the way to it?
    #[must_use]
    pub fn is_damage(&self) -> bool {
        match self {
            Self::Access(AccessError::Damaged(_))
            | Self::SeekTable(_)
            | Self::FrameOfIndex(_)
            | Self::Index(_)
            | Self::Contradiction(_)
            | Self::OtherBase => true,
            Self::Manifest(error) => !error.is_newer(),
            Self::Base { source, .. } => source.is_damage(),
            // Shorter than its manifest says, or gone although its manifest is there.
            Self::Access(AccessError::Destination(error)) => {
                matches!(error.kind, destination::ErrorKind::OutOfRange | destination::ErrorKind::NotFound)
            }
            Self::Access(_) | Self::Write { .. } | Self::Cancelled => false,
        }
    }
}

//! Why an archive is not on a destination.

use std::time::Duration;

use crate::destination;
use crate::name::ArchiveId;

/// Why an archive is not on a destination.
#[derive(Debug, thiserror::Error)]
pub enum PushError {
    /// The destination failed.
    #[error(transparent)]
    Destination(#[from] destination::Error),
    /// What lies there is not what was sent.
    #[error("what was read back from {key} is not what was written: {what}")]
    Verify {
        /// The archive.
        key: String,
        /// The difference.
        what: String,
    },
    /// It took blocks no more.
    #[error("no progress for {} s", .0.as_secs())]
    Stalled(Duration),
    /// Others keep replacing the manifest.
    #[error("other hosts are archiving the same snapshot there, and keep replacing its manifest")]
    Contended,
    /// It would lie where it cannot be put together.
    #[error("{0}, on which the archive builds, is not there any more, or is another")]
    Base(ArchiveId),
    /// Dropped before it was complete.
    #[error("the attempt was dropped")]
    Dropped,
    /// A fault of this program.
    #[error("the thread of this destination ended unexpectedly")]
    Panicked,
}

impl PushError {
    /// What an administrator can do about it.
    #[must_use]
    pub fn hint(&self) -> Option<&'static str> {
        match self {
            Self::Destination(error) => error.hint(),
            Self::Verify { .. } => {
                Some("look at the disk or storage behind this destination: it does not keep what it is given")
            }
            Self::Stalled(_) => {
                Some("look whether the server hangs; stall-timeout of the destination says how long to wait")
            }
            Self::Base(_) => Some("was it removed by hand? The next run writes a full archive"),
            Self::Contended | Self::Dropped | Self::Panicked => None,
        }
    }
}

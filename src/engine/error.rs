//! Why a run ended without an outcome.

use crate::archive::writer::WriteError;
use crate::source;

/// Why a run ended without an outcome.
#[derive(Debug, thiserror::Error)]
pub enum RunError {
    /// The snapshot cannot be looked at.
    #[error("cannot look at the snapshot")]
    Source(#[from] source::Error),
    /// The archive cannot be written, through no fault of a destination.
    #[error("cannot archive the snapshot")]
    Write(#[source] WriteError),
    /// Two supplemental files would have the same place.
    #[error("cannot add the supplemental files")]
    Supplemental(#[source] source::supplemental::Error),
    /// Not an age public key.
    #[error("'{0}' is no age public key")]
    Recipient(String),
    /// Asked to stop.
    #[error("cancelled")]
    Cancelled,
}

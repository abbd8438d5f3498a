//! Why a run ended without an outcome.

use crate::archive::writer::WriteError;
use crate::platform::files::account;
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
    /// Not an age public key.
    #[error("'{0}' is no age public key")]
    Recipient(String),
    /// Asked to stop.
    #[error("cancelled")]
    Cancelled,
}

impl RunError {
    /// Is a missing right among the causes?
    #[must_use]
    pub fn is_denied(&self) -> bool {
        std::iter::successors(Some(self as &(dyn std::error::Error + 'static)), |error| error.source())
            .filter_map(|error| error.downcast_ref::<std::io::Error>())
            .any(|error| error.kind() == std::io::ErrorKind::PermissionDenied)
    }

    /// What to do about a missing right.
    #[must_use]
    pub fn denied_hint() -> String {
        format!(
            "the account that runs afterbackup ({}) must be able to read all of it; AfterBackup.bat runs as Local System",
            account()
        )
    }
}

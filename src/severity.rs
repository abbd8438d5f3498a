//! How bad the end of a run is: what decides its exit code.

use serde::Serialize;

/// What an exit code says; see `cli::exit`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Severity {
    /// Done, or there was nothing to do.
    Done,
    /// No completed snapshot.
    NoSnapshot,
    /// Archived, but not everywhere, or pruning failed, or something is missing from it.
    Partial,
    /// Archived, and damaged.
    Damage,
    /// Nothing new is safe.
    Failed,
}

impl Severity {
    /// The exit code that tells of it.
    #[must_use]
    pub fn exit_code(self) -> u8 {
        match self {
            Self::Done => 0,
            Self::Failed => 1,
            Self::Partial => 3,
            Self::NoSnapshot => 4,
            Self::Damage => 6,
        }
    }

    /// What an exit code tells of; a code that is not one of ours is a failure.
    #[must_use]
    pub fn of_exit_code(code: u8) -> Self {
        let all = [Self::Done, Self::Partial, Self::NoSnapshot, Self::Damage];
        all.into_iter().find(|severity| severity.exit_code() == code).unwrap_or(Self::Failed)
    }
}

//! Exit codes. Scripts and monitoring rely on them: codes may be added, none changes its meaning.

use crate::severity::Severity;

/// What the process ends with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum Exit {
    /// Done; also: there was nothing to do.
    Done = 0,
    /// Failed: nothing new is safe.
    Failed = 1,
    /// Wrong arguments or configuration.
    Usage = 2,
    /// Archived, but a destination or the pruning failed.
    Partial = 3,
    /// There is no completed snapshot.
    NoSnapshot = 4,
    /// Another run is at work.
    Busy = 5,
    /// Damage was found.
    Damage = 6,
    /// Backups are overdue.
    Overdue = 7,
    /// Interrupted.
    Cancelled = 130,
}

impl From<Severity> for Exit {
    fn from(severity: Severity) -> Self {
        match severity {
            Severity::Done => Self::Done,
            Severity::NoSnapshot => Self::NoSnapshot,
            Severity::Partial => Self::Partial,
            Severity::Damage => Self::Damage,
            Severity::Failed => Self::Failed,
        }
    }
}

impl From<Exit> for std::process::ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(exit as u8)
    }
}

impl Exit {
    /// Every code there is.
    pub(super) const ALL: [Self; 9] = [
        Self::Done,
        Self::Failed,
        Self::Usage,
        Self::Partial,
        Self::NoSnapshot,
        Self::Busy,
        Self::Damage,
        Self::Overdue,
        Self::Cancelled,
    ];

    /// What it says. `--help` and README.md have these words.
    #[must_use]
    pub const fn meaning(self) -> &'static str {
        match self {
            Self::Done => "done; also: already archived",
            Self::Failed => "failed, nothing new is safe",
            Self::Usage => "wrong arguments or configuration",
            Self::Partial => "partial: archived, but a destination, the pruning or a hook failed",
            Self::NoSnapshot => "no completed snapshot",
            Self::Busy => "another run is active",
            Self::Damage => "damage found",
            Self::Overdue => "backups are overdue",
            Self::Cancelled => "interrupted",
        }
    }
}

/// Shown below `--help`.
pub(super) fn help() -> String {
    let line = |exit: Exit| format!("\n{:>5}  {}", exit as u8, exit.meaning());
    format!("Exit codes:{}", Exit::ALL.map(line).concat())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn severities_have_the_same_codes_everywhere() {
        for severity in [Severity::Done, Severity::NoSnapshot, Severity::Partial, Severity::Damage, Severity::Failed] {
            assert_eq!(Exit::from(severity) as u8, severity.exit_code());
            assert_eq!(Severity::of_exit_code(severity.exit_code()), severity);
        }
    }

    #[test]
    fn exit_codes_are_the_documented_ones() {
        assert_eq!(Exit::ALL.map(|exit| exit as u8), [0, 1, 2, 3, 4, 5, 6, 7, 130]);
        let readme = include_str!("../../README.md");
        for exit in Exit::ALL {
            assert!(
                readme.contains(&format!(
                    "
| {} | {}",
                    exit as u8,
                    exit.meaning()
                )),
                "{exit:?}"
            );
        }
    }
}

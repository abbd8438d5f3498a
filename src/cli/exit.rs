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

/// Shown below `--help`.
pub(super) const HELP: &str = "\
Exit codes:
    0  done; also: already archived
    1  failed, nothing new is safe
    2  wrong arguments or configuration
    3  partial: archived, but a destination, the pruning or a hook failed
    4  no completed snapshot
    5  another run is at work
    6  damage found
    7  backups are overdue
  130  interrupted";

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
        let codes = [
            Exit::Done,
            Exit::Failed,
            Exit::Usage,
            Exit::Partial,
            Exit::NoSnapshot,
            Exit::Busy,
            Exit::Damage,
            Exit::Overdue,
            Exit::Cancelled,
        ];
        assert_eq!(codes.map(|exit| exit as u8), [0, 1, 2, 3, 4, 5, 6, 7, 130]);
        for exit in codes {
            assert!(HELP.contains(&format!("{:>5}  ", exit as u8)), "{exit:?}");
            assert!(include_str!("../../README.md").contains(&format!("\n| {} | ", exit as u8)), "{exit:?}");
        }
    }
}

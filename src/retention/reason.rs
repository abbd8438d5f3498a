//! Why an archive stays or goes, as people and programs read it.

use std::fmt;
use std::time::Duration;

use serde::ser::SerializeStruct;
use serde::{Serialize, Serializer};

use crate::name::{ArchiveId, Level};
use crate::retention::period::Period;
use crate::units::format_duration;

/// Why an archive stays.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum KeepReason {
    /// The newest of its site, good or not.
    Newest,
    /// The newest not known to be damaged.
    NewestUndamaged,
    /// The newest whose databases passed their checks.
    NewestGood,
    /// Among the `last`.
    Last {
        /// 1 is the newest.
        number: u32,
        /// The policy's count.
        of: u32,
    },
    /// It stands for a period.
    Period {
        /// Which.
        period: Period,
        /// 1 is the latest.
        number: u32,
        /// The policy's count.
        of: u32,
    },
    /// Not much older than the newest.
    Within(Duration),
    /// Among those that always stay.
    Minimum {
        /// The policy's count.
        of: u32,
    },
    /// Pinned, and why.
    Pinned(String),
    /// Another destination has yet to get it.
    NeededElsewhere,
    /// It has the newest sound copy of this database.
    SoundCopy(String),
    /// Others that stay build on it.
    BaseOf {
        /// How many.
        archives: usize,
        /// The newest of them.
        newest: ArchiveId,
    },
    /// The newest of its tier: the next archive may build on it.
    NextBase(Level),
    /// The manifest of this archive cannot be read: it may build on it.
    MayBeNeeded(ArchiveId),
    /// Its stamp lies in the future.
    Future,
}

impl KeepReason {
    /// The rule in one word, for programs.
    #[must_use]
    pub fn rule(&self) -> &'static str {
        match self {
            Self::Newest => "newest",
            Self::NewestUndamaged => "newest-undamaged",
            Self::NewestGood => "newest-good",
            Self::Last { .. } => "last",
            Self::Period { period, .. } => period.unit().rule(),
            Self::Within(_) => "within",
            Self::Minimum { .. } => "min-archives",
            Self::Pinned(_) => "pinned",
            Self::NeededElsewhere => "needed-elsewhere",
            Self::SoundCopy(_) => "sound-copy",
            Self::BaseOf { .. } => "base",
            Self::NextBase(_) => "next-base",
            Self::MayBeNeeded(_) => "may-be-needed",
            Self::Future => "future",
        }
    }
}

impl fmt::Display for KeepReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Newest => f.write_str("newest"),
            Self::NewestUndamaged => f.write_str("newest not known to be damaged"),
            Self::NewestGood => f.write_str("newest good"),
            Self::Last { number, of } => write!(f, "last archive ({number} of {of})"),
            Self::Period { period, number, of } => {
                write!(f, "{} archive {period} ({number} of {of})", period.unit().rule())
            }
            Self::Within(within) => write!(f, "within {} of the newest", format_duration(*within)),
            Self::Minimum { of } => write!(f, "one of {of} that always stay (min-archives)"),
            Self::Pinned(reason) if reason.is_empty() => f.write_str("pinned"),
            Self::Pinned(reason) => write!(f, "pinned: {reason}"),
            Self::NeededElsewhere => f.write_str("another destination still needs it"),
            Self::SoundCopy(database) => write!(f, "newest sound copy of {database}"),
            Self::BaseOf { archives: 1, newest } => write!(f, "base of {newest}"),
            Self::BaseOf { archives, newest } => write!(f, "base of {archives} archives, the newest {newest}"),
            Self::NextBase(level) => write!(f, "newest {} archive: the next may build on it", level.word()),
            Self::MayBeNeeded(id) => write!(f, "{id} may build on it: its manifest cannot be read"),
            Self::Future => f.write_str("dated in the future"),
        }
    }
}

impl Serialize for KeepReason {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut reason = serializer.serialize_struct("KeepReason", 5)?;
        reason.serialize_field("rule", self.rule())?;
        if let Self::Period { period, .. } = self {
            reason.serialize_field("period", period)?;
        }
        match self {
            Self::Last { number, of } | Self::Period { number, of, .. } => {
                reason.serialize_field("number", number)?;
                reason.serialize_field("of", of)?;
            }
            Self::Minimum { of } => reason.serialize_field("of", of)?,
            _ => {}
        }
        reason.serialize_field("words", &self.to_string())?;
        reason.end()
    }
}

/// Why an archive may go: no rule keeps it, because …
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RemoveReason {
    /// A newer one stands for the shortest counted period it lies in.
    Superseded {
        /// The period.
        period: Period,
        /// The one that stands for it.
        by: ArchiveId,
    },
    /// It is damaged, and a good one stands for the shortest counted period it lies in.
    DamagedBeside {
        /// The period.
        period: Period,
        /// The one that stands for it.
        by: ArchiveId,
    },
    /// It lies before every period that is counted.
    OlderThanPeriods,
    /// It is damaged, and newer archives, damaged or not, fill the periods that are counted.
    DamagedOld,
    /// The policy counts no periods, and it is not among the newest.
    NotAmongNewest {
        /// The policy's `last`.
        last: u32,
        /// The policy's `within`.
        within: Option<Duration>,
    },
}

impl RemoveReason {
    /// The reason in one word, for programs.
    #[must_use]
    pub fn rule(&self) -> &'static str {
        match self {
            Self::Superseded { .. } => "superseded",
            Self::DamagedBeside { .. } => "damaged-beside-good",
            Self::OlderThanPeriods => "older-than-periods",
            Self::DamagedOld => "damaged-old",
            Self::NotAmongNewest { .. } => "not-among-newest",
        }
    }
}

impl fmt::Display for RemoveReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("no rule keeps it: ")?;
        match self {
            Self::Superseded { period, by } => {
                write!(f, "{} {period} has a newer archive {by}", period.unit().noun())
            }
            Self::DamagedBeside { period, by } => {
                write!(f, "damaged, and {} {period} has {by} instead", period.unit().noun())
            }
            Self::OlderThanPeriods => f.write_str("older than every period kept"),
            Self::DamagedOld => f.write_str("damaged, and newer archives fill the periods counted"),
            Self::NotAmongNewest { last, within } => {
                if *last > 0 {
                    write!(f, "not among the last {last}")?;
                }
                match within {
                    Some(within) if *last > 0 => write!(f, ", nor within {} of the newest", format_duration(*within)),
                    Some(within) => write!(f, "not within {} of the newest", format_duration(*within)),
                    None if *last == 0 => f.write_str("the policy has no rules"),
                    None => Ok(()),
                }
            }
        }
    }
}

impl Serialize for RemoveReason {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut reason = serializer.serialize_struct("RemoveReason", 4)?;
        reason.serialize_field("rule", self.rule())?;
        if let Self::Superseded { period, by } | Self::DamagedBeside { period, by } = self {
            reason.serialize_field("period", period)?;
            reason.serialize_field("by", by)?;
        }
        reason.serialize_field("words", &self.to_string())?;
        reason.end()
    }
}

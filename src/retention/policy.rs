//! The retention policy as plain values.
//!
//! Choices that could have gone another way:
//!
//! - The zone defaults to that of the system, because administrators think in their own days. Where `prune` runs on
//!   another machine than `run`, `time-zone` must be set, or the two disagree about which day an archive belongs to.
//! - `max_remove` has no default. How many archives a run removes depends on the number of sites below the
//!   destination, so a number that suits one would stop another for ever. What must not be lost is guarded without it.
//! - `min_archives` is 1: whoever writes `last = 1` for want of space means it, and the newest good archive stays
//!   anyway.

use std::time::Duration;

use jiff::civil::Time;
use jiff::tz::TimeZone;

/// Which archives to keep: a union of rules. A count of 0 switches its rule off.
#[derive(Debug, Clone, PartialEq)]
pub struct Policy {
    /// The newest archives, whatever their time.
    pub last: u32,
    /// The newest archive of each of the last hours that have one.
    pub hourly: u32,
    /// The same by days.
    pub daily: u32,
    /// The same by ISO weeks.
    pub weekly: u32,
    /// The same by months.
    pub monthly: u32,
    /// The same by years.
    pub yearly: u32,
    /// Everything at most this much older than the newest archive.
    pub within: Option<Duration>,
    /// The newest archives of a site that always stay, whatever the rules say.
    pub min_archives: u32,
    /// A plan that removes more than this in one run is not carried out.
    pub max_remove: Option<u32>,
    /// The zone in which days, weeks, months and years begin.
    pub time_zone: TimeZone,
    /// When a day begins; archives of a backup at 00:30 belong to the day before with 02:00.
    pub day_starts: Time,
}

impl Policy {
    /// No rule at all: what a written policy starts from, and an error if nothing is added.
    #[must_use]
    pub fn without_rules() -> Self {
        Self {
            last: 0,
            hourly: 0,
            daily: 0,
            weekly: 0,
            monthly: 0,
            yearly: 0,
            within: None,
            min_archives: 1,
            max_remove: None,
            time_zone: TimeZone::system(),
            day_starts: Time::midnight(),
        }
    }

    /// Is every rule switched off? Such a policy would remove everything it can: callers refuse it.
    ///
    /// `within` of no length is no rule, and `min_archives` is a brake.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        let counts = [self.last, self.hourly, self.daily, self.weekly, self.monthly, self.yearly];
        counts.iter().all(|&count| count == 0) && self.within.is_none_or(|within| within.is_zero())
    }
}

impl Default for Policy {
    /// What applies when the configuration has no `[retention]`.
    ///
    /// The five days are those for which a site keeps change tracking: only a younger archive lets other sites
    /// reinitialise replication from it without a full copy.
    fn default() -> Self {
        Self {
            last: 7,
            daily: 14,
            weekly: 8,
            monthly: 12,
            within: Some(Duration::from_hours(5 * 24)),
            ..Self::without_rules()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn default_policy_has_rules() {
        assert!(!Policy::default().is_empty());
    }

    #[test]
    fn brakes_alone_are_no_policy() {
        let policy = Policy { min_archives: 5, max_remove: Some(3), ..Policy::without_rules() };
        assert!(policy.is_empty());
        assert!(Policy { within: Some(Duration::ZERO), ..policy.clone() }.is_empty());
        assert!(!Policy { within: Some(Duration::from_secs(1)), ..policy.clone() }.is_empty());
        assert!(!Policy { yearly: 1, ..policy }.is_empty());
    }
}

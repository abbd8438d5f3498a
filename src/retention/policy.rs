//! The retention policy as plain values.

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
    /// Everything this much older than the newest archive.
    pub within: Option<Duration>,
    /// So many archives always stay, whatever the rules say.
    pub min_archives: u32,
    /// A plan that removes more than this in one run is not carried out.
    pub max_remove: Option<u32>,
    /// The zone in which days, weeks, months and years begin.
    pub time_zone: TimeZone,
    /// When a day begins; archives of a backup at 00:30 belong to the day before with 02:00.
    pub day_starts: Time,
}

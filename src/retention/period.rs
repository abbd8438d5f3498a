//! Hours, days, ISO weeks, months and years in one time zone: one key type for all of them.
//!
//! Keys never run backwards in time, whatever the zone does, so that walking archives from new to old meets every
//! period in one piece. Two cases would break that if the local clock were simply read:
//!
//! - When clocks go back, the same local hour happens twice. The offset is part of an hour's key.
//! - When clocks go back across the beginning of a day (`day-starts = "02:30"`, or zones that change at midnight), the
//!   local time says "before" again. A day therefore begins at the first *instant* its local beginning is reached.

use std::fmt;

use jiff::Timestamp;
use jiff::civil::{Date, Time};
use jiff::tz::{Offset, TimeZone};

/// The length of a period.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Unit {
    /// An hour of the local clock.
    Hour,
    /// A day from `day-starts` to `day-starts`.
    Day,
    /// An ISO week, Monday to Sunday.
    Week,
    /// A month.
    Month,
    /// A calendar year.
    Year,
}

impl Unit {
    /// All of them, short to long.
    pub const ALL: [Self; 5] = [Self::Hour, Self::Day, Self::Week, Self::Month, Self::Year];

    /// The noun: `day`.
    #[must_use]
    pub fn noun(self) -> &'static str {
        match self {
            Self::Hour => "hour",
            Self::Day => "day",
            Self::Week => "week",
            Self::Month => "month",
            Self::Year => "year",
        }
    }

    /// The configuration key of its rule: `daily`.
    #[must_use]
    pub fn rule(self) -> &'static str {
        match self {
            Self::Hour => "hourly",
            Self::Day => "daily",
            Self::Week => "weekly",
            Self::Month => "monthly",
            Self::Year => "yearly",
        }
    }
}

/// One hour, day, ISO week, month or year. Later periods of the same unit compare greater.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Period {
    /// An hour. The offset tells the two apart that clocks show twice.
    Hour {
        /// Its day on the calendar, whatever `day-starts`.
        date: Date,
        /// 0 to 23.
        hour: i8,
        /// From UTC.
        offset: Offset,
    },
    /// A day.
    Day(Date),
    /// An ISO week.
    Week {
        /// The ISO year, which differs from the calendar's around New Year.
        year: i16,
        /// 1 to 53.
        week: i8,
    },
    /// A month.
    Month {
        /// The year.
        year: i16,
        /// 1 to 12.
        month: i8,
    },
    /// A year.
    Year(i16),
}

impl Period {
    /// Which unit it is one of.
    #[must_use]
    pub fn unit(&self) -> Unit {
        match self {
            Self::Hour { .. } => Unit::Hour,
            Self::Day(_) => Unit::Day,
            Self::Week { .. } => Unit::Week,
            Self::Month { .. } => Unit::Month,
            Self::Year(_) => Unit::Year,
        }
    }
}

impl fmt::Display for Period {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Hour { date, hour, offset } => write!(f, "{date} {hour:02}:00{offset}"),
            Self::Day(date) => write!(f, "{date}"),
            Self::Week { year, week } => write!(f, "{year:04}-W{week:02}"),
            Self::Month { year, month } => write!(f, "{year:04}-{month:02}"),
            Self::Year(year) => write!(f, "{year:04}"),
        }
    }
}

impl serde::Serialize for Period {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

/// Where periods begin.
#[derive(Debug, Clone)]
pub struct Calendar<'a> {
    /// The zone.
    pub time_zone: &'a TimeZone,
    /// When a day begins.
    pub day_starts: Time,
}

/// A point in time, looked up in the calendar once for all units.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Moment {
    day: Date,
    hour: Period,
}

impl Calendar<'_> {
    /// Looks `at` up.
    #[must_use]
    pub fn moment(&self, at: Timestamp) -> Moment {
        let offset = self.time_zone.to_offset(at);
        let local = offset.to_datetime(at);
        Moment {
            day: self.day(at, local.date()),
            hour: Period::Hour { date: local.date(), hour: local.hour(), offset },
        }
    }

    fn day(&self, at: Timestamp, local: Date) -> Date {
        // At the ends of the calendar there is no day before or after: the local day then has to do.
        if self.begin(local).is_some_and(|begin| at < begin) {
            local.yesterday().unwrap_or(local)
        } else {
            let next = local.tomorrow().ok();
            next.filter(|&next| self.begin(next).is_some_and(|begin| at >= begin)).unwrap_or(local)
        }
    }

    /// The first instant of a day. In a gap, the instant the clock jumps over it; of two, the earlier.
    fn begin(&self, day: Date) -> Option<Timestamp> {
        self.time_zone.to_timestamp(day.to_datetime(self.day_starts)).ok()
    }
}

impl Moment {
    /// The period of this length it lies in.
    #[must_use]
    pub fn period(&self, unit: Unit) -> Period {
        match unit {
            Unit::Hour => self.hour,
            Unit::Day => Period::Day(self.day),
            Unit::Week => {
                let week = self.day.iso_week_date();
                Period::Week { year: week.year(), week: week.week() }
            }
            Unit::Month => Period::Month { year: self.day.year(), month: self.day.month() },
            Unit::Year => Period::Year(self.day.year()),
        }
    }
}

#[cfg(test)]
mod tests {
    use jiff::civil::time;
    use proptest::prelude::*;

    use super::*;

    fn key(zone: &str, day_starts: Time, at: &str, unit: Unit) -> String {
        let time_zone = TimeZone::get(zone).unwrap();
        let calendar = Calendar { time_zone: &time_zone, day_starts };
        calendar.moment(at.parse().unwrap()).period(unit).to_string()
    }

    fn utc(at: &str, unit: Unit) -> String {
        key("UTC", Time::midnight(), at, unit)
    }

    #[test]
    fn periods_are_those_of_the_zone() {
        let at = "2026-12-31T23:30:00Z";
        assert_eq!(utc(at, Unit::Year), "2026");
        let berlin = Unit::ALL.map(|unit| key("Europe/Berlin", Time::midnight(), at, unit));
        assert_eq!(berlin, ["2027-01-01 00:00+01", "2027-01-01", "2026-W53", "2027-01", "2027"]);
    }

    #[test]
    fn iso_week_does_not_break_at_new_year() {
        assert_eq!(utc("2026-12-27T23:59:59Z", Unit::Week), "2026-W52");
        for day in ["2026-12-28", "2026-12-31", "2027-01-01", "2027-01-03"] {
            assert_eq!(utc(&format!("{day}T12:00:00Z"), Unit::Week), "2026-W53", "{day}");
        }
        assert_eq!(utc("2027-01-04T00:00:00Z", Unit::Week), "2027-W01");
    }

    #[test]
    fn day_starts_moves_days_weeks_months_and_years() {
        let two = time(2, 0, 0, 0);
        let early = Unit::ALL.map(|unit| key("UTC", two, "2027-01-01T01:59:59Z", unit));
        assert_eq!(early, ["2027-01-01 01:00+00", "2026-12-31", "2026-W53", "2026-12", "2026"]);
        assert_eq!(key("UTC", two, "2027-01-01T02:00:00Z", Unit::Day), "2027-01-01");
        assert_eq!(key("UTC", two, "2027-01-04T01:00:00Z", Unit::Week), "2026-W53");
    }

    #[test]
    fn hour_shown_twice_is_two_hours() {
        let first = key("Europe/Berlin", Time::midnight(), "2026-10-25T00:30:00Z", Unit::Hour);
        let second = key("Europe/Berlin", Time::midnight(), "2026-10-25T01:30:00Z", Unit::Hour);
        assert_eq!([first.as_str(), second.as_str()], ["2026-10-25 02:00+02", "2026-10-25 02:00+01"]);
    }

    #[test]
    fn days_of_23_and_25_hours_are_days() {
        for (day, hours) in [("2026-03-29", 23), ("2026-10-25", 25)] {
            let zone = TimeZone::get("Europe/Berlin").unwrap();
            let calendar = Calendar { time_zone: &zone, day_starts: Time::midnight() };
            let date: Date = day.parse().unwrap();
            let begin = calendar.begin(date).unwrap().as_second();
            let in_day = (begin - 7200..begin + 100_000)
                .step_by(600)
                .filter(|&at| calendar.moment(Timestamp::from_second(at).unwrap()).day == date)
                .count();
            assert_eq!(in_day, hours * 6, "{day}");
        }
    }

    #[test]
    fn day_that_begins_in_the_hour_shown_twice_begins_once() {
        let starts = time(2, 30, 0, 0);
        let day = |at| key("Europe/Berlin", starts, at, Unit::Day);
        assert_eq!(day("2026-10-25T00:29:00Z"), "2026-10-24");
        assert_eq!(day("2026-10-25T00:31:00Z"), "2026-10-25");
        // 02:05 again, before 02:30 on the clock: the day has begun all the same.
        assert_eq!(day("2026-10-25T01:05:00Z"), "2026-10-25");
        // Where the clock jumps over 02:30, the day begins an hour's gap later.
        assert_eq!(day("2026-03-29T01:29:00Z"), "2026-03-28");
        assert_eq!(day("2026-03-29T01:30:00Z"), "2026-03-29");
    }

    fn order(period: &Period) -> (i64, i64) {
        match *period {
            Period::Hour { date, hour, offset } => {
                let start = offset.to_timestamp(date.at(hour, 0, 0, 0)).unwrap();
                (start.as_second(), 0)
            }
            Period::Day(date) => (i64::from(date.year()), i64::from(date.day_of_year())),
            Period::Week { year, week } => (i64::from(year), i64::from(week)),
            Period::Month { year, month } => (i64::from(year), i64::from(month)),
            Period::Year(year) => (i64::from(year), 0),
        }
    }

    proptest! {
        #[test]
        fn periods_never_run_backwards(
            // St John's changed its clocks at 00:01, Lord Howe by half an hour.
            zone in prop::sample::select(vec!["Europe/Berlin", "America/St_Johns", "Australia/Lord_Howe", "America/Sao_Paulo", "UTC"]),
            starts in (0_i8..24, 0_i8..60),
            first in 0_i64..4_000_000_000,
            step in 0_i64..7200,
        ) {
            let time_zone = TimeZone::get(zone).unwrap();
            let calendar = Calendar { time_zone: &time_zone, day_starts: time(starts.0, starts.1, 0, 0) };
            // Look where it matters: around the next change of the clocks.
            let first = Timestamp::from_second(first).unwrap();
            let near = time_zone.following(first).next().map_or(first, |change| change.timestamp()).as_second();
            for base in (near - 90_000..near + 90_000).step_by(1800) {
                let [a, b] = [base, base + step].map(|at| calendar.moment(Timestamp::from_second(at).unwrap()));
                for unit in Unit::ALL {
                    if unit == Unit::Hour && zone == "Australia/Lord_Howe" {
                        continue; // hours of half an hour have no common start
                    }
                    prop_assert!(order(&a.period(unit)) <= order(&b.period(unit)), "{base} {step} {a:?} {b:?}");
                }
            }
        }

        #[test]
        fn ends_of_the_calendar_do_not_panic(at in prop::sample::select(vec![Timestamp::MIN, Timestamp::MAX]), hour in 0_i8..24) {
            for zone in ["Pacific/Kiritimati", "Pacific/Pago_Pago"] {
                let time_zone = TimeZone::get(zone).unwrap();
                let moment = Calendar { time_zone: &time_zone, day_starts: time(hour, 0, 0, 0) }.moment(at);
                for unit in Unit::ALL {
                    prop_assert_eq!(moment.period(unit).unit(), unit);
                }
            }
        }
    }
}

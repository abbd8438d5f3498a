//! Which archive is full, which is weekly, and which is nightly: decided from those there are.
//!
//! Three tiers lie on the calendar that retention keeps anyway: a full archive now and then, weekly ones that differ
//! from it, nightly ones that differ from the newest of these. So no more than three archives are ever needed to
//! restore, and a night that is kept for a year holds two others with it.

use std::fmt;
use std::time::Duration;

use jiff::Timestamp;

use crate::name::{ArchiveId, Level};
use crate::units::format_duration;

/// Longer chains are not begun. (The format allows no longer ones.)
pub const MAX_CHAIN: usize = 31;

/// When which kind of archive is written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tiers {
    /// A full one at least so often.
    pub full_every: Duration,
    /// A weekly one so often; `None`: never.
    pub weekly_every: Option<Duration>,
    /// What nightly ones build on.
    pub nightly_on: NightlyOn,
    /// The next archive is a full one when a differential one has more percent of its full one than this.
    pub max_share: u32,
}

impl Default for Tiers {
    fn default() -> Self {
        Self {
            full_every: Duration::from_hours(28 * 24),
            weekly_every: Some(Duration::from_hours(7 * 24)),
            nightly_on: NightlyOn::Weekly,
            max_share: 33,
        }
    }
}

/// What nightly archives build on.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum NightlyOn {
    /// The newest weekly or full one: larger, and few are needed to restore.
    #[default]
    Weekly,
    /// The archive before, whatever it is: small, and all since the last full one are needed to restore.
    Previous,
}

/// An archive that is there already.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Earlier {
    /// Which.
    pub id: ArchiveId,
    /// Its tier.
    pub level: Level,
    /// What it needs, the full one first.
    pub chain: Vec<ArchiveId>,
    /// Its stored size.
    pub bytes: u64,
    /// That of its full one; its own, if it is one.
    pub full_bytes: u64,
    /// Why no archive may build on it, in words.
    pub unusable: Option<String>,
}

/// What the next archive is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Next {
    /// Everything.
    Full(Because),
    /// What differs from another one.
    On {
        /// From which.
        base: ArchiveId,
        /// As what.
        level: Level,
    },
}

/// Why an archive is a full one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Because {
    /// There is none to build on.
    First,
    /// The last one is so old.
    Age(Duration),
    /// The last differential one was large.
    Share {
        /// Percent of its full one.
        share: u128,
        /// How many it may have.
        max: u32,
    },
    /// The last full one cannot be built upon.
    Unusable(String),
}

impl fmt::Display for Because {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::First => f.write_str("there is no full archive to build on"),
            Self::Age(age) => write!(f, "the last full archive is {} old", format_duration(*age)),
            Self::Share { share, max } => {
                write!(
                    f,
                    "the last differential archive has {share} % of the size of its full one, max-share is {max} %"
                )
            }
            Self::Unusable(why) => f.write_str(why),
        }
    }
}

/// Decides what the archive `id` is. `earlier` are all of its site and series, in any order.
///
/// Nights do not begin at the same second: what is due within the next hours is due now.
#[must_use]
pub fn next(earlier: &[Earlier], id: &ArchiveId, tiers: &Tiers) -> Next {
    // Those dated later were written by a clock that was wrong, or this one is.
    let older = || earlier.iter().filter(|one| one.id.stamp() < id.stamp());
    let newest = |a: &&Earlier, b: &&Earlier| a.id.stamp().cmp(&b.id.stamp());
    let Some(full) = older().filter(|one| one.level == Level::Full).max_by(newest) else {
        return Next::Full(Because::First);
    };
    if let Some(why) = &full.unusable {
        return Next::Full(Because::Unusable(why.clone()));
    }
    if is_due(full, id.stamp(), tiers.full_every) {
        let hours = id.stamp().duration_since(full.id.stamp()).unsigned_abs().as_secs() / 3600;
        return Next::Full(Because::Age(Duration::from_hours(hours)));
    }
    let of_full = || older().filter(|one| one.chain.first() == Some(&full.id));
    if let Some(last) = of_full().max_by(newest) {
        let share = u128::from(last.bytes) * 100 / u128::from(last.full_bytes.max(1));
        if share > u128::from(tiers.max_share) {
            return Next::Full(Because::Share { share, max: tiers.max_share });
        }
    }
    let usable = |one: &&Earlier| one.unusable.is_none() && one.chain.len() < MAX_CHAIN;
    let is_weekly = |one: &&Earlier| one.level == Level::Weekly && one.chain.len() == 1;
    let weekly = of_full().filter(is_weekly).filter(usable).max_by(newest).unwrap_or(full);
    if tiers.weekly_every.is_some_and(|every| is_due(weekly, id.stamp(), every)) {
        return Next::On { base: full.id.clone(), level: Level::Weekly };
    }
    let base = match tiers.nightly_on {
        NightlyOn::Weekly => weekly,
        NightlyOn::Previous => of_full().filter(usable).max_by(newest).unwrap_or(full),
    };
    Next::On { base: base.id.clone(), level: Level::Nightly }
}

fn is_due(last: &Earlier, now: Timestamp, every: Duration) -> bool {
    let early = (every / 8).min(Duration::from_hours(6));
    now.duration_since(last.id.stamp()).unsigned_abs() + early >= every
}

#[cfg(test)]
mod tests {
    use jiff::SignedDuration;
    use proptest::prelude::*;

    use super::*;

    const HOURS: i64 = 3600;

    fn at(hours: i64) -> ArchiveId {
        let start: Timestamp = "2026-01-01T01:00:00Z".parse().unwrap();
        ArchiveId::new("XYZ".parse().unwrap(), start + SignedDuration::from_secs(hours * HOURS))
    }

    fn one(hours: i64, level: Level, chain: &[i64], bytes: u64) -> Earlier {
        let chain = chain.iter().map(|&hours| at(hours)).collect();
        Earlier { id: at(hours), level, chain, bytes, full_bytes: 1000, unusable: None }
    }

    fn on(hours: i64, level: Level) -> Next {
        Next::On { base: at(hours), level }
    }

    const DAY: i64 = 24;

    #[test]
    fn tiers_follow_each_other() {
        let tiers = Tiers::default();
        let mut all = vec![];
        assert_eq!(next(&all, &at(0), &tiers), Next::Full(Because::First));
        all.push(one(0, Level::Full, &[], 1000));
        assert_eq!(next(&all, &at(DAY), &tiers), on(0, Level::Nightly));
        all.push(one(DAY, Level::Nightly, &[0], 50));
        assert_eq!(next(&all, &at(2 * DAY), &tiers), on(0, Level::Nightly));
        let previous = Tiers { nightly_on: NightlyOn::Previous, ..tiers.clone() };
        assert_eq!(next(&all, &at(2 * DAY), &previous), on(DAY, Level::Nightly));
        // A night that begins a little earlier than a week ago.
        assert_eq!(next(&all, &at(7 * DAY - 4), &tiers), on(0, Level::Weekly));
        assert_eq!(next(&all, &at(7 * DAY - 7), &tiers), on(0, Level::Nightly));
        all.push(one(7 * DAY, Level::Weekly, &[0], 150));
        assert_eq!(next(&all, &at(8 * DAY), &tiers), on(7 * DAY, Level::Nightly));
        assert_eq!(next(&all, &at(14 * DAY), &tiers), on(0, Level::Weekly));
        let never = Tiers { weekly_every: None, ..tiers.clone() };
        assert_eq!(next(&all, &at(20 * DAY), &never), on(7 * DAY, Level::Nightly));
        assert_eq!(next(&all[..2], &at(20 * DAY), &never), on(0, Level::Nightly));
        let age = Duration::from_hours(28 * 24);
        assert_eq!(next(&all, &at(28 * DAY), &tiers), Next::Full(Because::Age(age)));
    }

    #[test]
    fn large_difference_makes_the_next_archive_a_full_one_once() {
        let tiers = Tiers::default();
        let mut all = vec![one(0, Level::Full, &[], 1000), one(DAY, Level::Nightly, &[0], 340)];
        let full = next(&all, &at(2 * DAY), &tiers);
        assert_eq!(full, Next::Full(Because::Share { share: 34, max: 33 }));
        all.push(one(2 * DAY, Level::Full, &[], 1000));
        assert_eq!(next(&all, &at(3 * DAY), &tiers), on(2 * DAY, Level::Nightly));
        all[1].bytes = 330;
        assert_eq!(next(&all[..2], &at(2 * DAY), &tiers), on(0, Level::Nightly));
    }

    #[test]
    fn what_cannot_be_built_upon_is_passed_over() {
        let tiers = Tiers::default();
        let mut all = vec![one(0, Level::Full, &[], 1000), one(7 * DAY, Level::Weekly, &[0], 100)];
        all[1].unusable = Some("vault lacks it".into());
        assert_eq!(next(&all, &at(6 * DAY), &tiers), on(0, Level::Nightly));
        assert_eq!(next(&all, &at(8 * DAY), &tiers), on(0, Level::Weekly));
        all[0].unusable = Some("vault does not have it".into());
        let words = "vault does not have it".to_owned();
        assert_eq!(next(&all, &at(8 * DAY), &tiers), Next::Full(Because::Unusable(words)));
    }

    #[test]
    fn reasons_are_sentences() {
        for (because, words) in [
            (Because::First, "there is no full archive to build on"),
            (Because::Age(Duration::from_hours(672)), "the last full archive is 28 days old"),
            (
                Because::Share { share: 41, max: 33 },
                "the last differential archive has 41 % of the size of its full one, max-share is 33 %",
            ),
        ] {
            assert_eq!(because.to_string(), words);
        }
    }

    proptest! {
        #[test]
        fn any_nights_give_chains_that_can_be_restored(
            nights in proptest::collection::vec((12_i64..60, 0_u64..500, 0_u8..12), 1..80),
            previous in any::<bool>(),
            weekly in proptest::option::of(2_u64..14),
        ) {
            let tiers = Tiers {
                nightly_on: if previous { NightlyOn::Previous } else { NightlyOn::Weekly },
                weekly_every: weekly.map(|days| Duration::from_hours(24 * days)),
                ..Tiers::default()
            };
            let mut all: Vec<Earlier> = vec![];
            let mut now = 0;
            for (hours, bytes, luck) in nights {
                now += hours;
                // Now and then one is lost, or a clock is wrong.
                if luck == 0 && !all.is_empty() {
                    let lost = usize::try_from(bytes).unwrap() % all.len();
                    all[lost].unusable = Some("lost".into());
                }
                let id = at(if luck == 1 { now + 2000 } else { now });
                if all.iter().any(|one| one.id == id) {
                    continue;
                }
                let archive = match next(&all, &id, &tiers) {
                    Next::Full(_) => Earlier { id, level: Level::Full, chain: vec![], bytes: 1000, full_bytes: 1000, unusable: None },
                    Next::On { base, level } => {
                        let base = all.iter().find(|one| one.id == base).unwrap();
                        prop_assert!(base.unusable.is_none() && base.id.stamp() < id.stamp());
                        let mut chain = base.chain.clone();
                        chain.push(base.id.clone());
                        let most = if previous { MAX_CHAIN } else { 2 };
                        prop_assert!(chain.len() <= most);
                        prop_assert!(level != Level::Weekly || chain.len() == 1);
                        let age = id.stamp().duration_since(chain[0].stamp()).unsigned_abs();
                        prop_assert!(age < tiers.full_every);
                        Earlier { id, level, chain, bytes, full_bytes: 1000, unusable: None }
                    }
                };
                all.push(archive);
            }
        }
    }
}

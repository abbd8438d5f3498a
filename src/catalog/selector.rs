//! Which archive a command means: an id, `latest`, a day.

use std::collections::BTreeSet;

use jiff::Timestamp;
use jiff::civil::Date;

use super::Known;
use crate::name::{ArchiveId, SiteCode};
use crate::retention::plan::{Condition, is_future};

/// Which archive somebody means.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Selector {
    /// `XYZ-20261122T235900Z`
    Id(ArchiveId),
    /// `latest`, `latest~2`: so many before the newest.
    Latest(usize),
    /// `latest-good`: the newest whose databases passed their checks.
    LatestGood,
    /// `XYZ@2026-11-20`: the newest of the site that is not after the day (UTC).
    NotAfter(SiteCode, Date),
    /// `XYZ`: the newest of the site.
    LatestOf(SiteCode),
    /// `XYZ-2026112`: the beginning of one id, in any case.
    Beginning(String),
}

impl std::str::FromStr for Selector {
    type Err = SelectorError;

    fn from_str(text: &str) -> Result<Self, SelectorError> {
        let fault = || SelectorError::Form(text.to_owned());
        let lower = text.to_ascii_lowercase();
        match lower.as_str() {
            "latest" => return Ok(Self::Latest(0)),
            "latest-good" => return Ok(Self::LatestGood),
            _ => {}
        }
        if let Some(back) = lower.strip_prefix("latest~") {
            return back.parse().map(Self::Latest).map_err(|_| fault());
        }
        if let Some((site, day)) = text.split_once('@') {
            let site = site.parse().map_err(|_| fault())?;
            if day.eq_ignore_ascii_case("latest") {
                return Ok(Self::LatestOf(site));
            }
            return day.parse().map(|day| Self::NotAfter(site, day)).map_err(|_| fault());
        }
        if let Ok(id) = text.parse() {
            return Ok(Self::Id(id));
        }
        // An id begins with its site, and goes on with its time or the name of its series.
        let (site, rest) = text.split_at_checked(3).ok_or_else(fault)?;
        let site: SiteCode = site.parse().map_err(|_| fault())?;
        match rest.chars().next() {
            None => Ok(Self::LatestOf(site)),
            Some('-' | '.') if rest.chars().all(|c| c.is_ascii_alphanumeric() || "-._".contains(c)) => {
                Ok(Self::Beginning(text.to_owned()))
            }
            Some(_) => Err(fault()),
        }
    }
}

impl Selector {
    /// Does it name an archive by its id, whatever kind of source made it?
    #[must_use]
    pub fn is_by_id(&self) -> bool {
        matches!(self, Self::Id(_) | Self::Beginning(_))
    }

    /// The archive that is meant.
    ///
    /// What is dated in the future was made while a clock was wrong, and is never the newest of anything: only its id
    /// selects it. [`Chosen::passed_over`] names what was not considered for that reason.
    ///
    /// # Errors
    /// When there is none, or several sites are there and the selector does not say which.
    pub fn choose(&self, known: &Known<'_>, now: Timestamp) -> Result<Chosen, SelectorError> {
        if let Self::Id(id) = self {
            let found = known.contains_key(id).then(|| Chosen::of(id));
            return found.ok_or_else(|| SelectorError::Missing(id.to_string()));
        }
        if let Self::Beginning(text) = self {
            let text = text.to_ascii_lowercase();
            let begins = |id: &&&ArchiveId| id.to_string().to_ascii_lowercase().starts_with(&text);
            let found: Vec<&&ArchiveId> = known.keys().filter(begins).collect();
            return match found.as_slice() {
                [] => Err(SelectorError::Missing(self.to_string())),
                [one] => Ok(Chosen::of(one)),
                several => Err(SelectorError::Several {
                    beginning: self.to_string(),
                    count: several.len(),
                    first: several.iter().take(3).map(|id| (***id).clone()).collect(),
                }),
            };
        }
        // Relative selectors refer to the site's own archives, and to a separate series where there is nothing else.
        let series = known.keys().map(|id| id.series()).min().flatten();
        let own = known.iter().filter(|(id, _)| id.series() == series).map(|(id, condition)| (*id, *condition));
        let (future, own): (Vec<_>, Vec<_>) = own.partition(|(id, _)| is_future(id.stamp(), now));
        let site = match self {
            Self::NotAfter(site, _) | Self::LatestOf(site) => Some(*site),
            _ => own.first().or(future.first()).map(|(id, _)| id.site()),
        };
        let is_named = matches!(self, Self::NotAfter(..) | Self::LatestOf(_));
        let sites: BTreeSet<SiteCode> = own.iter().chain(&future).map(|(id, _)| id.site()).collect();
        if !is_named && sites.len() > 1 {
            return Err(SelectorError::SeveralSites(sites.into_iter().collect()));
        }
        let newest_first = own.iter().rev().filter(|(id, _)| Some(id.site()) == site);
        let mut unproven = None;
        let chosen = match self {
            Self::Latest(back) => newest_first.map(|(id, _)| id).nth(*back),
            Self::LatestOf(_) => newest_first.map(|(id, _)| id).next(),
            Self::LatestGood => {
                let of = |wanted| newest_first.clone().find(|(_, condition)| *condition == wanted).map(|(id, _)| id);
                let (good, unknown) = (of(Condition::Good), of(Condition::Unknown));
                unproven = unknown.filter(|unknown| good.is_none_or(|good| good < *unknown)).map(|id| (*id).clone());
                good.or(unknown)
            }
            Self::NotAfter(_, day) => {
                newest_first.map(|(id, _)| id).find(|id| jiff::tz::TimeZone::UTC.to_datetime(id.stamp()).date() <= *day)
            }
            Self::Id(_) | Self::Beginning(_) => None,
        };
        let count = own.iter().filter(|(id, _)| Some(id.site()) == site).count();
        let of_site = future.iter().filter(|(id, _)| Some(id.site()) == site);
        let passed_over: Vec<ArchiveId> = of_site.map(|(id, _)| (*id).clone()).collect();
        match chosen {
            Some(&id) => Ok(Chosen { id: id.clone(), passed_over, unproven }),
            None if matches!(self, Self::Latest(back) if *back > 0) && count > 0 => {
                Err(SelectorError::TooFew { selector: self.to_string(), count })
            }
            None if passed_over.is_empty() => Err(SelectorError::Missing(self.to_string())),
            None => Err(SelectorError::OnlyFuture { selector: self.to_string(), future: passed_over }),
        }
    }
}

impl std::fmt::Display for Selector {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Id(id) => write!(f, "{id}"),
            Self::Latest(0) => f.write_str("latest"),
            Self::Latest(back) => write!(f, "latest~{back}"),
            Self::LatestGood => f.write_str("latest-good"),
            Self::NotAfter(site, day) => write!(f, "{site}@{day}"),
            Self::LatestOf(site) => write!(f, "{site}"),
            Self::Beginning(text) => f.write_str(text),
        }
    }
}

/// The archive that a selector stands for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Chosen {
    /// Its id.
    pub id: ArchiveId,
    /// Archives of the site that are dated in the future and were not considered.
    pub passed_over: Vec<ArchiveId>,
    /// The newest archive of which nothing can be proven, where the selector asks for a good one and that is newer than
    /// the newest proven one, or the one that was taken for want of any.
    pub unproven: Option<ArchiveId>,
}

impl Chosen {
    fn of(id: &ArchiveId) -> Self {
        Self { id: id.clone(), passed_over: vec![], unproven: None }
    }
}

/// Why no archive could be chosen.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SelectorError {
    /// Not a selector.
    #[error(
        "'{0}' names no archive: give an id like XYZ-20261122T235900Z, or latest, latest~2, latest-good, XYZ@2026-11-20"
    )]
    Form(String),
    /// There is none.
    #[error("there is no archive '{0}' on these destinations")]
    Missing(String),
    /// There is none but those of the future.
    #[error(
        "there is no archive '{selector}' on these destinations except ones dated in the future, which only their ids select: {}",
        join(future)
    )]
    OnlyFuture {
        /// What was asked for.
        selector: String,
        /// What there is.
        future: Vec<ArchiveId>,
    },
    /// Which site?
    #[error("there are archives of several sites, {}: add --site {}, or give an id", codes(_0), _0.first().map_or_else(String::new, ToString::to_string))]
    SeveralSites(Vec<SiteCode>),
    /// Which of these?
    #[error("{count} archives begin with '{beginning}': {}{}", join(first), if *count > first.len() { ", …" } else { "" })]
    Several {
        /// What was given.
        beginning: String,
        /// How many there are.
        count: usize,
        /// The first of them.
        first: Vec<ArchiveId>,
    },
    /// So many there are not.
    #[error("there is no archive '{selector}': there {} only {count}", if *count == 1 { "is" } else { "are" })]
    TooFew {
        /// What was asked for.
        selector: String,
        /// How many there are.
        count: usize,
    },
}

fn codes(sites: &[SiteCode]) -> String {
    sites.iter().map(ToString::to_string).collect::<Vec<_>>().join(" and ")
}

fn join(ids: &[ArchiveId]) -> String {
    ids.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ids(texts: &[&str]) -> Vec<ArchiveId> {
        texts.iter().map(|text| text.parse().unwrap()).collect()
    }

    fn choose_at(
        now: &str,
        selector: &str,
        archives: &[ArchiveId],
        damaged: &[usize],
    ) -> Result<Chosen, SelectorError> {
        let selector: Selector = selector.parse().unwrap();
        let condition = |number| if damaged.contains(&number) { Condition::Damaged } else { Condition::Good };
        let known = archives.iter().enumerate().map(|(number, id)| (id, condition(number))).collect();
        selector.choose(&known, now.parse().unwrap())
    }

    fn choose(selector: &str, archives: &[ArchiveId], damaged: &[usize]) -> Result<String, SelectorError> {
        choose_at("2026-11-30T00:00:00Z", selector, archives, damaged).map(|chosen| chosen.id.to_string())
    }

    #[test]
    fn what_is_dated_in_the_future_is_selected_by_its_id_only() {
        let archives = ids(&["XYZ-20261120T235900Z", "XYZ-20261121T235900Z", "XYZ-20311122T235900Z"]);
        let future = &archives[2..];
        let at = |selector: &str, archives: &[ArchiveId]| choose_at("2026-11-22T00:00:00Z", selector, archives, &[]);
        for (selector, expected) in
            [("latest", 1), ("latest~1", 0), ("latest-good", 1), ("XYZ@2026-11-21", 1), ("XYZ@2031-12-01", 1)]
        {
            let chosen = at(selector, &archives).unwrap();
            assert_eq!((&chosen.id, chosen.passed_over.as_slice()), (&archives[expected], future), "{selector}");
        }
        let chosen = at("XYZ-20311122T235900Z", &archives).unwrap();
        assert_eq!((&chosen.id, chosen.passed_over.len()), (&archives[2], 0));
        let error = at("latest", future).unwrap_err();
        assert!(matches!(&error, SelectorError::OnlyFuture { future, .. } if future.len() == 1), "{error}");
        assert!(error.to_string().ends_with("XYZ-20311122T235900Z"), "{error}");
        // Clocks of two servers differ by minutes.
        let chosen = choose_at("2031-11-22T23:30:00Z", "latest", &archives, &[]).unwrap();
        assert_eq!(chosen.id, archives[2]);
    }

    #[test]
    fn selectors_name_archives() {
        let archives =
            ids(&["XYZ-20261120T235900Z", "XYZ-20261121T000100Z", "XYZ-20261122T235900Z", "XYZ.Lib-20261123T000000Z"]);
        assert_eq!(choose("latest", &archives, &[]).unwrap(), "XYZ-20261122T235900Z");
        assert_eq!(choose("latest~2", &archives, &[]).unwrap(), "XYZ-20261120T235900Z");
        assert_eq!(choose("latest-good", &archives, &[2]).unwrap(), "XYZ-20261121T000100Z");
        assert_eq!(choose("XYZ@2026-11-20", &archives, &[]).unwrap(), "XYZ-20261120T235900Z");
        assert_eq!(choose("xyz@2026-11-21", &archives, &[]).unwrap(), "XYZ-20261121T000100Z");
        assert_eq!(choose("XYZ.Lib-20261123T000000Z", &archives, &[]).unwrap(), "XYZ.Lib-20261123T000000Z");
    }

    #[test]
    fn names_are_taken_in_any_case_and_by_a_unique_beginning() {
        let archives =
            ids(&["ABC-20261120T235900Z", "XYZ-20261120T235900Z", "XYZ-20261121T235900Z", "XYZ.Lib-20261121T235900Z"]);
        for (selector, expected) in [
            ("xyz-20261121t235900z", 2),
            ("XYZ-20261120T235900", 1),
            ("XYZ-20261121", 2),
            ("xyz.lib-", 3),
            ("abc-", 0),
            ("XYZ", 2),
            ("abc", 0),
            ("xyz@latest", 2),
        ] {
            assert_eq!(choose(selector, &archives, &[]).unwrap(), archives[expected].to_string(), "{selector}");
        }
        assert_eq!(choose("LATEST", &archives[1..3], &[]).unwrap(), archives[2].to_string());
        let error = choose("XYZ-2026", &archives, &[]).unwrap_err();
        let words = "2 archives begin with 'XYZ-2026': XYZ-20261120T235900Z, XYZ-20261121T235900Z";
        assert_eq!(error.to_string(), words);
        assert!(matches!(choose("XYZ-2027", &archives, &[]), Err(SelectorError::Missing(_))));
    }

    #[test]
    fn proven_archive_is_better_than_a_newer_one_of_which_nothing_can_be_proven() {
        use Condition::{Damaged, Good, Unknown};
        let archives = ids(&["XYZ-20261120T235900Z", "XYZ-20261121T235900Z", "XYZ-20261122T235900Z"]);
        let good = |conditions: [Condition; 3]| {
            let known = archives.iter().zip(conditions).collect();
            let chosen = Selector::LatestGood.choose(&known, "2026-11-30T00:00:00Z".parse().unwrap()).unwrap();
            let number = |id: &ArchiveId| archives.iter().position(|other| other == id).unwrap();
            (number(&chosen.id), chosen.unproven.as_ref().map(number))
        };
        assert_eq!(good([Good, Good, Unknown]), (1, Some(2)));
        assert_eq!(good([Good, Unknown, Damaged]), (0, Some(1)));
        assert_eq!(good([Unknown, Good, Damaged]), (1, None));
        assert_eq!(good([Unknown, Unknown, Damaged]), (1, Some(1)), "there is nothing better");
    }

    #[test]
    fn what_is_not_there_is_said() {
        let archives = ids(&["XYZ-20261120T235900Z"]);
        let error = choose("latest~1", &archives, &[]).unwrap_err();
        assert_eq!(error.to_string(), "there is no archive 'latest~1': there is only 1");
        assert!(matches!(choose("latest-good", &archives, &[0]), Err(SelectorError::Missing(_))));
        assert!(matches!(choose("XYZ@2026-11-19", &archives, &[]), Err(SelectorError::Missing(_))));
        let two = ids(&["ABC-20261120T235900Z", "XYZ-20261120T235900Z"]);
        let error = choose("latest", &two, &[]).unwrap_err();
        let words = "there are archives of several sites, ABC and XYZ: add --site ABC, or give an id";
        assert_eq!(error.to_string(), words);
        assert_eq!(choose("ABC@2026-11-20", &two, &[]).unwrap(), "ABC-20261120T235900Z");
        for text in [
            "",
            "newest",
            "XY",
            "XYZZ",
            "XYZ-ä",
            "XYZ/20261120T235900Z",
            "latest~",
            "latest~x",
            "XYZ@",
            "XYZ@yesterday",
            "@2026-11-20",
        ] {
            assert!(text.parse::<Selector>().is_err(), "{text:?}");
        }
    }
}

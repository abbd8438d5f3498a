//! What the name of a backup file says.
//!
//! Ola Hallengren's scripts name files
//! `SERVER$INST_CM_XXX_FULL_yyyymmdd_hhmmss.bak`, `…_DIFF_….bak`, `…_LOG_….trn`, with `_COPY_ONLY` behind the type, and
//! `_1` to `_64` behind the time when a backup is striped over several files. In an availability group `SERVER$INST` is
//! `CLUSTER$GROUP`. Servers, instances and clusters may have `_` in their names, so names are read from their end.
//!
//! A `PARTIAL` backup is not of the whole database; it counts as a foreign file.

use jiff::civil::{Date, DateTime, Time};

use crate::name::SiteCode;

/// What was backed up.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum BackupKind {
    /// The whole database.
    Full,
    /// The whole database, beside the sequence of the others: no `DIFF` is ever based on it.
    FullCopyOnly,
    /// What changed in the database since the last [`Full`](Self::Full).
    Diff,
    /// The transaction log since the log backup before.
    Log,
    /// The transaction log, beside the sequence of the others.
    LogCopyOnly,
}

impl BackupKind {
    /// As the names of files and folders have it.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Full => "FULL",
            Self::FullCopyOnly => "FULL_COPY_ONLY",
            Self::Diff => "DIFF",
            Self::Log => "LOG",
            Self::LogCopyOnly => "LOG_COPY_ONLY",
        }
    }

    /// Is it of the transaction log?
    #[must_use]
    pub fn is_log(self) -> bool {
        matches!(self, Self::Log | Self::LogCopyOnly)
    }

    /// All there are.
    pub(super) const ALL: [Self; 5] = [Self::Full, Self::FullCopyOnly, Self::Diff, Self::Log, Self::LogCopyOnly];
}

/// The parts of a backup file's name.
///
/// ```
/// use afterbackup::source::sql_backups::{BackupKind, BackupName};
///
/// let name = BackupName::parse("SQL_01$CM_INST_CM_P01_FULL_20261122_220000_2.bak").unwrap();
/// assert_eq!(name.server, "SQL_01$CM_INST");
/// assert_eq!(name.site.as_str(), "P01");
/// assert_eq!(name.kind, BackupKind::Full);
/// assert_eq!(name.started.to_string(), "2026-11-22T22:00:00");
/// assert_eq!(name.stripe, Some(2));
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BackupName<'a> {
    /// Server and instance, or cluster and availability group.
    pub server: &'a str,
    /// The site whose database it is: `P01` of `CM_P01`.
    pub site: SiteCode,
    /// What was backed up.
    pub kind: BackupKind,
    /// When the backup was started, by the local time of that server: good for nothing but the order.
    pub started: DateTime,
    /// The number behind the time: which of several files of one backup.
    pub stripe: Option<u32>,
}

impl<'a> BackupName<'a> {
    /// Reads a file name; `None` if it is not one of a site database's backup.
    #[must_use]
    pub fn parse(name: &'a str) -> Option<Self> {
        let (stem, extension) = name.rsplit_once('.')?;
        let (rest, last) = stem.rsplit_once('_')?;
        let (rest, clock, stripe) = match last.len() {
            1..=3 => {
                let (rest, clock) = rest.rsplit_once('_')?;
                let number: u32 = digits(last)?;
                (number > 0).then_some((rest, clock, Some(number)))?
            }
            _ => (rest, last, None),
        };
        let (rest, date) = rest.rsplit_once('_')?;
        let started = DateTime::from_parts(parse_date(date)?, parse_time(clock)?);
        // No type ends in another one, so their order does not matter.
        let (rest, kind) = BackupKind::ALL.into_iter().find_map(|kind| Some((strip_word(rest, kind.name())?, kind)))?;
        let wanted = if kind.is_log() { "trn" } else { "bak" };
        let (rest, code) = rest.rsplit_once('_')?;
        let server = strip_word(rest, "CM")?;
        let usable = extension.eq_ignore_ascii_case(wanted) && !server.is_empty();
        usable.then_some(Self { server, site: code.parse().ok()?, kind, started, stripe })
    }
}

/// The site whose database has this name: `CM_P01`, of older versions `SMS_P01`, in any case.
#[must_use]
pub fn site_of_database(name: &str) -> Option<SiteCode> {
    let (prefix, code) = name.split_once('_')?;
    ["CM", "SMS"].iter().any(|own| prefix.eq_ignore_ascii_case(own)).then(|| code.parse().ok()).flatten()
}

/// What stands before `_WORD` at the end.
fn strip_word<'a>(text: &'a str, word: &str) -> Option<&'a str> {
    let (before, found) = text.split_at_checked(text.len().checked_sub(word.len())?)?;
    found.eq_ignore_ascii_case(word).then(|| before.strip_suffix('_')).flatten()
}

/// A date and time anywhere in a name, as `20261122_220000`: the maintenance scripts always write it so.
pub(super) fn date_in(name: &str) -> Option<DateTime> {
    name.match_indices('_').find_map(|(at, _)| {
        let date = name.get(at.checked_sub(8)?..at)?;
        let time = name.get(at + 1..at + 7)?;
        Some(DateTime::from_parts(parse_date(date)?, parse_time(time)?))
    })
}

/// `parse` alone takes a sign as well.
fn digits<T: std::str::FromStr>(text: &str) -> Option<T> {
    text.bytes().all(|byte| byte.is_ascii_digit()).then(|| text.parse().ok()).flatten()
}

fn parse_date(text: &str) -> Option<Date> {
    (text.len() == 8 && text.is_ascii()).then_some(())?;
    Date::new(digits(text.get(..4)?)?, digits(text.get(4..6)?)?, digits(text.get(6..)?)?).ok()
}

fn parse_time(text: &str) -> Option<Time> {
    (text.len() == 6 && text.is_ascii()).then_some(())?;
    Time::new(digits(text.get(..2)?)?, digits(text.get(2..4)?)?, digits(text.get(4..)?)?, 0).ok()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn told(name: &str) -> Option<String> {
        let name = BackupName::parse(name)?;
        let stripe = name.stripe.map(|number| format!(" #{number}")).unwrap_or_default();
        Some(format!("{} {} {} {}{stripe}", name.server, name.site, name.kind.name(), name.started))
    }

    #[test]
    fn names_of_all_kinds_are_read() {
        for (name, expected) in [
            ("SQL01_CM_P01_FULL_20261122_220000.bak", "SQL01 P01 FULL 2026-11-22T22:00:00"),
            ("SQL01$INST_CM_P01_DIFF_20261122_220000.bak", "SQL01$INST P01 DIFF 2026-11-22T22:00:00"),
            ("SQL01$INST_CM_P01_LOG_20261122_221500.trn", "SQL01$INST P01 LOG 2026-11-22T22:15:00"),
            ("S_CM_P01_FULL_COPY_ONLY_20261122_220000_12.bak", "S P01 FULL_COPY_ONLY 2026-11-22T22:00:00 #12"),
            ("S_CM_P01_LOG_COPY_ONLY_20261122_220000.trn", "S P01 LOG_COPY_ONLY 2026-11-22T22:00:00"),
            (
                "my_sql_01$an_inst_CM_P01_FULL_20261122_220000_1.BAK",
                "my_sql_01$an_inst P01 FULL 2026-11-22T22:00:00 #1",
            ),
            ("CM_P02_FULL_cm_p01_full_20261122_220000.bak", "CM_P02_FULL P01 FULL 2026-11-22T22:00:00"),
            ("CLU$CM_AG_CM_007_DIFF_20240229_235959.bak", "CLU$CM_AG 007 DIFF 2024-02-29T23:59:59"),
        ] {
            assert_eq!(told(name).as_deref(), Some(expected), "{name}");
        }
    }

    #[test]
    fn other_names_are_foreign() {
        for name in [
            "",
            ".bak",
            "SQL01_CM_P01_FULL_20261122_220000",
            "SQL01_CM_P01_FULL_20261122_220000.trn",
            "SQL01_CM_P01_LOG_20261122_220000.bak",
            "SQL01_CM_P01_FULL_20261122_220000.bak.tmp",
            "CM_P01_FULL_20261122_220000.bak",
            "_CM_P01_FULL_20261122_220000.bak",
            "SQL01_CM_P01_FULL_PARTIAL_20261122_220000.bak",
            "SQL01_CM_P01_COPY_ONLY_20261122_220000.bak",
            "SQL01_CM_P011_FULL_20261122_220000.bak",
            "SQL01_SUSDB_FULL_20261122_220000.bak",
            "SQL01_CM_P01_FULL_20260230_220000.bak",
            "SQL01_CM_P01_FULL_20261122_240000.bak",
            "SQL01_CM_P01_FULL_20261122_220000_0.bak",
            "SQL01_CM_P01_FULL_20261122_220000_+1.bak",
            "SQL01_CM_P01_FULL_20261122_220000_1000.bak",
            "SQL01_CM_P01_FULL_2026112_2220000.bak",
            "SQL01_CM_P01_FULL_20261122_2\u{e9}000.bak",
        ] {
            assert_eq!(told(name), None, "{name}");
        }
    }

    #[test]
    fn names_of_databases_are_judged() {
        assert_eq!(site_of_database("cm_p01").unwrap().as_str(), "P01");
        for name in ["", "CM_", "CM_P0", "CM_P012", "CM-P01", "XCM_P01", "CM_\u{e9}1", "\u{e9}\u{e9}P01"] {
            assert_eq!(site_of_database(name), None, "{name}");
        }
    }

    proptest! {
        /// Whatever the server is called, the parts of a name are read back.
        #[test]
        fn name_that_was_made_is_read_back(
            server in "[A-Za-z0-9_$-]{1,24}",
            code in "[A-Z0-9]{3}",
            kind in prop::sample::select(BackupKind::ALL.to_vec()),
            (year, month, day) in (1990_i16..2100, 1_i8..13, 1_i8..29),
            (hour, minute, second) in (0_i8..24, 0_i8..60, 0_i8..60),
            stripe in prop::option::of(1_u32..65),
        ) {
            let Ok(site) = code.parse::<SiteCode>() else { return Ok(()) };
            let extension = if kind.is_log() { "trn" } else { "bak" };
            let number = stripe.map(|number| format!("_{number}")).unwrap_or_default();
            let name = format!(
                "{server}_CM_{code}_{}_{year:04}{month:02}{day:02}_{hour:02}{minute:02}{second:02}{number}.{extension}",
                kind.name()
            );
            let started = jiff::civil::date(year, month, day).at(hour, minute, second, 0);
            prop_assert_eq!(BackupName::parse(&name), Some(BackupName { server: &server, site, kind, started, stripe }));
        }

        #[test]
        fn no_name_makes_a_panic(text in any::<String>(), near in "[A-Z$_]{0,8}_CM_[A-Z0-9\u{e9}]{2,3}_(FULL|LOG|DIFF)?_[0-9\u{e9}]{7,9}_[0-9]{5,7}(_[0-9]{0,4})?\\.(bak|trn)") {
            for name in [text, near] {
                if let Some(parsed) = BackupName::parse(&name) {
                    prop_assert!(name.starts_with(parsed.server));
                }
            }
        }
    }
}

//! Whether something overdue is news: told at once, again when more is wrong, and once a day while it lasts.

use std::mem::{Discriminant, discriminant};

use jiff::{SignedDuration, Timestamp};

use super::overdue::{Reason, Verdict};
use crate::name::SiteCode;

/// After so long it is told again.
const AGAIN: SignedDuration = SignedDuration::from_hours(24);

/// What has been told of overdue backups, and when.
#[derive(Debug, Clone, Default)]
pub struct Reminder {
    told: Option<(Timestamp, Vec<Told>)>,
}

/// A reason of a site, without its figures, which change all the time.
type Told = (Option<SiteCode>, Discriminant<Reason>);

impl Reminder {
    /// Is it time to tell this? Then it counts as told.
    pub(crate) fn is_news<'v>(&mut self, verdicts: impl IntoIterator<Item = &'v Verdict>, now: Timestamp) -> bool {
        let reasons = verdicts.into_iter().flat_map(|verdict| verdict.reasons.iter().map(|r| (verdict.site, r)));
        let wrong: Vec<Told> = reasons.map(|(site, reason)| (site, discriminant(reason))).collect();
        if wrong.is_empty() {
            self.told = None;
            return false;
        }
        if let Some((at, known)) = &mut self.told
            && now.duration_since(*at).abs() < AGAIN
            && wrong.iter().all(|one| known.contains(one))
        {
            return false;
        }
        self.told = Some((now, wrong));
        true
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn hour(number: i64) -> Timestamp {
        Timestamp::from_second(1_800_000_000 + 3600 * number).unwrap()
    }

    fn old(hours: u64) -> Reason {
        let (age, limit) = (Duration::from_hours(hours), Duration::from_hours(1));
        Reason::Old { newest: hour(0), age, limit }
    }

    fn verdict(reasons: Vec<Reason>) -> [Verdict; 1] {
        [Verdict { site: "XYZ".parse().ok(), reasons, newest: None, due: None, future: 0 }]
    }

    #[test]
    fn the_same_is_told_once_a_day_and_more_at_once() {
        let mut reminder = Reminder::default();
        assert!(!reminder.is_news(&verdict(vec![]), hour(0)));
        assert!(reminder.is_news(&verdict(vec![old(2)]), hour(1)));
        assert!(!reminder.is_news(&verdict(vec![old(3)]), hour(2)));
        let failed = Reason::TaskFailed { id: None, at: None };
        assert!(reminder.is_news(&verdict(vec![old(4), failed.clone()]), hour(3)));
        assert!(!reminder.is_news(&verdict(vec![failed.clone()]), hour(26)));
        assert!(reminder.is_news(&verdict(vec![failed.clone()]), hour(27)));
        // The clock was set back by more than a day.
        assert!(reminder.is_news(&verdict(vec![failed.clone()]), hour(-27)));
        // What was well in between is news again.
        assert!(!reminder.is_news(&verdict(vec![]), hour(-26)));
        assert!(reminder.is_news(&verdict(vec![failed]), hour(-25)));
    }
}

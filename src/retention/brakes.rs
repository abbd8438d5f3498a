//! The brakes: reasons not to carry out a plan, however right it is by the rules.
//!
//! A plan is as good as what it was made from. A slip in the configuration or a listing that came back short must not
//! end in deletions, so everything that deletes asks [`check`] first. Refusing costs some disk space and a line in the
//! report. (A destination that did not get this run's archive is not pruned at all: see `engine::prune`.)

use std::collections::{HashMap, HashSet};

use jiff::Timestamp;

use crate::name::ArchiveId;
use crate::retention::plan::{Condition, Decision, Plan};
use crate::retention::policy::Policy;

/// Why a plan is not carried out.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// The policy would remove everything it can.
    #[error("the retention policy has no rules")]
    EmptyPolicy,
    /// More than usual.
    #[error("{remove} archives would be removed, and max-remove allows {max} in one run")]
    TooMany {
        /// How many are to go.
        remove: usize,
        /// How many may.
        max: u32,
    },
    /// Promised to stay, whatever the rules say. Our own fault.
    #[error("the plan would remove {0}, and no newer archive as good as it stays")]
    LosesNewest(ArchiveId),
    /// What stays could not be restored any more. Our own fault.
    #[error("the plan would remove {base}, on which {archive} builds, which stays")]
    BreaksChain {
        /// What stays.
        archive: ArchiveId,
        /// What it needs.
        base: ArchiveId,
    },
}

impl Refusal {
    /// What to do about it.
    #[must_use]
    pub fn hint(&self) -> String {
        match self {
            Self::EmptyPolicy => {
                "give [retention] at least one of last, hourly, daily, weekly, monthly, yearly, within".into()
            }
            Self::TooMany { remove, .. } => {
                format!(
                    "look at 'afterbackup prune --dry-run'; if it is right, set max-remove to {remove} or more for one run"
                )
            }
            Self::LosesNewest(_) | Self::BreaksChain { .. } => {
                "this is a fault of afterbackup: please report it; nothing was removed".into()
            }
        }
    }
}

/// Says whether `plan` may be carried out.
///
/// A plan that removes nothing is only refused for its empty policy: there is nothing to hold back.
///
/// # Errors
/// The first brake that applies, the most fundamental first.
pub fn check(plan: &Plan, policy: &Policy) -> Result<(), Refusal> {
    if policy.is_empty() {
        return Err(Refusal::EmptyPolicy);
    }
    let remove = plan.removed().count();
    if remove == 0 {
        return Ok(());
    }
    if let Some(id) = lost(plan) {
        return Err(Refusal::LosesNewest(id.clone()));
    }
    if let Some((archive, base)) = broken(plan) {
        return Err(Refusal::BreaksChain { archive, base });
    }
    match policy.max_remove {
        Some(max) if usize::try_from(max).is_ok_and(|max| remove > max) => Err(Refusal::TooMany { remove, max }),
        _ => Ok(()),
    }
}

/// Checks the central promise again, without any of the code that was to keep it: whatever goes, a newer archive of
/// the same site stays that is no worse. So the newest, the newest undamaged and the newest good one all stay.
///
/// Archives dated in the future stand for nothing.
fn lost(plan: &Plan) -> Option<&ArchiveId> {
    let mut newest: HashMap<_, [Option<Timestamp>; 3]> = HashMap::new();
    for decision in plan.kept().filter(|decision| !decision.is_future()) {
        let stands = newest.entry((decision.id.site(), decision.id.series())).or_default();
        for stamp in stands.iter_mut().take(rank(decision.condition) + 1) {
            *stamp = (*stamp).max(Some(decision.id.stamp()));
        }
    }
    plan.removed().map(|decision| (&decision.id, rank(decision.condition))).find_map(|(id, rank)| {
        let stands = newest.get(&(id.site(), id.series())).and_then(|stands| stands[rank]);
        (stands <= Some(id.stamp())).then_some(id)
    })
}

/// An archive that would stay without one that it builds on.
fn broken(plan: &Plan) -> Option<(ArchiveId, ArchiveId)> {
    let goes: HashSet<&ArchiveId> = plan.removed().map(|decision| &decision.id).collect();
    let needs = |decision: &'_ Decision| decision.chain.iter().find(|id| goes.contains(id)).cloned();
    plan.kept().find_map(|decision| Some((decision.id.clone(), needs(decision)?)))
}

fn rank(condition: Condition) -> usize {
    match condition {
        Condition::Damaged => 0,
        Condition::Unknown => 1,
        Condition::Good => 2,
    }
}

#[cfg(test)]
mod tests {
    use jiff::tz::TimeZone;

    use super::*;
    use crate::retention::plan::{Action, Candidate, KeepReason, RemoveReason, plan};

    fn archives() -> Vec<Candidate> {
        (1..=9)
            .map(|day| Candidate::new(format!("XYZ-2026110{day}T010000Z").parse().unwrap(), Condition::Good, 1))
            .collect()
    }

    fn policy() -> Policy {
        Policy { last: 4, time_zone: TimeZone::UTC, ..Policy::without_rules() }
    }

    fn now() -> Timestamp {
        "2026-11-09T12:00:00Z".parse().unwrap()
    }

    fn checked(policy: &Policy) -> Result<(), Refusal> {
        check(&plan(&archives(), policy, now()), policy)
    }

    #[test]
    fn ordinary_plan_is_let_through() {
        assert_eq!(checked(&policy()), Ok(()));
        assert_eq!(checked(&Policy { max_remove: Some(5), ..policy() }), Ok(()));
    }

    #[test]
    fn more_than_max_remove_is_refused_with_what_to_do() {
        for max in [0, 4] {
            let refusal = checked(&Policy { max_remove: Some(max), ..policy() }).unwrap_err();
            assert_eq!(refusal, Refusal::TooMany { remove: 5, max });
            assert!(refusal.hint().contains("set max-remove to 5"), "{}", refusal.hint());
        }
    }

    #[test]
    fn empty_policy_is_refused_even_with_nothing_to_remove() {
        let empty = Policy { last: 0, ..policy() };
        assert_eq!(checked(&empty), Err(Refusal::EmptyPolicy));
        assert_eq!(check(&plan(&[], &empty, now()), &empty), Err(Refusal::EmptyPolicy));
    }

    #[test]
    fn plan_that_loses_the_newest_good_archive_is_refused() {
        let mut plan = plan(&archives(), &policy(), now());
        let fault = || Action::Remove(RemoveReason::OlderThanPeriods);
        plan.decisions[8].action = fault();
        let refusal = check(&plan, &policy()).unwrap_err();
        assert_eq!(
            refusal.to_string(),
            "the plan would remove XYZ-20261109T010000Z, and no newer archive as good as it stays"
        );
        // A worse one that is newer does not make up for it.
        let mut worse = plan.clone();
        worse.decisions[7].action = fault();
        worse.decisions[8].action = Action::Keep(vec![KeepReason::Newest]);
        worse.decisions[8].condition = Condition::Unknown;
        worse.decisions[6].action = fault();
        assert!(matches!(check(&worse, &policy()), Err(Refusal::LosesNewest(_))));
        plan.decisions.iter_mut().for_each(|decision| decision.action = fault());
        assert!(matches!(check(&plan, &policy()), Err(Refusal::LosesNewest(_))));
    }
}

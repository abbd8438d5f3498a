//! Retention of archives that build on others, over random nights: what stays can always be restored.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use afterbackup::archive::manifest;
use afterbackup::name::{ArchiveId, Level};
use afterbackup::retention::brakes::{self, Refusal};
use afterbackup::retention::plan::{Action, Candidate, Condition, RemoveReason, plan};
use afterbackup::retention::policy::Policy;
use afterbackup::retention::tiers::{self, Earlier, Next, NightlyOn, Tiers};
use jiff::{SignedDuration, Timestamp};
use proptest::prelude::*;

const HOUR: i64 = 3600;

fn id(hours: i64) -> ArchiveId {
    let start: Timestamp = "2026-01-01T01:00:00Z".parse().unwrap();
    ArchiveId::new("XYZ".parse().unwrap(), start + SignedDuration::from_secs(hours * HOUR))
}

/// The next archive, as a run would make it.
fn next(held: &BTreeMap<ArchiveId, Candidate>, id: &ArchiveId, tiers: &Tiers) -> Candidate {
    let lost = |candidate: &Candidate| candidate.chain.iter().any(|id| !held.contains_key(id));
    let earlier: Vec<Earlier> = held
        .values()
        .map(|one| Earlier {
            id: one.id.clone(),
            level: one.level,
            chain: one.chain.clone(),
            bytes: one.bytes,
            full_bytes: 1000,
            unusable: lost(one).then(|| "lost".to_owned()),
        })
        .collect();
    let bytes = 100;
    match tiers::next(&earlier, id, tiers) {
        Next::Full(_) => Candidate::new(id.clone(), Condition::Good, 1000),
        Next::On { base, level } => {
            let chain = held[&base].chain.iter().chain([&base]).cloned().collect();
            Candidate { level, chain, ..Candidate::new(id.clone(), Condition::Good, bytes) }
        }
    }
}

/// Whatever stays has all that it builds on, as far as that was there.
fn is_whole(held: &BTreeMap<ArchiveId, Candidate>, before: &BTreeSet<ArchiveId>) -> bool {
    held.values().flat_map(|one| &one.chain).all(|id| held.contains_key(id) || !before.contains(id))
}

#[test]
fn longest_chain_is_the_same_for_the_format_and_for_the_tiers() {
    assert_eq!(tiers::MAX_CHAIN, manifest::MAX_CHAIN);
}

#[test]
fn four_hundred_nights_with_the_default_policy() {
    let policy = Policy { time_zone: jiff::tz::TimeZone::UTC, ..Policy::default() };
    for (nightly_on, most) in [(NightlyOn::Weekly, 60), (NightlyOn::Previous, 110)] {
        let tiers = Tiers { nightly_on, ..Tiers::default() };
        let mut held: BTreeMap<ArchiveId, Candidate> = BTreeMap::new();
        let (mut most_held, mut most_bytes) = (0, 0);
        for night in 0..400 {
            let new = next(&held, &id(24 * night), &tiers);
            held.insert(new.id.clone(), new);
            let candidates: Vec<Candidate> = held.values().cloned().collect();
            let plan = plan(&candidates, &policy, id(24 * night).stamp());
            brakes::check(&plan, &Policy { max_remove: None, ..policy.clone() }).unwrap();
            let before = held.keys().cloned().collect();
            for removed in plan.removed() {
                held.remove(&removed.id);
            }
            assert!(is_whole(&held, &before), "night {night}");
            most_held = most_held.max(held.len());
            most_bytes = most_bytes.max(held.values().map(|one| one.bytes).sum());
        }
        let fulls = held.values().filter(|one| one.level == Level::Full).count();
        println!("{nightly_on:?}: at most {most_held} archives, {most_bytes} thousandths of a full one; {fulls} fulls");
        assert!(most_held <= most, "{most_held}");
        assert!(most_bytes < 26_000, "31 full archives would be 31,000: {most_bytes}");
    }
}

#[test]
fn plan_that_breaks_a_chain_is_refused() {
    let full = Candidate::new(id(0), Condition::Good, 1);
    let chain = vec![id(0)];
    let night = Candidate { level: Level::Nightly, chain, ..Candidate::new(id(24), Condition::Good, 1) };
    let policy = Policy { last: 1, ..Policy::without_rules() };
    let mut plan = plan(&[full, night], &policy, id(30).stamp());
    assert_eq!(
        plan.decisions[0].words(),
        ["newest full archive: the next may build on it", "base of XYZ-20260102T010000Z"]
    );
    brakes::check(&plan, &policy).unwrap();
    plan.decisions[0].action = Action::Remove(RemoveReason::OlderThanPeriods);
    let refusal = brakes::check(&plan, &policy).unwrap_err();
    assert_eq!(refusal, Refusal::BreaksChain { archive: id(24), base: id(0) });
    assert!(refusal.to_string().contains("on which XYZ-20260102T010000Z builds"), "{refusal}");
}

proptest! {
    #[test]
    fn nothing_that_stays_ever_loses_what_it_builds_on(
        nights in prop::collection::vec((1_i64..60, 0_u8..20, any::<prop::sample::Index>()), 1..90),
        (last, daily, weekly) in (0_u32..4, 0_u32..4, 0_u32..3),
        previous in any::<bool>(),
    ) {
        let policy = Policy {
            last: if last + daily + weekly == 0 { 1 } else { last },
            daily,
            weekly,
            time_zone: jiff::tz::TimeZone::UTC,
            ..Policy::without_rules()
        };
        let tiers = Tiers {
            full_every: Duration::from_hours(10 * 24),
            weekly_every: Some(Duration::from_hours(3 * 24)),
            nightly_on: if previous { NightlyOn::Previous } else { NightlyOn::Weekly },
            ..Tiers::default()
        };
        let mut held: BTreeMap<ArchiveId, Candidate> = BTreeMap::new();
        let mut now = 0;
        for (hours, luck, which) in nights {
            now += hours;
            let mut new = next(&held, &id(if luck == 0 { now + 5000 } else { now }), &tiers);
            prop_assert!(new.chain.iter().all(|id| held.contains_key(id)));
            new.condition = match luck { 1..=4 => Condition::Damaged, 5..=6 => Condition::Unknown, _ => Condition::Good };
            new.pin = (luck == 7).then(|| "kept".to_owned());
            held.insert(new.id.clone(), new);
            let some = which.get(&held.keys().cloned().collect::<Vec<_>>()).clone();
            if luck == 8 {
                // Removed by hand: what builds on it is damaged from now on.
                held.remove(&some);
                for one in held.values_mut().filter(|one| one.chain.contains(&some)) {
                    one.condition = Condition::Damaged;
                }
            }
            if luck == 9 {
                for one in held.values_mut().filter(|one| one.id < some) {
                    one.below_unreadable = Some(some.clone());
                }
            }
            let candidates: Vec<Candidate> = held.values().cloned().collect();
            let plan = plan(&candidates, &policy, id(now).stamp());
            prop_assert!(brakes::check(&plan, &policy).is_ok());
            let before: BTreeSet<ArchiveId> = held.keys().cloned().collect();
            let good = |held: &BTreeMap<ArchiveId, Candidate>| {
                let good = held.values().filter(|one| one.condition == Condition::Good && one.id <= id(now));
                good.map(|one| one.id.clone()).next_back()
            };
            let newest_good = good(&held);
            // The deletions may end anywhere.
            let mut goes: Vec<ArchiveId> = plan.removed().map(|decision| decision.id.clone()).collect();
            goes.reverse();
            for removed in goes.iter().take(which.index(goes.len() + 1)) {
                prop_assert!(held[removed].below_unreadable.is_none());
                held.remove(removed);
                prop_assert!(is_whole(&held, &before));
            }
            prop_assert_eq!(good(&held), newest_good.clone());
            if let Some(newest) = newest_good {
                prop_assert!(held[&newest].chain.iter().all(|id| held.contains_key(id) || !before.contains(id)));
            }
            for one in held.values_mut() {
                one.below_unreadable = None;
            }
        }
    }
}

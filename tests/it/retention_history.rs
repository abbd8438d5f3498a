//! Retention over random histories: whatever is damaged, unproven or missing, the newest proven archive of each
//! series stays.

use std::collections::BTreeMap;

use afterbackup::name::{ArchiveId, SQL_SERIES};
use afterbackup::retention::brakes;
use afterbackup::retention::plan::{Candidate, Condition, plan};
use afterbackup::retention::policy::Policy;
use jiff::{SignedDuration, Timestamp};
use proptest::prelude::*;

fn conditions() -> impl Strategy<Value = Condition> {
    prop_oneof![Just(Condition::Good), Just(Condition::Damaged), Just(Condition::Unknown)]
}

/// Nights of two series: hours since the one before, whether it is of SQL Server's backups, and what is known of it.
fn history() -> impl Strategy<Value = Vec<(u16, bool, Condition)>> {
    prop::collection::vec((1_u16..100, any::<bool>(), conditions()), 1..80)
}

fn policies() -> impl Strategy<Value = Policy> {
    (0_u32..4, 0_u32..4, 0_u32..4, 0_u32..3, 0_u32..3).prop_map(|(last, daily, weekly, monthly, min_archives)| Policy {
        last: if last + daily + weekly + monthly == 0 { 1 } else { last },
        daily,
        weekly,
        monthly,
        min_archives,
        ..Policy::without_rules()
    })
}

/// The newest proven archive of each series.
fn newest_proven<'a>(held: impl Iterator<Item = &'a Candidate>) -> BTreeMap<Option<String>, ArchiveId> {
    let proven = held.filter(|candidate| candidate.condition == Condition::Good);
    proven.map(|candidate| (candidate.id.series().map(str::to_owned), candidate.id.clone())).collect()
}

proptest! {
    #[test]
    fn newest_proven_archive_of_each_series_is_never_pruned(history in history(), policy in policies()) {
        let mut now: Timestamp = "2026-01-01T00:00:00Z".parse().unwrap();
        let mut held: BTreeMap<ArchiveId, Candidate> = BTreeMap::new();
        for (hours, sql, condition) in history {
            now += SignedDuration::from_hours(hours.into());
            let id = ArchiveId::of_series("XYZ".parse().unwrap(), sql.then_some(SQL_SERIES), now);
            let candidate =
                Candidate::new(id.clone(), condition, 1);
            held.insert(id.clone(), candidate);
            let before = newest_proven(held.values());
            let candidates: Vec<Candidate> = held.values().cloned().collect();
            let plan = plan(&candidates, &policy, now);
            prop_assert!(brakes::check(&plan, &policy).is_ok());
            for removed in plan.removed() {
                held.remove(&removed.id);
            }
            prop_assert_eq!(newest_proven(held.values()), before);
            // And what was just made.
            prop_assert!(held.contains_key(&id));
        }
    }
}

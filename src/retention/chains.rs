//! What archives build on, and what therefore stays.

use std::collections::{BTreeMap, BTreeSet};

use crate::name::{ArchiveId, Level};

/// What an archive has to do with others.
#[derive(Debug, Clone, Copy)]
pub(super) struct Chained<'a> {
    pub(super) id: &'a ArchiveId,
    pub(super) level: Level,
    /// All that it builds on, the full one first.
    pub(super) chain: &'a [ArchiveId],
}

/// Who needs an archive.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Needed {
    pub(super) archives: usize,
    pub(super) newest: ArchiveId,
}

/// What the next archive may build on, of a group given oldest first: the newest full one and the newest weekly one on
/// it. Nothing where no archive builds on another.
pub(super) fn next_bases(group: &[Chained<'_>]) -> Vec<usize> {
    if group.iter().all(|one| one.chain.is_empty()) {
        return Vec::new();
    }
    let Some(full) = group.iter().rposition(|one| one.level == Level::Full) else { return Vec::new() };
    let on_full = |one: &Chained<'_>| one.level == Level::Weekly && one.chain.first() == Some(group[full].id);
    std::iter::once(full).chain(group.iter().rposition(on_full)).collect()
}

/// Those of a group, oldest first, that must stay because others do.
pub(super) fn bases(group: &[Chained<'_>], kept: &[bool]) -> BTreeMap<usize, Needed> {
    let places: BTreeMap<&ArchiveId, usize> = group.iter().enumerate().map(|(at, one)| (one.id, at)).collect();
    let mut needed: BTreeMap<usize, Needed> = BTreeMap::new();
    for one in group.iter().zip(kept).filter(|(_, kept)| **kept).map(|(one, _)| one) {
        // What it builds on may say of itself that it builds on more: that would be damage, and must cost nothing.
        let mut seen: BTreeSet<usize> = BTreeSet::new();
        let mut open: Vec<usize> = one.chain.iter().filter_map(|id| places.get(id).copied()).collect();
        while let Some(at) = open.pop() {
            if seen.insert(at) {
                open.extend(group[at].chain.iter().filter_map(|id| places.get(id).copied()));
            }
        }
        for at in seen {
            let entry = needed.entry(at).or_insert_with(|| Needed { archives: 0, newest: one.id.clone() });
            entry.archives += 1;
            entry.newest = entry.newest.clone().max(one.id.clone());
        }
    }
    needed
}

//! What several destinations hold, read once for everything that decides by it.

use std::collections::{BTreeMap, BTreeSet};

use super::Catalog;
use crate::destination::{self, Target};
use crate::name::{ArchiveId, SiteCode};
use crate::retention::plan::Condition;

/// A destination with what it holds, or why that is not known.
#[derive(Debug)]
pub struct Inventory<'a> {
    /// The destination.
    pub target: &'a Target,
    /// What it holds.
    pub catalog: Result<Catalog, destination::Error>,
}

/// The archives of all destinations that could be read, in the best condition in which one of them holds each.
pub type Known<'a> = BTreeMap<&'a ArchiveId, Condition>;

/// Reads every destination, of one site or of all. A destination that cannot be opened is one that cannot be read.
///
/// All are asked at the same time: one that is away takes minutes to say so.
#[must_use]
pub fn read_all(targets: &[Target], site: Option<SiteCode>) -> Vec<Inventory<'_>> {
    read_sites(targets, site.map(|site| BTreeSet::from([site])).as_ref())
}

/// The same of several sites.
#[must_use]
pub fn read_sites<'t>(targets: &'t [Target], sites: Option<&BTreeSet<SiteCode>>) -> Vec<Inventory<'t>> {
    std::thread::scope(|scope| {
        let read = |target: &'t Target| target.open().and_then(|destination| super::read_sites(&**destination, sites));
        // Without a thread of its own, a destination is read by this one.
        let spawn = |target| (target, std::thread::Builder::new().spawn_scoped(scope, move || read(target)));
        let begun: Vec<_> = targets.iter().map(spawn).collect();
        let end = |(target, thread): (_, std::io::Result<std::thread::ScopedJoinHandle<'_, _>>)| {
            let catalog = match thread {
                Ok(thread) => thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic)),
                Err(_) => read(target),
            };
            Inventory { target, catalog }
        };
        begun.into_iter().map(end).collect()
    })
}

/// What is known together.
#[must_use]
pub fn known<'a>(inventories: &'a [Inventory<'_>]) -> Known<'a> {
    let mut known = Known::new();
    for (id, stored) in inventories.iter().filter_map(|one| one.catalog.as_ref().ok()).flat_map(|one| &one.archives) {
        let best = known.entry(id).or_insert(Condition::Damaged);
        *best = best.better(stored.condition());
    }
    known
}

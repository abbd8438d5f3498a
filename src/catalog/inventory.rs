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
    let read = |target: &Target| super::read_sites(&**target.open()?, sites);
    at_once(targets.iter().map(|target| (target, target)).collect(), read)
}

/// Lists every destination once more. A manifest that is the same as before is not read again.
#[must_use]
pub fn read_again<'t>(before: &[Inventory<'t>], site: SiteCode) -> Vec<Inventory<'t>> {
    let none = Catalog::default();
    let read = |one: &Inventory<'_>| {
        let known = one.catalog.as_ref().unwrap_or(&none);
        super::read_after(&**one.target.open()?, BTreeSet::from([site]), known)
    };
    at_once(before.iter().map(|one| (one.target, one)).collect(), read)
}

fn at_once<'t, T: Sync>(
    of: Vec<(&'t Target, &T)>,
    read: impl Fn(&T) -> Result<Catalog, destination::Error> + Sync,
) -> Vec<Inventory<'t>> {
    let read = &read;
    std::thread::scope(|scope| {
        // Without a thread of its own, a destination is read by this one.
        let spawn = |(target, one)| (target, one, std::thread::Builder::new().spawn_scoped(scope, move || read(one)));
        let begun: Vec<_> = of.into_iter().map(spawn).collect();
        let end = |(target, one, thread): (_, _, std::io::Result<std::thread::ScopedJoinHandle<'_, _>>)| {
            let catalog = match thread {
                Ok(thread) => thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic)),
                Err(_) => read(one),
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

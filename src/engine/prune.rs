//! Carries out retention plans: manifest first, then the archive, then the pin, so nothing visible is ever half there.
//!
//! The plan is made per destination by [`crate::retention`]; here lie the facts that it needs from outside: whether this
//! run's push arrived, and which archives another destination still lacks.

use std::collections::BTreeMap;
use std::sync::Arc;

use jiff::Timestamp;
use serde::Serialize;

use super::outcome::{SiteOutcome, chain};
use super::run::Context;
use crate::archive::name::{ArchiveId, SiteCode};
use crate::catalog::{self, Catalog, Stored};
use crate::config;
use crate::destination::{self, Destination, ErrorKind};
use crate::monitor::{Event, Level};
use crate::retention::guard::{self, Push};
use crate::retention::plan::{Candidate, Condition, Plan, plan};
use crate::units;

/// What became of pruning one destination.
#[derive(Debug, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct Pruned {
    /// Which destination.
    pub destination: String,
    /// The decisions, if it came to that.
    pub plan: Option<Plan>,
    /// Archives removed.
    pub removed: Vec<ArchiveId>,
    /// Their size.
    pub removed_bytes: u64,
    /// Archives that the storage would not let go, with its words. No failure.
    pub locked: Vec<(ArchiveId, String)>,
    /// What killed runs had left and was removed.
    pub swept: Vec<String>,
    /// Why nothing, or not everything, was done.
    pub refused: Option<String>,
    /// What failed.
    pub failures: Vec<String>,
}

impl Pruned {
    fn new(destination: &str) -> Self {
        Self {
            destination: destination.to_owned(),
            plan: None,
            removed: vec![],
            removed_bytes: 0,
            locked: vec![],
            swept: vec![],
            refused: None,
            failures: vec![],
        }
    }

    /// Should somebody look at it?
    #[must_use]
    pub fn is_failure(&self) -> bool {
        self.refused.is_some() || !self.failures.is_empty()
    }
}

/// A destination with what it holds, or why that is not known.
struct Held<'a> {
    destination: &'a Arc<dyn Destination>,
    config: &'a config::Destination,
    catalog: Result<Catalog, destination::Error>,
}

/// Prunes after a run: only where this run's archive is.
pub(super) fn after_run(context: &Context<'_>, site: SiteCode, outcome: &mut SiteOutcome) {
    let Some(archive) = outcome.archive.clone() else { return };
    let held = read_all(context, Some(site));
    for one in &held {
        let name = one.destination.name();
        // One that missed the push is told as that; it is not pruned, and that is no second fault.
        if outcome.has_archive(name) {
            outcome.pruned.push(prune_one(context, one, &held, Some(&archive), false));
        }
    }
}

/// Prunes every destination (of one name, if given). `dry_run` only plans.
#[must_use]
pub fn prune(context: &Context<'_>, site: Option<SiteCode>, only: Option<&str>, dry_run: bool) -> Vec<Pruned> {
    let held = read_all(context, site);
    let chosen = held.iter().filter(|one| only.is_none_or(|only| only == one.destination.name()));
    chosen.map(|one| prune_one(context, one, &held, None, dry_run)).collect()
}

fn read_all<'a>(context: &Context<'a>, site: Option<SiteCode>) -> Vec<Held<'a>> {
    let pairs = context.destinations.iter().zip(&context.config.destinations);
    pairs
        .map(|(destination, config)| Held { destination, config, catalog: catalog::read(&**destination, site) })
        .collect()
}

fn prune_one(
    context: &Context<'_>,
    one: &Held<'_>,
    all: &[Held<'_>],
    fresh: Option<&ArchiveId>,
    dry_run: bool,
) -> Pruned {
    let mut pruned = Pruned::new(one.destination.name());
    match &one.catalog {
        Ok(catalog) => decide(context, one, all, catalog, fresh, dry_run, &mut pruned),
        Err(error) => pruned.failures.push(match error.hint() {
            Some(hint) => format!("{} (hint: {hint})", chain(error)),
            None => chain(error),
        }),
    }
    for event in events(&pruned) {
        context.tell(&event);
    }
    pruned
}

fn decide(
    context: &Context<'_>,
    one: &Held<'_>,
    all: &[Held<'_>],
    catalog: &Catalog,
    fresh: Option<&ArchiveId>,
    dry_run: bool,
    pruned: &mut Pruned,
) {
    let now = context.clock.now();
    let candidates = candidates(one, catalog, all, now);
    let plan = plan(&candidates, &one.config.retention, now);
    if let Err(refusal) = guard::check(&plan, &one.config.retention, &Push::Done) {
        pruned.refused = Some(format!("{refusal} (hint: {})", refusal.hint()));
    } else if !dry_run {
        for id in plan.removed().map(|decision| &decision.id) {
            // Whatever the clock says: what this run has just made is not what it throws away.
            if Some(id) == fresh || context.cancel.is_cancelled() {
                continue;
            }
            if let Some(stored) = catalog.archives.get(id) {
                remove(one, stored, pruned);
            }
        }
    }
    pruned.plan = Some(plan);
    if !dry_run {
        sweep(context, one, catalog, now, pruned);
    }
}

fn candidates(one: &Held<'_>, catalog: &Catalog, all: &[Held<'_>], now: Timestamp) -> Vec<Candidate> {
    let mut candidates: BTreeMap<&ArchiveId, Candidate> =
        catalog.archives.iter().map(|(id, stored)| (id, candidate(stored))).collect();
    for other in all.iter().filter(|other| other.destination.name() != one.destination.name()) {
        let empty = Catalog::default();
        // One that cannot be read may lack everything: what it would keep is kept for it here.
        let theirs = other.catalog.as_ref().unwrap_or(&empty);
        let mut together: BTreeMap<&ArchiveId, Candidate> =
            theirs.archives.iter().map(|(id, stored)| (id, candidate(stored))).collect();
        for (id, stored) in &catalog.archives {
            together.entry(id).or_insert_with(|| candidate(stored));
        }
        let together: Vec<Candidate> = together.into_values().collect();
        let theirs_to_be = plan(&together, &other.config.retention, now);
        for id in theirs_to_be.kept().map(|decision| &decision.id).filter(|id| !theirs.archives.contains_key(id)) {
            if let Some(candidate) = candidates.get_mut(id) {
                candidate.needed_elsewhere = true;
            }
        }
    }
    candidates.into_values().collect()
}

fn candidate(stored: &Stored) -> Candidate {
    let condition = if !stored.is_good() {
        Condition::Damaged
    } else if stored.manifest.databases.iter().any(|database| database.verdict == "sound") {
        Condition::Good
    } else {
        Condition::Unknown
    };
    Candidate {
        id: stored.manifest.id.clone(),
        condition,
        pin: stored.pin.as_ref().map(|pin| pin.reason.clone()),
        needed_elsewhere: false,
        bytes: stored.manifest.bytes,
    }
}

fn remove(one: &Held<'_>, stored: &Stored, pruned: &mut Pruned) {
    let manifest = &stored.manifest;
    let id = &manifest.id;
    // From the first of these on it is no archive any more.
    let keys = [id.manifest_name(), manifest.archive.clone(), id.pin_name()].map(|name| id.key(&name));
    for (step, key) in keys.iter().enumerate() {
        match one.destination.delete(key) {
            Ok(()) => {}
            Err(error) if step == 0 && matches!(error.kind, ErrorKind::Locked | ErrorKind::PermissionDenied) => {
                pruned.locked.push((id.clone(), chain(&error)));
                return;
            }
            Err(error) => {
                pruned.failures.push(chain(&error));
                if step == 0 {
                    return;
                }
            }
        }
    }
    pruned.removed.push(id.clone());
    pruned.removed_bytes += manifest.bytes;
}

/// Removes what killed runs have left, when it is old enough that nobody can be at work on it.
fn sweep(context: &Context<'_>, one: &Held<'_>, catalog: &Catalog, now: Timestamp, pruned: &mut Pruned) {
    let is_old = |modified: Timestamp| {
        let age = now.duration_since(modified);
        !age.is_negative() && age.unsigned_abs() > one.config.sweep_after
    };
    for orphan in catalog.orphans.iter().filter(|orphan| is_old(orphan.entry.modified)) {
        match one.destination.delete(&orphan.key) {
            Ok(()) => pruned.swept.push(orphan.key.clone()),
            Err(error) => pruned.failures.push(chain(&error)),
        }
    }
    for site in &catalog.sites {
        if context.cancel.is_cancelled() {
            return;
        }
        let leftovers = match one.destination.leftovers(site.as_str()) {
            Ok(leftovers) => leftovers,
            Err(error) => {
                pruned.failures.push(chain(&error));
                continue;
            }
        };
        for leftover in leftovers.iter().filter(|leftover| is_old(leftover.modified)) {
            match one.destination.remove_leftover(leftover) {
                Ok(()) => pruned.swept.push(leftover.key.clone()),
                Err(error) => pruned.failures.push(chain(&error)),
            }
        }
    }
}

fn events(pruned: &Pruned) -> Vec<Event> {
    let at = |event: Event| event.with("destination", pruned.destination.clone());
    let mut events = Vec::new();
    if !pruned.removed.is_empty() {
        let ids: Vec<String> = pruned.removed.iter().map(ToString::to_string).collect();
        let message = format!(
            "Removed {} archive(s) from {}, {}: {}",
            ids.len(),
            pruned.destination,
            units::format_bytes(pruned.removed_bytes),
            ids.join(", ")
        );
        events.push(at(Event::new("removed", Level::Info, message).with("archives", ids)));
    }
    for key in &pruned.swept {
        let message = format!("Removed what an unfinished run had left on {}: {key}", pruned.destination);
        events.push(at(Event::new("swept", Level::Info, message).with("key", key.clone())));
    }
    for (id, words) in &pruned.locked {
        let message = format!("{} keeps {id} although retention does not ask for it: {words}", pruned.destination);
        events.push(at(Event::new("locked", Level::Info, message).with("archive", id.to_string())));
    }
    if let Some(words) = &pruned.refused {
        let message = format!("{} was not pruned: {words}", pruned.destination);
        events.push(at(Event::new("prune-refused", Level::Warn, message)));
    }
    for words in &pruned.failures {
        let message = format!("pruning {} failed: {words}", pruned.destination);
        events.push(at(Event::new("prune-failed", Level::Error, message)));
    }
    events
}

//! Carries out retention plans: a note that it begins, then the manifest, the archive, the pin and the note, so nothing
//! visible is ever half there, and what an interrupted removal leaves is told from an archive that lost its manifest.
//!
//! The plan is made per destination by [`crate::retention`]; here lie the facts that it needs from outside: whether
//! this run's push arrived, and which archives another destination still lacks.

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;

use super::claim::{self, is_there};
use super::context::Context;
use super::outcome::{Pruned, SiteOutcome};
use crate::archive::manifest::{MAX_BYTES, Manifest};
use crate::catalog::{Catalog, Inventory, Orphan, Problem, ProblemKind, Stored, read_all, read_all_of};
use crate::destination::{self, Destination, ErrorKind};
use crate::error::chain;
use crate::monitor::{Event, EventKind};
use crate::name::{ArchiveId, SiteCode, StoredFile};
use crate::retention::brakes;
use crate::retention::plan::{Candidate, plan};
use crate::units;

/// Prunes after a run: only where this run's archive is.
pub(super) fn after_run(context: &Context<'_>, held: &[Inventory<'_>], outcome: &mut SiteOutcome) {
    let Some(archive) = outcome.archive.clone() else { return };
    for one in held {
        let name = one.target.name();
        // One that missed the push is told as that; it is not pruned, and that is no second fault.
        if outcome.has_archive(name) {
            outcome.pruned.push(prune_one(context, one, held, Some(&archive), false));
        }
    }
}

/// Prunes the destinations that had no space for the archive of a run, by their policy. Was anything removed?
pub(super) fn make_room(context: &Context<'_>, outcome: &SiteOutcome) -> bool {
    let full: Vec<&str> =
        outcome.destinations.iter().filter(|one| one.result.is_full()).map(|one| one.name.as_str()).collect();
    if full.is_empty() || context.cancel.is_cancelled() {
        return false;
    }
    let held = read_all(context.targets, outcome.site);
    let mut any = false;
    for one in held.iter().filter(|one| full.contains(&one.target.name())) {
        let message = format!("{} has no space left: it is pruned first, and tried again", one.target.name());
        context.tell(&Event::new(EventKind::Note, message));
        any |= !prune_one(context, one, &held, None, false).removed.is_empty();
    }
    any
}

/// Prunes every destination (of one name, if given) of one site or of all. `dry_run` only plans.
#[must_use]
pub fn prune(context: &Context<'_>, site: Option<SiteCode>, only: Option<&str>, dry_run: bool) -> Vec<Pruned> {
    prune_sites(context, site.map(|site| BTreeSet::from([site])).as_ref(), only, dry_run)
}

/// The same of several sites.
#[must_use]
pub fn prune_sites(
    context: &Context<'_>,
    sites: Option<&BTreeSet<SiteCode>>,
    only: Option<&str>,
    dry_run: bool,
) -> Vec<Pruned> {
    let held = read_all_of(context.targets, sites);
    let chosen = held.iter().filter(|one| only.is_none_or(|only| only == one.target.name()));
    chosen.map(|one| prune_one(context, one, &held, None, dry_run)).collect()
}

fn prune_one(
    context: &Context<'_>,
    one: &Inventory<'_>,
    all: &[Inventory<'_>],
    fresh: Option<&ArchiveId>,
    dry_run: bool,
) -> Pruned {
    let mut pruned = Pruned::new(one.target.name());
    match &one.catalog {
        Ok(catalog) => decide(context, one, all, catalog, fresh, dry_run, &mut pruned),
        Err(error) => pruned.failures.push(match error.hint() {
            Some(hint) => format!("{} (hint: {hint})", chain(error)),
            None => chain(error),
        }),
    }
    for event in events(&pruned, dry_run) {
        context.tell(&event);
    }
    pruned
}

fn decide(
    context: &Context<'_>,
    one: &Inventory<'_>,
    all: &[Inventory<'_>],
    catalog: &Catalog,
    fresh: Option<&ArchiveId>,
    dry_run: bool,
    pruned: &mut Pruned,
) {
    let destination = match one.target.open() {
        Ok(destination) => &**destination,
        Err(error) => return pruned.failures.push(chain(&error)),
    };
    let now = context.clock.now();
    let mut candidates = candidates(one, catalog, all, now);
    let own = context.config.snapshot.kind;
    candidates.retain(|candidate| own.owns(candidate.id.series()));
    let plan = plan(&candidates, &one.target.settings().retention, now);
    if let Err(refusal) = brakes::check(&plan, &one.target.settings().retention) {
        pruned.refused = Some(format!("{refusal} (hint: {})", refusal.hint()));
    } else if !dry_run {
        // The newest first: nothing is ever there without what it builds on.
        let mut needed: BTreeSet<ArchiveId> = BTreeSet::new();
        let goes: Vec<&ArchiveId> = plan.removed().map(|decision| &decision.id).collect();
        for &id in goes.iter().rev() {
            let Some(stored) = catalog.archives.get(id) else { continue };
            // Whatever the clock says: what this run has just made is not what it throws away.
            let stays = Some(id) == fresh || context.cancel.is_cancelled() || needed.contains(id);
            if stays || !remove(destination, stored, catalog, pruned) {
                needed.extend(stored.manifest.chain().iter().cloned());
            }
        }
        pruned.removed.sort();
    }
    pruned.plan = Some(plan);
    let unusable = |problem: &&Problem| matches!(problem.kind, ProblemKind::Manifest | ProblemKind::Unreadable);
    let words = |problem: &Problem| format!("{}: {}", problem.key, problem.problem);
    pruned.problems = catalog.problems.iter().filter(unusable).map(words).collect();
    pruned.notes.extend(catalog.problems.iter().filter(|problem| !unusable(problem)).map(words));
    sweep(context, one, destination, catalog, dry_run, pruned);
}

fn candidates(one: &Inventory<'_>, catalog: &Catalog, all: &[Inventory<'_>], now: Timestamp) -> Vec<Candidate> {
    let mut candidates: BTreeMap<&ArchiveId, Candidate> =
        catalog.archives.iter().map(|(id, stored)| (id, candidate(stored))).collect();
    for other in all.iter().filter(|other| other.target.name() != one.target.name()) {
        let empty = Catalog::default();
        // One that cannot be read may lack everything: what it would keep is kept for it here.
        let theirs = other.catalog.as_ref().unwrap_or(&empty);
        let mut together: BTreeMap<&ArchiveId, Candidate> =
            theirs.archives.iter().map(|(id, stored)| (id, candidate(stored))).collect();
        for (id, stored) in &catalog.archives {
            together.entry(id).or_insert_with(|| candidate(stored));
        }
        let together: Vec<Candidate> = together.into_values().collect();
        let theirs_to_be = plan(&together, &other.target.settings().retention, now);
        for id in theirs_to_be.kept().map(|decision| &decision.id).filter(|id| !theirs.archives.contains_key(id)) {
            if let Some(candidate) = candidates.get_mut(id) {
                candidate.needed_elsewhere = true;
            }
        }
    }
    for (id, unreadable) in below_unreadable(catalog) {
        if let Some(candidate) = candidates.get_mut(id) {
            candidate.below_unreadable = Some(unreadable.clone());
        }
    }
    for (id, database) in sound_copies(catalog, now) {
        if let Some(candidate) = candidates.get_mut(id) {
            candidate.sound_copy_of = Some(database);
        }
    }
    candidates.into_values().collect()
}

/// Archives that are older than one of which the manifest cannot be read, with that one: where differential archives
/// are, it may be one, and nobody can tell what it builds on.
fn below_unreadable(catalog: &Catalog) -> BTreeMap<&ArchiveId, &ArchiveId> {
    let unreadable = catalog.problems.iter().filter(|problem| problem.hides_archive()).map(|problem| &problem.archive);
    let related = |a: &ArchiveId, b: &ArchiveId| a.site() == b.site() && a.series() == b.series();
    let mut below = BTreeMap::new();
    for hidden in unreadable {
        let of_series = || catalog.archives.iter().filter(|(id, _)| related(id, hidden));
        let tiers = of_series().any(|(_, stored)| stored.manifest.base.is_some())
            || catalog.differential_files.contains(hidden);
        if tiers {
            below.extend(of_series().map(|(id, _)| (id, hidden)).filter(|(id, _)| *id < hidden));
        }
    }
    below
}

/// Archives that are not proven as a whole but have the newest sound copy of a database, where no newer archive is
/// proven.
fn sound_copies(catalog: &Catalog, now: Timestamp) -> BTreeMap<&ArchiveId, String> {
    let whole = catalog.archives.iter().filter(|(id, stored)| stored.whole && id.stamp() <= now);
    let mut settled: BTreeSet<(SiteCode, Option<&str>, String)> = BTreeSet::new();
    let mut proven: BTreeSet<(SiteCode, Option<&str>)> = BTreeSet::new();
    let mut found = BTreeMap::new();
    for (id, stored) in whole.rev() {
        let series = (id.site(), id.series());
        let manifest = &stored.manifest;
        if manifest.is_proven() {
            proven.insert(series);
        }
        if proven.contains(&series) {
            continue;
        }
        for database in &manifest.databases {
            let name = database.name.to_lowercase();
            let mut files = manifest.databases.iter().filter(|one| one.name.to_lowercase() == name);
            if files.all(|one| one.verdict.is_proven()) && settled.insert((series.0, series.1, name)) {
                found.entry(id).or_insert_with(|| database.name.clone());
            }
        }
    }
    found
}

fn candidate(stored: &Stored) -> Candidate {
    Candidate {
        pin: stored.pin.as_ref().map(|pin| pin.reason.clone()),
        level: stored.manifest.level(),
        chain: stored.manifest.chain().to_vec(),
        ..Candidate::new(stored.manifest.id.clone(), stored.condition(), stored.manifest.bytes)
    }
}

/// Is it gone?
pub(super) fn remove(destination: &dyn Destination, stored: &Stored, catalog: &Catalog, pruned: &mut Pruned) -> bool {
    let id = &stored.manifest.id;
    let removed = match is_built_upon(destination, id, catalog) {
        Ok(None) => try_to_remove(destination, stored, pruned),
        Ok(Some(newer)) => {
            pruned.notes.push(format!("{id} stays: {newer}, which is new, builds on it"));
            Ok(false)
        }
        Err(error) => Err(error),
    };
    match removed {
        Ok(true) => pruned.removed.push(id.clone()),
        Ok(false) => {}
        Err(error) => pruned.note(id, &error),
    }
    pruned.removed.contains(id)
}

/// An archive that was not there when the catalog was read, and that needs this one. What cannot be read may.
fn is_built_upon(
    destination: &dyn Destination,
    id: &ArchiveId,
    catalog: &Catalog,
) -> Result<Option<ArchiveId>, destination::Error> {
    // Where nothing builds on anything, and nothing is to, one more listing for each archive would be wasted.
    if catalog.archives.values().all(|stored| stored.manifest.base.is_none()) && catalog.differential_files.is_empty() {
        return Ok(None);
    }
    for entry in destination.list(id.site().as_str())? {
        let Some(StoredFile::Manifest(other)) = StoredFile::parse(&entry.name) else { continue };
        if other <= *id || other.series() != id.series() || catalog.mentions(&other) {
            continue;
        }
        let needs = match destination.read(&other.key(&entry.name), MAX_BYTES) {
            Ok(bytes) => Manifest::parse(&entry.name, &bytes).map_or(true, |manifest| manifest.chain().contains(id)),
            Err(error) if error.is_not_found() => false,
            Err(error) => return Err(error),
        };
        if needs {
            return Ok(Some(other));
        }
    }
    Ok(None)
}

/// `false` when it is to stay after all.
fn try_to_remove(
    destination: &dyn Destination,
    stored: &Stored,
    pruned: &mut Pruned,
) -> Result<bool, destination::Error> {
    let manifest = &stored.manifest;
    let id = &manifest.id;
    let [manifest_key, pin, note] = [id.manifest_name(), id.pin_name(), id.removing_name()].map(|name| id.key(&name));
    // It may have been pinned since the catalog was read.
    if is_there(destination, &pin)? {
        return Ok(false);
    }
    let json = manifest.to_json();
    let (noted, own_note) = match destination.put_new(&note, &json) {
        Ok(()) => (true, true),
        // Of a removal that was interrupted, or that another process is about: both do the same.
        Err(error) if error.kind == ErrorKind::AlreadyExists => (true, false),
        // A full disk must not keep us from making room, nor an account that may only delete.
        Err(error) if matches!(error.kind, ErrorKind::Full | ErrorKind::PermissionDenied | ErrorKind::Locked) => {
            (false, false)
        }
        Err(error) => return Err(error),
    };
    // Best effort: a note of nothing is swept later. That of another process is its own.
    let forget = || {
        if own_note {
            drop(destination.delete(&note));
        }
    };
    let fresh = destination.read(&manifest_key, MAX_BYTES);
    let is_same = match &fresh {
        Ok(bytes) => Manifest::parse(&id.manifest_name(), bytes).is_ok_and(|fresh| fresh == *manifest),
        // Another process has removed it.
        Err(error) if error.is_not_found() => false,
        Err(_) => true,
    };
    match if is_same { is_there(destination, &pin) } else { Ok(true) } {
        Ok(false) => {}
        stays => {
            forget();
            return stays.map(|_| false);
        }
    }
    crate::stop_point::reached("manifest-goes");
    if let Err(error) = destination.delete(&manifest_key) {
        forget();
        return Err(error);
    }
    if !noted && is_there(destination, &pin)? {
        destination.put_new(&manifest_key, &json)?;
        return Ok(false);
    }
    crate::stop_point::reached("archive-goes");
    match destination.delete(&id.key(&manifest.archive)) {
        Ok(()) => pruned.removed_bytes += manifest.bytes,
        // The storage keeps it, so it stays visible.
        Err(error) if matches!(error.kind, ErrorKind::Locked | ErrorKind::PermissionDenied) => {
            destination.put_new(&manifest_key, &json)?;
            forget();
            return Err(error);
        }
        // The note tells the next one what this is.
        Err(error) => {
            pruned.note(id, &error);
            return Ok(true);
        }
    }
    crate::stop_point::reached("pin-goes");
    for key in [&pin, &note] {
        if let Err(error) = destination.delete(key) {
            pruned.note(id, &error);
        }
    }
    crate::stop_point::reached("archive-gone");
    Ok(true)
}

/// Removes what killed runs have left: what is known to be abandoned, and what is so old that no one can be at work on
/// it.
fn sweep(
    context: &Context<'_>,
    one: &Inventory<'_>,
    destination: &dyn Destination,
    catalog: &Catalog,
    dry_run: bool,
    pruned: &mut Pruned,
) {
    let now = context.clock.now();
    let is_old = |modified: Timestamp| claim::is_old(modified, now, one.target.settings().sweep_after);
    let old = catalog.duplicates.iter().chain(&catalog.stray).filter(|orphan| is_old(orphan.entry.modified));
    for orphan in catalog.half_removed.iter().chain(old) {
        if context.cancel.is_cancelled() {
            return;
        }
        if dry_run {
            pruned.swept.push(orphan.key.clone());
            continue;
        }
        match finish_removal(destination, orphan, catalog) {
            Ok(true) => pruned.swept.push(orphan.key.clone()),
            Ok(false) => {}
            Err(error) => pruned.note(&orphan.id, &error),
        }
    }
    for site in &catalog.sites {
        if context.cancel.is_cancelled() {
            return;
        }
        let leftovers = match destination.leftovers(site.as_str()) {
            Ok(leftovers) => leftovers,
            Err(error) => {
                pruned.failures.push(chain(&error));
                continue;
            }
        };
        for leftover in leftovers.iter().filter(|leftover| leftover.abandoned || is_old(leftover.modified)) {
            let removed = if dry_run { Ok(()) } else { destination.remove_leftover(leftover) };
            match removed {
                Ok(()) => pruned.swept.push(leftover.key.clone()),
                Err(error) => pruned.failures.push(chain(&error)),
            }
        }
    }
}

/// Deletes a file that belongs to no archive. `false` when it belongs to one after all.
fn finish_removal(
    destination: &dyn Destination,
    orphan: &Orphan,
    catalog: &Catalog,
) -> Result<bool, destination::Error> {
    let id = &orphan.id;
    // The catalog was read a while ago: the archive may have been made again, or be visible again.
    let manifest = id.key(&id.manifest_name());
    let is_visible = is_there(destination, &manifest)?;
    if is_visible != catalog.archives.contains_key(id) {
        return Ok(false);
    }
    if is_visible && catalog.duplicates.contains(orphan) {
        let bytes = destination.read(&manifest, MAX_BYTES)?;
        let names_it = |manifest: Manifest| manifest.archive == orphan.entry.name;
        if Manifest::parse(&id.manifest_name(), &bytes).map_or(true, names_it) {
            return Ok(false);
        }
    }
    destination.delete(&orphan.key)?;
    if catalog.half_removed.contains(orphan) {
        destination.delete(&id.key(&id.pin_name()))?;
        destination.delete(&id.key(&id.removing_name()))?;
    }
    Ok(true)
}

fn events(pruned: &Pruned, dry_run: bool) -> Vec<Event> {
    let at = |event: Event| event.with("destination", pruned.destination.clone());
    let mut events = Vec::new();
    if !pruned.removed.is_empty() {
        let ids: Vec<String> = pruned.removed.iter().map(ToString::to_string).collect();
        let message = format!(
            "Removed {} from {}, {}: {}",
            units::count(ids.len(), "archive"),
            pruned.destination,
            units::format_bytes(pruned.removed_bytes),
            ids.join(", ")
        );
        events.push(at(Event::new(EventKind::Removed, message).with("archives", ids)));
    }
    for words in &pruned.problems {
        let message = format!("{} keeps what it cannot judge: {words}", pruned.destination);
        events.push(at(Event::new(EventKind::Warning, message)));
    }
    for key in pruned.swept.iter().filter(|_| !dry_run) {
        let message = format!("Removed leftovers of an unfinished run from {}: {key}", pruned.destination);
        events.push(at(Event::new(EventKind::Swept, message).with("key", key.clone())));
    }
    for (id, words) in &pruned.locked {
        let message = format!("{} keeps {id} although retention does not ask for it: {words}", pruned.destination);
        events.push(at(Event::new(EventKind::Locked, message).with("archive", id.to_string())));
    }
    if let Some(words) = &pruned.refused {
        let message = format!("{} was not pruned: {words}", pruned.destination);
        events.push(at(Event::new(EventKind::PruneRefused, message)));
    }
    for words in &pruned.failures {
        let message = format!("pruning {} failed: {words}", pruned.destination);
        events.push(at(Event::new(EventKind::PruneFailed, message)));
    }
    events
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;
    use std::sync::Arc;
    use std::time::Duration;

    use super::*;
    use crate::archive::manifest::{FORMAT, IndexLocation, Manifest, Sha256Hex};
    use crate::archive::provenance::EvidenceKind;
    use crate::cancel::Cancel;
    use crate::catalog;
    use crate::clock::FixedClock;
    use crate::config::{self, Config, Verify};
    use crate::destination::faulty::{Call, Faulty, Script};
    use crate::destination::{self, ErrorKind, in_memory};
    use crate::monitor::Collector;
    use crate::name::{Form, Level};
    use crate::retention::policy::Policy;

    const DAYS: i64 = 6;

    fn id(day: i64) -> ArchiveId {
        let first: Timestamp = "2026-11-01T23:00:00Z".parse().unwrap();
        ArchiveId::new("XYZ".parse().unwrap(), first + jiff::SignedDuration::from_hours(24 * day))
    }

    fn manifest(id: &ArchiveId) -> Manifest {
        Manifest {
            format: FORMAT,
            id: id.clone(),
            site: "XYZ".to_owned(),
            series: None,
            completed: id.stamp(),
            completion_evidence: EvidenceKind::Metadata,
            archived: id.stamp(),
            program: "test".to_owned(),
            host: "CM01".to_owned(),
            archive: id.archive_name(Form::PLAIN),
            bytes: 100,
            sha256: Sha256Hex([0; 32]),
            compressed_bytes: 100,
            uncompressed_bytes: 1536,
            files: 0,
            snapshot_bytes: 0,
            base: None,
            full_because: None,
            encryption: None,
            index: IndexLocation {
                frame: 0,
                frames: 1,
                frame_offset: 0,
                directory: None,
                offset: 512,
                size: 9,
                sha256: Sha256Hex([0; 32]),
            },
            parts: vec![],
            fingerprint: String::new(),
            folders: vec![],
            missing: vec![],
            skipped: 0,
            site_database: None,
            databases: vec![],
        }
    }

    /// Destinations with archives of some days, and a configuration that keeps two.
    struct Place {
        config: Config,
        targets: Vec<destination::Target>,
        scripts: Vec<Script>,
    }

    impl Place {
        fn new(names: &[&str]) -> Self {
            let retention = Policy { last: 2, ..Policy::without_rules() };
            let destination = |name: &&str| config::Destination {
                name: (*name).to_owned(),
                location: config::Location::Folder(PathBuf::from(name)),
                credentials: None,
                retention: retention.clone(),
                verify: Verify::Full,
                bandwidth: None,
                retry_for: Duration::ZERO,
                stall_timeout: Duration::from_mins(1),
                sweep_after: Duration::from_hours(48),
            };
            let scripts: Vec<Script> = names.iter().map(|_| Script::default()).collect();
            let target = |(name, script): (&&str, &Script)| {
                destination::Target::opened(destination(name), Arc::new(Faulty::new(in_memory(name), script)))
            };
            let targets = names.iter().zip(&scripts).map(target).collect();
            let config = Config {
                file: PathBuf::new(),
                snapshot: config::Snapshot { quiet: Duration::ZERO, ..config::Snapshot::of_site(PathBuf::new()) },
                supplemental: vec![],
                archive: config::Archive { level: 3, threads: 1, recipients: vec![], check_databases: true },
                differential: None,
                watch: config::Watch::default(),
                destinations: names.iter().map(destination).collect(),
                hooks: config::Hooks::default(),
                report: config::Report::default(),
                drill: config::Drill::default(),
                lock_file: PathBuf::new(),
                wait: std::time::Duration::ZERO,
                log: crate::config::Log::default(),
                warnings: vec![],
            };
            Self { config, targets, scripts }
        }

        fn filled() -> Self {
            let place = Self::new(&["vault"]);
            (0..DAYS).for_each(|day| place.store(0, &id(day)));
            place.scripts[0].forget();
            place
        }

        fn store(&self, destination: usize, id: &ArchiveId) {
            self.put(destination, &id.key(&id.archive_name(Form::PLAIN)), &[0; 100]);
            self.put(destination, &id.key(&id.manifest_name()), &manifest(id).to_json());
        }

        fn destination(&self, number: usize) -> &dyn Destination {
            &**self.targets[number].open().unwrap()
        }

        fn put(&self, destination: usize, key: &str, bytes: &[u8]) {
            self.destination(destination).put_new(key, bytes).unwrap();
        }

        fn names(&self, destination: usize) -> Vec<String> {
            self.destination(destination).list("XYZ").unwrap().into_iter().map(|entry| entry.name).collect()
        }

        fn prune_at(&self, now: Timestamp, cancel: &Cancel) -> Vec<Pruned> {
            let (clock, monitor) = (FixedClock(now), Collector::default());
            let context =
                Context { config: &self.config, targets: &self.targets, clock: &clock, monitor: &monitor, cancel };
            prune(&context, None, None, false)
        }

        /// The storage's clock is the real one: what the tests have put is as old as they want it to be.
        fn prune_after(&self, age: Duration) -> Vec<Pruned> {
            let modified = self.destination(0).list("XYZ").unwrap().iter().map(|entry| entry.modified).max();
            self.prune_at(modified.unwrap() + age, &Cancel::new())
        }

        /// Archives whose manifest is there.
        fn visible(&self, destination: usize) -> Vec<ArchiveId> {
            let names = self.names(destination);
            let ids = (0..DAYS).map(id).filter(|id| names.contains(&id.manifest_name()));
            // Promise: no manifest without its archive.
            ids.inspect(|id| assert!(names.contains(&id.archive_name(Form::PLAIN)), "{id} has no archive")).collect()
        }
    }

    const SOON: Duration = Duration::from_mins(1);
    const LATER: Duration = Duration::from_hours(49);

    fn days(days: impl IntoIterator<Item = i64>) -> Vec<ArchiveId> {
        days.into_iter().map(id).collect()
    }

    #[test]
    fn manifest_goes_first_and_then_archive_and_pin() {
        let place = Place::filled();
        let pruned = place.prune_after(SOON).remove(0);
        assert!(!pruned.is_failure(), "{pruned:?}");
        assert_eq!((pruned.removed.clone(), pruned.removed_bytes), (days(0..4), 400));
        assert_eq!(place.visible(0), days(4..6));
        let deleted: Vec<String> = place.scripts[0]
            .calls()
            .into_iter()
            .filter(|(call, _)| *call == Call::Delete)
            .map(|(_, key)| key)
            .collect();
        let files =
            |id: &ArchiveId| [id.manifest_name(), id.archive_name(Form::PLAIN), id.pin_name(), id.removing_name()];
        let expected = days(0..4).into_iter().rev().flat_map(|id| files(&id).map(|name| id.key(&name)));
        assert!(deleted.into_iter().eq(expected));
        assert_eq!(place.names(0).len(), 4, "no note is left: {:?}", place.names(0));
    }

    #[test]
    fn failure_at_any_delete_leaves_no_manifest_without_archive_and_is_made_good_later() {
        for nth in 1..=16 {
            for kind in [ErrorKind::Unavailable, ErrorKind::Locked, ErrorKind::PermissionDenied] {
                let place = Place::filled();
                place.scripts[0].fail(Call::Delete, nth, kind);
                let pruned = place.prune_after(SOON).remove(0);
                let is_failure = kind == ErrorKind::Unavailable;
                assert_eq!(pruned.is_failure(), is_failure, "{nth}: {pruned:?}");
                assert_eq!((pruned.failures.len(), pruned.locked.len()), if is_failure { (1, 0) } else { (0, 1) });
                let (is_manifest, is_archive) = (nth % 4 == 1, nth % 4 == 2);
                // What the storage keeps stays visible.
                let stays = is_manifest || (is_archive && !is_failure);
                assert_eq!(pruned.removed.len(), if stays { 3 } else { 4 }, "{nth} {kind:?}");
                assert_eq!(pruned.removed_bytes, if is_manifest || is_archive { 300 } else { 400 });
                assert_eq!(place.visible(0).len(), if stays { 3 } else { 2 });
                // Once the storage lets go, nothing is left but what is to be kept.
                place.scripts[0].forget();
                assert!(!place.prune_after(LATER).remove(0).is_failure());
                assert_eq!(place.visible(0), days(4..6));
                assert_eq!(place.names(0).len(), 4, "{nth} {kind:?}: {:?}", place.names(0));
            }
        }
    }

    /// A full archive, a weekly one on it, nights on both, and then another full one with a night.
    fn chained() -> Place {
        let place = Place::new(&["vault"]);
        let chains: [&[i64]; 6] = [&[], &[0], &[0], &[0, 2], &[], &[4]];
        let mut manifests: Vec<Manifest> = Vec::new();
        for (day, chain) in (0..DAYS).zip(chains) {
            let base = chain.last().and_then(|&base| manifests.get(usize::try_from(base).unwrap()));
            let level = if day == 2 { Level::Weekly } else { Level::Nightly };
            let base = base.map(|base| base.as_base(level));
            let form = Form { differential: base.is_some(), ..Form::PLAIN };
            let manifest = Manifest { base, archive: id(day).archive_name(form), ..manifest(&id(day)) };
            place.put(0, &id(day).key(&manifest.archive), &[0; 100]);
            place.put(0, &id(day).key(&id(day).manifest_name()), &manifest.to_json());
            manifests.push(manifest);
        }
        place.scripts[0].forget();
        place
    }

    impl Place {
        /// The days of which the manifest is there; each has its archive, and all that it builds on.
        fn whole_chains(&self) -> Vec<i64> {
            let catalog = catalog::read(self.destination(0), None).unwrap();
            let broken: Vec<&Problem> =
                catalog.problems.iter().filter(|problem| problem.kind != ProblemKind::Orphan).collect();
            assert!(broken.is_empty(), "{broken:?}");
            (0..DAYS).filter(|day| catalog.archives.contains_key(&id(*day))).collect()
        }
    }

    #[test]
    fn what_others_build_on_stays_as_long_as_they_do() {
        let place = chained();
        let pruned = place.prune_after(SOON).remove(0);
        assert_eq!(pruned.removed, days(0..4), "{pruned:?}");
        assert_eq!(place.whole_chains(), [4, 5]);
        // A pin holds the chain.
        let place = chained();
        place.put(0, &id(3).key(&id(3).pin_name()), b"{}");
        let pruned = place.prune_after(SOON).remove(0);
        assert_eq!(pruned.removed, days([1]), "{pruned:?}");
        assert_eq!(place.whole_chains(), [0, 2, 3, 4, 5]);
        let reasons = pruned.plan.unwrap().decisions[0].words();
        assert_eq!(reasons, [format!("base of {}", id(3))]);
    }

    #[test]
    fn differential_archive_that_cannot_be_removed_keeps_what_it_builds_on() {
        let mut tried = 0;
        for nth in 1..=16 {
            for kind in [ErrorKind::Unavailable, ErrorKind::Locked, ErrorKind::PermissionDenied] {
                for call in [Call::Delete, Call::PutNew, Call::Read, Call::List, Call::Stat] {
                    let place = chained();
                    let modified = place.destination(0).list("XYZ").unwrap().iter().map(|entry| entry.modified).max();
                    place.scripts[0].forget();
                    place.scripts[0].fail(call, nth, kind);
                    let pruned = place.prune_at(modified.unwrap() + SOON, &Cancel::new());
                    place.scripts[0].forget();
                    assert!(place.whole_chains().ends_with(&[4, 5]), "{call:?} {nth} {kind:?}: {pruned:?}");
                    tried += 1;
                    place.prune_after(LATER);
                    assert_eq!(place.whole_chains(), [4, 5], "{call:?} {nth} {kind:?}");
                }
            }
        }
        println!("{tried} prunes with one failing call each");
    }

    #[test]
    fn archive_that_was_made_meanwhile_keeps_what_it_builds_on() {
        let place = chained();
        let catalog = catalog::read(place.destination(0), None).unwrap();
        let base = catalog.archives[&id(2)].manifest.as_base(Level::Nightly);
        let form = Form { differential: true, ..Form::PLAIN };
        let new = Manifest { base: Some(base), archive: id(6).archive_name(form), ..manifest(&id(6)) };
        place.put(0, &id(6).key(&new.archive), &[0; 100]);
        place.put(0, &id(6).key(&id(6).manifest_name()), &new.to_json());
        let mut pruned = Pruned::new("vault");
        for (day, goes) in [(3, true), (2, false), (0, false), (1, true)] {
            let gone = remove(place.destination(0), &catalog.archives[&id(day)], &catalog, &mut pruned);
            assert_eq!(gone, goes, "{day}: {pruned:?}");
        }
    }

    #[test]
    fn unreadable_manifest_keeps_all_that_it_may_build_on() {
        let place = chained();
        let key = id(3).key(&id(3).manifest_name());
        place.destination(0).delete(&key).unwrap();
        place.put(0, &key, b"{");
        let pruned = place.prune_after(SOON).remove(0);
        assert!(pruned.removed.is_empty(), "{pruned:?}");
        assert!(pruned.plan.unwrap().decisions[1].words()[0].contains("its manifest cannot be read"));
        // Where every archive is a full one, it keeps itself alone.
        let place = Place::filled();
        place.destination(0).delete(&key).unwrap();
        place.put(0, &key, b"{");
        assert_eq!(place.prune_after(SOON).remove(0).removed, days(0..3));
    }

    #[test]
    fn full_disk_and_account_that_may_only_delete_do_not_keep_from_pruning() {
        for kind in [ErrorKind::Full, ErrorKind::PermissionDenied] {
            let place = Place::filled();
            place.scripts[0].fail_always(Call::PutNew, kind);
            let pruned = place.prune_after(SOON).remove(0);
            assert!(!pruned.is_failure(), "{pruned:?}");
            assert_eq!(pruned.removed, days(0..4));
        }
    }

    #[test]
    fn dry_run_names_what_would_be_swept_and_touches_nothing() {
        let place = Place::filled();
        place.put(0, &id(5).key(&id(5).attempt_name(Form::PLAIN, 1)), b"of an attempt that came second");
        let before = place.names(0);
        let modified = place.destination(0).list("XYZ").unwrap().iter().map(|entry| entry.modified).max();
        let (clock, monitor, cancel) = (FixedClock(modified.unwrap() + LATER), Collector::default(), Cancel::new());
        let context = Context {
            config: &place.config,
            targets: &place.targets,
            clock: &clock,
            monitor: &monitor,
            cancel: &cancel,
        };
        let pruned = prune(&context, None, None, true).remove(0);
        assert_eq!(pruned.swept, [id(5).key(&id(5).attempt_name(Form::PLAIN, 1))]);
        assert!(pruned.removed.is_empty() && monitor.events().is_empty());
        assert_eq!(place.names(0), before);
        assert_eq!(prune(&context, None, None, false).remove(0).swept, pruned.swept);
        assert_eq!(place.names(0).len(), 4);
    }

    #[test]
    fn storage_that_keeps_everything_is_no_failure() {
        for kind in [ErrorKind::Locked, ErrorKind::PermissionDenied] {
            let place = Place::filled();
            let orphan = id(-1);
            place.put(0, &orphan.key(&orphan.archive_name(Form::PLAIN)), b"orphan");
            place.scripts[0].fail_always(Call::Delete, kind);
            let pruned = place.prune_after(LATER).remove(0);
            assert!(!pruned.is_failure(), "{pruned:?}");
            assert!(pruned.removed.is_empty() && pruned.swept.is_empty());
            assert_eq!(pruned.locked.len(), 4, "{pruned:?}");
            assert_eq!(place.visible(0), days(0..6));
        }
    }

    #[test]
    fn what_cannot_be_understood_is_neither_counted_nor_removed() {
        let place = Place::filled();
        let newer = String::from_utf8(manifest(&id(6)).to_json()).unwrap().replace("\"format\": 1", "\"format\": 2");
        let based = String::from_utf8(manifest(&id(7)).to_json()).unwrap().replacen('{', "{\"base\": \"x\",", 1);
        for (day, json) in [(6, newer.as_bytes()), (7, based.as_bytes()), (8, b"{"), (9, b"")] {
            place.put(0, &id(day).key(&id(day).archive_name(Form::PLAIN)), &[0; 100]);
            place.put(0, &id(day).key(&id(day).manifest_name()), json);
        }
        place.put(0, "XYZ/notes.txt", b"foreign");
        let pruned = place.prune_after(LATER).remove(0);
        assert!(pruned.is_failure() && pruned.failures.is_empty());
        assert_eq!(pruned.problems.len(), 3, "those that no version reads: {pruned:?}");
        assert_eq!(pruned.removed, days(0..4));
        let names = place.names(0);
        for day in 4..10 {
            assert!(
                names.contains(&id(day).manifest_name()) && names.contains(&id(day).archive_name(Form::PLAIN)),
                "{day}"
            );
        }
        assert!(names.contains(&"notes.txt".to_owned()));
    }

    #[test]
    fn archive_that_lost_its_manifest_is_kept_and_what_attempts_left_goes_when_old() {
        let place = Place::filled();
        let orphan = id(9);
        place.put(0, &orphan.key(&orphan.archive_name(Form::ENCRYPTED)), b"may be whole");
        let second = id(5).key(&id(5).attempt_name(Form::PLAIN, 7));
        place.put(0, &second, b"of an attempt that came second");
        assert!(place.prune_after(Duration::from_hours(47)).remove(0).swept.is_empty());
        // A clock that was set back makes nothing old.
        let cancel = Cancel::new();
        assert!(place.prune_at("1990-01-01T00:00:00Z".parse().unwrap(), &cancel).remove(0).swept.is_empty());
        assert_eq!(place.prune_after(LATER).remove(0).swept, [second]);
        assert!(place.names(0).contains(&orphan.archive_name(Form::ENCRYPTED)));
    }

    #[test]
    fn pinned_archives_stay() {
        let place = Place::filled();
        place.put(0, &id(1).key(&id(1).pin_name()), b"not even JSON");
        let pruned = place.prune_after(SOON).remove(0);
        assert_eq!(pruned.removed, days([0, 2, 3]));
        assert_eq!(place.visible(0), days([1, 4, 5]));
    }

    #[test]
    fn archive_that_is_pinned_at_the_last_moment_stays() {
        let place = Place::filled();
        let (clock, monitor, cancel) = (FixedClock(id(10).stamp()), Collector::default(), Cancel::new());
        let context = Context {
            config: &place.config,
            targets: &place.targets,
            clock: &clock,
            monitor: &monitor,
            cancel: &cancel,
        };
        let held = crate::catalog::read_all(context.targets, None);
        place.put(0, &id(1).key(&id(1).pin_name()), b"{}");
        let pruned = prune_one(&context, &held[0], &held, None, false);
        assert!(!pruned.is_failure(), "{pruned:?}");
        assert_eq!(pruned.removed, days([0, 2, 3]));
        assert_eq!(place.visible(0), days([1, 4, 5]));
    }

    #[test]
    fn archive_of_which_nobody_knows_whether_it_is_pinned_stays() {
        let place = Place::filled();
        place.scripts[0].fail(Call::Stat, 2, ErrorKind::Unavailable);
        let pruned = place.prune_after(SOON).remove(0);
        assert!(pruned.is_failure());
        // The newest goes first.
        assert_eq!(pruned.removed, days([0, 1, 2]));
        assert_eq!(place.visible(0), days([3, 4, 5]));
        assert_eq!(place.names(0).len(), 6, "no note is left: {:?}", place.names(0));
    }

    #[test]
    fn what_another_destination_still_needs_stays() {
        let mut place = Place::new(&["vault", "offsite"]);
        (0..DAYS).for_each(|day| place.store(0, &id(day)));
        place.store(1, &id(0));
        place.store(1, &id(5));
        let mut settings = place.targets[1].settings().clone();
        settings.retention.last = 4;
        let offsite = Arc::clone(place.targets[1].open().unwrap());
        place.targets[1] = destination::Target::opened(settings, offsite);
        let pruned = place.prune_after(SOON);
        assert_eq!(pruned[0].removed, days([0, 1]));
        assert_eq!(place.visible(0), days(2..6));
        assert_eq!(place.visible(1), days([0, 5]));
    }

    #[test]
    fn destination_that_cannot_be_read_may_need_everything() {
        let place = Place::new(&["vault", "offsite"]);
        (0..DAYS).for_each(|day| place.store(0, &id(day)));
        place.scripts[1].fail_always(Call::Folders, ErrorKind::Unavailable);
        let pruned = place.prune_after(SOON);
        assert!(pruned[1].is_failure());
        // It would keep the newest two of these.
        assert_eq!(place.visible(0), days(4..6));
    }

    #[test]
    fn cancelled_pruning_removes_nothing_more() {
        let place = Place::filled();
        let cancel = Cancel::new();
        cancel.cancel();
        let pruned = place.prune_at(id(10).stamp(), &cancel).remove(0);
        assert!(pruned.removed.is_empty());
        assert_eq!(place.visible(0), days(0..6));
    }
}

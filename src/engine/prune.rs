//! Carries out retention plans: manifest first, then the archive, then the pin, so nothing visible is ever half there.
//!
//! The plan is made per destination by [`crate::retention`]; here lie the facts that it needs from outside: whether
//! this run's push arrived, and which archives another destination still lacks.

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;

use super::context::Context;
use super::outcome::{Pruned, SiteOutcome};
use crate::catalog::{Catalog, Inventory, Stored, read_all};
use crate::destination::Destination;
use crate::error::chain;
use crate::monitor::{Event, EventKind};
use crate::name::{ArchiveId, SiteCode};
use crate::retention::brakes::{self, Push};
use crate::retention::plan::{Candidate, Condition, plan};
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

/// Prunes every destination (of one name, if given). `dry_run` only plans.
#[must_use]
pub fn prune(context: &Context<'_>, site: Option<SiteCode>, only: Option<&str>, dry_run: bool) -> Vec<Pruned> {
    let held = read_all(context.targets, site);
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
    for event in events(&pruned) {
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
    if let Err(refusal) = brakes::check(&plan, &one.target.settings().retention, &Push::Done) {
        pruned.refused = Some(format!("{refusal} (hint: {})", refusal.hint()));
    } else if !dry_run {
        for id in plan.removed().map(|decision| &decision.id) {
            // Whatever the clock says: what this run has just made is not what it throws away.
            if Some(id) == fresh || context.cancel.is_cancelled() {
                continue;
            }
            if let Some(stored) = catalog.archives.get(id) {
                remove(destination, stored, pruned);
            }
        }
    }
    pruned.plan = Some(plan);
    if !dry_run {
        sweep(context, one, destination, catalog, now, pruned);
    }
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
    for (id, database) in sound_copies(catalog, now) {
        if let Some(candidate) = candidates.get_mut(id) {
            candidate.sound_copy_of = Some(database);
        }
    }
    candidates.into_values().collect()
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
    let condition = if !stored.is_good() {
        Condition::Damaged
    } else if stored.manifest.is_proven() {
        Condition::Good
    } else {
        Condition::Unknown
    };
    Candidate {
        id: stored.manifest.id.clone(),
        condition,
        pin: stored.pin.as_ref().map(|pin| pin.reason.clone()),
        needed_elsewhere: false,
        sound_copy_of: None,
        bytes: stored.manifest.bytes,
    }
}

fn remove(destination: &dyn Destination, stored: &Stored, pruned: &mut Pruned) {
    let manifest = &stored.manifest;
    let id = &manifest.id;
    // Somebody may have pinned it since the catalog was read.
    match destination.stat(&id.key(&id.pin_name())) {
        Err(error) if error.is_not_found() => {}
        Err(error) => return pruned.failures.push(chain(&error)),
        Ok(_) => return,
    }
    // From the first of these on it is no archive any more.
    let keys = [id.manifest_name(), manifest.archive.clone(), id.pin_name()].map(|name| id.key(&name));
    for (step, key) in keys.iter().enumerate() {
        crate::stop_point::reached(["manifest-goes", "archive-goes", "pin-goes"][step]);
        match destination.delete(key) {
            Ok(()) if step == 1 => pruned.removed_bytes += manifest.bytes,
            Ok(()) => {}
            Err(error) => {
                pruned.note(id, &error);
                if step == 0 {
                    return;
                }
            }
        }
    }
    crate::stop_point::reached("archive-gone");
    pruned.removed.push(id.clone());
}

/// Removes what killed runs have left, when it is old enough that nobody can be at work on it.
fn sweep(
    context: &Context<'_>,
    one: &Inventory<'_>,
    destination: &dyn Destination,
    catalog: &Catalog,
    now: Timestamp,
    pruned: &mut Pruned,
) {
    let is_old = |modified: Timestamp| {
        let age = now.duration_since(modified);
        !age.is_negative() && age.unsigned_abs() > one.target.settings().sweep_after
    };
    for orphan in catalog.orphans.iter().filter(|orphan| is_old(orphan.entry.modified)) {
        match destination.delete(&orphan.key) {
            Ok(()) => pruned.swept.push(orphan.key.clone()),
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
        for leftover in leftovers.iter().filter(|leftover| is_old(leftover.modified)) {
            match destination.remove_leftover(leftover) {
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
        events.push(at(Event::new(EventKind::Removed, message).with("archives", ids)));
    }
    for key in &pruned.swept {
        let message = format!("Removed what an unfinished run had left on {}: {key}", pruned.destination);
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
    use crate::cancel::Cancel;
    use crate::clock::FixedClock;
    use crate::config::{self, Config, Verify};
    use crate::destination::faulty::{Call, Faulty, Script};
    use crate::destination::{self, ErrorKind, in_memory};
    use crate::monitor::Collector;
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
            completion_evidence: "metadata".to_owned(),
            archived: id.stamp(),
            program: "test".to_owned(),
            host: "CM01".to_owned(),
            archive: id.archive_name(false),
            bytes: 100,
            sha256: Sha256Hex([0; 32]),
            compressed_bytes: 100,
            uncompressed_bytes: 1536,
            files: 0,
            encryption: None,
            index: IndexLocation { frame: 0, frames: 1, frame_offset: 0, offset: 512, size: 9 },
            parts: vec![],
            fingerprint: String::new(),
            folders: vec![],
            missing: vec![],
            skipped: 0,
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
                watch: config::Watch::default(),
                destinations: names.iter().map(destination).collect(),
                hooks: config::Hooks::default(),
                report: config::Report::default(),
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
            self.put(destination, &id.key(&id.archive_name(false)), &[0; 100]);
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
            ids.inspect(|id| assert!(names.contains(&id.archive_name(false)), "{id} has no archive")).collect()
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
        let expected = days(0..4)
            .into_iter()
            .flat_map(|id| [id.manifest_name(), id.archive_name(false), id.pin_name()].map(|name| id.key(&name)));
        assert!(deleted.into_iter().eq(expected));
    }

    #[test]
    fn failure_at_any_delete_leaves_no_manifest_without_archive_and_is_made_good_later() {
        for nth in 1..=12 {
            for kind in [ErrorKind::Unavailable, ErrorKind::Locked, ErrorKind::PermissionDenied] {
                let place = Place::filled();
                place.scripts[0].fail(Call::Delete, nth, kind);
                let pruned = place.prune_after(SOON).remove(0);
                let is_failure = kind == ErrorKind::Unavailable;
                assert_eq!(pruned.is_failure(), is_failure, "{nth}: {pruned:?}");
                assert_eq!((pruned.failures.len(), pruned.locked.len()), if is_failure { (1, 0) } else { (0, 1) });
                let is_manifest = nth % 3 == 1;
                let is_archive = nth % 3 == 2;
                assert_eq!(pruned.removed.len(), if is_manifest { 3 } else { 4 });
                assert_eq!(pruned.removed_bytes, if is_manifest || is_archive { 300 } else { 400 });
                assert_eq!(place.visible(0).len(), if is_manifest { 3 } else { 2 });
                // Once the storage lets go, nothing is left but what is to be kept.
                place.scripts[0].forget();
                assert!(!place.prune_after(LATER).remove(0).is_failure());
                assert_eq!(place.visible(0), days(4..6));
                assert_eq!(place.names(0).len(), 4);
            }
        }
    }

    #[test]
    fn storage_that_keeps_everything_is_no_failure() {
        for kind in [ErrorKind::Locked, ErrorKind::PermissionDenied] {
            let place = Place::filled();
            let orphan = id(-1);
            place.put(0, &orphan.key(&orphan.archive_name(false)), b"orphan");
            place.scripts[0].fail_always(Call::Delete, kind);
            let pruned = place.prune_after(LATER).remove(0);
            assert!(!pruned.is_failure(), "{pruned:?}");
            assert!(pruned.removed.is_empty() && pruned.swept.is_empty());
            assert_eq!(pruned.locked.len(), 5, "four archives and an orphan");
            assert_eq!(place.visible(0), days(0..6));
        }
    }

    #[test]
    fn what_cannot_be_understood_is_neither_counted_nor_removed() {
        let place = Place::filled();
        let newer = String::from_utf8(manifest(&id(6)).to_json()).unwrap().replace("\"format\": 1", "\"format\": 2");
        let based = String::from_utf8(manifest(&id(7)).to_json()).unwrap().replacen('{', "{\"base\": \"x\",", 1);
        for (day, json) in [(6, newer.as_bytes()), (7, based.as_bytes()), (8, b"{"), (9, b"")] {
            place.put(0, &id(day).key(&id(day).archive_name(false)), &[0; 100]);
            place.put(0, &id(day).key(&id(day).manifest_name()), json);
        }
        place.put(0, "XYZ/notes.txt", b"foreign");
        let pruned = place.prune_after(LATER).remove(0);
        assert!(!pruned.is_failure(), "{pruned:?}");
        assert_eq!(pruned.removed, days(0..4));
        let names = place.names(0);
        for day in 4..10 {
            assert!(names.contains(&id(day).manifest_name()) && names.contains(&id(day).archive_name(false)), "{day}");
        }
        assert!(names.contains(&"notes.txt".to_owned()));
    }

    #[test]
    fn orphans_are_swept_only_when_old() {
        let place = Place::filled();
        let orphan = id(9);
        place.put(0, &orphan.key(&orphan.archive_name(true)), b"on its way");
        assert!(place.prune_after(Duration::from_hours(47)).remove(0).swept.is_empty());
        // A clock that was set back makes nothing old.
        let cancel = Cancel::new();
        assert!(place.prune_at("1990-01-01T00:00:00Z".parse().unwrap(), &cancel).remove(0).swept.is_empty());
        assert!(place.names(0).contains(&orphan.archive_name(true)));
        assert_eq!(place.prune_after(LATER).remove(0).swept, [orphan.key(&orphan.archive_name(true))]);
        assert!(!place.names(0).contains(&orphan.archive_name(true)));
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
        let held = read_all(context.targets, None);
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
        assert_eq!(pruned.removed, days([0, 2, 3]));
        assert_eq!(place.visible(0), days([1, 4, 5]));
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

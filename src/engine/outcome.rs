//! What became of a run: per site and per destination; the worst decides the exit code.

use std::sync::Arc;

use serde::Serialize;

use super::error::RunError;
use super::lanes::PushError;
use crate::archive::index::Skipped;
use crate::archive::manifest::Manifest;
use crate::destination::{self, ErrorKind};
use crate::error::chain;
use crate::monitor::{Event, EventKind, Level, Monitor};
use crate::name::{ArchiveId, SiteCode};
use crate::retention::plan::Plan;
use crate::severity::Severity;
use crate::units;

/// What became of a run.
#[derive(Debug, Default)]
pub struct Outcome {
    /// One for each site, and one without site when there was nothing at all.
    pub sites: Vec<SiteOutcome>,
}

/// What became of a site.
#[derive(Debug)]
pub struct SiteOutcome {
    /// Which, if known.
    pub site: Option<SiteCode>,
    /// The archive, if it came to that.
    pub archive: Option<ArchiveId>,
    /// In one word.
    pub result: SiteResult,
    /// What became of each destination.
    pub destinations: Vec<DestinationOutcome>,
    /// Files that should be in the archive and are not.
    pub skipped: Vec<Skipped>,
    /// What else should be there and is not, in words.
    pub shortcomings: Vec<String>,
    /// What to do about a failure.
    pub hint: Option<String>,
    /// What is wrong with its databases, in words.
    pub damage: Vec<String>,
    /// Newer backups that cannot be restored or were not understood, in words.
    pub faults: Vec<String>,
    /// Databases that were sound in the archive before and are not now.
    pub worsened: Vec<String>,
    /// The manifest, when an archive was written or was there already.
    pub manifest: Option<Arc<Manifest>>,
    /// What became of pruning, per destination.
    pub pruned: Vec<Pruned>,
}

/// What became of a site, in one word.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SiteResult {
    /// A new archive is on at least one destination.
    Archived,
    /// Every destination that can be reached has it already.
    AlreadyArchived,
    /// There is no completed snapshot.
    NotComplete {
        /// Why not.
        reasons: Vec<String>,
    },
    /// The snapshot changed while it was read; nothing was kept.
    Changed {
        /// What changed.
        changes: Vec<String>,
    },
    /// No destination has it.
    Failed {
        /// Why.
        reason: String,
    },
}

/// What became of a destination.
#[derive(Debug)]
pub struct DestinationOutcome {
    /// Its name.
    pub name: String,
    /// In one word.
    pub result: DestinationResult,
}

/// What became of a destination, in one word.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum DestinationResult {
    /// Under way; in a finished outcome: the attempt was dropped.
    Pending,
    /// The archive is there, and was checked as configured.
    Pushed {
        /// Its size.
        bytes: u64,
    },
    /// It was there before.
    AlreadyThere,
    /// It is not there.
    Failed {
        /// Why, with all causes.
        reason: String,
        /// What to do.
        hint: Option<String>,
        /// Was it for want of space?
        full: bool,
    },
}

/// What became of pruning one destination.
#[derive(Debug, Serialize)]
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
    /// What killed runs had left and was removed; in a dry run, what would be.
    pub swept: Vec<String>,
    /// Archives that cannot be judged, and why. They stay.
    pub problems: Vec<String>,
    /// Archives that are not whole, and archive files without a manifest.
    pub notes: Vec<String>,
    /// Why nothing, or not everything, was done.
    pub refused: Option<String>,
    /// What failed.
    pub failures: Vec<String>,
}

impl Pruned {
    pub(super) fn new(destination: &str) -> Self {
        Self {
            destination: destination.to_owned(),
            plan: None,
            removed: vec![],
            removed_bytes: 0,
            locked: vec![],
            swept: vec![],
            problems: vec![],
            notes: vec![],
            refused: None,
            failures: vec![],
        }
    }

    /// What the storage itself protects stays, and that is no failure.
    pub(super) fn note(&mut self, id: &ArchiveId, error: &destination::Error) {
        match error.kind {
            ErrorKind::Locked | ErrorKind::PermissionDenied => self.locked.push((id.clone(), chain(error))),
            _ => self.failures.push(chain(error)),
        }
    }

    /// Should somebody look at it?
    #[must_use]
    pub fn is_failure(&self) -> bool {
        self.refused.is_some() || !self.failures.is_empty() || !self.problems.is_empty()
    }
}

impl DestinationOutcome {
    pub(super) fn new(name: &str, result: DestinationResult) -> Self {
        Self { name: name.to_owned(), result }
    }
}

impl DestinationResult {
    pub(super) fn failed(error: &PushError) -> Self {
        let full = matches!(error, PushError::Destination(error) if error.kind == ErrorKind::Full);
        Self::Failed { reason: chain(error), hint: error.hint().map(str::to_owned), full }
    }

    /// What it holds could not be read.
    pub(super) fn away(error: &destination::Error) -> Self {
        let full = error.kind == ErrorKind::Full;
        Self::Failed { reason: chain(error), hint: error.hint().map(str::to_owned), full }
    }

    /// Was there no space for it?
    #[must_use]
    pub fn is_full(&self) -> bool {
        matches!(self, Self::Failed { full: true, .. })
    }

    /// Does the destination have the archive?
    #[must_use]
    pub fn has_archive(&self) -> bool {
        matches!(self, Self::Pushed { .. } | Self::AlreadyThere)
    }
}

impl Outcome {
    /// The worst of all sites.
    #[must_use]
    pub fn severity(&self) -> Severity {
        self.sites.iter().map(SiteOutcome::severity).max().unwrap_or(Severity::NoSnapshot)
    }
}

impl SiteResult {
    /// Of all destinations, none has the archive.
    pub(super) fn not_taken() -> Self {
        Self::Failed { reason: "no destination took the archive".to_owned() }
    }
}

impl SiteOutcome {
    pub(super) fn new(site: Option<SiteCode>, result: SiteResult) -> Self {
        Self {
            site,
            archive: None,
            result,
            destinations: vec![],
            skipped: vec![],
            shortcomings: vec![],
            hint: None,
            damage: vec![],
            faults: vec![],
            worsened: vec![],
            manifest: None,
            pruned: vec![],
        }
    }

    pub(super) fn set(&mut self, name: &str, result: DestinationResult) {
        if let Some(one) = self.destinations.iter_mut().find(|one| one.name == name) {
            one.result = result;
        }
    }

    /// The outcome of a run that tried twice: what the first try put on a destination is there, whatever became of the
    /// second.
    pub(super) fn then(self, second: Result<Self, RunError>) -> Result<Self, RunError> {
        match second {
            Ok(second) if second.is_safe() => Ok(second.after(&self)),
            _ if self.is_safe() => Ok(self),
            second => second,
        }
    }

    fn after(mut self, first: &Self) -> Self {
        for one in &mut self.destinations {
            let before = first.destinations.iter().find(|other| other.name == one.name).map(|other| &other.result);
            if let (DestinationResult::AlreadyThere, Some(pushed @ DestinationResult::Pushed { .. })) =
                (&one.result, before)
            {
                one.result = pushed.clone();
                self.result = SiteResult::Archived;
            }
        }
        self
    }

    /// The attempt ended so: destinations that were under way have nothing.
    pub(super) fn end(&mut self, result: SiteResult) {
        self.destinations.retain(|one| one.result != DestinationResult::Pending);
        self.result = result;
    }

    /// Does any destination have the archive?
    pub(super) fn is_safe(&self) -> bool {
        self.destinations.iter().any(|one| one.result.has_archive())
    }

    /// Does this destination have the archive?
    #[must_use]
    pub fn has_archive(&self, destination: &str) -> bool {
        self.destinations.iter().any(|one| one.name == destination && one.result.has_archive())
    }

    /// How bad it is.
    #[must_use]
    pub fn severity(&self) -> Severity {
        match &self.result {
            SiteResult::NotComplete { .. } | SiteResult::Changed { .. } => Severity::NoSnapshot,
            SiteResult::Failed { .. } => Severity::Failed,
            SiteResult::Archived | SiteResult::AlreadyArchived => {
                let missed = self.destinations.iter().any(|one| !one.result.has_archive());
                let unpruned = self.pruned.iter().any(Pruned::is_failure);
                let manifest = self.manifest.as_ref();
                let lacking = !self.skipped.is_empty() || !self.shortcomings.is_empty();
                if !self.worsened.is_empty()
                    || !self.faults.is_empty()
                    || manifest.is_some_and(|manifest| manifest.is_damaged() || manifest.lacks_the_site())
                {
                    Severity::Damage
                } else if missed || unpruned || lacking || manifest.is_some_and(|manifest| !manifest.is_complete()) {
                    Severity::Partial
                } else {
                    Severity::Done
                }
            }
        }
    }

    /// Tells all of that.
    pub(super) fn tell(&self, monitor: &dyn Monitor) {
        for event in self.events() {
            monitor.event(&event);
        }
    }

    /// What went wrong, a sentence each: what a person has to know of a run that did not end with 0.
    #[must_use]
    pub fn problems(&self) -> Vec<String> {
        let told = self.events().into_iter().filter(|event| event.level > Level::Info).map(|event| event.message);
        let unpruned = self.pruned.iter().flat_map(|one| {
            let reasons = one.refused.iter().chain(&one.failures);
            reasons.map(move |reason| format!("{} is not pruned: {reason}", one.destination))
        });
        told.chain(unpruned).collect()
    }

    /// What to tell about it: one event for the site and one for each destination.
    #[must_use]
    pub fn events(&self) -> Vec<Event> {
        let mut events = Vec::new();
        let site = || self.site.map_or_else(|| "the snapshot".to_owned(), |site| site.to_string());
        let name = self.archive.as_ref().map_or_else(site, ToString::to_string);
        let event = |kind, message: String| Event::new(kind, message).with("archive", name.clone());
        for one in &self.destinations {
            let at = |event: Event| event.with("destination", one.name.clone());
            match &one.result {
                DestinationResult::Pushed { bytes } => {
                    let message = format!("{name} is on {} ({})", one.name, units::format_bytes(*bytes));
                    events.push(at(event(EventKind::Pushed, message).with("bytes", *bytes)));
                }
                DestinationResult::AlreadyThere => {
                    events.push(at(event(EventKind::AlreadyThere, format!("{name} was already on {}", one.name))));
                }
                DestinationResult::Failed { reason, hint, .. } => {
                    let message = format!("{name} is not on {}: {reason}", one.name);
                    let failed = event(EventKind::PushFailed, message).with("reason", reason.clone());
                    events.push(at(failed.with("hint", hint.clone())));
                }
                DestinationResult::Pending => {}
            }
        }
        for damage in &self.damage {
            let message = format!("DAMAGED database in {name}: {damage}");
            events.push(event(EventKind::Damaged, message).with("damage", damage.clone()));
        }
        for fault in &self.faults {
            events.push(event(EventKind::Warning, fault.clone()).at(Level::Error));
        }
        for shortcoming in &self.shortcomings {
            events.push(event(EventKind::Warning, shortcoming.clone()));
        }
        for skipped in &self.skipped {
            let message = format!("{} is not in the archive: {}", skipped.path, skipped.reason);
            events.push(event(EventKind::Skipped, message).with("path", skipped.path.clone()));
        }
        events.push(match &self.result {
            SiteResult::Archived => {
                let manifest = self.manifest.as_deref();
                let (files, plain, bytes) = manifest.map_or((0, 0, 0), |m| (m.files, m.snapshot_bytes, m.bytes));
                let message = format!(
                    "Archived {name}: {}, {} in {}",
                    units::count(files, "file"),
                    units::format_bytes(plain),
                    units::format_bytes(bytes)
                );
                event(EventKind::Archived, message)
                    .with("files", files)
                    .with("uncompressed_bytes", plain)
                    .with("bytes", bytes)
                    .with("sha256", manifest.map(|manifest| manifest.sha256.to_string()))
            }
            SiteResult::AlreadyArchived => event(EventKind::AlreadyArchived, format!("{name} is already archived")),
            SiteResult::NotComplete { reasons } => {
                event(EventKind::NotComplete, format!("no completed snapshot: {}", reasons.join("; ")))
                    .with("reasons", reasons.clone())
            }
            SiteResult::Changed { changes } => {
                let first = changes.first().map_or("", String::as_str);
                let message = format!("dropped {name}: the snapshot changed while it was read: {first}");
                event(EventKind::Changed, message).with("changes", changes.clone())
            }
            SiteResult::Failed { reason } => {
                // It may have failed before there was a name.
                let site = self.site.map_or_else(String::new, |site| format!("site {site}"));
                let subject = if name.is_empty() { &site } else { &name };
                event(EventKind::Failed, format!("{subject} is not archived: {reason}"))
                    .with("reason", reason.clone())
                    .with("hint", self.hint.clone())
            }
        });
        events
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const BYTES: u64 = 7;

    fn full() -> DestinationResult {
        DestinationResult::Failed { reason: "no space".to_owned(), hint: None, full: true }
    }

    fn outcome(result: SiteResult, destinations: [DestinationResult; 2]) -> SiteOutcome {
        let names = ["vault", "offsite"];
        let destinations = names.iter().zip(destinations).map(|(name, result)| DestinationOutcome::new(name, result));
        SiteOutcome { destinations: destinations.collect(), ..SiteOutcome::new(None, result) }
    }

    fn results(outcome: &SiteOutcome) -> Vec<&DestinationResult> {
        outcome.destinations.iter().map(|one| &one.result).collect()
    }

    #[test]
    fn second_try_does_not_forget_what_the_first_has_stored() {
        use DestinationResult::{AlreadyThere, Pushed};
        let first = || outcome(SiteResult::Archived, [Pushed { bytes: BYTES }, full()]);
        // It sees what the first has pushed as there already, and finds room or does not.
        for (last, severity) in [(Pushed { bytes: BYTES }, Severity::Done), (full(), Severity::Partial)] {
            let second = outcome(SiteResult::AlreadyArchived, [AlreadyThere, last.clone()]);
            let both = first().then(Ok(second)).unwrap();
            assert_eq!(results(&both), [&Pushed { bytes: BYTES }, &last]);
            assert_eq!((&both.result, both.severity()), (&SiteResult::Archived, severity));
        }
        // It fails, is asked to stop, or the snapshot is gone.
        let changed = SiteOutcome::new(None, SiteResult::Changed { changes: vec![] });
        for second in [Err(RunError::Cancelled), Ok(changed)] {
            let both = first().then(second).unwrap();
            assert_eq!(results(&both), [&Pushed { bytes: BYTES }, &full()]);
            assert_eq!((&both.result, both.severity()), (&SiteResult::Archived, Severity::Partial));
        }
    }

    #[test]
    fn second_try_counts_where_the_first_has_stored_nothing() {
        let first = || outcome(SiteResult::not_taken(), [full(), full()]);
        assert!(matches!(first().then(Err(RunError::Cancelled)), Err(RunError::Cancelled)));
        let second = outcome(SiteResult::Archived, [DestinationResult::Pushed { bytes: BYTES }, full()]);
        assert_eq!(first().then(Ok(second)).unwrap().result, SiteResult::Archived);
        // What was there before either try stays so.
        let there = || outcome(SiteResult::AlreadyArchived, [DestinationResult::AlreadyThere, full()]);
        let both = there().then(Ok(there())).unwrap();
        assert_eq!(both.result, SiteResult::AlreadyArchived);
    }
}

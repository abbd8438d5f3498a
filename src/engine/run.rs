//! One run: find the snapshot, archive it to every destination, prune.
//!
//! What must happen in which order is in FORMAT.md, section 2. Nothing becomes visible before the snapshot was looked at
//! a second time and found unchanged; no failure of one destination keeps the archive from the others. From the first
//! look to the second a `guard` makes us let go when the backup task begins again.

use std::sync::Arc;

use super::contents::supplemental as extra;
use super::lanes::{Fanout, Lane};
use super::outcome::{DestinationOutcome, DestinationResult, Outcome, SiteOutcome, SiteResult};
use super::sentinel::{Guard, guarded};
use super::{contents as members, held, prune, regression as worsened};
use jiff::SignedDuration;

use crate::archive::OutputClosed;
use crate::archive::databases::DatabaseCheck;
use crate::archive::manifest::{Encryption, FORMAT, MAX_BYTES, Manifest, Part};
use crate::archive::writer::{self, WriteError, Written};
use crate::cancel::Cancel;
use crate::clock::Clock;
use crate::config::Config;
use crate::destination::{self, Destination, ErrorKind};
use crate::error::chain;
use crate::monitor::{Event, Level, Monitor};
use crate::name::{ArchiveId, StoredFile};
use crate::source::complete::{self, By, Completion, State};
use crate::source::supplemental::Expansion;
use crate::source::walk::compare;
use crate::source::{self, Gathered, PartKind, Snapshot, Unfinished};

/// How far two names of the same snapshot may lie apart: less than a run of the task takes.
const NAMES_APART: SignedDuration = SignedDuration::from_hours(12);

/// What a run works with.
#[derive(Debug, Clone, Copy)]
pub struct Context<'a> {
    /// The configuration.
    pub config: &'a Config,
    /// Its destinations, opened, in the same order.
    pub destinations: &'a [Arc<dyn Destination>],
    /// The time.
    pub clock: &'a dyn Clock,
    /// Who is told.
    pub monitor: &'a dyn Monitor,
    /// The request to stop.
    pub cancel: &'a Cancel,
}

impl Context<'_> {
    pub(super) fn tell(&self, event: &Event) {
        self.monitor.event(event);
    }
}

/// Archives every completed snapshot that the configuration names, and prunes.
///
/// # Errors
/// When no snapshot can be looked for at all. What happens to each site is an outcome.
pub fn run(context: &Context<'_>) -> Result<Outcome, RunError> {
    let found = match source::discover(&context.config.snapshot, context.clock.now()) {
        Ok(found) => found,
        Err(error) if error.is_no_snapshot() => {
            let nothing = SiteOutcome::new(None, SiteResult::NotComplete { reasons: vec![error.to_string()] });
            tell_results(context, &nothing);
            return Ok(Outcome { sites: vec![nothing] });
        }
        Err(error) => return Err(error.into()),
    };
    let mut outcome = Outcome::default();
    for Unfinished { path, why } in &found.unfinished {
        let reasons = vec![format!("{}: {why}", path.display())];
        let unfinished = SiteOutcome::new(None, SiteResult::NotComplete { reasons });
        tell_results(context, &unfinished);
        outcome.sites.push(unfinished);
    }
    for snapshot in &found.snapshots {
        if context.cancel.is_cancelled() {
            return Err(RunError::Cancelled);
        }
        let site = match guarded(context, snapshot, |guard| site_under_guard(context, snapshot, guard)) {
            Ok(site) => site,
            // These concern all sites alike.
            Err(error @ (RunError::Cancelled | RunError::Recipient(_))) => return Err(error),
            // What is wrong with one snapshot must not cost the others their archive.
            Err(error) => SiteOutcome::new(Some(snapshot.site), SiteResult::Failed { reason: chain(&error) }),
        };
        // What came to an archive has been told before it was pruned.
        if site.archive.is_none() {
            tell_results(context, &site);
        }
        outcome.sites.push(site);
    }
    Ok(outcome)
}

/// The archives that the completed snapshots of the configuration have or will get, as far as one look can tell.
///
/// # Errors
/// When they cannot be looked at.
pub fn completed(context: &Context<'_>) -> Result<Vec<ArchiveId>, source::Error> {
    let config = &context.config.snapshot;
    let mut ids = Vec::new();
    let log = source::read_log(config);
    if log.at_work(None).is_some() {
        return Ok(ids);
    }
    for snapshot in source::discover(config, context.clock.now())?.snapshots {
        let gathered = guarded(context, &snapshot, |guard| source::gather(&snapshot, log.clone(), guard.let_go()))?;
        let completion = complete::decide(&gathered.evidence, config.quiet, context.clock.now());
        ids.extend(completion.completed().map(|completed| ArchiveId::new(snapshot.site, completed)));
    }
    Ok(ids)
}

/// Ends early, and without a trace, when the backup task begins again.
fn site_under_guard(context: &Context<'_>, snapshot: &Snapshot, guard: &Guard) -> Result<SiteOutcome, RunError> {
    let outcome = site(&Context { cancel: guard.let_go(), ..*context }, snapshot, guard);
    match (outcome, guard.reason()) {
        (Err(RunError::Cancelled), Some(reason)) if !context.cancel.is_cancelled() => {
            Ok(SiteOutcome::new(Some(snapshot.site), SiteResult::NotComplete { reasons: vec![reason] }))
        }
        (outcome, _) => outcome,
    }
}

fn site(context: &Context<'_>, snapshot: &Snapshot, guard: &Guard) -> Result<SiteOutcome, RunError> {
    let site = Some(snapshot.site);
    // Before a single folder is opened: while the task is at work its snapshot is left alone.
    if let Some(reason) = source::read_log(&context.config.snapshot).at_work(site) {
        return Ok(SiteOutcome::new(site, SiteResult::NotComplete { reasons: vec![reason] }));
    }
    let (gathered, completion) = match settle(context, snapshot) {
        Ok(settled) => settled,
        Err(source::Error::Walk(error)) if error.is_cancelled() => return Err(RunError::Cancelled),
        Err(error) if error.is_no_snapshot() => {
            return Ok(SiteOutcome::new(site, SiteResult::NotComplete { reasons: vec![error.to_string()] }));
        }
        Err(error) => return Err(error.into()),
    };
    // Whoever is asked to stop while waiting has not learned that the snapshot is incomplete.
    if context.cancel.is_cancelled() {
        return Err(RunError::Cancelled);
    }
    let State::Complete { completed, by } = completion.state else {
        return Ok(SiteOutcome::new(site, SiteResult::NotComplete { reasons: completion.reasons }));
    };
    let id = ArchiveId::new(snapshot.site, completed);
    let id = known_as(context, snapshot, &gathered, &id).unwrap_or(id);
    let attempt = Attempt { context, snapshot, completion: &completion, id: &id, by, guard };
    let mut outcome = attempt.archive(&gathered)?;
    let held = held::read_all(context, Some(snapshot.site));
    worsened::tell(context, &held, &outcome);
    prune::after_run(context, &held, &mut outcome);
    Ok(outcome)
}

/// The id under which a destination has this very snapshot already: where the log could not be read at the time, it was
/// named after its metadata. The same snapshot is never archived under two names.
fn known_as(context: &Context<'_>, snapshot: &Snapshot, gathered: &Gathered, id: &ArchiveId) -> Option<ArchiveId> {
    let near = |other: &ArchiveId| {
        other != id && other.series().is_none() && other.stamp().duration_since(id.stamp()).abs() <= NAMES_APART
    };
    let mut fingerprint = None;
    for destination in context.destinations {
        // What cannot be asked is told when the archive is put there.
        let entries = destination.list(snapshot.site.as_str()).unwrap_or_default();
        let others = entries.iter().filter_map(|entry| match StoredFile::parse(&entry.name) {
            Some(StoredFile::Manifest(other)) if near(&other) => Some((other, &entry.name)),
            _ => None,
        });
        for (other, name) in others {
            let Ok(bytes) = destination.read(&other.key(name), MAX_BYTES) else { continue };
            let Ok(manifest) = Manifest::parse(name, &bytes) else { continue };
            let own = fingerprint.get_or_insert_with(|| {
                let extra = extra::find(context).unwrap_or_default();
                writer::fingerprint(&members::all(snapshot, gathered, &extra, id.stamp()).0)
            });
            if manifest.fingerprint == *own {
                return Some(other);
            }
        }
    }
    None
}

/// Looks at a snapshot until it is complete or known not to be. Waits for the quiet period where only that can tell.
fn settle(context: &Context<'_>, snapshot: &Snapshot) -> Result<(Gathered, Completion), source::Error> {
    let quiet = context.config.snapshot.quiet;
    let look = || source::gather(snapshot, source::read_log(&context.config.snapshot), context.cancel);
    let mut gathered = look()?;
    let mut completion = complete::decide(&gathered.evidence, quiet, context.clock.now());
    if completion.state == State::Incomplete && !quiet.is_zero() {
        // Only time can tell: complete if nothing changes for as long as configured.
        gathered.evidence.unchanged_for = Some(quiet);
        let after_quiet = complete::decide(&gathered.evidence, quiet, context.clock.now());
        if after_quiet.completed().is_some() {
            let message = format!("Waiting {} for changes in the snapshot", humantime::format_duration(quiet));
            context.tell(&Event::new("waiting", Level::Info, message));
            if !context.clock.wait(quiet, context.cancel) {
                let mut again = look()?;
                let same = gathered.walks.iter().zip(&again.walks).all(|(old, new)| compare(old, new).is_empty());
                again.evidence.unchanged_for = same.then_some(quiet);
                completion = complete::decide(&again.evidence, quiet, context.clock.now());
                gathered = again;
            }
        }
    }
    Ok((gathered, completion))
}

struct Attempt<'a> {
    context: &'a Context<'a>,
    snapshot: &'a Snapshot,
    completion: &'a Completion,
    id: &'a ArchiveId,
    by: By,
    guard: &'a Guard,
}

impl Attempt<'_> {
    /// Archives to every destination that does not have it.
    fn archive(&self, gathered: &Gathered) -> Result<SiteOutcome, RunError> {
        let mut outcome = SiteOutcome::new(Some(self.snapshot.site), SiteResult::AlreadyArchived);
        outcome.archive = Some(self.id.clone());
        let mut lanes = Vec::new();
        let mut stored = None;
        for (destination, config) in self.context.destinations.iter().zip(&self.context.config.destinations) {
            let result = match self.prepare(&**destination, &mut stored) {
                Ok(true) => DestinationResult::AlreadyThere,
                Ok(false) => {
                    lanes.push(Lane {
                        destination: Arc::clone(destination),
                        verify: config.verify,
                        stall_timeout: config.stall_timeout,
                    });
                    DestinationResult::Pending
                }
                Err(error) => DestinationResult::failed(&error, error.hint()),
            };
            outcome.destinations.push(DestinationOutcome::new(destination.name(), result));
        }
        if lanes.is_empty() {
            // Nothing is read, so nobody is in the way.
            self.guard.release();
            if outcome.destinations.iter().all(|one| !matches!(one.result, DestinationResult::AlreadyThere)) {
                outcome.result = SiteResult::Failed { reason: "no destination can be used".to_owned() };
            }
            if let Some(manifest) = stored {
                outcome.damage = known_damage(&manifest);
                outcome.manifest = Some(Arc::new(manifest));
            }
            tell_results(self.context, &outcome);
            return Ok(outcome);
        }
        match (self.write(gathered, &lanes, &mut outcome), self.guard.reason()) {
            (Err(RunError::Cancelled), Some(reason)) => {
                outcome.result = SiteResult::Changed { changes: vec![reason] };
                outcome.forget_pending();
            }
            (result, _) => result?,
        }
        tell_results(self.context, &outcome);
        Ok(outcome)
    }

    /// Is the archive there already, and what is known of it? If not, removes what a killed run has left of it.
    fn prepare(
        &self,
        destination: &dyn Destination,
        stored: &mut Option<Manifest>,
    ) -> Result<bool, destination::Error> {
        let site = self.id.site();
        let entries = destination.list(site.as_str())?;
        if entries.iter().any(|entry| entry.name == self.id.manifest_name()) {
            let manifest = self.check_stored(destination, &entries)?;
            *stored = stored.take().or(manifest);
            return Ok(true);
        }
        let names: Vec<String> = entries.into_iter().map(|entry| entry.name).collect();
        let archives = [false, true].map(|encrypted| self.id.archive_name(encrypted));
        for name in archives.iter().filter(|name| names.contains(name)) {
            destination.delete(&self.id.key(name))?;
        }
        // A run may have died while it wrote the manifest, too.
        let own = |of: &String| archives.contains(of) || *of == self.id.manifest_name();
        for leftover in destination.leftovers(site.as_str())?.iter().filter(|leftover| own(&leftover.of)) {
            // Its name is nobody else's: it is in nobody's way, and prune tries again.
            if let Err(error) = destination.remove_leftover(leftover) {
                let message =
                    format!("what an unfinished run had left on {} stays: {}", destination.name(), chain(&error));
                self.context.tell(&Event::new("warning", Level::Warn, message));
            }
        }
        Ok(false)
    }

    /// A manifest alone keeps nothing safe: the archive that it describes must lie beside it. `None` when only a newer
    /// version can read it.
    fn check_stored(
        &self,
        destination: &dyn Destination,
        entries: &[destination::Entry],
    ) -> Result<Option<Manifest>, destination::Error> {
        let name = self.id.manifest_name();
        let key = self.id.key(&name);
        let fault = |why: String| destination::Error::new(ErrorKind::Other, "use what is already there:", &key, why);
        let manifest = match Manifest::parse(&name, &destination.read(&key, MAX_BYTES)?) {
            Ok(manifest) => manifest,
            // A newer version of this program knows what it did.
            Err(error) if error.is_newer() => return Ok(None),
            Err(error) => return Err(fault(chain(&error))),
        };
        match entries.iter().find(|entry| entry.name == manifest.archive) {
            None => Err(fault("its archive is missing".to_owned())),
            Some(entry) if entry.bytes != manifest.bytes => {
                Err(fault(format!("its archive has {} bytes instead of {}", entry.bytes, manifest.bytes)))
            }
            Some(_) => Ok(Some(manifest)),
        }
    }

    fn write(&self, gathered: &Gathered, lanes: &[Lane], outcome: &mut SiteOutcome) -> Result<(), RunError> {
        let Context { config, monitor, cancel, .. } = *self.context;
        let extra = extra::find(self.context)?;
        extra::warn_of_nothing(self.context, &extra);
        let (members, gaps) = members::all(self.snapshot, gathered, &extra, self.id.stamp());
        let bytes = members.iter().map(|member| member.size).sum();
        outcome.skipped = gaps.iter().filter(|gap| gap.loses_data).map(|gap| gap.skipped.clone()).collect();
        let skipped = gaps.into_iter().map(|gap| gap.skipped).collect();
        let message = format!("Archiving {} to {} destination(s)", self.id, lanes.len());
        self.context.tell(
            &Event::new("started", Level::Info, message)
                .with("archive", self.id.to_string())
                .with("snapshot-bytes", bytes)
                .with("evidence", self.completion.reasons.clone()),
        );
        self.tell_oddities();
        let encrypted = !config.archive.recipients.is_empty();
        let options = writer::Options {
            level: config.archive.level,
            threads: config.archive.threads,
            recipients: recipients(&config.archive.recipients)?,
            check_databases: config.archive.check_databases,
        };
        let key = self.id.key(&self.id.archive_name(encrypted));
        let mut fanout = Fanout::begin(lanes, &key, bytes, cancel);
        let task = monitor.task(&format!("Archiving {}", self.id), Some(bytes));
        let result =
            writer::write(self.id, members, skipped, &options, &mut |block| fanout.send(&block), &*task, cancel);
        drop(task);
        let written = match result {
            Ok(written) => written,
            Err(error) => return self.give_up(fanout, error, outcome),
        };
        // The second look: the archive may exist only if the snapshot is still what it was.
        let changes = match self.changed_since(gathered, &extra) {
            Ok(changes) => changes,
            Err(error) => {
                // Not just dropped: the process may end before its threads have removed what they wrote.
                drop(fanout.abort());
                return Err(error);
            }
        };
        if let Some(changes) = changes {
            drop(fanout.abort());
            outcome.result = SiteResult::Changed { changes };
            outcome.forget_pending();
            return Ok(());
        }
        if !self.guard.release() {
            drop(fanout.abort());
            return Err(RunError::Cancelled);
        }
        let task = monitor.task(&format!("Verifying {}", self.id), None);
        let manifest = Arc::new(self.manifest(&written, encrypted));
        outcome.damage = damage(&written.databases);
        let pushed = fanout.commit(&manifest);
        drop(task);
        for one in pushed {
            let result = match &one.result {
                Ok(()) => DestinationResult::Pushed { bytes: manifest.bytes },
                Err(error) => DestinationResult::failed(error, error.hint()),
            };
            outcome.set(&one.name, result);
        }
        let anywhere = outcome.destinations.iter().any(|one| one.result.has_archive());
        if !anywhere && cancel.is_cancelled() {
            return Err(RunError::Cancelled);
        }
        outcome.result = if anywhere {
            SiteResult::Archived
        } else {
            SiteResult::Failed { reason: "no destination took the archive".to_owned() }
        };
        outcome.manifest = Some(manifest);
        Ok(())
    }

    /// What is not in the archive for a good reason, and what somebody should look at.
    fn tell_oddities(&self) {
        let units = self.snapshot.parts.iter().filter_map(|part| part.unit.as_ref());
        for note in units.flat_map(|unit| &unit.notes) {
            self.context.tell(&Event::new("note", Level::Info, note.clone()));
        }
        for warning in &self.completion.warnings {
            self.context.tell(&Event::new("warning", Level::Warn, warning.clone()));
        }
    }

    fn give_up(&self, fanout: Fanout, error: WriteError, outcome: &mut SiteOutcome) -> Result<(), RunError> {
        let pushed = fanout.abort();
        if self.context.cancel.is_cancelled() {
            return Err(RunError::Cancelled);
        }
        match error {
            WriteError::Changed { .. } => {
                outcome.result = SiteResult::Changed { changes: vec![error.to_string()] };
                outcome.forget_pending();
                Ok(())
            }
            WriteError::Output(OutputClosed) => {
                for one in pushed {
                    if let Err(error) = &one.result {
                        outcome.set(&one.name, DestinationResult::failed(error, error.hint()));
                    }
                }
                // One that has it from an earlier run keeps it safe.
                if !outcome.destinations.iter().any(|one| one.result.has_archive()) {
                    outcome.result = SiteResult::Failed { reason: "no destination took the archive".to_owned() };
                }
                Ok(())
            }
            WriteError::Cancelled => Err(RunError::Cancelled),
            error => Err(RunError::Write(error)),
        }
    }

    /// What changed since `before`, if anything did.
    fn changed_since(&self, before: &Gathered, extra_before: &[Expansion]) -> Result<Option<Vec<String>>, RunError> {
        let context = self.context;
        let log = source::read_log(&context.config.snapshot);
        let mut now = match source::gather(self.snapshot, log, context.cancel) {
            Ok(now) => now,
            Err(source::Error::Walk(error)) if error.is_cancelled() => return Err(RunError::Cancelled),
            Err(error) if error.is_no_snapshot() => return Ok(Some(vec![error.to_string()])),
            Err(error) => return Err(error.into()),
        };
        let mut changes: Vec<String> = before
            .walks
            .iter()
            .zip(&now.walks)
            .flat_map(|(old, new)| {
                compare(old, new).into_iter().map(|change| format!("{}: {change}", new.root.display()))
            })
            .collect();
        changes.extend(extra::changes(extra_before, &extra::find(context)?));
        now.evidence.unchanged_for = before.evidence.unchanged_for;
        let quiet = context.config.snapshot.quiet;
        let again = complete::decide(&now.evidence, quiet, context.clock.now());
        if changes.is_empty() && (again.run != self.completion.run || again.completed() != self.completion.completed())
        {
            changes.extend(again.reasons);
        }
        Ok((!changes.is_empty()).then_some(changes))
    }

    fn manifest(&self, written: &Written, encrypted: bool) -> Manifest {
        let recipients = self.context.config.archive.recipients.clone();
        let parts = self.snapshot.parts.iter().map(|part| Part {
            kind: match part.kind {
                PartKind::Site => "site".to_owned(),
                PartKind::Sql => "sql".to_owned(),
                PartKind::SqlBackups => "sql-backups".to_owned(),
                PartKind::CdLatest => "cd-latest".to_owned(),
            },
            path: part.path.display().to_string(),
        });
        Manifest {
            format: FORMAT,
            id: self.id.clone(),
            site: self.id.site().to_string(),
            series: self.id.series().map(str::to_owned),
            completed: self.id.stamp(),
            completion_evidence: match self.by {
                By::Log => "status-message".to_owned(),
                By::Metadata => "metadata".to_owned(),
                By::BackupFiles => "backup-files".to_owned(),
            },
            archived: self.context.clock.now(),
            program: format!("afterbackup {}", env!("CARGO_PKG_VERSION")),
            host: gethostname::gethostname().to_string_lossy().into_owned(),
            archive: self.id.archive_name(encrypted),
            bytes: written.bytes,
            sha256: written.sha256,
            compressed_bytes: written.compressed_bytes,
            uncompressed_bytes: written.uncompressed_bytes,
            files: written.index.files(),
            encryption: encrypted.then_some(Encryption { recipients }),
            index: written.location,
            parts: parts.collect(),
            fingerprint: written.fingerprint.clone(),
            databases: written.databases.iter().map(DatabaseCheck::summary).collect(),
        }
    }
}

fn tell_results(context: &Context<'_>, outcome: &SiteOutcome) {
    for event in outcome.events() {
        context.tell(&event);
    }
}

/// What is wrong with the databases, in words.
fn damage(databases: &[DatabaseCheck]) -> Vec<String> {
    let damaged = databases.iter().filter(|check| check.is_damaged());
    damaged.map(|check| format!("{}: {}", check.path, words(check))).collect()
}

/// The same for an archive that is there already: which pages they are stands in its index.
fn known_damage(manifest: &Manifest) -> Vec<String> {
    let damaged = manifest.databases.iter().filter(|database| database.verdict == "damaged");
    damaged.map(|database| format!("{}, found when it was archived", database.name)).collect()
}

fn words(check: &DatabaseCheck) -> String {
    let own = if check.report.is_damaged() { check.report.to_string() } else { String::new() };
    let damage = check.damage();
    // The summary names the pages; what is not about pages needs its own words.
    let more = damage.iter().map(String::as_str).filter(|text| !own.contains(text)).take(3);
    let parts = Some(own.as_str()).filter(|own| !own.is_empty()).into_iter().chain(more);
    parts.collect::<Vec<_>>().join("; ")
}

fn recipients(texts: &[String]) -> Result<Vec<age::x25519::Recipient>, RunError> {
    texts.iter().map(|text| text.parse().map_err(|_| RunError::Recipient(text.clone()))).collect()
}

/// Why a run ended without an outcome.
#[derive(Debug, thiserror::Error)]
pub enum RunError {
    /// The snapshot cannot be looked at.
    #[error("cannot look at the snapshot")]
    Source(#[from] source::Error),
    /// The archive cannot be written, through no fault of a destination.
    #[error("cannot archive the snapshot")]
    Write(#[source] WriteError),
    /// Two supplemental files would have the same place.
    #[error("cannot add the supplemental files")]
    Supplemental(#[source] source::supplemental::Error),
    /// Not an age public key.
    #[error("'{0}' is no age public key")]
    Recipient(String),
    /// Asked to stop.
    #[error("cancelled")]
    Cancelled,
}

//! One attempt to archive a completed snapshot: look what is there already, write, look again, confirm.

use std::sync::Arc;

use super::contents::{self as members, supplemental as extra};
use super::context::Context;
use super::error::RunError;
use super::lanes::{Fanout, Lane};
use super::outcome::{DestinationOutcome, DestinationResult, SiteOutcome, SiteResult};
use super::regression;
use super::sentinel::Guard;
use crate::archive::OutputClosed;
use crate::archive::databases::{Judged, judge};
use crate::archive::manifest::{Database, Encryption, FORMAT, MAX_BYTES, Manifest, Part};
use crate::archive::writer::{self, WriteError, Written};
use crate::destination::{self, Destination, ErrorKind};
use crate::error::chain;
use crate::monitor::{Event, EventKind};
use crate::name::ArchiveId;
use crate::source::complete::{self, By, Completion};
use crate::source::supplemental::Expansion;
use crate::source::walk::compare;
use crate::source::{self, Gathered, PartKind, Snapshot};

pub(super) struct Attempt<'a> {
    pub(super) context: &'a Context<'a>,
    pub(super) snapshot: &'a Snapshot,
    pub(super) completion: &'a Completion,
    pub(super) id: &'a ArchiveId,
    pub(super) by: By,
    pub(super) guard: &'a Guard,
}

impl Attempt<'_> {
    /// Archives to every destination that does not have it.
    pub(super) fn archive(&self, gathered: &Gathered) -> Result<SiteOutcome, RunError> {
        let mut outcome = SiteOutcome::new(Some(self.snapshot.site), SiteResult::AlreadyArchived);
        outcome.archive = Some(self.id.clone());
        let units = self.snapshot.parts.iter().filter_map(|part| part.unit.as_ref());
        outcome.faults = units.flat_map(|unit| unit.faults.iter().cloned()).collect();
        let mut lanes = Vec::new();
        let mut stored = None;
        for target in self.context.targets {
            let prepared = target
                .open()
                .and_then(|destination| self.prepare(&**destination, &mut stored).map(|there| (destination, there)));
            let result = match prepared {
                Ok((_, true)) => DestinationResult::AlreadyThere,
                Ok((destination, false)) => {
                    let config = target.settings();
                    lanes.push(Lane {
                        destination: Arc::clone(destination),
                        verify: config.verify,
                        stall_timeout: config.stall_timeout,
                    });
                    DestinationResult::Pending
                }
                Err(error) => DestinationResult::failed(&error, error.hint()),
            };
            outcome.destinations.push(DestinationOutcome::new(target.name(), result));
        }
        crate::stop_point::reached("prepared");
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
            outcome.tell(self.context.monitor);
            return Ok(outcome);
        }
        match (self.write(gathered, &lanes, &mut outcome), self.guard.reason()) {
            (Err(RunError::Cancelled), Some(reason)) => {
                outcome.result = SiteResult::Changed { changes: vec![reason] };
                outcome.forget_pending();
            }
            (result, _) => result?,
        }
        outcome.tell(self.context.monitor);
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
                self.context.tell(&Event::new(EventKind::Warning, message));
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
            &Event::new(EventKind::Started, message)
                .with("archive", self.id.to_string())
                .with("snapshot_bytes", bytes)
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
        crate::stop_point::reached("snapshot-read");
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
        crate::stop_point::reached("looked-again");
        if !self.guard.release() {
            drop(fanout.abort());
            return Err(RunError::Cancelled);
        }
        let task = monitor.task(&format!("Verifying {}", self.id), None);
        let judged = self.judge(&written);
        for warning in judged.warnings {
            self.context.tell(&Event::new(EventKind::Warning, warning));
        }
        outcome.damage = judged.damage;
        let manifest = Arc::new(self.manifest(&written, judged.databases, encrypted));
        let pushed = fanout.commit(&manifest);
        crate::stop_point::reached("committed");
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
            self.context.tell(&Event::new(EventKind::Note, note.clone()));
        }
        for warning in &self.completion.warnings {
            self.context.tell(&Event::new(EventKind::Warning, warning.clone()));
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

    /// What is known of the databases; nothing where the configuration switches their checks off.
    fn judge(&self, written: &Written) -> Judged {
        if !self.context.config.archive.check_databases {
            return Judged::default();
        }
        let before = regression::newest_checked_before(self.context, self.id);
        judge(&written.databases, self.id.site(), before.as_ref().map(|before| before.databases.as_slice()))
    }

    fn manifest(&self, written: &Written, databases: Vec<Database>, encrypted: bool) -> Manifest {
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
            databases,
        }
    }
}

/// What is wrong with the databases of an archive that is there already: which pages they are stands in its index.
fn known_damage(manifest: &Manifest) -> Vec<String> {
    let damaged = manifest.databases.iter().filter(|database| database.verdict.is_damaged());
    let why = |one: &Database| one.why.as_ref().map_or_else(String::new, |why| format!(": {why}"));
    damaged.map(|one| format!("{}{}, found when it was archived", one.name, why(one))).collect()
}

fn recipients(texts: &[String]) -> Result<Vec<age::x25519::Recipient>, RunError> {
    texts.iter().map(|text| text.parse().map_err(|_| RunError::Recipient(text.clone()))).collect()
}

//! One attempt to archive a completed snapshot: look what is there already, write, look again, confirm.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::claim::{self, Prepared};
use super::contents::{self as members, supplemental as extra};
use super::context::Context;
use super::error::RunError;
use super::lanes::{Arrival, Fanout, Lane};
use super::outcome::{DestinationOutcome, DestinationResult, SiteOutcome, SiteResult};
use super::regression;
use super::sentinel::Guard;
use crate::archive::OutputClosed;
use crate::archive::databases::{Judged, judge};
use crate::archive::index::Skipped;
use crate::archive::manifest::{Database, Encryption, FORMAT, Manifest, Part};
use crate::archive::writer::{self, WriteError, Written};
use crate::monitor::{Event, EventKind};
use crate::name::ArchiveId;
use crate::source::complete::{self, By, Completion};
use crate::source::supplemental::Expansion;
use crate::source::walk::{compare, suspects};
use crate::source::{self, Gathered, KnownFolder, PartEvidence, PartKind, Snapshot};

/// Files that may turn out not to be readable when a part of them is in the archive; each costs a new try.
const MOST_LEFT_OUT: usize = 20;

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
        outcome.shortcomings.clone_from(&self.completion.faults);
        let mut lanes = Vec::new();
        let mut stored: Option<Box<Manifest>> = None;
        let encrypted = !self.context.config.archive.recipients.is_empty();
        for target in self.context.targets {
            let settings = target.settings();
            let prepared = target.open().and_then(|destination| {
                let now = (self.context.clock.now(), settings.sweep_after);
                let mut warn = |words: String| self.context.tell(&Event::new(EventKind::Warning, words));
                let prepared = claim::prepare(&**destination, self.id, encrypted, now, &mut warn)?;
                Ok((destination, prepared))
            });
            let result = match prepared {
                Ok((_, Prepared::There(manifest))) => {
                    stored = stored.take().or(manifest);
                    DestinationResult::AlreadyThere
                }
                Ok((destination, Prepared::Open { archive, claim })) => {
                    lanes.push(Lane {
                        destination: Arc::clone(destination),
                        archive: Some(archive),
                        claim: Some(Arc::new(claim)),
                        verify: settings.verify,
                        stall_timeout: settings.stall_timeout,
                    });
                    DestinationResult::Pending
                }
                Err(error) => DestinationResult::failed(&error.into()),
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
                outcome.manifest = Some(Arc::from(manifest));
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

    /// Writes the archive. A file that can be done without and cannot be read to its end is left out of the next try:
    /// an archive never holds as whole what was not read to its end.
    fn write(&self, gathered: &Gathered, lanes: &[Lane], outcome: &mut SiteOutcome) -> Result<(), RunError> {
        let mut left_out = BTreeMap::new();
        loop {
            let known = left_out.len();
            self.try_to_write(gathered, lanes, outcome, &mut left_out)?;
            if left_out.len() == known {
                return Ok(());
            }
            if left_out.len() > MOST_LEFT_OUT {
                let reason = format!("more than {MOST_LEFT_OUT} files cannot be read to their end");
                outcome.result = SiteResult::Failed { reason };
                return Ok(());
            }
        }
    }

    fn tell_start(&self, destinations: usize, bytes: u64) {
        let message = format!("Archiving {} to {destinations} destination(s)", self.id);
        self.context.tell(
            &Event::new(EventKind::Started, message)
                .with("archive", self.id.to_string())
                .with("snapshot_bytes", bytes)
                .with("evidence", self.completion.reasons.clone()),
        );
        self.tell_oddities();
    }

    fn try_to_write(
        &self,
        gathered: &Gathered,
        lanes: &[Lane],
        outcome: &mut SiteOutcome,
        left_out: &mut BTreeMap<String, String>,
    ) -> Result<(), RunError> {
        let Context { config, monitor, cancel, .. } = *self.context;
        let extra = extra::find(self.context)?;
        let (mut members, mut skipped) = members::all(self.snapshot, gathered, &extra, self.id.stamp());
        members.retain(|member| !left_out.contains_key(&member.path));
        skipped.extend(left_out.iter().map(|(path, reason)| Skipped { path: path.clone(), reason: reason.clone() }));
        let bytes = members.iter().map(|member| member.size).sum();
        outcome.skipped.clone_from(&skipped);
        outcome.shortcomings.clone_from(&self.completion.faults);
        outcome.shortcomings.extend(extra::faults(self.context, &extra));
        outcome.shortcomings.extend(linked(gathered).into_iter().map(linked_folder));
        if left_out.is_empty() {
            self.tell_start(lanes.len(), bytes);
        }
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
            Err(WriteError::LeaveOut { archived, reason }) if !cancel.is_cancelled() => {
                drop(fanout.abort());
                left_out.insert(archived, reason);
                return Ok(());
            }
            Err(error) => return self.give_up(fanout, error, outcome),
        };
        crate::stop_point::reached("snapshot-read");
        outcome.skipped.extend(written.unread.iter().cloned());
        // The second look: the archive may exist only if the snapshot is still what it was.
        let changes = match self.changed_since(gathered, &extra, &written) {
            Ok(Ok(None)) => None,
            Ok(Ok(Some(changes))) => Some(changes),
            // What is not a part of the snapshot may change at any time, and must not cost it its archive.
            Ok(Err(Extra(changed))) => {
                drop(fanout.abort());
                let reason = "it changed while it was read".to_owned();
                left_out.extend(changed.into_iter().map(|path| (path, reason.clone())));
                return Ok(());
            }
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
        let manifest = Arc::new(self.manifest(&written, gathered, judged.databases, encrypted));
        let pushed = fanout.commit(&manifest);
        crate::stop_point::reached("committed");
        drop(task);
        for one in pushed {
            let result = match &one.result {
                Ok(Arrival::New) => DestinationResult::Pushed { bytes: manifest.bytes },
                Ok(Arrival::Before) => DestinationResult::AlreadyThere,
                Err(error) => DestinationResult::failed(error),
            };
            outcome.set(&one.name, result);
        }
        let anywhere = outcome.destinations.iter().any(|one| one.result.has_archive());
        if !anywhere && cancel.is_cancelled() {
            return Err(RunError::Cancelled);
        }
        let new = outcome.destinations.iter().any(|one| matches!(one.result, DestinationResult::Pushed { .. }));
        outcome.result = if new {
            SiteResult::Archived
        } else if anywhere {
            SiteResult::AlreadyArchived
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
                        outcome.set(&one.name, DestinationResult::failed(error));
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

    /// What changed since `before`, if anything did. `Err` names supplemental files that changed.
    fn changed_since(
        &self,
        before: &Gathered,
        extra_before: &[Expansion],
        written: &Written,
    ) -> Result<Result<Option<Vec<String>>, Extra>, RunError> {
        let context = self.context;
        let log = source::read_log(&context.config.snapshot);
        let mut now = match source::gather(self.snapshot, log, context.cancel) {
            Ok(now) => now,
            Err(source::Error::Walk(error)) if error.is_cancelled() => return Err(RunError::Cancelled),
            Err(error) if error.is_no_snapshot() => return Ok(Ok(Some(vec![error.reason()]))),
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
        if changes.is_empty() {
            changes.extend(self.rewritten(before, &now, written));
        }
        now.evidence.unchanged_for = before.evidence.unchanged_for;
        let quiet = context.config.snapshot.quiet;
        let again = complete::decide(&now.evidence, quiet, context.clock.now());
        if changes.is_empty() && (again.run != self.completion.run || again.completed() != self.completion.completed())
        {
            changes.extend(again.reasons);
        }
        if !changes.is_empty() {
            return Ok(Ok(Some(changes)));
        }
        let mut extra = extra::changes(extra_before, &extra::find(context)?);
        extra.retain(|path| written.index.entries.iter().any(|entry| entry.path == *path));
        Ok(if extra.is_empty() { Ok(None) } else { Err(Extra(extra)) })
    }

    /// Files that are others than before, or were touched, although size and time are the same: has their content
    /// changed? Programs for backups and against viruses change attributes, so contents decide.
    fn rewritten(&self, before: &Gathered, now: &Gathered, written: &Written) -> Vec<String> {
        let mut changes = Vec::new();
        let walks = before.walks.iter().zip(&now.walks);
        for ((old, new), part) in walks.zip(&self.snapshot.parts) {
            let prefix = members::prefix(part.kind, self.snapshot.site);
            for item in suspects(old, new) {
                let archived = format!("{prefix}/{}", item.name);
                let entry = written.index.entries.iter().find(|entry| entry.path == archived);
                let Some(sum) = entry.and_then(|entry| entry.sha256) else { continue };
                let path = item.path(&new.root);
                if writer::hash_now(&path, self.context.cancel) != Some(sum) {
                    changes.push(format!("{} was rewritten, and its time set back", path.display()));
                }
            }
        }
        changes
    }

    /// What is known of the databases; nothing where the configuration switches their checks off.
    fn judge(&self, written: &Written) -> Judged {
        if !self.context.config.archive.check_databases {
            return Judged::default();
        }
        let before = regression::newest_checked_before(self.context, self.id);
        judge(&written.databases, self.id.site(), before.as_ref().map(|before| before.databases.as_slice()))
    }

    fn manifest(&self, written: &Written, gathered: &Gathered, databases: Vec<Database>, encrypted: bool) -> Manifest {
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
            folders: folders(gathered).into_iter().map(|folder| folder.code().to_owned()).collect(),
            missing: missing(gathered).into_iter().map(|folder| folder.code().to_owned()).collect(),
            skipped: written.index.skipped.len() as u64,
            databases,
        }
    }
}

/// Supplemental files that changed while the archive was written, by their places in it.
struct Extra(Vec<String>);

/// The folders of the backup task that the archive will have.
fn folders(gathered: &Gathered) -> BTreeSet<KnownFolder> {
    gathered.evidence.parts.iter().flat_map(|part| part.folders.iter().copied()).collect()
}

/// Those that it should have, and are links.
fn linked(gathered: &Gathered) -> BTreeSet<KnownFolder> {
    let linked = gathered.evidence.parts.iter().flat_map(|part| part.linked.iter().copied());
    linked.filter(|folder| !folders(gathered).contains(folder)).collect()
}

/// Those that it should have and does not: a configured CD.Latest may be empty or not be there, too.
fn missing(gathered: &Gathered) -> BTreeSet<KnownFolder> {
    let empty = |part: &PartEvidence| part.kind == PartKind::CdLatest && part.data_files == 0;
    let setup = gathered.evidence.parts.iter().any(empty).then_some(KnownFolder::CdLatest);
    linked(gathered).into_iter().chain(setup).collect()
}

fn linked_folder(folder: KnownFolder) -> String {
    let name = folder.name();
    format!(
        "{name} is a link or junction, and links are not followed: the archive is not good without it. Let the backup \
         task write a real folder: remove the link, and move what it leads to into its place before the next backup"
    )
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

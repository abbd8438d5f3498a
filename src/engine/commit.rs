//! The last step: the archive becomes visible, its manifest last.

use std::sync::Arc;

use super::confirm::Confirmed;
use super::error::RunError;
use super::inspect::Inspected;
use super::job::{Halt, Job};
use super::lanes::Arrival;
use super::outcome::{DestinationResult, SiteOutcome, SiteResult};
use super::plan::Plan;
use super::regression;
use super::write::Uploaded;
use crate::archive::databases::{Judged, judge};
use crate::archive::manifest::{Database, Encryption, FORMAT, MAX_BYTES, Manifest, Part};
use crate::archive::provenance::{EvidenceKind, PartKind};
use crate::archive::verdict::Why;
use crate::archive::writer::Written;
use crate::catalog::Inventory;
use crate::config::SnapshotKind;
use crate::monitor::{Event, EventKind};
use crate::source;
use crate::source::complete::By;
use crate::units;

/// Makes the archive visible wherever all of it arrived.
pub(super) fn commit(
    job: Job<'_>,
    inspected: &Inspected,
    plan: &Plan,
    held: &[Inventory<'_>],
    Confirmed(Uploaded { written, uploads, .. }): Confirmed,
    outcome: &mut SiteOutcome,
) -> Result<(), Halt> {
    let context = job.context;
    let task = context.monitor.task(&format!("Verifying {}", plan.id), None);
    let judged = verdicts(job, plan, held, &written);
    for warning in judged.warnings {
        context.tell(&Event::new(EventKind::Warning, warning));
    }
    outcome.damage = judged.damage;
    let manifest = Arc::new(manifest(job, inspected, plan, &written, judged.databases));
    if !manifest.fits() {
        // It would be written, and nobody would see the archive.
        let files = manifest.databases.len();
        let reason = format!(
            "the manifest would be larger than {}, which no reader takes: {files} database files are too many for one \
             archive (hint: full backups more often, or log-backups = \"ignore\" in [snapshot])",
            units::format_bytes(MAX_BYTES)
        );
        return Err(Halt::As(SiteResult::Failed { reason }));
    }
    let pushed = uploads.commit(&manifest);
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
    if !outcome.is_safe() && context.cancel.is_cancelled() {
        return Err(RunError::Cancelled.into());
    }
    outcome.manifest = Some(manifest);
    let new = outcome.destinations.iter().any(|one| matches!(one.result, DestinationResult::Pushed { .. }));
    outcome.result = match (new, outcome.is_safe()) {
        (true, _) => SiteResult::Archived,
        (false, true) => SiteResult::AlreadyArchived,
        (false, false) => SiteResult::not_taken(),
    };
    Ok(())
}

/// Every destination that can be used has the archive.
pub(super) fn nothing_to_write(plan: Plan, outcome: &mut SiteOutcome) -> Result<(), Halt> {
    if !outcome.is_safe() {
        return Err(Halt::As(SiteResult::Failed { reason: "no destination can be used".to_owned() }));
    }
    if let Some(manifest) = plan.stored {
        outcome.damage = known_damage(&manifest);
        outcome.manifest = Some(Arc::from(manifest));
    }
    Ok(())
}

/// What is wrong with the databases of an archive that is there already: which pages they are stands in its index.
fn known_damage(manifest: &Manifest) -> Vec<String> {
    let damaged = manifest.databases.iter().filter(|database| database.verdict.is_damaged());
    let why = |one: &Database| one.why.as_ref().map_or_else(String::new, |why| format!(": {why}"));
    damaged.map(|one| format!("{}{}, found when it was archived", one.name, why(one))).collect()
}

/// What is known of the databases; nothing where the configuration switches their checks off.
fn verdicts(job: Job<'_>, plan: &Plan, held: &[Inventory<'_>], written: &Written) -> Judged {
    if !job.context.config.archive.check_databases {
        return Judged::default();
    }
    let before = regression::newest_before(held, &plan.id);
    let named = job.context.config.snapshot.database.as_deref();
    let site = plan.id.site();
    let mut judged = judge(&written.databases, site, named, before.map(|before| before.databases.as_slice()));
    let is_site = job.context.config.snapshot.kind == SnapshotKind::Site;
    let others = judged.databases.iter().any(|one| one.verdict.is_proven());
    if is_site && named.is_none() && others && judged.databases.iter().any(|one| one.why == Some(Why::Missing)) {
        judged.warnings.push(format!(
            "if the database of the site has a name of its own, write site = \"{site}\" and database = \"NAME\" into \
             [snapshot]"
        ));
    }
    judged
}

fn manifest(job: Job<'_>, inspected: &Inspected, plan: &Plan, written: &Written, databases: Vec<Database>) -> Manifest {
    let id = &plan.id;
    let recipients = job.context.config.archive.recipients.clone();
    let encrypted = !recipients.is_empty();
    let parts = job.snapshot.parts.iter().map(|part| Part {
        kind: match part.kind {
            source::PartKind::Site => PartKind::Site,
            source::PartKind::Sql => PartKind::Sql,
            source::PartKind::SqlBackups => PartKind::SqlBackups,
            source::PartKind::CdLatest => PartKind::CdLatest,
        },
        path: part.path.display().to_string(),
    });
    Manifest {
        format: FORMAT,
        id: id.clone(),
        site: id.site().to_string(),
        series: id.series().map(str::to_owned),
        completed: id.stamp(),
        completion_evidence: match inspected.by {
            By::Log => EvidenceKind::StatusMessage,
            By::Metadata => EvidenceKind::Metadata,
            By::BackupFiles => EvidenceKind::BackupFiles,
        },
        archived: job.context.clock.now(),
        program: format!("afterbackup {}", env!("CARGO_PKG_VERSION")),
        host: gethostname::gethostname().to_string_lossy().into_owned(),
        archive: id.archive_name(plan.form),
        bytes: written.bytes,
        sha256: written.sha256,
        compressed_bytes: written.compressed_bytes,
        uncompressed_bytes: written.uncompressed_bytes,
        files: written.index.files(),
        snapshot_bytes: written.index.bytes(),
        base: written.index.base.clone(),
        full_because: plan.tier.full_because().map(str::to_owned),
        encryption: encrypted.then_some(Encryption { recipients }),
        index: written.location,
        parts: parts.collect(),
        fingerprint: written.fingerprint.clone(),
        folders: inspected.folders().into_iter().map(|folder| folder.code().to_owned()).collect(),
        missing: inspected.missing().into_iter().map(|folder| folder.code().to_owned()).collect(),
        skipped: written.index.skipped.len() as u64,
        site_database: job.context.config.snapshot.database.clone(),
        databases,
    }
}

//! The fourth step: the second look. The archive may exist only if the snapshot is still what it was.

use super::contents;
use super::error::RunError;
use super::inspect::Inspected;
use super::job::{Dropped, Halt, Job};
use super::outcome::SiteResult;
use super::write::Uploaded;
use crate::archive::writer::{self, Written};
use crate::source::complete;
use crate::source::walk::{compare, suspects};
use crate::source::{self, ConfiguredLog, Gathered};

/// What was uploaded is the snapshot. Nothing else may become visible.
pub(super) struct Confirmed(pub(super) Uploaded);

/// Looks at the snapshot again, and leaves it.
pub(super) fn confirm(
    job: Job<'_>,
    inspected: &Inspected,
    uploaded: Uploaded,
    log: &mut ConfiguredLog,
) -> Result<Confirmed, Dropped> {
    let changes = changes(job, inspected, &uploaded.written, log)?;
    if !changes.is_empty() {
        return Err(Halt::As(SiteResult::Changed { changes }).into());
    }
    // What is not a part of the snapshot may change at any time, and must not cost it its archive.
    let now = contents::supplemental::find(job.context)?;
    let mut others = contents::supplemental::changes(&uploaded.supplemental, &now);
    others.retain(|path| uploaded.written.index.entries.iter().any(|entry| entry.path == *path));
    if !others.is_empty() {
        let reason = || "it changed while it was read".to_owned();
        return Err(Dropped::Without(others.into_iter().map(|path| (path, reason())).collect()));
    }
    crate::stop_point::reached("looked-again");
    if job.guard.release() { Ok(Confirmed(uploaded)) } else { Err(RunError::Cancelled.into()) }
}

/// What changed in the snapshot since it was inspected.
fn changes(
    job: Job<'_>,
    inspected: &Inspected,
    written: &Written,
    log: &mut ConfiguredLog,
) -> Result<Vec<String>, Halt> {
    let context = job.context;
    let before = &inspected.gathered;
    let mut now = match source::gather(job.snapshot, log.read(), context.cancel) {
        Err(error) if error.is_no_snapshot() => return Ok(vec![error.reason()]),
        now => now?,
    };
    let walks = before.walks.iter().zip(&now.walks);
    let differences = walks
        .flat_map(|(old, new)| compare(old, new).into_iter().map(|change| format!("{}: {change}", new.root.display())));
    let mut changes: Vec<String> = differences.collect();
    if changes.is_empty() {
        changes = rewritten(job, before, &now, written);
    }
    now.evidence.unchanged_for = before.evidence.unchanged_for;
    let again = complete::decide(&now.evidence, context.config.snapshot.quiet, context.clock.now());
    let is_same = again.run == inspected.completion.run && again.completed() == inspected.completion.completed();
    if changes.is_empty() && !is_same {
        changes = again.reasons;
    }
    Ok(changes)
}

/// Files that are others than before, or were touched, although size and time are the same: has their content changed?
/// Programs for backups and against viruses change attributes, so contents decide.
fn rewritten(job: Job<'_>, before: &Gathered, now: &Gathered, written: &Written) -> Vec<String> {
    let mut changes = Vec::new();
    let walks = before.walks.iter().zip(&now.walks);
    for ((old, new), part) in walks.zip(&job.snapshot.parts) {
        let prefix = contents::prefix(part.kind, job.snapshot.site);
        for item in suspects(old, new) {
            let archived = format!("{prefix}/{}", item.name);
            let entry = written.index.entries.iter().find(|entry| entry.path == archived);
            let Some(sum) = entry.and_then(|entry| entry.sha256) else { continue };
            let path = item.path(&new.root);
            if writer::hash_now(&path, job.context.cancel) != Some(sum) {
                changes.push(format!("{} was rewritten, and its time set back", path.display()));
            }
        }
    }
    changes
}

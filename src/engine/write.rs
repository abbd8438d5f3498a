//! The third step: the snapshot is read once, and goes to every destination that lacks it.

use std::collections::BTreeMap;

use super::base::Tier;
use super::contents;
use super::error::RunError;
use super::inspect::Inspected;
use super::job::{Dropped, Halt, Job};
use super::lanes::Fanout;
use super::outcome::{DestinationResult, SiteOutcome, SiteResult};
use super::plan::Plan;
use crate::archive::index::Skipped;
use crate::archive::writer::{self, WriteError};
use crate::archive::{Identities, OutputClosed};
use crate::monitor::{Event, EventKind};
use crate::source::KnownFolder;
use crate::source::supplemental::Expansion;
use crate::units;

/// Files that may turn out not to be readable when a part of them is in the archive; each costs a new try.
const MOST_LEFT_OUT: usize = 20;

/// An archive of which nothing is visible yet. Where it is dropped, nothing is left.
pub(super) struct Uploaded {
    /// What was written.
    pub(super) written: writer::Written,
    /// The supplemental files, as they were found.
    pub(super) supplemental: Vec<Expansion>,
    /// Every destination's upload.
    pub(super) uploads: Fanout,
}

/// Files that can be done without and cannot be read to their end: an archive never holds as whole what was not read to
/// its end.
#[derive(Default)]
pub(super) struct LeftOut(BTreeMap<String, String>);

impl LeftOut {
    /// Leaves these out, too. Too many are no backup.
    pub(super) fn add(&mut self, files: BTreeMap<String, String>) -> Result<(), Halt> {
        self.0.extend(files);
        if self.0.len() > MOST_LEFT_OUT {
            let reason = format!("more than {MOST_LEFT_OUT} files cannot be read to their end");
            return Err(Halt::As(SiteResult::Failed { reason }));
        }
        Ok(())
    }
}

/// Writes the archive.
pub(super) fn write(
    job: Job<'_>,
    inspected: &Inspected,
    plan: &Plan,
    left_out: &LeftOut,
    outcome: &mut SiteOutcome,
) -> Result<Uploaded, Dropped> {
    let Job { context, snapshot, .. } = job;
    let options = &context.config.archive;
    let supplemental = contents::supplemental::find(context)?;
    let (mut members, mut skipped) = contents::all(snapshot, &inspected.gathered, &supplemental, plan.id.stamp());
    members.retain(|member| !left_out.0.contains_key(&member.path));
    skipped.extend(left_out.0.iter().map(|(path, reason)| Skipped { path: path.clone(), reason: reason.clone() }));
    let bytes = members.iter().map(|member| member.size).sum();
    outcome.skipped.clone_from(&skipped);
    outcome.shortcomings.clone_from(&inspected.completion.faults);
    outcome.shortcomings.extend(plan.faults.iter().cloned());
    outcome.shortcomings.extend(contents::supplemental::faults(context, &supplemental));
    outcome.shortcomings.extend(inspected.linked().into_iter().map(linked_folder));
    if left_out.0.is_empty() {
        tell_start(job, inspected, plan, bytes);
    }
    let options = writer::Options {
        level: options.level,
        threads: options.threads,
        recipients: recipients(&options.recipients)?,
        check_databases: options.check_databases,
    };
    // What it builds on is not encrypted.
    let no_keys = Identities::default();
    let base = plan.tier.open(&no_keys).map_err(Dropped::Full)?;
    let key = plan.id.key(&plan.id.archive_name(plan.form));
    let mut uploads = Fanout::begin(&plan.lanes, &key, bytes, context.cancel);
    let task = context.monitor.task(&format!("Archiving {}", plan.id), Some(bytes));
    let send = &mut |block| uploads.send(&block);
    let base = base.as_ref().map(|(reader, level)| (reader, *level));
    let contents = writer::Contents { members, skipped, base };
    let result = writer::write(&plan.id, contents, &options, send, &*task, context.cancel);
    drop(task);
    let written = match result {
        Ok(written) => written,
        Err(error) => return Err(give_up(job, uploads, error, outcome)),
    };
    crate::stop_point::reached("snapshot-read");
    outcome.skipped.extend(written.unread.iter().cloned());
    Ok(Uploaded { written, supplemental, uploads })
}

fn tell_start(job: Job<'_>, inspected: &Inspected, plan: &Plan, bytes: u64) {
    let tier = match &plan.tier {
        Tier::Full(None) => String::new(),
        Tier::Full(Some(because)) => format!(" as a full archive ({because})"),
        Tier::On(_, base, level) => format!(" as a {} archive on {},", level.word(), base.id),
    };
    let message = format!("Archiving {}{tier} to {}", plan.id, units::count(plan.lanes.len(), "destination"));
    job.context.tell(
        &Event::new(EventKind::Started, message)
            .with("archive", plan.id.to_string())
            .with("snapshot_bytes", bytes)
            .with("evidence", inspected.completion.reasons.clone()),
    );
    // What is not in the archive for a good reason, and what somebody should look at.
    let units = job.snapshot.parts.iter().filter_map(|part| part.unit.as_ref());
    for note in units.flat_map(|unit| &unit.notes) {
        job.context.tell(&Event::new(EventKind::Note, note.clone()));
    }
    for warning in &inspected.completion.warnings {
        job.context.tell(&Event::new(EventKind::Warning, warning.clone()));
    }
}

fn give_up(job: Job<'_>, uploads: Fanout, error: WriteError, outcome: &mut SiteOutcome) -> Dropped {
    let pushed = uploads.abort();
    if job.context.cancel.is_cancelled() {
        return RunError::Cancelled.into();
    }
    match error {
        WriteError::LeaveOut { archived, reason } => Dropped::Without(BTreeMap::from([(archived, reason)])),
        WriteError::Base(_) => Dropped::Full(crate::error::chain(&error)),
        WriteError::Changed { .. } => Halt::As(SiteResult::Changed { changes: vec![error.to_string()] }).into(),
        WriteError::Output(OutputClosed) => {
            for one in pushed {
                if let Err(error) = &one.result {
                    outcome.set(&one.name, DestinationResult::failed(error));
                }
            }
            // One that has it from an earlier run keeps it safe.
            Halt::As(if outcome.is_safe() { SiteResult::AlreadyArchived } else { SiteResult::not_taken() }).into()
        }
        WriteError::Cancelled => RunError::Cancelled.into(),
        error => RunError::Write(error).into(),
    }
}

fn linked_folder(folder: KnownFolder) -> String {
    let name = folder.name();
    format!(
        "{name} is a link or junction, and links are not followed: the archive is not good without it. Let the backup \
         task write a real folder: remove the link, and move what it leads to into its place before the next backup"
    )
}

fn recipients(texts: &[String]) -> Result<Vec<age::x25519::Recipient>, RunError> {
    texts.iter().map(|text| text.parse().map_err(|_| RunError::Recipient(text.clone()))).collect()
}

//! The second step: under which name the snapshot is archived, and which destinations lack it.

use std::sync::Arc;

use jiff::SignedDuration;

use super::base::{self, Tier};
use super::claim::{self, Prepared};
use super::contents;
use super::error::RunError;
use super::inspect::Inspected;
use super::job::{Halt, Job};
use super::lanes::Lane;
use super::outcome::{DestinationOutcome, DestinationResult, SiteOutcome, SiteResult};
use crate::archive::manifest::Manifest;
use crate::archive::writer;
use crate::catalog::{Catalog, Inventory};
use crate::destination::{self, Target};
use crate::monitor::{Event, EventKind};
use crate::name::{ArchiveId, Form};
use crate::source::{KnownFolder, PartKind};

/// How far two names of the same snapshot may lie apart: less than a run of the task takes.
const NAMES_APART: SignedDuration = SignedDuration::from_hours(12);

/// What is to be done.
pub(super) struct Plan {
    /// The name of the archive.
    pub(super) id: ArchiveId,
    /// What kind of file it will be.
    pub(super) form: Form,
    /// What it builds on.
    pub(super) tier: Tier,
    /// The destinations that lack it.
    pub(super) lanes: Vec<Lane>,
    /// What is wrong with commands of supplemental entries, in words.
    pub(super) faults: Vec<String>,
    /// What another destination has.
    pub(super) stored: Option<Box<Manifest>>,
}

impl Plan {
    /// Makes it a full archive after all.
    pub(super) fn build_on_nothing(&mut self, because: String) {
        let differential = self.form;
        self.tier = Tier::Full(Some(because));
        self.form = self.tier.form(differential.encrypted);
        for archive in self.lanes.iter_mut().filter_map(|lane| lane.archive.as_mut()) {
            // The claim on its name holds for either kind of file.
            *archive = self.form.instead_of(differential, archive);
        }
    }
}

/// Claims the archive wherever it is missing.
pub(super) fn plan(
    job: Job<'_>,
    inspected: &Inspected,
    held: &[Inventory<'_>],
    outcome: &mut SiteOutcome,
) -> Result<Plan, Halt> {
    let Job { context, snapshot, .. } = job;
    let series = context.config.snapshot.kind.series();
    let id = ArchiveId::of_series(snapshot.site, series, inspected.completed);
    if let Some(reason) = lost_setup(job, inspected, held, &id) {
        return Err(Halt::As(SiteResult::NotComplete { reasons: vec![reason] }));
    }
    let id = known_as(job, inspected, held, &id)?.unwrap_or(id);
    let tier = base::choose(job, &id, held);
    let form = tier.form(!context.config.archive.recipients.is_empty());
    let mut plan = Plan { id, form, tier, lanes: Vec::new(), faults: Vec::new(), stored: None };
    outcome.archive = Some(plan.id.clone());
    let units = snapshot.parts.iter().filter_map(|part| part.unit.as_ref());
    outcome.faults = units.flat_map(|unit| unit.faults.iter().cloned()).collect();
    outcome.shortcomings.clone_from(&inspected.completion.faults);
    for one in held {
        let result = match &one.catalog {
            Ok(catalog) => claim(job, &mut plan, one.target, catalog)
                .unwrap_or_else(|error| DestinationResult::failed(&error.into())),
            Err(error) => DestinationResult::away(error),
        };
        outcome.destinations.push(DestinationOutcome::new(one.target.name(), result));
    }
    crate::stop_point::reached("prepared");
    if context.cancel.is_cancelled() {
        return Err(RunError::Cancelled.into());
    }
    Ok(plan)
}

fn claim(
    job: Job<'_>,
    plan: &mut Plan,
    target: &Target,
    catalog: &Catalog,
) -> Result<DestinationResult, destination::Error> {
    let context = job.context;
    let settings = target.settings();
    let destination = target.open()?;
    let now = (context.clock.now(), settings.sweep_after);
    let mut warn = |words: String| context.tell(&Event::new(EventKind::Warning, words));
    Ok(match claim::prepare(&**destination, &plan.id, plan.form, catalog, now, &mut warn)? {
        Prepared::There(manifest) => {
            plan.stored = plan.stored.take().or(manifest);
            DestinationResult::AlreadyThere
        }
        Prepared::Open { archive, claim } => {
            plan.lanes.push(Lane {
                destination: Arc::clone(destination),
                archive: Some(archive),
                claim: Some(Arc::new(claim)),
                verify: settings.verify,
                stall_timeout: settings.stall_timeout,
            });
            DestinationResult::Pending
        }
    })
}

/// The archives of all destinations that could be read. Those that could not are failed destinations of this run.
fn archives<'a>(held: &'a [Inventory<'_>]) -> impl Iterator<Item = &'a Manifest> {
    let catalogs = held.iter().filter_map(|one| one.catalog.as_ref().ok());
    catalogs.flat_map(|catalog| catalog.archives.values()).map(|stored| &stored.manifest)
}

/// The id under which a destination has this very snapshot already: where the log could not be read at the time, it was
/// named after its metadata. The same snapshot is never archived under two names.
fn known_as(
    job: Job<'_>,
    inspected: &Inspected,
    held: &[Inventory<'_>],
    id: &ArchiveId,
) -> Result<Option<ArchiveId>, RunError> {
    let near: Vec<&Manifest> = archives(held)
        .filter(|other| other.id != *id && other.id.series() == id.series())
        .filter(|other| other.id.stamp().duration_since(id.stamp()).abs() <= NAMES_APART)
        .collect();
    if near.is_empty() {
        return Ok(None);
    }
    let supplemental = contents::supplemental::find(job.context)?;
    let (members, _) = contents::all(job.snapshot, &inspected.gathered, &supplemental, id.stamp());
    let own = writer::fingerprint(&members);
    Ok(near.into_iter().find(|other| other.fingerprint == own).map(|other| other.id.clone()))
}

/// Older versions of the site had no CD.Latest. One whose newest archive has it has lost it: no site is recovered
/// without.
fn lost_setup(job: Job<'_>, inspected: &Inspected, held: &[Inventory<'_>], id: &ArchiveId) -> Option<String> {
    let site = inspected.gathered.evidence.part(PartKind::Site)?;
    let setup = KnownFolder::CdLatest;
    if site.folders.contains(&setup) || site.linked.contains(&setup) || job.context.config.snapshot.without_cd_latest {
        return None;
    }
    let older = archives(held).filter(|other| other.id.series() == id.series() && other.id < *id);
    let newest = older.max_by(|a, b| a.id.cmp(&b.id))?;
    newest.folders.iter().any(|held| KnownFolder::of_code(held) == Some(setup)).then(|| {
        format!(
            "CD.Latest is missing in {}, and {} has it: did the backup task die while it cleaned? (If the site has none \
             any more, write without-cd-latest = true into [snapshot])",
            site.path.display(),
            newest.id
        )
    })
}

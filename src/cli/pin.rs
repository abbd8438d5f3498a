//! `afterbackup pin` and `afterbackup unpin`

use serde::Serialize;

use super::Program;
use super::exit::Exit;
use super::failure::Failure;
use super::place::{Place, choose};
use crate::catalog::{Catalog, Pin, Problem, ProblemKind, Selector};
use crate::destination::Destination;
use crate::engine::pins::{self, PinError};
use crate::monitor::{Event, EventKind};
use crate::name::ArchiveId;
use crate::units;

/// Exempt an archive from pruning.
#[derive(Debug, clap::Args)]
pub(super) struct PinArgs {
    /// Archive: an id, latest, latest~2, latest-good, XYZ@2026-11-20
    archive: Selector,
    /// Reason, shown by list and show
    #[arg(long, short, default_value = "", hide_default_value = true)]
    reason: String,
    #[command(flatten)]
    place: Place,
}

/// Make an archive subject to pruning again.
#[derive(Debug, clap::Args)]
pub(super) struct UnpinArgs {
    /// Archive: an id, latest, latest~2, latest-good, XYZ@2026-11-20
    archive: Selector,
    #[command(flatten)]
    place: Place,
}

#[derive(Serialize)]
struct Report {
    archive: ArchiveId,
    pinned: bool,
    destinations: Vec<String>,
}

pub(super) fn pin(program: &Program<'_>, args: &PinArgs) -> Result<Exit, Failure> {
    let user = std::env::var("USERNAME").or_else(|_| std::env::var("USER")).unwrap_or_default();
    let host = gethostname::gethostname().to_string_lossy().into_owned();
    let by = if user.is_empty() { host } else { format!("{user}@{host}") };
    let pin = Pin { reason: args.reason.clone(), by, when: Some(program.clock.now()) };
    change(program, &args.place, &args.archive, Some(&pin), |destination, id, before| {
        if keeps(before, &pin) {
            // The same again, or no word why: what it says stays. That the archive is still there is looked at all the
            // same.
            let kept = before.cloned().unwrap_or_else(|| pin.clone());
            return pins::pin(destination, id, &kept).map(drop);
        }
        pins::pin(destination, id, &pin).map(drop)
    })
}

pub(super) fn unpin(program: &Program<'_>, args: &UnpinArgs) -> Result<Exit, Failure> {
    change(program, &args.place, &args.archive, None, |destination, id, _| Ok(pins::unpin(destination, id)?))
}

/// Does a pin stay as it is when the archive is pinned again?
fn keeps(before: Option<&Pin>, pin: &Pin) -> bool {
    before.is_some_and(|before| pin.reason.is_empty() || before.reason == pin.reason)
}

/// Is the archive there, as far as is known, but not seen?
fn hides(catalog: &Catalog, id: &ArchiveId) -> bool {
    use ProblemKind::{Manifest, Newer, Unreadable};
    let hidden = |problem: &Problem| problem.archive == *id && matches!(problem.kind, Manifest | Newer | Unreadable);
    !catalog.archives.contains_key(id) && catalog.problems.iter().any(hidden)
}

fn change(
    program: &Program<'_>,
    place: &Place,
    archive: &Selector,
    pin: Option<&Pin>,
    apply: impl Fn(&dyn Destination, &ArchiveId, Option<&Pin>) -> Result<(), PinError>,
) -> Result<Exit, Failure> {
    let pinned = pin.is_some();
    let targets = place.targets(program)?;
    let held = place.read(program, &targets)?;
    let id = choose(program, &held, archive)?;
    let mut destinations = Vec::new();
    let mut unchanged = true;
    // The new one, else the one that is there.
    let mut reason = pin.map(|pin| pin.reason.clone()).filter(|reason| !reason.is_empty());
    let mut failures = held.iter().filter(|one| one.catalog.is_err()).count();
    // Where its manifest cannot be used, as was warned, it may well be, and neither gets nor loses its pin.
    failures += held.iter().filter_map(|one| one.catalog.as_ref().ok()).filter(|catalog| hides(catalog, &id)).count();
    let catalogs = held.iter().filter_map(|one| one.catalog.as_ref().ok().map(|catalog| (one, catalog)));
    for (one, stored) in catalogs.filter_map(|(one, catalog)| Some((one, catalog.archives.get(&id)?))) {
        let before = stored.pin.as_ref();
        unchanged &= match pin {
            Some(pin) => keeps(before, pin),
            None => before.is_none(),
        };
        reason = reason.or_else(|| before.map(|before| before.reason.clone()).filter(|reason| !reason.is_empty()));
        let changed = one.target.open().map_err(PinError::from).and_then(|opened| apply(&**opened, &id, before));
        match changed {
            Ok(()) => destinations.push(one.target.name().to_owned()),
            Err(error) => {
                let failure = Failure::new(Exit::Partial, &error).hint(error.hint());
                program.console.failure(&failure);
                program.records.event(&failure.event());
                failures += 1;
            }
        }
    }
    if destinations.is_empty() {
        // Each failure was told.
        return Ok(Exit::Failed);
    }
    let kind = if pinned { EventKind::Pinned } else { EventKind::Unpinned };
    let on = destinations.join(", ");
    let reason = reason.filter(|_| pinned).map_or_else(String::new, |reason| format!(": {reason}"));
    let message = match (pinned, unchanged) {
        (true, false) => format!("Pinned {id} on {on}{reason}"),
        (true, true) => format!("{id} was already pinned on {on}{reason}"),
        (false, false) => format!("Unpinned {id} on {on}"),
        (false, true) => format!("{id} was not pinned on {on}"),
    };
    program.records.event(&Event::new(kind, message.clone()).with("archive", id.to_string()));
    if program.console.is_json() {
        program.console.document(&Report { archive: id, pinned, destinations });
    } else {
        program.console.result(&format!("{}\n", units::visible_line(&message)));
    }
    Ok(if failures > 0 { Exit::Partial } else { Exit::Done })
}

//! `afterbackup pin` and `afterbackup unpin`

use serde::Serialize;

use super::Program;
use super::exit::Exit;
use super::failure::Failure;
use super::place::{Place, choose};
use crate::catalog::{Pin, Selector};
use crate::destination::{Destination, ErrorKind};
use crate::monitor::{Event, EventKind};
use crate::name::ArchiveId;

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
    let json = serde_json::to_vec(&pin).expect("a pin has only string keys");
    change(program, &args.place, &args.archive, true, |destination, key| match destination.put_new(key, &json) {
        Err(error) if error.kind == ErrorKind::AlreadyExists => Ok(()),
        result => result,
    })
}

pub(super) fn unpin(program: &Program<'_>, args: &UnpinArgs) -> Result<Exit, Failure> {
    change(program, &args.place, &args.archive, false, |destination, key| destination.delete(key))
}

fn change(
    program: &Program<'_>,
    place: &Place,
    archive: &Selector,
    pinned: bool,
    apply: impl Fn(&dyn Destination, &str) -> Result<(), crate::destination::Error>,
) -> Result<Exit, Failure> {
    let targets = place.targets(program)?;
    let held = place.read(program, &targets)?;
    let catalogs = || held.iter().filter_map(|one| one.catalog.as_ref().ok().map(|catalog| (one, catalog)));
    let id = choose(program, &held, archive)?;
    let mut destinations = Vec::new();
    let mut exit = if held.iter().any(|one| one.catalog.is_err()) { Exit::Partial } else { Exit::Done };
    for (one, stored) in catalogs().filter_map(|(one, catalog)| Some((one, catalog.archives.get(&id)?))) {
        if stored.pin.is_some() == pinned {
            let was = match &stored.pin {
                Some(pin) if pin.reason.is_empty() => "pinned already".to_owned(),
                Some(pin) => format!("pinned already: {}; unpin it first to change the reason", pin.reason),
                None => "not pinned".to_owned(),
            };
            program.console.note(&format!("{id} was {was} (on {})", one.target.name()));
        }
        match one.target.open().and_then(|destination| apply(&**destination, &id.key(&id.pin_name()))) {
            Ok(()) => destinations.push(one.target.name().to_owned()),
            Err(error) => {
                let failure = Failure::new(Exit::Partial, &error).hint(error.hint());
                program.console.failure(&failure);
                program.records.event(&failure.event());
                exit = Exit::Partial;
            }
        }
    }
    let (done, kind) = if pinned { ("Pinned", EventKind::Pinned) } else { ("Unpinned", EventKind::Unpinned) };
    let message = format!("{done} {id} on {}", destinations.join(", "));
    program.records.event(&Event::new(kind, message).with("archive", id.to_string()));
    if program.console.is_json() {
        program.console.document(&Report { archive: id, pinned, destinations });
    } else {
        program.console.result(&format!("{done} {id} on {}\n", destinations.join(", ")));
    }
    Ok(exit)
}

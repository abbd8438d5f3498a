//! `afterbackup prune`

use serde::Serialize;

use super::Program;
use super::exit::Exit;
use super::failure::Failure;
use super::place::Place;
use crate::engine::prune::{self, Pruned};
use crate::engine::run::Context;
use crate::lock::RunLock;
use crate::monitor::Collector;
use crate::retention::table;

/// Apply retention.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// Only show what would be done, with reasons
    #[arg(long)]
    dry_run: bool,
    #[command(flatten)]
    place: Place,
}

#[derive(Serialize)]
#[serde(rename_all = "kebab-case")]
struct Report {
    dry_run: bool,
    destinations: Vec<Pruned>,
}

pub(super) fn prune(program: &Program<'_>, args: &Args) -> Result<Exit, Failure> {
    let loaded = program.load()?;
    let only = args.place.destination.as_deref();
    if let Some(name) = only.filter(|name| loaded.destinations.iter().all(|one| one.name() != *name)) {
        return Err(Failure::words(Exit::Usage, format!("there is no destination '{name}' in the configuration")));
    }
    // A plan reads only; carrying it out is a run.
    let _lock = if args.dry_run { None } else { Some(RunLock::take(&loaded.config.lock_file)?) };
    // With --json there is one document, which has all that the events tell.
    let silent = Collector::default();
    let context = program.context(&loaded);
    let context = if program.console.is_json() { Context { monitor: &silent, ..context } } else { context };
    let pruned = prune::prune(&context, args.place.site, only, args.dry_run);
    if program.cancel.is_cancelled() {
        return Err(Failure::words(Exit::Cancelled, "cancelled; what is left is whole, and the next prune goes on"));
    }
    let failed = pruned.iter().any(Pruned::is_failure);
    if program.console.is_json() {
        program.console.document(&Report { dry_run: args.dry_run, destinations: pruned });
    } else {
        for one in &pruned {
            program.console.result(&format!("{}\n", one.destination));
            if let Some(plan) = &one.plan {
                program.console.result(&table::table(plan));
            }
        }
    }
    Ok(if failed { Exit::Partial } else { Exit::Done })
}

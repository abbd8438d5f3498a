//! `afterbackup prune`

use serde::Serialize;

use super::Program;
use super::exit::Exit;
use super::failure::Failure;
use super::place::named;
use super::plan_table;
use crate::engine::context::Context;
use crate::engine::outcome::Pruned;
use crate::engine::prune;
use crate::name::SiteCode;
use crate::platform::lock::{Holder, RunLock};

const EXAMPLES: &str = r"Examples:
  afterbackup prune --dry-run
  afterbackup prune --destination vault

See docs/retention.md.";

/// Apply retention.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct Args {
    /// Show what would be removed, with reasons, and remove nothing
    #[arg(long)]
    dry_run: bool,
    /// Only this destination of the configuration
    #[arg(long, short, value_name = "NAME")]
    destination: Option<String>,
    /// Only this site
    #[arg(long, short, value_name = "XYZ")]
    site: Option<SiteCode>,
}

impl Args {
    pub(super) fn is_dry_run(&self) -> bool {
        self.dry_run
    }
}

#[derive(Serialize)]
struct Report {
    dry_run: bool,
    destinations: Vec<Pruned>,
}

pub(super) fn prune(program: &Program<'_>, args: &Args) -> Result<Exit, Failure> {
    let loaded = program.load()?;
    let only = args.destination.as_deref();
    if let Some(name) = only {
        named(&loaded.targets, name)?;
    }
    // A plan reads only; carrying it out is a run.
    let holder = Holder::this_process("prune", program.clock.now());
    let _lock = if args.dry_run { None } else { Some(RunLock::take_as(&loaded.config.lock_file, &holder)?) };
    // With --json there is one document, which has all that the events tell.
    let silent = program.records.listeners();
    let context = program.context(&loaded);
    let context = if program.console.is_json() { Context { monitor: &*silent, ..context } } else { context };
    let pruned = prune::prune(&context, args.site, only, args.dry_run);
    if program.cancel.is_cancelled() {
        return Err(Failure::words(Exit::Cancelled, "cancelled; what is left is whole, and the next prune goes on"));
    }
    let failed = pruned.iter().any(Pruned::is_failure);
    if program.console.is_json() {
        program.console.document(&Report { dry_run: args.dry_run, destinations: pruned });
    } else {
        let tables: Vec<String> = pruned.iter().filter_map(describe).collect();
        program.console.result(&tables.join("\n"));
    }
    Ok(if failed { Exit::Partial } else { Exit::Done })
}

/// The plan of one destination. What could not be read has none, and was told as an error.
fn describe(one: &Pruned) -> Option<String> {
    let plan = one.plan.as_ref()?;
    let plan = if plan.decisions.is_empty() { "no archives\n".to_owned() } else { plan_table::table(plan) };
    Some(format!("{}:\n{plan}", one.destination))
}

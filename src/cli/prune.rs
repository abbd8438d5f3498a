//! `afterbackup prune`

use std::collections::BTreeSet;

use serde::Serialize;

use super::Loaded;
use super::Program;
use super::exit::Exit;
use super::failure::Failure;
use super::place::named;
use super::plan_table;
use crate::config;
use crate::destination::Target;
use crate::engine::context::Context;
use crate::engine::outcome::Pruned;
use crate::engine::prune;
use crate::health::standing;
use crate::name::SiteCode;
use crate::platform::lock::{Holder, RunLock};
use crate::units;

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
    /// Only this destination of the configuration: its name, or its folder or address
    #[arg(long, short, value_name = "NAME|PATH|URL")]
    destination: Option<String>,
    /// Only this site
    #[arg(long, short, value_name = "XYZ", conflicts_with = "all_sites")]
    site: Option<SiteCode>,
    /// All sites that have archives there, not only those of this configuration
    #[arg(long)]
    all_sites: bool,
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
    let only = match &args.destination {
        Some(place) => Some(loaded.targets[configured(&loaded.targets, place)?].name().to_owned()),
        None => None,
    };
    let sites = sites(program, &loaded, args)?;
    // A plan reads only; carrying it out is a run.
    let holder = Holder::this_process("prune", program.clock.now());
    let _lock = if args.dry_run { None } else { Some(RunLock::take_as(&loaded.config.lock_file, &holder)?) };
    // With --json there is one document, which has all that the events tell.
    let silent = program.records.listeners();
    let context = program.context(&loaded);
    let context = if program.console.is_json() { Context { monitor: &*silent, ..context } } else { context };
    let pruned = prune::prune_sites(&context, sites.as_ref(), only.as_deref(), args.dry_run);
    if program.cancel.is_cancelled() {
        return Err(Failure::words(Exit::Cancelled, "cancelled; what is left is whole, and the next prune goes on"));
    }
    let failed = pruned.iter().any(Pruned::is_failure);
    if program.console.is_json() {
        program.console.document(&Report { dry_run: args.dry_run, destinations: pruned });
    } else {
        for one in &pruned {
            for note in &one.notes {
                program.console.warn(&format!("{}: {note}", one.destination));
            }
        }
        let tables: Vec<String> = pruned.iter().filter_map(|one| describe(one, args.dry_run)).collect();
        program.console.result(&tables.join("\n"));
    }
    Ok(if failed { Exit::Partial } else { Exit::Done })
}

/// The sites to prune; `None` for all. Others keep their archives on the same destinations, and look after them.
fn sites(program: &Program<'_>, loaded: &Loaded, args: &Args) -> Result<Option<BTreeSet<SiteCode>>, Failure> {
    if args.all_sites {
        return Ok(None);
    }
    let sites = match args.site {
        Some(site) => BTreeSet::from([site]),
        None => standing::expected_sites(&program.context(loaded)),
    };
    if sites.is_empty() {
        let message =
            "which sites this configuration is for is not known: it names none, and no snapshot or log is there";
        let hint = "name one with --site XYZ or [snapshot] site, or prune all that are there with --all-sites";
        return Err(Failure::words(Exit::Usage, message).hint(Some(hint)));
    }
    Ok(Some(sites))
}

/// The number of the destination of this name, or at this place.
fn configured(targets: &[Target], place: &str) -> Result<usize, Failure> {
    let wanted = std::path::absolute(place).ok();
    let is_it = |target: &Target| match &target.settings().location {
        config::Location::Folder(path) => wanted.as_deref() == Some(path) || std::path::Path::new(place) == path,
        config::Location::Bucket(bucket) => bucket.url.as_str().trim_end_matches('/') == place.trim_end_matches('/'),
    };
    targets.iter().position(is_it).map_or_else(|| named(targets, place), Ok)
}

/// The plan of one destination and what came of it. What could not be read has none, and was reported as an error.
fn describe(one: &Pruned, dry_run: bool) -> Option<String> {
    let plan = one.plan.as_ref()?;
    let plan = if plan.decisions.is_empty() { "no archives\n".to_owned() } else { plan_table::table(plan) };
    let counted = |count: usize, what: &str| format!("{count} {what}{}", if count == 1 { "" } else { "s" });
    let archives = counted(one.removed.len(), "archive");
    let removed = match (&one.refused, dry_run) {
        (Some(_), _) => "Removed no archive: see above why not.\n".to_owned(),
        (None, true) => "Dry run: nothing was removed.\n".to_owned(),
        (None, false) => format!("Removed {archives}, {}.\n", units::format_bytes(one.removed_bytes)),
    };
    let swept = if one.swept.is_empty() {
        String::new()
    } else {
        let verb = if dry_run { "Would also remove" } else { "Removed" };
        let left = counted(one.swept.len(), "leftover");
        format!("{verb} {left} of unfinished runs:\n  {}\n", one.swept.join("\n  "))
    };
    let text = format!("{}:\n{plan}{removed}{swept}", one.destination);
    Some(text)
}

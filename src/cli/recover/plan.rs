//! `afterbackup recover plan`

use std::fmt::Write as _;

use jiff::Timestamp;

use super::found::{Found, find, site_type};
use crate::catalog::Selector;
use crate::cli::Program;
use crate::cli::exit::Exit;
use crate::cli::failure::Failure;
use crate::cli::fetch::Key;
use crate::cli::place::Place;
use crate::name::ArchiveId;
use crate::recovery::facts::Soundness;
use crate::recovery::keys::SiteType;
use crate::recovery::plan::{Candidate, Plan, Question, RETENTION_DAYS, Window, plan as answer};
use crate::recovery::values::is_fqdn;
use crate::units;

const EXAMPLES: &str = r"Exit code 6 means that the database in the archive is damaged.

Examples:
  afterbackup recover plan --site-type primary
  afterbackup recover plan XYZ-20261122T235900Z --site-type cas --reference-site p01.contoso.com
  afterbackup recover plan latest-good --site-type child-primary --destination \\backup01\configmgr$";

/// Plan a recovery.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct Args {
    /// Which: an id, latest, latest~2, latest-good, XYZ@2026-11-20
    #[arg(default_value = "latest-good")]
    archive: Selector,
    /// The kind of the site: cas, primary (stand-alone) or child-primary
    #[arg(long, value_name = "TYPE")]
    site_type: Option<SiteType>,
    /// The primary site from which a central administration site takes global data
    #[arg(long, value_name = "FQDN")]
    reference_site: Option<String>,
    /// How many days SQL Server tracks changes
    #[arg(long, value_name = "DAYS", default_value_t = RETENTION_DAYS)]
    retention_days: u32,
    #[command(flatten)]
    key: Key,
    #[command(flatten)]
    place: Place,
}

pub(super) fn plan(program: &Program<'_>, args: &Args) -> Result<Exit, Failure> {
    let site_type = site_type(args.site_type)?;
    if let Some(reference) = &args.reference_site {
        if site_type != SiteType::Cas {
            return Err(Failure::words(Exit::Usage, "--reference-site is for a central administration site")
                .hint(Some("leave it out, or choose --site-type cas")));
        }
        if !is_fqdn(reference) {
            return Err(Failure::words(Exit::Usage, "--reference-site is not a full domain name")
                .hint(Some("write it like p01.contoso.com")));
        }
    }
    let found = find(program, &args.place, &args.archive)?;
    let facts = found.facts(&args.key)?;
    let plan = answer(&Question {
        facts: &facts,
        site_type,
        reference_site: args.reference_site.as_deref(),
        retention_days: args.retention_days,
        now: program.clock.now(),
        others: &candidates(&found, &facts.id),
    });
    if program.console.is_json() {
        program.console.document(&plan);
    } else {
        program.console.result(&in_words(&plan, program.clock.now()));
    }
    Ok(if plan.is_damaged() { Exit::Damage } else { Exit::Done })
}

/// The archives of the same series.
fn candidates(found: &Found, id: &ArchiveId) -> Vec<Candidate> {
    let mut candidates: Vec<Candidate> = Vec::new();
    for (other, stored) in found.held.iter().flat_map(|(_, catalog)| &catalog.archives) {
        if other.site() != id.site() || other.series() != id.series() {
            continue;
        }
        let sound = stored.whole && Soundness::of(&stored.manifest) == Soundness::Sound;
        match candidates.iter_mut().find(|known| known.id == *other) {
            Some(known) => known.sound |= sound,
            None => candidates.push(Candidate { id: other.clone(), completed: stored.manifest.completed, sound }),
        }
    }
    candidates
}

fn in_words(plan: &Plan, now: Timestamp) -> String {
    let facts = &plan.archive;
    let mut text = String::new();
    // Writing to a string cannot fail.
    let mut line = |words: &str| {
        writeln!(text, "{words}").ok();
    };
    line(&format!("Recovery of site {} ({}) from {}", facts.id.site(), plan.site_type, facts.id));
    line("");
    let age = units::format_age(facts.completed, now);
    let days = if plan.retention_days == 1 { "day" } else { "days" };
    let window = match plan.window {
        Window::Inside => format!("inside the {} {days} of change tracking", plan.retention_days),
        Window::Outside => format!("OLDER than the {} {days} of change tracking", plan.retention_days),
        Window::Future => "dated in the FUTURE".to_owned(),
    };
    line(&format!("Completed      {} ({age}), {window}", facts.completed));
    line(&format!(
        "Size           {} stored, {} when fetched",
        units::format_bytes(facts.bytes),
        units::format_bytes(facts.unpacked_bytes)
    ));
    let verdict = match &facts.soundness {
        Soundness::Sound => "sound, and its files belong together".to_owned(),
        Soundness::Damaged(why) => format!("DAMAGED: {why}"),
        Soundness::Unproven(why) => format!("not proven sound: {why}"),
    };
    line(&format!("Database       {verdict}"));
    line("");
    line("What becomes of the data");
    line(&format!("  Global data: {}", plan.data.global));
    line(&format!("  Site data:   {}", plan.data.site));
    for (heading, applies) in [("Options of Setup that apply", true), ("Options that do not", false)] {
        line("");
        line(heading);
        for option in plan.options.iter().filter(|option| option.applies == applies) {
            line(&format!("  {}={}  {}: {}", option.key, option.value, option.does, option.why));
        }
    }
    line("");
    line("Look out");
    for warning in &plan.warnings {
        line(&format!("  * {}", warning.text));
    }
    line("");
    match plan.better.as_slice() {
        [] => line("No other archive here is known to be a better choice."),
        better => {
            line("A better choice");
            for one in better {
                line(&format!("  {}: {}", one.archive, one.why));
            }
        }
    }
    text
}

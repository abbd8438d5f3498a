//! `afterbackup verify`

use std::str::FromStr;

use serde::Serialize;

use super::exit::Exit;
use super::failure::Failure;
use super::fetch::{Key, read_failure};
use super::list::shortcomings;
use super::place::{Place, choose, misplaced, warn_of_problems};
use super::{Program, threads};
use crate::archive::verify::{self, Depth, Verified};
use crate::catalog::{Inventory, Problem, ProblemKind, Selector, known};
use crate::destination::Destination;
use crate::engine::state::Extent;
use crate::monitor::{Event, EventKind};
use crate::name::ArchiveId;
use crate::units;

const EXAMPLES: &str = r"Without the secret key, an encrypted archive is compared as it is stored, with the SHA-256 of its
manifest; its contents are not checked. 'status' reports damage until another verification finds
the archive sound. Exit code 6 means damage.

Examples:
  afterbackup verify
  afterbackup verify latest --destination vault
  afterbackup verify --sample 5%
  afterbackup verify latest --deep

See docs/restore.md.";

/// Verify archives.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct Args {
    /// Archives: ids, latest, latest~2, latest-good, XYZ@2026-11-20 [default: all]
    archives: Vec<Selector>,
    /// Also put every file of a differential archive together from the archives it builds on, and compare it
    #[arg(long, conflicts_with = "sample")]
    deep: bool,
    /// Check only this share of each archive, drawn at random, like 10%
    #[arg(long, value_name = "PERCENT")]
    sample: Option<Share>,
    #[command(flatten)]
    key: Key,
    #[command(flatten)]
    place: Place,
}

/// A share of an archive, between 0 and 1.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Share(f64);

impl FromStr for Share {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let number: f64 = text.strip_suffix('%').unwrap_or(text).trim().parse().map_err(|_| "write it like 10%")?;
        if number > 0.0 && number <= 100.0 {
            Ok(Self(number / 100.0))
        } else {
            Err("it must be over 0% and at most 100%")
        }
    }
}

#[derive(Serialize)]
struct Report {
    archives: Vec<One>,
    /// Manifests that cannot be read: what they stand for cannot be verified.
    problems: Vec<Problem>,
}

#[derive(Serialize)]
struct One {
    archive: ArchiveId,
    destination: String,
    #[serde(flatten)]
    verified: Option<Verified>,
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<String>,
    /// What was wrong with the snapshot when it was archived: the archive is whole all the same.
    #[serde(skip_serializing_if = "Option::is_none")]
    archived_with: Option<String>,
    seconds: f64,
}

impl One {
    /// What is written down; the console has its own words, of several lines.
    fn event(&self) -> Event {
        let head = format!("{} on {}", self.archive, self.destination);
        let event = match (&self.verified, &self.error) {
            (Some(verified), _) if verified.damages == 0 => {
                let how = if verified.as_stored {
                    "ok as stored; contents not checked"
                } else if verified.not_rebuilt > 0 {
                    "ok, read back and compared; files that build on other archives not put together"
                } else {
                    "ok, read back and compared"
                };
                Event::new(EventKind::Verified, format!("{head}: {how}"))
            }
            (Some(verified), _) => {
                let first = verified.damage.first().map_or("", String::as_str);
                let message = format!("{head}: DAMAGED ({} findings), first: {first}", verified.damages);
                Event::new(EventKind::VerifyDamaged, message)
            }
            (None, error) => {
                let why = error.as_deref().unwrap_or("unknown");
                Event::new(EventKind::VerifyFailed, format!("{head}: cannot be verified: {why}"))
            }
        };
        event.with("archive", self.archive.to_string()).with("destination", self.destination.clone())
    }
}

pub(super) fn verify(program: &Program<'_>, args: &Args) -> Result<Exit, Failure> {
    let identities = args.key.identities()?;
    let targets = args.place.targets(program)?;
    let held = args.place.read(program, &targets)?;
    let wanted: Vec<ArchiveId> = if args.archives.is_empty() {
        warn_of_problems(program, &held, |_| true);
        known(&held).keys().map(|&id| id.clone()).collect()
    } else {
        args.archives.iter().map(|selector| choose(program, &held, selector)).collect::<Result<_, _>>()?
    };
    let mut archives = Vec::new();
    let mut exit = if held.iter().any(|one| one.catalog.is_err()) { Exit::Partial } else { Exit::Done };
    for id in &wanted {
        for one in &held {
            let Some(stored) = one.catalog.as_ref().ok().and_then(|catalog| catalog.archives.get(id)) else { continue };
            let begun = std::time::Instant::now();
            let depth = match args.sample {
                Some(Share(share)) => Depth::Sample(share),
                None if args.deep => Depth::Deep,
                None => Depth::Own,
            };
            let destination = one.target.name().to_owned();
            let opened = one.target.open().map_err(|error| Failure::new(Exit::Failed, &error).hint(error.hint()))?;
            let result = verify::verify(
                &**opened,
                &stored.manifest,
                &identities,
                depth,
                threads(),
                program.monitor,
                program.cancel,
            );
            let (verified, error) = match result {
                // Before an alarm: is it still there? A prune may be at work.
                Ok(verified) if verified.damages > 0 && is_gone(&**opened, id) => {
                    program.console.note(&format!("{id} was removed from {destination} while it was verified"));
                    continue;
                }
                Ok(verified) => (Some(verified), None),
                Err(_) if program.cancel.is_cancelled() => return Err(Failure::words(Exit::Cancelled, "cancelled")),
                Err(_) if is_gone(&**opened, id) => {
                    program.console.note(&format!("{id} was removed from {destination} while it was verified"));
                    continue;
                }
                Err(error) => (None, Some(read_failure(&error))),
            };
            let seconds = begun.elapsed().as_secs_f64();
            let words = error.as_ref().map(|error| error.message.clone());
            let archived_with = shortcomings(&stored.manifest);
            let found = One { archive: id.clone(), destination, verified, error: words, archived_with, seconds };
            let is_damaged = found.verified.as_ref().is_some_and(|verified| verified.damages > 0);
            exit = match (exit, is_damaged, &error) {
                (Exit::Damage, ..) | (_, true, _) => Exit::Damage,
                (_, _, Some(_)) => Exit::Failed,
                (exit, ..) => exit,
            };
            program.records.event(&found.event());
            if !program.console.is_json() {
                print(program, &found);
            }
            archives.push(found);
        }
    }
    remember(program, &archives, args.sample.is_some());
    if !program.console.is_json() {
        advise(program, &archives);
    }
    let problems = if args.archives.is_empty() { unreadable(&held) } else { vec![] };
    for problem in &problems {
        exit = match (exit, problem.kind) {
            (Exit::Damage, _) | (_, ProblemKind::Manifest) => Exit::Damage,
            (Exit::Failed, _) | (_, ProblemKind::Newer) => Exit::Failed,
            _ => Exit::Partial,
        };
    }
    if program.console.is_json() {
        program.console.document(&Report { archives, problems });
    } else if wanted.is_empty() {
        program.console.note("No archives.");
        program.console.hint(misplaced(&held).as_deref());
    }
    Ok(exit)
}

/// So that `status` tells of the damage until it is gone. Only for destinations of a configuration.
fn remember(program: &Program<'_>, archives: &[One], sample: bool) {
    let Some(settings) = program.settings.get() else { return };
    let at = program.clock.now();
    let noted = settings.state.update(|state| {
        for One { archive, destination, verified, .. } in archives {
            let Some(verified) = verified else { continue };
            let extent = match (verified.as_stored, sample || verified.not_rebuilt > 0) {
                (true, _) => Extent::Stored,
                (false, true) => Extent::Sample,
                (false, false) => Extent::Full,
            };
            state.verified(archive, destination, extent, verified.damage.first().map(String::as_str), at);
        }
    });
    if let Err(error) = noted {
        let path = settings.state.path().display();
        program.console.warn(&format!("'status' will not know of this verification: cannot write {path}: {error}"));
    }
}

/// What to do about damage.
fn advise(program: &Program<'_>, archives: &[One]) {
    let is_damaged = |one: &One| one.verified.as_ref().is_some_and(|verified| verified.damages > 0);
    let is_sound = |one: &One| one.verified.as_ref().is_some_and(|verified| verified.damages == 0);
    for one in archives.iter().filter(|one| is_damaged(one)) {
        let sound = archives.iter().find(|other| other.archive == one.archive && is_sound(other));
        let id = &one.archive;
        let advice = match sound {
            Some(other) => format!(
                "{} has a sound copy of {id}: 'afterbackup fetch {id} -d {} --to DIR'",
                other.destination, other.destination
            ),
            None => format!(
                "no sound copy of {id} was found: keep it, and what else there is of these days (afterbackup pin)"
            ),
        };
        program.console.note(&advice);
    }
}

/// Has the archive been removed since the catalog was read?
fn is_gone(destination: &dyn Destination, id: &ArchiveId) -> bool {
    destination.stat(&id.key(&id.manifest_name())).is_err_and(|error| error.is_not_found())
}

/// Manifests of which only the existence is known. They were told when the catalog was read.
fn unreadable(held: &[Inventory<'_>]) -> Vec<Problem> {
    let problems = held.iter().filter_map(|one| one.catalog.as_ref().ok()).flat_map(|catalog| &catalog.problems);
    problems.filter(|problem| problem.kind != ProblemKind::Archive).cloned().collect()
}

fn print(program: &Program<'_>, one: &One) {
    let head = format!("{} on {}", one.archive, one.destination);
    let with = one.archived_with.as_ref();
    let with = with.map_or_else(String::new, |words| format!("; as when it was archived, {words}"));
    match (&one.verified, &one.error) {
        (Some(verified), _) if verified.damages == 0 && verified.as_stored => {
            let bytes = units::format_bytes(verified.read_bytes);
            program.console.result(&format!(
                "{head}: ok as stored ({bytes} have the SHA-256 of the manifest); contents not checked, which needs --identity{with}\n"
            ));
        }
        (Some(verified), _) if verified.damages == 0 => {
            let what = match (verified.files, verified.not_rebuilt) {
                (0, 0) => "a sample, ".to_owned(),
                (files, _) => format!("{}, ", units::count(files, "file")),
            };
            let others = match verified.not_rebuilt {
                0 => String::new(),
                files => format!(
                    "; {} on other archives, which --deep compares, too",
                    units::count_of(files, "file builds", "files build")
                ),
            };
            program
                .console
                .result(&format!("{head}: ok ({what}{}{others}){with}\n", units::format_bytes(verified.plain_bytes)));
        }
        (Some(verified), _) => {
            program.console.result(&format!("{head}: DAMAGED ({} findings)\n", verified.damages));
            for damage in &verified.damage {
                program.console.result(&format!("  {}\n", units::visible_line(damage)));
            }
        }
        (None, error) => {
            let error = units::visible_line(error.as_deref().unwrap_or("unknown"));
            program.console.result(&format!("{head}: cannot be verified: {error}\n"));
        }
    }
}

//! `afterbackup recover checklist`

use std::fs;
use std::io::Write as _;
use std::path::PathBuf;

use super::found::{Found, find, site_type};
use crate::archive::index::Entry;
use crate::archive::reader::Reader;
use crate::catalog::Selector;
use crate::cli::Program;
use crate::cli::exit::Exit;
use crate::cli::failure::Failure;
use crate::cli::fetch::{Key, read_failure};
use crate::cli::place::Place;
use crate::name::ArchiveId;
use crate::recovery::checklist::{Extra, Origin, Subject, checklist as make};
use crate::recovery::facts::ArchiveFacts;
use crate::recovery::keys::SiteType;

const EXAMPLES: &str = r"Examples:
  afterbackup recover checklist --site-type primary --html C:\Recovery\XYZ.html
  afterbackup recover checklist XYZ-20261122T235900Z --site-type cas --to E:\Restore > XYZ.md";

/// List what to do.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct Args {
    /// Which: an id, latest, latest~2, latest-good, XYZ@2026-11-20
    #[arg(default_value = "latest-good")]
    archive: Selector,
    /// The kind of the site: cas, primary (stand-alone) or child-primary
    #[arg(long, value_name = "TYPE")]
    site_type: Option<SiteType>,
    /// The folder that commands fetch to
    #[arg(long, value_name = "DIR", default_value = DEFAULT_FOLDER)]
    to: String,
    /// Write one HTML page to this new file, instead of Markdown to standard output
    #[arg(long, value_name = "FILE")]
    html: Option<PathBuf>,
    #[command(flatten)]
    key: Key,
    #[command(flatten)]
    place: Place,
}

const DEFAULT_FOLDER: &str = r"C:\Recovery";

pub(super) fn checklist(program: &Program<'_>, args: &Args) -> Result<Exit, Failure> {
    let site_type = site_type(args.site_type)?;
    let found = find(program, &args.place, &args.archive)?;
    let identities = args.key.identities()?;
    let reader =
        Reader::open(&*found.destination, found.manifest.clone(), &identities).map_err(|error| read_failure(&error))?;
    let entries = &reader.index().entries;
    let facts = ArchiveFacts::new(&found.manifest, entries);
    let mut extras: Vec<Extra> = facts.supplemental.iter().map(|name| extra(name, &facts.id, entries)).collect();
    for id in other_series(&found) {
        extras.extend(series(&found, &id, &args.key)?);
    }
    let place = args.place.destination.as_ref().map_or_else(String::new, |place| format!("--destination \"{place}\""));
    let list = make(&Subject {
        facts: &facts,
        site_type,
        place: &place,
        to: &args.to,
        extras: &extras,
        now: program.clock.now(),
    });
    if let Some(path) = &args.html {
        let written = fs::File::options().write(true).create_new(true).open(path);
        let written = written.and_then(|mut file| file.write_all(list.to_html().as_bytes()));
        written.map_err(|error| {
            let failure = Failure::words(Exit::Failed, format!("cannot write {}: {error}", path.display()));
            match error.kind() {
                std::io::ErrorKind::AlreadyExists => failure.hint(Some("name another file, or remove it first")),
                _ => failure,
            }
        })?;
        program.console.note(&format!("Wrote {}", path.display()));
    }
    if program.console.is_json() {
        program.console.document(&list);
    } else if args.html.is_none() {
        program.console.result(&list.to_markdown());
    }
    Ok(Exit::Done)
}

/// The newest archive of each other series of the site.
fn other_series(found: &Found) -> Vec<ArchiveId> {
    let own = &found.manifest.id;
    let mut newest: std::collections::BTreeMap<&str, &ArchiveId> = std::collections::BTreeMap::new();
    for (id, stored) in found.held.iter().flat_map(|(_, catalog)| &catalog.archives) {
        if let Some(series) =
            id.series().filter(|_| id.site() == own.site() && id.series() != own.series() && stored.whole)
        {
            // SQL Server's backups are another way to the same database, not something to bring back beside it.
            if series == "SQL" {
                continue;
            }
            let best = newest.entry(series).or_insert(id);
            if id.stamp() > best.stamp() {
                *best = id;
            }
        }
    }
    newest.into_values().cloned().collect()
}

/// What an archive of its own holds.
fn series(found: &Found, id: &ArchiveId, key: &Key) -> Result<Vec<Extra>, Failure> {
    let holding = found.held.iter().find_map(|(destination, catalog)| {
        let stored = catalog.archives.get(id).filter(|stored| stored.whole)?;
        Some((destination, stored))
    });
    let Some((destination, stored)) = holding else { return Ok(vec![]) };
    let identities = key.identities()?;
    let reader =
        Reader::open(&**destination, stored.manifest.clone(), &identities).map_err(|error| read_failure(&error))?;
    let entries = &reader.index().entries;
    let facts = ArchiveFacts::new(&stored.manifest, entries);
    Ok(facts.supplemental.iter().map(|name| extra(name, id, entries)).collect())
}

fn extra(name: &str, archive: &ArchiveId, entries: &[Entry]) -> Extra {
    let folder = format!("Supplemental/{name}");
    let is_of_it = |entry: &&Entry| {
        let below = entry.path.strip_prefix(&folder);
        below.is_some_and(|below| below.is_empty() || below.starts_with('/'))
    };
    let origins = entries.iter().filter(is_of_it).filter_map(|entry| {
        let from = entry.origin.clone()?;
        Some(Origin { path: entry.path.clone(), folder: entry.folder, from })
    });
    Extra { name: name.to_owned(), archive: archive.clone(), origins: origins.collect(), folder }
}

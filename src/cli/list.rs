//! `afterbackup list`

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde::Serialize;

use super::Program;
use super::exit::Exit;
use super::failure::Failure;
use super::place::{Place, misplaced};
use super::table::{Align, render};
use crate::archive::manifest::{Database, Manifest};
use crate::catalog::{Inventory, Pin, Problem};
use crate::error::chain;
use crate::name::ArchiveId;
use crate::units;

/// SQL Server keeps changes for so many days by default; a newer archive can catch up with its hierarchy.
/// (Microsoft's documentation of backup and recovery for Configuration Manager.)
const CHANGE_TRACKING_DAYS: i64 = 5;

const EXAMPLES: &str = r"Examples:
  afterbackup list
  afterbackup list --site XYZ --destination vault
  afterbackup list --destination /mnt/usb/configmgr";

/// List archives.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct Args {
    #[command(flatten)]
    place: Place,
}

#[derive(Serialize)]
struct Listing {
    archives: Vec<Row>,
    destinations: Vec<Read>,
}

#[derive(Serialize)]
struct Row {
    id: ArchiveId,
    completed: Timestamp,
    age_seconds: i64,
    bytes: u64,
    uncompressed_bytes: u64,
    files: u64,
    encrypted: bool,
    destinations: Vec<String>,
    incomplete_on: Vec<String>,
    databases: Vec<Database>,
    good: bool,
    within_change_tracking: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    pin: Option<Pin>,
}

#[derive(Serialize)]
struct Read {
    name: String,
    location: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<String>,
    problems: Vec<Problem>,
}

pub(super) fn list(program: &Program<'_>, args: &Args) -> Result<Exit, Failure> {
    let targets = args.place.targets(program)?;
    let held = args.place.read(program, &targets)?;
    let now = program.clock.now();
    let listing = listing(&held, now);
    if program.console.is_json() {
        program.console.document(&listing);
    } else if listing.archives.is_empty() {
        let read = listing.destinations.iter().filter(|one| one.error.is_none());
        let places: Vec<&str> = read.map(|one| one.location.as_str()).collect();
        program.console.note(&format!("No archives in {}.", places.join(", ")));
        program.console.hint(misplaced(&held).as_deref());
    } else {
        program.console.result(&table(&listing.archives, now));
    }
    let incomplete = listing.archives.iter().any(|archive| !archive.incomplete_on.is_empty());
    let partial = incomplete || held.iter().any(|one| one.catalog.is_err());
    Ok(if partial { Exit::Partial } else { Exit::Done })
}

fn listing(held: &[Inventory<'_>], now: Timestamp) -> Listing {
    let mut rows: BTreeMap<ArchiveId, Row> = BTreeMap::new();
    let mut destinations = Vec::new();
    for one in held {
        let name = one.target.name().to_owned();
        let (error, problems) = match &one.catalog {
            Ok(catalog) => (None, catalog.problems.clone()),
            Err(error) => (Some(chain(error)), vec![]),
        };
        destinations.push(Read { name: name.clone(), location: one.target.location(), error, problems });
        for (id, stored) in one.catalog.iter().flat_map(|catalog| &catalog.archives) {
            let row = rows.entry(id.clone()).or_insert_with(|| row(&stored.manifest, now));
            if stored.whole {
                row.destinations.push(name.clone());
                row.good |= stored.is_good();
            } else {
                row.incomplete_on.push(name.clone());
            }
            row.pin = row.pin.take().or_else(|| stored.pin.clone());
        }
    }
    Listing { archives: rows.into_values().collect(), destinations }
}

fn row(manifest: &Manifest, now: Timestamp) -> Row {
    let age = now.duration_since(manifest.completed);
    Row {
        id: manifest.id.clone(),
        completed: manifest.completed,
        age_seconds: age.as_secs(),
        bytes: manifest.bytes,
        uncompressed_bytes: manifest.uncompressed_bytes,
        files: manifest.files,
        encrypted: manifest.encryption.is_some(),
        destinations: vec![],
        incomplete_on: vec![],
        databases: manifest.databases.clone(),
        good: false,
        within_change_tracking: age.as_secs() <= CHANGE_TRACKING_DAYS * 86_400,
        pin: None,
    }
}

fn table(rows: &[Row], now: Timestamp) -> String {
    let columns = [
        ("Archive", Align::Left),
        ("Age", Align::Right),
        ("Size", Align::Right),
        ("Unpacked", Align::Right),
        ("Databases", Align::Left),
        ("Change tracking", Align::Left),
        ("Destinations", Align::Left),
        ("Pin", Align::Left),
    ];
    let rows: Vec<Vec<String>> = rows
        .iter()
        .map(|row| {
            vec![
                row.id.to_string(),
                units::format_age(row.completed, now),
                units::format_bytes(row.bytes),
                units::format_bytes(row.uncompressed_bytes),
                databases(&row.databases),
                if row.within_change_tracking { "within" } else { "outside" }.to_owned(),
                destinations(row),
                row.pin.as_ref().map_or_else(String::new, |pin| format!("pinned: {}", pin.reason)),
            ]
        })
        .collect();
    render(&columns, &rows)
}

/// The worst of the databases, in a few words.
pub(super) fn databases(databases: &[Database]) -> String {
    let any = |verdict: &str| databases.iter().any(|database| database.verdict == verdict);
    let pages = |of: fn(&Database) -> u64| match databases.iter().map(of).sum() {
        1 => "1 page".to_owned(),
        pages => format!("{pages} pages"),
    };
    if databases.is_empty() {
        "not checked".to_owned()
    } else if databases.iter().any(|database| database.damaged_pages > 0) {
        format!("DAMAGED {}", pages(|database| database.damaged_pages))
    } else if databases.iter().any(|database| database.unpaired) {
        "DAMAGED: files do not fit together".to_owned()
    } else if any("damaged") {
        "DAMAGED: not whole".to_owned()
    } else if databases.iter().all(|database| database.verdict == "sound") {
        format!("ok {}", pages(|database| database.pages))
    } else if any("not-verifiable") {
        "not verifiable".to_owned()
    } else {
        "not checked".to_owned()
    }
}

fn destinations(row: &Row) -> String {
    let mut words = row.destinations.clone();
    words.extend(row.incomplete_on.iter().map(|name| format!("{name} (INCOMPLETE)")));
    words.join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn databases_are_told_in_a_few_words() {
        let one = |verdict: &str, pages, damaged_pages, unpaired| Database {
            name: "CM_XYZ".to_owned(),
            verdict: verdict.to_owned(),
            pages,
            damaged_pages,
            unpaired,
        };
        let sound = one("sound", 64, 0, false);
        for (list, expected) in [
            (vec![], "not checked"),
            (vec![one("sound", 1, 0, false)], "ok 1 page"),
            (vec![sound.clone(), sound.clone()], "ok 128 pages"),
            (vec![sound.clone(), one("damaged", 64, 1, false)], "DAMAGED 1 page"),
            (vec![one("damaged", 64, 2, true), one("damaged", 64, 1, false)], "DAMAGED 3 pages"),
            (vec![sound.clone(), one("damaged", 64, 0, true)], "DAMAGED: files do not fit together"),
            (vec![sound.clone(), one("damaged", 64, 0, false)], "DAMAGED: not whole"),
            (vec![sound.clone(), one("not-verifiable", 64, 0, false)], "not verifiable"),
            (vec![sound, one("not-checked", 64, 0, false)], "not checked"),
            (vec![one("of a later version", 64, 0, false)], "not checked"),
        ] {
            assert_eq!(databases(&list), expected);
        }
    }
}

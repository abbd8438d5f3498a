//! `afterbackup list`

use std::collections::BTreeMap;

use jiff::Timestamp;
use jiff::civil::Date;
use jiff::tz::TimeZone;
use serde::Serialize;

use super::Program;
use super::exit::Exit;
use super::failure::Failure;
use super::place::{Place, misplaced, warn_of_problems};
use super::table::{Align, render};
use crate::archive::manifest::{Database, Manifest};
use crate::catalog::{Inventory, Pin, Problem};
use crate::error::chain;
use crate::name::{ArchiveId, Level, SiteCode};
use crate::retention::plan::is_future;
use crate::source::KnownFolder;
use crate::units;

/// SQL Server keeps changes for so many days by default; a newer archive can catch up with its hierarchy.
/// (Microsoft's documentation of backup and recovery for Configuration Manager.)
const CHANGE_TRACKING_DAYS: i64 = 5;

const EXAMPLES: &str = r"Examples:
  afterbackup list
  afterbackup list --wide --last 10
  afterbackup list --site XYZ --destination vault --since 2026-11-01
  afterbackup list --destination /mnt/usb/configmgr

See docs/restore.md and docs/database-checks.md.";

/// List archives.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct Args {
    /// Show all columns: kind, archives needed, unpacked size, encryption, details of databases, change tracking,
    /// reasons of pins
    #[arg(long, short)]
    wide: bool,
    /// Only the newest N archives of each site
    #[arg(long, value_name = "N")]
    last: Option<usize>,
    /// Only archives of snapshots completed on this day or later, like 2026-11-20
    #[arg(long, value_name = "DATE")]
    since: Option<Date>,
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
    /// full, weekly or nightly.
    level: Level,
    /// The archives without which it cannot be read, the full one first.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    needs: Vec<ArchiveId>,
    completed: Timestamp,
    age_seconds: i64,
    bytes: u64,
    uncompressed_bytes: u64,
    files: u64,
    encrypted: bool,
    destinations: Vec<String>,
    incomplete_on: Vec<String>,
    missing_on: Vec<String>,
    databases: Vec<Database>,
    /// Folders of the task that were links, or were not there.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    missing: Vec<String>,
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
    warn_of_problems(program, &held, |_| true);
    let now = program.clock.now();
    let zone = TimeZone::system();
    let mut listing = listing(&held, now);
    mark_missing(&mut listing);
    let any = !listing.archives.is_empty();
    narrow_down(&mut listing.archives, args, &zone);
    if program.console.is_json() {
        program.console.document(&listing);
    } else if listing.archives.is_empty() {
        let read = listing.destinations.iter().filter(|one| one.error.is_none());
        let places: Vec<&str> = read.map(|one| one.location.as_str()).collect();
        let site = args.place.site.map_or_else(String::new, |site| format!(" of site {site}"));
        let since = args.since.filter(|_| any).map_or_else(String::new, |since| format!(" since {since}"));
        program.console.note(&format!("No archives{site}{since} in {}.", places.join(", ")));
        program.console.hint(misplaced(&held).as_deref());
    } else {
        for row in listing.archives.iter().filter(|row| is_future(row.id.stamp(), now)) {
            let on = [&row.destinations[..], &row.incomplete_on[..]].concat().join(", ");
            program.console.warn(&format!(
                "{} on {on} is dated in the future: a clock is or was wrong; it is no 'latest', and nothing prunes it",
                row.id
            ));
        }
        let table = if args.wide { wide(&listing.archives, now, &zone) } else { table(&listing.archives, now, &zone) };
        program.console.result(&format!("{table}{}\n", totals(&listing)));
    }
    let incomplete = listing.archives.iter().any(|archive| !archive.incomplete_on.is_empty());
    let is_wrong = |one: &Inventory<'_>| one.catalog.as_ref().map_or(true, |catalog| !catalog.problems.is_empty());
    let partial = incomplete || held.iter().any(is_wrong);
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
        level: manifest.level(),
        needs: manifest.chain().to_vec(),
        completed: manifest.completed,
        age_seconds: age.as_secs(),
        bytes: manifest.bytes,
        uncompressed_bytes: manifest.snapshot_bytes,
        files: manifest.files,
        encrypted: manifest.encryption.is_some(),
        destinations: vec![],
        incomplete_on: vec![],
        missing_on: vec![],
        databases: manifest.databases.clone(),
        missing: missing(manifest),
        good: false,
        within_change_tracking: age.as_secs() <= CHANGE_TRACKING_DAYS * 86_400,
        pin: None,
    }
}

/// A destination lacks an archive that is newer than all it has of the series: it missed a run. Older archives may have
/// been pruned there.
fn mark_missing(listing: &mut Listing) {
    let mut newest: BTreeMap<(&str, SiteCode, Option<&str>), &ArchiveId> = BTreeMap::new();
    for row in &listing.archives {
        for name in row.destinations.iter().chain(&row.incomplete_on) {
            newest.insert((name, row.id.site(), row.id.series()), &row.id);
        }
    }
    let read: Vec<&str> =
        listing.destinations.iter().filter(|one| one.error.is_none()).map(|one| one.name.as_str()).collect();
    let lacks = |row: &Row, name: &str| {
        newest.get(&(name, row.id.site(), row.id.series())).is_none_or(|newest| **newest < row.id)
    };
    let missing: Vec<Vec<String>> = listing
        .archives
        .iter()
        .map(|row| read.iter().filter(|name| lacks(row, name)).map(|name| (*name).to_owned()).collect())
        .collect();
    for (row, missing_on) in listing.archives.iter_mut().zip(missing) {
        row.missing_on = missing_on;
    }
}

/// Leaves what `--since` and `--last` ask for.
fn narrow_down(rows: &mut Vec<Row>, args: &Args, zone: &TimeZone) {
    if let Some(since) = args.since {
        rows.retain(|row| zone.to_datetime(row.completed).date() >= since);
    }
    if let Some(last) = args.last {
        let mut left: BTreeMap<(SiteCode, Option<String>), usize> = BTreeMap::new();
        let mut keep: Vec<bool> = rows
            .iter()
            .rev()
            .map(|row| {
                let seen = left.entry((row.id.site(), row.id.series().map(str::to_owned))).or_default();
                *seen += 1;
                *seen <= last
            })
            .collect();
        rows.retain(|_| keep.pop().unwrap_or(true));
    }
}

/// What fits into 80 columns. Where every archive is a full one, that is not said.
fn table(rows: &[Row], now: Timestamp, zone: &TimeZone) -> String {
    let tiers = rows.iter().any(|row| row.level != Level::Full);
    let columns = [
        ("Archive", Align::Left),
        (if tiers { "Kind" } else { "" }, Align::Left),
        ("Completed", Align::Left),
        ("Age", Align::Right),
        ("Size", Align::Right),
        ("Databases", Align::Left),
        ("On", Align::Left),
        ("", Align::Left),
    ];
    let cells = |row: &Row| {
        let databases = databases(&row.databases);
        vec![
            row.id.to_string(),
            (if tiers { row.level.word() } else { "" }).to_owned(),
            short_time(row.completed, now, zone),
            units::format_age_short(row.completed, now),
            units::format_bytes(row.bytes),
            brief(&databases).to_owned() + &without(row),
            destinations(row),
            (if row.pin.is_some() { "pinned" } else { "" }).to_owned(),
        ]
    };
    render(&columns, &rows.iter().map(cells).collect::<Vec<_>>())
}

/// Everything.
fn wide(rows: &[Row], now: Timestamp, zone: &TimeZone) -> String {
    let columns = [
        ("Archive", Align::Left),
        ("Kind", Align::Left),
        (if rows.iter().any(|row| !row.needs.is_empty()) { "Needs" } else { "" }, Align::Left),
        ("Completed", Align::Left),
        ("Age", Align::Right),
        ("Size", Align::Right),
        ("Unpacked", Align::Right),
        ("Encrypted", Align::Left),
        ("Databases", Align::Left),
        ("Change tracking", Align::Left),
        ("On", Align::Left),
        ("Pin", Align::Left),
    ];
    let pin = |pin: &Pin| match pin.reason.as_str() {
        "" => "pinned".to_owned(),
        reason => format!("pinned: {reason}"),
    };
    let cells = |row: &Row| {
        vec![
            row.id.to_string(),
            row.level.word().to_owned(),
            row.needs.iter().map(ToString::to_string).collect::<Vec<_>>().join(", "),
            row.completed.to_zoned_datetime(zone.clone()).strftime("%Y-%m-%d %H:%M:%S%:z").to_string(),
            units::format_age(row.completed, now),
            units::format_bytes(row.bytes),
            units::format_bytes(row.uncompressed_bytes),
            (if row.encrypted { "yes" } else { "no" }).to_owned(),
            databases(&row.databases) + &without(row),
            if row.within_change_tracking { "within" } else { "outside" }.to_owned(),
            destinations(row),
            row.pin.as_ref().map_or_else(String::new, pin),
        ]
    };
    render(&columns, &rows.iter().map(cells).collect::<Vec<_>>())
}

/// As `ls -l` has it: the time of day for the last months, the year for what is older or in the future.
fn short_time(time: Timestamp, now: Timestamp, zone: &TimeZone) -> String {
    let recent = (0..300 * 86_400).contains(&now.duration_since(time).as_secs());
    let format = if recent { "%d %b %H:%M" } else { "%d %b %Y" };
    time.to_zoned_datetime(zone.clone()).strftime(format).to_string()
}

/// "2 archives, 15.8 MiB on vault, 7.9 MiB on offsite"
fn totals(listing: &Listing) -> String {
    let mut words = vec![units::count(listing.archives.len(), "archive")];
    for destination in listing.destinations.iter().filter(|one| one.error.is_none()) {
        let on = listing.archives.iter().filter(|row| row.destinations.contains(&destination.name));
        words.push(format!("{} on {}", units::format_bytes(on.map(|row| row.bytes).sum()), destination.name));
    }
    words.join(", ")
}

fn without(row: &Row) -> String {
    if row.missing.is_empty() { String::new() } else { format!(", without {}", row.missing.join(", ")) }
}

/// The verdict without its numbers and details.
fn brief(databases: &str) -> &str {
    let end = databases.find(|c: char| c == ':' || c.is_ascii_digit()).unwrap_or(databases.len());
    databases.get(..end).unwrap_or(databases).trim_end()
}

/// What was wrong with a snapshot when it was archived, in a few words. Nothing, where all databases are proven and
/// everything is there.
pub(super) fn shortcomings(manifest: &Manifest) -> Option<String> {
    let proven = manifest.databases.iter().all(|database| database.verdict.is_proven());
    let databases = (!proven).then(|| format!("databases: {}", databases(&manifest.databases)));
    let missing = missing(manifest);
    let missing = (!missing.is_empty()).then(|| format!("not in it: {}", missing.join(", ")));
    let words: Vec<String> = databases.into_iter().chain(missing).collect();
    (!words.is_empty()).then(|| words.join("; "))
}

/// The folders of the task that are not in an archive, by name.
fn missing(manifest: &Manifest) -> Vec<String> {
    let name =
        |code: &String| KnownFolder::of_code(code).map_or_else(|| code.clone(), |folder| folder.name().to_owned());
    manifest.missing.iter().map(name).collect()
}

/// The worst of the databases, in a few words.
pub(super) fn databases(databases: &[Database]) -> String {
    let pages = |of: fn(&Database) -> u64| match databases.iter().map(of).sum() {
        1 => "1 page".to_owned(),
        pages => format!("{pages} pages"),
    };
    let why = |wanted: fn(&Database) -> bool| {
        let named = databases.iter().filter(|one| wanted(one)).find_map(|one| Some((one, one.why.as_ref()?)));
        named.map(|(one, why)| format!("{} {why}", if one.file.is_empty() { &one.name } else { &one.file }))
    };
    if databases.is_empty() {
        "not checked".to_owned()
    } else if databases.iter().any(|database| database.damaged_pages > 0) {
        format!("DAMAGED {}", pages(|database| database.damaged_pages))
    } else if let Some(why) = why(|database| database.verdict.is_damaged()) {
        format!("DAMAGED: {why}")
    } else if databases.iter().any(|database| database.unpaired) {
        "DAMAGED: files do not fit together".to_owned()
    } else if databases.iter().any(|database| database.verdict.is_damaged()) {
        "DAMAGED: not whole".to_owned()
    } else if databases.iter().all(|database| database.verdict.is_proven()) {
        let noted = if databases.iter().any(|database| !database.notes.is_empty()) { ", with notes" } else { "" };
        format!("ok {}{noted}", pages(|database| database.pages))
    } else {
        why(|database| !database.verdict.is_proven()).map_or("unproven".to_owned(), |why| format!("unproven: {why}"))
    }
}

fn destinations(row: &Row) -> String {
    let mut words = row.destinations.clone();
    words.extend(row.incomplete_on.iter().map(|name| format!("{name} (INCOMPLETE)")));
    let on = words.join(", ");
    if row.missing_on.is_empty() { on } else { format!("{on} (missing: {})", row.missing_on.join(", ")) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::archive::verdict::Why;
    use crate::sqlserver::Obstacle;

    fn listed(id: &str, destinations: &[&str]) -> Row {
        let id: ArchiveId = id.parse().unwrap();
        Row {
            completed: id.stamp(),
            id,
            level: Level::Full,
            needs: vec![],
            age_seconds: 0,
            bytes: 8_283_750,
            uncompressed_bytes: 25_585_254,
            files: 300,
            encrypted: false,
            destinations: destinations.iter().map(|name| (*name).to_owned()).collect(),
            incomplete_on: vec![],
            missing_on: vec![],
            missing: vec![],
            databases: vec![],
            good: true,
            within_change_tracking: true,
            pin: None,
        }
    }

    fn read(name: &str) -> Read {
        Read { name: name.to_owned(), location: String::new(), error: None, problems: vec![] }
    }

    #[test]
    fn two_destinations_fit_into_80_columns_and_what_one_missed_is_named() {
        let archives = vec![
            listed("ABC-20260101T013000Z", &["vault"]),
            listed("XYZ-20211120T013000Z", &["vault", "offsite"]),
            listed("XYZ-20261121T013000Z", &["vault"]),
            listed("XYZ-20261122T013000Z", &["vault", "offsite"]),
            listed("XYZ-20261123T013000Z", &["vault"]),
        ];
        let mut listing = Listing { archives, destinations: vec![read("vault"), read("offsite")] };
        listing.archives[4].pin = Some(Pin::default());
        let mut away = read("away");
        away.error = Some("it is away".to_owned());
        listing.destinations.push(away);
        mark_missing(&mut listing);
        let now = "2026-11-25T23:00:00Z".parse().unwrap();
        let zone = TimeZone::get("Europe/Berlin").unwrap();
        let text = format!("{}{}", table(&listing.archives, now, &zone), totals(&listing));
        insta::assert_snapshot!(text, @"
        Archive               Completed       Age     Size  Databases    On
        ABC-20260101T013000Z  01 Jan 2026   328 d  7.9 MiB  not checked  vault (missing: offsite)
        XYZ-20211120T013000Z  20 Nov 2021     5 y  7.9 MiB  not checked  vault, offsite
        XYZ-20261121T013000Z  21 Nov 02:30    4 d  7.9 MiB  not checked  vault
        XYZ-20261122T013000Z  22 Nov 02:30    3 d  7.9 MiB  not checked  vault, offsite
        XYZ-20261123T013000Z  23 Nov 02:30    2 d  7.9 MiB  not checked  vault (missing: offsite)  pinned
        5 archives, 39.5 MiB on vault, 15.8 MiB on offsite
        ");
        let full = text.lines().filter(|line| !line.contains("missing"));
        assert!(full.map(|line| line.chars().count()).max() <= Some(80), "{text}");
        insta::assert_snapshot!(wide(&listing.archives[4..], now, &zone), @"
        Archive               Kind  Completed                         Age     Size  Unpacked  Encrypted  Databases    Change tracking  On                        Pin
        XYZ-20261123T013000Z  full  2026-11-23 02:30:00+01:00  2 days ago  7.9 MiB  24.4 MiB  no         not checked  within           vault (missing: offsite)  pinned
        ");
    }

    #[test]
    fn only_the_newest_or_those_since_a_day_are_left() {
        let all = ["ABC-20260101T013000Z", "XYZ-20261121T223000Z", "XYZ-20261121T233000Z", "XYZ-20261123T013000Z"];
        let left = |last, since: Option<&str>| {
            let place = Place { destination: None, site: None };
            let args = Args { wide: false, last, since: since.map(|since| since.parse().unwrap()), place };
            let mut rows: Vec<Row> = all.iter().map(|id| listed(id, &["vault"])).collect();
            narrow_down(&mut rows, &args, &TimeZone::get("Europe/Berlin").unwrap());
            rows.into_iter().map(|row| row.id.to_string()).collect::<Vec<_>>()
        };
        assert_eq!(left(None, None), all);
        assert_eq!(left(Some(1), None), [all[0], all[3]]);
        assert_eq!(left(None, Some("2026-11-22")), [all[2], all[3]]);
        assert_eq!(left(Some(1), Some("2026-11-22")), [all[3]]);
        assert!(left(Some(0), None).is_empty());
    }

    #[test]
    fn verdicts_are_brief_in_the_narrow_table() {
        for (words, expected) in [
            ("ok 131072 pages", "ok"),
            ("DAMAGED 3 pages", "DAMAGED"),
            ("DAMAGED: not whole", "DAMAGED"),
            ("not verifiable", "not verifiable"),
            ("", ""),
        ] {
            assert_eq!(brief(words), expected);
        }
    }

    #[test]
    fn databases_are_told_in_a_few_words() {
        let one = |verdict: &str, pages, damaged_pages, unpaired| Database {
            name: "CM_XYZ".to_owned(),
            file: "CM_XYZ.mdf".to_owned(),
            verdict: verdict.into(),
            pages,
            damaged_pages,
            unpaired,
            ..Database::default()
        };
        let sound = one("sound", 64, 0, false);
        let with = |why: Why, database: Database| Database { why: Some(why), ..database };
        let noted = Database { notes: vec!["page 7".to_owned()], ..one("sound-with-notes", 64, 0, false) };
        for (list, expected) in [
            (vec![], "not checked"),
            (vec![one("sound", 1, 0, false)], "ok 1 page"),
            (vec![sound.clone(), sound.clone()], "ok 128 pages"),
            (vec![sound.clone(), noted], "ok 128 pages, with notes"),
            (vec![sound.clone(), one("damaged", 64, 1, false)], "DAMAGED 1 page"),
            (vec![one("damaged", 64, 2, true), one("damaged", 64, 1, false)], "DAMAGED 3 pages"),
            (vec![sound.clone(), one("damaged", 64, 0, true)], "DAMAGED: files do not fit together"),
            (vec![sound.clone(), one("damaged", 64, 0, false)], "DAMAGED: not whole"),
            (vec![Database::absent("CM_XYZ", Why::Missing)], "DAMAGED: CM_XYZ missing"),
            (
                vec![with(Why::NotWhatItsNameSays, one("damaged", 0, 0, false))],
                "DAMAGED: CM_XYZ.mdf not what its name says",
            ),
            (
                vec![with(Why::Obstacle(Obstacle::PageVerifyNone), one("unproven", 64, 0, false))],
                "unproven: CM_XYZ.mdf PAGE_VERIFY NONE",
            ),
            (vec![sound, one("of a later version", 64, 0, false)], "unproven"),
        ] {
            assert_eq!(databases(&list), expected);
        }
    }
}

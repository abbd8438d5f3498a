//! `afterbackup show`

use serde::Serialize;

use super::Program;
use super::exit::Exit;
use super::failure::Failure;
use super::fetch::{Key, read_failure, select};
use super::list::databases;
use super::place::Place;
use super::table::{Align, render};
use crate::archive::AccessError;
use crate::archive::index::{Entry, Skipped};
use crate::archive::manifest::{MAX_BYTES, Manifest};
use crate::archive::reader::{ReadError, Reader};
use crate::catalog::{Pin, Selector};
use crate::destination::Destination;
use crate::name::ArchiveId;
use crate::source::KnownFolder;
use crate::units;

const EXAMPLES: &str = r"Examples:
  afterbackup show latest
  afterbackup show latest --files
  afterbackup show XYZ-20261122T235900Z --files '**/*.mdf'";

/// Show an archive.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES, override_usage = "afterbackup show [OPTIONS] <ARCHIVE> [--files [GLOB]]")]
pub(super) struct Args {
    /// Archive: an id, latest, latest~2, latest-good, XYZ@2026-11-20
    archive: Selector,
    /// List the files, all or those that match the pattern
    #[arg(long, value_name = "GLOB", num_args = 0..=1, default_missing_value = "**")]
    files: Option<String>,
    #[command(flatten)]
    key: Key,
    #[command(flatten)]
    place: Place,
}

#[derive(Serialize)]
struct Shown<'a> {
    destination: &'a str,
    manifest: &'a Manifest,
    #[serde(skip_serializing_if = "Option::is_none")]
    files: Option<Vec<&'a Entry>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    skipped: Option<&'a [Skipped]>,
}

pub(super) fn show(program: &Program<'_>, args: &Args) -> Result<Exit, Failure> {
    let copies = args.place.find_all(program, &args.archive)?;
    let identities = args.key.identities()?;
    let mut chosen = (0, None);
    for (number, (destination, manifest)) in copies.iter().enumerate().filter(|_| args.files.is_some()) {
        match Reader::open(&**destination, manifest.clone(), &identities) {
            Ok(reader) => {
                chosen = (number, Some(reader));
                break;
            }
            // Damage, or a destination that fails: another copy may do.
            Err(error) if number + 1 < copies.len() && is_of_copy(&error) => {
                let next = copies[number + 1].0.name();
                program.console.warn(&format!("{}; trying {next}", read_failure(&error).message));
            }
            Err(error) => return Err(read_failure(&error)),
        }
    }
    let (number, reader) = chosen;
    let (destination, manifest) = &copies[number];
    let patterns: Vec<String> = args.files.iter().cloned().collect();
    let files = reader.as_ref().map(|reader| select(reader.index(), &patterns)).transpose()?;
    if program.console.is_json() {
        let skipped = reader.as_ref().map(|reader| reader.index().skipped.as_slice());
        let nothing = files.as_ref().is_some_and(Vec::is_empty);
        program.console.document(&Shown { destination: destination.name(), manifest, files, skipped });
        return if nothing { Err(no_match(args)) } else { Ok(Exit::Done) };
    }
    match files {
        None => {
            let pin = read_pin(&**destination, &manifest.id)?;
            program.console.result(&describe(destination.name(), manifest, pin.as_ref()));
        }
        Some(files) if files.is_empty() => return Err(no_match(args)),
        Some(files) => {
            program.console.result(&file_table(&files));
            for skipped in reader.iter().flat_map(|reader| &reader.index().skipped) {
                program.console.note(&format!("{} is not in the archive: {}", skipped.path, skipped.reason));
            }
        }
    }
    Ok(Exit::Done)
}

fn is_of_copy(error: &ReadError) -> bool {
    error.is_damage() || matches!(error, ReadError::Access(AccessError::Destination(_)))
}

fn no_match(args: &Args) -> Failure {
    let pattern = args.files.as_deref().unwrap_or_default();
    let hint =
        format!("paths begin at the top, like '**/*.mdf'; 'afterbackup show {} --files' lists them", args.archive);
    Failure::words(Exit::Failed, format!("nothing in the archive matches '{pattern}'")).hint(Some(&hint))
}

/// Why the archive is never pruned, if it is pinned here.
fn read_pin(destination: &dyn Destination, id: &ArchiveId) -> Result<Option<Pin>, Failure> {
    match destination.read(&id.key(&id.pin_name()), MAX_BYTES) {
        // Its presence counts, whatever it says.
        Ok(bytes) => Ok(Some(serde_json::from_slice(&bytes).unwrap_or_default())),
        Err(error) if error.is_not_found() => Ok(None),
        Err(error) => Err(Failure::new(Exit::Failed, &error).hint(error.hint())),
    }
}

/// What kind of archive it is, and what it cannot be read without.
fn kind(manifest: &Manifest) -> String {
    let word = manifest.level().word();
    let needs: Vec<String> = manifest.chain().iter().map(ToString::to_string).collect();
    match (needs.is_empty(), &manifest.full_because) {
        (false, _) => format!(
            "{word}: what differs from {}; to restore it, {} needed, too",
            needs[needs.len() - 1],
            are_needed(&needs)
        ),
        (true, Some(because)) => format!("{word}, because {because}"),
        (true, None) => word.to_owned(),
    }
}

fn are_needed(needs: &[String]) -> String {
    match needs {
        [one] => format!("{one} is"),
        [rest @ .., last] => format!("{} and {last} are", rest.join(", ")),
        [] => String::new(),
    }
}

fn describe(destination: &str, manifest: &Manifest, pin: Option<&Pin>) -> String {
    let archived = units::format_time(manifest.archived);
    let mut lines = vec![
        ("Archive", manifest.id.to_string()),
        ("Completed", format!("{} ({})", units::format_time(manifest.completed), manifest.completion_evidence)),
        ("Archived", format!("{archived} on {} by {}", manifest.host, manifest.program)),
        ("Kind", kind(manifest)),
        ("Read from", destination.to_owned()),
        ("File", manifest.archive.clone()),
        ("Size", format!("{} ({} bytes)", units::format_bytes(manifest.bytes), manifest.bytes)),
        ("Unpacked", format!("{}, {} files", units::format_bytes(manifest.snapshot_bytes), manifest.files)),
        ("SHA-256", manifest.sha256.to_string()),
        ("Databases", databases(&manifest.databases)),
    ];
    for database in &manifest.databases {
        let file = if database.file.is_empty() { &database.name } else { &database.file };
        let why = database.why.iter().map(ToString::to_string).chain(database.notes.iter().cloned());
        lines.extend(why.map(|why| ("", format!("{file}: {why}"))));
    }
    if let Some(Pin { reason, by, when }) = pin {
        let when = when.map_or_else(String::new, |when| format!(", {}", units::format_time(when)));
        let by = if by.is_empty() { String::new() } else { format!(" by {by}") };
        let reason = if reason.is_empty() { String::new() } else { format!(": {reason}") };
        lines.push(("Pinned", format!("yes{by}{when}{reason}")));
    }
    if let Some(encryption) = &manifest.encryption {
        lines.push(("Encrypted to", encryption.recipients.join(", ")));
    }
    if manifest.skipped > 0 {
        let things = if manifest.skipped == 1 { "file or folder is" } else { "files or folders are" };
        lines.push(("Skipped", format!("{} {things} not in it; --files names them", manifest.skipped)));
    }
    for code in &manifest.missing {
        let folder = KnownFolder::of_code(code).map_or(code.as_str(), |folder| folder.name());
        lines.push(("Missing", format!("{folder}: it was a link or junction when the archive was made")));
    }
    for part in &manifest.parts {
        lines.push(("Snapshot", format!("{} ({})", part.path, part.kind)));
    }
    lines
        .iter()
        .fold(String::new(), |text, (name, value)| text + &format!("{name:<13} {}\n", units::visible_line(value)))
}

fn file_table(files: &[&Entry]) -> String {
    let columns = [("Size", Align::Right), ("Modified (UTC)", Align::Left), ("Path", Align::Left)];
    let rows: Vec<Vec<String>> = files
        .iter()
        .map(|entry| {
            let size = if entry.folder { String::new() } else { entry.size.to_string() };
            let slash = if entry.folder { "/" } else { "" };
            let modified = entry.modified.strftime("%Y-%m-%d %H:%M:%S").to_string();
            vec![size, modified, format!("{}{slash}", entry.path)]
        })
        .collect();
    render(&columns, &rows)
}

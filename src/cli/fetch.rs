//! `afterbackup fetch`

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use globset::{GlobBuilder, GlobSet, GlobSetBuilder};
use serde::Serialize;

use super::exit::Exit;
use super::failure::Failure;
use super::fetch_raw::raw_of_any;
use super::list::shortcomings;
use super::place::Place;
use super::{Program, threads};
use crate::archive::extract::{ExtractError, Fetched, Options, extract};
use crate::archive::index::{Entry, Index};
use crate::archive::manifest::Manifest;
use crate::archive::reader::{ReadError, Reader};
use crate::archive::salvage::Proof;
use crate::archive::{AccessError, Identities};
use crate::catalog::Selector;
use crate::destination::Destination;
use crate::error::chain;
use crate::monitor::{Event, EventKind};
use crate::name::ArchiveId;
use crate::units;

const EXAMPLES: &str = r"Examples:
  afterbackup fetch latest --to /restore
  afterbackup fetch latest XYZBackup/CD.Latest '**/smsbkup.log' --to /restore
  afterbackup fetch XYZ@2026-11-20 --to D:\Restore --destination \\backup01\configmgr$ --identity key.txt

See docs/restore.md.";

/// Get files back.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct Args {
    /// Archive: an id, latest, latest~2, latest-good, XYZ@2026-11-20
    archive: Selector,
    /// Unpack into this folder; never outside it
    #[arg(long, value_name = "DIR")]
    to: PathBuf,
    /// Only these paths: XYZBackup/SiteDBServer/**, '**/*.ini'; a folder means all it holds [default: everything]
    #[arg(value_name = "GLOB")]
    patterns: Vec<String>,
    /// Fetch the archive file and its manifest as stored, checked but not unpacked
    #[arg(long, conflicts_with_all = ["patterns", "force", "identity"])]
    raw: bool,
    /// Replace existing files that differ
    #[arg(long)]
    force: bool,
    #[command(flatten)]
    key: Key,
    #[command(flatten)]
    place: Place,
}

/// The secret key for encrypted archives.
#[derive(Debug, clap::Args)]
pub(super) struct Key {
    /// File with the secret key (AGE-SECRET-KEY-…) for encrypted archives
    #[arg(long, short, value_name = "FILE")]
    identity: Option<PathBuf>,
}

impl Key {
    pub(super) fn identities(&self) -> Result<Identities, Failure> {
        self.identities_or(None)
    }

    /// From this file, where the command line names none.
    pub(super) fn identities_or(&self, other: Option<&Path>) -> Result<Identities, Failure> {
        let Some(path) = self.identity.as_deref().or(other) else { return Ok(Identities::default()) };
        Identities::from_file(path).map_err(|error| {
            Failure::words(Exit::Usage, format!("cannot use {} as a key: {error}", path.display()))
                .hint(Some("it is the file that age-keygen wrote, with a line AGE-SECRET-KEY-1..."))
        })
    }
}

/// An archive on a destination.
type Copy = (Arc<dyn Destination>, Manifest);

#[derive(Serialize)]
struct Report<'a> {
    archive: &'a ArchiveId,
    destination: &'a str,
    to: String,
    /// Does nothing speak against the archive and its databases?
    good: bool,
    /// What the files were compared with.
    proof: Proof,
    #[serde(flatten)]
    fetched: &'a Fetched,
}

pub(super) fn fetch(program: &Program<'_>, args: &Args) -> Result<Exit, Failure> {
    let copies = args.place.find_all(program, &args.archive)?;
    if args.raw {
        return raw_of_any(program, &copies, &args.to);
    }
    let identities = args.key.identities()?;
    let options = Options { target: args.to.clone(), force: args.force, threads: threads() };
    // Copies of one archive are the same bytes; of another, nothing fits.
    let sha256 = copies[0].1.sha256;
    let copies: Vec<Copy> = copies.into_iter().filter(|(_, manifest)| manifest.sha256 == sha256).collect();
    let mut fetch: Option<(String, Fetched)> = None;
    let mut lonely: Vec<String> = Vec::new();
    let mut failure = None;
    let mut damaged = false;
    let mut proof = Proof::Index;
    for (number, (destination, manifest)) in copies.iter().enumerate() {
        let name = destination.name();
        if let Some((from, fetched)) = &fetch {
            program.console.warn(&format!("{} on {from} damaged: trying {name}", are(fetched.damaged.len())));
        } else if let Some(failure) = &failure {
            let Failure { message, .. } = failure;
            program.console.warn(&format!("{message}; trying {name}"));
        }
        let last = number + 1 == copies.len();
        let reader = open(&**destination, manifest, &identities, &args.patterns);
        let attempt = fetch_from(program, reader, args, &options, fetch.as_ref().map(|(_, f)| f));
        match attempt {
            Ok((fetched, without)) => {
                lonely = without;
                let from = fetch.take().map_or_else(|| name.to_owned(), |(from, _)| format!("{from}, {name}"));
                let whole = fetched.damaged.is_empty();
                fetch = Some((from, fetched));
                failure = None;
                if whole {
                    break;
                }
            }
            Err(error) if fetch.is_some() => program.console.warn(&error.message),
            // Damage, or a destination that fails: another copy may do, or what is left of a damaged one.
            Err(error) => {
                damaged |= error.failure.exit == Exit::Damage;
                if !error.other_copy || last && !damaged {
                    return Err(error.failure);
                }
                failure = Some(error.failure);
            }
        }
    }
    if fetch.is_none()
        && damaged
        && let Some((name, reader, by)) = open_in_order(program, &copies, &identities)?
    {
        program.console.warn(&in_order(&copies[0].1.id, name, by));
        let (fetched, without) =
            fetch_from(program, Ok(reader), args, &options, None).map_err(|error| error.failure)?;
        (fetch, lonely, proof) = (Some((name.to_owned(), fetched)), without, by);
    }
    let Some((from, fetched)) = fetch else {
        return Err(failure.unwrap_or_else(|| Failure::words(Exit::Failed, "no copy can be read")));
    };
    let manifest = &copies[0].1;
    let id = &manifest.id;
    program.records.event(&told(id, &from, &fetched, proof, &args.to));
    if program.console.is_json() {
        let to = args.to.display().to_string();
        program.console.document(&Report {
            archive: id,
            destination: &from,
            to,
            good: manifest.is_good(),
            proof,
            fetched: &fetched,
        });
    } else {
        report(program, &fetched, &args.to);
    }
    warn_of_content(program, manifest);
    Ok(match (fetched.damaged.is_empty() && proof == Proof::Index, lonely.is_empty()) {
        (false, _) => Exit::Damage,
        (true, false) => Exit::Failed,
        (true, true) => Exit::Done,
    })
}

/// The files are what was archived, and that was not sound.
fn warn_of_content(program: &Program<'_>, manifest: &Manifest) {
    if let Some(words) = shortcomings(manifest) {
        let id = &manifest.id;
        program.console.warn(&format!("the files are as they were archived, but {id} is not proven sound: {words}"));
        program.console.hint(Some("'afterbackup fetch latest-good' takes the newest archive with proven databases"));
    }
}

/// The copy that tells most when read from its beginning: one that still has its index, before one that has not.
fn open_in_order<'a>(
    program: &Program<'_>,
    copies: &'a [Copy],
    identities: &'a Identities,
) -> Result<Option<(&'a str, Reader<'a>, Proof)>, Failure> {
    let mut without_index = None;
    for (destination, manifest) in copies {
        let name = destination.name();
        match Reader::open_in_order(&**destination, manifest.clone(), identities, program.cancel) {
            Ok((reader, Proof::Index)) => return Ok(Some((name, reader, Proof::Index))),
            Ok((reader, proof)) => {
                let better = |(_, _, other): &(_, _, Proof)| *other == Proof::Frames && proof == Proof::Part;
                if without_index.as_ref().is_none_or(better) {
                    without_index = Some((name, reader, proof));
                }
            }
            Err(_) if program.cancel.is_cancelled() => return Err(Failure::words(Exit::Cancelled, "cancelled")),
            // What is damaged was told when it was opened.
            Err(error) if error.is_damage() => {}
            Err(error) => program.console.warn(&format!("{name} is left out: {}", chain(&error))),
        }
    }
    Ok(without_index)
}

/// Why an archive is read from its beginning on, and what its files are compared with.
fn in_order(id: &ArchiveId, destination: &str, proof: Proof) -> String {
    match proof {
        Proof::Index => format!(
            "the seek table of {id} on {destination} is damaged: it is read from its beginning on, and each file is \
             compared with the SHA-256 in its index"
        ),
        Proof::Part => format!(
            "{id} on {destination} builds on an archive that is lost: what it has as whole files is fetched, and each \
             file is compared with the SHA-256 in its index; all others are missing"
        ),
        Proof::Frames => format!(
            "the index of {id} on {destination} is damaged, or not the one of its manifest: it is read from its beginning on, and what is found in it is \
             compared with the checksums of its frames alone; whether files are missing is not known"
        ),
    }
}

fn are(files: usize) -> String {
    units::count_of(files, "file is", "files are")
}

/// Why a copy could not be fetched from.
struct Attempt {
    failure: Failure,
    message: String,
    /// May another copy do?
    other_copy: bool,
}

impl Attempt {
    fn new(failure: Failure, other_copy: bool) -> Self {
        Self { message: failure.message.clone(), failure, other_copy }
    }
}

/// Fetches what is wanted from a copy; after another copy, only what was damaged there. Also returns the patterns
/// without a match.
fn fetch_from(
    program: &Program<'_>,
    reader: Result<Reader<'_>, ReadError>,
    args: &Args,
    options: &Options,
    before: Option<&Fetched>,
) -> Result<(Fetched, Vec<String>), Attempt> {
    let own = |failure: Failure| Attempt::new(failure, false);
    let of_copy = |error: &ReadError| {
        let key = matches!(error, ReadError::Access(AccessError::NoIdentity | AccessError::WrongIdentity));
        Attempt::new(read_failure(error), !key && !program.cancel.is_cancelled())
    };
    let reader = reader.map_err(|error| of_copy(&error))?;
    let lonely: Vec<String> =
        without_match(reader.index(), &args.patterns).map_err(own)?.into_iter().map(str::to_owned).collect();
    let mut entries = select(reader.index(), &args.patterns).map_err(own)?;
    if entries.is_empty() {
        let hint = format!(
            "paths begin at the top, like 'XYZBackup/SiteServer' or '**/*.ini'; 'afterbackup show {} --files' lists them",
            args.archive
        );
        return Err(own(Failure::words(Exit::Failed, "no file of the archive matches").hint(Some(&hint))));
    }
    match before {
        Some(before) => {
            let wanted: BTreeSet<&str> = before.damaged.iter().map(String::as_str).collect();
            entries.retain(|entry| wanted.contains(entry.path.as_str()));
        }
        None => {
            for pattern in &lonely {
                program.console.warn(&format!("nothing in the archive matches '{pattern}'"));
            }
        }
    }
    let extracted = extract(&reader, &entries, options, program.monitor, program.cancel);
    let mut fetched = extracted.map_err(|error| match &error {
        ExtractError::Read(read) => of_copy(read),
        _ => own(extract_failure(&error)),
    })?;
    if let Some(before) = before {
        fetched.files += before.files;
        fetched.bytes += before.bytes;
        fetched.already_there += before.already_there;
        fetched.attributes_lost += before.attributes_lost;
    }
    Ok((fetched, lonely))
}

/// What is written down: also who got files back will be asked one day.
fn told(id: &ArchiveId, destination: &str, fetched: &Fetched, proof: Proof, to: &Path) -> Event {
    let message =
        format!("Fetched {} of {id} from {destination} to {}", units::count(fetched.files, "file"), to.display());
    let event = match fetched.damaged.first() {
        None if proof == Proof::Part => {
            let message = format!("{message}; what it builds on is lost, and files are missing");
            Event::new(EventKind::FetchDamaged, message)
        }
        None if proof == Proof::Frames => {
            let message = format!("{message}; its index is lost, and whether files are missing is not known");
            Event::new(EventKind::FetchDamaged, message)
        }
        None => Event::new(EventKind::Fetched, message),
        Some(first) => {
            let message = format!("{message}; not {} that are damaged, first: {first}", fetched.damaged.len());
            Event::new(EventKind::FetchDamaged, message)
        }
    };
    event.with("archive", id.to_string()).with("destination", destination)
}

fn report(program: &Program<'_>, fetched: &Fetched, to: &Path) {
    let console = program.console;
    let already = match fetched.already_there {
        0 => String::new(),
        files => format!("; {} there already", units::count_of(files, "was", "were")),
    };
    let bytes = units::format_bytes(fetched.bytes);
    console.result(&format!(
        "Fetched {}, {bytes}, to {}{already}\n",
        units::count(fetched.files, "file"),
        to.display()
    ));
    if fetched.attributes_lost > 0 {
        console.warn(&format!(
            "{} hidden or of the system, which cannot be set here",
            units::count_of(fetched.attributes_lost, "file is", "files are")
        ));
    }
    for path in &fetched.damaged {
        console.warn(&format!("not written, because it is damaged in the archive: {path}"));
    }
}

/// Opens a copy; where only paths are asked for, not all of a large index need be read. What is wrong with a part of it
/// is told when all of it is read.
fn open<'a>(
    destination: &'a dyn Destination,
    manifest: &Manifest,
    identities: &'a Identities,
    patterns: &[String],
) -> Result<Reader<'a>, ReadError> {
    let paths: Option<Vec<String>> = patterns.iter().map(|pattern| as_path(pattern)).collect();
    match Reader::open_for(destination, manifest, identities, &paths.unwrap_or_default()) {
        Ok(Some(reader)) => Ok(reader),
        Err(error) if !error.is_damage() => Err(error),
        _ => Reader::open(destination, manifest.clone(), identities),
    }
}

/// A pattern that is a path, as far as its characters say. Administrators write paths of Windows; archives have slashes
/// only.
fn as_path(pattern: &str) -> Option<String> {
    let slashed = pattern.replace('\\', "/");
    let path = slashed.trim_end_matches('/');
    (!path.is_empty() && !path.contains(['*', '?', '[', ']', '{', '}'])).then(|| path.to_owned())
}

/// The entries that match a pattern, or lie in a folder that does. Without patterns, all. A path that is there as it is
/// spelled means that one alone.
pub(super) fn select<'a>(index: &'a Index, patterns: &[String]) -> Result<Vec<&'a Entry>, Failure> {
    if patterns.is_empty() {
        return Ok(index.entries.iter().collect());
    }
    let is_there = |path: &String| index.entries.iter().any(|entry| entry.path == *path);
    let (mut exact, mut others) = (BTreeSet::new(), Vec::new());
    for pattern in patterns {
        match as_path(pattern).filter(is_there) {
            Some(path) => drop(exact.insert(path)),
            None => others.push(pattern.clone()),
        }
    }
    let globs = globs(&others)?;
    let is_match = |path: &str| exact.contains(path) || globs.is_match(path);
    // A folder is matched by itself, and takes along what is below it.
    let matches = |path: &str| {
        is_match(path) || path.match_indices('/').any(|(slash, _)| path.get(..slash).is_some_and(is_match))
    };
    Ok(index.entries.iter().filter(|entry| matches(&entry.path)).collect())
}

/// The patterns that match nothing: most likely a typing error.
fn without_match<'a>(index: &Index, patterns: &'a [String]) -> Result<Vec<&'a str>, Failure> {
    let mut lonely = Vec::new();
    for pattern in patterns {
        if select(index, std::slice::from_ref(pattern))?.is_empty() {
            lonely.push(pattern.as_str());
        }
    }
    Ok(lonely)
}

fn globs(patterns: &[String]) -> Result<GlobSet, Failure> {
    let fault = |pattern: &str, error: &globset::Error| {
        Failure::words(Exit::Usage, format!("'{pattern}' is no pattern: {}", error.kind()))
    };
    let mut globs = GlobSetBuilder::new();
    for pattern in patterns {
        // Administrators write paths of Windows; archives have slashes only.
        let slashed = pattern.replace('\\', "/");
        let glob = GlobBuilder::new(slashed.trim_end_matches('/'))
            .literal_separator(true)
            .case_insensitive(true)
            .build()
            .map_err(|error| fault(pattern, &error))?;
        globs.add(glob);
    }
    globs.build().map_err(|error| fault(&patterns.join(" "), &error))
}

pub(super) fn read_failure(error: &ReadError) -> Failure {
    let exit = if error.is_damage() { Exit::Damage } else { Exit::Failed };
    let hint = match error {
        _ if error.is_damage() => Some("try another destination with --destination, or another archive"),
        ReadError::Access(AccessError::Destination(error)) => error.hint(),
        _ => None,
    };
    Failure::new(exit, error).hint(hint)
}

fn extract_failure(error: &ExtractError) -> Failure {
    match error {
        ExtractError::Read(error) => read_failure(error),
        ExtractError::Exists { .. } => {
            Failure::new(Exit::Failed, error).hint(Some("fetch into an empty folder, or replace files with --force"))
        }
        ExtractError::Path(_) => Failure::new(Exit::Failed, error)
            .hint(Some("fetch other files by pattern, or all on a system that allows such names")),
        _ => Failure::new(Exit::Failed, error),
    }
}

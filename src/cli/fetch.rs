//! `afterbackup fetch`

use std::fs;
use std::io::{Read, Write};
use std::path::{Path, PathBuf};

use globset::{GlobBuilder, GlobSet, GlobSetBuilder};
use serde::Serialize;
use sha2::{Digest, Sha256};

use super::exit::Exit;
use super::failure::Failure;
use super::place::Place;
use super::{Program, threads};
use crate::archive::extract::{ExtractError, Fetched, Options, extract};
use crate::archive::index::{Entry, Index};
use crate::archive::manifest::{Manifest, Sha256Hex};
use crate::archive::reader::{ReadError, Reader};
use crate::archive::{AccessError, Identities};
use crate::catalog::Selector;
use crate::destination::Destination;
use crate::monitor::{Event, EventKind, Monitor};
use crate::name::ArchiveId;
use crate::platform::files::{persistently, rename_new};
use crate::platform::verbatim::{plain, verbatim};
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
        let Some(path) = &self.identity else { return Ok(Identities::default()) };
        Identities::from_file(path).map_err(|error| {
            Failure::words(Exit::Usage, format!("cannot use {} as a key: {error}", path.display()))
                .hint(Some("it is the file that age-keygen wrote, with a line AGE-SECRET-KEY-1..."))
        })
    }
}

#[derive(Serialize)]
struct Report<'a> {
    archive: &'a ArchiveId,
    destination: &'a str,
    to: String,
    #[serde(flatten)]
    fetched: &'a Fetched,
}

#[derive(Serialize)]
struct Raw<'a> {
    archive: &'a ArchiveId,
    destination: &'a str,
    file: String,
    bytes: u64,
    sha256: Sha256Hex,
}

pub(super) fn fetch(program: &Program<'_>, args: &Args) -> Result<Exit, Failure> {
    let (destination, manifest) = args.place.find(program, &args.archive)?;
    if args.raw {
        return raw(program, &*destination, &manifest, &args.to);
    }
    let identities = args.key.identities()?;
    let reader = Reader::open(&*destination, manifest, &identities).map_err(|error| read_failure(&error))?;
    let entries = select(reader.index(), &args.patterns)?;
    if entries.is_empty() {
        let hint = format!(
            "paths begin at the top, like 'XYZBackup/SiteServer' or '**/*.ini'; 'afterbackup show {} --files' lists them",
            args.archive
        );
        return Err(Failure::words(Exit::Failed, "no file of the archive matches").hint(Some(&hint)));
    }
    for pattern in without_match(reader.index(), &args.patterns)? {
        program.console.warn(&format!("nothing in the archive matches '{pattern}'"));
    }
    let options = Options { target: args.to.clone(), force: args.force, threads: threads() };
    let fetched = extract(&reader, &entries, &options, program.monitor, program.cancel)
        .map_err(|error| extract_failure(&error))?;
    program.records.event(&told(&reader.manifest().id, destination.name(), &fetched, &args.to));
    if program.console.is_json() {
        program.console.document(&Report {
            archive: &reader.manifest().id,
            destination: destination.name(),
            to: args.to.display().to_string(),
            fetched: &fetched,
        });
    } else {
        report(program, &fetched, &args.to);
    }
    Ok(if fetched.damaged.is_empty() { Exit::Done } else { Exit::Damage })
}

/// What is written down: also who got files back will be asked one day.
fn told(id: &ArchiveId, destination: &str, fetched: &Fetched, to: &Path) -> Event {
    let message = format!("Fetched {} files of {id} from {destination} to {}", fetched.files, to.display());
    let event = match fetched.damaged.first() {
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
        files => format!("; {files} were there already"),
    };
    let bytes = units::format_bytes(fetched.bytes);
    console.result(&format!("Fetched {} files, {bytes}, to {}{already}\n", fetched.files, to.display()));
    if fetched.attributes_lost > 0 {
        console.warn(&format!(
            "{} files are hidden or system files, which cannot be set on this system",
            fetched.attributes_lost
        ));
    }
    for path in &fetched.damaged {
        console.warn(&format!("not written, because it is damaged in the archive: {path}"));
    }
}

/// The archive file and its manifest, as they lie on the destination.
fn raw(program: &Program<'_>, destination: &dyn Destination, manifest: &Manifest, to: &Path) -> Result<Exit, Failure> {
    let failed = |what: &str, path: &Path, error: &std::io::Error| {
        Failure::words(Exit::Failed, format!("cannot {what} {}: {error}", plain(path).display()))
    };
    let to = &*verbatim(to);
    fs::create_dir_all(to).map_err(|error| failed("create", to, &error))?;
    let place = to.join(&manifest.archive);
    if place.exists() {
        return Err(Failure::words(Exit::Failed, format!("{} is already there", plain(&place).display()))
            .hint(Some("fetch into another folder, or remove it first")));
    }
    let partial = to.join(format!(".{}.partial-{}", manifest.archive, std::process::id()));
    let copied = copy_raw(program, destination, manifest, &partial);
    crate::stop_point::reached("raw-copied");
    let sum = match copied {
        Ok(sum) => sum,
        Err(failure) => {
            drop(fs::remove_file(&partial));
            return Err(failure);
        }
    };
    if sum != manifest.sha256 {
        drop(fs::remove_file(&partial));
        return Err(Failure::words(Exit::Damage, format!("{} is damaged: its SHA-256 is {sum}", manifest.archive)));
    }
    persistently(|| rename_new(&partial, &place)).map_err(|error| failed("write", &place, &error))?;
    crate::stop_point::reached("raw-archive-in-place");
    let json = to.join(manifest.id.manifest_name());
    #[allow(clippy::disallowed_methods, reason = "a copy, checked whenever it is read")]
    fs::write(&json, manifest.to_json()).map_err(|error| failed("write", &json, &error))?;
    let message = format!("Fetched {} from {} to {}", manifest.archive, destination.name(), plain(to).display());
    program.records.event(&Event::new(EventKind::Fetched, message).with("archive", manifest.id.to_string()));
    if program.console.is_json() {
        program.console.document(&Raw {
            archive: &manifest.id,
            destination: destination.name(),
            file: plain(&place).display().to_string(),
            bytes: manifest.bytes,
            sha256: sum,
        });
    } else {
        program.console.result(&format!("Fetched {}\n", plain(&place).display()));
    }
    Ok(Exit::Done)
}

fn copy_raw(
    program: &Program<'_>,
    destination: &dyn Destination,
    manifest: &Manifest,
    partial: &Path,
) -> Result<Sha256Hex, Failure> {
    let failed = |error: &dyn std::error::Error| Failure::new(Exit::Failed, error);
    let key = manifest.id.key(&manifest.archive);
    let mut source = destination.open(&key).map_err(|error| failed(&error).hint(error.hint()))?;
    let mut file = fs::File::create(partial).map_err(|error| failed(&error))?;
    let task = program.monitor.task(&format!("Fetching {}", manifest.archive), Some(manifest.bytes));
    let mut sha256 = Sha256::new();
    let mut buffer = vec![0; 1 << 20];
    loop {
        if program.cancel.is_cancelled() {
            return Err(Failure::words(Exit::Cancelled, "cancelled"));
        }
        let read = source.read(&mut buffer).map_err(|error| failed(&error))?;
        if read == 0 {
            break;
        }
        sha256.update(&buffer[..read]);
        file.write_all(&buffer[..read]).map_err(|error| failed(&error))?;
        task.advance(read as u64);
    }
    file.sync_all().map_err(|error| failed(&error))?;
    Ok(Sha256Hex(sha256.finalize().into()))
}

/// The entries that match a pattern, or lie in a folder that does. Without patterns, all.
pub(super) fn select<'a>(index: &'a Index, patterns: &[String]) -> Result<Vec<&'a Entry>, Failure> {
    if patterns.is_empty() {
        return Ok(index.entries.iter().collect());
    }
    let globs = globs(patterns)?;
    // A folder is matched by itself, and takes along what is below it.
    let matches = |path: &str| {
        globs.is_match(path)
            || path.match_indices('/').any(|(slash, _)| path.get(..slash).is_some_and(|above| globs.is_match(above)))
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

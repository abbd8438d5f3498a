//! `afterbackup fetch --raw`: the archive file and its manifest, as they are stored.

use std::fs;
use std::io::{Read, Write};
use std::path::Path;
use std::sync::Arc;

use serde::Serialize;
use sha2::{Digest, Sha256};

use super::Program;
use super::exit::Exit;
use super::failure::Failure;
use crate::archive::manifest::{MAX_BYTES, Manifest, Sha256Hex};
use crate::destination::Destination;
use crate::monitor::{Event, EventKind, Monitor};
use crate::name::ArchiveId;
use crate::platform::files::{persistently, rename_new};
use crate::platform::open::shared;
use crate::platform::private;
use crate::platform::verbatim::{plain, verbatim};

#[derive(Serialize)]
struct Raw<'a> {
    archive: &'a ArchiveId,
    destination: &'a str,
    file: String,
    /// The archives without which it cannot be read.
    #[serde(skip_serializing_if = "<[ArchiveId]>::is_empty")]
    needs: &'a [ArchiveId],
    bytes: u64,
    sha256: Sha256Hex,
}

/// The archive file and its manifest from the first copy that is what its manifest says.
pub(super) fn raw_of_any(
    program: &Program<'_>,
    copies: &[(Arc<dyn Destination>, Manifest)],
    to: &Path,
) -> Result<Exit, Failure> {
    for (number, (destination, manifest)) in copies.iter().enumerate() {
        match raw(program, &**destination, manifest, to) {
            Err(Fault::Copy(failure)) if number + 1 < copies.len() => {
                program.console.warn(&format!("{} on {}: trying another copy", failure.message, destination.name()));
            }
            other => {
                let exit = other.map_err(|(Fault::Copy(failure) | Fault::Here(failure))| failure)?;
                for needed in manifest.chain() {
                    let words = format!("{} cannot be read without {needed}", manifest.id);
                    program.console.note(&format!("{words}: 'afterbackup fetch {needed} --raw' gets it, too"));
                }
                return Ok(exit);
            }
        }
    }
    Err(Failure::words(Exit::Failed, "there is no copy"))
}

/// Where the fault lies.
enum Fault {
    /// With this copy or its destination: another one may do.
    Copy(Failure),
    /// Where it is fetched to.
    Here(Failure),
}

impl From<Failure> for Fault {
    fn from(failure: Failure) -> Self {
        Self::Here(failure)
    }
}

fn of_destination(error: &crate::destination::Error) -> Fault {
    Fault::Copy(Failure::new(Exit::Failed, error).hint(error.hint()))
}

/// The archive file and its manifest, as they lie on the destination. The manifest comes last and byte for byte, so
/// that what was interrupted at any moment is gone on with by the same command.
fn raw(program: &Program<'_>, destination: &dyn Destination, manifest: &Manifest, to: &Path) -> Result<Exit, Fault> {
    let failed = |what: &str, path: &Path, error: &std::io::Error| {
        Failure::words(Exit::Failed, format!("cannot {what} {}: {error}", plain(path).display()))
    };
    let to = &*verbatim(to);
    fs::create_dir_all(to).map_err(|error| failed("create", to, &error))?;
    let place = to.join(&manifest.archive);
    let json_name = manifest.id.manifest_name();
    let json = to.join(&json_name);
    let key = manifest.id.key(&json_name);
    let stored = destination.read(&key, MAX_BYTES).map_err(|error| of_destination(&error))?;
    sweep_own(to, &[&manifest.archive, &json_name]);
    let occupied = |path: &Path| {
        Failure::words(Exit::Failed, format!("{} is already there, and another file", plain(path).display()))
            .hint(Some("fetch into another folder, or remove it first"))
    };
    let already = match sum_of_file(program, &place) {
        Ok(Some(sum)) if sum == manifest.sha256 => true,
        Ok(Some(_)) => return Err(occupied(&place).into()),
        Ok(None) => false,
        Err(error) => return Err(failed("read", &place, &error).into()),
    };
    if !already {
        let partial = to.join(format!(".{}.partial-{}", manifest.archive, std::process::id()));
        let copied = copy_raw(program, destination, manifest, &partial).and_then(|sum| {
            crate::stop_point::reached("raw-copied");
            if sum == manifest.sha256 {
                return match persistently(|| rename_new(&partial, &place)) {
                    // Another fetch into this folder was faster.
                    Err(error) if is_taken(&error) => {
                        drop(fs::remove_file(&partial));
                        let same = sum_of_file(program, &place).is_ok_and(|there| there == Some(manifest.sha256));
                        if same { Ok(()) } else { Err(occupied(&place).into()) }
                    }
                    other => other.map_err(|error| failed("write", &place, &error).into()),
                };
            }
            let words = format!("{} is damaged: its SHA-256 is {sum}", manifest.archive);
            Err(Fault::Copy(Failure::words(Exit::Damage, words)))
        });
        copied.inspect_err(|_| drop(fs::remove_file(&partial)))?;
        crate::stop_point::reached("raw-archive-in-place");
    }
    let there = |path: &Path| {
        let mut bytes = Vec::new();
        shared(path)?.take(MAX_BYTES).read_to_end(&mut bytes).map(|_| bytes)
    };
    match there(&json) {
        Ok(bytes) if bytes == stored => {}
        Ok(_) => return Err(occupied(&json).into()),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            let partial = to.join(format!(".{json_name}.partial-{}", std::process::id()));
            let write = || {
                let mut file = fs::File::options().write(true).create_new(true).open(&partial)?;
                file.write_all(&stored)?;
                file.sync_all()?;
                drop(file);
                persistently(|| rename_new(&partial, &json))
            };
            match write().inspect_err(|_| drop(fs::remove_file(&partial))) {
                // Another fetch into this folder was faster.
                Err(error) if is_taken(&error) && there(&json).is_ok_and(|bytes| bytes == stored) => {}
                other => other.map_err(|error| failed("write", &json, &error))?,
            }
        }
        Err(error) => return Err(failed("read", &json, &error).into()),
    }
    let done = if already { "Already there and the same" } else { "Fetched" };
    let message = format!("{done}: {} from {} to {}", manifest.archive, destination.name(), plain(to).display());
    program.records.event(&Event::new(EventKind::Fetched, message).with("archive", manifest.id.to_string()));
    if program.console.is_json() {
        program.console.document(&Raw {
            archive: &manifest.id,
            destination: destination.name(),
            file: plain(&place).display().to_string(),
            needs: manifest.chain(),
            bytes: manifest.bytes,
            sha256: manifest.sha256,
        });
    } else if already {
        program.console.result(&format!("{} was already there and is the same\n", plain(&place).display()));
    } else {
        program.console.result(&format!("Fetched {}\n", plain(&place).display()));
    }
    Ok(Exit::Done)
}

fn is_taken(error: &std::io::Error) -> bool {
    error.kind() == std::io::ErrorKind::AlreadyExists
}

/// Removes what interrupted fetches have left under these names.
fn sweep_own(folder: &Path, names: &[&str]) {
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        let name = entry.file_name().to_string_lossy().into_owned();
        let ours = names.iter().any(|own| {
            let process = name.strip_prefix(&format!(".{own}.partial-"));
            process.is_some_and(|process| !process.is_empty() && process.bytes().all(|b| b.is_ascii_digit()))
        });
        // A fetch that is at work holds a lock on it.
        let free = ours && private::open(&entry.path()).is_ok_and(|file| file.try_lock().is_ok());
        if free {
            drop(fs::remove_file(entry.path()));
        }
    }
}

/// The SHA-256 of a file, if there is one.
fn sum_of_file(program: &Program<'_>, path: &Path) -> std::io::Result<Option<Sha256Hex>> {
    let mut file = match shared(path) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        other => other?,
    };
    let mut sha256 = Sha256::new();
    let mut buffer = vec![0; 1 << 20];
    loop {
        if program.cancel.is_cancelled() {
            return Err(std::io::Error::other("cancelled"));
        }
        match file.read(&mut buffer)? {
            0 => return Ok(Some(Sha256Hex(sha256.finalize().into()))),
            read => sha256.update(&buffer[..read]),
        }
    }
}

fn copy_raw(
    program: &Program<'_>,
    destination: &dyn Destination,
    manifest: &Manifest,
    partial: &Path,
) -> Result<Sha256Hex, Fault> {
    let failed = |error: &std::io::Error| {
        Failure::words(Exit::Failed, format!("cannot write {}: {error}", plain(partial).display()))
    };
    let key = manifest.id.key(&manifest.archive);
    let mut source = destination.open(&key).map_err(|error| of_destination(&error))?;
    let mut file = fs::File::options().write(true).create_new(true).open(partial).map_err(|error| failed(&error))?;
    // So that another fetch into this folder does not take it for a leftover.
    file.try_lock().ok();
    let task = program.monitor.task(&format!("Fetching {}", manifest.archive), Some(manifest.bytes));
    let mut sha256 = Sha256::new();
    let mut buffer = vec![0; 1 << 20];
    loop {
        if program.cancel.is_cancelled() {
            return Err(Failure::words(Exit::Cancelled, "cancelled").into());
        }
        let read = source.read(&mut buffer).map_err(|error| {
            Fault::Copy(Failure::words(Exit::Failed, format!("cannot read {key} on {}: {error}", destination.name())))
        })?;
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

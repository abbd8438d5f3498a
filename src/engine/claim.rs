//! What comes before writing to a destination: is the archive there already, and under which name may this attempt
//! write?
//!
//! Two hosts may archive the same snapshot to the same destination at the same time; no lock is needed for that. Each
//! attempt shows a claim first and looks at the others' claims afterwards, so of two attempts at least one sees the
//! other. One that sees no other may use the plain name; one that does writes under a name of its own, and the manifest
//! says which file it is about. So no attempt ever touches the file of another, and whichever manifest comes first
//! counts.
//!
//! What a dead attempt left goes when it is known to be dead: its process is no more, or its claim is older than
//! `sweep-after`. An archive file without manifest *and* without such a trace lost its manifest; it is left alone.

use std::time::Duration;

use jiff::Timestamp;

use crate::archive::manifest::{MAX_BYTES, Manifest};
use crate::catalog::{Catalog, ProblemKind};
use crate::destination::{self, Claim, Destination, Entry, ErrorKind, Leftover};
use crate::error::chain;
use crate::name::{ArchiveId, Form, StoredFile};

/// What there is of an archive on a destination.
#[derive(Debug)]
pub(super) enum Prepared {
    /// It is there. `None`: written by a newer version, which knows what it did.
    There(Option<Box<Manifest>>),
    /// It is not, and may be written.
    Open {
        /// Under this name.
        archive: String,
        /// As long as this claim is held.
        claim: Claim,
    },
}

/// What a manifest that is there says.
#[derive(Debug)]
pub(super) enum Stored {
    /// Its archive is whole.
    Whole(Box<Manifest>),
    /// A newer version of this program wrote it.
    Newer,
    /// It cannot be used, and why.
    Broken(String),
}

/// Judges the manifest of `id` with the sizes of `entries`.
pub(super) fn stored(
    destination: &dyn Destination,
    id: &ArchiveId,
    size_of: impl Fn(&str) -> Result<Option<u64>, destination::Error>,
) -> Result<Stored, destination::Error> {
    let name = id.manifest_name();
    let bytes = match destination.read(&id.key(&name), MAX_BYTES) {
        Err(error) if error.kind == ErrorKind::TooLarge => return Ok(Stored::Broken(chain(&error))),
        other => other?,
    };
    Ok(match Manifest::parse(&name, &bytes) {
        Err(error) if error.is_newer() => Stored::Newer,
        Err(error) => Stored::Broken(chain(&error)),
        Ok(manifest) => match size_of(&manifest.archive)? {
            Some(bytes) if bytes == manifest.bytes => match lost_base(destination, &manifest)? {
                Some(lost) => Stored::Broken(format!("it builds on {lost}, which is not there, or is another archive")),
                None => Stored::Whole(Box::new(manifest)),
            },
            Some(bytes) => Stored::Broken(format!("its archive has {bytes} bytes instead of {}", manifest.bytes)),
            None => Stored::Broken("its archive is missing".to_owned()),
        },
    })
}

/// An archive that this one builds on, and that is not there as it was.
pub(super) fn lost_base(
    destination: &dyn Destination,
    manifest: &Manifest,
) -> Result<Option<ArchiveId>, destination::Error> {
    let Some(base) = &manifest.base else { return Ok(None) };
    for (at, id) in base.chain.iter().enumerate() {
        let name = id.manifest_name();
        let bytes = match destination.read(&id.key(&name), MAX_BYTES) {
            Err(error) if error.is_not_found() || error.kind == ErrorKind::TooLarge => return Ok(Some(id.clone())),
            other => other?,
        };
        let Ok(there) = Manifest::parse(&name, &bytes) else { return Ok(Some(id.clone())) };
        let whole = match destination.stat(&id.key(&there.archive)) {
            Ok(entry) => entry.bytes == there.bytes,
            Err(error) if error.is_not_found() => false,
            Err(error) => return Err(error),
        };
        if !whole || !base.is_link(at, &there) {
            return Ok(Some(id.clone()));
        }
    }
    Ok(None)
}

/// Claims a name for the archive where `before`, what the destination held a moment ago, does not have it. `warn` is
/// told what cannot be tidied up, and that a manifest without its archive is about to be replaced.
pub(super) fn prepare(
    destination: &dyn Destination,
    id: &ArchiveId,
    form: Form,
    before: &Catalog,
    (now, sweep_after): (Timestamp, Duration),
    warn: &mut dyn FnMut(String),
) -> Result<Prepared, destination::Error> {
    if let Some(stored) = before.archives.get(id).filter(|stored| stored.whole) {
        return Ok(Prepared::There(Some(Box::new(stored.manifest.clone()))));
    }
    if before.problems.iter().any(|problem| problem.archive == *id && problem.kind == ProblemKind::Newer) {
        return Ok(Prepared::There(None));
    }
    let claim = destination.claim(&id.key(&id.manifest_name()))?;
    // Once more, now that others see the claim: what was done before they could is seen here.
    let of_this = |leftover: &Leftover| StoredFile::parse(&leftover.of).is_some_and(|file| file.id() == id);
    let others =
        destination.leftovers(id.site().as_str())?.into_iter().filter(|other| of_this(other) && other.key != claim.key);
    let is_dead = |other: &Leftover| other.abandoned || is_old(other.modified, now, sweep_after);
    let (dead, live): (Vec<Leftover>, Vec<Leftover>) = others.partition(is_dead);
    let alone = dead.is_empty() && live.is_empty() && !before.mentions(id);
    let plain = id.archive_name(form);
    // A prune may be about to remove it: its manifest is gone first, then its archive.
    if alone && !is_there(destination, &id.key(&id.manifest_name()))? && !is_there(destination, &id.key(&plain))? {
        return Ok(Prepared::Open { archive: plain, claim });
    }
    let (found, mut files) = look(destination, id, destination.list(id.site().as_str())?)?;
    let broken = match found {
        Some(Stored::Whole(manifest)) => return Ok(Prepared::There(Some(manifest))),
        Some(Stored::Newer) => return Ok(Prepared::There(None)),
        Some(Stored::Broken(why)) => Some(why),
        None => None,
    };
    if let Some(why) = &broken {
        warn(format!("{id} on {} cannot be used ({why}): it is archived again", destination.name()));
    }
    if !dead.is_empty() && live.is_empty() && broken.is_none() {
        // Of a dead attempt: it was not confirmed, and the snapshot is still there.
        for name in std::mem::take(&mut files) {
            destination.delete(&id.key(&name))?;
        }
    }
    for leftover in &dead {
        // No one else has its name, so it is in no one's way, and prune tries again.
        if let Err(error) = destination.remove_leftover(leftover) {
            warn(format!("what an unfinished run left on {} stays: {}", destination.name(), chain(&error)));
        }
    }
    // A manifest that cannot be used may name the plain name: what it says must not fit what is written now.
    let archive = if live.is_empty() && files.is_empty() && broken.is_none() {
        plain
    } else {
        id.attempt_name(form, rand::random())
    };
    Ok(Prepared::Open { archive, claim })
}

/// Is there a file of this name?
pub(super) fn is_there(destination: &dyn Destination, key: &str) -> Result<bool, destination::Error> {
    match destination.stat(key) {
        Ok(_) => Ok(true),
        Err(error) if error.is_not_found() => Ok(false),
        Err(error) => Err(error),
    }
}

/// Is it older than `limit`? A clock that was set back makes nothing old.
pub(super) fn is_old(modified: Timestamp, now: Timestamp, limit: Duration) -> bool {
    let age = now.duration_since(modified);
    !age.is_negative() && age.unsigned_abs() > limit
}

/// What the manifest says, if there is one, and the files of the archive besides it.
fn look(
    destination: &dyn Destination,
    id: &ArchiveId,
    entries: Vec<Entry>,
) -> Result<(Option<Stored>, Vec<String>), destination::Error> {
    let found = if entries.iter().any(|entry| entry.name == id.manifest_name()) {
        let size_of = |name: &str| Ok(entries.iter().find(|entry| entry.name == name).map(|entry| entry.bytes));
        match stored(destination, id, size_of) {
            // Removed between listing and reading.
            Err(error) if error.is_not_found() => None,
            other => Some(other?),
        }
    } else {
        None
    };
    let is_file = |name: &String| match StoredFile::parse(name) {
        Some(StoredFile::Archive { id: of, .. } | StoredFile::Removing(of)) => of == *id,
        _ => false,
    };
    Ok((found, entries.into_iter().map(|entry| entry.name).filter(is_file).collect()))
}

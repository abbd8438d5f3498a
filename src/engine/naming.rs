//! Under which name a destination knows a snapshot.

use jiff::SignedDuration;

use super::contents::{self as members, supplemental as extra};
use super::context::Context;
use crate::archive::manifest::{MAX_BYTES, Manifest};
use crate::archive::writer;
use crate::name::{ArchiveId, StoredFile};
use crate::source::{Gathered, KnownFolder, Snapshot};

/// How far two names of the same snapshot may lie apart: less than a run of the task takes.
const NAMES_APART: SignedDuration = SignedDuration::from_hours(12);

/// The id under which a destination has this very snapshot already: where the log could not be read at the time, it was
/// named after its metadata. The same snapshot is never archived under two names.
pub(super) fn known_as(
    context: &Context<'_>,
    snapshot: &Snapshot,
    gathered: &Gathered,
    id: &ArchiveId,
) -> Option<ArchiveId> {
    let near = |other: &ArchiveId| {
        other != id && other.series() == id.series() && other.stamp().duration_since(id.stamp()).abs() <= NAMES_APART
    };
    let mut fingerprint = None;
    for target in context.targets {
        // What cannot be asked is reported when the archive is put there.
        let Ok(destination) = target.open() else { continue };
        let Ok(entries) = destination.list(snapshot.site.as_str()) else { continue };
        let others = entries.iter().filter_map(|entry| match StoredFile::parse(&entry.name) {
            Some(StoredFile::Manifest(other)) if near(&other) => Some((other, &entry.name)),
            _ => None,
        });
        for (other, name) in others {
            let Ok(bytes) = destination.read(&other.key(name), MAX_BYTES) else { continue };
            let Ok(manifest) = Manifest::parse(name, &bytes) else { continue };
            let own = fingerprint.get_or_insert_with(|| {
                let extra = extra::find(context).unwrap_or_default();
                writer::fingerprint(&members::all(snapshot, gathered, &extra, id.stamp()).0)
            });
            if manifest.fingerprint == *own {
                return Some(other);
            }
        }
    }
    None
}

/// The newest archive before this one, if it holds a folder of the backup task.
pub(super) fn newest_holding(context: &Context<'_>, id: &ArchiveId, folder: KnownFolder) -> Option<ArchiveId> {
    let mut newest: Option<(ArchiveId, bool)> = None;
    for target in context.targets {
        // What cannot be asked is reported when the archive is put there.
        let Ok(destination) = target.open() else { continue };
        let Ok(entries) = destination.list(id.site().as_str()) else { continue };
        let mut manifests: Vec<ArchiveId> = entries
            .iter()
            .filter_map(|entry| match StoredFile::parse(&entry.name) {
                Some(StoredFile::Manifest(other)) if other.series() == id.series() && other < *id => Some(other),
                _ => None,
            })
            .collect();
        manifests.sort_unstable();
        let known = newest.as_ref().map(|(known, _)| known.clone());
        for other in manifests.into_iter().rev().take_while(|other| known.as_ref().is_none_or(|known| other > known)) {
            let name = other.manifest_name();
            let Ok(bytes) = destination.read(&other.key(&name), MAX_BYTES) else { continue };
            let Ok(manifest) = Manifest::parse(&name, &bytes) else { continue };
            let holds = manifest.folders.iter().any(|held| KnownFolder::of_code(held) == Some(folder));
            newest = Some((other, holds));
            break;
        }
    }
    newest.filter(|(_, holds)| *holds).map(|(id, _)| id)
}

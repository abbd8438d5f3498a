//! Supplemental files on their way into an archive.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::Arc;

use super::member::folder_member;
use crate::archive::index::Skipped;
use crate::archive::writer::{Member, Need};
use crate::engine::context::Context;
use crate::engine::error::RunError;
use crate::error::chain;
use crate::source::supplemental::{self, Cancelled, Expansion, SupplementalItem};
use crate::source::walk::{Identity, Kind};

/// Finds the supplemental files of the configuration.
pub(in crate::engine) fn find(context: &Context<'_>) -> Result<Vec<Expansion>, RunError> {
    supplemental::expand_all(&context.config.supplemental, context.cancel).map_err(|Cancelled| RunError::Cancelled)
}

/// What is wrong with entries: a name that cannot be, or nothing that matches. The path may be wrong, or the product
/// gone.
pub(in crate::engine) fn faults(context: &Context<'_>, expansions: &[Expansion]) -> Vec<String> {
    let entries = context.config.supplemental.iter().zip(expansions);
    let faults = entries.filter_map(|(entry, expansion)| match &expansion.fault {
        Some(fault) => Some(format!("supplemental '{}' is not in the archive: {}", entry.name, chain(fault))),
        None if expansion.is_empty() && expansion.skipped.is_empty() && !entry.optional => Some(format!(
            "supplemental '{}': nothing matches {} (write optional = true if that may be)",
            entry.name, entry.path
        )),
        None => None,
    });
    faults.collect()
}

/// Adds them, with the folders above them.
pub(in crate::engine) fn add(
    expansions: &[Expansion],
    stamp: jiff::Timestamp,
    members: &mut Vec<Member>,
    gaps: &mut Vec<Skipped>,
) {
    let mut items: Vec<&SupplementalItem> = expansions.iter().flat_map(|expansion| &expansion.items).collect();
    items.sort_by(|a, b| a.item.name.split('/').cmp(b.item.name.split('/')));
    let mut folders = BTreeSet::new();
    let mut origin = Origin::default();
    for SupplementalItem { source, item, matched } in items {
        for (slash, _) in item.name.match_indices('/') {
            let above = item.name.get(..slash).unwrap_or_default();
            if folders.insert(above.to_owned()) {
                members.push(folder_member(Path::new(""), above.to_owned(), stamp));
            }
        }
        let folder = item.kind == Kind::Folder;
        // A matching folder may be above another match: it is one member all the same.
        if folder && !folders.insert(item.name.to_string()) {
            continue;
        }
        members.push(Member {
            root: Arc::from(source.as_path()),
            path: item.name.to_string(),
            below: 0,
            folder,
            size: item.bytes,
            modified: item.modified,
            attributes: item.attributes,
            need: Need::Extra,
            origin: matched.then(|| origin.of(&item.name, source, folder)).flatten(),
        });
    }
    for skip in expansions.iter().flat_map(|expansion| &expansion.skipped) {
        let path = format!("{}/{}", supplemental::FOLDER, skip.path.display());
        gaps.push(Skipped { path, reason: skip.why.to_string() });
    }
}

/// The folder whose origin is known already, as all below it came from below that.
#[derive(Default)]
struct Origin<'a>(Option<(&'a str, &'a Path)>);

impl<'a> Origin<'a> {
    /// Where it came from, unless the folder above it says so. Names that are not Unicode cannot be said.
    fn of(&mut self, place: &'a str, source: &'a Path, folder: bool) -> Option<String> {
        if let Some((above, known)) = self.0
            && let Some(below) = place.strip_prefix(above).and_then(|below| below.strip_prefix('/'))
            && known.join(below) == source
        {
            return None;
        }
        let origin = source.to_str()?.to_owned();
        if folder {
            self.0 = Some((place, source));
        }
        Some(origin)
    }
}

/// What changed among them: places in the archive.
pub(in crate::engine) fn changes(before: &[Expansion], after: &[Expansion]) -> Vec<String> {
    let items = |expansions: &[Expansion]| -> BTreeMap<String, SupplementalItem> {
        let items = expansions.iter().flat_map(|expansion| expansion.items.iter().cloned());
        let unknown = |mut item: SupplementalItem| {
            // A difference in its identity alone is none in its content.
            item.item.identity = Identity::default();
            (item.item.name.to_string(), item)
        };
        items.map(unknown).collect()
    };
    let (before, after) = (items(before), items(after));
    let is_file = |item: &SupplementalItem| item.item.kind == Kind::File;
    let changed = before.iter().filter(|(name, item)| is_file(item) && after.get(*name) != Some(item));
    changed.map(|(name, _)| name.clone()).collect()
}

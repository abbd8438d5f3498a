//! Supplemental files on their way into an archive.

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::Arc;

use super::member::{Gap, folder_member};
use crate::archive::index::Skipped;
use crate::archive::writer::Member;
use crate::engine::context::Context;
use crate::engine::error::RunError;
use crate::monitor::{Event, EventKind};
use crate::source::supplemental::{self, Error, Expansion, SupplementalItem};
use crate::source::walk::Kind;

/// Finds the supplemental files of the configuration.
pub(in crate::engine) fn find(context: &Context<'_>) -> Result<Vec<Expansion>, RunError> {
    supplemental::expand_all(&context.config.supplemental, context.cancel).map_err(|error| match error {
        Error::Walk(error) if error.is_cancelled() => RunError::Cancelled,
        error => RunError::Supplemental(error),
    })
}

/// Warns of entries that match nothing: the path may be wrong, or the product gone.
pub(in crate::engine) fn warn_of_nothing(context: &Context<'_>, expansions: &[Expansion]) {
    for (entry, expansion) in context.config.supplemental.iter().zip(expansions) {
        if expansion.is_empty() {
            let message = format!("supplemental '{}': nothing matches {}", entry.name, entry.path);
            context.tell(&Event::new(EventKind::Warning, message));
        }
    }
}

/// Adds them, with the folders above them.
pub(in crate::engine) fn add(
    expansions: &[Expansion],
    stamp: jiff::Timestamp,
    members: &mut Vec<Member>,
    gaps: &mut Vec<Gap>,
) {
    let mut items: Vec<&SupplementalItem> = expansions.iter().flat_map(|expansion| &expansion.items).collect();
    items.sort_by(|a, b| a.item.name.split('/').cmp(b.item.name.split('/')));
    let mut folders = BTreeSet::new();
    for SupplementalItem { source, item } in items {
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
        });
    }
    for skip in expansions.iter().flat_map(|expansion| &expansion.skipped) {
        let path = format!("{}/{}", supplemental::FOLDER, skip.path.display());
        gaps.push(Gap { skipped: Skipped { path, reason: skip.why.to_string() }, loses_data: skip.why.loses_data() });
    }
}

/// What changed among them, in words.
pub(in crate::engine) fn changes(before: &[Expansion], after: &[Expansion]) -> Vec<String> {
    let items = |expansions: &[Expansion]| -> Vec<SupplementalItem> {
        expansions.iter().flat_map(|expansion| expansion.items.iter().cloned()).collect()
    };
    let (before, after) = (items(before), items(after));
    if before == after {
        return vec![];
    }
    let different =
        before.iter().filter(|item| !after.contains(item)).chain(after.iter().filter(|item| !before.contains(item)));
    different.map(|item| format!("{} changed", item.source.display())).collect()
}

//! What goes into an archive, where, and what does not.

pub(in crate::engine) mod commands;
mod member;
pub(in crate::engine) mod supplemental;

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::Arc;

use jiff::Timestamp;

use self::member::folder_member;
use crate::archive::index::{Skipped, archive_order};
use crate::archive::writer::{Member, Need};
use crate::name::SiteCode;
use crate::source::supplemental::Expansion;
use crate::source::walk::{Kind, Walk};
use crate::source::{Gathered, KnownFolder, PartKind, Snapshot};

/// Everything that goes into the archive, in its order, and what does not.
pub(in crate::engine) fn all(
    snapshot: &Snapshot,
    gathered: &Gathered,
    extra: &[Expansion],
    stamp: Timestamp,
) -> (Vec<Member>, Vec<Skipped>) {
    let (mut members, mut gaps) = (Vec::new(), Vec::new());
    let mut folders = BTreeSet::new();
    for (part, walk) in snapshot.parts.iter().zip(&gathered.walks) {
        let prefix = prefix(part.kind, snapshot.site);
        for above in above(&prefix) {
            if folders.insert(above.to_owned()) {
                members.push(folder_member(&walk.root, above.to_owned(), stamp));
            }
        }
        // The folder's own time is not in the walk; the newest below it is as good, and as reproducible.
        let modified = walk.newest_change.unwrap_or(stamp);
        members.push(folder_member(&walk.root, prefix.clone(), modified));
        let root: Arc<Path> = Arc::from(walk.root.as_path());
        for item in &walk.items {
            let path = format!("{prefix}/{}", item.name);
            // Where only some files are taken, the walk does not have the folders that they lie in.
            for above in above(&path).filter(|above| part.unit.is_some() && above.len() > prefix.len()) {
                if folders.insert(above.to_owned()) {
                    members.push(folder_member(&walk.root, above.to_owned(), modified));
                }
            }
            members.push(Member {
                root: Arc::clone(&root),
                path,
                below: item.name.len(),
                folder: item.kind == Kind::Folder,
                size: item.bytes,
                modified: item.modified,
                attributes: item.attributes,
                need: need(part.kind, &item.name),
                origin: None,
            });
        }
        gaps.extend(skipped(walk, &prefix));
    }
    supplemental::add(extra, stamp, &mut members, &mut gaps);
    members.sort_by(|a, b| archive_order(&a.path, &b.path));
    (members, gaps)
}

/// Databases and metadata have to be there. Any other single file is worth less than the backup.
fn need(kind: PartKind, name: &str) -> Need {
    const METADATA: [&str; 2] = ["BackupDocument.xml", "SQLBackupDocument.xml"];
    let (folder, file) = name.rsplit_once('/').unwrap_or(("", name));
    let database = || folder.split('/').next().and_then(KnownFolder::named) == Some(KnownFolder::SiteDbServer);
    let metadata = || folder.is_empty() && METADATA.iter().any(|name| name.eq_ignore_ascii_case(file));
    match kind {
        PartKind::SqlBackups => Need::Required,
        PartKind::Site | PartKind::Sql if database() || metadata() => Need::Required,
        PartKind::Sql if folder.is_empty() => Need::Required,
        PartKind::Site | PartKind::Sql | PartKind::CdLatest => Need::Optional,
    }
}

/// Where a part lies in the archive.
pub(in crate::engine) fn prefix(kind: PartKind, site: SiteCode) -> String {
    match kind {
        PartKind::Site => site.backup_folder(),
        PartKind::Sql => format!("SQL/{}", site.backup_folder()),
        PartKind::SqlBackups => format!("SQL/CM_{site}"),
        PartKind::CdLatest => "CD.Latest".to_owned(),
    }
}

/// The folders above a path, from the top.
fn above(path: &str) -> impl Iterator<Item = &str> {
    path.match_indices('/').filter_map(|(slash, _)| path.get(..slash))
}

fn skipped(walk: &Walk, prefix: &str) -> impl Iterator<Item = Skipped> {
    walk.skipped.iter().map(move |skip| {
        let below = skip.path.strip_prefix(&walk.root).unwrap_or(&skip.path);
        let path = format!("{prefix}/{}", below.to_string_lossy().replace('\\', "/"));
        let path = path.trim_end_matches('/').to_owned();
        Skipped { path, reason: skip.why.to_string() }
    })
}

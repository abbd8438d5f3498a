//! Files that belong to a site but are not in its snapshot.
//!
//! A path may hold `*` and `?` in any component, and `**` for any number of folders. `/` separates components; `\` does
//! on Windows, and elsewhere in a pattern without `/`. Upper and lower case are the same on Windows. Each `*` and `**`
//! is captured, in order: `{1}` in the new name is what the first one matched, as short as possible; a `?` is not
//! captured. Names that begin with a dot are names like any other.
//!
//! A match that is a file goes to `Supplemental/<name>/<its new name>`, a folder with all it holds. Without a new name
//! it keeps its last component. Two things at one place in the archive are an error, also when they differ in case
//! only: they could not both be fetched on Windows. No match is no error here: [`Expansion::is_empty`] lets the caller
//! warn.
//!
//! Links are not followed where a pattern finds them (`C:\Users\*` has junctions that lead round in circles), and what
//! may not be listed is told in [`Expansion::skipped`]. A component without wildcard is taken as it is.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::path::{Path, PathBuf};

use self::search::{Match, SearchError, search};
use crate::cancel::Cancel;
use crate::config::Supplemental;
use crate::config::pattern::{self, Pattern};
use crate::platform::WINDOWS;
use crate::platform::files::unreadable;
use crate::source::walk::{self, Item, Kind, Skipped, WalkError, Why};

mod search;

/// Above all supplemental files in an archive.
pub const FOLDER: &str = "Supplemental";

/// What one configured path stands for.
#[derive(Debug, Default)]
pub struct Expansion {
    /// Files and folders, sorted by their path in the archive.
    pub items: Vec<SupplementalItem>,
    /// What was found but not taken.
    pub skipped: Vec<Skipped>,
    /// Why the entry as a whole is not taken.
    pub fault: Option<Error>,
}

/// Somebody asked to stop.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Cancelled;

impl Expansion {
    /// Did nothing match?
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.items.is_empty()
    }
}

/// A file or folder to archive.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SupplementalItem {
    /// Where it is on this computer.
    pub source: PathBuf,
    /// What it is; its name is its path in the archive.
    pub item: Item,
    /// Does the pattern match it, and not only a folder above it?
    pub matched: bool,
}

/// Why supplemental files could not be found.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The pattern does not begin at a root.
    #[error("supplemental '{name}': {path} is not a full path")]
    NotAbsolute {
        /// Of which entry.
        name: String,
        /// The pattern.
        path: String,
    },
    /// The new name leads out of the entry's folder, or has a capture that the pattern does not have.
    #[error("supplemental '{name}': as = '{rename}' {why}")]
    Rename {
        /// Of which entry.
        name: String,
        /// The new name.
        rename: String,
        /// What is wrong with it.
        why: String,
    },
    /// Two sources have the same path in the archive.
    #[error("{} and {} would both be {archived} in the archive", first.display(), second.display())]
    Collision {
        /// One.
        first: PathBuf,
        /// The other.
        second: PathBuf,
        /// The path.
        archived: String,
    },
    /// Somebody asked to stop.
    #[error(transparent)]
    Walk(#[from] WalkError),
}

impl From<SearchError> for Error {
    fn from(error: SearchError) -> Self {
        match error {
            SearchError::Cancelled => Self::Walk(WalkError::Cancelled),
        }
    }
}

/// Finds the files of every entry. One expansion for each, in their order. What is wrong with one of them, or with a
/// file, is in its expansion: it must not cost the site its archive.
///
/// # Errors
/// When cancelled.
pub fn expand_all(entries: &[Supplemental], cancel: &Cancel) -> Result<Vec<Expansion>, Cancelled> {
    let mut expansions = Vec::new();
    for entry in entries {
        expansions.push(match find(entry, cancel) {
            Ok(expansion) => expansion,
            Err(Error::Walk(error)) if error.is_cancelled() => return Err(Cancelled),
            Err(fault) => Expansion { fault: Some(fault), ..Expansion::default() },
        });
    }
    leave_out_collisions(&mut expansions);
    Ok(expansions)
}

/// Finds the files of one entry.
///
/// # Errors
/// When its pattern or new name is wrong, or two sources have the same place.
pub fn expand(entry: &Supplemental, cancel: &Cancel) -> Result<Expansion, Error> {
    let expansion = find(entry, cancel)?;
    collisions(&expansion.items).into_iter().next().map_or(Ok(expansion), |(_, error)| Err(error))
}

/// Of two sources with the same place the first one found is taken. The place may be chosen by whoever makes a folder
/// that a pattern matches.
fn leave_out_collisions(expansions: &mut [Expansion]) {
    let all: Vec<SupplementalItem> = expansions.iter().flat_map(|expansion| expansion.items.clone()).collect();
    let seconds: HashMap<PathBuf, String> =
        collisions(&all).into_iter().map(|(second, error)| (second, error.to_string())).collect();
    if seconds.is_empty() {
        return;
    }
    for expansion in expansions {
        // A folder goes with all that it holds.
        let second = |path: &Path| path.ancestors().any(|above| seconds.contains_key(above));
        let (out, kept) = std::mem::take(&mut expansion.items).into_iter().partition(|item| second(&item.source));
        expansion.items = kept;
        let named = |item: SupplementalItem| {
            let why = seconds.get(&item.source)?.clone();
            Some(Skipped { path: item.source, why: Why::Collides(why) })
        };
        expansion.skipped.extend(Vec::into_iter(out).filter_map(named));
    }
}

fn find(entry: &Supplemental, cancel: &Cancel) -> Result<Expansion, Error> {
    let pattern = Pattern::parse(&entry.path, WINDOWS);
    if !pattern.root.is_absolute() {
        return Err(Error::NotAbsolute { name: entry.name.clone(), path: entry.path.clone() });
    }
    if let Some(rename) = &entry.rename
        && let Some(why) = pattern::rename_fault(rename, pattern.captures())
    {
        return Err(Error::Rename { name: entry.name.clone(), rename: rename.clone(), why });
    }
    let (matches, skipped) = search(&pattern, cancel)?;
    let mut expansion = Expansion { items: Vec::new(), skipped, fault: None };
    for found in matches {
        add(entry, found, &mut expansion, cancel)?;
    }
    expansion.items.sort_by(|a, b| a.item.name.split('/').cmp(b.item.name.split('/')));
    // `**/*` finds a file once by itself and once in its folder.
    expansion.items.dedup_by(|a, b| a.item.name == b.item.name && a.source == b.source);
    Ok(expansion)
}

fn add(entry: &Supplemental, found: Match, expansion: &mut Expansion, cancel: &Cancel) -> Result<(), Error> {
    let Match { path, metadata, captures } = found;
    let new_name = match &entry.rename {
        Some(rename) => pattern::renamed(rename, &captures).map_err(|why| Error::Rename {
            name: entry.name.clone(),
            rename: rename.clone(),
            why: why.to_owned(),
        })?,
        None => match path.file_name().map(|name| name.to_str()) {
            Some(Some(name)) => name.to_owned(),
            Some(None) => {
                expansion.skipped.push(Skipped { path, why: Why::NotUnicode });
                return Ok(());
            }
            // A whole drive.
            None => String::new(),
        },
    };
    let mut top = format!("{FOLDER}/{}", entry.name);
    if !new_name.is_empty() {
        top = format!("{top}/{new_name}");
    }
    let kind = match walk::classify(metadata.file_type()) {
        Ok(kind) => kind,
        Err(why) => {
            expansion.skipped.push(Skipped { path, why });
            return Ok(());
        }
    };
    if kind == Kind::Folder {
        let below = match walk::walk(&path, cancel) {
            Ok(below) => below,
            Err(WalkError::Read { path, source }) => {
                expansion.skipped.push(Skipped { path, why: Why::Unreadable(unreadable(&source)) });
                return Ok(());
            }
            Err(error) => return Err(error.into()),
        };
        expansion.skipped.extend(below.skipped);
        expansion.items.extend(below.items.into_iter().map(|item| {
            let source = item.path(&path);
            let name = format!("{top}/{}", item.name).into();
            SupplementalItem { source, item: Item { name, ..item }, matched: false }
        }));
    }
    let item = walk::item(top.into(), kind, &metadata);
    expansion.items.push(SupplementalItem { source: path, item, matched: true });
    Ok(())
}

/// Items at a place that another one has, or below a file: the source of the second one, and the error.
fn collisions(items: &[SupplementalItem]) -> Vec<(PathBuf, Error)> {
    let mut places: HashMap<String, &SupplementalItem> = HashMap::new();
    let mut found = Vec::new();
    let mut collide = |first: &SupplementalItem, second: &SupplementalItem| {
        let archived = second.item.name.to_string();
        let error = Error::Collision { first: first.source.clone(), second: second.source.clone(), archived };
        found.push((second.source.clone(), error));
    };
    for item in items {
        match places.entry(item.item.name.to_lowercase()) {
            Entry::Occupied(first) => collide(first.get(), item),
            Entry::Vacant(place) => {
                place.insert(item);
            }
        }
    }
    for item in items {
        let place = item.item.name.to_lowercase();
        let mut above = place.as_str();
        while let Some((parent, _)) = above.rsplit_once('/') {
            if let Some(file) = places.get(parent).filter(|file| file.item.kind == Kind::File) {
                collide(file, item);
                break;
            }
            above = parent;
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use std::fs;

    use tempfile::TempDir;

    use super::*;

    fn entry(folder: &TempDir, path: &str, rename: Option<&str>) -> Supplemental {
        let path = folder.path().join(path).to_str().unwrap().to_owned();
        Supplemental { rename: rename.map(str::to_owned), ..Supplemental::new("S", &path) }
    }

    fn folder(files: &[&str]) -> TempDir {
        let folder = tempfile::tempdir().unwrap();
        for file in files {
            let path = folder.path().join(file);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, file).unwrap();
        }
        folder
    }

    fn names(entry: &Supplemental) -> Vec<String> {
        let expansion = expand(entry, &Cancel::new()).unwrap();
        expansion.items.iter().map(|item| item.item.name.to_string()).collect()
    }

    #[test]
    fn every_user_profile_keeps_its_own_file() {
        let folder = folder(&["alice/L/Scupdb.sdf", "bob/L/Scupdb.sdf", "carol/other", "file"]);
        let entry = entry(&folder, "*/L/Scupdb.sdf", Some(r"{1}\Scupdb.sdf"));
        assert_eq!(names(&entry), ["Supplemental/S/alice/Scupdb.sdf", "Supplemental/S/bob/Scupdb.sdf"]);
        let expansion = expand(&entry, &Cancel::new()).unwrap();
        assert_eq!(fs::read(&expansion.items[1].source).unwrap(), b"bob/L/Scupdb.sdf");
        assert_eq!(expansion.items[1].item.bytes, 16);
    }

    #[test]
    fn folder_is_taken_with_all_it_holds() {
        let folder = folder(&["Lib/a/b", "Lib/c"]);
        let expected = ["Supplemental/S/Lib", "Supplemental/S/Lib/a", "Supplemental/S/Lib/a/b", "Supplemental/S/Lib/c"];
        assert_eq!(names(&entry(&folder, "Lib", None)), expected);
        assert_eq!(names(&entry(&folder, "Lib/**", None)), expected);
        assert_eq!(names(&entry(&folder, "L*", Some("New/{1}"))).first().unwrap(), "Supplemental/S/New/ib");
    }

    #[test]
    fn any_depth_is_searched() {
        let folder = folder(&["a/x.ctl", "a/b/c/x.ctl", "x.ctl", "a/y"]);
        let entry = entry(&folder, "**/x.ctl", Some("{1}/x.ctl"));
        assert_eq!(names(&entry), ["Supplemental/S/a/b/c/x.ctl", "Supplemental/S/a/x.ctl", "Supplemental/S/x.ctl"]);
    }

    #[test]
    fn what_is_found_in_two_ways_is_taken_once() {
        let folder = folder(&["a/b/x"]);
        let expected = ["Supplemental/S/a", "Supplemental/S/a/b", "Supplemental/S/a/b/x"];
        assert_eq!(names(&entry(&folder, "**/*", Some("{1}/{2}"))), expected);
        assert_eq!(names(&entry(&folder, "**/**/x", None)), ["Supplemental/S/x"]);
    }

    #[test]
    fn no_match_is_empty_and_no_error() {
        let folder = folder(&["a"]);
        for path in ["none", "none/*", "*/none", "a/*", "**/none", "z*"] {
            assert!(expand(&entry(&folder, path, None), &Cancel::new()).unwrap().is_empty(), "{path}");
        }
    }

    /// Is exactly one thing of several entries left out because of another, and named?
    fn collides(entries: &[Supplemental]) -> bool {
        let expansions = expand_all(entries, &Cancel::new()).unwrap();
        let skipped: Vec<_> = expansions.iter().flat_map(|expansion| &expansion.skipped).collect();
        let kept = expansions.iter().flat_map(|expansion| &expansion.items).filter(|item| item.item.kind == Kind::File);
        matches!(&skipped[..], [Skipped { why: Why::Collides(_), .. }]) && kept.count() == 1
    }

    #[test]
    fn broken_entry_costs_the_others_nothing() {
        let folder = folder(&["a/x", "b/x"]);
        let broken = Supplemental::new("R", "relative/*");
        let expansions = expand_all(&[broken, entry(&folder, "a/x", None)], &Cancel::new()).unwrap();
        assert!(matches!(expansions[0].fault, Some(Error::NotAbsolute { .. })) && expansions[0].is_empty());
        assert!(expansions[1].fault.is_none() && !expansions[1].is_empty());
        let cancel = Cancel::new();
        cancel.cancel();
        assert_eq!(expand_all(&[entry(&folder, "a/*", None)], &cancel).unwrap_err(), Cancelled);
    }

    #[test]
    fn two_sources_at_one_place_are_an_error_that_names_both() {
        let twice = folder(&["a/x", "b/x"]);
        let error = expand(&entry(&twice, "*/x", None), &Cancel::new()).unwrap_err().to_string();
        let [a, b] = ["a", "b"].map(|name| twice.path().join(name).join("x"));
        let expected = format!("{} and {} would both be Supplemental/S/x in the archive", a.display(), b.display());
        assert_eq!(error.replace('\\', "/"), expected.replace('\\', "/"));
        let below = folder(&["a/x", "b/x"]);
        let entries = [entry(&below, "a/x", Some("same")), entry(&below, "b/x", Some("same/b"))];
        assert!(collides(&entries));
        let entries = [entry(&below, "a/x", Some("Same")), entry(&below, "b/x", Some("same"))];
        assert!(collides(&entries), "differs in case only");
    }

    #[test]
    fn new_name_cannot_lead_elsewhere() {
        let folder = folder(&["a"]);
        for rename in ["..", r"..\x", "x/../y", "/x", r"\x", r"C:\x", "a:b", "", ".", "{1}", "{0}/x", "{", "x{y}"] {
            let result = expand(&entry(&folder, "a", Some(rename)), &Cancel::new());
            assert!(matches!(result, Err(Error::Rename { .. })), "{rename}");
        }
    }

    #[test]
    fn path_must_be_a_full_one() {
        let entry = Supplemental::new("S", "relative/*");
        assert!(matches!(expand(&entry, &Cancel::new()), Err(Error::NotAbsolute { .. })));
    }

    #[cfg(unix)]
    #[test]
    fn links_found_by_a_pattern_are_not_followed() {
        let folder = folder(&["a/x"]);
        std::os::unix::fs::symlink(folder.path(), folder.path().join("link")).unwrap();
        assert_eq!(names(&entry(&folder, "*/x", None)), ["Supplemental/S/x"]);
        assert_eq!(names(&entry(&folder, "**/x", None)), ["Supplemental/S/x"]);
        let expansion = expand(&entry(&folder, "l*", None), &Cancel::new()).unwrap();
        assert_eq!(expansion.skipped[0].why, Why::Link);
        assert_eq!(names(&entry(&folder, "link/a/x", None)), ["Supplemental/S/x"], "typed, so meant");
    }
}

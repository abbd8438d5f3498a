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
use std::fs::Metadata;
use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};

use crate::cancel::Cancel;
use crate::config::Supplemental;
use crate::platform::verbatim::verbatim;
use crate::source::walk::{self, Item, Kind, Skipped, WalkError, Why};

/// Above all supplemental files in an archive.
pub const FOLDER: &str = "Supplemental";

/// What one configured path stands for.
#[derive(Debug, Clone, Default)]
pub struct Expansion {
    /// Files and folders, sorted by their path in the archive.
    pub items: Vec<SupplementalItem>,
    /// What was found but not taken.
    pub skipped: Vec<Skipped>,
}

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
    #[error("supplemental '{name}': '{rename}' is no name for the archive: {why}")]
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
    /// A matching file could not be looked at.
    #[error("cannot read {}", path.display())]
    Read {
        /// Which.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// A matching folder could not be listed.
    #[error(transparent)]
    Walk(#[from] WalkError),
}

/// Finds the files of every entry. One expansion for each, in their order.
///
/// # Errors
/// When a pattern or new name is wrong, a matching folder cannot be listed, or two sources have the same place.
pub fn expand_all(entries: &[Supplemental], cancel: &Cancel) -> Result<Vec<Expansion>, Error> {
    let expansions = entries.iter().map(|entry| find(entry, cancel)).collect::<Result<Vec<_>, _>>()?;
    check_places(expansions.iter().flat_map(|expansion| &expansion.items))?;
    Ok(expansions)
}

/// Finds the files of one entry.
///
/// # Errors
/// As for [`expand_all`].
pub fn expand(entry: &Supplemental, cancel: &Cancel) -> Result<Expansion, Error> {
    let expansion = find(entry, cancel)?;
    check_places(&expansion.items)?;
    Ok(expansion)
}

fn find(entry: &Supplemental, cancel: &Cancel) -> Result<Expansion, Error> {
    let pattern = Pattern::parse(&entry.path, cfg!(windows));
    if !pattern.root.is_absolute() {
        return Err(Error::NotAbsolute { name: entry.name.clone(), path: entry.path.clone() });
    }
    if let Some(rename) = &entry.rename {
        check_rename(entry, rename, pattern.captures())?;
    }
    let mut search = Search { pattern: &pattern, cancel, matches: Vec::new(), skipped: Vec::new() };
    search.descend(&mut pattern.root.clone(), 0, &mut Vec::new())?;
    let Search { matches, skipped, .. } = search;
    let mut expansion = Expansion { items: Vec::new(), skipped };
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
        Some(rename) => renamed(entry, rename, &captures)?,
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
        let below = walk::walk(&path, cancel)?;
        expansion.skipped.extend(below.skipped);
        expansion.items.extend(below.items.into_iter().map(|item| {
            let source = item.path(&path);
            let name = format!("{top}/{}", item.name).into();
            SupplementalItem { source, item: Item { name, ..item } }
        }));
    }
    let item = walk::item(top.into(), kind, &metadata);
    expansion.items.push(SupplementalItem { source: path, item });
    Ok(())
}

/// No two items at one place, and nothing below a file.
fn check_places<'a>(items: impl IntoIterator<Item = &'a SupplementalItem>) -> Result<(), Error> {
    let mut places: HashMap<String, &SupplementalItem> = HashMap::new();
    let collision = |first: &SupplementalItem, second: &SupplementalItem| Error::Collision {
        first: first.source.clone(),
        second: second.source.clone(),
        archived: second.item.name.to_string(),
    };
    for item in items {
        if let Some(first) = places.insert(item.item.name.to_lowercase(), item) {
            return Err(collision(first, item));
        }
    }
    for (place, item) in &places {
        let mut above = place.as_str();
        while let Some((parent, _)) = above.rsplit_once('/') {
            if let Some(file) = places.get(parent).filter(|file| file.item.kind == Kind::File) {
                return Err(collision(file, item));
            }
            above = parent;
        }
    }
    Ok(())
}

fn check_rename(entry: &Supplemental, rename: &str, captures: usize) -> Result<(), Error> {
    let fault = |why: &str| Error::Rename { name: entry.name.clone(), rename: rename.to_owned(), why: why.to_owned() };
    let mut rest = rename;
    while let Some((_, after)) = rest.split_once('{') {
        let (number, after) = after.split_once('}').ok_or_else(|| fault("'{' without '}'"))?;
        match number.parse::<usize>() {
            Ok(number) if (1..=captures).contains(&number) => {}
            _ => return Err(fault(&format!("the path has {captures} '*' to capture, but not {{{number}}}"))),
        }
        rest = after;
    }
    if rename.starts_with(['/', '\\']) {
        return Err(fault("it must be a path below the folder of the entry"));
    }
    // A capture stands for something: check what is written around it.
    let sample = vec!["x".to_owned(); captures];
    renamed(entry, rename, &sample).map(|_| ())
}

/// The new name with its captures, as a path with `/` that stays where it belongs.
fn renamed(entry: &Supplemental, rename: &str, captures: &[String]) -> Result<String, Error> {
    let mut name = String::new();
    let mut rest = rename;
    while let Some((text, after)) = rest.split_once('{') {
        let (number, after) = after.split_once('}').unwrap_or((after, ""));
        name.push_str(text);
        let at = number.parse::<usize>().ok().and_then(|number| number.checked_sub(1));
        name.push_str(at.and_then(|at| captures.get(at)).map_or("", String::as_str));
        rest = after;
    }
    name.push_str(rest);
    let name = name.replace('\\', "/");
    let fault = |why: &str| Error::Rename { name: entry.name.clone(), rename: rename.to_owned(), why: why.to_owned() };
    if name.contains(':') {
        return Err(fault("it must be a path below the folder of the entry"));
    }
    // `**` may have matched nothing.
    let parts: Vec<_> = name.split('/').filter(|part| !part.is_empty()).collect();
    if parts.is_empty() {
        return Err(fault("it is empty"));
    }
    if parts.iter().any(|part| matches!(*part, "." | "..")) {
        return Err(fault("'.' and '..' are not allowed"));
    }
    Ok(parts.join("/"))
}

/// A path with wildcards, divided.
#[derive(Debug, PartialEq, Eq)]
struct Pattern {
    /// What comes before the first wildcard.
    root: PathBuf,
    /// From the first component with a wildcard on.
    components: Vec<String>,
    fold_case: bool,
}

impl Pattern {
    fn parse(path: &str, windows: bool) -> Self {
        let backslash = windows || !path.contains('/');
        let separator = |c: char| c == '/' || (backslash && c == '\\');
        // The `?` of `\\?\C:\` is none.
        let verbatim = if windows && path.starts_with(r"\\?\") { 4 } else { 0 };
        let tail = path.get(verbatim..).unwrap_or_default();
        let wildcard = tail.find(['*', '?']).map_or(path.len(), |at| at + verbatim);
        let (before, _) = path.split_at(wildcard);
        let cut = if wildcard == path.len() { wildcard } else { before.rfind(separator).map_or(0, |at| at + 1) };
        let (root, rest) = path.split_at(cut);
        let root = if windows { root.to_owned() } else { root.replace(separator, "/") };
        let components = rest.split(separator).filter(|component| !component.is_empty()).map(str::to_owned).collect();
        Self { root: PathBuf::from(root), components, fold_case: windows }
    }

    fn captures(&self) -> usize {
        self.components.iter().map(|component| if component == "**" { 1 } else { component.matches('*').count() }).sum()
    }
}

struct Match {
    path: PathBuf,
    metadata: Metadata,
    captures: Vec<String>,
}

struct Search<'a> {
    pattern: &'a Pattern,
    cancel: &'a Cancel,
    matches: Vec<Match>,
    skipped: Vec<Skipped>,
}

impl Search<'_> {
    /// `path` matches the components before `at`.
    fn descend(&mut self, path: &mut PathBuf, at: usize, captures: &mut Vec<String>) -> Result<(), Error> {
        if self.cancel.is_cancelled() {
            return Err(WalkError::Cancelled.into());
        }
        let Some(component) = self.pattern.components.get(at) else { return self.found(path, captures) };
        if component == "**" {
            return self.any_depth(path, at, &mut String::new(), captures);
        }
        if !component.contains(['*', '?']) {
            path.push(component);
            self.descend(path, at + 1, captures)?;
            path.pop();
            return Ok(());
        }
        let last = at + 1 == self.pattern.components.len();
        for (name, folder) in self.list(path, last)? {
            let known = captures.len();
            if (last || folder) && wildcard_match(component, &name, self.pattern.fold_case, captures) {
                path.push(&name);
                self.descend(path, at + 1, captures)?;
                path.pop();
            }
            captures.truncate(known);
        }
        Ok(())
    }

    /// `**`: this folder, and every folder below it. At the end of a pattern it is the folder with all it holds.
    fn any_depth(
        &mut self,
        path: &mut PathBuf,
        at: usize,
        below: &mut String,
        captures: &mut Vec<String>,
    ) -> Result<(), Error> {
        captures.push(below.clone());
        self.descend(path, at + 1, captures)?;
        captures.pop();
        if at + 1 == self.pattern.components.len() {
            return Ok(());
        }
        for (name, folder) in self.list(path, false)? {
            if folder {
                let length = below.len();
                if length > 0 {
                    below.push('/');
                }
                below.push_str(&name);
                path.push(&name);
                self.any_depth(path, at, below, captures)?;
                path.pop();
                below.truncate(length);
            }
        }
        Ok(())
    }

    fn found(&mut self, path: &Path, captures: &[String]) -> Result<(), Error> {
        // Without any wildcard the path was typed: a link to a folder is what was meant. Below a wildcard it is not.
        let typed = self.pattern.components.is_empty();
        let metadata =
            if typed { std::fs::metadata(verbatim(path)) } else { std::fs::symlink_metadata(verbatim(path)) };
        match metadata {
            Ok(metadata) => {
                // Only two `**` can find one thing in two ways; the first counts.
                let ambiguous = self.pattern.components.iter().filter(|component| *component == "**").count() > 1;
                if !ambiguous || self.matches.iter().all(|found| found.path != path) {
                    self.matches.push(Match { path: path.to_path_buf(), metadata, captures: captures.to_vec() });
                }
                Ok(())
            }
            Err(error) if is_absent(&error) => Ok(()),
            Err(source) => Err(Error::Read { path: path.to_path_buf(), source }),
        }
    }

    /// Names in a folder, sorted, with "is it a folder". Links to follow on the way are left out.
    fn list(&mut self, folder: &Path, last: bool) -> Result<Vec<(String, bool)>, Error> {
        let entries = match std::fs::read_dir(verbatim(folder)) {
            Ok(entries) => entries,
            Err(error) if is_absent(&error) => return Ok(Vec::new()),
            Err(error) => {
                self.skipped.push(Skipped { path: folder.to_path_buf(), why: Why::Unreadable(error.to_string()) });
                return Ok(Vec::new());
            }
        };
        let mut names = Vec::new();
        for entry in entries {
            let read = |source| Error::Read { path: folder.to_path_buf(), source };
            let entry = entry.map_err(read)?;
            let metadata = entry.metadata().map_err(read)?;
            let kind = walk::classify(metadata.file_type());
            if !last && kind != Ok(Kind::Folder) {
                continue;
            }
            match entry.file_name().into_string() {
                Ok(name) => names.push((name, kind == Ok(Kind::Folder))),
                Err(_) => self.skipped.push(Skipped { path: folder.join(entry.file_name()), why: Why::NotUnicode }),
            }
        }
        names.sort_unstable();
        Ok(names)
    }
}

fn is_absent(error: &io::Error) -> bool {
    matches!(error.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory | ErrorKind::InvalidFilename)
}

/// Does a name match a component with `*` and `?`? If so, what each `*` matched is added to `captures`. Only the last
/// `*` is ever tried again, so time grows with pattern times name and no faster.
fn wildcard_match(pattern: &str, name: &str, fold_case: bool, captures: &mut Vec<String>) -> bool {
    let pattern: Vec<char> = pattern.chars().collect();
    let name: Vec<char> = name.chars().collect();
    let same = |a: char, b: char| a == b || (fold_case && a.to_lowercase().eq(b.to_lowercase()));
    // Where each `*` begins and ends in the name.
    let mut stars: Vec<(usize, usize)> = Vec::new();
    // Place in the pattern behind the last `*`.
    let mut retry = 0;
    let (mut p, mut n) = (0, 0);
    while n < name.len() || p < pattern.len() {
        match (pattern.get(p), name.get(n)) {
            (Some('*'), _) => {
                stars.push((n, n));
                p += 1;
                retry = p;
            }
            (Some(&wanted), Some(&found)) if wanted == '?' || same(wanted, found) => {
                p += 1;
                n += 1;
            }
            _ => {
                let Some((_, end)) = stars.last_mut().filter(|(_, end)| *end < name.len()) else { return false };
                *end += 1;
                n = *end;
                p = retry;
            }
        }
    }
    captures.extend(stars.into_iter().map(|(start, end)| name[start..end].iter().collect::<String>()));
    true
}

#[cfg(test)]
mod tests {
    use std::fs;

    use proptest::prelude::*;
    use tempfile::TempDir;

    use super::*;

    fn entry(folder: &TempDir, path: &str, rename: Option<&str>) -> Supplemental {
        let path = folder.path().join(path).to_str().unwrap().to_owned();
        Supplemental { name: "S".into(), path, rename: rename.map(str::to_owned) }
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

    fn captured(pattern: &str, name: &str) -> Option<Vec<String>> {
        let mut captures = Vec::new();
        wildcard_match(pattern, name, false, &mut captures).then_some(captures)
    }

    #[test]
    fn wildcards_match_and_capture() {
        assert_eq!(captured("*", "alice").unwrap(), ["alice"]);
        assert_eq!(captured("a*c*e", "abcde").unwrap(), ["b", "d"]);
        assert_eq!(captured("*.sdf", "a.sdf.sdf").unwrap(), ["a.sdf"]);
        assert_eq!(captured("?lice", "alice").unwrap(), [""; 0]);
        assert_eq!(captured("a*", "a").unwrap(), [""]);
        for (pattern, name) in [("a", "b"), ("?", ""), ("*a", "b"), ("a*b", "a"), ("A", "a")] {
            assert_eq!(captured(pattern, name), None, "{pattern} {name}");
        }
        assert!(wildcard_match("SCUP*.SDF", "Scupdb.sdf", true, &mut Vec::new()));
    }

    #[test]
    fn both_separators_are_taken() {
        let windows = Pattern::parse(r"C:\Users\*\Local/x?.sdf", true);
        assert_eq!(windows.root, Path::new(r"C:\Users\"));
        assert_eq!(windows.components, ["*", "Local", "x?.sdf"]);
        let verbatim = Pattern::parse(r"\\?\C:\a\*", true);
        assert_eq!((verbatim.root, verbatim.components), (PathBuf::from(r"\\?\C:\a\"), vec!["*".into()]));
        assert_eq!(Pattern::parse(r"\srv\*\x", false).root, Path::new("/srv/"));
        // With a `/` in it, `\` is part of a name.
        assert_eq!(Pattern::parse(r"/srv/a\*", false).components, [r"a\*"]);
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

    #[test]
    fn two_sources_at_one_place_are_an_error_that_names_both() {
        let twice = folder(&["a/x", "b/x"]);
        let error = expand(&entry(&twice, "*/x", None), &Cancel::new()).unwrap_err().to_string();
        let [a, b] = ["a", "b"].map(|name| twice.path().join(name).join("x"));
        let expected = format!("{} and {} would both be Supplemental/S/x in the archive", a.display(), b.display());
        assert_eq!(error.replace('\\', "/"), expected.replace('\\', "/"));
        let below = folder(&["a/x", "b/x"]);
        let entries = [entry(&below, "a/x", Some("same")), entry(&below, "b", Some("same/b"))];
        assert!(matches!(expand_all(&entries, &Cancel::new()), Err(Error::Collision { .. })));
        let entries = [entry(&below, "a/x", Some("Same")), entry(&below, "b/x", Some("same"))];
        assert!(matches!(expand_all(&entries, &Cancel::new()), Err(Error::Collision { .. })), "differs in case only");
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
        let entry = Supplemental { name: "S".into(), path: "relative/*".into(), rename: None };
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

    proptest! {
        #[test]
        fn captures_put_back_give_the_name(pattern in "[ab*?]{0,8}", name in "[ab]{0,8}") {
            if let Some(captures) = captured(&pattern, &name) {
                let mut captures = captures.into_iter();
                let rebuilt: String = pattern.chars().map(|c| if c == '*' { captures.next().unwrap() } else { c.to_string() }).collect();
                prop_assert_eq!(rebuilt.chars().count(), name.chars().count());
                prop_assert!(rebuilt.chars().zip(name.chars()).all(|(a, b)| a == '?' || a == b));
            }
        }
    }
}

//! Goes through folders for what a pattern matches.

use std::fs::Metadata;
use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};

use crate::cancel::Cancel;
use crate::config::pattern::Pattern;
use crate::platform::files::unreadable;
use crate::platform::verbatim::verbatim;
use crate::source::walk::{self, Kind, Skipped, Why};

/// Something that matches, with what each `*` stands for.
pub(super) struct Match {
    pub(super) path: PathBuf,
    pub(super) metadata: Metadata,
    pub(super) captures: Vec<String>,
}

/// Why a search ended: what cannot be looked at does not end it.
#[derive(Debug)]
pub(super) enum SearchError {
    /// Asked to stop.
    Cancelled,
}

/// Everything that a pattern matches, and what could not be looked at.
pub(super) fn search(pattern: &Pattern, cancel: &Cancel) -> Result<(Vec<Match>, Vec<Skipped>), SearchError> {
    let mut search = Search { pattern, cancel, matches: Vec::new(), skipped: Vec::new() };
    search.descend(&mut pattern.root.clone(), 0, &mut Vec::new())?;
    Ok((search.matches, search.skipped))
}

struct Search<'a> {
    pattern: &'a Pattern,
    cancel: &'a Cancel,
    matches: Vec<Match>,
    skipped: Vec<Skipped>,
}

impl Search<'_> {
    /// `path` matches the components before `at`.
    fn descend(&mut self, path: &mut PathBuf, at: usize, captures: &mut Vec<String>) -> Result<(), SearchError> {
        if self.cancel.is_cancelled() {
            return Err(SearchError::Cancelled);
        }
        let Some(component) = self.pattern.components.get(at) else {
            self.found(path, captures);
            return Ok(());
        };
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
        for (name, folder) in self.list(path, last) {
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
    ) -> Result<(), SearchError> {
        captures.push(below.clone());
        self.descend(path, at + 1, captures)?;
        captures.pop();
        if at + 1 == self.pattern.components.len() {
            return Ok(());
        }
        for (name, folder) in self.list(path, false) {
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

    fn found(&mut self, path: &Path, captures: &[String]) {
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
            }
            Err(error) if is_absent(&error) => {}
            Err(error) => {
                self.skipped.push(Skipped { path: path.to_path_buf(), why: Why::Unreadable(unreadable(&error)) });
            }
        }
    }

    /// Names in a folder, sorted, with "is it a folder". Links to follow on the way are left out.
    fn list(&mut self, folder: &Path, last: bool) -> Vec<(String, bool)> {
        let entries = match std::fs::read_dir(verbatim(folder)) {
            Ok(entries) => entries,
            Err(error) if is_absent(&error) => return Vec::new(),
            Err(error) => {
                self.skipped.push(Skipped { path: folder.to_path_buf(), why: Why::Unreadable(unreadable(&error)) });
                return Vec::new();
            }
        };
        let mut names = Vec::new();
        for entry in entries {
            let seen = entry.and_then(|entry| Ok((entry.metadata()?, entry)));
            let (metadata, entry) = match seen {
                Ok(seen) => seen,
                Err(error) if is_absent(&error) => continue,
                Err(error) => {
                    self.skipped.push(Skipped { path: folder.to_path_buf(), why: Why::Unreadable(unreadable(&error)) });
                    continue;
                }
            };
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
        names
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
    use proptest::prelude::*;

    use super::*;

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

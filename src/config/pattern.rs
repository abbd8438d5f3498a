//! Paths with wildcards, and the names that `as` makes from what they matched: one set of rules for the configuration,
//! which judges them, and for the search, which follows them. What is accepted here can be carried out.

use std::path::PathBuf;

use crate::windows_names::{self, NameFault};

/// A path with wildcards, divided.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Pattern {
    /// What comes before the first wildcard.
    pub(crate) root: PathBuf,
    /// From the first component with a wildcard on.
    pub(crate) components: Vec<String>,
    /// Are upper and lower case the same?
    pub(crate) fold_case: bool,
}

impl Pattern {
    /// Divides a path. `/` separates components; `\` does on Windows, and elsewhere in a path without `/`.
    pub(crate) fn parse(path: &str, windows: bool) -> Self {
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

    /// How many `{n}` there are: one for each `*`, and one for a `**` that is a component of its own.
    pub(crate) fn captures(&self) -> usize {
        self.components.iter().map(|component| if component == "**" { 1 } else { component.matches('*').count() }).sum()
    }
}

/// A part of a new name.
enum Piece<'a> {
    Text(&'a str),
    /// `{n}`, from 1.
    Capture(usize),
}

fn pieces(rename: &str) -> Result<Vec<Piece<'_>>, &'static str> {
    let mut pieces = Vec::new();
    let mut rest = rename;
    while let Some((before, after)) = rest.split_once('{') {
        let (number, behind) = after.split_once('}').ok_or("has a '{' without '}'")?;
        let number = number.parse().map_err(|_| "has something else than a number in '{}'")?;
        pieces.extend([Piece::Text(before), Piece::Capture(number)]);
        rest = behind;
    }
    pieces.push(Piece::Text(rest));
    Ok(pieces)
}

/// What is wrong with a new name for the matches of a pattern with so many captures.
pub(crate) fn rename_fault(rename: &str, captures: usize) -> Option<String> {
    let pieces = match pieces(rename) {
        Ok(pieces) => pieces,
        Err(fault) => return Some(fault.to_owned()),
    };
    let mut plain = String::new();
    for piece in pieces {
        match piece {
            Piece::Text(text) => plain.push_str(text),
            // A capture stands for something: judge what is written around it.
            Piece::Capture(number) if (1..=captures).contains(&number) => plain.push('x'),
            Piece::Capture(number) => {
                return Some(format!("uses {{{number}}}, but the number of '*' in path is {captures}"));
            }
        }
    }
    if plain.starts_with(['/', '\\']) {
        return Some("must be a relative path".to_owned());
    }
    plain.split(['/', '\\']).find_map(part_fault).map(str::to_owned)
}

/// The new name, filled in: a path with `/`.
///
/// # Errors
/// When what was matched cannot be part of a name there.
pub(crate) fn renamed(rename: &str, captures: &[String]) -> Result<String, &'static str> {
    let mut name = String::new();
    for piece in pieces(rename)? {
        match piece {
            Piece::Text(text) => name.push_str(text),
            Piece::Capture(number) => {
                name.push_str(number.checked_sub(1).and_then(|at| captures.get(at)).map_or("", String::as_str));
            }
        }
    }
    let name = name.replace('\\', "/");
    if name.contains(':') {
        return Err("must be a path below the folder of the entry");
    }
    // `**` may have matched nothing.
    let parts: Vec<_> = name.split('/').filter(|part| !part.is_empty()).collect();
    if parts.is_empty() {
        return Err("is empty");
    }
    if parts.iter().any(|part| matches!(*part, "." | "..")) {
        return Err("must not have '.' or '..' in it");
    }
    Ok(parts.join("/"))
}

fn part_fault(part: &str) -> Option<&'static str> {
    match part {
        "" => Some("has an empty part"),
        "." | ".." => Some("must not have '.' or '..' in it"),
        part => component_fault(part),
    }
}

/// What keeps a text from being the name of a folder in an archive, and wherever it is fetched to.
pub(crate) fn component_fault(name: &str) -> Option<&'static str> {
    match windows_names::fault(name) {
        Some(NameFault::Place | NameFault::Character) => Some("holds a character that names of folders cannot have"),
        _ if name.contains(char::is_control) => Some("holds a character that names of folders cannot have"),
        Some(NameFault::End) => Some("begins or ends with a space or ends with a dot"),
        _ if name.starts_with(' ') => Some("begins or ends with a space or ends with a dot"),
        Some(NameFault::Device) => Some("is the name of a device on Windows"),
        None if name.len() > 128 => Some("is longer than 128 bytes"),
        None => None,
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use proptest::prelude::*;

    use super::*;

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
    fn captures_are_counted_as_they_are_made() {
        for (path, captures) in [("/a/b", 0), ("/a/?", 0), ("/a/*/b*", 2), ("/**/x", 1), ("/a**b/*", 3), ("/**/**", 2)]
        {
            assert_eq!(Pattern::parse(path, false).captures(), captures, "{path}");
        }
        assert_eq!(Pattern::parse(r"\\?\C:\*", true).captures(), 1);
    }

    #[test]
    fn new_names_are_judged() {
        for (rename, captures) in [("x", 0), (r"{1}\x", 1), ("{2}/{1}", 2), ("a{1}b", 1)] {
            assert_eq!(rename_fault(rename, captures), None, "{rename}");
        }
        for rename in ["", "/x", r"\x", "..", "x/../y", "a//b", "a:b", "{", "{}", "{x}", "{0}", "{2}", "con", "x."] {
            assert!(rename_fault(rename, 1).is_some(), "{rename}");
        }
    }

    proptest! {
        #[test]
        fn what_is_accepted_can_be_filled_in(rename in "[ab{}12/\\\\.: *?]{0,8}", captures in prop::collection::vec("[ab.]{1,3}", 0..3)) {
            if rename_fault(&rename, captures.len()).is_none() {
                match renamed(&rename, &captures) {
                    Ok(name) => prop_assert!(!name.is_empty() && !name.split('/').any(|part| matches!(part, "" | "." | ".."))),
                    // A file cannot be called like that.
                    Err(fault) => prop_assert!(captures.iter().any(|name| matches!(name.as_str(), "." | ".." | "...") || name.starts_with('.')), "{}", fault),
                }
            }
        }
    }
}

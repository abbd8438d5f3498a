//! Paths that Windows takes literally.
//!
//! Windows edits a path before it opens it: it gives up at 260 characters, drops dots and blanks at the end of names
//! and takes `AUX` or `COM1` for a device. A snapshot has trees past 260 characters, and file servers of other makes
//! hold the rest. After the prefix `\\?\` (on shares `\\?\UNC\`) nothing is edited, and nothing is understood either:
//! no `/`, no `..`, no working directory.
//!
//! So [`verbatim`] is applied where a path is handed to the system, and nowhere else: stored, compared and shown paths
//! stay as they were written. Who keeps a verbatim path shows it through [`plain`]. Elsewhere than on Windows both give
//! back what they get.

use std::borrow::Cow;
use std::path::{Path, PathBuf};

/// The path as it is given to the system.
pub(crate) fn verbatim(path: &Path) -> Cow<'_, Path> {
    if !cfg!(windows) {
        return Cow::Borrowed(path);
    }
    // The standard library copes with long paths by itself; what is not Unicode (it can only be typed) has to be
    // content with that.
    let literal = |path: &Path| path.to_str().and_then(verbatim_text).map(PathBuf::from);
    let relative = || if path.is_absolute() { None } else { literal(&std::path::absolute(path).ok()?) };
    literal(path).or_else(relative).map_or(Cow::Borrowed(path), Cow::Owned)
}

/// The path as people write it.
pub(crate) fn plain(path: &Path) -> Cow<'_, Path> {
    if !cfg!(windows) {
        return Cow::Borrowed(path);
    }
    path.to_str().and_then(plain_text).map_or(Cow::Borrowed(path), |text| Cow::Owned(text.into()))
}

/// `None` for what is relative or begins with a prefix of its kind already.
fn verbatim_text(path: &str) -> Option<String> {
    let is_separator = |c: char| c == '\\' || c == '/';
    let mut names = path.split(is_separator);
    let mut text;
    let mut parts: Vec<&str> = Vec::new();
    let fixed = if path.starts_with(is_separator) {
        // Two empty names, then server and share, which no `..` leaves.
        names.next();
        let [Some(""), Some(server), Some(share)] = [names.next(), names.next(), names.next()] else { return None };
        if matches!(server, "" | "?" | ".") || share.is_empty() {
            return None;
        }
        text = format!(r"\\?\UNC\{server}\{share}");
        0
    } else {
        let drive = names.next()?;
        let mut letters = drive.chars();
        let is_drive = matches!((letters.next(), letters.next(), letters.next()), (Some(c), Some(':'), None) if c.is_ascii_alphabetic());
        if !is_drive || path.len() == drive.len() {
            return None;
        }
        text = format!(r"\\?\{drive}\");
        text.len()
    };
    for name in names {
        match name {
            "" | "." => {}
            ".." => drop(parts.pop()),
            name => parts.push(name),
        }
    }
    for name in parts {
        // The root of a drive ends in a separator of its own.
        if text.len() != fixed {
            text.push('\\');
        }
        text.push_str(name);
    }
    Some(text)
}

/// `None` for what has no prefix, or cannot be said without.
fn plain_text(path: &str) -> Option<String> {
    let rest = path.strip_prefix(r"\\?\")?;
    if let Some(share) = rest.strip_prefix(r"UNC\") {
        return Some(format!(r"\\{share}"));
    }
    let bytes = rest.as_bytes();
    (bytes.first()?.is_ascii_alphabetic() && bytes.get(1) == Some(&b':')).then(|| rest.to_owned())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn drives_and_shares_get_their_prefix_and_lose_what_it_would_not_understand() {
        for (path, expected) in [
            (r"E:\ConfigMgr_Backup", r"\\?\E:\ConfigMgr_Backup"),
            (r"E:\", r"\\?\E:\"),
            ("e:/a/b", r"\\?\e:\a\b"),
            (r"E:\a\.\b\..\c\\d\", r"\\?\E:\a\c\d"),
            (r"E:\..\..\a", r"\\?\E:\a"),
            (r"E:\a. \aux", r"\\?\E:\a. \aux"),
            (r"\\srv\share$", r"\\?\UNC\srv\share$"),
            (r"\\srv\share\", r"\\?\UNC\srv\share"),
            (r"//srv/share/a/b", r"\\?\UNC\srv\share\a\b"),
            (r"\\srv\share\..\..\a", r"\\?\UNC\srv\share\a"),
        ] {
            assert_eq!(verbatim_text(path).as_deref(), Some(expected), "{path}");
        }
    }

    #[test]
    fn other_paths_are_left_alone() {
        for path in [
            "",
            "a",
            r"a\b",
            r"\a",
            "E:",
            "E:a",
            r"\\?\E:\a",
            r"\\.\pipe\x",
            r"\\srv",
            r"\\srv\",
            r"\\",
            r"\\?\Volume{b75e2c83-0000-0000-0000-602f00000000}\x",
            "é:/a",
        ] {
            assert_eq!(verbatim_text(path), None, "{path}");
        }
    }

    #[test]
    fn plain_paths_are_those_of_people() {
        assert_eq!(plain_text(r"\\?\E:\a").as_deref(), Some(r"E:\a"));
        assert_eq!(plain_text(r"\\?\UNC\srv\share\a").as_deref(), Some(r"\\srv\share\a"));
        for path in [r"E:\a", r"\\srv\share", r"\\?\Volume{x}\a", r"\\?\", "/a"] {
            assert_eq!(plain_text(path), None, "{path}");
        }
    }

    #[cfg(not(windows))]
    #[test]
    fn other_systems_get_paths_as_they_are() {
        assert_eq!(verbatim(Path::new(r"E:\a")), Path::new(r"E:\a"));
        assert_eq!(plain(Path::new(r"\\?\E:\a")), Path::new(r"\\?\E:\a"));
    }

    #[cfg(windows)]
    #[test]
    fn relative_paths_begin_at_the_working_directory() {
        let here = std::env::current_dir().unwrap();
        assert_eq!(plain(&verbatim(Path::new("a/../b"))), here.join("b"));
    }

    proptest! {
        #[test]
        fn any_path_is_made_verbatim_once_and_read_back(path in r"([A-Z]:[/\\]|\\\\s\\h)?[a-zé. :/\\]{0,40}") {
            if let Some(made) = verbatim_text(&path) {
                prop_assert!(!made.contains('/'));
                prop_assert_eq!(verbatim_text(&made), None);
                let shown = plain_text(&made).unwrap();
                prop_assert_eq!(verbatim_text(&shown), Some(made));
            }
        }
    }
}

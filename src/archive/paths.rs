//! Where a path of an archive may go on this machine.
//!
//! An archive comes from storage that others may have written to. Its paths are followed only below the folder that was
//! asked for, and only when they mean there what they say: no `..`, no absolute paths, no drives, devices or alternate
//! streams, nothing that Windows would silently rename.

use std::collections::HashMap;
use std::path::PathBuf;

use super::index::Entry;
use crate::platform::WINDOWS;
use crate::windows_names::{self, NameFault};

/// By which system's rules names are judged.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Rules {
    /// Windows: drives, devices, streams, reserved characters, no difference between upper and lower case.
    Windows,
    /// Everything else.
    Unix,
}

impl Rules {
    /// The rules of the system this program runs on.
    #[must_use]
    pub const fn native() -> Self {
        if WINDOWS { Self::Windows } else { Self::Unix }
    }
}

/// The relative path on this machine for a path in an archive.
///
/// # Errors
/// When the path must not, or cannot, be written.
pub fn safe_path(path: &str, rules: Rules) -> Result<PathBuf, PathError> {
    let fault = |reason: &'static str| PathError::Unsafe { path: path.to_owned(), reason };
    if path.is_empty() {
        return Err(fault("it is empty"));
    }
    let mut safe = PathBuf::new();
    for name in path.split('/') {
        match name {
            "" => return Err(fault("it is absolute or has an empty name")),
            "." | ".." => return Err(fault("it leaves the folder")),
            _ if name.contains('\0') => return Err(fault("it holds a zero byte")),
            _ => {}
        }
        if rules == Rules::Windows {
            match windows_names::fault(name) {
                None => {}
                Some(NameFault::Place) => return Err(fault("it names a drive, a stream or another folder")),
                Some(NameFault::Character) => {
                    return Err(fault("it has a character that Windows does not allow in names"));
                }
                Some(NameFault::End) => {
                    return Err(fault("Windows would drop the dot or blank at the end of a name"));
                }
                Some(NameFault::Device) => return Err(fault("it is the name of a device")),
            }
        }
        safe.push(name);
    }
    Ok(safe)
}

/// The places of these entries, if all are safe and no two are the same file on this system.
///
/// # Errors
/// On the first path that is not.
pub fn safe_paths(entries: &[&Entry], rules: Rules) -> Result<Vec<PathBuf>, PathError> {
    let mut taken: HashMap<String, (&str, bool)> = HashMap::with_capacity(entries.len());
    let mut paths = Vec::with_capacity(entries.len());
    for entry in entries {
        paths.push(safe_path(&entry.path, rules)?);
        let key = match rules {
            Rules::Windows => entry.path.to_lowercase(),
            Rules::Unix => entry.path.clone(),
        };
        // Folders may come twice, spelled differently: they are the same folder then.
        if let Some((other, folder)) = taken.insert(key, (&entry.path, entry.folder))
            && !(folder && entry.folder)
        {
            return Err(PathError::Collision { path: entry.path.clone(), other: other.to_owned() });
        }
    }
    for (key, &(path, _)) in &taken {
        // Whatever lies above a path has to be a folder.
        let above = key.match_indices('/').filter_map(|(slash, _)| taken.get(key.get(..slash)?));
        if let Some((other, _)) = above.into_iter().find(|(_, folder)| !folder) {
            return Err(PathError::Collision { path: path.to_owned(), other: (*other).to_owned() });
        }
    }
    Ok(paths)
}

/// Why a path of an archive is not written.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PathError {
    /// It must not be.
    #[error("the archive holds the path '{path}', which cannot be written here: {reason}")]
    Unsafe {
        /// The path.
        path: String,
        /// What is wrong with it.
        reason: &'static str,
    },
    /// Two paths mean the same file, or one lies below the other, which is a file.
    #[error("the archive holds '{path}' and '{other}', which cannot both be here")]
    Collision {
        /// The path.
        path: String,
        /// The other one.
        other: String,
    },
}

#[cfg(test)]
mod tests {
    use std::path::Component;

    use proptest::prelude::*;

    use super::*;

    #[test]
    fn hostile_paths_are_refused_everywhere() {
        for path in ["", "/etc/passwd", "..", "../x", "a/../../x", "a//b", "a/./b", "a/", "a\0b", "./x"] {
            for rules in [Rules::Unix, Rules::Windows] {
                assert!(safe_path(path, rules).is_err(), "{path:?}");
            }
        }
    }

    #[test]
    fn what_windows_would_misunderstand_is_refused_there() {
        for path in [
            r"C:\x",
            "C:x",
            r"..\x",
            r"\\server\share\x",
            r"\\?\C:\x",
            "a:b",
            "file.txt:stream",
            "a/CON",
            "nul",
            "NUL.txt",
            "com1",
            "COM¹.log",
            "Lpt9.x.y",
            "conin$",
            "a. ",
            "a.",
            "a ",
            "a|b",
            "a?b",
            "tab\tname",
            "aux .txt",
        ] {
            assert!(safe_path(path, Rules::Windows).is_err(), "{path:?}");
        }
        for path in ["CONSOLE", "COM10", "COMX", "nullable", "a b", "...a", "XYZBackup/SiteDBServer/CM_XYZ.mdf", "é/ß"]
        {
            assert!(safe_path(path, Rules::Windows).is_ok(), "{path:?}");
        }
        assert!(safe_path("a:b/trailing. ", Rules::Unix).is_ok());
    }

    fn entry(path: &str, folder: bool) -> Entry {
        Entry { path: path.to_owned(), folder, modified: jiff::Timestamp::UNIX_EPOCH, ..Entry::default() }
    }

    #[test]
    fn two_entries_never_share_a_place() {
        let judged = |entries: &[(&str, bool)], rules| {
            let entries: Vec<Entry> = entries.iter().map(|&(path, folder)| entry(path, folder)).collect();
            safe_paths(&entries.iter().collect::<Vec<_>>(), rules)
        };
        for rules in [Rules::Unix, Rules::Windows] {
            assert!(judged(&[("a", false), ("a", false)], rules).is_err());
            assert!(judged(&[("a", false), ("a", true)], rules).is_err());
            assert!(judged(&[("a", true), ("a", false)], rules).is_err());
            assert!(judged(&[("a", false), ("a/b", false)], rules).is_err());
            assert!(judged(&[("a/b/c/d", false), ("x", true), ("a/b", false)], rules).is_err());
            assert!(judged(&[("a", true), ("a/b", false), ("a", true)], rules).is_ok());
            assert!(judged(&[("a/b", false), ("a-b", false), ("ab", true)], rules).is_ok());
        }
        for entries in [[("a/b", false), ("A/B", false)], [("É", false), ("é/x", false)]] {
            assert!(judged(&entries, Rules::Unix).is_ok());
            assert!(judged(&entries, Rules::Windows).is_err());
        }
        assert!(judged(&[("a", true), ("A", true)], Rules::Windows).is_ok());
    }

    proptest! {
        #[test]
        fn whatever_is_accepted_stays_below(path in any::<String>()) {
            // By the rules of Unix `\` is a letter, which Windows would not make of it.
            for rules in [Rules::native(), Rules::Windows] {
                if let Ok(safe) = safe_path(&path, rules) {
                    prop_assert!(safe.components().all(|part| matches!(part, Component::Normal(_))));
                }
            }
        }
    }
}

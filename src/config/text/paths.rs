//! Paths of the configuration: made absolute, and compared as Windows or Unix would compare them.
//!
//! Configurations of Windows servers are also read on Linux (tests, checks, pruning from elsewhere), so Windows
//! paths are recognised by their look and left as they are.

use std::path::{Component, Path, PathBuf};

use sha2::{Digest as _, Sha256};

use crate::platform::WINDOWS;
use crate::platform::places::own_folder;

/// `C:\…`, `C:/…`, `\\server\share`.
pub(crate) fn is_windows(text: &str) -> bool {
    let bytes = text.as_bytes();
    let drive = bytes.len() >= 3 && bytes[0].is_ascii_alphabetic() && bytes[1] == b':' && is_separator(bytes[2]);
    drive || bytes.starts_with(br"\\")
}

/// `C:`, `C:folder`: relative to a working directory of that drive, which nobody can know.
pub(in crate::config) fn is_drive_relative(text: &str) -> bool {
    let bytes = text.as_bytes();
    let lone = bytes.len() == 2 || bytes.get(2).is_some_and(|b| !is_separator(*b));
    bytes.len() >= 2 && bytes[0].is_ascii_alphabetic() && bytes[1] == b':' && lone
}

fn is_separator(b: u8) -> bool {
    b == b'\\' || b == b'/'
}

/// Does it seem to hold `%VARIABLE%`, `$VARIABLE`, `${VARIABLE}` or `~/`?
pub(in crate::config) fn has_placeholder(text: &str) -> bool {
    let percent = text.split('%').skip(1).step_by(2).any(|name| {
        !name.is_empty() && name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_' || b == b'(' || b == b')')
    }) && text.matches('%').count() >= 2;
    let dollar = text.split('$').skip(1).any(|rest| {
        // `\\server\share$` and `D$\x` are shares.
        rest.starts_with(|c: char| c.is_ascii_alphabetic() || c == '{' || c == '_')
    });
    percent || dollar || text.starts_with("~/") || text.starts_with(r"~\")
}

/// The folder that relative paths start from.
pub(in crate::config) fn base(config: &Path) -> PathBuf {
    let absolute = std::path::absolute(config).unwrap_or_else(|_| config.to_owned());
    let folder = absolute.parent().map_or_else(PathBuf::new, Path::to_owned);
    // Without links in it, `..` can be taken off by text and messages show short paths. On Windows `absolute` did that.
    if WINDOWS { folder } else { std::fs::canonicalize(&folder).unwrap_or(folder) }
}

/// The path as meant in a configuration in `base`.
pub(in crate::config) fn resolve(base: &Path, text: &str) -> PathBuf {
    if is_windows(text) {
        return PathBuf::from(text);
    }
    let mut path = base.to_owned();
    let mut leading = true;
    for component in Path::new(text).components() {
        match component {
            Component::CurDir => {}
            Component::ParentDir if leading => drop(path.pop()),
            // Behind a name that may be a link, `..` means what the system makes of it.
            other => {
                leading = false;
                path.push(other);
            }
        }
    }
    path
}

/// What equal paths have in common: separators, `.`, `..`, letter case where it does not count.
pub(in crate::config) fn comparable(path: &Path) -> Vec<String> {
    let text = path.to_string_lossy();
    let windows = WINDOWS || is_windows(&text);
    let text = if windows { text.replace('/', r"\").to_lowercase() } else { text.into_owned() };
    let (separator, text) = if windows {
        let text = text
            .strip_prefix(r"\\?\unc\")
            .map_or_else(|| text.strip_prefix(r"\\?\").unwrap_or(&text).to_owned(), |share| format!(r"\\{share}"));
        ('\\', text)
    } else {
        ('/', text)
    };
    let root = if text.starts_with(r"\\") { r"\\" } else { "" };
    let mut parts = vec![root.to_owned()];
    for part in text.split(separator) {
        match part {
            "" | "." => {}
            ".." => {
                if parts.len() > 1 {
                    parts.pop();
                }
            }
            part => parts.push(part.to_owned()),
        }
    }
    parts
}

/// Is `inner` the same as `outer` or below it?
pub(in crate::config) fn is_inside(inner: &Path, outer: &Path) -> bool {
    comparable(inner).starts_with(&comparable(outer))
}

/// The lock file where the configuration names none; see `Config::lock_file`.
pub(in crate::config) fn default_lock_file(config: &Path, env: super::Env<'_>) -> PathBuf {
    own_folder(env).join(format!("{}.lock", key(config)))
}

/// What tells a configuration from others on this host: the beginning of its name, and of a hash over its whole path.
pub(in crate::config) fn key(config: &Path) -> String {
    let real = std::fs::canonicalize(config).or_else(|_| std::path::absolute(config));
    let real = real.unwrap_or_else(|_| config.to_owned());
    let text = if WINDOWS { real.to_string_lossy().to_lowercase() } else { real.to_string_lossy().into_owned() };
    let hash = Sha256::digest(text.as_bytes());
    let hash = hash.iter().take(6).fold(0_u64, |number, byte| number << 8 | u64::from(*byte));
    let hash = format!("{hash:012x}");
    let stem = config.file_stem().map(|stem| stem.to_string_lossy().to_lowercase()).unwrap_or_default();
    let stem: String = stem.chars().filter(|c| c.is_ascii_alphanumeric() || *c == '-').take(24).collect();
    if stem.is_empty() { hash } else { format!("{stem}-{hash}") }
}

/// The log where the configuration names none: on Windows where its services keep theirs, elsewhere none. There a
/// service manager or cron keeps what is printed.
pub(in crate::config) fn default_log_file(env: super::Env<'_>) -> Option<PathBuf> {
    WINDOWS.then(|| {
        let data = env("ProgramData").unwrap_or_else(|| r"C:\ProgramData".to_owned());
        Path::new(&data).join("afterbackup").join("logs").join("afterbackup.log")
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn relative_paths_start_at_the_folder_of_the_configuration() {
        let base = Path::new("/etc/afterbackup");
        assert_eq!(resolve(base, "vault"), Path::new("/etc/afterbackup/vault"));
        assert_eq!(resolve(base, "../vault/./x"), Path::new("/etc/vault/x"));
        assert_eq!(resolve(base, "/srv/vault"), Path::new("/srv/vault"));
        assert_eq!(resolve(base, r"E:\ConfigMgr_Backup"), Path::new(r"E:\ConfigMgr_Backup"));
        assert_eq!(resolve(base, r"\\srv\share$\x"), Path::new(r"\\srv\share$\x"));
    }

    #[test]
    fn windows_paths_are_compared_without_case_and_prefix() {
        let inside = |inner: &str, outer: &str| is_inside(Path::new(inner), Path::new(outer));
        assert!(inside(r"e:\configmgr_backup\vault", r"E:/ConfigMgr_Backup/"));
        assert!(inside(r"\\?\E:\ConfigMgr_Backup", r"E:\ConfigMgr_Backup"));
        assert!(inside(r"\\?\UNC\srv\share\x", r"\\SRV\share"));
        assert!(inside(r"E:\Vault\..\ConfigMgr_Backup\x", r"E:\ConfigMgr_Backup"));
        assert!(!inside(r"E:\ConfigMgr_Backup2", r"E:\ConfigMgr_Backup"));
        assert!(!inside(r"\\srv\share", r"\srv\share"));
        assert!(inside("/srv/a/b", "/srv/a"));
        assert!(!inside("/srv/A/b", "/srv/a") || cfg!(windows));
    }

    #[test]
    fn placeholders_are_told_from_shares() {
        for text in [r"%ProgramData%\x", "$HOME/x", "${HOME}/x", "~/x", "%ProgramFiles(x86)%"] {
            assert!(has_placeholder(text), "{text}");
        }
        for text in [r"\\srv\configmgr$", r"\\srv\d$\x", "100%", "a%b", "%%", "50% a 60% b"] {
            assert!(!has_placeholder(text), "{text}");
        }
    }

    #[test]
    fn every_configuration_has_a_lock_of_its_own_whatever_its_path_is_called() {
        let folder = tempfile::tempdir().unwrap();
        let lock = |path: &Path| default_lock_file(path, &|_| None);
        let (one, two) = (folder.path().join("site a.toml"), folder.path().join("b/site a.toml"));
        std::fs::create_dir(folder.path().join("b")).unwrap();
        for path in [&one, &two] {
            std::fs::write(path, "").unwrap();
        }
        assert_ne!(lock(&one), lock(&two));
        assert_eq!(lock(&one), lock(&folder.path().join("b/../site a.toml")));
        let name = lock(&one).file_name().unwrap().to_string_lossy().into_owned();
        assert!(name.starts_with("sitea-") && name.is_ascii(), "{name}");
    }

    #[test]
    fn drive_relative_paths_are_recognised() {
        assert!(is_drive_relative("E:") && is_drive_relative("E:x"));
        assert!(!is_drive_relative(r"E:\x") && !is_drive_relative("x") && !is_drive_relative("é:x"));
    }
}

//! Who may change what the program takes orders from. Whoever may write a configuration with commands, or a program
//! that one of them names, has the rights of the account that runs it.

use std::path::Path;

/// Another account can change a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Untrusted {
    /// What can be changed, and by whom.
    pub(crate) what: String,
    /// What takes that right away.
    pub(crate) repair: String,
}

/// Does the program have the highest rights?
pub(crate) fn is_privileged() -> bool {
    system::is_privileged()
}

/// Can another account change this file, or put another one into its place? `None` where that cannot be told.
pub(crate) fn untrusted(file: &Path) -> Option<Untrusted> {
    system::untrusted(file)
}

/// The file that a command line begins with, if it is named by its whole path.
pub(crate) fn program_of(line: &str) -> Option<&Path> {
    let line = line.trim_start();
    let program = match line.strip_prefix('"') {
        Some(quoted) => quoted.split('"').next()?,
        None => line.split_whitespace().next()?,
    };
    Some(Path::new(program)).filter(|program| program.is_absolute() && program.is_file())
}

#[cfg(unix)]
mod system {
    use std::fs::{self, Metadata};
    use std::os::unix::fs::MetadataExt as _;
    use std::path::Path;

    use rustix::process::{getegid, geteuid};

    use super::Untrusted;

    pub(super) fn is_privileged() -> bool {
        geteuid().is_root()
    }

    pub(super) fn untrusted(file: &Path) -> Option<Untrusted> {
        let file = fs::canonicalize(file).ok()?;
        // In a folder with the sticky bit, others cannot put a file into the place of ours.
        file.ancestors().enumerate().find_map(|(above, path)| {
            let metadata = fs::metadata(path).ok()?;
            let sticky = above > 0 && metadata.mode() & 0o1000 != 0;
            writer(&metadata, sticky).map(|(who, repair)| Untrusted {
                what: format!("{} can be changed by {who}", path.display()),
                repair: format!("{repair} '{}'", path.display()),
            })
        })
    }

    fn writer(metadata: &Metadata, sticky: bool) -> Option<(String, &'static str)> {
        let (owner, group) = (metadata.uid(), metadata.gid());
        if owner != 0 && owner != geteuid().as_raw() {
            return Some((format!("another account (user id {owner})"), "chown root"));
        }
        if sticky {
            return None;
        }
        // A group of root's, or one's own.
        let of_group = metadata.mode() & 0o020 != 0 && group != 0 && group != getegid().as_raw();
        if metadata.mode() & 0o002 != 0 {
            return Some(("everyone".to_owned(), "chmod o-w"));
        }
        of_group.then(|| (format!("a group (group id {group})"), "chmod g-w"))
    }
}

#[cfg(not(unix))]
mod system {
    use std::path::Path;

    use super::Untrusted;

    pub(super) fn is_privileged() -> bool {
        false
    }

    pub(super) fn untrusted(_file: &Path) -> Option<Untrusted> {
        None
    }
}

#[cfg(test)]
#[cfg(unix)]
mod tests {
    use std::fs;
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    fn with_mode(path: &Path, mode: u32) -> Option<Untrusted> {
        fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
        untrusted(path)
    }

    #[test]
    fn what_others_can_write_is_not_trusted() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("a.toml");
        fs::write(&file, "x").unwrap();
        assert_eq!(with_mode(&file, 0o640), None);
        let open = with_mode(&file, 0o666).unwrap();
        assert!(open.what.ends_with("a.toml can be changed by everyone"), "{}", open.what);
        assert!(open.repair.starts_with("chmod o-w '/"), "{}", open.repair);
        assert_eq!(with_mode(&file, 0o600), None);
        // A folder in which others can put another file into its place, and one with the sticky bit.
        with_mode(folder.path(), 0o777);
        let folder_open = untrusted(&file).unwrap();
        assert_eq!(folder_open.what, format!("{} can be changed by everyone", folder.path().display()));
        with_mode(folder.path(), 0o1777);
        assert_eq!(untrusted(&file), None);
        assert_eq!(untrusted(Path::new("/no/such/file")), None);
    }

    #[test]
    fn program_of_a_command_line_is_found() {
        assert_eq!(program_of("/bin/sh -c 'x'"), Some(Path::new("/bin/sh")));
        assert_eq!(program_of("  \"/bin/sh\" -c x"), Some(Path::new("/bin/sh")));
        for line in ["", "echo x", "/no/such/program x", "cd /bin; sh"] {
            assert_eq!(program_of(line), None, "{line}");
        }
    }
}

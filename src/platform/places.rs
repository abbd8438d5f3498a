//! Folders of the program, and who may read what lies in them.

use std::path::{Path, PathBuf};

/// A folder of the program's own.
pub(crate) fn own_folder(env: &dyn Fn(&str) -> Option<String>) -> PathBuf {
    let folder = |name: &str| env(name).map(PathBuf::from).filter(|folder| folder.is_absolute());
    #[cfg(windows)]
    {
        folder("ProgramData").unwrap_or_else(|| PathBuf::from(r"C:\ProgramData")).join("afterbackup")
    }
    #[cfg(not(windows))]
    {
        let user = rustix::process::geteuid();
        let system = Path::new("/var/lib");
        if user.is_root() && system.is_dir() {
            return system.join("afterbackup");
        }
        folder("HOME").filter(|home| !user.is_root() && home.is_dir()).map_or_else(
            || PathBuf::from(format!("/tmp/afterbackup-{}", user.as_raw())),
            |home| home.join(".local/state/afterbackup"),
        )
    }
}

/// May accounts besides the owner and its group read the file?
#[cfg(unix)]
pub(crate) fn readable_by_everyone(path: &Path) -> bool {
    use std::os::unix::fs::PermissionsExt;
    std::fs::metadata(path).is_ok_and(|data| data.permissions().mode() & 0o004 != 0)
}

/// Access lists are not judged on this system.
#[cfg(not(unix))]
pub(crate) fn readable_by_everyone(_path: &Path) -> bool {
    false
}

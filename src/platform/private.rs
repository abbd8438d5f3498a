//! Files that only this program uses: locks, what is known of runs, requests to the watcher.
//!
//! Their names can be foreseen, the program runs with the highest rights, and their folder may be one in which others
//! can write. So a file is opened without following a link, never waits (as the opening of a FIFO would), is made for
//! its owner alone, and is used only if it is a regular file with one name that belongs to us, to root or to the owner
//! of its folder. A new content is a new file that replaces the old one.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

use super::files::{create_folders, persistently};

/// Makes the folder for such files, for its owner alone, or checks that the one that is there belongs to us.
pub(crate) fn folder(path: &Path) -> io::Result<()> {
    if let Some(above) = path.parent().filter(|above| !above.as_os_str().is_empty()) {
        create_folders(above)?;
    }
    system::folder(path)
}

/// Opens a file for reading.
pub(crate) fn open(path: &Path) -> io::Result<File> {
    checked(path, OpenOptions::new().read(true))
}

/// Opens a file to lock it. It is made if it is missing, and its folder, too.
pub(crate) fn open_or_create(path: &Path) -> io::Result<File> {
    if let Some(above) = path.parent().filter(|above| !above.as_os_str().is_empty()) {
        folder(above)?;
    }
    let existing = checked(path, OpenOptions::new().read(true).write(true));
    match existing {
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        other => return other,
    }
    match create(path, 0o600) {
        // Another process was faster.
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
            checked(path, OpenOptions::new().read(true).write(true))
        }
        other => other,
    }
}

/// Makes an empty file. One that is there already, whatever it is, is an error.
pub(crate) fn create_new(path: &Path) -> io::Result<File> {
    create(path, 0o600)
}

/// Gives a file this content: readers see the old or the new one, whole. Only for whoever is alone in writing it.
pub(crate) fn replace(path: &Path, bytes: &[u8]) -> io::Result<()> {
    replace_when(path, bytes, || {})
}

/// The same; `written` is called when the new file is whole, and before it has its name.
pub(crate) fn replace_when(path: &Path, bytes: &[u8], written: impl Fn()) -> io::Result<()> {
    replace_with(path, bytes, 0o600, written)
}

/// The same for a file that others read: anybody on Unix, where the mask of the process allows it.
pub(crate) fn replace_public(path: &Path, bytes: &[u8]) -> io::Result<()> {
    replace_with(path, bytes, 0o644, || {})
}

#[allow(clippy::disallowed_methods, reason = "this is where files are replaced")]
fn replace_with(path: &Path, bytes: &[u8], mode: u32, written: impl Fn()) -> io::Result<()> {
    let mut name = path.as_os_str().to_owned();
    name.push(format!(".{}.new", std::process::id()));
    let new = PathBuf::from(name);
    // Left by a process of the same number that died, or put there by somebody: a link is removed, not what it leads
    // to.
    if let Err(error) = fs::remove_file(&new)
        && error.kind() != io::ErrorKind::NotFound
    {
        return Err(error);
    }
    let write = || {
        let mut file = create(&new, mode)?;
        file.write_all(bytes)?;
        file.sync_all()?;
        drop(file);
        written();
        persistently(|| fs::rename(&new, path))
    };
    write().inspect_err(|_| drop(fs::remove_file(&new)))
}

fn create(path: &Path, mode: u32) -> io::Result<File> {
    let mut options = OpenOptions::new();
    options.read(true).write(true).create_new(true);
    system::careful(&mut options, mode);
    let file = options.open(path)?;
    system::give_to_owner_of_folder(path, &file)?;
    Ok(file)
}

fn checked(path: &Path, options: &mut OpenOptions) -> io::Result<File> {
    system::careful(options, 0o600);
    let file = options.open(path).map_err(|error| if is_link(path) { fault("it is a link") } else { error })?;
    system::check(path, &file)?;
    Ok(file)
}

fn is_link(path: &Path) -> bool {
    fs::symlink_metadata(path).is_ok_and(|metadata| metadata.is_symlink())
}

fn fault(what: &str) -> io::Error {
    io::Error::new(io::ErrorKind::PermissionDenied, format!("{what}, so it is not used"))
}

#[cfg(unix)]
mod system {
    use std::fs::{self, DirBuilder, File, OpenOptions};
    use std::io;
    use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _, OpenOptionsExt as _, fchown};
    use std::path::Path;

    use rustix::fs::OFlags;
    use rustix::process::geteuid;

    use super::fault;

    pub(super) fn careful(options: &mut OpenOptions, mode: u32) {
        let flags = OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
        options.mode(mode).custom_flags(flags.bits().cast_signed());
    }

    pub(super) fn check(path: &Path, file: &File) -> io::Result<()> {
        let metadata = file.metadata()?;
        if !metadata.is_file() {
            return Err(fault("it is not a regular file"));
        }
        if metadata.nlink() > 1 {
            return Err(fault("it has several names (hard links)"));
        }
        let owner = metadata.uid();
        let ours = owner == 0 || owner == geteuid().as_raw();
        if ours || folder_of(path).is_some_and(|folder| folder.uid() == owner) {
            return Ok(());
        }
        Err(fault(&format!("it belongs to another account (user id {owner})")))
    }

    pub(super) fn folder(path: &Path) -> io::Result<()> {
        match DirBuilder::new().mode(0o700).create(path) {
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
            other => return other,
        }
        let metadata = fs::metadata(path)?;
        if !metadata.is_dir() {
            return Err(io::ErrorKind::NotADirectory.into());
        }
        let (owner, us) = (metadata.uid(), geteuid());
        // Root may work for a service's account, in that one's folder.
        if us.is_root() || owner == 0 || owner == us.as_raw() {
            return Ok(());
        }
        Err(fault(&format!("its folder belongs to another account (user id {owner})")))
    }

    /// What root makes in the folder of a service's account must not lock that account out.
    pub(super) fn give_to_owner_of_folder(path: &Path, file: &File) -> io::Result<()> {
        let folder = folder_of(path).filter(|folder| geteuid().is_root() && folder.uid() != 0);
        match folder {
            Some(folder) => fchown(file, Some(folder.uid()), Some(folder.gid())),
            None => Ok(()),
        }
    }

    fn folder_of(path: &Path) -> Option<fs::Metadata> {
        fs::metadata(path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."))).ok()
    }
}

#[cfg(not(unix))]
mod system {
    use std::fs::{File, OpenOptions};
    use std::io;
    use std::path::Path;

    use super::fault;
    use crate::platform::files::create_folders;

    #[cfg_attr(not(windows), allow(unused_variables, reason = "Windows alone has the flag"))]
    pub(super) fn careful(options: &mut OpenOptions, _mode: u32) {
        #[cfg(windows)]
        {
            use std::os::windows::fs::OpenOptionsExt as _;
            // FILE_FLAG_OPEN_REPARSE_POINT: a link itself, not what it leads to.
            options.custom_flags(0x0020_0000);
        }
    }

    pub(super) fn check(_path: &Path, file: &File) -> io::Result<()> {
        let metadata = file.metadata()?;
        if metadata.is_symlink() || !metadata.is_file() {
            return Err(fault("it is not a regular file"));
        }
        Ok(())
    }

    /// Folders below `%ProgramData%` are made for SYSTEM and administrators alone.
    pub(super) fn folder(path: &Path) -> io::Result<()> {
        create_folders(path)
    }

    #[allow(clippy::unnecessary_wraps, reason = "it fails on other systems")]
    pub(super) fn give_to_owner_of_folder(_path: &Path, _file: &File) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(all(test, unix))]
mod tests {
    use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _, symlink};

    use super::*;

    #[test]
    fn files_and_folders_are_for_their_owner_alone() {
        let scratch = tempfile::tempdir().unwrap();
        let path = scratch.path().join("made/here/lock");
        let file = open_or_create(&path).unwrap();
        assert_eq!(file.metadata().unwrap().mode() & 0o777, 0o600);
        assert_eq!(fs::metadata(path.parent().unwrap()).unwrap().mode() & 0o777, 0o700);
        replace(&path, b"x").unwrap();
        assert_eq!(fs::metadata(&path).unwrap().mode() & 0o777, 0o600);
        assert_eq!(fs::read(&path).unwrap(), b"x");
        assert_eq!(fs::read_dir(path.parent().unwrap()).unwrap().count(), 1, "nothing is left beside it");
    }

    type Make<'m> = Box<dyn Fn(&Path) + 'm>;

    #[test]
    fn links_fifos_folders_and_second_names_are_refused_without_waiting_and_untouched() {
        let scratch = tempfile::tempdir().unwrap();
        let victim = scratch.path().join("victim");
        fs::write(&victim, "precious").unwrap();
        let lies: [(&str, Make<'_>); 5] = [
            ("link", Box::new(|path| symlink(scratch.path().join("victim"), path).unwrap())),
            ("link to nothing", Box::new(|path| symlink(scratch.path().join("nothing"), path).unwrap())),
            ("second name", Box::new(|path| fs::hard_link(scratch.path().join("victim"), path).unwrap())),
            ("folder", Box::new(|path| fs::create_dir(path).unwrap())),
            (
                "fifo",
                Box::new(|path| {
                    let mode = rustix::fs::Mode::from_raw_mode(0o666);
                    rustix::fs::mknodat(rustix::fs::CWD, path, rustix::fs::FileType::Fifo, mode, 0).unwrap();
                }),
            ),
        ];
        for (name, make) in lies {
            let path = scratch.path().join("lie");
            make(&path);
            assert!(open(&path).is_err(), "{name}");
            assert!(open_or_create(&path).is_err(), "{name}");
            assert!(create_new(&path).is_err(), "{name}");
            if name == "folder" {
                assert!(replace(&path, b"new").is_err());
                fs::remove_dir(&path).unwrap();
            } else {
                replace(&path, b"new").unwrap();
                assert_eq!(fs::read(&path).unwrap(), b"new", "{name}");
                fs::remove_file(&path).unwrap();
            }
            assert_eq!(fs::read(&victim).unwrap(), b"precious", "{name}");
            assert!(!scratch.path().join("nothing").exists(), "{name}");
        }
    }

    #[test]
    fn a_partial_name_that_is_a_link_does_not_lead_anywhere() {
        let scratch = tempfile::tempdir().unwrap();
        let (victim, path) = (scratch.path().join("victim"), scratch.path().join("state"));
        fs::write(&victim, "precious").unwrap();
        symlink(&victim, scratch.path().join(format!("state.{}.new", std::process::id()))).unwrap();
        replace_public(&path, b"new").unwrap();
        assert_eq!((fs::read(&victim).unwrap(), fs::read(&path).unwrap()), (b"precious".to_vec(), b"new".to_vec()));
        assert!(!is_link(&path));
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o600, 0o600);
    }
}

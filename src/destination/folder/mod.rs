//! Folders: local disks and shares, through nothing but `std::fs` and a few system calls.
//!
//! The order of every write: a partial file with a name of its own beside the final one (`create_new`), its bytes, its
//! sync, a rename that does not replace, the sync of the folder. Killed anywhere, we leave a partial file, which is
//! never listed, or the whole file.
//!
//! The root is never created. A share that is not mounted and a disk that is not plugged in leave an empty mount point
//! or nothing at all; writing there would fill the system disk and look like success. Only the site's folder below the
//! root is made.
//!
//! Renaming without replacing: Linux has a system call for it, which some file systems (many network ones) refuse.
//! Windows has another (not the one behind `std::fs::rename`, which replaces), and its file servers do it in one step.
//! Elsewhere a hard link does the same: it fails when the name is taken, and then the partial name goes. Where hard
//! links do not exist either (FAT, some NAS boxes), the name is looked for and then renamed to: between the two another
//! host could put the same archive. It would be the same snapshot, and the manifest comes after a read-back.
//!
//! The page cache belongs to the database server we may run beside. Every 64 MiB what was written is synced, which also
//! bounds the dirty pages, and given back; reading gives back what it has passed. Read-back begins by dropping the
//! file's pages, so that it reads the medium (on a share: asks the server). All of this is advice and may do nothing.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Write};
use std::ops::Range;
use std::path::{Path, PathBuf};

use bytes::Bytes;
use jiff::Timestamp;

use super::{Claim, Destination, Entry, Error, ErrorKind, Leftover, RootMissing, Upload, key, share_error, win32};
use crate::config;
use crate::name::StoredFile;
use crate::platform::WINDOWS;
use crate::platform::files::{persistently, rename_new};
use crate::platform::open::{sync_folder, to_read as open_to_read};
use crate::platform::page_cache::{advise_reading, forget, write_out};
use crate::platform::positional::read_exact_at;
use crate::platform::verbatim::{plain, verbatim};

/// Dirty pages are written out and given back at this distance.
const SYNC_EVERY: u64 = 64 << 20;

/// Pages that were read are given back at this distance.
const FORGET_EVERY: u64 = 16 << 20;

/// A folder that holds archives.
#[derive(Debug)]
pub(super) struct Folder {
    name: String,
    /// Verbatim.
    root: PathBuf,
}

impl Folder {
    pub(super) fn new(name: &str, root: &Path) -> Self {
        Self { name: name.to_owned(), root: verbatim(root).into_owned() }
    }

    fn path(&self, operation: &'static str, key: &str) -> Result<PathBuf, Error> {
        let (folder, name) = key::split(operation, key)?;
        Ok(if folder.is_empty() { self.root.join(name) } else { self.root.join(folder).join(name) })
    }

    /// Is the root there? What is missing below a root that is missing is another fault.
    fn check_root(&self, operation: &'static str) -> Result<(), Error> {
        match fs::metadata(&self.root) {
            Ok(metadata) if metadata.is_dir() => Ok(()),
            Ok(_) => Err(Error::new(ErrorKind::NotFound, operation, plain(&self.root).display(), "it is not a folder")),
            Err(error) if kind(&error) == ErrorKind::NotFound && !is_about_share(&error) => {
                Err(Error::new(ErrorKind::NotFound, operation, plain(&self.root).display(), RootMissing))
            }
            Err(error) => Err(failure(operation, &self.root, error)),
        }
    }

    /// `Ok(None)` when the thing is not there but the root is.
    fn unless_missing<T>(
        &self,
        operation: &'static str,
        path: &Path,
        tried: io::Result<T>,
    ) -> Result<Option<T>, Error> {
        match tried {
            Ok(value) => Ok(Some(value)),
            Err(error) if kind(&error) == ErrorKind::NotFound => self.check_root(operation).map(|()| None),
            Err(error) => Err(failure(operation, path, error)),
        }
    }

    /// The plain files in a folder, by name.
    fn files(&self, folder: &str) -> Result<Vec<Entry>, Error> {
        key::check_folder("list", folder)?;
        let path = if folder.is_empty() { self.root.clone() } else { self.root.join(folder) };
        let Some(items) = self.unless_missing("list", &path, fs::read_dir(&path))? else { return Ok(Vec::new()) };
        let mut entries = Vec::new();
        for item in items {
            let item = item.map_err(|error| failure("list", &path, error))?;
            // A name that is no text is none of ours.
            let Ok(name) = item.file_name().into_string() else { continue };
            // The presence of a pin counts, whatever it is.
            let is_pin = matches!(StoredFile::parse(&name), Some(StoredFile::Pin(_)));
            let is_ours = key::is_ours(&name) || key::partial_of(&name).is_some_and(key::is_ours);
            match fs::metadata(item.path()) {
                Ok(metadata) if metadata.is_file() => {
                    entries.push(entry(name, &metadata).map_err(|error| failure("list", &item.path(), error))?);
                }
                Ok(_) | Err(_) if is_pin => {
                    entries.push(Entry { name, bytes: 0, modified: Timestamp::UNIX_EPOCH });
                }
                Ok(_) => {}
                // What others have put there never fails a listing.
                Err(_) if !is_ours => {}
                // It may have gone since, or be a link to nowhere; or the whole share has.
                Err(error) if kind(&error) == ErrorKind::NotFound => self.check_root("list")?,
                Err(error) => {
                    let error = failure("list", &item.path(), error);
                    if error.is_transient() {
                        return Err(error);
                    }
                    // Of a bad sector or a missing right, only this file suffers: it is there, and cannot be used.
                    entries.push(Entry { name, bytes: 0, modified: Timestamp::MAX });
                }
            }
        }
        entries.sort_unstable_by(|a, b| a.name.cmp(&b.name));
        Ok(entries)
    }

    fn open_file(&self, operation: &'static str, key: &str) -> Result<(PathBuf, File), Error> {
        let path = self.path(operation, key)?;
        match self.unless_missing(operation, &path, open_to_read(&path))? {
            Some(file) => Ok((path, file)),
            None => Err(no_such_file(operation, &path)),
        }
    }

    fn create(&self, key: &str) -> Result<FolderUpload, Error> {
        let target = self.path("write", key)?;
        let (folder, name) = key::split("write", key)?;
        self.check_root("write")?;
        let parent = if folder.is_empty() { self.root.clone() } else { self.root.join(folder) };
        if !folder.is_empty() {
            match fs::create_dir(&parent) {
                Ok(()) => {
                    crate::stop_point::reached("folder-made");
                    sync_folder(&self.root).map_err(|error| failure("create", &parent, error))?;
                }
                Err(error) if kind(&error) == ErrorKind::AlreadyExists => {}
                Err(error) => return Err(failure("create", &parent, error)),
            }
        }
        for _ in 0..10 {
            let partial = parent.join(key::partial(name));
            match OpenOptions::new().write(true).create_new(true).open(&partial) {
                Ok(file) => {
                    crate::stop_point::reached("partial-created");
                    return Ok(FolderUpload {
                        file: Some(file),
                        partial,
                        target,
                        parent,
                        synced: 0,
                        written: 0,
                        over: false,
                    });
                }
                Err(error) if kind(&error) == ErrorKind::AlreadyExists => {}
                Err(error) => return Err(failure("write", &target, error)),
            }
        }
        Err(Error::new(
            ErrorKind::Other,
            "write",
            plain(&target).display(),
            "partial files of it lie there already under every name that was tried",
        ))
    }
}

impl Destination for Folder {
    fn name(&self) -> &str {
        &self.name
    }

    fn location(&self) -> String {
        plain(&self.root).display().to_string()
    }

    fn folders(&self) -> Result<Vec<String>, Error> {
        let Some(items) = self.unless_missing("list", &self.root, fs::read_dir(&self.root))? else {
            return Ok(Vec::new());
        };
        let mut names = Vec::new();
        for item in items {
            let item = item.map_err(|error| failure("list", &self.root, error))?;
            // A name that is no text is none of ours.
            let Ok(name) = item.file_name().into_string() else { continue };
            match fs::metadata(item.path()) {
                Ok(metadata) if !metadata.is_dir() => {}
                // It has gone, or is a link to nowhere.
                Err(error) if kind(&error) == ErrorKind::NotFound => {}
                // What cannot be looked at is not absent: listing it tells what is wrong.
                Ok(_) | Err(_) => names.push(name),
            }
        }
        names.sort_unstable();
        Ok(names)
    }

    fn list(&self, folder: &str) -> Result<Vec<Entry>, Error> {
        let mut files = self.files(folder)?;
        files.retain(|file| key::partial_of(&file.name).is_none());
        Ok(files)
    }

    fn stat(&self, key: &str) -> Result<Entry, Error> {
        let path = self.path("look at", key)?;
        let (_, name) = key::split("look at", key)?;
        match self.unless_missing("look at", &path, fs::metadata(&path))? {
            Some(metadata) if metadata.is_file() => {
                entry(name.to_owned(), &metadata).map_err(|error| failure("look at", &path, error))
            }
            _ => Err(no_such_file("look at", &path)),
        }
    }

    fn read(&self, key: &str, limit: u64) -> Result<Bytes, Error> {
        let (path, file) = self.open_file("read", key)?;
        let mut bytes = Vec::new();
        file.take(limit.saturating_add(1)).read_to_end(&mut bytes).map_err(|error| failure("read", &path, error))?;
        if bytes.len() as u64 > limit {
            return Err(Error::new(
                ErrorKind::TooLarge,
                "read",
                plain(&path).display(),
                format!("it has more than {limit} bytes"),
            ));
        }
        Ok(bytes.into())
    }

    fn read_range(&self, key: &str, range: Range<u64>) -> Result<Bytes, Error> {
        let (path, file) = self.open_file("read", key)?;
        let size = file.metadata().map_err(|error| failure("read", &path, error))?.len();
        if range.start > range.end || range.end > size {
            return Err(Error::new(
                ErrorKind::OutOfRange,
                "read",
                plain(&path).display(),
                format!("bytes {} to {} were wanted, and it has only {size}", range.start, range.end),
            ));
        }
        let length = usize::try_from(range.end - range.start)
            .map_err(|error| Error::new(ErrorKind::TooLarge, "read", plain(&path).display(), error))?;
        let mut bytes = vec![0; length];
        read_exact_at(&file, &mut bytes, range.start).map_err(|error| failure("read", &path, error))?;
        Ok(bytes.into())
    }

    fn open(&self, key: &str) -> Result<Box<dyn Read + Send>, Error> {
        let (_, file) = self.open_file("read", key)?;
        advise_reading(&file);
        Ok(Box::new(Reader { file, at: 0, forgotten: 0 }))
    }

    fn claim(&self, key: &str) -> Result<Claim, Error> {
        let upload = self.create(key)?;
        let name = upload.partial.file_name().unwrap_or_default().to_string_lossy();
        let key = key.rsplit_once('/').map_or_else(|| name.to_string(), |(folder, _)| format!("{folder}/{name}"));
        Ok(Claim::new(key, Box::new(upload)))
    }

    fn upload(&self, key: &str, _expected_bytes: u64) -> Result<Box<dyn Upload>, Error> {
        Ok(Box::new(self.create(key)?))
    }

    fn put_new(&self, key: &str, bytes: &[u8]) -> Result<(), Error> {
        let mut upload = self.create(key)?;
        upload.append(bytes)?;
        upload.publish()
    }

    fn delete(&self, key: &str) -> Result<(), Error> {
        let path = self.path("delete", key)?;
        let removed = persistently(|| fs::remove_file(&path));
        if self.unless_missing("delete", &path, removed)?.is_some()
            && let Some(parent) = path.parent()
        {
            // What is deleted next must not be gone after a power failure that brings this back.
            sync_folder(parent).map_err(|error| failure("delete", &path, error))?;
        }
        Ok(())
    }

    fn leftovers(&self, folder: &str) -> Result<Vec<Leftover>, Error> {
        let leftover = |file: Entry| {
            let of = key::partial_of(&file.name).filter(|of| key::is_ours(of))?.to_owned();
            let abandoned = key::is_abandoned(&file.name);
            let key = if folder.is_empty() { file.name } else { format!("{folder}/{}", file.name) };
            Some(Leftover { key, of, modified: file.modified, bytes: file.bytes, abandoned })
        };
        Ok(self.files(folder)?.into_iter().filter_map(leftover).collect())
    }

    fn remove_leftover(&self, leftover: &Leftover) -> Result<(), Error> {
        let (_, name) = key::split_unfinished("delete", &leftover.key)?;
        match key::partial_of(name) {
            Some(of) if key::is_ours(of) => {
                let path = self.root.join(&leftover.key);
                let removed = persistently(|| fs::remove_file(&path));
                self.unless_missing("delete", &path, removed).map(|_| ())
            }
            _ => Err(Error::new(ErrorKind::Other, "delete", &leftover.key, "it is not a partial file of ours")),
        }
    }
}

/// A partial file. Dropped, it goes.
struct FolderUpload {
    /// `None` once it is closed.
    file: Option<File>,
    partial: PathBuf,
    target: PathBuf,
    parent: PathBuf,
    synced: u64,
    written: u64,
    /// Nothing is left to remove.
    over: bool,
}

impl FolderUpload {
    fn append(&mut self, block: &[u8]) -> Result<(), Error> {
        let file = self.file.as_mut().expect("open until it is published");
        let written = file.write_all(block).and_then(|()| {
            self.written += block.len() as u64;
            if self.written - self.synced >= SYNC_EVERY {
                write_out(file, self.synced, self.written)?;
                self.synced = self.written;
            }
            Ok(())
        });
        crate::stop_point::reached("partial-grown");
        written.map_err(|error| failure("write", &self.target, error))
    }

    /// What fails is removed when it is dropped.
    fn publish(&mut self) -> Result<(), Error> {
        let file = self.file.take().expect("open until it is published");
        file.sync_all().map_err(|error| failure("write", &self.target, error))?;
        crate::stop_point::reached("partial-synced");
        forget(&file, 0, self.written);
        // Closed before it is renamed: Windows does not rename what is open.
        drop(file);
        persistently(|| rename_new(&self.partial, &self.target))
            .map_err(|error| failure("write", &self.target, error))?;
        self.over = true;
        crate::stop_point::reached("file-named");
        sync_folder(&self.parent).map_err(|error| failure("write", &self.target, error))
    }

    fn remove(&mut self) -> Result<(), Error> {
        self.over = true;
        drop(self.file.take());
        match persistently(|| fs::remove_file(&self.partial)) {
            Err(error) if kind(&error) != ErrorKind::NotFound => Err(failure("delete", &self.partial, error)),
            _ => Ok(()),
        }
    }
}

impl Upload for FolderUpload {
    fn write(&mut self, block: Bytes) -> Result<(), Error> {
        self.append(&block)
    }

    fn finish(mut self: Box<Self>) -> Result<(), Error> {
        self.publish()
    }

    fn abort(mut self: Box<Self>) -> Result<(), Error> {
        self.remove()
    }
}

impl Drop for FolderUpload {
    fn drop(&mut self) {
        let name = self.partial.file_name().unwrap_or_default().to_string_lossy().into_owned();
        // Best effort: what cannot be removed is found as a leftover.
        if !self.over
            && let Err(error) = self.remove()
        {
            tracing::warn!(%error, reason = %error.source, "Could not remove a partial file");
        }
        key::release(&name);
    }
}

/// Reads in order and gives back the pages it has passed.
struct Reader {
    file: File,
    at: u64,
    forgotten: u64,
}

impl Read for Reader {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let length = self.file.read(buffer)?;
        self.at += length as u64;
        if self.at - self.forgotten >= FORGET_EVERY {
            forget(&self.file, self.forgotten, self.at);
            self.forgotten = self.at;
        }
        Ok(length)
    }
}

impl Drop for Reader {
    fn drop(&mut self) {
        forget(&self.file, self.forgotten, self.at);
    }
}

fn entry(name: String, metadata: &fs::Metadata) -> io::Result<Entry> {
    // Times that cannot be said are those of a broken clock.
    let modified = Timestamp::try_from(metadata.modified()?).unwrap_or(Timestamp::UNIX_EPOCH);
    Ok(Entry { name, bytes: metadata.len(), modified })
}

fn failure(operation: &'static str, path: &Path, error: io::Error) -> Error {
    let (kind, path) = (kind(&error), plain(path));
    match share_error(&path, &error) {
        Some(share) => Error::new(kind, operation, path.display(), share),
        None => Error::new(kind, operation, path.display(), error),
    }
}

/// On a share of Windows, the error in our words.
fn share_error(path: &Path, error: &io::Error) -> Option<share_error::ShareError> {
    let code = error.raw_os_error().filter(|_| WINDOWS && config::Share::of(path).is_some())?;
    share_error::ShareError::of(code)
}

/// Is it the share that is missing, not a folder on it?
fn is_about_share(error: &io::Error) -> bool {
    WINDOWS && error.raw_os_error().is_some_and(win32::is_about_share)
}

fn no_such_file(operation: &'static str, path: &Path) -> Error {
    Error::new(ErrorKind::NotFound, operation, plain(path).display(), "there is no such file")
}

/// Whose error codes: a parameter, so that every mapping is tested everywhere.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Platform {
    Unix,
    Windows,
}

fn kind(error: &io::Error) -> ErrorKind {
    let platform = if WINDOWS { Platform::Windows } else { Platform::Unix };
    error.raw_os_error().and_then(|code| kind_of_code(platform, code)).unwrap_or_else(|| match error.kind() {
        io::ErrorKind::NotFound => ErrorKind::NotFound,
        io::ErrorKind::AlreadyExists => ErrorKind::AlreadyExists,
        io::ErrorKind::PermissionDenied => ErrorKind::PermissionDenied,
        io::ErrorKind::TimedOut => ErrorKind::TimedOut,
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => ErrorKind::Full,
        _ => ErrorKind::Other,
    })
}

fn kind_of_code(platform: Platform, code: i32) -> Option<ErrorKind> {
    match platform {
        Platform::Unix => kind_of_errno(code),
        Platform::Windows => win32::kind(code),
    }
}

fn kind_of_errno(code: i32) -> Option<ErrorKind> {
    Some(match code {
        // ENOENT, ENOTDIR
        2 | 20 => ErrorKind::NotFound,
        // EEXIST
        17 => ErrorKind::AlreadyExists,
        // EPERM, EACCES, EROFS
        1 | 13 | 30 => ErrorKind::PermissionDenied,
        // ENOSPC, EDQUOT
        28 | 122 => ErrorKind::Full,
        // ETIMEDOUT
        110 => ErrorKind::TimedOut,
        // EAGAIN, EBUSY, ENETDOWN, ENETUNREACH, ECONNABORTED, ECONNRESET, ENOTCONN, ECONNREFUSED, EHOSTDOWN,
        // EHOSTUNREACH, ESTALE: a network file system lost its server
        11 | 16 | 100 | 101 | 103 | 104 | 107 | 111 | 112 | 113 | 116 => ErrorKind::Unavailable,
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::super::suite;
    use super::*;

    const NAME: &str = "XYZ-20261122T235900Z.tar.zst";

    fn folder() -> (tempfile::TempDir, Folder) {
        let scratch = tempfile::tempdir().unwrap();
        let folder = Folder::new("disk", scratch.path());
        (scratch, folder)
    }

    fn names(path: &Path) -> Vec<String> {
        let mut names: Vec<_> =
            fs::read_dir(path).unwrap().map(|item| item.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        names
    }

    #[test]
    fn folder_keeps_the_contract() {
        let scratch = tempfile::tempdir().unwrap();
        let count = std::sync::atomic::AtomicU32::new(0);
        suite::run(|| {
            let n = count.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
            let path = scratch.path().join(n.to_string());
            fs::create_dir(&path).unwrap();
            Box::new(Folder::new("disk", &path))
        });
    }

    #[test]
    fn root_that_does_not_exist_is_an_error_and_not_created() {
        let scratch = tempfile::tempdir().unwrap();
        let root = scratch.path().join("not mounted");
        let folder = Folder::new("disk", &root);
        let key = format!("XYZ/{NAME}");
        let errors = [
            folder.folders().map(|_| ()).unwrap_err(),
            folder.list("XYZ").map(|_| ()).unwrap_err(),
            folder.leftovers("XYZ").map(|_| ()).unwrap_err(),
            folder.stat(&key).map(|_| ()).unwrap_err(),
            folder.upload(&key, 0).map(|_| ()).unwrap_err(),
            folder.put_new(&key, b"").unwrap_err(),
            folder.delete(&key).unwrap_err(),
        ];
        for error in errors {
            assert_eq!(error.kind, ErrorKind::NotFound);
            assert!(error.source.to_string().contains("folder does not exist"), "{error}: {}", error.source);
        }
        assert!(!root.exists());
    }

    #[test]
    fn root_that_is_a_file_is_an_error() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let folder = Folder::new("disk", file.path());
        assert_eq!(folder.put_new("XYZ/a", b"").unwrap_err().kind, ErrorKind::NotFound);
        assert_eq!(folder.list("XYZ").unwrap_err().kind, ErrorKind::NotFound);
    }

    #[test]
    fn file_on_its_way_has_a_partial_name_with_our_pid() {
        let partial = format!(".{NAME}.partial-{}-", std::process::id());
        let (scratch, folder) = folder();
        let mut upload = folder.upload(&format!("XYZ/{NAME}"), 0).unwrap();
        upload.write(Bytes::from_static(b"half")).unwrap();
        let on_the_way = names(&scratch.path().join("XYZ"));
        assert!(on_the_way.len() == 1 && on_the_way[0].starts_with(&partial), "{on_the_way:?}");
        upload.finish().unwrap();
        assert_eq!(names(&scratch.path().join("XYZ")), [NAME]);
    }

    #[test]
    fn partial_file_of_an_earlier_process_with_our_pid_is_left_alone() {
        let (scratch, folder) = folder();
        let xyz = scratch.path().join("XYZ");
        fs::create_dir(&xyz).unwrap();
        let stale = xyz.join(format!(".{NAME}.partial-{}", std::process::id()));
        fs::write(&stale, "stale").unwrap();
        folder.put_new(&format!("XYZ/{NAME}"), b"new").unwrap();
        assert_eq!(fs::read(&stale).unwrap(), b"stale");
        assert_eq!(fs::read(xyz.join(NAME)).unwrap(), b"new");
    }

    #[test]
    fn foreign_files_are_neither_leftovers_nor_removed() {
        let (scratch, folder) = folder();
        let xyz = scratch.path().join("XYZ");
        fs::create_dir(&xyz).unwrap();
        let foreign =
            [".report.docx.partial-12".to_owned(), format!(".{NAME}.partial-x"), format!("{NAME}.partial-12")];
        for name in &foreign {
            fs::write(xyz.join(name), "theirs").unwrap();
        }
        fs::write(xyz.join(format!(".{NAME}.partial-99")), "ours").unwrap();
        let found = folder.leftovers("XYZ").unwrap();
        assert_eq!(found.len(), 1);
        assert_eq!((found[0].of.as_str(), found[0].bytes), (NAME, 4));
        folder.remove_leftover(&found[0]).unwrap();
        folder.remove_leftover(&found[0]).unwrap();
        for name in &foreign {
            let leftover = Leftover { key: format!("XYZ/{name}"), ..found[0].clone() };
            assert!(folder.remove_leftover(&leftover).is_err());
        }
        let outside = Leftover { key: format!("../XYZ/.{NAME}.partial-99"), ..found[0].clone() };
        assert!(folder.remove_leftover(&outside).is_err());
        assert_eq!(names(&xyz).len(), 3);
    }

    #[test]
    fn folder_is_no_file() {
        let (_scratch, folder) = folder();
        folder.put_new("XYZ/a", b"").unwrap();
        assert!(folder.stat("XYZ").unwrap_err().is_not_found());
        #[cfg(unix)] // Windows calls it access denied.
        assert!(folder.read("XYZ", 1).unwrap_err().is_not_found());
        assert!(folder.list("").unwrap().is_empty());
    }

    #[test]
    fn file_that_is_synced_on_the_way_is_whole() {
        let (scratch, folder) = folder();
        let mut upload = folder.upload(&format!("XYZ/{NAME}"), 0).unwrap();
        let block = Bytes::from(vec![7; 1 << 20]);
        for _ in 0..70 {
            upload.write(block.clone()).unwrap();
        }
        upload.finish().unwrap();
        assert_eq!(fs::metadata(scratch.path().join("XYZ").join(NAME)).unwrap().len(), 70 << 20);
        let mut reader = folder.open(&format!("XYZ/{NAME}")).unwrap();
        let mut total = 0;
        let mut buffer = vec![0; 300_001];
        loop {
            let length = reader.read(&mut buffer).unwrap();
            if length == 0 {
                break;
            }
            assert!(buffer[..length].iter().all(|&b| b == 7));
            total += length;
        }
        assert_eq!(total, 70 << 20);
    }

    #[test]
    #[cfg(target_os = "linux")]
    fn full_disk_is_full() {
        // Only a privileged environment can mount one; /dev/full stands for it everywhere.
        let mut upload = FolderUpload {
            file: Some(OpenOptions::new().write(true).open("/dev/full").unwrap()),
            partial: PathBuf::from("/nonexistent/partial"),
            target: PathBuf::from("/nonexistent/target"),
            parent: PathBuf::from("/nonexistent"),
            synced: 0,
            written: 0,
            over: false,
        };
        assert_eq!(upload.append(b"x").unwrap_err().kind, ErrorKind::Full);
    }

    #[test]
    fn codes_of_both_systems_are_understood() {
        use ErrorKind::{AlreadyExists, Full, NotFound, PermissionDenied, TimedOut, Unauthenticated, Unavailable};
        let expected = [
            (Platform::Unix, 2, NotFound),
            (Platform::Unix, 13, PermissionDenied),
            (Platform::Unix, 17, AlreadyExists),
            (Platform::Unix, 28, Full),
            (Platform::Unix, 30, PermissionDenied),
            (Platform::Unix, 110, TimedOut),
            (Platform::Unix, 116, Unavailable),
            (Platform::Unix, 122, Full),
            (Platform::Windows, 2, NotFound),
            (Platform::Windows, 3, NotFound),
            (Platform::Windows, 5, PermissionDenied),
            (Platform::Windows, 32, Unavailable),
            (Platform::Windows, 39, Full),
            (Platform::Windows, 53, Unavailable),
            (Platform::Windows, 59, Unavailable),
            (Platform::Windows, 64, Unavailable),
            (Platform::Windows, 67, NotFound),
            (Platform::Windows, 86, Unauthenticated),
            (Platform::Windows, 112, Full),
            (Platform::Windows, 121, TimedOut),
            (Platform::Windows, 183, AlreadyExists),
            (Platform::Windows, 1219, Unauthenticated),
            (Platform::Windows, 1326, Unauthenticated),
        ];
        for (platform, code, kind) in expected {
            assert_eq!(kind_of_code(platform, code), Some(kind), "{platform:?} {code}");
        }
        assert_eq!(kind_of_code(Platform::Unix, 5), None);
    }
}

//! Unpacks files of an archive into a folder: checked, never outside it, never half.
//!
//! Files are written into a staging folder below the target, compared with their SHA-256, given their time and
//! attributes, and only then renamed to their place. A fetch that is interrupted can be repeated: what is already there
//! and the same is left alone, staging folders of fetches that died are removed. (Nothing is synced: after a power
//! failure, repeat the fetch, and every file is compared again.)

use std::collections::{HashMap, HashSet};
use std::fs::{self, File};
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use filetime::FileTime;
use jiff::Timestamp;
use sha2::{Digest, Sha256};

use super::check::{Extent, Sink, check};
use super::index::{Attributes, Entry};
use super::manifest::Sha256Hex;
use super::paths::{PathError, Rules, safe_paths};
use super::reader::{ReadError, Reader};
use crate::cancel::Cancel;
use crate::files::rename_new;
use crate::monitor::Monitor;

/// Where and how to unpack.
#[derive(Debug, Clone)]
pub struct Options {
    /// The folder. Created if it is not there.
    pub target: PathBuf,
    /// Replace files that are there and differ.
    pub force: bool,
    /// Decompressing threads.
    pub threads: usize,
}

/// What was unpacked.
#[derive(Debug, Clone, Default, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct Fetched {
    /// Files written.
    pub files: u64,
    /// Their size.
    pub bytes: u64,
    /// Files that were there already, the same.
    pub already_there: u64,
    /// Bytes of the archive read from the destination, index included.
    pub read_bytes: u64,
    /// Files that are damaged in the archive and were not written.
    pub damaged: Vec<String>,
    /// Files with attributes that this system cannot set.
    pub attributes_lost: u64,
}

/// Unpacks `entries` of an archive; folders above them come along.
///
/// # Errors
/// Before anything is written when a path is unsafe, something is in the way or space is short; later when the
/// destination or the disk fails. Files that were complete by then stay.
pub fn extract(
    reader: &Reader<'_>,
    entries: &[&Entry],
    options: &Options,
    monitor: &dyn Monitor,
    cancel: &Cancel,
) -> Result<Fetched, ExtractError> {
    let paths = safe_paths(entries, Rules::native())?;
    let target = Target::open(&options.target)?;
    let mut fetched = Fetched::default();
    let mut wanted = Vec::new();
    let mut in_the_way = Vec::new();
    for (&entry, path) in entries.iter().zip(&paths) {
        match target.find(path, entry)? {
            Found::Nothing => wanted.push((entry, path)),
            Found::Same => fetched.already_there += u64::from(!entry.folder),
            Found::Other { replaceable } if options.force && replaceable => wanted.push((entry, path)),
            Found::Other { .. } => in_the_way.push(target.root.join(path)),
        }
    }
    if let Some(first) = in_the_way.first() {
        return Err(ExtractError::Exists { path: first.clone(), more: in_the_way.len() - 1 });
    }
    let bytes = wanted.iter().map(|(entry, _)| entry.size).sum();
    target.check_space(bytes)?;
    let staging = Staging::create(&target.root)?;
    for (entry, path) in &wanted {
        let folder = if entry.folder { Some(path.as_path()) } else { path.parent() };
        target.make_folders(folder.unwrap_or(Path::new("")))?;
    }
    let (empty, filled): (Vec<_>, Vec<_>) =
        wanted.iter().filter(|(entry, _)| !entry.folder).partition(|(entry, _)| entry.size == 0);
    let files: Vec<&Entry> = filled.iter().map(|&&(entry, _)| entry).collect();
    let sink = Files {
        staging: &staging,
        wanted: filled.iter().map(|&&(entry, path)| (entry, target.root.join(path))).collect(),
        force: options.force,
        open: Mutex::default(),
        tally: Mutex::default(),
    };
    for (entry, path) in empty {
        sink.empty(entry, &target.root.join(path))?;
    }
    let task = monitor.task(&format!("Fetching {}", reader.manifest().id), Some(bytes));
    let checked = check(reader, &files, &Extent::Selection, options.threads, &sink, &*task, cancel)?;
    drop(task);
    let tally = sink.tally.into_inner().unwrap_or_else(PoisonError::into_inner);
    // Deepest first, so that no later write changes a time that was set.
    for (entry, path) in wanted.iter().rev().filter(|(entry, _)| entry.folder) {
        set_time(&target.root.join(path), entry.modified)
            .map_err(|error| write_error(&target.root.join(path), error))?;
    }
    drop(staging);
    Ok(Fetched {
        files: tally.files,
        bytes: tally.bytes,
        attributes_lost: tally.attributes_lost,
        damaged: checked.damaged,
        read_bytes: reader.read_bytes(),
        ..fetched
    })
}

enum Found {
    Nothing,
    Same,
    Other { replaceable: bool },
}

/// The folder that is unpacked into.
struct Target {
    root: PathBuf,
    /// Folders known to be there, and to be folders.
    known: Mutex<HashSet<PathBuf>>,
}

impl Target {
    fn open(root: &Path) -> Result<Self, ExtractError> {
        fs::create_dir_all(root).map_err(|error| write_error(root, error))?;
        Ok(Self { root: root.to_owned(), known: Mutex::default() })
    }

    /// What is at the place of an entry.
    fn find(&self, path: &Path, entry: &Entry) -> Result<Found, ExtractError> {
        self.refuse_links(path.parent().unwrap_or(Path::new("")))?;
        let place = self.root.join(path);
        let metadata = match fs::symlink_metadata(&place) {
            Ok(metadata) => metadata,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Found::Nothing),
            Err(error) => return Err(write_error(&place, error)),
        };
        Ok(if entry.folder {
            // A folder that is there gets its time all the same, like one that was not.
            if metadata.is_dir() { Found::Nothing } else { Found::Other { replaceable: false } }
        } else if !metadata.is_file() {
            Found::Other { replaceable: false }
        } else if metadata.len() == entry.size && file_sum(&place).is_ok_and(|sum| Some(sum) == entry.sha256) {
            Found::Same
        } else {
            Found::Other { replaceable: true }
        })
    }

    /// A link below the target could lead out of it.
    fn refuse_links(&self, folder: &Path) -> Result<(), ExtractError> {
        if folder.as_os_str().is_empty() || lock(&self.known).contains(folder) {
            return Ok(());
        }
        self.refuse_links(folder.parent().unwrap_or(Path::new("")))?;
        let place = self.root.join(folder);
        match fs::symlink_metadata(&place) {
            Ok(metadata) if metadata.is_dir() => {
                lock(&self.known).insert(folder.to_owned());
                Ok(())
            }
            Ok(_) => Err(ExtractError::NotAFolder(place)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
            Err(error) => Err(write_error(&place, error)),
        }
    }

    fn make_folders(&self, folder: &Path) -> Result<(), ExtractError> {
        self.refuse_links(folder)?;
        if folder.as_os_str().is_empty() || lock(&self.known).contains(folder) {
            return Ok(());
        }
        self.make_folders(folder.parent().unwrap_or(Path::new("")))?;
        let place = self.root.join(folder);
        match fs::create_dir(&place) {
            Err(error) if error.kind() != io::ErrorKind::AlreadyExists => Err(write_error(&place, error)),
            _ => {
                lock(&self.known).insert(folder.to_owned());
                Ok(())
            }
        }
    }

    fn check_space(&self, needed: u64) -> Result<(), ExtractError> {
        match fs4::available_space(&self.root) {
            Ok(available) if available < needed => {
                Err(ExtractError::Space { target: self.root.clone(), needed, available })
            }
            // Where it cannot be told, the disk itself will say.
            _ => Ok(()),
        }
    }
}

const STAGING_PREFIX: &str = ".afterbackup-fetch-";

/// A folder for files that are not complete. Its lock tells the living from the dead.
struct Staging {
    folder: PathBuf,
    lock: Option<File>,
}

impl Staging {
    fn create(root: &Path) -> Result<Self, ExtractError> {
        Self::sweep(root);
        let folder = root.join(format!("{STAGING_PREFIX}{}", std::process::id()));
        let staging = Self { lock: None, folder };
        let made = fs::create_dir_all(&staging.folder).and_then(|()| {
            let lock = File::create(staging.folder.join("lock"))?;
            lock.lock()?;
            Ok(lock)
        });
        match made {
            Ok(lock) => Ok(Self { lock: Some(lock), folder: staging.folder.clone() }),
            Err(error) => Err(write_error(&staging.folder, error)),
        }
    }

    /// Removes what fetches that died have left. What cannot be removed does no harm.
    fn sweep(root: &Path) {
        let Ok(entries) = fs::read_dir(root) else { return };
        for entry in entries.flatten() {
            let ours = entry.file_name().to_str().is_some_and(|name| {
                name.strip_prefix(STAGING_PREFIX).is_some_and(|pid| pid.bytes().all(|b| b.is_ascii_digit()))
            });
            if !ours || !entry.file_type().is_ok_and(|kind| kind.is_dir()) {
                continue;
            }
            let dead = match File::options().write(true).open(entry.path().join("lock")) {
                Ok(lock) => lock.try_lock().is_ok(),
                Err(error) => error.kind() == io::ErrorKind::NotFound,
            };
            if dead {
                drop(fs::remove_dir_all(entry.path()));
            }
        }
    }

    fn place(&self, file: usize) -> PathBuf {
        self.folder.join(file.to_string())
    }
}

impl Drop for Staging {
    fn drop(&mut self) {
        if self.lock.take().is_some() {
            drop(fs::remove_dir_all(&self.folder));
        }
    }
}

#[derive(Default)]
struct Tally {
    files: u64,
    bytes: u64,
    attributes_lost: u64,
}

/// The sink that writes files.
struct Files<'a> {
    staging: &'a Staging,
    /// Every file and its place, by its number.
    wanted: Vec<(&'a Entry, PathBuf)>,
    force: bool,
    open: Mutex<HashMap<usize, Arc<File>>>,
    tally: Mutex<Tally>,
}

impl Files<'_> {
    fn create(&self, number: usize) -> Result<Arc<File>, ReadError> {
        let mut open = lock(&self.open);
        if let Some(file) = open.get(&number) {
            return Ok(Arc::clone(file));
        }
        let (entry, _) = self.wanted[number];
        let staged = self.staging.place(number);
        let file = create_staged(&staged, entry)?;
        let file = Arc::new(file);
        open.insert(number, Arc::clone(&file));
        Ok(file)
    }

    /// Empty files have no frames: they are made at once.
    fn empty(&self, entry: &Entry, place: &Path) -> Result<(), ReadError> {
        let staged = self.staging.folder.join("empty");
        drop(create_staged(&staged, entry)?);
        self.publish(entry, &staged, place)
    }

    fn publish(&self, entry: &Entry, staged: &Path, place: &Path) -> Result<(), ReadError> {
        let published = set_time(staged, entry.modified)
            .and_then(|()| set_read_only(staged, entry.attributes.read_only))
            .and_then(|()| if self.force { replace(staged, place) } else { rename_new(staged, place) });
        published.map_err(|error| ReadError::Write { path: place.to_owned(), source: error })?;
        let mut tally = lock(&self.tally);
        tally.files += 1;
        tally.bytes += entry.size;
        let lost = cfg!(not(windows)) && (entry.attributes.hidden || entry.attributes.system);
        tally.attributes_lost += u64::from(lost);
        Ok(())
    }
}

impl Sink for Files<'_> {
    fn piece(&self, file: usize, offset: u64, bytes: &[u8]) -> Result<(), ReadError> {
        let open = self.create(file)?;
        // The file is as long as it will be and zero: zeros need no writing, and stay holes where they can.
        if bytes.iter().all(|&byte| byte == 0) {
            return Ok(());
        }
        write_all_at(&open, bytes, offset)
            .map_err(|error| ReadError::Write { path: self.wanted[file].1.clone(), source: error })
    }

    fn finished(&self, file: usize, sound: bool) -> Result<(), ReadError> {
        // Closed before it is renamed: Windows insists.
        drop(lock(&self.open).remove(&file));
        let (staged, (entry, place)) = (self.staging.place(file), &self.wanted[file]);
        if sound {
            return self.publish(entry, &staged, place);
        }
        match fs::remove_file(&staged) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                Err(ReadError::Write { path: staged, source: error })
            }
            _ => Ok(()),
        }
    }
}

fn create_staged(staged: &Path, entry: &Entry) -> Result<File, ReadError> {
    create_with_attributes(staged, entry.attributes)
        .and_then(|file| file.set_len(entry.size).map(|()| file))
        .map_err(|error| ReadError::Write { path: staged.to_owned(), source: error })
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(unix)]
fn write_all_at(file: &File, bytes: &[u8], offset: u64) -> io::Result<()> {
    std::os::unix::fs::FileExt::write_all_at(file, bytes, offset)
}

#[cfg(windows)]
fn write_all_at(file: &File, mut bytes: &[u8], mut offset: u64) -> io::Result<()> {
    use std::os::windows::fs::FileExt;
    while !bytes.is_empty() {
        let written = file.seek_write(bytes, offset)?;
        bytes = &bytes[written..];
        offset += written as u64;
    }
    Ok(())
}

fn create_with_attributes(path: &Path, attributes: Attributes) -> io::Result<File> {
    let mut options = File::options();
    options.write(true).create_new(true);
    #[cfg(windows)]
    {
        use std::os::windows::fs::OpenOptionsExt;
        use windows_sys::Win32::Storage::FileSystem::{FILE_ATTRIBUTE_HIDDEN, FILE_ATTRIBUTE_SYSTEM};
        let hidden = if attributes.hidden { FILE_ATTRIBUTE_HIDDEN } else { 0 };
        let system = if attributes.system { FILE_ATTRIBUTE_SYSTEM } else { 0 };
        options.attributes(hidden | system);
    }
    #[cfg(not(windows))]
    let Attributes { .. } = attributes;
    options.open(path)
}

fn set_time(path: &Path, modified: Timestamp) -> io::Result<()> {
    let mut second = modified.as_second();
    let mut nanosecond = modified.subsec_nanosecond();
    if nanosecond < 0 {
        second -= 1;
        nanosecond += 1_000_000_000;
    }
    let time = FileTime::from_unix_time(second, u32::try_from(nanosecond).expect("made positive"));
    filetime::set_file_mtime(path, time)
}

fn set_read_only(path: &Path, read_only: bool) -> io::Result<()> {
    if !read_only {
        return Ok(());
    }
    let mut permissions = fs::metadata(path)?.permissions();
    permissions.set_readonly(true);
    fs::set_permissions(path, permissions)
}

fn replace(staged: &Path, place: &Path) -> io::Result<()> {
    // Windows does not replace read-only files.
    if cfg!(windows) && place.exists() {
        let mut permissions = fs::metadata(place)?.permissions();
        #[allow(clippy::permissions_set_readonly_false, reason = "on Windows this clears the attribute, nothing else")]
        permissions.set_readonly(false);
        fs::set_permissions(place, permissions)?;
    }
    fs::rename(staged, place)
}

/// The SHA-256 of a file.
pub(crate) fn file_sum(path: &Path) -> io::Result<Sha256Hex> {
    let mut file = File::open(path)?;
    let mut sha256 = Sha256::new();
    let mut buffer = vec![0; 1 << 20];
    loop {
        match file.read(&mut buffer) {
            Ok(0) => break,
            Ok(read) => sha256.update(&buffer[..read]),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(Sha256Hex(sha256.finalize().into()))
}

fn write_error(path: &Path, source: io::Error) -> ExtractError {
    ExtractError::Read(ReadError::Write { path: path.to_owned(), source })
}

/// Why files were not unpacked.
#[derive(Debug, thiserror::Error)]
pub enum ExtractError {
    /// The archive names a place it must not write to.
    #[error(transparent)]
    Path(#[from] PathError),
    /// There is something else.
    #[error("{path} is already there and differs{others}", path = path.display(), others = others(*more))]
    Exists {
        /// The first file in the way.
        path: PathBuf,
        /// How many more.
        more: usize,
    },
    /// A link or file where a folder must be.
    #[error("{path} is a link or a file, where a folder is needed", path = .0.display())]
    NotAFolder(PathBuf),
    /// The disk has too little space.
    #[error("{target} has {available} bytes free, {needed} are needed", target = target.display())]
    Space {
        /// The folder.
        target: PathBuf,
        /// What the files need.
        needed: u64,
        /// What there is.
        available: u64,
    },
    /// The archive or the disk failed.
    #[error(transparent)]
    Read(#[from] ReadError),
}

fn others(more: usize) -> String {
    if more == 0 { String::new() } else { format!(" (and {more} others)") }
}

//! Unpacks files of an archive into a folder: checked, never outside it, never half.
//!
//! Files are written under a partial name in their folder, compared with their SHA-256, given their time and
//! attributes, and only then renamed. A fetch that is interrupted can be repeated: what is already there and the same
//! is left alone, partial files of fetches that died are removed. (Nothing is synced: after a power failure, repeat the
//! fetch, and every file is compared again.)
//!
//! Partial files lie beside their final place, not in a folder of their own: file systems put files of one folder close
//! together and rename within a folder faster, which matters for thousands of small files.

use std::collections::HashMap;
use std::fs::{self, File, FileTimes};
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::SystemTime;

use filetime::FileTime;
use jiff::Timestamp;
use parking_lot::Mutex;
use sha2::{Digest, Sha256};

use super::check::{Extent, check};
use super::index::Entry;
use super::manifest::Sha256Hex;
use super::paths::{PathError, Rules, safe_paths};
use super::reader::{ReadError, Reader};
use super::sink::Sink;
use crate::cancel::Cancel;
use crate::monitor::Monitor;
use crate::platform::WINDOWS;
use crate::platform::files::{persistently, remove_dressed, rename_new};
use crate::platform::open::{create_with_attributes, replace};
use crate::platform::positional::write_all_at;
use crate::platform::private;
use crate::platform::verbatim::{plain, verbatim};

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
    let mut target = Target::open(&options.target)?;
    let mut fetched = Fetched::default();
    let mut wanted = Vec::new();
    let mut in_the_way = Vec::new();
    for (&entry, path) in entries.iter().zip(&paths) {
        match target.find(path, entry)? {
            Found::Nothing => wanted.push((entry, path)),
            Found::Same => fetched.already_there += u64::from(!entry.folder),
            Found::Other { replaceable } if options.force && replaceable => wanted.push((entry, path)),
            Found::Other { .. } => in_the_way.push(plain(&target.root.join(path)).into_owned()),
        }
    }
    if let Some(first) = in_the_way.first() {
        return Err(ExtractError::Exists { path: first.clone(), more: in_the_way.len() - 1 });
    }
    let bytes = wanted.iter().map(|(entry, _)| entry.size).sum();
    target.check_space(bytes)?;
    let mark = Mark::set(&target.root)?;
    crate::stop_point::reached("fetch-marked");
    for (entry, path) in &wanted {
        let folder = if entry.folder { Some(path.as_path()) } else { path.parent() };
        target.make_folders(folder.unwrap_or(Path::new("")))?;
    }
    crate::stop_point::reached("folders-made");
    let (filled, empty): (Vec<_>, Vec<_>) =
        wanted.iter().filter(|(entry, _)| !entry.folder).partition(|(entry, _)| entry.size > 0);
    let files: Vec<&Entry> = filled.iter().map(|&&(entry, _)| entry).collect();
    let sink = Files {
        wanted: filled.iter().chain(&empty).map(|&&(entry, path)| (entry, target.root.join(path))).collect(),
        force: options.force,
        open: Mutex::default(),
        tally: Mutex::default(),
    };
    // Empty files have no frames: they are made at once.
    for number in filled.len()..sink.wanted.len() {
        sink.whole(number, Some(&[]))?;
    }
    let task = monitor.task(&format!("Fetching {}", reader.manifest().id), Some(bytes));
    let checked = check(reader, &files, &Extent::Selection, options.threads, &sink, &*task, cancel)?;
    drop(task);
    let tally = std::mem::take(&mut *sink.tally.lock());
    // Deepest first, so that no later write changes a time that was set.
    for (entry, path) in wanted.iter().rev().filter(|(entry, _)| entry.folder) {
        let folder = target.root.join(path);
        set_folder_time(&folder, entry.modified).map_err(|error| write_error(&folder, error))?;
    }
    crate::stop_point::reached("folders-dated");
    drop(mark);
    Ok(Fetched {
        files: tally.files,
        bytes: tally.bytes,
        already_there: fetched.already_there + tally.already_there,
        attributes_lost: tally.attributes_lost,
        damaged: checked.damaged,
        read_bytes: reader.read_bytes(),
    })
}

enum Found {
    Nothing,
    Same,
    Other { replaceable: bool },
}

/// The folder that is unpacked into.
struct Target {
    /// Verbatim.
    root: PathBuf,
    /// Folders looked at: is there one?
    known: HashMap<PathBuf, bool>,
}

impl Target {
    fn open(root: &Path) -> Result<Self, ExtractError> {
        let root = verbatim(root).into_owned();
        fs::create_dir_all(&root).map_err(|error| write_error(&root, error))?;
        Ok(Self { root, known: HashMap::from([(PathBuf::new(), true)]) })
    }

    /// What is at the place of an entry.
    fn find(&mut self, path: &Path, entry: &Entry) -> Result<Found, ExtractError> {
        if !self.has_folder(path.parent().unwrap_or(Path::new("")))? {
            return Ok(Found::Nothing);
        }
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
        } else if is_same(&place, entry) {
            Found::Same
        } else {
            Found::Other { replaceable: true }
        })
    }

    /// Is there such a folder below the target? A link in its place could lead out of it and is refused.
    fn has_folder(&mut self, folder: &Path) -> Result<bool, ExtractError> {
        if let Some(&known) = self.known.get(folder) {
            return Ok(known);
        }
        let place = self.root.join(folder);
        let there = self.has_folder(folder.parent().unwrap_or(Path::new("")))?
            && match fs::symlink_metadata(&place) {
                Ok(metadata) if metadata.is_dir() => true,
                Ok(_) => return Err(ExtractError::NotAFolder(plain(&place).into_owned())),
                Err(error) if error.kind() == io::ErrorKind::NotFound => false,
                Err(error) => return Err(write_error(&place, error)),
            };
        self.known.insert(folder.to_owned(), there);
        Ok(there)
    }

    fn make_folders(&mut self, folder: &Path) -> Result<(), ExtractError> {
        if self.has_folder(folder)? {
            return Ok(());
        }
        self.make_folders(folder.parent().unwrap_or(Path::new("")))?;
        let place = self.root.join(folder);
        match fs::create_dir(&place) {
            // Another fetch into this folder was faster.
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists && is_folder(&place) => {}
            other => other.map_err(|error| write_error(&place, error))?,
        }
        self.known.insert(folder.to_owned(), true);
        Ok(())
    }

    fn check_space(&self, needed: u64) -> Result<(), ExtractError> {
        match fs4::available_space(&self.root) {
            Ok(available) if available < needed => {
                Err(ExtractError::Space { target: plain(&self.root).into_owned(), needed, available })
            }
            // Where it cannot be told, the disk itself will say.
            _ => Ok(()),
        }
    }
}

const MARK_PREFIX: &str = ".afterbackup-fetch-";
const PARTIAL_PREFIX: &str = ".afterbackup-partial-";

/// The mark of a fetch at work: a locked file in the target. The lock tells the living from the dead.
struct Mark {
    path: PathBuf,
    file: Option<File>,
}

impl Mark {
    fn set(root: &Path) -> Result<Self, ExtractError> {
        sweep(root);
        let path = root.join(format!("{MARK_PREFIX}{}", std::process::id()));
        // Whatever others have put under this name is neither followed nor emptied.
        let made = private::create_new(&path).and_then(|file| file.lock().map(|()| file));
        let file = made.map_err(|error| write_error(&path, error))?;
        Ok(Self { path, file: Some(file) })
    }
}

impl Drop for Mark {
    fn drop(&mut self) {
        drop(self.file.take());
        drop(fs::remove_file(&self.path));
    }
}

/// Removes what fetches that died have left. What cannot be removed does no harm.
fn sweep(root: &Path) {
    let Ok(entries) = fs::read_dir(root) else { return };
    for entry in entries.flatten() {
        let name = entry.file_name();
        let Some(pid) = name.to_str().and_then(|name| name.strip_prefix(MARK_PREFIX)) else { continue };
        let is_dead = pid.bytes().all(|byte| byte.is_ascii_digit())
            && private::open(&entry.path()).is_ok_and(|mark| mark.try_lock().is_ok());
        if is_dead && sweep_partials(root, &format!("{PARTIAL_PREFIX}{pid}-")).is_ok() {
            drop(fs::remove_file(entry.path()));
        }
    }
}

fn sweep_partials(folder: &Path, prefix: &str) -> io::Result<()> {
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        let kind = entry.file_type()?;
        if kind.is_dir() {
            sweep_partials(&entry.path(), prefix)?;
        } else if kind.is_file() && entry.file_name().to_str().is_some_and(|name| name.starts_with(prefix)) {
            remove_dressed(&entry.path())?;
        }
    }
    Ok(())
}

fn is_folder(path: &Path) -> bool {
    fs::symlink_metadata(path).is_ok_and(|metadata| metadata.is_dir())
}

#[derive(Default)]
struct Tally {
    files: u64,
    bytes: u64,
    already_there: u64,
    attributes_lost: u64,
}

/// The sink that writes files.
struct Files<'a> {
    /// Every file and its place, by its number.
    wanted: Vec<(&'a Entry, PathBuf)>,
    force: bool,
    /// Large files under way.
    open: Mutex<HashMap<usize, Arc<File>>>,
    tally: Mutex<Tally>,
}

impl Files<'_> {
    fn partial(&self, file: usize) -> PathBuf {
        self.wanted[file].1.with_file_name(format!("{PARTIAL_PREFIX}{}-{file}", std::process::id()))
    }

    fn failed(&self, file: usize) -> impl FnOnce(io::Error) -> ReadError {
        let path = plain(&self.wanted[file].1).into_owned();
        move |source| ReadError::Write { path, source }
    }

    fn create(&self, file: usize) -> Result<Arc<File>, ReadError> {
        let mut open = self.open.lock();
        if let Some(file) = open.get(&file) {
            return Ok(Arc::clone(file));
        }
        let entry = self.wanted[file].0;
        let created = create_with_attributes(&self.partial(file), entry.attributes.hidden, entry.attributes.system)
            .and_then(|created| created.set_len(entry.size).map(|()| Arc::new(created)))
            .map_err(self.failed(file))?;
        crate::stop_point::reached("large-file-created");
        open.insert(file, Arc::clone(&created));
        Ok(created)
    }

    fn write_small(&self, file: usize, bytes: &[u8]) -> io::Result<()> {
        let partial = self.partial(file);
        let mut created = create_with_attributes(
            &partial,
            self.wanted[file].0.attributes.hidden,
            self.wanted[file].0.attributes.system,
        )?;
        let written = created.write_all(bytes).and_then(|()| self.dress(file, &created));
        crate::stop_point::reached("small-file-written");
        // Closed before it is renamed: Windows insists.
        drop(created);
        let renamed = written.and_then(|()| self.rename(file, &partial));
        if renamed.is_err() {
            // The disk is full, say. The error is told; the partial file has nothing to tell.
            drop(remove_dressed(&partial));
        }
        renamed
    }

    /// Gives a file its time and attributes.
    fn dress(&self, file: usize, created: &File) -> io::Result<()> {
        let (entry, _) = self.wanted[file];
        created.set_times(FileTimes::new().set_modified(system_time(entry.modified)))?;
        if entry.attributes.read_only {
            let mut permissions = created.metadata()?.permissions();
            permissions.set_readonly(true);
            created.set_permissions(permissions)?;
        }
        Ok(())
    }

    fn rename(&self, file: usize, partial: &Path) -> io::Result<()> {
        let (entry, place) = &self.wanted[file];
        let step = if self.force { replace } else { rename_new };
        match persistently(|| step(partial, place)) {
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists && is_same(place, entry) => {
                // Another fetch into this folder was faster.
                remove_dressed(partial)?;
                self.tally.lock().already_there += 1;
                return Ok(());
            }
            other => other?,
        }
        crate::stop_point::reached("file-in-place");
        let mut tally = self.tally.lock();
        tally.files += 1;
        tally.bytes += entry.size;
        let lost = !WINDOWS && (entry.attributes.hidden || entry.attributes.system);
        tally.attributes_lost += u64::from(lost);
        Ok(())
    }
}

impl Sink for Files<'_> {
    fn whole(&self, file: usize, bytes: Option<&[u8]>) -> Result<(), ReadError> {
        bytes.map_or(Ok(()), |bytes| self.write_small(file, bytes)).map_err(self.failed(file))
    }

    fn piece(&self, file: usize, offset: u64, bytes: &[u8]) -> Result<(), ReadError> {
        let open = self.create(file)?;
        // The file is as long as it will be and zero: zeros need no writing, and stay holes where they can.
        if bytes.iter().all(|&byte| byte == 0) {
            return Ok(());
        }
        write_all_at(&open, bytes, offset).map_err(self.failed(file))?;
        crate::stop_point::reached("piece-written");
        Ok(())
    }

    fn finished(&self, file: usize, sound: bool) -> Result<(), ReadError> {
        let partial = self.partial(file);
        let open = self.open.lock().remove(&file);
        let result = match open {
            Some(open) if sound => self.dress(file, &open).and_then(|()| {
                drop(open);
                let renamed = self.rename(file, &partial);
                // It is out of `open`, so that nothing else would remove it.
                renamed.inspect_err(|_| drop(remove_dressed(&partial)))
            }),
            Some(_) => persistently(|| fs::remove_file(&partial)),
            // None of its pieces could be read.
            None => Ok(()),
        };
        result.map_err(self.failed(file))
    }
}

impl Drop for Files<'_> {
    /// A fetch that failed leaves no partial file of a large file behind.
    fn drop(&mut self) {
        let open: Vec<usize> = self.open.lock().drain().map(|(file, _)| file).collect();
        for file in open {
            drop(fs::remove_file(self.partial(file)));
        }
    }
}

fn set_folder_time(path: &Path, modified: Timestamp) -> io::Result<()> {
    filetime::set_file_mtime(path, FileTime::from_system_time(system_time(modified)))
}

fn system_time(time: Timestamp) -> SystemTime {
    let since = time.duration_since(Timestamp::UNIX_EPOCH);
    let moved = if since.is_negative() {
        SystemTime::UNIX_EPOCH.checked_sub(since.unsigned_abs())
    } else {
        SystemTime::UNIX_EPOCH.checked_add(since.unsigned_abs())
    };
    // What the system cannot express (years before 1601 on Windows) becomes its epoch rather than an error.
    moved.unwrap_or(SystemTime::UNIX_EPOCH)
}

/// Is there a file with the content of an entry?
fn is_same(place: &Path, entry: &Entry) -> bool {
    fs::symlink_metadata(place).is_ok_and(|metadata| metadata.is_file() && metadata.len() == entry.size)
        && file_sum(place).is_ok_and(|sum| Some(sum) == entry.sha256)
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
    ExtractError::Read(ReadError::Write { path: plain(path).into_owned(), source })
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

//! Every file and folder below a part of a snapshot, in an order that depends on nothing but the names.
//!
//! A folder is listed, closed, and only then are its folders entered: no handle stays open in the snapshot, because an
//! open handle makes the task's next cleaning fail. Sizes, times and attributes come from the listing, so on Windows no
//! file is opened; a listing may lag behind a file that is still open for writing, so whoever reads a file looks again
//! through its handle.
//!
//! Links, junctions, sockets, pipes and devices are not followed but listed in [`Walk::skipped`], and so is what the
//! system does not let us look at: one such folder or file must not cost all others their archive. Other reparse points
//! of Windows do not lead elsewhere: a file that deduplication or compression has moved aside reads like any other.
//! Files whose name is not Unicode are skipped too: archives name files in UTF-8, and a name that cannot be given back
//! is not stored under a changed one. Whatever is skipped is missing from the archive, and the caller reports it.
//!
//! Paths below a part are kept once, as text with `/`: 100,000 files take some 15 MB.

use std::cmp::Ordering;
use std::ffi::OsString;
use std::fs::{FileType, Metadata};
use std::io;
use std::path::{Path, PathBuf};
use std::time::SystemTime;
use std::{fmt, vec};

use jiff::Timestamp;

pub use crate::archive::index::Attributes;
use crate::cancel::Cancel;
use crate::platform::files::{concerns_one_file, identity, unreadable};
use crate::platform::verbatim::verbatim;

/// What lies below a folder.
#[derive(Debug, Clone, Default)]
pub struct Walk {
    /// The folder.
    pub root: PathBuf,
    /// Depth first, by the bytes of each component; a folder comes before what it holds.
    pub items: Vec<Item>,
    /// What is there but was not taken.
    pub skipped: Vec<Skipped>,
    /// The time of the folder itself.
    pub root_modified: Option<Timestamp>,
    /// The newest time of any file or folder, the root included: a folder's changes when something in it appears or
    /// goes.
    pub newest_change: Option<Timestamp>,
}

/// A file or folder.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Item {
    /// Path below the root, components separated by `/`.
    pub name: Box<str>,
    /// File or folder.
    pub kind: Kind,
    /// Size of a file; 0 for a folder.
    pub bytes: u64,
    /// When it was last modified.
    pub modified: Timestamp,
    /// Its attributes.
    pub attributes: Attributes,
    /// Tells it from another file of the same name, size and time.
    pub identity: Identity,
}

/// What tells a file from another one of the same name, size and time, as far as the system says so without opening it:
/// number and change time on Unix, the time of its creation on Windows.
///
/// None of it means that the content changed: attributes, rights and further links change these, too. Who sees a
/// difference compares contents.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Identity {
    file: u64,
    changed: Option<Timestamp>,
}

impl Identity {
    /// When it came to this disk, or was last touched there in any way.
    #[must_use]
    pub fn arrived(&self) -> Option<Timestamp> {
        self.changed
    }

    /// Of a file.
    #[must_use]
    pub fn of(metadata: &Metadata) -> Self {
        let (file, changed) = identity(metadata);
        let changed = changed.and_then(|changed| Timestamp::try_from(changed).ok());
        Self { file, changed }
    }
}

impl Item {
    /// The same item with the same size, time and attributes?
    #[must_use]
    pub fn is_unchanged(&self, now: &Self) -> bool {
        Self { identity: now.identity, ..self.clone() } == *now
    }

    /// Where it is on this computer.
    #[must_use]
    pub fn path(&self, root: &Path) -> PathBuf {
        let mut path = root.to_path_buf();
        path.extend(self.name.split('/'));
        path
    }
}

/// What an item is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// A regular file.
    File,
    /// A folder.
    Folder,
}

/// Something that is there but was not taken.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Skipped {
    /// Where it is.
    pub path: PathBuf,
    /// Why it was not taken.
    pub why: Why,
}

/// Why something was not taken.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Why {
    /// A symbolic link or junction: it leads elsewhere.
    Link,
    /// A socket, pipe or device.
    Special,
    /// Its name is not Unicode.
    NotUnicode,
    /// It could not be looked at, or listed.
    Unreadable(String),
    /// Something else has its place in the archive.
    Collides(String),
}

impl fmt::Display for Why {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Link => f.write_str("a link is not followed"),
            Self::Special => f.write_str("neither file nor folder"),
            Self::NotUnicode => f.write_str("the name is not valid Unicode"),
            Self::Unreadable(reason) | Self::Collides(reason) => f.write_str(reason),
        }
    }
}

/// Why a walk was given up.
#[derive(Debug, thiserror::Error)]
pub enum WalkError {
    /// A folder or file could not be looked at.
    #[error("cannot read {}", path.display())]
    Read {
        /// Which.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// Asked to stop.
    #[error("cancelled")]
    Cancelled,
}

impl WalkError {
    /// Did something vanish while we looked? Then the task is at work.
    #[must_use]
    pub fn is_not_found(&self) -> bool {
        matches!(self, Self::Read { source, .. } if source.kind() == io::ErrorKind::NotFound)
    }

    /// Were we asked to stop?
    #[must_use]
    pub fn is_cancelled(&self) -> bool {
        matches!(self, Self::Cancelled)
    }
}

/// Lists everything below `root`.
///
/// # Errors
/// When anything below it cannot be looked at, as an archive without it would not be whole.
pub fn walk(root: &Path, cancel: &Cancel) -> Result<Walk, WalkError> {
    let read = |path: &Path| {
        let path = path.to_path_buf();
        move |source| WalkError::Read { path, source }
    };
    let metadata = std::fs::metadata(verbatim(root)).map_err(read(root))?;
    let root_modified = Some(modified(&metadata));
    let mut walk = Walk { root: root.to_path_buf(), root_modified, newest_change: root_modified, ..Walk::default() };
    let mut path = root.to_path_buf();
    let mut name = String::new();
    let mut open = vec![list(&path, cancel, &mut walk.skipped)?.into_iter()];
    // Length of `name` up to each open folder.
    let mut lengths = vec![0];
    while let Some(entries) = open.last_mut() {
        let Some(entry) = entries.next() else {
            open.pop();
            lengths.pop();
            path.pop();
            continue;
        };
        name.truncate(lengths.last().copied().unwrap_or_default());
        path.push(&entry.name);
        let taken = classify(entry.file_type).and_then(|kind| {
            let component = entry.name.to_str().ok_or(Why::NotUnicode)?;
            Ok((kind, component))
        });
        let (kind, component) = match taken {
            Ok(taken) => taken,
            Err(why) => {
                walk.skipped.push(Skipped { path: path.clone(), why });
                path.pop();
                continue;
            }
        };
        if !name.is_empty() {
            name.push('/');
        }
        name.push_str(component);
        let item = item(name.as_str().into(), kind, &entry.metadata);
        walk.newest_change = walk.newest_change.max(Some(item.modified));
        walk.items.push(item);
        if kind == Kind::File {
            path.pop();
            continue;
        }
        match list(&path, cancel, &mut walk.skipped) {
            Ok(entries) => {
                open.push(entries.into_iter());
                lengths.push(name.len());
            }
            Err(WalkError::Read { path: folder, source }) if concerns_one_file(&source) => {
                walk.skipped.push(Skipped { path: folder, why: Why::Unreadable(unreadable(&source)) });
                path.pop();
            }
            Err(error) => return Err(error),
        }
    }
    walk.items.shrink_to_fit();
    Ok(walk)
}

/// Looks at some files below `root`: at each by itself, since a listing may lag behind a file that is being written.
/// What has vanished is left out, and so are links.
///
/// # Errors
/// When one of them cannot be looked at.
pub fn files<'a>(root: &Path, names: impl IntoIterator<Item = &'a str>, cancel: &Cancel) -> Result<Walk, WalkError> {
    let mut walk = Walk { root: root.to_path_buf(), ..Walk::default() };
    for name in names {
        if cancel.is_cancelled() {
            return Err(WalkError::Cancelled);
        }
        let mut path = root.to_path_buf();
        path.extend(name.split('/'));
        let metadata = match std::fs::symlink_metadata(verbatim(&path)) {
            Ok(metadata) => metadata,
            Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
            Err(source) => return Err(WalkError::Read { path, source }),
        };
        match classify(metadata.file_type()) {
            Ok(Kind::File) => walk.items.push(item(name.into(), Kind::File, &metadata)),
            Ok(Kind::Folder) => {}
            Err(why) => walk.skipped.push(Skipped { path, why }),
        }
    }
    walk.items.sort_unstable_by(|a, b| a.name.split('/').cmp(b.name.split('/')));
    walk.newest_change = walk.items.iter().map(|item| item.modified).max();
    Ok(walk)
}

struct Entry {
    name: OsString,
    file_type: FileType,
    metadata: Metadata,
}

/// The entries of one folder, sorted; its handle is closed again. What cannot be looked at by itself is skipped.
fn list(folder: &Path, cancel: &Cancel, skipped: &mut Vec<Skipped>) -> Result<Vec<Entry>, WalkError> {
    if cancel.is_cancelled() {
        return Err(WalkError::Cancelled);
    }
    let error = |path: PathBuf| move |source| WalkError::Read { path, source };
    let mut entries = Vec::new();
    for entry in std::fs::read_dir(verbatim(folder)).map_err(error(folder.to_path_buf()))? {
        let entry = entry.map_err(error(folder.to_path_buf()))?;
        let seen = entry.file_type().and_then(|file_type| Ok((file_type, entry.metadata()?)));
        match seen {
            Ok((file_type, metadata)) => entries.push(Entry { name: entry.file_name(), file_type, metadata }),
            Err(source) if concerns_one_file(&source) => {
                let why = Why::Unreadable(unreadable(&source));
                skipped.push(Skipped { path: folder.join(entry.file_name()), why });
            }
            Err(source) => return Err(WalkError::Read { path: folder.join(entry.file_name()), source }),
        }
    }
    entries.sort_unstable_by(|a, b| a.name.as_encoded_bytes().cmp(b.name.as_encoded_bytes()));
    Ok(entries)
}

pub(super) fn item(name: Box<str>, kind: Kind, metadata: &Metadata) -> Item {
    let bytes = if kind == Kind::File { metadata.len() } else { 0 };
    let (modified, attributes) = (modified(metadata), attributes(metadata));
    Item { name, kind, bytes, modified, attributes, identity: Identity::of(metadata) }
}

/// Of the thing itself, not of what a link leads to. On Windows links and junctions are those reparse points that stand
/// for another name.
pub(super) fn classify(file_type: FileType) -> Result<Kind, Why> {
    if file_type.is_symlink() {
        Err(Why::Link)
    } else if file_type.is_dir() {
        Ok(Kind::Folder)
    } else if file_type.is_file() {
        Ok(Kind::File)
    } else {
        Err(Why::Special)
    }
}

/// When a file was modified. What jiff cannot express is taken as the nearest that it can.
#[must_use]
pub fn modified(metadata: &Metadata) -> Timestamp {
    let time = metadata.modified().unwrap_or(SystemTime::UNIX_EPOCH);
    let outside = if time < SystemTime::UNIX_EPOCH { Timestamp::MIN } else { Timestamp::MAX };
    Timestamp::try_from(time).unwrap_or(outside)
}

/// The attributes of a file.
#[cfg(windows)]
#[must_use]
pub fn attributes(metadata: &Metadata) -> Attributes {
    use std::os::windows::fs::MetadataExt;
    use windows_sys::Win32::Storage::FileSystem::{
        FILE_ATTRIBUTE_HIDDEN, FILE_ATTRIBUTE_READONLY, FILE_ATTRIBUTE_SYSTEM,
    };
    let has = |flag| metadata.file_attributes() & flag != 0;
    Attributes {
        read_only: has(FILE_ATTRIBUTE_READONLY),
        hidden: has(FILE_ATTRIBUTE_HIDDEN),
        system: has(FILE_ATTRIBUTE_SYSTEM),
    }
}

/// The attributes of a file.
#[cfg(not(windows))]
#[must_use]
pub fn attributes(metadata: &Metadata) -> Attributes {
    Attributes { read_only: metadata.permissions().readonly(), ..Attributes::default() }
}

/// A difference between two walks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Change {
    /// Path below the root, components separated by `/`.
    pub name: String,
    /// What happened to it.
    pub what: What,
}

/// What happened to a file or folder.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum What {
    /// It is new.
    Appeared,
    /// It is gone.
    Vanished,
    /// Its size changed.
    Resized,
    /// Its time or attributes changed.
    Touched,
}

impl fmt::Display for Change {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let what = match self.what {
            What::Appeared => "appeared",
            What::Vanished => "vanished",
            What::Resized => "changed its size",
            What::Touched => "was modified",
        };
        write!(f, "{} {what}", self.name)
    }
}

/// What changed between two walks of the same folder, in their order. Nothing: it was not touched.
#[must_use]
pub fn compare(before: &Walk, after: &Walk) -> Vec<Change> {
    let mut changes = Vec::new();
    let mut change = |item: &Item, what| changes.push(Change { name: item.name.to_string(), what });
    let (mut olds, mut news) = (before.items.iter().peekable(), after.items.iter().peekable());
    loop {
        let order = match (olds.peek(), news.peek()) {
            (None, None) => break,
            (Some(_), None) => Ordering::Less,
            (None, Some(_)) => Ordering::Greater,
            (Some(old), Some(new)) => old.name.split('/').cmp(new.name.split('/')),
        };
        let old = if order.is_le() { olds.next() } else { None };
        let new = if order.is_ge() { news.next() } else { None };
        match (old, new) {
            (Some(old), Some(new)) if old.kind != new.kind => {
                change(old, What::Vanished);
                change(new, What::Appeared);
            }
            (Some(old), Some(new)) if old.bytes != new.bytes => change(new, What::Resized),
            (Some(old), Some(new)) if !old.is_unchanged(new) => change(new, What::Touched),
            (Some(_), Some(_)) | (None, None) => {}
            (Some(old), None) => change(old, What::Vanished),
            (None, Some(new)) => change(new, What::Appeared),
        }
    }
    changes
}

/// Files that look unchanged between two walks of the same folder, but may be others: by their names. A program that
/// rewrites a file and sets its time back leaves no other trace; one that changes attributes or rights leaves the same.
#[must_use]
pub fn suspects<'a>(before: &Walk, after: &'a Walk) -> Vec<&'a Item> {
    let mut olds = before.items.iter().peekable();
    let mut suspects = Vec::new();
    for new in after.items.iter().filter(|item| item.kind == Kind::File) {
        while olds.next_if(|old| old.name.split('/').lt(new.name.split('/'))).is_some() {}
        if olds.peek().is_some_and(|old| old.name == new.name && old.identity != new.identity) {
            suspects.push(new);
        }
    }
    suspects
}

#[cfg(test)]
mod tests {
    use std::fs;

    use filetime::FileTime;
    use tempfile::TempDir;

    use super::*;

    fn walked(folder: &TempDir) -> Walk {
        walk(folder.path(), &Cancel::new()).unwrap()
    }

    fn names(walk: &Walk) -> Vec<&str> {
        walk.items.iter().map(|item| &*item.name).collect()
    }

    fn write(folder: &TempDir, name: &str, text: &str) {
        let path = folder.path().join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }

    #[test]
    fn items_come_depth_first_in_the_order_of_bytes() {
        let folder = tempfile::tempdir().unwrap();
        for name in ["b/x", "a-b", "a/é", "a/z", "a/B", "c"] {
            write(&folder, name, "1");
        }
        fs::create_dir(folder.path().join("empty")).unwrap();
        let walk = walked(&folder);
        assert_eq!(names(&walk), ["a", "a/B", "a/z", "a/é", "a-b", "b", "b/x", "c", "empty"]);
        assert_eq!((walk.items[1].kind, walk.items[1].bytes), (Kind::File, 1));
        assert_eq!((walk.items[0].kind, walk.items[0].bytes), (Kind::Folder, 0));
        assert_eq!(fs::read(walk.items[3].path(&walk.root)).unwrap(), b"1");
    }

    #[test]
    fn deep_trees_and_long_names_are_walked() {
        let folder = tempfile::tempdir().unwrap();
        let deep = vec!["a-level-of-the-tree"; 40].join("/");
        let name = format!("{deep}/{}", "n".repeat(255));
        write(&folder, &name, "x");
        let walk = walked(&folder);
        assert_eq!(walk.items.len(), 41);
        assert_eq!(&*walk.items[40].name, name);
    }

    #[test]
    fn time_is_kept_to_the_nanosecond() {
        let folder = tempfile::tempdir().unwrap();
        write(&folder, "a", "");
        filetime::set_file_mtime(folder.path().join("a"), FileTime::from_unix_time(1_700_000_000, 123_456_700))
            .unwrap();
        assert_eq!(walked(&folder).items[0].modified.as_nanosecond(), 1_700_000_000_123_456_700);
    }

    #[cfg(unix)]
    #[test]
    fn links_and_sockets_are_not_followed() {
        let folder = tempfile::tempdir().unwrap();
        write(&folder, "a/file", "x");
        std::os::unix::fs::symlink(folder.path(), folder.path().join("a/loop")).unwrap();
        let _socket = std::os::unix::net::UnixListener::bind(folder.path().join("socket")).unwrap();
        let walk = walked(&folder);
        assert_eq!(names(&walk), ["a", "a/file"]);
        let why: Vec<_> = walk.skipped.iter().map(|skipped| skipped.why.clone()).collect();
        assert_eq!(why, [Why::Link, Why::Special]);
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn name_that_is_not_unicode_is_reported_as_lost() {
        use std::os::unix::ffi::OsStrExt;
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join(std::ffi::OsStr::from_bytes(b"a\xFF")), "x").unwrap();
        write(&folder, "b", "x");
        let walk = walked(&folder);
        assert_eq!(names(&walk), ["b"]);
        assert_eq!(walk.skipped[0].why, Why::NotUnicode);
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn path_that_is_too_long_is_skipped_and_the_rest_is_walked() {
        let folder = tempfile::tempdir().unwrap();
        write(&folder, "b/file", "x");
        write(&folder, "c", "x");
        // Built from its end: no call ever sees the whole path.
        let level = "n".repeat(250);
        let mut inner = folder.path().join("inner");
        fs::create_dir(&inner).unwrap();
        for number in 0..20 {
            let outer = folder.path().join(format!("outer{number}"));
            fs::create_dir(&outer).unwrap();
            fs::rename(&inner, outer.join(&level)).unwrap();
            inner = outer;
        }
        fs::rename(&inner, folder.path().join("b/long")).unwrap();
        let walk = walked(&folder);
        assert!(walk.items.iter().any(|item| &*item.name == "b/file"));
        assert_eq!(&*walk.items.last().unwrap().name, "c");
        assert!(matches!(&walk.skipped[..], [Skipped { why: Why::Unreadable(_), .. }]), "{:?}", walk.skipped);
    }

    /// Windows tells only when a file was made, and gives a new file the time of an old one of its name.
    #[cfg(unix)]
    #[test]
    fn file_that_was_replaced_or_rewritten_under_its_old_time_is_suspect() {
        let folder = tempfile::tempdir().unwrap();
        for name in ["a", "b/x", "b/y", "c"] {
            write(&folder, name, "1");
        }
        let before = walked(&folder);
        assert_eq!(suspects(&before, &walked(&folder)), [] as [&Item; 0]);
        let path = folder.path().join("b/y");
        let time = FileTime::from_last_modification_time(&fs::metadata(&path).unwrap());
        fs::rename(&path, folder.path().join("b/old")).unwrap();
        fs::remove_file(folder.path().join("a")).unwrap();
        write(&folder, "b/y", "2");
        filetime::set_file_mtime(&path, time).unwrap();
        let after = walked(&folder);
        let names: Vec<&str> = suspects(&before, &after).iter().map(|item| &*item.name).collect();
        assert_eq!(names, ["b/y"]);
    }

    #[test]
    fn every_kind_of_change_is_found() {
        let folder = tempfile::tempdir().unwrap();
        for name in ["d/gone", "d/grown", "d/same", "d/touched", "turned/x"] {
            write(&folder, name, "1");
        }
        let before = walked(&folder);
        assert_eq!(compare(&before, &walked(&folder)), []);
        fs::remove_file(folder.path().join("d/gone")).unwrap();
        write(&folder, "d/grown", "22");
        filetime::set_file_mtime(folder.path().join("d/touched"), FileTime::from_unix_time(1, 0)).unwrap();
        fs::remove_dir_all(folder.path().join("turned")).unwrap();
        write(&folder, "turned", "");
        write(&folder, "z", "");
        filetime::set_file_mtime(folder.path().join("d"), FileTime::from_unix_time(2, 0)).unwrap();
        let changes: Vec<_> = compare(&before, &walked(&folder)).iter().map(ToString::to_string).collect();
        assert_eq!(
            changes,
            [
                "d was modified",
                "d/gone vanished",
                "d/grown changed its size",
                "d/touched was modified",
                "turned vanished",
                "turned appeared",
                "turned/x vanished",
                "z appeared",
            ]
        );
    }

    #[test]
    fn missing_folder_and_cancelling_are_told_apart() {
        let folder = tempfile::tempdir().unwrap();
        assert!(walk(&folder.path().join("none"), &Cancel::new()).unwrap_err().is_not_found());
        let cancel = Cancel::new();
        cancel.cancel();
        assert!(walk(folder.path(), &cancel).unwrap_err().is_cancelled());
    }
}

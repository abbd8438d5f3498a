//! Folders and files: what is in them, and that it is what it should be.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use filetime::FileTime;
use jiff::Timestamp;
use sha2::{Digest, Sha256};

use super::until;

/// Gives a folder and all folders below it this time.
pub fn settle(folder: &Path, time: Timestamp) {
    for entry in fs::read_dir(folder).unwrap() {
        let entry = entry.unwrap();
        if entry.file_type().unwrap().is_dir() {
            settle(&entry.path(), time);
        }
    }
    touch(folder, time);
}

/// Sets the time of a file or folder.
pub fn touch(path: &Path, time: Timestamp) {
    let nanoseconds = u32::try_from(time.subsec_nanosecond()).unwrap();
    filetime::set_file_mtime(path, FileTime::from_unix_time(time.as_second(), nanoseconds)).unwrap();
}

#[allow(clippy::permissions_set_readonly_false, reason = "of a scratch file")]
pub fn read_only(path: &Path, read_only: bool) {
    let mut permissions = fs::metadata(path).unwrap().permissions();
    permissions.set_readonly(read_only);
    fs::set_permissions(path, permissions).unwrap();
}

/// Names in a folder, sorted; none if there is no such folder.
pub fn names(folder: &Path) -> Vec<String> {
    let Ok(entries) = fs::read_dir(folder) else { return vec![] };
    let mut names: Vec<String> =
        entries.map(|entry| entry.unwrap().file_name().to_string_lossy().into_owned()).collect();
    names.sort_unstable();
    names
}

/// What is in a folder: paths with `/`, for files their SHA-256, for both their time.
pub fn tree(folder: &Path) -> BTreeMap<String, Node> {
    let mut found = BTreeMap::new();
    let mut folders = vec![(folder.to_owned(), String::new())];
    while let Some((folder, prefix)) = folders.pop() {
        for entry in fs::read_dir(&folder).unwrap() {
            let entry = entry.unwrap();
            let name = format!("{prefix}{}", entry.file_name().to_str().unwrap());
            let metadata = entry.metadata().unwrap();
            let modified = FileTime::from_last_modification_time(&metadata);
            let sha256 = metadata.is_file().then(|| Sha256::digest(fs::read(entry.path()).unwrap()).into());
            let read_only = metadata.is_file() && metadata.permissions().readonly();
            if metadata.is_dir() {
                folders.push((entry.path(), format!("{name}/")));
            }
            found.insert(name, Node { sha256, modified, read_only });
        }
    }
    found
}

/// A file, or without SHA-256 a folder.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Node {
    pub sha256: Option<[u8; 32]>,
    pub modified: FileTime,
    pub read_only: bool,
}

/// Checks that a fetched folder is the one that was archived.
#[track_caller]
pub fn assert_same_tree(fetched: &Path, archived: &Path) {
    let (fetched, archived) = (tree(fetched), tree(archived));
    assert_eq!(fetched.keys().collect::<Vec<_>>(), archived.keys().collect::<Vec<_>>());
    for (name, node) in &archived {
        assert!(fetched[name] == *node, "{name}: {:?} instead of {node:?}", fetched[name]);
    }
}

/// Every file of `fetched` is one of `archived`, whole. How many there are.
#[track_caller]
pub fn assert_part_of_tree(fetched: &Path, archived: &Path) -> usize {
    assert_part_of(fetched, &tree(archived))
}

/// The same for many looks at what was archived. Partial files of a fetch that died say so by their names.
#[track_caller]
pub fn assert_part_of(fetched: &Path, archived: &BTreeMap<String, Node>) -> usize {
    let fetched = tree(fetched);
    let is_partial = |name: &str| name.rsplit('/').next().is_some_and(|name| name.starts_with(".afterbackup-partial-"));
    let files = fetched.iter().filter(|(name, node)| node.sha256.is_some() && !is_partial(name));
    files.inspect(|(name, node)| assert!(archived.get(*name) == Some(*node), "{name} is not what was archived")).count()
}

/// Removes a folder with everything in it, if it is there. Windows keeps read-only files.
pub fn remove_tree(folder: &Path) {
    if cfg!(windows) {
        for (name, node) in if folder.exists() { tree(folder) } else { BTreeMap::new() } {
            if node.read_only {
                read_only(&folder.join(name), false);
            }
        }
    }
    until("the folder is gone", || fs::remove_dir_all(folder).is_ok() || !folder.exists());
}

/// Copies a folder with everything in it.
pub fn copy_tree(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let place = to.join(entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            copy_tree(&entry.path(), &place);
        } else {
            fs::copy(entry.path(), &place).unwrap();
        }
    }
}
